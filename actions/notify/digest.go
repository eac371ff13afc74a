package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// DigestRecord is the body of the record of a digest, which is due when it is to be sent.
// The tally of its id has the notices.
type DigestRecord struct {
	event.Address
	Interval event.Duration `json:"interval"`
	Began    time.Time      `json:"began"` // when its first notice came
	// Late says that the digest waited until the one before was sent.
	Late bool `json:"late,omitzero"`
	// End is the pipeline at the end of which the digest is sent; nil: at the end of the interval.
	End   *EndOf     `json:"end,omitempty"`
	Waits event.Wait `json:"waits,omitzero"`
}

// HandleDigest has a digest sent as an announcement, unless the one before has not been
// sent yet: then it waits, and in the end leaves its notices to be gathered anew, in one
// digest with those of others that waited.
func (n *Notifier) HandleDigest(ctx context.Context, l *worker.Lease, rec DigestRecord) error {
	if rec.End != nil {
		return n.handleEnd(ctx, l, rec)
	}
	last := keys.LastDigest(rec.Receiver, rec.Channel)
	before, err := n.Guard.Get(ctx, last)
	if err != nil {
		return err
	}
	if before != nil {
		queued, err := n.Queue.Queued(ctx, string(before))
		if err != nil {
			return err
		}
		if queued {
			rec.Late, rec.Waits = true, event.Wait{For: event.WaitDigest, Reason: "the digest before has not been sent yet"}
			if err := l.Keep(rec); err != nil {
				return err
			}
			return l.Defer(ctx, time.Duration(rec.Interval))
		}
	}
	if rec.Late {
		return l.Done(ctx)
	}
	items, ids, err := n.items(ctx, l.ID(), rec.Address)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return l.Done(ctx)
	}
	announcement := NoticeRecord{Announcement: l.ID(), Notice: event.Notice{Address: rec.Address, Text: digestText(items)}, Of: ids}
	announcement.At = n.Now().UTC()
	next, err := announcement.queued()
	if err != nil {
		return err
	}
	return l.DoneWith(ctx, store.Changes{
		Next:   []store.Record{next},
		Values: []store.Value{{Key: last, Value: []byte(next.ID), TTL: gatheredFor}},
	})
}

// queued returns the record of an announcement.
func (rec NoticeRecord) queued() (store.Record, error) {
	body, err := json.Marshal(rec)
	return store.Record{ID: announcementRecord(rec.Announcement, rec.Notice.Address), Kind: event.RecordNotice, Body: body}, err
}

// items returns the notices in a digest and the ids of their records, oldest first. Those
// that were muted meanwhile are left out.
func (n *Notifier) items(ctx context.Context, digest string, to event.Address) (items []item, ids []string, err error) {
	seen, err := n.Guard.Tallied(ctx, keys.Gathered(digest), gatheredFor)
	if err != nil {
		return nil, nil, err
	}
	mutes, err := n.Mutes.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range seen {
		var i item
		if err := json.Unmarshal([]byte(s.Note), &i); err != nil {
			return nil, nil, fmt.Errorf("a notice in a digest can't be read: %w", err)
		}
		o := event.Outcome{}
		o.Rule, o.Project.Path = i.Rules[0], i.Project
		if o.MutedBy(mutes, event.Notice{Address: to, Rules: i.Rules}) == nil {
			items, ids = append(items, i), append(ids, s.ID)
		}
	}
	return items, ids, nil
}

// ofDigest returns the values that say what came of the notices in a digest.
func (rec NoticeRecord) ofDigest() (values []store.Value, err error) {
	ended := *rec.Ended
	ended.Digest = rec.Announcement
	body, err := json.Marshal(ended)
	for _, id := range rec.Of {
		values = append(values, store.Value{Key: keys.Digested(id), Value: body, TTL: gatheredFor})
	}
	return values, err
}

// item is what a digest says of a notice.
type item struct {
	Result  string    `json:"result"`
	Rules   []string  `json:"rules"`
	Class   string    `json:"class,omitzero"`
	Project string    `json:"project,omitzero"`
	At      time.Time `json:"at"`
	Link    string    `json:"link"` // to its pipeline, or its job: mrkdwn
	Text    string    `json:"text"` // one line of mrkdwn

	// For a message at the end of a pipeline.
	Job     string      `json:"job,omitzero"` // its name
	Mention []string    `json:"mention,omitempty"`
	Quiet   event.Quiet `json:"quiet,omitzero"`
	AtOnce  bool        `json:"at_once,omitzero"` // the notice is sent by itself
	After   endAfter    `json:"after,omitzero"`
}

