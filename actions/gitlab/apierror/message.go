package apierror

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
)

// Refusal returns the reason that an answer which is no success gives, and for a
// redirect that was not followed its target.
func Refusal(resp *gl.Response, body []byte) string {
	if to, err := resp.Location(); err == nil {
		return fmt.Sprintf("GitLab redirects to %s://%s, where no token is sent: write the address that it has there as GitLab URL", to.Scheme, to.Host)
	}
	return reason(body, resp.StatusCode)
}

// Network returns the cause of a failed request without its URL, which Error
// names.
func Network(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}

// explain adds the possible causes to a message of GitLab that omits them.
func explain(name string, status int, message string) string {
	switch {
	case status == http.StatusForbidden && strings.Contains(message, "not retryable"):
		return message + ": it was retried already, is archived, or its deployment was rejected"
	case status == http.StatusNotFound && name == endpoint.Retry && strings.EqualFold(message, "404 Not found"):
		return message + " (before 17.0, GitLab retries no trigger job through its API)"
	case status == http.StatusUnprocessableEntity && (name == endpoint.CreateHook || name == endpoint.EditHook) && strings.Contains(message, "Invalid url"):
		return message + ": it is malformed, or in a local network that an administrator of GitLab has to allow (Admin, Settings, Network, Outbound requests)"
	case status == http.StatusNotFound && name == endpoint.TestHook && strings.EqualFold(message, "404 Not Found"):
		return message + " (before 16.11, for groups 17.1, GitLab tests no webhook through its API: press Test at the webhook)"
	default:
		return message
	}
}

// maxMessage bounds Error.Message, in bytes.
const maxMessage = 300

// reason extracts the reason from the body of an answer that is no success:
// {"message": ...}, {"error": ...} with its description, plain text, or the
// title of a web page.
func reason(body []byte, status int) string {
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

// words flattens the value of "message" or "error": a text, a list, or lists by
// field.
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

// webPage returns a page's title, or its text if it has none.
func webPage(page string) string {
	if title := pageTitle.FindStringSubmatch(page); title != nil {
		return html.UnescapeString(title[1])
	}
	return html.UnescapeString(pageTags.ReplaceAllString(page, " "))
}

// oneLine makes a text loggable: valid UTF-8, printable, on one line.
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
