package rules

import (
	"context"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// EvaluateAll is the specification of Evaluate: it evaluates all rules one
// after the other.
func (rs *Rules) EvaluateAll(ctx context.Context, e event.Event, facts expression.Facts) ([]event.Decision, []*RuleError) {
	unbounded := *rs
	unbounded.capacity = nil
	ev, err := unbounded.evaluation(ctx, e, facts)
	if err != nil {
		return nil, nil
	}
	defer ev.End()
	var errs []*RuleError
	for _, r := range rs.rules {
		if r.On != e.Meta.Kind {
			continue
		}
		wanted, err := ev.rule(r)
		if err != nil {
			errs = append(errs, err)
		}
		for _, d := range wanted {
			ev.add(d)
		}
		if r.Stop && (wanted != nil || err != nil && event.Transient(err)) {
			break
		}
	}
	return ev.decisions, errs
}

// Candidates returns the number of rules that Evaluate runs on the event if
// none stops it.
func (rs *Rules) Candidates(e event.Event) int {
	var found candidates
	rs.index[e.Meta.Kind].find(&e, &found)
	return found.rules()
}