const (
	maxItemText    = 160 // of a notice in a digest, in bytes
	maxItemLabel   = 80  // of the name of its pipeline
	maxItemLinks   = 3   // of notices with one text
	maxDigestLines = 10
	maxDigestNames = 5    // rules and classes
	maxDigestBytes = 2800 // Slack takes 3,000 characters in a block
)

// itemOf returns what a digest says of a notice.
func itemOf(rec NoticeRecord) item {
	o := rec.Outcome
	o.NewJobID = 0 // so that the same text is of many
	text, _, _ := strings.Cut(strings.TrimSpace(rec.Notice.Text), "\n")
	if text == "" {
		plain, err := words.Outcome(o, words.Plain)
		if err != nil {
			plain = o.Result
		}
		text = mrkdwn.Escape(plain)
	}
	label, address := o.Project.Path, o.Job.URL
	switch {
	case o.Pipeline.ID != 0:
		label, address = fmt.Sprintf("%s #%d", label, o.Pipeline.ID), cmp.Or(o.Pipeline.URL, address)
	case o.Job.Name != "":
		label += " " + o.Job.Name
	}
	names := rec.Notice.Rules
	if len(names) == 0 {
		names = []string{o.Rule}
	}
	return item{
		Result: o.Result, Rules: names, Class: o.Job.FailureClass, Project: o.Project.Path, At: o.At, Link: mrkdwn.Linked(address, mrkdwn.Brief(label, maxItemLabel)), Text: mrkdwn.Cut(text, maxItemText, maxItemText),
		Job: o.Job.Name, Mention: rec.Notice.Mention, Quiet: rec.Notice.Quiet, After: endAfterOf(rec.Outcome),
	}
}

// digestText returns the text of a digest: how many outcomes of which kinds, rules and
// failure classes, the first texts with links, each once with its number, and where to see
// all.
func digestText(items []item) string {
	results, rules, classes := map[string]int{}, map[string]int{}, map[string]int{}
	byText, texts := map[string][]item{}, []string{}
	since := items[0].At
	for _, i := range items {
		results[i.Result]++
		rules[mrkdwn.Code(mrkdwn.Cut(i.Rules[0], maxItemLabel, maxItemLabel))]++
		if i.Class != "" {
			classes[i.Class]++
		}
		if byText[i.Text] == nil {
			texts = append(texts, i.Text)
		}
		byText[i.Text] = append(byText[i.Text], i)
		if i.At.Before(since) {
			since = i.At
		}
	}
	head := fmt.Sprintf(":inbox_tray: *%s* came at once: %s\nby %s %s", english.Plural(len(items), "notification", ""), tallied(results),
		english.PluralWord(len(rules), "rule", ""), tallied(rules))
	if len(classes) > 0 {
		head += " · by failure class " + tallied(classes)
	}
	end := fmt.Sprintf("\n`pipesteward decisions --since %s` lists all", since.UTC().Truncate(time.Second).Format(time.RFC3339))
	text, shown := head, 0
	for n, t := range texts {
		line := "\n• " + t + " — " + links(byText[t])
		if n == maxDigestLines || len(text)+len(line)+len(end) > maxDigestBytes {
			break
		}
		text, shown = text+line, shown+len(byText[t])
	}
	if more := len(items) - shown; more > 0 {
		text += fmt.Sprintf("\n+%d more", more)
	}
	return text + end
}

// links returns how many notices have a text, and the first links to their pipelines.
func links(items []item) string {
	var all []string
	for _, i := range items {
		if !slices.Contains(all, i.Link) {
			all = append(all, i.Link)
		}
	}
	text := strings.Join(all[:min(len(all), maxItemLinks)], ", ")
	if len(all) > maxItemLinks {
		text += ", …"
	}
	if len(items) > 1 {
		text = fmt.Sprintf("×%d: %s", len(items), text)
	}
	return text
}

// tallied returns words with their numbers, the most frequent first.
func tallied(counts map[string]int) string {
	all := words.MostFrequent(counts)
	var parts []string
	for _, word := range all[:min(len(all), maxDigestNames)] {
		parts = append(parts, fmt.Sprintf("%s %d", word, counts[word]))
	}
	if more := len(all) - maxDigestNames; more > 0 {
		parts = append(parts, fmt.Sprintf("%d others", more))
	}
	return strings.Join(parts, ", ")
}
