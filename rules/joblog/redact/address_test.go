package redact_test

import (
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                            "",
		"platform/shop":               "platform/shop",
		"apps/*/web":                  "apps/*/web",
		"http://127.0.0.1:9090":       "http://127.0.0.1:9090",
		"https://h.example.com/a/@me": "https://h.example.com/a/@me",
		"git@h.example.com:a/b.git":   "git@h.example.com:a/b.git",
		"ssh://git@h.example.com/a/b": "ssh://git@h.example.com/a/b",

		"https://ann:hush@h.example.com":               "https://[masked]@h.example.com",
		"https://hush@h.example.com/a":                 "https://[masked]@h.example.com/a",
		"https://ann:hush@h.example.com:xx":            "https://[masked]@h.example.com:xx",
		"https://ann:hu#sh@h.example.com/a":            "https://[masked]@h.example.com/a",
		"https://ann:hu?sh@h.example.com/a":            "https://[masked]@h.example.com/a",
		"https://ann:1/hush@h.example.com/a":           "https://[masked]@h.example.com/a",
		"https://ann:%hush@h.example.com/a":            "https://[masked]@h.example.com/a",
		"https://ann:hu@sh@h.example.com/a":            "https://[masked]@h.example.com/a",
		"ann:hush@h.example.com":                       "[masked]@h.example.com",
		"hush@h.example.com":                           "[masked]@h.example.com",
		"https:/ann:hush@h.example.com":                "[masked]@h.example.com",
		"https://me:hush@bot.example.com/a?key=hush&b": "https://[masked]@bot.example.com/a?key=[masked]&[masked]",
		"http://127.0.0.1:1?token=hush":                "http://127.0.0.1:1?token=[masked]",
		"http://127.0.0.1:1?hush":                      "http://127.0.0.1:1?[masked]",
		"https://h.example.com/a?by=ann@example.com":   "https://h.example.com/a?by=[masked]",
		"https://h.example.com/a#access_token=hush":    "https://h.example.com/a#[masked]",
		"a/b?private_token=hush":                       "a/b?private_token=[masked]",
	} {
		got := redact.URL(text)
		if got != want || strings.Contains(got, "hush") {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
		if again := redact.URL(got); again != got {
			t.Errorf("%s: a second call makes %s of %s", text, again, got)
		}
	}
}
