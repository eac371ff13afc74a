package rules

import (
	"fmt"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Trace is what an evaluation did with the rules, in short: Explain says more. A
// rule that is not in it was either not reached, because of StoppedBy, or can't match
// an event of this kind, status, project or failure reason, so that its condition
// was not run.
type Trace struct {
	Steps     []Step `json:"steps,omitempty"`
	StoppedBy string `json:"stopped_by,omitzero"` // the rule behind whose `stop` no rule was evaluated
	// Unclassified is the telling line of the log of a failed job, if a rule has read the
	// log and it is of no class of the rule files; else "".
	Unclassified string `json:"-"`
}

// Step is what an evaluation did with one rule.
type Step struct {
	Rule   string `json:"rule"`
	Result string `json:"result"` // as that of a Verdict, or StepNewer
	Reason string `json:"reason,omitzero"`
}

// StepNewer is the result of a rule that came into force after the event.
const StepNewer = "newer"

// passedOver adds a rule whose condition was not run.
func (t *Trace) passedOver(r *Rule, newer bool) {
	switch {
	case t == nil:
	case newer:
		t.Steps = append(t.Steps, Step{Rule: r.Name, Result: StepNewer})
	default:
		t.Steps = append(t.Steps, Step{Rule: r.Name, Result: VerdictNotMatched, Reason: otherSchedule})
	}
}

// ran adds a rule that was run.
func (t *Trace) ran(r *Rule, newer bool, wanted []event.Decision, err *RuleError) {
	if t == nil {
		return
	}
	s := Step{Rule: r.Name, Result: VerdictMatched}
	switch {
	case err != nil:
		s.Result, s.Reason = VerdictFailed, fmt.Sprintf("%s: %v", err.Part, err.Err)
	case wanted == nil:
		s.Result = VerdictNotMatched
	case newer:
		s.Result = StepNewer
	case len(wanted) == 0 && !r.OnlyStops():
		s.Reason = "it found no job to act on"
	}
	t.Steps = append(t.Steps, s)
	if r.Stop && (err == nil && wanted != nil || err != nil && event.Transient(err)) {
		t.StoppedBy = r.Name
	}
}
