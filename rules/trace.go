package rules

import (
	"fmt"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Trace is what an evaluation did with the rules, in short: Explain says more. A
// rule that is not in it was either not reached, because of StoppedBy, or can't match
// an event of this kind, status, project or failure reason, so that its condition
// was not run.
type Trace struct {
	Steps     []Step `json:"steps,omitempty"`
	StoppedBy string `json:"stopped_by,omitzero"` // the rule behind whose `stop` no rule was evaluated
	// KeepsUnknown is set by a caller that keeps Unclassified: then the log of each failed job
	// is read, if the rule files want that.
	KeepsUnknown bool `json:"-"`
	// Unclassified is the telling line of the log of a failed job, if the log has been read
	// and is of no class of the rule files; else "".
	Unclassified string `json:"-"`
	// NotRead means that the job has failed and its log was not read.
	NotRead bool `json:"-"`
}

// hasFailed reports whether the event is of a failed job that has a log.
func hasFailed(e event.Event) bool {
	return e.Meta.Kind == event.KindJob && e.Job.Status == "failed" && !e.Job.StartedAt.IsZero()
}

// looked adds what the log of the event's job said, if the session, which may be nil, has read
// it.
func (t *Trace) looked(e event.Event, s *expression.Session) {
	if t == nil {
		return
	}
	if s != nil {
		t.Unclassified = s.Unclassified()
	}
	t.NotRead = hasFailed(e) && (s == nil || !s.HasReadLog())
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
