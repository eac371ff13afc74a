package gitlab

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
)

// Error is a call that GitLab refused, answered unreadably, or did not
// answer. It never holds a token. An ended context is no Error: the context's
// own comes back; a POST that it cut may have taken effect.
type Error struct {
	Method   string
	Endpoint string        // the call's short name, as Config.Observe has it
	Path     string        // below /api/v4/
	Status   int           // HTTP status; 0: no answer
	Message  string        // GitLab's own words, shortened, or what went wrong
	After    time.Duration // when to come back, as GitLab or the rate limit asked; 0: nobody said

	class     class
	suspect   TroubleKind // what the answer says of GitLab as a whole; a probe confirms it
	trouble   TroubleKind // what does keep GitLab from being used
	maybeDone bool
	deferred  bool    // by a rate limit, and not to be waited for in place
	jitter    float64 // 0 to 1, of the wait before the call is repeated
}

// Error tells what was called and what came of it.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "gitlab: %s /%s: ", e.Method, e.Path)
	if status := strconv.Itoa(e.Status); e.Status != 0 && !strings.HasPrefix(e.Message, status) {
		b.WriteString(status + " ")
	}
	b.WriteString(e.Message)
	if e.Status == http.StatusUnauthorized && e.suspect == TroubleToken {
		b.WriteString(": the access token is wrong, expired or revoked")
	}
	return b.String()
}

// Again reports whether the same call may succeed later, and the least time
// to wait before; 0 leaves that to the caller's backoff.
func (e *Error) Again() (after time.Duration, ok bool) {
	return e.After, e.class == again || e.trouble != ""
}

// Unavailable reports whether GitLab as a whole can't be used: the error says
// nothing about the job, project or request, and passes when that is mended. See
// Client.Trouble.
func (e *Error) Unavailable() bool { return e.trouble != "" }

// Rights reports whether GitLab refused because the token's user has no right to
// do this.
func (e *Error) Rights() bool { return e.class == rights && e.trouble == "" }

// Final reports whether GitLab refused the call for good with one of the
// statuses. Others may answer with them, too, as a proxy does with 404.
func (e *Error) Final(statuses ...int) bool {
	_, passes := e.Again()
	return !passes && slices.Contains(statuses, e.Status)
}

// IsNotFound reports whether err is GitLab's answer that something is not there.
func IsNotFound(err error) bool { return isFinal(err, http.StatusNotFound) }

// IsHidden reports whether err is GitLab's answer that something is not there,
// or not for who asks, which it words alike.
func IsHidden(err error) bool { return isFinal(err, http.StatusNotFound, http.StatusForbidden) }

func isFinal(err error, statuses ...int) bool {
	var e *Error
	return errors.As(err, &e) && e.Final(statuses...)
}

// lacksRights reports whether the refusal may be one of many, after the token's
// user has lost all its rights.
func (e *Error) lacksRights() bool {
	return e.class == rights || e.Final(http.StatusNotFound) && projectNotFound.MatchString(e.Message)
}

var projectNotFound = regexp.MustCompile(`(?i)\bproject not found\b`)

// Limited reports whether a rate limit is why: GitLab's, or the one that the
// replicas share. The same call goes through later.
func (e *Error) Limited() bool { return e.deferred || e.Status == http.StatusTooManyRequests }

// Conflict reports whether GitLab refuses for as long as it does something
// else, for minutes or hours: it counts the sizes of a project's artifacts anew.
// The other conflict, "Resource lock", passes within moments.
func (e *Error) Conflict() bool {
	return e.Status == http.StatusConflict && e.Endpoint == endpoint.Erase && !resourceLock.MatchString(e.Message)
}

// resourceLock finds GitLab's answer to any call that met another change of the
// same thing (rescue_from in lib/api/api.rb): "409 Conflict: Resource lock".
var resourceLock = regexp.MustCompile(`(?i)\bresource lock\b`)

// MaybeDone reports whether a POST may have taken effect although it failed:
// the connection broke after it was written, nobody answered in time, GitLab
// answered 5xx or unreadably. The job's state tells; read it before acting
// again.
func (e *Error) MaybeDone() bool { return e.maybeDone }

// UnknownScope reports whether GitLab refused a list for a status of its scope
// that it does not know: the server is older than the status.
func (e *Error) UnknownScope() bool {
	return e.Final(http.StatusBadRequest) && strings.HasPrefix(e.Message, "scope")
}

// class says what to do about a failed call.
type class int

const (
	never  class = iota // the same call fails again
	again               // come back later
	rights              // a person must mend the token or its rights
)

// statusClientClosed is nginx's: the client of a proxy behind it went away.
const statusClientClosed = 499

