package mrkdwn_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"":      "",
		"plain": "plain",
		"<https://x/a?b=c&amp;d=e|the job> failed":               "the job (https://x/a?b=c&d=e) failed",
		"see <https://x>":                                        "see https://x",
		"<https://x|https://x>":                                  "https://x",
		"<mailto:a@example.com|a@example.com>":                   "a@example.com",
		"*bold* and `code` and _more_":                           "*bold* and `code` and _more_",
		"a &lt;b&gt; &amp;amp; c":                                "a <b> &amp; c",
		"&lt;https://evil|good&gt;":                              "<https://evil|good>", // a value, and no link
		"<https://x|&lt;1&gt;>":                                  "<1> (https://x)",
		"<#C024BE7LR|ops> <#C024BE7LR>":                          "#ops #C024BE7LR",
		"<!subteam^SAZ94GDB8|@oncall> <!here> <!date^1^{t}|now>": "@oncall @here now",
		"<@U024BE7LH> <@U024BE7LH|anna>":                         "@U024BE7LH @anna",
		"1 < 2 > 0":                                              "1 < 2 > 0",
		"a < b and c > d":                                        "a < b and c > d",
		"<x|y>":                                                  "<x|y>",
		"two\n<https://x|lines>":                                 "two\nlines (https://x)",
	} {
		if got := mrkdwn.Plain(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
