package rules

import (
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
	Receivers []Receiver
	Stop      bool
	// needsAttempt: what comes of an event may depend on job.attempt
	needsAttempt bool
	DryRun       bool
	statuses     texts // of its subject, at which it can match; nil: at any

	File     string // where it stands
	Line     int
	Column   int
	Hash     string // of the file: SHA-256 in hex
	Identity string
	Clauses  func() *expression.Clause // the condition taken apart, when first asked for; nil without one
}

// Action is an action of a rule; its texts are not rendered yet.
type Action struct {
	event.Action
	Jobs      *vm.Program // nil: the event's job
	Variables map[string]expression.Template
	Inputs    map[string]expression.Input
}

// Receiver is an entry of a rule's `notify`: who is notified of which outcomes.
type Receiver struct {
	When    []string
	Channel string
	Text    *expression.Template // nil: the default text of the outcome
}

// Verbs returns the verbs of the rule's decisions, each once.
func (r *Rule) Verbs() []string {
	if len(r.Actions) == 0 {
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
