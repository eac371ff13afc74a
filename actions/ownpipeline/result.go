package ownpipeline

import (
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Exit statuses, for `allow_failure: exit_codes`. 2 is a wrong command line.
const (
	StatusDone   = 0 // nothing was called for, or all of it is done
	StatusFailed = 1 // something could not be done, or not be decided
	StatusGaveUp = 3 // the attempts of a job are used up
	StatusLeft   = 4 // something is called for and was not done: a dry run, or due too late
)

// Entry is a decision with its outcome, as the journal has it.
type Entry struct {
	event.Outcome           // Result is "" or deferred while the decision waits
	Due           time.Time `json:"due,omitzero"` // when a decision that waits is due, as far as that was known when it was made
}

// Waits reports whether the decision has no final outcome yet.
func (e Entry) Waits() bool { return e.Result == "" || e.Result == event.ResultDeferred }

// Left reports whether the decision calls for an action that was not carried out, because
// of a dry run or because it is due too late.
func (e Entry) Left() bool {
	return e.Waits() || e.Result == event.ResultDryRun && e.Action.Verb != event.VerbNotify
}

// Result is what came of a run.
type Result struct {
	Entries     []Entry // by job
	Unevaluated int     // events that no rule could be evaluated on in time, because GitLab failed
	Unnotified  int     // outcomes of which a receiver could not be notified in time
	Trouble     string  // why GitLab could not be used; "": it could
	Errors      int     // what failed besides, such as a rule that could not be evaluated
}

// Status returns the exit status.
func (r Result) Status() int {
	has := func(is func(Entry) bool) bool { return slices.ContainsFunc(r.Entries, is) }
	switch {
	case r.Errors > 0, r.Unevaluated > 0, r.Trouble != "", has(func(e Entry) bool { return e.Result == event.ResultFailed }):
		return StatusFailed
	case has(func(e Entry) bool { return e.Result == event.ResultGaveUp }):
		return StatusGaveUp
	case has(Entry.Left):
		return StatusLeft
	}
	return StatusDone
}
