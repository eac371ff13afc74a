// Package limits bounds expressions. Options and TooLarge bound an expression when it
// is compiled, and a Meter inserts into it what counts its work; a Machine runs it
// within the work and memory that a rule may use; Capacity is the share of the
// process that all evaluations have together. Work is counted before it is done, so
// the same evaluation ends alike on every machine.
package limits
