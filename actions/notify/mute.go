package notify

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// A mute keeps from being sent what would be sent while it is in force. What waits for the end
// of quiet hours, for a digest or for the end of its pipeline is muted if a mute is in force
// when the wait is over.
//
// An outcome that is muted is shown in the message of its pipeline, if there is one that can be
// edited, so that the message is true; it is no reply there, and begins no message.
//
// What is muted is not sent later, but for the turns of states, of storms and of outages of
// GitLab, so that nobody keeps a wrong picture of one:
//
//	began     ─► muted: it is stored that nobody has seen it, and its end is muted, too
//	resolved  ─► waits for the end of the mute, if its beginning was seen
//	began     ─► waits behind such an end, and is muted if it is over when its turn comes

const (
	// mutedLook is after which time a notice that waits for the end of a mute looks again: a
	// person may end it before its time.
	mutedLook = time.Minute
	// unseenFor is how long it is stored that nobody has seen the beginning of a state.
	unseenFor = 365 * 24 * time.Hour
)

// muted returns what came of a notice if a mute is in force; without that, whether it waits for
// the end of the mute.
func (n *Notifier) muted(ctx context.Context, l *worker.Lease, rec NoticeRecord) (ended *event.Notification, waits bool, err error) {
	mutes, err := n.Mutes.List(ctx)
	if err != nil {
		return nil, false, err
	}
	by := rec.mutedBy(mutes)
	if by == nil {
		return nil, false, nil
	}
	if rec.Notice.Turn != "" && !n.Immediate {
		if ended, err := n.unseen(ctx, rec); err != nil || ended != nil {
			return ended, false, err
		}
		behind := false
		if rec.After != "" {
			if behind, err = n.Queue.Queued(ctx, rec.After); err != nil {
				return nil, false, err
			}
		}
		if behind || rec.Notice.Turn == event.StateResolved {
			rec.Held = by.String()
			return nil, true, n.waitFor(ctx, l, rec, event.WaitMute, rec.Held, n.muteLook(*by))
		}
	}
	return n.endedMuted(rec, by.String()), false, n.addLine(ctx, l, rec)
}

// muteLook is after which time to look again whether a mute has ended.
func (n *Notifier) muteLook(m event.Mute) time.Duration {
	if m.Until.IsZero() {
		return mutedLook
	}
	return max(time.Second, min(mutedLook, m.Until.Sub(n.Now())))
}

// endedMuted returns the result of a notice that the mute of that text keeps from being sent.
func (n *Notifier) endedMuted(rec NoticeRecord, mute string) *event.Notification {
	n.Metrics.Notification(rec.Notice.Receiver, event.NotificationMuted)
	ended := n.endedAs(rec, event.NotificationMuted, "")
	ended.Muted = mute
	return ended
}

// showMuted has the message that a muted notice belongs to show its outcome, if the address has
// that message and the receiver can edit it: nobody is notified of that. Direct messages are
// left as they are. It returns an error while a later call can succeed; the notice stays muted.
func (n *Notifier) showMuted(ctx context.Context, l *worker.Lease, rec NoticeRecord) error {
	receiver, can := n.Receivers(rec.Notice.Receiver).(Editor)
	if !can || rec.Announcement != "" || rec.Notice.Channel == event.ChannelAuthor {
		return nil
	}
	if _, begun, err := receiver.Message(ctx, rec.Outcome, rec.Notice); err != nil || !begun {
		return err
	}
	if !l.EnterSlowLane() {
		return errBusy
	}
	err := n.call(ctx, rec.Notice.Address, func() error { return receiver.Edit(ctx, rec.Outcome, rec.Notice) })
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, blocked := errors.AsType[*blockedError](err); !blocked && event.Transient(err) && n.Now().Sub(rec.At) < patience {
		return err
	}
	n.Log.InfoContext(ctx, "a message does not show a muted outcome", append(event.LogAttrs(rec.Event), "rule", rec.Rule, "receiver", rec.Notice.Receiver, "channel", rec.Notice.Channel, "error", err)...)
	return nil
}

// unseen returns what came of the notice of a state's turn that a mute keeps from being sent
// though none is in force any more: the end of what began unseen, or a beginning that waited
// and is over.
func (n *Notifier) unseen(ctx context.Context, rec NoticeRecord) (*event.Notification, error) {
	switch {
	case rec.Notice.Turn == event.StateResolved:
		mute, err := n.Guard.Get(ctx, keys.Unseen(rec.Notice.Subject))
		if err != nil || mute == nil {
			return nil, err
		}
		return n.endedMuted(rec, string(mute)), nil
	case rec.Notice.Turn == event.StateBegan && rec.Held != "":
		over, err := n.over(ctx, rec)
		if err != nil || !over {
			return nil, err
		}
		return n.endedMuted(rec, rec.Held), nil
	}
	return nil, nil
}

// over reports whether the state of a notice that it began is not true any more.
func (n *Notifier) over(ctx context.Context, rec NoticeRecord) (bool, error) {
	for _, s := range rec.States {
		if s.Subject != rec.Notice.Subject {
			continue
		}
		value, err := n.Guard.Get(ctx, stateKey(rec.Outcome, s))
		if err != nil || value == nil {
			return false, err
		}
		var now stateRecord
		err = json.Unmarshal(value, &now)
		return now.Subject != s.Subject || !now.Value, err
	}
	return false, nil
}

// notSeen returns the value which says that nobody has seen the beginning of a state. One that
// was tried before it was muted may have been seen.
func (rec NoticeRecord) notSeen() []store.Value {
	if rec.Notice.Turn != event.StateBegan || rec.Ended.Result != event.NotificationMuted || rec.Alone {
		return nil
	}
	return []store.Value{{Key: keys.Unseen(rec.Notice.Subject), Value: []byte(rec.Ended.Muted), TTL: unseenFor}}
}

// mutedAnnouncement returns the mute that keeps an announcement from being sent, as text; "":
// none does. waits: it is sent once the mute has ended, as what it ends was announced.
func (n *Notifier) mutedAnnouncement(ctx context.Context, rec NoticeRecord) (muted string, waits bool, err error) {
	if rec.Notice.Turn == event.StateResolved {
		value, err := n.Guard.Get(ctx, keys.Unseen(rec.Notice.Subject))
		if err != nil || value != nil {
			return string(value), false, err
		}
	}
	mutes, err := n.Mutes.List(ctx)
	by := rec.mutedBy(mutes)
	switch {
	case err != nil || by == nil:
		return "", false, err
	case rec.Notice.Turn == event.StateResolved && !n.Immediate:
		return "", true, nil
	}
	rec.Ended = &event.Notification{Result: event.NotificationMuted, Muted: by.Scope()}
	for _, unseen := range rec.notSeen() {
		if err := n.Guard.Set(ctx, unseen.Key, unseen.Value, unseen.TTL); err != nil {
			return "", false, err
		}
	}
	return by.Scope(), false, nil
}

// mutedBy returns the mute that keeps a notice from being sent; nil: none does. For
// announcements without rules, those of rules and projects do not count: they belong to none.
func (rec NoticeRecord) mutedBy(mutes []event.Mute) *event.Mute {
	if rec.Announcement == "" || len(rec.Notice.Rules) > 0 {
		return rec.MutedBy(mutes, rec.Notice)
	}
	if i := slices.IndexFunc(mutes, func(m event.Mute) bool { return m.Covers("", "", rec.Notice.Address) }); i >= 0 {
		return &mutes[i]
	}
	return nil
}
