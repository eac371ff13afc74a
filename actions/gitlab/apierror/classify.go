package apierror

import (
	"encoding/json"
	"mime"
	"net/http"
	"regexp"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
)

// class says how to react to a failed call.
type class int

const (
	never  class = iota // the same call fails again
	again               // the same call may succeed later
	rights              // a person must give the token or its user more rights
)

// statusClientClosed is nginx's: the client of a proxy behind it went away.
const statusClientClosed = 499

// classify and suspect are the only place that knows what a failure means.
// classify says what it means for the call: status 0 is no answer, a status
// below 300 an answer that can't be read.
func classify(status int, message string) class {
	switch {
	case status < 300, status >= 500:
		return again
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusLocked, status == statusClientClosed:
		return again
	case status == http.StatusConflict:
		return again // the object is locked, or GitLab recalculates its size
	case status == http.StatusForbidden && !aboutState.MatchString(message):
		return rights
	default:
		return never
	}
}

// Answer is what a failed request was answered.
type Answer struct {
	Response *gl.Response // nil: no answer
	Refused  []byte       // the body, if the status is no success
	Message  string       // the reason, as Refusal extracts it
	Err      error        // of reading the answer; nil: it was read
	JobToken bool         // the request was authenticated by a job token
}

// SuspectTrouble records what the answer suggests about GitLab as a whole. A
// suspected failure may pass, whatever its status: the trouble may end.
func (e *Error) SuspectTrouble(a Answer) {
	e.Suspect = suspect(a)
	switch {
	case e.Suspect == TroubleToken && a.JobToken:
		e.Suspect, e.class = "", rights // a job's token is valid while the job runs
	case e.Suspect != "":
		e.class = again
	}
}

// suspect returns what a failed request, if all failed like it, would say about
// GitLab as a whole; "" for nothing.
func suspect(a Answer) TroubleKind {
	if a.Response == nil {
		return ""
	}
	switch status := a.Response.StatusCode; {
	case status == http.StatusUnauthorized && isObject(a.Refused):
		return TroubleToken
	case status == http.StatusForbidden && insufficientScope.MatchString(a.Message):
		return TroubleScope
	case status == http.StatusForbidden && accountDenied.MatchString(a.Message):
		return TroubleToken
	case status == http.StatusProxyAuthRequired, status == http.StatusNetworkAuthenticationRequired:
		return TroubleAnswers
	case status >= 500, classify(status, a.Message) == again && status >= 300:
		return "" // of GitLab behind a proxy, or of the proxy: it passes, or every request fails so
	case status < 300 && a.Err != nil && !IsWebPage(a.Response):
		return "" // the answer was cut
	case status < 400, IsWebPage(a.Response), !isObject(a.Refused):
		return TroubleAnswers // GitLab's API answers in JSON, and redirects within itself only
	}
	return ""
}

// isObject reports whether a refusal is a JSON object, as all of the API's are
// except those of the rate limiter before it.
func isObject(body []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(body, &object) == nil
}

// IsWebPage reports whether the answer is HTML, which no endpoint returns.
func IsWebPage(resp *gl.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && kind == "text/html"
}

var (
	// aboutState matches the refusals that are about the job's state and not about
	// the caller: "403 Forbidden - Job is not retryable", "... not erasable!".
	aboutState = regexp.MustCompile(`(?i)\bnot (retryable|erasable)\b`)
	// insufficientScope matches the refusal of a token without the scope
	// (lib/api/api_guard.rb). A fine-grained token's insufficient_granular_scope is
	// about one endpoint in one project, and a matter of rights.
	insufficientScope = regexp.MustCompile(`\binsufficient_scope\b`)
	// accountDenied matches the refusals of a user who may use nothing
	// (lib/gitlab/auth/user_access_denied_reason.rb).
	accountDenied = regexp.MustCompile(`(?i)\b(your (account|password|primary email)|must accept the terms|internal users)\b`)
)
