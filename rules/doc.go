// Package rules is the rule engine: it determines which rules match an event,
// what they decide, and why. It does no I/O, reads no clock and logs nothing:
// data of GitLab is provided by expression.Facts, the current time is the
// event's time of receipt, and errors are returned. Package expression
// compiles and runs expressions, package event defines the data, and package
// rulefile reads the rules from files.
//
// The package has more than 2,000 lines because it is one engine: the decisions, the
// explanations and the notices of a rule are made of the same compiled rule.
package rules
