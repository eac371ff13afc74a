package rules

import (
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// NeedsAttempt reports whether the decisions about a job event may depend on
// job.attempt: a rule that may match the event reads it, in its `if`, an
// action or a text, or its delay grows with each attempt. It sends no requests
// and reads no log. The caller then requests the attempt from GitLab, because
// a hook may contain one too many (retries_count also counts a failed job that
// GitLab's own `retry:` runs again).
func (rs *Rules) NeedsAttempt(e event.Event) bool {
	if e.Meta.Kind != event.KindJob {
		return false
	}
	var found candidates
	rs.index[event.KindJob].find(&e, &found)
	for position, ok := found.next(); ok; position, ok = found.next() {
		if rs.rules[position].needsAttempt {
			return true
		}
	}
	return false
}

// dependsOnAttempt reports whether the rule reads job.attempt, or has a delay
// that depends on it.
func (r *Rule) dependsOnAttempt() bool {
	if expression.ReadsAttempt(r.Condition) {
		return true
	}
	for _, a := range r.Actions {
		if a.Delay > 0 && a.Backoff == event.BackoffExponential || expression.ReadsAttempt(a.Jobs) || slices.ContainsFunc(a.templates(), expression.Template.ReadsAttempt) {
			return true
		}
		for _, in := range a.Inputs {
			if in.ReadsAttempt() {
				return true
			}
		}
	}
	return slices.ContainsFunc(r.Notify, func(n Notify) bool {
		return n.State != nil && expression.ReadsAttempt(n.State.Condition) || slices.ContainsFunc(n.templates(), func(t *expression.Template) bool { return t.ReadsAttempt() })
	})
}
