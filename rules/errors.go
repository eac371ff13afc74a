package rules

import "fmt"

// RuleError says that an expression of a rule failed on an event. The rule
// did not fire for it.
type RuleError struct {
	Rule string
	Part string // if, jobs, variables.NAME, text ...
	Err  error
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("rule %q: %s: %v", e.Rule, e.Part, e.Err)
}

func (e *RuleError) Unwrap() error { return e.Err }
