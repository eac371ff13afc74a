package slack

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	slackapi "github.com/slack-go/slack"
)

// session is Slack's API with the token in use.
type session struct {
	*slackapi.Client
	secrets []string // the token, and those that were in use before: errors are redacted of them
}

// maxSecrets bounds how many tokens are kept in order to redact them.
const maxSecrets = 10

// CheckToken returns what is wrong with a bot token, as far as its text tells; nil for
// nothing.
func CheckToken(token string) error {
	switch {
	case token == "":
		return errors.New("no token: set --slack-token to the app's bot token (xoxb-…)")
	case strings.HasPrefix(token, "xapp-"):
		return errors.New("the token is an app-level token (xapp-…): set --slack-token to the app's bot token (xoxb-…)")
	}
	return nil
}

// SetToken replaces the bot token for all calls from now on. After an error the
// old one stays in use.
func (n *Notifier) SetToken(token string) error {
	if err := CheckToken(token); err != nil {
		return fmt.Errorf("slack: %w", err)
	}
	next := &session{Client: n.connect(token), secrets: []string{token}}
	if before := n.session.Load(); before != nil {
		next.secrets = append(next.secrets, before.secrets[:min(len(before.secrets), maxSecrets-1)]...)
	}
	n.session.Store(next)
	return nil
}

// api returns Slack's API with the token in use.
func (n *Notifier) api() *session { return n.session.Load() }

// bounded is an HTTP client that reads no more than maxAnswer of a body, and
// follows no redirect.
type bounded struct{ client *http.Client }

// newBounded copies the client and makes it follow no redirect. Slack's API sends
// none. Any other server that answers there would get the token with a redirected
// request, in its body (307, 308) or in its header; another redirect would turn a
// post into a GET that does nothing. So the redirect is the answer, and an error.
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
