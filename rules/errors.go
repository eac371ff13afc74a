package rules

import "fmt"

// RuleError is the error of an expression of a rule on an event. The rule did
// not match the event.
type RuleError struct {
	Rule string
	Part string // if, jobs, variables.NAME, text ...
	Err  error
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("rule %q: %s: %v", e.Rule, e.Part, e.Err)
}

func (e *RuleError) Unwrap() error { return e.Err }
