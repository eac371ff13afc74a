package gitlab

import (
	"encoding/json"
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
	if e.Status == http.StatusUnauthorized {
		b.WriteString(": the access token is wrong, expired or revoked")
	}
	return b.String()
}

// Again reports whether the same call may succeed later, and the least time
// to wait before; 0 leaves that to the caller's backoff.
func (e *Error) Again() (after time.Duration, ok bool) { return e.After, e.class == again }

// Rights reports whether GitLab refused because of who asked: the token is
// wrong or expired, or has no right to do this.
func (e *Error) Rights() bool { return e.class == rights }

// Limited reports whether a rate limit is why: GitLab's, or the one that the
// replicas share. The same call goes through later.
func (e *Error) Limited() bool { return e.deferred || e.Status == http.StatusTooManyRequests }

// Conflict reports whether GitLab refuses for as long as it does something
// else, for minutes or hours: it counts the sizes of a project's artifacts anew.
// The other conflict, "Resource lock", passes within moments.
func (e *Error) Conflict() bool {
	return e.Status == http.StatusConflict && e.Endpoint == endpointErase && !resourceLock.MatchString(e.Message)
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
	return e.Status == http.StatusBadRequest && strings.HasPrefix(e.Message, "scope")
}

// class says what to do about a failed call.
type class int

const (
	never  class = iota // the same call fails again
	again               // come back later
	rights              // a person must mend the token or its rights
)

// classify is the one place that knows what a failure means. Status 0 is no
// answer, a status below 300 an answer that can't be read.
func classify(status int, message string) class {
	switch {
	case status < 300, status >= 500:
		return again
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return again
	case status == http.StatusConflict:
		return again // the thing is locked, or is being counted anew
	case status == http.StatusUnauthorized:
		return rights
	case status == http.StatusForbidden && !aboutState.MatchString(message):
		return rights
	default:
		return never
	}
}

// aboutState finds the refusals that speak of the job and not of who asks:
// "403 Forbidden - Job is not retryable", "... not erasable!".
var aboutState = regexp.MustCompile(`(?i)\bnot (retryable|erasable)\b`)

// explain adds to GitLab's words what they leave out.
func explain(endpoint string, status int, message string) string {
	switch {
	case status == http.StatusForbidden && strings.Contains(message, "not retryable"):
		return message + ": it was retried already, is archived, or its deployment was rejected"
	case status == http.StatusNotFound && endpoint == endpointRetry && strings.EqualFold(message, "404 Not found"):
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
	return http.StatusText(status)
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
