// Package rules decides. It loads rule files, compiles their expressions
// against the typed Event, and evaluates an event to decisions. It does no
// I/O, has no clock and logs nothing: what an expression asks of GitLab comes
// in through Facts, the time is the event's own, and errors are returned.
//
// One value flows through the program and only grows: an Event arrives, a
// Decision holds the event and what a rule wants, an Outcome holds the
// decision and what came of it.
package rules
