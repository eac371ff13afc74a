package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Record is the body of an outcome's record.
type Record struct {
	event.Outcome
	Journalled bool `json:"journalled,omitzero"` // only its notification is left
}

// OutcomeRecord returns the record that has an outcome journalled and its receivers
// notified.
func OutcomeRecord(o event.Outcome) (store.Record, error) {
	body, err := json.Marshal(o)
	return store.Record{ID: keys.Outcome(o.ID), Kind: event.RecordOutcome, Body: body}, err
}

// DoneWith ends the lease of the record of which o is the outcome, in one step that also
// makes the changes, writes o to the journal and, if its rule names a channel for it, queues
// the notification.
func (n *Notifier) DoneWith(ctx context.Context, l *worker.Lease, o event.Outcome, c store.Changes) error {
	if n.Receiver == nil {
		o.Notifications = n.notSent(o)
	}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	c.Amend = append(c.Amend, store.Entry{ID: o.ID, Body: body})
	notifies := n.Receiver != nil && worthNotice(o) && n.Rules().Notifies(o)
	if notifies {
		body, err := json.Marshal(Record{Outcome: o, Journalled: true})
		if err != nil {
			return err
		}
		c.Next = append(c.Next, store.Record{ID: keys.Outcome(o.ID), Kind: event.RecordOutcome, Body: body})
	}
	if err := l.DoneWith(ctx, c); err != nil {
		return err
	}
	if !notifies {
		n.ended(o)
	}
	return nil
}

// Handle writes an outcome to the journal, if it is not there yet, and notifies the
// channels that its rule names. The notification of a channel that fails for now is tried again later;
// those that succeeded change nothing then.
func (n *Notifier) Handle(ctx context.Context, l *worker.Lease, rec Record) error {
	o := rec.Outcome
	if o.Result != event.ResultDeferred && !rec.Journalled { // deferred ones are there already
		if err := n.Journal.Amend(ctx, o.ID, l.Body()); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if n.Receiver != nil {
		rec.Journalled = true
		if err := l.Keep(rec); err != nil {
			return err
		}
		if !l.EnterSlowLane() {
			return &worker.LaterError{Err: errors.New("all notifiers are busy"), After: busyRetry}
		}
	}
	notified, err := n.notify(ctx, o)
	if err != nil {
		return err
	}
	changes, err := n.record(o, notified)
	if err != nil {
		return err
	}
	if err := l.DoneWith(ctx, changes); err != nil {
		return err
	}
	o.Notifications = notified
	n.ended(o)
	return nil
}

// noReceiver is the error of a notification when there is no receiver.
const noReceiver = "there is no Slack token, see --slack-token"

// notSent returns, when there is no receiver, the notifications of an outcome that its
// rules want.
func (n *Notifier) notSent(o event.Outcome) []event.Notification {
	if !worthNotice(o) {
		return nil
	}
	var all []event.Notification
	for _, channel := range n.Rules().Channels(o) {
		n.Metrics.Notification(slack, "no_token")
		all = append(all, event.Notification{At: n.Now().UTC(), Receiver: slack, Channel: channel, Error: noReceiver})
	}
	return all
}

// worthNotice reports whether an outcome is not told by others: of a run of a
// schedule rule that only queues decisions, each decision has its own outcome.
func worthNotice(o event.Outcome) bool {
	return o.Sweep.ID == "" || o.Sweep.Erases() || len(o.Sweep.Problems) > 0
}

// record returns the change that adds the notifications to the outcome in the journal.
// There is none for a deferred outcome, in whose place there may be another one already.
func (n *Notifier) record(o event.Outcome, notified []event.Notification) (c store.Changes, err error) {
	if len(notified) == 0 || o.Result == event.ResultDeferred {
		return c, nil
	}
	o.Notifications = notified
	body, err := json.Marshal(o)
	c.Amend = []store.Entry{{ID: o.ID, Body: body}}
	return c, err
}

// OutcomeMessage is the message of the log line of an outcome.
const OutcomeMessage = "outcome"

// ended counts and logs an outcome of which nothing is left to do; the log warns of one
// that a person may have to look at.
func (n *Notifier) ended(o event.Outcome) {
	n.Metrics.Outcome(o)
	level := slog.LevelInfo
	if o.Result == event.ResultFailed || o.Result == event.ResultGaveUp {
		level = slog.LevelWarn
	}
	var missed []string
	for _, notification := range o.NotNotified() {
		level = slog.LevelWarn
		missed = append(missed, notification.Channel)
	}
	n.Log.Log(context.Background(), level, OutcomeMessage, append(event.LogAttrs(o.Event), "rule", o.Rule, "action", o.Action.Verb, "outcome", o.Result, "reason", o.Reason, "new_job", o.NewJobID, "took", o.At.Sub(o.Meta.ReceivedAt).String(),
		"not_notified", strings.Join(missed, ", "))...)
}

// notify notifies the channels that the outcome's rule names, and returns what came of
// that. It returns an error while the notification of a channel can succeed later.
func (n *Notifier) notify(ctx context.Context, o event.Outcome) (notified []event.Notification, err error) {
	if n.Receiver == nil {
		return n.notSent(o), nil
	}
	if !worthNotice(o) {
		return nil, nil
	}
	notices, errs := n.Rules().Notices(ctx, o, n.Facts(), n.Receiver.Escape)
	for _, err := range errs {
		n.Metrics.RuleError(err.Rule)
		n.Log.Error("a text could not be rendered; the default text is sent", append(event.LogAttrs(o.Event), "rule", err.Rule, "error", err.Err)...)
	}
	var later error
	for _, notice := range notices {
		err := n.call(ctx, func() error { return n.Receiver.Notify(ctx, o, notice.Channel, notice.Text) })
		result := event.Notification{At: n.Now().UTC(), Receiver: slack, Channel: notice.Channel}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case event.Transient(err) && n.Now().Sub(o.At) < patience:
			later = errors.Join(later, err)
		default:
			n.Log.Error("a channel could not be notified", append(event.LogAttrs(o.Event), "rule", o.Rule, "channel", notice.Channel, "error", err)...)
			result.Error = err.Error()
		}
		notified = append(notified, result)
	}
	return notified, later
}
