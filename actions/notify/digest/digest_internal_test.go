package digest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
)

// text returns the text of a digest in a language.
func text(t *testing.T, items []Item, language string) string {
	text, err := Text(items, mrkdwn.Style.In(language))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestTextInChinese: the same, in the other language.
func TestTextInChinese(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	var items []Item
	for i := range 12 {
		items = append(items, Item{Result: "gave_up", Rules: []string{"retry"}, Class: "runner", At: at, Link: "a/b #1", Text: fmt.Sprintf("已放弃 rspec %d", i)})
	}
	got := text(t, items, event.Chinese)
	for _, part := range []string{
		":inbox_tray: *同时有 12 条通知*：已放弃 12\n涉及 1 条规则：`retry` 12 · 按失败类别：runner 12\n",
		"• 已放弃 rspec 9 — a/b #1\n还有 2 条\n用 `pipesteward decisions --since 2026-12-01T12:00:00Z` 查看全部",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%s\nlacks %s", got, part)
		}
	}
}

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
	got := text(t, items, event.English)
	for _, part := range []string{
		":inbox_tray: *27 notifications* came at once: failed 15, gave up 12\nby rules `play` 15, `retry` 12 · by failure class runner 12\n",
		"• Gave up on rspec — ×12: <https://g/0|a/b #0>, <https://g/1|a/b #1>, <https://g/2|a/b #2>, …\n• Could not play deploy 0 — a/b #0\n",
		"Could not play deploy 8 — a/b #8\n+6 more\n`pipesteward decisions --since 2026-12-01T12:00:00Z` lists all",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%s\nlacks %s", got, part)
		}
	}
	for i := range items {
		items[i].Text = strconv.Itoa(i) + strings.Repeat("x", maxItemText-2)
		items[i].Link = "<https://" + strings.Repeat("y", 300) + "|a>"
	}
	if got = text(t, items, event.English); len(got) > maxBytes || !strings.Contains(got, " more\n") || !strings.HasSuffix(got, "lists all") {
		t.Errorf("%d bytes, want %d at most, and an end:\n%s", len(got), maxBytes, got)
	}
}

// TestDigestOfARuleWithMarkup: the name of a rule can't ping.
func TestDigestOfARuleWithMarkup(t *testing.T) {
	t.Parallel()
	if got := text(t, []Item{{Rules: []string{"<!channel>`"}}}, event.English); !strings.Contains(got, "by rule `&lt;!channel&gt;'` 1") {
		t.Error(got)
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
	o.Action.Verb = event.VerbNotify
	if got := text(t, []Item{Of(o, n)}, event.English); !strings.Contains(got, "came at once: matched 1\n") {
		t.Errorf("a rule without actions: %s", got)
	}
}
