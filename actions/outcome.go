package actions

import (
	"context"
	"errors"
	"fmt"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
)

// noted is the body of an outcome's record.
type noted struct {
	event.Outcome
	Journalled bool `json:"journalled,omitzero"` // only its notification is left
}

// outcome journals an outcome and tells it in the channels that its rule
// names. A channel that can't be told for now is told later; those that were
// told are not told again.
func (r *Runner) outcome(ctx context.Context, l *worker.Lease, n noted) error {
	o := n.Outcome
	if o.Result != event.ResultDeferred && !n.Journalled { // deferred ones are there already
		if err := r.Journal.Amend(ctx, o.ID, l.Body()); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if r.Teller != nil {
		n.Journalled = true
		if err := l.Keep(n); err != nil {
			return err
		}
		if !l.EnterSlowLane() {
			return &unnotifiedError{"all notifiers are busy", notifyAgain}
		}
	}
	if err := r.tell(ctx, o); err != nil {
		return err
	}
	if err := l.Done(ctx); err != nil {
		return err
	}
	if o.Sweep.ID == "" { // whose jobs were counted one by one
		r.Metrics.decisions.WithLabelValues(o.Rule, o.Action.Verb, o.Result).Inc()
		r.Metrics.freed.Add(float64(o.Freed))
	}
	r.Log.Info("outcome", append(about(o.Event), "rule", o.Rule, "action", o.Action.Verb, "outcome", o.Result, "reason", o.Reason, "new_job", o.NewJobID, "took", o.At.Sub(o.Meta.ReceivedAt).String())...)
	return nil
}

// tell returns an error while there is a channel that can be told later.
func (r *Runner) tell(ctx context.Context, o event.Outcome) error {
	if r.Teller == nil {
		return nil
	}
	notices, errs := r.Rules().Notices(ctx, o, r.facts(), r.Teller.Escape)
	for _, err := range errs {
		r.Metrics.ruleErrors.WithLabelValues(err.Rule).Inc()
		r.Log.Error("a text could not be rendered; the default text is told", append(about(o.Event), "rule", err.Rule, "error", err.Err)...)
	}
	var later error
	for _, n := range notices {
		err := r.notify(ctx, func() error { return r.Teller.Tell(ctx, o, n.Channel, n.Text) })
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case event.Transient(err) && r.Now().Sub(o.At) < patience:
			later = errors.Join(later, err)
		default:
			r.Log.Error("a channel could not be told", append(about(o.Event), "rule", o.Rule, "channel", n.Channel, "error", err)...)
		}
	}
	return later
}
