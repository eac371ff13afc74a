package actions

import (
	"context"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// The brake stops an action at the moment of acting, whatever was in force when
// its event was decided: a pause, a dry run of the process or of the rule, a
// rule that is gone. It is looked at when a decision is due, and once more when
// its call has waited for the rate limit and is about to be sent. A pause makes
// the decision wait; the others end it, so that nothing is done later.

// Decisions look whether a pause has ended, seldom where they have waited long.
const (
	pauseSoonest = time.Second
	pauseLatest  = 10 * time.Second
)

// Brake tells what stops an action.
type Brake struct {
	Rules  func() *rules.Rules // those in force
	Pauses Pauses
}

// hold is what stops an action; the zero value stops nothing.
type hold struct {
	paused *event.Pause
	gone   string // why no rule wants it any more
	dryRun bool
}

func (h hold) on() bool { return h != hold{} }

// on reads what stops the decision's action now.
func (b Brake) on(ctx context.Context, d event.Decision) (hold, error) {
	s := b.Rules().Standing(d)
	h := hold{gone: s.Gone, dryRun: s.DryRun || d.DryRun}
	if h.on() || d.Action.Verb == event.VerbNotify {
		return h, nil
	}
	var err error
	h.paused, err = b.Pauses.Of(ctx, d)
	return h, err
}

// gate returns a view of the client for the decision's calls: what stops them is
// read again when one is about to be sent, and comes back as a *holdError.
func (b Brake) gate(gl *gitlab.Client, d event.Decision) *gitlab.Client {
	return gl.Gated(func(ctx context.Context) error {
		h, err := b.on(ctx, d)
		if err == nil && h.on() {
			err = &holdError{h}
		}
		return err
	})
}

// verdict is the verdict on a decision whose action is stopped.
func (h hold) verdict(p *pending) *verdict {
	switch {
	case h.gone != "":
		return skipped("%s", h.gone)
	case h.dryRun:
		return &verdict{result: event.ResultDryRun}
	}
	return postponed(min(max(pauseSoonest, time.Duration(p.Waited)/10), pauseLatest), "%s", h.paused)
}

// holdError is that a call was not sent.
type holdError struct{ hold }

func (e *holdError) Error() string {
	switch {
	case e.gone != "":
		return e.gone
	case e.dryRun:
		return "dry run"
	}
	return e.paused.String()
}

// Again says that a pause passes; see rules.Passes.
func (e *holdError) Again() (after time.Duration, ok bool) { return pauseLatest, e.paused != nil }
