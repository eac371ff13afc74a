package slack

import (
	"errors"
	"io"
	"net/http"
	"strings"

	slackapi "github.com/slack-go/slack"
)

// session is Slack's API with the token in force.
type session struct {
	*slackapi.Client
	hidden []string // the token, and those that were in force before: to keep them out of errors
}

// maxHidden bounds how many tokens are remembered, only to be hidden.
const maxHidden = 10

// SetToken makes the bot token the one of all calls from now on. After an error
// the old one stays.
func (t *Teller) SetToken(token string) error {
	if token == "" {
		return errors.New("slack: no token: set --slack-token to the app's bot token (xoxb-…)")
	}
	if strings.HasPrefix(token, "xapp-") {
		return errors.New("slack: the token is an app-level token (xapp-…): set --slack-token to the app's bot token (xoxb-…)")
	}
	next := &session{Client: t.connect(token), hidden: []string{token}}
	if before := t.session.Load(); before != nil {
		next.hidden = append(next.hidden, before.hidden[:min(len(before.hidden), maxHidden-1)]...)
	}
	t.session.Store(next)
	return nil
}

// api gives Slack's API with the token in force.
func (t *Teller) api() *session { return t.session.Load() }

// bounded is an HTTP client that reads no more than maxAnswer of a body, and
// follows no redirect.
type bounded struct{ client *http.Client }

// newBounded copies the client. Slack's API redirects nothing. Whoever else
// answers there would get the token with a redirected request, in its body
// (307, 308) or in its header; another redirect would turn a post into a GET
// that does nothing. So the redirect is the answer, and that is no success.
func newBounded(client *http.Client) bounded {
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return bounded{&own}
}

// Do sends the request.
func (b bounded) Do(r *http.Request) (*http.Response, error) {
	response, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxAnswer), response.Body}
	return response, nil
}
