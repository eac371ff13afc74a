// Package limits limits the cost of expressions. Options and TooLarge limit
// the size of an expression when it is compiled. A Meter inserts calls that
// count the work of an expression. A Machine runs it within the work and
// memory that a rule may use. Capacity limits the work of all concurrent
// evaluations of the process. Work is counted before it is done, so the same
// evaluation has the same result on every machine.
package limits
