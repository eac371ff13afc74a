package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Record is the body of an outcome's record.
type Record struct {
	event.Outcome
	Journalled bool `json:"journalled,omitzero"` // only its notices are left
}

// OutcomeRecord returns the record that has an outcome journalled and its receivers
// notified.
func OutcomeRecord(o event.Outcome) (store.Record, error) {
	body, err := json.Marshal(o)
	return store.Record{ID: keys.Outcome(o.ID), Kind: event.RecordOutcome, Body: body}, err
}

// DoneWith ends the lease of the record of which o is the outcome, in one step that also
// makes the changes, writes o to the journal and, if a rule notifies of it, queues the
// record that has its notices rendered.
func (n *Notifier) DoneWith(ctx context.Context, l *worker.Lease, o event.Outcome, c store.Changes) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	c.Amend = append(c.Amend, store.Entry{ID: o.ID, Body: body})
	notifies := n.notifies(o)
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
		n.ended(ctx, o)
	}
	return nil
}

// Handle writes an outcome to the journal, if it is not there yet, and queues a record for
// each notice that its rules send of it.
func (n *Notifier) Handle(ctx context.Context, l *worker.Lease, rec Record) error {
	o := rec.Outcome
	tracing.Decision(ctx, o.Decision)
	tracing.Outcome(ctx, o.Result)
	if o.Result != event.ResultDeferred && !rec.Journalled { // deferred ones are there already
		if err := n.Journal.Amend(ctx, o.ID, l.Body()); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if n.notifies(o) {
		rec.Journalled = true
		if err := l.Keep(rec); err != nil {
			return err
		}
		if !l.EnterSlowLane() { // texts can read job logs
			return errBusy
		}
		if err := n.queueNotices(ctx, l, o); err != nil {
			return err
		}
	} else if err := l.Done(ctx); err != nil {
		return err
	}
	n.ended(ctx, o)
	return nil
}

// maxStateTries is how often the notices of an outcome are rendered again at once because
// another replica has changed a state meanwhile.
const maxStateTries = 3

// queueNotices ends the lease of an outcome, and queues its notices. The outcomes that set
// the same state do so in turn.
func (n *Notifier) queueNotices(ctx context.Context, l *worker.Lease, o event.Outcome) error {
	if err := n.addRequested(ctx, l, o); err != nil {
		return err
	}
	unlock := n.lockStates(o)
	if unlock == nil {
		return &worker.LaterError{Err: errors.New("another outcome sets the same state"), After: turnRetry(l)}
	}
	defer unlock()
	if err := n.countTogether(ctx, &o); err != nil {
		return err
	}
	for range maxStateTries {
		o := o
		states, err := n.readStates(ctx, &o)
		if err != nil {
			return err
		}
		notices, err := n.render(ctx, o)
		if err != nil {
			return err
		}
		c, err := n.queue(ctx, o, notices, states)
		if err != nil {
			return err
		}
		if err := states.save(&c, o, notices); err != nil {
			return err
		}
		if err := l.DoneWith(ctx, c); !errors.Is(err, store.ErrChanged) {
			return err
		}
	}
	return &worker.LaterError{Err: errors.New("other replicas set the same state"), After: claimRetry}
}

// notifies reports whether rules send notices of an outcome. Of a run of a schedule rule
// that only queues decisions they send none: each decision has its own outcome.
func (n *Notifier) notifies(o event.Outcome) bool {
	if o.Requested() {
		return len(requested(o)) > 0 || n.inEnds(o)
	}
	return (o.Sweep.ID == "" || o.Sweep.Erases() || len(o.Sweep.Problems) > 0) && n.Rules().Notifies(o)
}

// requested returns the notice of an outcome that a person requested, which goes where they
// did, whatever rules say. One that is skipped is for that person alone: it changes nothing
// that others know of the job.
func requested(o event.Outcome) []event.Notice {
	if o.By.Address == (event.Address{}) || o.Result == event.ResultSkipped {
		return nil
	}
	return []event.Notice{{Address: o.By.Address, Language: o.By.Language}}
}

// render returns the notices of an outcome. The error is that of ctx, or a mistake in the
// words.
func (n *Notifier) render(ctx context.Context, o event.Outcome) ([]event.Notice, error) {
	if o.Requested() {
		all := requested(o)
		for i, notice := range all {
			all[i] = n.fromTemplates(ctx, o, notice)
		}
		return all, ctx.Err()
	}
	all, errs := n.Rules().Notices(ctx, o, n.Facts(), n.escapeFor)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	n.unrendered(ctx, o, errs)
	for i, notice := range all {
		if notice.Text != "" || notice.Turn == "" {
			continue
		}
		text, err := n.turnText(o, notice)
		if err != nil {
			return nil, err
		}
		all[i].Text = text
	}
	return all, nil
}

// fromTemplates returns a notice that no rule sends with the texts of the rule files'
// templates. It is incomplete if ctx has ended.
func (n *Notifier) fromTemplates(ctx context.Context, o event.Outcome, notice event.Notice) event.Notice {
	notice, errs := n.Rules().FromTemplates(ctx, o, notice, n.Facts(), n.escapeFor(notice.Address))
	if ctx.Err() == nil {
		n.unrendered(ctx, o, errs)
	}
	return notice
}

// unrendered counts and logs the texts of an outcome's notices that could not be rendered.
func (n *Notifier) unrendered(ctx context.Context, o event.Outcome, errs []*rules.RuleError) {
	for _, err := range errs {
		n.Metrics.RuleError(err.Rule)
		n.Log.ErrorContext(ctx, "a text could not be rendered; the default text is sent", append(event.LogAttrs(o.Event), "rule", err.Rule, "part", err.Part, "error", err.Err)...)
	}
}

// queue returns the changes that queue the notices of an outcome, and add them and its
// states to the outcome in the journal; not to a deferred one, in whose place there may be
// another one already. Those whose receiver does not exist have failed.
func (n *Notifier) queue(ctx context.Context, o event.Outcome, notices []event.Notice, of states) (c store.Changes, err error) {
	if len(notices) == 0 && len(o.States) == 0 {
		return c, nil
	}
	var notified []event.Notification
	for _, notice := range notices {
		if n.Receivers(notice.Receiver) == nil {
			notified = append(notified, n.failed(ctx, o, notice, noReceiver(notice.Receiver)))
			continue
		}
		notified = append(notified, event.Notification{Address: notice.Address, Subject: notice.Subject, At: n.Now().UTC(), Result: event.NotificationWaiting})
		body, err := json.Marshal(NoticeRecord{Outcome: o, Notice: notice, After: of.before(notice)})
		if err != nil {
			return c, err
		}
		c.Next = append(c.Next, store.Record{ID: noticeID(o, notice), Kind: event.RecordNotice, Body: body})
	}
	if o.Result == event.ResultDeferred {
		return c, nil
	}
	o.Notifications = notified
	body, err := json.Marshal(o)
	c.Amend = []store.Entry{{ID: o.ID, Body: body}}
	return c, err
}

func noticeID(o event.Outcome, notice event.Notice) string {
	return keys.Notice(o.ID, notice.Receiver, notice.Channel, notice.Subject)
}

// OutcomeMessage is the message of the log line of an outcome.
const OutcomeMessage = "outcome"

// ended counts and logs an outcome of which nothing is left to do but to send its notices;
// the log warns of one that a person may have to look at.
func (n *Notifier) ended(ctx context.Context, o event.Outcome) {
	n.Metrics.Outcome(o)
	level := slog.LevelInfo
	if o.Result == event.ResultFailed || o.Result == event.ResultGaveUp {
		level = slog.LevelWarn
	}
	if o.Requested() {
		n.Log.Log(ctx, level, OutcomeMessage, append(event.LogAttrs(o.Event), "by", o.By.String(), "action", o.Action.Verb, "outcome", o.Result, "reason", o.Reason, "new_job", o.NewJobID, "took", o.At.Sub(o.DecidedAt).String())...)
		return
	}
	n.Log.Log(ctx, level, OutcomeMessage, append(event.LogAttrs(o.Event), "rule", o.Rule, "action", o.Action.Verb, "outcome", o.Result, "reason", o.Reason, "new_job", o.NewJobID, "took", o.At.Sub(o.Meta.ReceivedAt).String())...)
}
