package notify

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestGathered: from which message on notices are gathered.
func TestGathered(t *testing.T) {
	t.Parallel()
	five := event.Group{Burst: 5, Wait: event.Duration(time.Second), Interval: event.Duration(time.Minute)}
	for _, test := range []struct {
		name    string
		group   event.Group
		traffic traffic
		want    bool
	}{
		{"the first", five, traffic{position: 1}, false},
		{"the last of a burst", five, traffic{position: 5}, false},
		{"one more", five, traffic{position: 6}, true},
		{"to a message that there is", five, traffic{position: 6, begun: true}, false},
		{"few after quiet hours", five, traffic{position: 1, waited: 5}, false},
		{"many after quiet hours", five, traffic{position: 1, waited: 6}, true},
		{"missed by its digest", five, traffic{position: 1, missed: true}, true},
		{"missed, and there is its message now", five, traffic{missed: true, begun: true}, false},
		{"turned off", event.Group{}, traffic{position: 100, waited: 100, missed: true}, false},
	} {
		if got := gathered(test.group, test.traffic); got != test.want {
			t.Errorf("%s: gathered %t, want %t", test.name, got, test.want)
		}
	}
}

// TestDigestLook: the interval first, and at last ten minutes or the interval.
func TestDigestLook(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]time.Duration{
		{time.Minute, 0, time.Minute}, {time.Minute, time.Hour, 6 * time.Minute}, {time.Minute, 24 * time.Hour, 10 * time.Minute}, {time.Hour, 24 * time.Hour, time.Hour},
	} {
		if got := digestLook(event.Duration(c[0]), c[1]); got != c[2] {
			t.Errorf("interval %v, age %v: %v, want %v", c[0], c[1], got, c[2])
		}
	}
}

// digest returns the text of a digest in a language.
func digest(t *testing.T, items []item, language string) string {
	text, err := digestText(items, mrkdwn.Style.In(language))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestDigestInChinese: the same, in the other language.
func TestDigestInChinese(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	var items []item
	for i := range 12 {
		items = append(items, item{Result: "gave_up", Rules: []string{"retry"}, Class: "runner", At: at, Link: "a/b #1", Text: fmt.Sprintf("已放弃 rspec %d", i)})
	}
	text := digest(t, items, event.Chinese)
	for _, part := range []string{
		":inbox_tray: *同时有 12 条通知*：已放弃 12\n涉及 1 条规则：`retry` 12 · 按失败类别：runner 12\n",
		"• 已放弃 rspec 9 — a/b #1\n还有 2 条\n用 `pipesteward decisions --since 2026-12-01T12:00:00Z` 查看全部",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%s\nlacks %s", text, part)
		}
	}
}

// TestDigestText: what is the same is one line with its number, the rest is counted, and
// Slack's limit is kept.
func TestDigestText(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	var items []item
	for i := range 12 {
		items = append(items, item{Result: "gave_up", Rules: []string{"retry"}, Class: "runner", At: start.Add(time.Duration(i) * time.Second), Link: fmt.Sprintf("<https://g/%d|a/b #%d>", i, i), Text: "Gave up on rspec"})
	}
	for i := range 15 {
		items = append(items, item{Result: "failed", Rules: []string{"play"}, At: start, Link: fmt.Sprintf("a/b #%d", i), Text: fmt.Sprintf("Could not play deploy %d", i)})
	}
	text := digest(t, items, event.English)
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
	if text = digest(t, items, event.English); len(text) > maxDigestBytes || !strings.Contains(text, " more\n") || !strings.HasSuffix(text, "lists all") {
		t.Errorf("%d bytes, want %d at most, and an end:\n%s", len(text), maxDigestBytes, text)
	}
}

// TestDigestOfARuleWithMarkup: the name of a rule can't ping.
func TestDigestOfARuleWithMarkup(t *testing.T) {
	t.Parallel()
	if text := digest(t, []item{{Rules: []string{"<!channel>`"}}}, event.English); !strings.Contains(text, "by rule `&lt;!channel&gt;'` 1") {
		t.Error(text)
	}
}

// TestItem: a value can neither ping nor break a link, and a text is one short line.
func TestItem(t *testing.T) {
	t.Parallel()
	rec := NoticeRecord{Notice: event.Notice{Text: "first <https://g/1|" + strings.Repeat("x", 200) + ">\nsecond"}}
	rec.Project.Path, rec.Pipeline.ID, rec.Pipeline.URL, rec.Rule = "a/<!here>", 7, "https://g/?a=1&b=2", "r"
	got := itemOf(rec)
	if want := "<https://g/?a=1&amp;b=2|a/&lt;!here&gt; #7>"; got.Link != want || got.Text != "first…" || got.Rules[0] != "r" {
		t.Errorf("%+v, want the link %s, and the first line without a part of a link", got, want)
	}
	rec.Notice.Text, rec.Result, rec.NewJobID, rec.Job.Name, rec.Action.Verb = "", event.ResultDone, 9, "<!channel>", event.VerbRetry
	if got := itemOf(rec); got.Text != "Retried &lt;!channel&gt;" {
		t.Errorf("default text %q", got.Text)
	}
}
