package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// NoticeRecord is the body of the record of one notice, or of an announcement that waits
// until a person has mended something.
type NoticeRecord struct {
	event.Outcome
	Notice event.Notice `json:"notice"`
	// After is the record of the notice that is sent before, if it still can be: that of the
	// turn of the state before the one that this notice is about.
	After string `json:"after,omitzero"`
	// Announcement is the key of an announcement; its text is that of the notice, and its
	// outcome has only the time At, and the project if it is about one, or is that of a pipeline at the end of which the
	// announcement is sent. "": it is the notice of an outcome.
	Announcement string `json:"announcement,omitzero"`
	// Of are the ids of the records of the notices in a digest, which is an announcement.
	Of []string `json:"of,omitempty"`
	// Question says that the notice is the question whether the decision is to be carried
	// out, or that this says what became of it; nil: it is neither.
	Question *Question `json:"question,omitempty"`
	// QuietUntil is the end of the quiet hours that the notice waited for; zero: it did not.
	QuietUntil time.Time `json:"quiet_until,omitzero"`
	// Gathered is the id of the record of the digest that the notice is gathered in.
	Gathered string `json:"gathered,omitzero"`
	// Alone says that the notice was tried by itself: it stays so, as it may have been sent.
	Alone bool `json:"alone,omitzero"`
	// Held is the mute that kept the notice waiting, as text; see mute.go.
	Held string `json:"held,omitzero"`
	// Waits is for what the notice waits deliberately.
	Waits event.Wait `json:"waits,omitzero"`
	// Blocked is how the notice waits until a person has mended something; nil: it never did.
	Blocked *Blocked `json:"blocked,omitempty"`
	// Ended is what came of the notice, if only the journal lacks it.
	Ended *event.Notification `json:"ended,omitempty"`
}

const (
	// claimFor is the time to live of the claim on an outcome's entry in the journal:
	// longer than the steps under it take.
	claimFor = 30 * time.Second
	// claimRetry is how long a notice waits while another one has that claim.
	claimRetry = time.Second
	// maxTurnRetry bounds how long an outcome or a notice waits between two looks whether the
	// one before it, of the same state, has ended.
	maxTurnRetry = 30 * time.Second
)

// HandleNotice sends a notice and adds to the journal what came of that. One in quiet hours
// waits for their end, one that a person has muted is not sent, and one of many is gathered
// in a digest. It returns an error while a later call can succeed.
func (n *Notifier) HandleNotice(ctx context.Context, l *worker.Lease, rec NoticeRecord) error {
	tracing.Decision(ctx, rec.Decision)
	rec.Waits = event.Wait{}
	if rec.Ended == nil {
		ended, err := n.attempt(ctx, l, &rec)
		if err != nil || ended == nil {
			return err
		}
		rec.Ended = ended
		if err := l.Keep(rec); err != nil {
			return err
		}
	}
	if rec.Ended.Result == event.NotificationMuted {
		if err := n.showMuted(ctx, l, rec); err != nil {
			return err
		}
	}
	return n.unblock(ctx, l.ID(), rec, func(c store.Changes) error {
		c.Values = append(c.Values, rec.notSeen()...)
		if !rec.journalled() {
			values, err := rec.values()
			if err != nil {
				return err
			}
			c.Values = append(c.Values, values...)
			return l.DoneWith(ctx, c)
		}
		return n.inJournal(ctx, l.ID(), rec, *rec.Ended, func(amend []store.Entry) error {
			c.Amend = amend
			return l.DoneWith(ctx, c)
		})
	})
}

