package notify

import (
	"context"
	"encoding/json"
	"time"

	"github.com/pipesteward/pipesteward/actions/notify/digest"
	"github.com/pipesteward/pipesteward/actions/notify/quiet"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Notices that would begin new messages are gathered while too many come. Each stays in
// the queue until the digest that it is gathered in has been sent:
//
//	notice ─► "gathered" saved ─► digest queued ─► in the digest's tally ─► waits ─► journal
//	                                   │                                      ▲
//	                                   ▼ at the end of the interval           │
//	                               announcement with all in the tally ─► sent: a value for each
//
// A notice whose digest ended without it, because it came too late or the process died in
// between, is gathered anew. That it is gathered is saved before the digest can have it,
// and one that was tried by itself is never gathered: so none is sent twice.

const (
	// gatheredFor is how long it is stored what a digest has, and what came of it: longer
	// than notices and announcements are tried.
	gatheredFor = patience + 24*time.Hour
	// afterDigest is how long after its digest is due a notice looks what came of it.
	afterDigest = 2 * time.Second
	// maxDigestLook bounds the time after which it looks again.
	maxDigestLook = 10 * time.Minute
)

// traffic is what there is of messages to an address, when a notice is about to be sent.
type traffic struct {
	begun    bool // the address has the notice's message: it begins no new one
	missed   bool // the notice was gathered already, and its digest ended without it
	position int  // of the notice's message among the new ones, from 1
	waited   int  // messages that waited for the same end of quiet hours
}

// gathered reports whether a notice is gathered in a digest.
func gathered(g event.Group, t traffic) bool {
	return g.Burst > 0 && !t.begun && (t.missed || max(t.position, t.waited) > g.Burst)
}

// message returns the id of the message that a notice belongs to, and whether the address has
// it; can reports whether the receiver's messages are gathered at all.
func (n *Notifier) message(ctx context.Context, rec NoticeRecord) (id string, begun, can bool, err error) {
	receiver, can := n.Receivers(rec.Notice.Receiver).(Messenger)
	if !can {
		return "", false, false, nil
	}
	if n.atEnd(rec) {
		return endsKey(rec.Notice.Address, rec.Event), false, true, nil
	}
	id, begun, err = receiver.Message(ctx, rec.Outcome, rec.Notice)
	return id, begun, true, err
}

// gathers reports whether a notice is to be gathered in a digest, and counts its message.
// A direct message is for one person, and never is.
func (n *Notifier) gathers(ctx context.Context, rec NoticeRecord, missed bool) (bool, error) {
	g, to := rec.Notice.Group, rec.Notice.Address
	if g.Burst == 0 || n.Immediate || to.Channel == event.ChannelAuthor {
		return false, nil
	}
	message, begun, can, err := n.message(ctx, rec)
	if err != nil || !can || begun {
		return false, err
	}
	return n.many(ctx, to, g, message, rec.QuietUntil, missed)
}

// many reports whether a new message to an address is one of too many, so that it is gathered,
// and counts it.
func (n *Notifier) many(ctx context.Context, to event.Address, g event.Group, message string, quietUntil time.Time, missed bool) (bool, error) {
	t := traffic{missed: missed}
	if !quietUntil.IsZero() {
		waited, err := n.Guard.Tallied(ctx, keys.Quiet(to.Receiver, to.Channel, quietUntil), gatheredFor)
		if t.waited = len(waited); err != nil {
			return false, err
		}
	}
	count, err := n.Guard.Tally(ctx, keys.Burst(to.Receiver, to.Channel), store.Seen{ID: message}, time.Duration(g.Wait))
	t.position = count.Position
	return gathered(g, t), err
}

// waitQuiet has a notice wait for the end of quiet hours. How many messages do is counted.
func (n *Notifier) waitQuiet(ctx context.Context, l *worker.Lease, rec NoticeRecord, until time.Time) error {
	message, begun, can, err := n.message(ctx, rec)
	if err != nil {
		return err
	}
	if can && !begun {
		if err := n.countQuiet(ctx, rec.Notice.Address, until, message); err != nil {
			return err
		}
	}
	rec.QuietUntil = until.UTC()
	return n.waitFor(ctx, l, rec, event.WaitQuiet, "the end of the quiet hours", until.Sub(n.Now()))
}

// quietUntil returns when the quiet hours end that a notice has now; zero: it has none.
func (n *Notifier) quietUntil(q event.Quiet) time.Time {
	if n.Immediate {
		return time.Time{}
	}
	return quiet.Until(q, n.Now())
}

// countQuiet counts a message to an address that waits for the end of quiet hours.
func (n *Notifier) countQuiet(ctx context.Context, to event.Address, until time.Time, message string) error {
	_, err := n.Guard.Tally(ctx, keys.Quiet(to.Receiver, to.Channel, until), store.Seen{ID: message}, gatheredFor)
	return err
}

// gather adds a notice to the digest of its address that gathers now.
func (n *Notifier) gather(ctx context.Context, l *worker.Lease, rec NoticeRecord) error {
	interval, to, now := time.Duration(rec.Notice.Group.Interval), rec.Notice.Address, n.Now()
	end := now.Truncate(interval).Add(interval)
	d := DigestRecord{Address: to, Language: rec.Notice.Language, Interval: rec.Notice.Group.Interval, Began: now.UTC()}
	return n.gatherIn(ctx, l, rec, keys.Digest(to.Receiver, to.Channel, end), d, end.Sub(now), "the next digest")
}

// gatherIn adds a notice to a digest, which is due after a time if it begins with the notice.
func (n *Notifier) gatherIn(ctx context.Context, l *worker.Lease, rec NoticeRecord, id string, d DigestRecord, after time.Duration, reason string) error {
	to := rec.Notice.Address
	if rec.Gathered == "" {
		n.Metrics.Notification(to.Receiver, "gathered")
	}
	rec.Gathered = id
	if err := l.Keep(rec); err != nil {
		return err
	}
	if err := l.Extend(ctx); err != nil {
		return err
	}
	queued, err := n.Queue.Queued(ctx, id)
	if err != nil {
		return err
	}
	if !queued {
		body, err := json.Marshal(d)
		if err != nil {
			return err
		}
		if _, err := n.Queue.Put(ctx, store.Record{ID: id, Kind: event.RecordDigest, After: after, Body: body}); err != nil {
			return err
		}
	}
	if err := n.addItem(ctx, id, l.ID(), itemOf(rec)); err != nil {
		return err
	}
	return n.waitFor(ctx, l, rec, event.WaitDigest, reason, after+afterDigest)
}

// addItem adds what a digest says of the notice with that record.
func (n *Notifier) addItem(ctx context.Context, id, notice string, i digest.Item) error {
	note, err := json.Marshal(i)
	if err != nil {
		return err
	}
	_, err = n.Guard.Tally(ctx, keys.Gathered(id), store.Seen{ID: notice, Note: string(note)}, gatheredFor)
	return err
}

// digested returns what came of a gathered notice; without that, whether it waits for its
// digest still. Else the digest ended without it.
func (n *Notifier) digested(ctx context.Context, l *worker.Lease, rec NoticeRecord) (ended *event.Notification, waits bool, err error) {
	// In this order: a digest that has ended has left the results before.
	queued, err := n.Queue.Queued(ctx, rec.Gathered, announcementRecord(rec.Gathered, rec.Notice.Address))
	if err != nil {
		return nil, false, err
	}
	value, err := n.Guard.Get(ctx, keys.Digested(l.ID()))
	switch {
	case err != nil:
		return nil, false, err
	case value != nil:
		ended = &event.Notification{}
		return ended, false, json.Unmarshal(value, ended)
	case queued:
		return nil, true, n.waitFor(ctx, l, rec, event.WaitDigest, "the message that it is gathered in, which has not been sent yet", digestLook(rec.Notice.Group.Interval, n.Now().Sub(rec.At)))
	}
	return nil, false, nil
}

// digestLook returns after which time to look again at a digest that is late, for
// something that old: many may wait for long.
func digestLook(interval event.Duration, age time.Duration) time.Duration {
	return min(max(time.Duration(interval), age/10), max(time.Duration(interval), maxDigestLook))
}
