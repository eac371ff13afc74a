package rules

import (
	"context"
	"fmt"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// Verdict says what one rule makes of an event.
type Verdict struct {
	Rule        string            `json:"rule"`
	File        string            `json:"file"`
	Line        int               `json:"line"`
	Result      string            `json:"result"` // see below
	Reason      string            `json:"reason,omitzero"`
	Explanation event.Explanation `json:"explanation,omitzero"`
	Decisions   []event.Decision  `json:"decisions,omitempty"` // what the rule wants done
	Notify      []Notify          `json:"notify,omitempty"`    // which outcomes it wants told, where
}

// Results of a Verdict.
const (
	VerdictMatched    = "matched"
	VerdictNotMatched = "not_matched"
	VerdictFailed     = "failed"      // an expression failed, so the rule does not fire
	VerdictOtherKind  = "other_kind"  // the rule is for events of another kind
	VerdictNotReached = "not_reached" // behind the `stop` of a rule that matched
)

// Explain runs all rules on the event, as Evaluate does, and says of each what
// it makes of it, in file order.
func (rs *Rules) Explain(ctx context.Context, e event.Event, facts expression.Facts) []Verdict {
	verdicts := make([]Verdict, len(rs.rules))
	ev, err := rs.evaluation(ctx, e, facts)
	if err != nil {
		return nil
	}
	defer ev.End()
	var candidates candidates // whose shares are as in Evaluate
	rs.index[e.Meta.Kind].find(&e, &candidates)
	left := shares{work: limits.EventWork, rules: candidates.rules()}
	next, more := candidates.next()
	stopped := ""
	for i, r := range rs.rules {
		v := &verdicts[i]
		v.Rule, v.File, v.Line = r.Name, r.File, r.Line
		candidate := more && next == i
		if candidate {
			next, more = candidates.next()
		}
		switch {
		case r.On != e.Meta.Kind:
			v.Result, v.Reason = VerdictOtherKind, fmt.Sprintf("the event is a %s's, and the rule is for %s events", e.Meta.Kind, r.On)
			continue
		case !r.Schedule.covers(&e):
			if candidate {
				left.skip()
			}
			v.Result, v.Reason = VerdictNotMatched, "its schedule is for other projects, or for jobs in another status"
			continue
		case stopped != "":
			v.Result, v.Reason = VerdictNotReached, stopped
			continue
		}
		of := &left
		if !candidate { // it can't match, and takes nothing from the others
			of = &shares{work: limits.RuleWork, rules: 1}
		}
		wanted, err := of.rule(ev, r)
		v.Explanation = ev.explain(r, conditionOf(wanted, err))
		switch {
		case err != nil:
			v.Result, v.Reason = VerdictFailed, fmt.Sprintf("%s: %v", err.Part, err.Err)
			if r.Stop && event.Transient(err) {
				stopped = fmt.Sprintf("rule %q has `stop: true`, and may match when it can be evaluated", r.Name)
			}
		case wanted == nil:
			v.Result = VerdictNotMatched
		default:
			v.Result, v.Decisions, v.Notify = VerdictMatched, wanted, r.notify()
			if r.Stop {
				stopped = fmt.Sprintf("rule %q matched and has `stop: true`", r.Name)
			}
		}
	}
	return verdicts
}

// conditionOf tells from what a rule wanted how its condition came out.
func conditionOf(wanted []event.Decision, err *RuleError) string {
	switch {
	case err != nil && err.Part == "if":
		return event.PartError
	case err == nil && wanted == nil:
		return event.PartFalse
	}
	return event.PartTrue
}