// attempt takes the steps of a notice, and returns what came of it. Without that and
// without an error, the notice waits deliberately.
func (n *Notifier) attempt(ctx context.Context, l *worker.Lease, rec *NoticeRecord) (*event.Notification, error) {
	if rec.Question != nil {
		return n.attemptQuestion(ctx, l, rec)
	}
	missed := false // by the digest that it waited for
	if rec.Gathered != "" {
		ended, waits, err := n.digested(ctx, l, *rec)
		if err != nil || ended != nil || waits {
			return ended, err
		}
		missed = true
	}
	alone := rec.Alone || rec.Announcement != ""
	if !alone && !missed && n.atEnd(*rec) {
		return nil, n.gatherAtEnd(ctx, l, *rec)
	}
	if until := n.quietUntil(rec.Notice.Quiet); !until.IsZero() {
		return nil, n.waitQuiet(ctx, l, *rec, until)
	}
	if ended, waits, err := n.muted(ctx, l, *rec); err != nil || ended != nil || waits {
		return ended, err
	}
	if err := n.inTurn(ctx, l, *rec); err != nil {
		return nil, err
	}
	if ended, err := n.unseen(ctx, *rec); err != nil || ended != nil {
		return ended, err
	}
	if !alone {
		if err := n.addLine(ctx, l, *rec); err != nil {
			return nil, err
		}
		gathers, err := n.gathers(ctx, *rec, missed)
		if err != nil {
			return nil, err
		}
		if gathers {
			return nil, n.gather(ctx, l, *rec)
		}
		rec.Alone = true
		if err := l.Keep(*rec); err != nil {
			return nil, err
		}
	}
	if !l.EnterSlowLane() {
		return nil, errBusy
	}
	return n.sendOrWait(ctx, l, rec)
}

// sendOrWait sends a notice. One that a person must help waits, which is an error, or is
// dropped.
func (n *Notifier) sendOrWait(ctx context.Context, l *worker.Lease, rec *NoticeRecord) (*event.Notification, error) {
	ended, err := n.send(ctx, *rec)
	if blocked, is := errors.AsType[*blockedError](err); is {
		ended, err = n.block(ctx, l, rec, blocked)
	}
	return ended, err
}

// values returns what the store keeps of a notice that has ended and is in no entry of the
// journal.
func (rec NoticeRecord) values() ([]store.Value, error) {
	if rec.Question != nil {
		return rec.ofQuestion()
	}
	return rec.ofDigest()
}

// waitFor has a notice wait deliberately for a time.
func (n *Notifier) waitFor(ctx context.Context, l *worker.Lease, rec NoticeRecord, what, reason string, after time.Duration) error {
	rec.Waits = event.Wait{For: what, Reason: reason}
	if err := l.Keep(rec); err != nil {
		return err
	}
	return l.Defer(ctx, after)
}

// inTurn returns an error while the notice before this one is in the queue.
func (n *Notifier) inTurn(ctx context.Context, l *worker.Lease, rec NoticeRecord) error {
	if rec.After == "" {
		return nil
	}
	queued, err := n.Queue.Queued(ctx, rec.After)
	if err == nil && queued {
		err = &worker.LaterError{Err: errors.New("the notice of the state's turn before this one has not been sent"), After: turnRetry(l)}
	}
	return err
}

// turnRetry is how long a record waits until it looks again whether it is its turn.
func turnRetry(l *worker.Lease) time.Duration {
	return min(worker.Backoff(nil, l.Tries())/8, maxTurnRetry)
}

// journalled reports whether the notice is in the journal. In the place of a deferred
// outcome there may be another one already.
func (rec NoticeRecord) journalled() bool {
	return rec.Announcement == "" && rec.Question == nil && rec.Result != event.ResultDeferred
}

