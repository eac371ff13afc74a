package backtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// result is what the rules made of an event.
type result struct {
	matched []string       // names of rules
	actions map[action]int // decisions of the rules that matched
	retries []retry
	stopped bool // a rule with `stop` matched, so that the event is left alone deliberately
	unknown []failed
	errors  []failed
}

type action struct{ rule, verb string }

// failed is a rule that could not be evaluated, and why.
type failed struct{ rule, why string }

// retry is a failed run that rules would have run again.
type retry struct {
	run   *history.Run
	of    *past
	rules []string // those that request it
	due   time.Time
	held  string // why it would not have been made, one of Held…; "": it would have been
	class string // the failure class of the run
}

// evaluate runs the rules on the event of a moment.
func (b *Backtest) evaluate(ctx context.Context, inForce *rules.Rules, facts asOf, m moment) (result, error) {
	e := facts.timeline.event(m, b.Events)
	if !inForce.Wants(e) && (m.run == nil || m.run.Status != "failed") { // as for failed ones, a rule may only stop
		return result{}, nil
	}
	var r result
	var trace rules.Trace
	decisions, errs := inForce.EvaluateTraced(ctx, e, facts, &trace)
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	for _, err := range errs {
		var unknown *unknownError
		switch {
		case errors.As(err, &unknown):
			r.unknown = append(r.unknown, failed{err.Rule, unknown.Error()})
		case event.Transient(err):
			return r, err
		default:
			r.errors = append(r.errors, failed{err.Rule, err.Part + ": " + err.Err.Error()})
		}
	}
	for _, step := range trace.Steps {
		if step.Result == rules.VerdictMatched {
			r.matched = append(r.matched, step.Rule)
		}
	}
	r.stopped = trace.StoppedBy != "" && slices.Contains(r.matched, trace.StoppedBy)
	for _, d := range decisions {
		by := append([]string{d.Rule}, d.AlsoWantedBy...)
		for _, rule := range by {
			if r.actions == nil {
				r.actions = map[action]int{}
			}
			r.actions[action{rule, d.Action.Verb}]++
		}
		for _, job := range d.Retries() {
			one, err := b.retry(ctx, inForce, facts, m, d, job)
			if err != nil {
				return r, err
			}
			if one != nil {
				one.rules = by
				r.retries = append(r.retries, *one)
			}
		}
	}
	return r, nil
}
