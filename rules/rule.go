package rules

import (
	"maps"
	"slices"

	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Rule is a compiled rule.
type Rule struct {
	Name      string
	On        string
	Schedule  Schedule    // of a rule on: schedule
	Source    string      // of the condition
	Condition *vm.Program // nil: always true
	Actions   []Action
	Notify    []Notify
	Stop      bool
	// needsAttempt is set if decisions of the rule may depend on job.attempt.
	needsAttempt bool
	DryRun       bool
	statuses     texts // statuses of its subject at which it may match; nil: any

	File     string // the rule file
	Line     int
	Column   int
	Hash     string // SHA-256 of the file, in hex
	Identity string
	Clauses  func() *expression.Clause // the condition prepared for explanations, on first use; nil without a condition
}

// Action is an action of a rule. Its texts are not rendered yet.
type Action struct {
	event.Action
	Jobs      *vm.Program // the expression in `jobs`; nil if there is none
	Names     []JobName   // the list in `jobs`; nil if there is none
	Confirm   Channel     // a Slack channel; zero: nobody must confirm
	Variables map[string]expression.Template
	Inputs    map[string]expression.Input
}

// OfEvent reports whether the action has no `jobs`: it acts on the event's job
// or pipeline.
func (a Action) OfEvent() bool { return a.Jobs == nil && a.Names == nil }

// templates returns the texts with expressions.
func (a Action) templates() []expression.Template {
	all := slices.Collect(maps.Values(a.Variables))
	if a.Confirm.Template != nil {
		all = append(all, *a.Confirm.Template)
	}
	return all
}

// OnlyStops reports whether the rule makes no decisions: it has `stop: true`,
// and neither actions nor notifications.
func (r *Rule) OnlyStops() bool { return len(r.Actions) == 0 && len(r.Notify) == 0 }

// MayMatch reports whether the rule may match an event of its kind, by the status of the
// event's job or pipeline alone.
func (r *Rule) MayMatch(status string) bool { return r.statuses == nil || r.statuses[status] }

// Verbs returns the verbs of the rule's decisions, without duplicates.
func (r *Rule) Verbs() []string {
	switch {
	case r.OnlyStops():
		return nil
	case len(r.Actions) == 0:
		return []string{event.VerbNotify}
	}
	var all []string
	for _, a := range r.Actions {
		if !slices.Contains(all, a.Verb) {
			all = append(all, a.Verb)
		}
	}
	return all
}