// classify and suspect are the one place that knows what a failure means.
// classify says what it means for the call: status 0 is no answer, a status
// below 300 an answer that can't be read.
func classify(status int, message string) class {
	switch {
	case status < 300, status >= 500:
		return again
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusLocked, status == statusClientClosed:
		return again
	case status == http.StatusConflict:
		return again // the thing is locked, or is being counted anew
	case status == http.StatusForbidden && !aboutState.MatchString(message):
		return rights
	default:
		return never
	}
}

// suspect says what a failed request, if all failed like it, would say of GitLab
// as a whole; "" for nothing. err is of reading the answer.
func suspect(resp *gl.Response, refused []byte, message string, err error) TroubleKind {
	if resp == nil {
		return ""
	}
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized && isObject(refused):
		return TroubleToken
	case status == http.StatusForbidden && insufficientScope.MatchString(message):
		return TroubleScope
	case status == http.StatusForbidden && accountDenied.MatchString(message):
		return TroubleToken
	case status == http.StatusProxyAuthRequired, status == http.StatusNetworkAuthenticationRequired:
		return TroubleAnswers
	case status >= 500, classify(status, message) == again && status >= 300:
		return "" // GitLab behind a proxy, or a proxy alone: it passes, or all fail so
	case status < 300 && err != nil && !isWebPage(resp):
		return "" // it was cut
	case status < 400, isWebPage(resp), !isObject(refused):
		return TroubleAnswers // GitLab's API answers in JSON, and redirects within itself only
	}
	return ""
}

// isObject reports whether a refusal is a JSON object, as all of the API's are
// but those of the rate limiter before it.
func isObject(body []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(body, &object) == nil
}

var (
	// aboutState finds the refusals that speak of the job and not of who asks:
	// "403 Forbidden - Job is not retryable", "... not erasable!".
	aboutState = regexp.MustCompile(`(?i)\bnot (retryable|erasable)\b`)
	// insufficientScope finds that of a token without the scope
	// (lib/api/api_guard.rb). A fine-grained token's insufficient_granular_scope is
	// about one endpoint in one project, and a matter of rights.
	insufficientScope = regexp.MustCompile(`\binsufficient_scope\b`)
	// accountDenied finds those of a token's user who may use nothing
	// (lib/gitlab/auth/user_access_denied_reason.rb).
	accountDenied = regexp.MustCompile(`(?i)\b(your (account|password|primary email)|must accept the terms|internal users)\b`)
)

// explain adds to GitLab's words what they leave out.
func explain(name string, status int, message string) string {
	switch {
	case status == http.StatusForbidden && strings.Contains(message, "not retryable"):
		return message + ": it was retried already, is archived, or its deployment was rejected"
	case status == http.StatusNotFound && name == endpoint.Retry && strings.EqualFold(message, "404 Not found"):
		return message + " (before 17.0, GitLab retries no trigger job through its API)"
	default:
		return message
	}
}

// maxMessage bounds Error.Message, in bytes.
const maxMessage = 300

// refusal gives GitLab's words from the body of an answer that is no success:
// {"message": ...}, {"error": ...} with its description, plain text, or the
// title of a web page.
func refusal(body []byte, status int) string {
	var answer map[string]any
	text := string(body)
	switch {
	case json.Unmarshal(body, &answer) == nil:
		text = words(answer)
	case strings.HasPrefix(strings.TrimSpace(text), "<"):
		text = webPage(text)
	}
	if text = oneLine(text); text != "" {
		return text
	}
	return cmp.Or(http.StatusText(status), "no reason given")
}

// words flattens what GitLab puts in "message" and "error": a text, a list, or
// lists by field.
func words(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	case []any:
		var parts []string
		for _, v := range value {
			parts = append(parts, words(v))
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(value)) {
			switch key {
			case "message", "error", "error_description", "base":
				parts = append(parts, words(value[key]))
			default:
				parts = append(parts, key+": "+words(value[key]))
			}
		}
		return strings.Join(parts, ", ")
	default:
		return fmt.Sprint(value)
	}
}

var (
	pageTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	pageTags  = regexp.MustCompile(`(?s)<(?:style|script).*?</(?:style|script)>|<[^>]*>`)
)

// webPage gives a page's title, or its text when it has none.
func webPage(page string) string {
	if title := pageTitle.FindStringSubmatch(page); title != nil {
		return html.UnescapeString(title[1])
	}
	return html.UnescapeString(pageTags.ReplaceAllString(page, " "))
}

// oneLine makes a text fit for a log: valid, printable, on one line.
func oneLine(text string) string {
	printable := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return strings.Join(strings.Fields(printable), " ")
}

// shorten cuts a text to maxMessage bytes, between two characters.
func shorten(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + "..."
}
