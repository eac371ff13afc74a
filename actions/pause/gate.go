package pause

import (
	"context"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// retryAfter is how long a call that a pause stopped waits before it is tried
// again.
const retryAfter = 10 * time.Second

// Gate stops an action at the moment of acting, whatever was in force when its
// event was evaluated: a pause, a dry run of the process or of the rule, or that
// the rule is gone. It is checked when a decision is due, and once more when its
// request has waited for the rate limit and is about to be sent. A pause defers the
// decision; the others end it.
type Gate struct {
	Rules  func() *rules.Rules // those in force
	Pauses Pauses
}

// Stop is the reason why an action is stopped; the zero value stops nothing.
type Stop struct {
	Paused *event.Pause
	Gone   string // why no rule wants the action any more
	DryRun bool
}

// Any reports whether something stops the action.
func (s Stop) Any() bool { return s != Stop{} }

// Check returns why the decision's action is stopped now, if it is. An error is of the store.
func (g Gate) Check(ctx context.Context, d event.Decision) (Stop, error) {
	validity := g.Rules().Validity(d)
	stop := Stop{Gone: validity.Invalid, DryRun: validity.DryRun || d.DryRun}
	if stop.Any() || d.Action.Verb == event.VerbNotify {
		return stop, nil
	}
	var err error
	stop.Paused, err = g.Pauses.Of(ctx, d)
	return stop, err
}

// Client returns a view of the client for the decision's requests, which checks the
// gate when a request is about to be sent. A request that is stopped returns a
// *StopError.
func (g Gate) Client(gl *gitlab.Client, d event.Decision) *gitlab.Client {
	return gl.Gated(func(ctx context.Context) error { return g.Pass(ctx, d) })
}

// Pass returns a *StopError if the decision's action is stopped now. Another error is of
// the store.
func (g Gate) Pass(ctx context.Context, d event.Decision) error {
	stop, err := g.Check(ctx, d)
	if err == nil && stop.Any() {
		err = &StopError{stop}
	}
	return err
}

// StopError is the error of a request that was not sent.
type StopError struct{ Stop }

func (e *StopError) Error() string {
	switch {
	case e.Gone != "":
		return e.Gone
	case e.DryRun:
		return "dry run"
	}
	return e.Paused.String()
}

// Again says that a pause ends; see event.Transient.
func (e *StopError) Again() (after time.Duration, ok bool) { return retryAfter, e.Paused != nil }
