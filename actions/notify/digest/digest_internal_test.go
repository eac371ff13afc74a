package digest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// TestText: what is the same is one line with its number, the rest is counted, and
// Slack's limit is kept.
func TestText(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	var items []Item
	for i := range 12 {
		items = append(items, Item{Result: "gave_up", Rules: []string{"retry"}, Class: "runner", At: start.Add(time.Duration(i) * time.Second), Link: fmt.Sprintf("<https://g/%d|a/b #%d>", i, i), Text: "Gave up on rspec"})
	}
	for i := range 15 {
		items = append(items, Item{Result: "failed", Rules: []string{"play"}, At: start, Link: fmt.Sprintf("a/b #%d", i), Text: fmt.Sprintf("Could not play deploy %d", i)})
	}
	text := Text(items)
	for _, part := range []string{
		":inbox_tray: *27 notifications* came at once: failed 15, gave_up 12\nby rules `play` 15, `retry` 12 · by failure class runner 12\n",
		"• Gave up on rspec — ×12: <https://g/0|a/b #0>, <https://g/1|a/b #1>, <https://g/2|a/b #2>, …\n• Could not play deploy 0 — a/b #0\n",
		"Could not play deploy 8 — a/b #8\n+6 more\n`pipesteward decisions --since 2026-12-01T12:00:00Z` lists all",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%s\nlacks %s", text, part)
		}
	}
	for i := range items {
		items[i].Text = strconv.Itoa(i) + strings.Repeat("x", maxItemText-2)
		items[i].Link = "<https://" + strings.Repeat("y", 300) + "|a>"
	}
	if text = Text(items); len(text) > maxBytes || !strings.Contains(text, " more\n") || !strings.HasSuffix(text, "lists all") {
		t.Errorf("%d bytes, want %d at most, and an end:\n%s", len(text), maxBytes, text)
	}
}

// TestDigestOfARuleWithMarkup: the name of a rule can't ping.
func TestDigestOfARuleWithMarkup(t *testing.T) {
	t.Parallel()
	if text := Text([]Item{{Rules: []string{"<!channel>`"}}}); !strings.Contains(text, "by rule `&lt;!channel&gt;'` 1") {
		t.Error(text)
	}
}

// TestItem: a value can neither ping nor break a link, and a text is one short line.
func TestItem(t *testing.T) {
	t.Parallel()
	o, n := event.Outcome{}, event.Notice{Text: "first <https://g/1|" + strings.Repeat("x", 200) + ">\nsecond"}
	o.Project.Path, o.Pipeline.ID, o.Pipeline.URL, o.Rule = "a/<!here>", 7, "https://g/?a=1&b=2", "r"
	got := Of(o, n)
	if want := "<https://g/?a=1&amp;b=2|a/&lt;!here&gt; #7>"; got.Link != want || got.Text != "first…" || got.Rules[0] != "r" {
		t.Errorf("%+v, want the link %s, and the first line without a part of a link", got, want)
	}
	n.Text, o.Result, o.NewJobID, o.Job.Name, o.Action.Verb = "", event.ResultDone, 9, "<!channel>", event.VerbRetry
	if got := Of(o, n); got.Text != "Retried &lt;!channel&gt;" {
		t.Errorf("default text %q", got.Text)
	}
}