// send calls the receiver of a notice, and returns what came of it. The error is that of
// ctx, one after which a later call can succeed, or a *blockedError.
func (n *Notifier) send(ctx context.Context, rec NoticeRecord) (*event.Notification, error) {
	receiver := n.Receivers(rec.Notice.Receiver)
	err := noReceiver(rec.Notice.Receiver)
	if receiver != nil {
		err = n.call(ctx, rec.Notice.Address, n.counted(ctx, rec.Notice.Receiver, func() (err error) {
			ctx, end := tracing.Notification(ctx, rec.Notice.Receiver)
			defer func() { end(err) }()
			switch {
			case rec.Question != nil:
				return rec.ask(ctx, receiver)
			case rec.Announcement != "" && rec.Pipeline.ID == 0:
				return receiver.Announce(ctx, rec.Announcement, rec.Notice.Channel, rec.Notice.Text)
			}
			return receiver.Notify(ctx, rec.Outcome, rec.Notice)
		}))
	}
	_, blocked := errors.AsType[*blockedError](err)
	switch {
	case err == nil:
		return n.endedAs(rec, event.NotificationSent, ""), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case blocked, event.Transient(err) && n.Now().Sub(rec.At) < patience:
		return nil, err
	}
	ended := n.failed(ctx, rec.Outcome, rec.Notice, err)
	return &ended, nil
}

// noReceiverError is the error of a notice whose receiver does not exist.
type noReceiverError struct{ reason string }

func (e *noReceiverError) Error() string { return e.reason }

func noReceiver(name string) error {
	if name == event.ReceiverSlack {
		return &noReceiverError{"there is no Slack token, see --slack-token"}
	}
	return &noReceiverError{"the rule files have no such receiver any more"}
}

// failed returns the result of a notice that is given up because of err, and logs it. The
// log warns where the receiver does not exist, which may be meant; an error that declares by
// a method Expected that nothing is wrong is no failure there.
func (n *Notifier) failed(ctx context.Context, o event.Outcome, notice event.Notice, err error) event.Notification {
	level := slog.LevelError
	var expected interface{ Expected() bool }
	if errors.As(err, &expected) && expected.Expected() {
		level = slog.LevelInfo
	}
	if errors.As(err, new(*noReceiverError)) {
		level = slog.LevelWarn
		n.Metrics.Notification(notice.Receiver, "no_receiver")
	}
	n.Log.Log(ctx, level, "an address could not be notified", append(event.LogAttrs(o.Event), "rule", o.Rule, "receiver", notice.Receiver, "channel", notice.Channel, "error", err)...)
	return event.Notification{Address: notice.Address, Subject: notice.Subject, At: n.Now().UTC(), Result: event.NotificationFailed, Error: err.Error()}
}

func (n *Notifier) endedAs(rec NoticeRecord, result, reason string) *event.Notification {
	return &event.Notification{Address: rec.Notice.Address, Subject: rec.Notice.Subject, At: n.Now().UTC(), Result: result, Error: reason}
}

// inJournal calls write with the entry of the outcome in which the notification has the
// given state; with none if the entry has expired. The notices of an outcome do so in
// turn.
func (n *Notifier) inJournal(ctx context.Context, owner string, rec NoticeRecord, state event.Notification, write func([]store.Entry) error) error {
	change := func(o *event.Outcome) {
		for i := range o.Notifications {
			if n := o.Notifications[i]; n.Address == state.Address && n.Subject == state.Subject {
				o.Notifications[i] = state
			}
		}
	}
	return n.Change(ctx, owner, rec.ID, change, write)
}

// Change calls write with the entry of an outcome in the journal, changed; with none if the
// entry has expired. Changes to the same entry are made in turn; owner identifies one.
func (n *Notifier) Change(ctx context.Context, owner, outcome string, change func(*event.Outcome), write func([]store.Entry) error) error {
	claim := keys.OutcomeClaim(outcome)
	claimed, err := n.Guard.Claim(ctx, claim, owner, claimFor)
	if err != nil {
		return err
	}
	if !claimed {
		return &worker.LaterError{Err: errors.New("another change of the outcome is being recorded"), After: claimRetry}
	}
	defer func() { _ = n.Guard.Release(context.WithoutCancel(ctx), claim, owner) }() // else it expires
	entry, err := n.Journal.Entry(ctx, outcome)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if entry == nil {
		return write(nil)
	}
	var o event.Outcome
	if err := json.Unmarshal(entry.Body, &o); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	change(&o)
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return write([]store.Entry{{ID: o.ID, Body: body}})
}
