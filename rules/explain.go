package rules

import (
	"context"
	"fmt"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// Verdict is the result of one rule on an event, with its explanation.
type Verdict struct {
	Rule        string            `json:"rule"`
	File        string            `json:"file"`
	Line        int               `json:"line"`
	Result      string            `json:"result"` // one of the results below
	Reason      string            `json:"reason,omitzero"`
	Explanation event.Explanation `json:"explanation,omitzero"`
	Stops       bool              `json:"stops,omitzero"`      // the rule matched and has `stop: true`: the rules after it are not evaluated
	Decisions   []event.Decision  `json:"decisions,omitempty"` // the decisions of the rule
	Notify      []NotifySummary   `json:"notify,omitempty"`    // the outcomes that the rule sends notifications of, and where
}

// Results of a Verdict.
const (
	VerdictMatched    = "matched"
	VerdictNotMatched = "not_matched"
	VerdictFailed     = "failed"      // an expression failed, so the rule does not match
	VerdictOtherKind  = "other_kind"  // the rule is for another kind of event
	VerdictNotReached = "not_reached" // the rule is behind the `stop` of a rule that matched
)

// otherSchedule is the reason why a rule on: schedule is not evaluated.
const otherSchedule = "its schedule is for other projects, or for jobs in another status"

// Explain runs all rules on the event, as Evaluate does, and returns the
// verdict on each rule, in file order.
func (rs *Rules) Explain(ctx context.Context, e event.Event, facts expression.Facts) []Verdict {
	verdicts := make([]Verdict, len(rs.rules))
	ev, err := rs.evaluation(ctx, e, facts)
	if err != nil {
		return nil
	}
	defer ev.End()
	var candidates candidates // determines which rules have a share of the work, as in Evaluate
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
			v.Result, v.Reason = VerdictNotMatched, otherSchedule
			continue
		case stopped != "":
			v.Result, v.Reason = VerdictNotReached, stopped
			continue
		}
		of := &left
		if !candidate { // it can't match, and uses no share of the work
			of = &shares{work: limits.RuleWork, rules: 1}
		}
		wanted, err := of.rule(ev, r)
		v.Explanation = ev.explain(r, conditionOf(wanted, err))
		switch {
		case err != nil:
			v.Result, v.Reason = VerdictFailed, fmt.Sprintf("%s: %v", err.Part, err.Err)
			if r.Stop && event.Transient(err) {
				stopped = fmt.Sprintf("stopped by rule %q, which has `stop: true` and may match when it can be evaluated", r.Name)
			}
		case wanted == nil:
			v.Result = VerdictNotMatched
		default:
			v.Result, v.Decisions, v.Notify, v.Stops = VerdictMatched, wanted, r.notify(), r.Stop
			if r.Stop {
				stopped = fmt.Sprintf("stopped by rule %q, which matched and has `stop: true`", r.Name)
			}
		}
	}
	return verdicts
}

// conditionOf derives the result of a rule's condition from the rule's
// decisions and error.
func conditionOf(wanted []event.Decision, err *RuleError) string {
	switch {
	case err != nil && err.Part == "if":
		return event.PartError
	case err == nil && wanted == nil:
		return event.PartFalse
	}
	return event.PartTrue
}
