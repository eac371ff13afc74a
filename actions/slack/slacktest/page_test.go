package slacktest_test

import (
	"encoding/json"
	"strings"
	"testing"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
)

// blocks returns the blocks of a message as they are posted.
func blocks(t *testing.T, all ...slackapi.Block) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPageShowsMarkup(t *testing.T) {
	for _, c := range []struct{ mrkdwn, html string }{
		{"*bold* and `code`", "<b>bold</b> and <code>code</code>"},
		{"*<https://example.com/1|Pipeline #1>* failed", "<b><a>Pipeline #1</a></b> failed"},
		{":x: <https://example.com/a?b=1&amp;c=2>", "❌ <a>https://example.com/a?b=1&amp;c=2</a>"},
		{"log:\n```\n*no* `markup` &lt;here&gt;\n```", "log:\n<pre>*no* `markup` &lt;here&gt;</pre>"},
		{"<!here> <@U1>", `<span class="mention">@here</span> <span class="mention">@U1</span>`},
		{"&lt;script&gt; &amp;amp; <https://example.com|&lt;b&gt;>", "&lt;script&gt; &amp;amp; <a>&lt;b&gt;</a>"},
		{"<script", "&lt;script"},
		{"2*3*4, runner_system_failure", "2*3*4, runner_system_failure"},
	} {
		page, err := slacktest.Page("ci", []slacktest.Message{{TS: "1.0", Blocks: blocks(t, section(c.mrkdwn))}})
		if err != nil {
			t.Fatal(err)
		}
		if want := `<div class="section">` + c.html + "</div>"; !strings.Contains(page, want) {
			t.Errorf("the page of %q lacks %s:\n%s", c.mrkdwn, want, page)
		}
	}
}

func TestPageShowsThreadsAndButtons(t *testing.T) {
	button := slackapi.NewButtonBlockElement("id", "value", slackapi.NewTextBlockObject("plain_text", "Retry & see", false, false)).WithStyle(slackapi.StylePrimary)
	page, err := slacktest.Page("ci", []slacktest.Message{
		{TS: "60.0", Text: "fallback", Blocks: blocks(t, section("first"), slackapi.NewActionBlock("", button))},
		{TS: "120.0", Blocks: blocks(t, section("second"))},
		{TS: "180.0", ThreadTS: "60.0", Blocks: blocks(t, slackapi.NewContextBlock("", slackapi.NewTextBlockObject("mrkdwn", "small", false, true)))},
	})
	if err != nil {
		t.Fatal(err)
	}
	rest := page
	for _, part := range []string{"# ci", "00:01", "first", `<span class="button primary">Retry &amp; see</span>`, "1 reply", "00:03", `<div class="context">small</div>`, "00:02", "second"} {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("the page lacks %s, in this place:\n%s", part, page)
		}
		rest = after
	}
	if strings.Contains(page, "fallback") {
		t.Errorf("the page shows the text of notifications:\n%s", page)
	}
}

func TestPageRefusesWhatItDoesNotShow(t *testing.T) {
	_, err := slacktest.Page("ci", []slacktest.Message{{TS: "1.0", Blocks: blocks(t, slackapi.NewDividerBlock())}})
	if err == nil || !strings.Contains(err.Error(), `"divider"`) {
		t.Errorf("error %v, want one that names the block", err)
	}
}
