package wrap_test

import (
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text           string
		width, first, indent int
		want                 string
	}{
		{"nothing", "", 10, 0, 2, ""},
		{"it fits", "one two", 7, 0, 2, "one two"},
		{"a hanging indent", "one two three four", 10, 0, 2, "one two\n  three\n  four"},
		{"behind what is printed", "one two", 8, 4, 4, "one\n    two"},
		{"no width", "one two three", 0, 0, 2, "one two three"},
		{"several lines", "one two three\nfour\n\nfive", 9, 0, 2, "one two\n  three\n  four\n  five"},
		{"a long word", "see https://gitlab.example.com now", 10, 0, 2, "see\n  https://gitlab.example.com\n  now"},
		{"a long word comes first", "https://gitlab.example.com now", 10, 4, 4, "https://gitlab.example.com\n    now"},
		{"spaces stay", "  one   two", 20, 0, 2, "  one   two"},
		{"but not where a line breaks", "one   two", 6, 0, 2, "one\n  two"},
		{"a command", "try `a b --c d`, or `e` then", 14, 0, 2, "try\n  `a b --c d`,\n  or `e` then"},
		{"a backtick that nothing closes", "a `b c d e f", 6, 0, 0, "a\n`b c d e f"},
		{"colours have no width", "\x1b[1mone\x1b[0m two", 7, 0, 0, "\x1b[1mone\x1b[0m two"},
		{"wide characters", "日本 日本 日本", 10, 0, 0, "日本 日本\n日本"},
	} {
		if got := wrap.Text(c.text, c.width, c.first, c.indent); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestNoTerminal: without a terminal, prose has the usual width, and lists any.
func TestNoTerminal(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if columns, width := wrap.Columns(&b), wrap.Width(&b); columns != 0 || width != wrap.DefaultWidth {
		t.Errorf("a text has %d columns and the width %d", columns, width)
	}
}
