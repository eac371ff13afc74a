// Package apierror describes requests to GitLab's API that failed, and
// classifies each failure once (classify.go):
//
//	about the job     final: the same call fails again
//	about the moment  the same call may succeed later
//	about the bot     the token's user lacks a right, or GitLab as a whole can't
//	                  be used: a TroubleKind, which a probe confirms
//
// message.go extracts the reason from what GitLab answered.
package apierror

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
)

// TroubleKind is a reason why GitLab as a whole can't be used.
type TroubleKind string

// The kinds of trouble.
const (
	TroubleToken   TroubleKind = "token"   // GitLab refuses the token, or its user
	TroubleScope   TroubleKind = "scope"   // the token may read only
	TroubleRights  TroubleKind = "rights"  // the token's user may change nothing in any project
	TroubleAnswers TroubleKind = "answers" // something other than GitLab answers
	TroubleDown    TroubleKind = "down"    // GitLab fails every request, or does not answer
)

// Error is a request that GitLab refused, answered unreadably, or did not
// answer. It never contains a token. A request whose context ended fails with the
// context's error instead; a POST that was cut so may have taken effect.
type Error struct {
	Method   string
	Endpoint string        // package endpoint's name of the call
	Path     string        // below /api/v4/
	Status   int           // HTTP status; 0: no answer
	Message  string        // GitLab's own words, shortened, or a description of the failure
	After    time.Duration // how long GitLab or the rate limit requires to wait; 0: unknown

	Suspect  TroubleKind // trouble that the answer suggests; a probe confirms it
	Trouble  TroubleKind // confirmed trouble, because of which the request failed or was not sent
	Deferred bool        // by a rate limit or an open circuit breaker: the caller must not wait in place
	Jitter   float64     // 0 to 1, random: spreads the wait before the request is repeated
	Cause    error       // why there was no answer; nil: there was one. It is not wrapped: it may look as if the caller's context had ended

	class     class
	maybeDone bool
}

// Failure is what New makes an Error of.
type Failure struct {
	Method, Endpoint, Path string

	Status  int                 // HTTP status; 0: no answer
	Message string              // may be long, and of several lines
	After   time.Duration       // least time to wait; 0: unknown
	Written bool                // GitLab may have received the request
	Redact  func(string) string // removes tokens from a text; nil: there are none
}

// New classifies a failure.
func New(f Failure) *Error {
	message := oneLine(explain(f.Endpoint, f.Status, f.Message))
	if f.Redact != nil {
		message = f.Redact(message)
	}
	e := &Error{
		Method:   f.Method,
		Endpoint: f.Endpoint,
		Path:     f.Path,
		Status:   f.Status,
		Message:  shorten(message),
		After:    f.After,
		Jitter:   rand.Float64(), //nolint:gosec // no secret
	}
	e.class = classify(f.Status, e.Message)
	e.maybeDone = f.Method == http.MethodPost && f.Written && (f.Status < 300 || f.Status >= 500 || f.Status == statusClientClosed)
	return e
}

// Error names the request and says why it failed.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "gitlab: %s /%s: ", e.Method, e.Path)
	b.WriteString(e.words())
	if e.Status == http.StatusUnauthorized && e.Suspect == TroubleToken {
		b.WriteString(": the access token is wrong, expired or revoked")
	}
	return b.String()
}

// words returns the status, if there was an answer, and the message, which may begin
// with the status.
func (e *Error) words() string {
	status := strconv.Itoa(e.Status)
	if e.Status == 0 || strings.HasPrefix(e.Message, status) {
		return e.Message
	}
	return status + " " + e.Message
}

// Words returns what GitLab answered, as in 404 Not Found, where an *Error is in err, and
// else err's text. It does not name the request.
func Words(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.words()
	}
	return err.Error()
}

// Again reports whether the same call may succeed later, and the least time to
// wait before; 0 leaves that to the caller's backoff.
func (e *Error) Again() (after time.Duration, ok bool) {
	return e.After, e.class == again || e.Trouble != ""
}

// Unavailable reports whether GitLab as a whole can't be used: the error says
// nothing about the job, project or request, and disappears with the trouble. See
// availability.Trouble.
func (e *Error) Unavailable() bool { return e.Trouble != "" }

// Rights reports whether GitLab refused because the token's user has no right to
// do this.
func (e *Error) Rights() bool { return e.class == rights && e.Trouble == "" }

// Final reports whether GitLab refused the call for good with one of the
// statuses. A proxy may answer with them, too, for instance with 404: that is not
// final.
func (e *Error) Final(statuses ...int) bool {
	_, passes := e.Again()
	return !passes && slices.Contains(statuses, e.Status)
}

// IsNotFound reports whether err is GitLab's answer that an object does not
// exist.
func IsNotFound(err error) bool { return IsFinal(err, http.StatusNotFound) }

// IsHidden reports whether err is GitLab's answer that an object does not exist
// or that the token's user may not see it: GitLab answers both alike.
func IsHidden(err error) bool { return IsFinal(err, http.StatusNotFound, http.StatusForbidden) }

// IsFinal reports whether err is an *Error that is final with one of the
// statuses.
func IsFinal(err error, statuses ...int) bool {
	var e *Error
	return errors.As(err, &e) && e.Final(statuses...)
}

// LacksRights reports whether the refusal may be one of many, after the token's
// user has lost all its rights.
func (e *Error) LacksRights() bool {
	return e.class == rights || e.Final(http.StatusNotFound) && projectNotFound.MatchString(e.Message)
}

var projectNotFound = regexp.MustCompile(`(?i)\bproject not found\b`)

// Limited reports whether a rate limit is the cause: GitLab's, or the one that
// the replicas share. The same call succeeds later.
func (e *Error) Limited() bool { return e.Deferred || e.Status == http.StatusTooManyRequests }

// Conflict reports whether GitLab refuses for as long as another operation runs,
// minutes or hours: it recalculates the sizes of a project's artifacts. The other
// conflict, "Resource lock", passes within moments.
func (e *Error) Conflict() bool {
	return e.Status == http.StatusConflict && e.Endpoint == endpoint.Erase && !resourceLock.MatchString(e.Message)
}

// resourceLock matches GitLab's answer to any call that met another change of
// the same object (rescue_from in lib/api/api.rb): "409 Conflict: Resource lock".
var resourceLock = regexp.MustCompile(`(?i)\bresource lock\b`)

// MaybeDone reports whether a POST may have taken effect although it failed:
// the connection broke after it was written, nobody answered in time, GitLab
// answered 5xx or unreadably. Read the job's state before acting again.
func (e *Error) MaybeDone() bool { return e.maybeDone }

// UnknownScope reports whether GitLab refused a list because its scope has a
// status that the server does not know: the server is older than the status.
func (e *Error) UnknownScope() bool {
	return e.Final(http.StatusBadRequest) && strings.HasPrefix(e.Message, "scope")
}
