// Package event holds the data that every other package shares. One value
// flows through the program and only grows: an Event arrives, a Decision is
// the event with what a rule wants, an Outcome is the decision with its
// result. The package imports none of Pipesteward's others.
package event
