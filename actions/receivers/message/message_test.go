package message_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
)

func TestLinksAreAddresses(t *testing.T) {
	for link, want := range map[string]string{
		"https://gitlab.example.com/a/-/jobs/1?x=y#L1": "https://gitlab.example.com/a/-/jobs/1?x=y#L1",
		"http://gitlab":                          "http://gitlab",
		"javascript:alert(1)":                    "",
		"//gitlab.example.com":                   "",
		"https://a/b)](c d\n<e>é":                "https://a/b%29%5D%28c%20d%0A%3Ce%3E%C3%A9",
		"https://a/" + strings.Repeat("x", 2000): "",
	} {
		if got := (message.Message{Link: link}).Bounded().Link; got != want {
			t.Errorf("%q becomes %q, want %q", link, got, want)
		}
	}
}

func TestPlain(t *testing.T) {
	m := message.Message{Title: "t", Text: "a\r\nb", Link: "https://x", Fields: []message.Field{{Name: "n", Value: "v\nw"}}, Level: message.Warning}
	if got, want := m.Bounded().Plain(), "⚠️ t\na\nb\nn: v w\nhttps://x"; got != want {
		t.Errorf("plain text %q, want %q", got, want)
	}
}

// A message that is too long loses its text first, but some of it only after the fields,
// and its title last.
func TestFitOrder(t *testing.T) {
	m := message.Message{Title: strings.Repeat("t", 100), Text: strings.Repeat("x", 2000)}
	for range 10 {
		m.Fields = append(m.Fields, message.Field{Name: "n", Value: strings.Repeat("v", 100)})
	}
	for _, c := range []struct{ limit, title, text, fields int }{
		{4000, 100, 2000, 10}, {2800, 100, 1600, 10}, {1200, 100, 600, 4}, {400, 100, 250, 0}, {50, 20, 0, 0}, {1, 0, 0, 0},
	} {
		short := m.Fit(func(m message.Message) bool { return len(m.Plain()) <= c.limit })
		if len(short.Title) < c.title || len(short.Text) < c.text || len(short.Fields) < c.fields {
			t.Errorf("limit %d: title %d, text %d, %d fields; want at least %d, %d, %d", c.limit, len(short.Title), len(short.Text), len(short.Fields), c.title, c.text, c.fields)
		}
		if n := len(short.Plain()); n > c.limit && c.limit >= 50 {
			t.Errorf("limit %d: %d bytes", c.limit, n)
		}
	}
}

// Whatever a message has and whatever the limit is, the message fits, and stays valid text.
func TestFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab*_ \n字😀\\\"<@…")), 0, 3000, -1)
		m := message.Message{Title: text.Draw(t, "title"), Text: text.Draw(t, "text")}
		for range rapid.IntRange(0, 25).Draw(t, "fields") {
			m.Fields = append(m.Fields, message.Field{Name: "n", Value: text.Draw(t, "value")})
		}
		limit := rapid.IntRange(100, 5000).Draw(t, "limit")
		md := message.Markdown{Special: "*_\\<@", Broken: "@"}
		write := func(m message.Message) string { return md.Lines(m.Plain()) }
		short := m.Fit(func(m message.Message) bool { return len(write(m)) <= limit })
		if n := len(write(short)); n > limit {
			t.Errorf("%d bytes, limit %d", n, limit)
		}
		if !utf8.ValidString(write(short)) {
			t.Error("a character is cut")
		}
	})
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abc", 2, "ab…"}, {"字字", 5, "字…"}, {"字字", 2, ""}, {"a  b", 3, "a…"}, {"abc", 0, ""}, {"abc", -1, ""}, {"", 0, ""},
	} {
		if got := message.Cut(c.text, c.limit); got != c.want {
			t.Errorf("%q, %d: %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}
