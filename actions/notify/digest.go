package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/notify/digest"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// DigestRecord is the body of the record of a digest, which is due when it is to be sent.
// The tally of its id has the notices.
type DigestRecord struct {
	event.Address
	Language string         `json:"language,omitzero"` // that of its first notice
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
	items, ids, err := n.items(ctx, l.ID())
	if err != nil {
		return err
	}
	if items, ids, err = n.unmuted(ctx, rec.Address, items, ids); err != nil {
		return err
	}
	if len(items) == 0 {
		return l.Done(ctx)
	}
	text, err := digest.Text(items, mrkdwn.Style.In(rec.Language))
	if err != nil {
		return err
	}
	announcement := NoticeRecord{Announcement: l.ID(), Notice: event.Notice{Address: rec.Address, Language: rec.Language, Text: text}, Of: ids}
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

// items returns the notices in a digest and the ids of their records, oldest first.
func (n *Notifier) items(ctx context.Context, id string) (items []digest.Item, ids []string, err error) {
	seen, err := n.Guard.Tallied(ctx, keys.Gathered(id), gatheredFor)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range seen {
		var i digest.Item
		if err := json.Unmarshal([]byte(s.Note), &i); err != nil {
			return nil, nil, fmt.Errorf("a notice in a digest can't be read: %w", err)
		}
		items, ids = append(items, i), append(ids, s.ID)
	}
	return items, ids, nil
}

// unmuted returns the notices of a digest that is about to be sent without those that are
// muted now.
func (n *Notifier) unmuted(ctx context.Context, to event.Address, items []digest.Item, ids []string) (left []digest.Item, leftIDs []string, err error) {
	mutes, err := n.Mutes.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	for at, i := range items {
		o := event.Outcome{}
		o.Rule, o.Project.Path = i.Rules[0], i.Project
		if o.MutedBy(mutes, event.Notice{Address: to, Rules: i.Rules}) == nil {
			left, leftIDs = append(left, i), append(leftIDs, ids[at])
		}
	}
	return left, leftIDs, nil
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
