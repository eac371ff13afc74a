package event

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Reasons for which a record of the queue waits: the values of Wait.For.
const (
	WaitDelay    = "delay"    // the delay of its rule, or the time that GitLab's own retry has
	WaitTurn     = "turn"     // the actions before it in its rule, or the job before it
	WaitPause    = "pause"    // until somebody resumes
	WaitStorm    = "storm"    // the circuit breaker of its failure class is open, or releases one retry after the other
	WaitBudget   = "budget"   // a budget of retries is used up
	WaitConfirm  = "confirm"  // a person must confirm it in Slack
	WaitGitLab   = "gitlab"   // GitLab can't be used, or has not applied a request yet
	WaitReceiver = "receiver" // a channel could not be notified
	WaitQuiet    = "quiet"    // the end of the quiet hours
	WaitDigest   = "digest"   // the digest that it is gathered in
	WaitMute     = "mute"     // the end of a mute
	WaitSchedule = "schedule" // it is checked again at intervals
	WaitError    = "error"    // the last try failed
)

// Waits lists all reasons.
var Waits = []string{WaitDelay, WaitTurn, WaitPause, WaitStorm, WaitBudget, WaitConfirm, WaitGitLab, WaitReceiver, WaitQuiet, WaitDigest, WaitMute, WaitSchedule, WaitError}

// Wait is why a record waits. It is part of the record's body.
type Wait struct {
	For    string `json:"for,omitzero"`    // one of the reasons above
	Reason string `json:"reason,omitzero"` // for people to read: the error of the last try, for instance
}

// Subject is what a record of the queue is about, for people.
type Subject struct {
	About     string // one line, such as: retry of rspec
	Decision  string // its id in the journal
	Rule      string
	Action    string // a verb
	Project   string // path
	ProjectID int64
	Ref       string
	Pipeline  int64
	Job       int64
	JobName   string
	Wait      Wait
	At        time.Time // when that happened: the event was received, the decision made, the run began; zero: it does not say
}

// Requeued is a record that a person has put back into the queue.
type Requeued struct {
	ID       string `json:"id"`                // of the record in the queue
	Decision string `json:"decision,omitzero"` // id of the decision that was made again
}

// ErrNoRecord is the error for an id that neither a record in the queue, a dead record
// nor a decision has.
var ErrNoRecord = errors.New("no record and no decision has this id: `pipesteward queue list`, `queue list --dead` and `decisions` list those that there are")

// StateError is the error for a change that the state of a record or of a decision does
// not allow.
type StateError struct{ Reason string }

func (e *StateError) Error() string { return e.Reason }

// ScopeError is the error for a pause or a mute that can't be put in force as it is.
type ScopeError struct {
	Problem string // one of those below
	Value   string // the text or the time that is wrong, or the bound in bytes
	reason  string
}

func (e *ScopeError) Error() string { return e.reason }

// Problems of pauses and mutes.
const (
	ScopeBoth    = "both"    // a pause is for projects and for a rule
	ScopeGlob    = "glob"    // no glob of project paths
	ScopeLong    = "long"    // a text is too long
	ScopeControl = "control" // control characters
	ScopeChannel = "channel" // not one channel
	ScopePast    = "past"    // its end is past
)

// ScopeProblems lists them.
var ScopeProblems = []string{ScopeBoth, ScopeGlob, ScopeLong, ScopeControl, ScopeChannel, ScopePast}

func wrongScope(problem, value, format string, args ...any) error {
	return &ScopeError{problem, value, fmt.Sprintf(format, args...)}
}

// Changes that people make to a running server: the values of Change.Action.
const (
	ChangePause   = "pause"
	ChangeResume  = "resume"
	ChangeMute    = "mute"
	ChangeUnmute  = "unmute"
	ChangeRequeue = "requeue"
	ChangeDrop    = "drop"
	ChangeReload  = "reload"
	ChangeCatchUp = "catch_up"
	ChangeSeed    = "seed"
	ChangeHooks   = "ensure_hooks"
)

// IsControl reports whether a character steers a terminal, or the direction of what is
// written, instead of being shown. Line breaks are such characters.
func IsControl(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// CheckWords returns an error if what a person says of a change, who makes it and why, is
// not text of one line: other people read it on terminals and in logs.
func CheckWords(by, reason string) error {
	for _, text := range []struct{ name, value string }{{"by", by}, {"reason", reason}} {
		if strings.ContainsFunc(text.value, IsControl) {
			return wrongScope(ScopeControl, text.name, "%q has line breaks or other control characters: write it in one line, without colours", text.name)
		}
	}
	return nil
}

// Change is a change that a person made to a running server.
type Change struct {
	At     time.Time `json:"at"`
	Action string    `json:"action"`          // one of the changes above
	Target string    `json:"target,omitzero"` // the scope of a pause or a mute, the id of a record or a decision, or what catch-up is to do, or how many tries a backtest added
	By     string    `json:"by,omitzero"`     // who made it, as they say or as they have logged in
	From   string    `json:"from,omitzero"`   // the address that the request came from
	Reason string    `json:"reason,omitzero"`
	Until  time.Time `json:"until,omitzero"` // of a pause or a mute: when it ends by itself; zero: it does not
}

// Actor is who makes a change, from where and why.
type Actor struct {
	By     string // as Change.By
	From   string // as Change.From
	Reason string
}

// Change returns a change of the actor's that is not recorded yet.
func (a Actor) Change(action, target string) Change {
	return Change{Action: action, Target: target, By: a.By, From: a.From, Reason: a.Reason}
}

// Who says who made the change, for people: by name, or else by the address that the request
// came from.
func (c Change) Who() string { return cmp.Or(c.By, c.From, "unknown") }
