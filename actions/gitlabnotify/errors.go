package gitlabnotify

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/pipesteward/pipesteward/actions/claimed"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
)

// How long to wait before the next try.
const (
	stateAgain   = 5 * time.Second  // the store failed
	addressAgain = 2 * time.Second  // GitLab has not said its own address
	pauseAgain   = 10 * time.Second // somebody has paused it
	silenceAgain = 30 * time.Second // GitLab took too long to answer
)

// Error says why nothing was written, and what to do.
type Error struct {
	reason string
	advice string // "": nothing is to be done
	again  bool
	after  time.Duration
	mend   bool  // a person can mend it in GitLab
	unsure bool  // the request may have taken effect, or may yet
	cause  error // nil: it is ours
}

// Error gives the reason and advice.
func (e *Error) Error() string {
	text := "gitlab: " + e.reason
	if e.advice != "" {
		text += ": " + e.advice
	}
	return text
}

// Advice says what to do about it.
func (e *Error) Advice() string { return e.advice }

// Again reports whether to try again, and the least time to wait before.
func (e *Error) Again() (after time.Duration, ok bool) { return e.after, e.again }

// MaybeDone reports whether the request may have taken effect, or may yet.
func (e *Error) MaybeDone() bool { return e.unsure }

// Expected reports whether nothing is wrong: it is a dry run, the merge request is merged, or
// the pipeline is a fork's.
func (e *Error) Expected() bool { return e.cause == nil && e.advice == "" && !e.again }

// Mendable reports whether a person can mend the cause in GitLab: the same notification
// succeeds after that.
func (e *Error) Mendable() bool { return e.mend }

// Everywhere reports whether no notification succeeds before that is mended: none of these
// refusals is of all projects.
func (e *Error) Everywhere() bool { return false }

// Unwrap returns the error of the request or of the store.
func (e *Error) Unwrap() error { return e.cause }

func refused(reason, advice string) *Error { return &Error{reason: reason, advice: advice} }

// ofClaim makes an Error of the errors of package claimed, and leaves others.
func ofClaim(err error) error {
	if failed, is := errors.AsType[*claimed.StoreError](err); is {
		return stateError(failed.Err)
	}
	if errors.Is(err, claimed.ErrBusy) {
		return &Error{reason: err.Error(), again: true, after: claimed.Again, cause: claimed.ErrBusy}
	}
	return err
}

func stateError(err error) *Error {
	return &Error{reason: "the store failed: " + err.Error(), again: true, after: stateAgain, cause: err}
}

// failed classifies the error of a request; what names what was to be done, and advice
// says what to do if the token's user has no right to.
func failed(what, advice string, err error) *Error {
	if own, ok := errors.AsType[*Error](err); ok { // of the gate
		return own
	}
	e := &Error{cause: err}
	refusal, isAnswer := errors.AsType[*apierror.Error](err)
	if !isAnswer {
		e.reason = "could not " + what + ": " + err.Error()
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			e.unsure, e.again, e.after = true, true, silenceAgain
		}
		return e
	}
	e.reason = "could not " + what + ": " + apierror.Words(err)
	e.after, e.again = refusal.Again()
	e.unsure = refusal.MaybeDone()
	if refusal.Rights() || refusal.Final(http.StatusNotFound) {
		e.mend, e.advice = refusal.Rights(), advice
	}
	return e
}
