// Package expression compiles the expressions of rule files and runs them
// within limits. Compile checks an expression against the fields of package
// event and refuses expressions whose cost can't be bounded. A Session runs
// all expressions on one event: it requests each fact from GitLab at most
// once, only when an expression reaches it, and it counts work and memory
// before they are used. Sessions share the capacity of the process
// (limits.Capacity).
//
// The package does no I/O and reads no clock. The current time is the event's
// time of receipt.
//
// The package has more than 2,000 lines because conditions and texts share what compiles
// them, the environment that they read, and the session that runs them.
package expression
