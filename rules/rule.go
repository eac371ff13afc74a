package rules

import (
	"slices"

	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// rule is one compiled rule.
type rule struct {
	name      string
	on        string
	schedule  Schedule    // of a rule on: schedule
	source    string      // of the condition
	condition *vm.Program // nil: always true
	actions   []action
	notices   []notice
	stop      bool
	// needsAttempt: what comes of an event may depend on job.attempt
	needsAttempt bool
	dryRun       bool
	statuses     texts // of its subject, at which it can match; nil: at any

	file     string // where it stands
	line     int
	column   int
	hash     string // of the file: SHA-256 in hex
	identity string
	clauses  func() *expression.Clause // the condition taken apart, when first asked for; nil without one
}

// action is what a rule wants done, its texts not yet rendered.
type action struct {
	event.Action
	jobs      *vm.Program // nil: the event's job
	variables map[string]expression.Template
	inputs    map[string]expression.Input
}

// notice is one entry of `notify`.
type notice struct {
	when    []string
	channel string
	text    *expression.Template // nil: the default text of the outcome
}

// verbs gives what the rule may want, each verb once.
func (r *rule) verbs() []string {
	if len(r.actions) == 0 {
		return []string{event.VerbNotify}
	}
	var all []string
	for _, a := range r.actions {
		if !slices.Contains(all, a.Verb) {
			all = append(all, a.Verb)
		}
	}
	return all
}
