// Package event defines the data that all other packages share. Each step of
// processing adds to it: an Event arrives, a Decision is the event with the
// action that a rule requests, and an Outcome is the decision with its result.
// The package imports no other package of Pipesteward.
//
// The package has more than 2,000 lines because it is one vocabulary: nearly all of it is
// types with their words, and each word is defined beside those that it is used with.
package event
