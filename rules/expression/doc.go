// Package expression compiles the expressions of rule files and runs them within
// limits. Compile checks an expression against the fields of the event package
// and refuses what can't be bounded. A Session runs all expressions on one event:
// it requests facts of GitLab at most once each, only when an expression reaches
// them, and counts work and memory before they are used. Capacity shares the
// process between sessions.
//
// The package does no I/O and reads no clock: the time is the event's own.
package expression
