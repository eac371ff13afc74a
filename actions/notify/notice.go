package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// NoticeRecord is the body of the record of one notice.
type NoticeRecord struct {
	event.Outcome
	Notice event.Notice `json:"notice"`
	// After is the record of the notice that is sent before, if it still can be: that of the
	// beginning of the state whose end this one is about.
	After string `json:"after,omitzero"`
	// Ended is what came of the notice, if only the journal lacks it.
	Ended *event.Notification `json:"ended,omitempty"`
}

const (
	// claimFor is the time to live of the claim on an outcome's entry in the journal:
	// longer than the steps under it take.
	claimFor = 30 * time.Second
	// claimRetry is how long a notice waits while another one has that claim.
	claimRetry = time.Second
)

// HandleNotice sends a notice, and adds to the journal what came of that. It returns an
// error while a later call can succeed.
func (n *Notifier) HandleNotice(ctx context.Context, l *worker.Lease, rec NoticeRecord) error {
	if rec.Ended == nil {
		if !l.EnterSlowLane() {
			return errBusy
		}
		if err := n.inTurn(ctx, l, rec); err != nil {
			return err
		}
		ended, err := n.send(ctx, rec)
		if err != nil {
			return err
		}
		rec.Ended = ended
		if err := l.Keep(rec); err != nil {
			return err
		}
	}
	if rec.Result == event.ResultDeferred { // in whose place there may be another one already
		return l.Done(ctx)
	}
	return n.record(ctx, l, rec)
}

// inTurn returns an error while the notice before this one is in the queue.
func (n *Notifier) inTurn(ctx context.Context, l *worker.Lease, rec NoticeRecord) error {
	if rec.After == "" {
		return nil
	}
	queued, err := n.Queue.Queued(ctx, rec.After)
	if err == nil && queued {
		err = &worker.LaterError{Err: errors.New("the notice of the state's beginning has not been sent"), After: worker.Backoff(nil, l.Tries())}
	}
	return err
}

// send calls the receiver of a notice, and returns what came of it.
func (n *Notifier) send(ctx context.Context, rec NoticeRecord) (*event.Notification, error) {
	receiver := n.Receivers(rec.Notice.Receiver)
	err := noReceiver(rec.Notice.Receiver)
	if receiver != nil {
		err = n.call(ctx, rec.Notice.Receiver, func() error { return receiver.Notify(ctx, rec.Outcome, rec.Notice) })
	}
	ended := event.Notification{Address: rec.Notice.Address, Subject: rec.Notice.Subject, At: n.Now().UTC(), Result: event.NotificationSent}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case event.Transient(err) && n.Now().Sub(rec.At) < patience:
		return nil, err
	default:
		ended = n.failed(rec.Outcome, rec.Notice, err)
	}
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
// log warns where the receiver does not exist, which may be meant.
func (n *Notifier) failed(o event.Outcome, notice event.Notice, err error) event.Notification {
	level := slog.LevelError
	if errors.As(err, new(*noReceiverError)) {
		level = slog.LevelWarn
		n.Metrics.Notification(notice.Receiver, "no_receiver")
	}
	n.Log.Log(context.Background(), level, "an address could not be notified", append(event.LogAttrs(o.Event), "rule", o.Rule, "receiver", notice.Receiver, "channel", notice.Channel, "error", err)...)
	return event.Notification{Address: notice.Address, Subject: notice.Subject, At: n.Now().UTC(), Result: event.NotificationFailed, Error: err.Error()}
}

// record ends the lease of a notice that has ended, and adds that to the outcome's entry
// in the journal. The notices of an outcome do so in turn.
func (n *Notifier) record(ctx context.Context, l *worker.Lease, rec NoticeRecord) error {
	claim := keys.OutcomeClaim(rec.ID)
	claimed, err := n.Guard.Claim(ctx, claim, l.ID(), claimFor)
	if err != nil {
		return err
	}
	if !claimed {
		return &worker.LaterError{Err: errors.New("another notice of the outcome is being recorded"), After: claimRetry}
	}
	defer func() { _ = n.Guard.Release(context.WithoutCancel(ctx), claim, l.ID()) }() // else it expires
	entry, err := n.Journal.Entry(ctx, rec.ID)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if entry == nil { // it has expired
		return l.Done(ctx)
	}
	var o event.Outcome
	if err := json.Unmarshal(entry.Body, &o); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for i := range o.Notifications {
		if n := o.Notifications[i]; n.Address == rec.Ended.Address && n.Subject == rec.Ended.Subject {
			o.Notifications[i] = *rec.Ended
		}
	}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return l.DoneWith(ctx, store.Changes{Amend: []store.Entry{{ID: o.ID, Body: body}}})
}
