package slack

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	slackapi "github.com/slack-go/slack"
)

// sessions are Slack's API with the token in use, which can be replaced.
type sessions struct {
	current atomic.Pointer[session]
	connect func(token string) *slackapi.Client
	base    *url.URL     // of the API
	http    *http.Client // which follows no redirect
}

// session is Slack's API with one token.
type session struct {
	*slackapi.Client
	secrets []string // the token, and those that were in use before: errors are redacted of them
}

// maxSecrets bounds how many tokens are kept in order to redact them.
const maxSecrets = 10

// open makes the sessions of a config. It does not call Slack.
func (s *sessions) open(c Config) error {
	base, err := parseAPIURL(c.APIURL)
	if err != nil {
		return fmt.Errorf("slack: %w", err)
	}
	if s.base, err = url.Parse(base); err != nil {
		return fmt.Errorf("slack: %w", err)
	}
	client := newBounded(cmp.Or(c.HTTPClient, http.DefaultClient), c.Now)
	s.http = client.client
	s.connect = func(token string) *slackapi.Client {
		return slackapi.New(token, slackapi.OptionAPIURL(strings.TrimSuffix(base, "/")+"/"), slackapi.OptionHTTPClient(client))
	}
	return s.SetToken(c.Token)
}

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
func (s *sessions) SetToken(token string) error {
	if err := CheckToken(token); err != nil {
		return fmt.Errorf("slack: %w", err)
	}
	next := &session{Client: s.connect(token), secrets: []string{token}}
	if before := s.current.Load(); before != nil {
		next.secrets = append(next.secrets, before.secrets[:min(len(before.secrets), maxSecrets-1)]...)
	}
	s.current.Store(next)
	return nil
}

// api returns Slack's API with the token in use.
func (s *sessions) api() *session { return s.current.Load() }

// bounded is an HTTP client that reads no more than maxAnswer of a body, follows no
// redirect, and does not call a method before its Retry-After has passed.
type bounded struct {
	client *http.Client
	now    func() time.Time

	mu   *sync.Mutex
	held map[string]time.Time // until when a method is not called
}

// maxHold bounds how long a method is not called.
const maxHold = time.Hour

// newBounded copies the client and makes it follow no redirect. Slack's API sends
// none. Any other server that answers there would get the token with a redirected
// request, in its body (307, 308) or in its header; another redirect would turn a
// post into a GET that does nothing. So the redirect is the answer, and an error.
func newBounded(client *http.Client, now func() time.Time) bounded {
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return bounded{&own, now, &sync.Mutex{}, map[string]time.Time{}}
}

// Do sends the request, unless Slack has limited its method: it limits each by itself.
func (b bounded) Do(r *http.Request) (*http.Response, error) {
	method := path.Base(r.URL.Path)
	if wait := b.wait(method); wait > 0 {
		return nil, &slackapi.RateLimitedError{RetryAfter: wait}
	}
	response, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusTooManyRequests {
		b.hold(method, response.Header.Get("Retry-After"))
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxAnswer), response.Body}
	return response, nil
}

// wait returns how long a method must not be called.
func (b bounded) wait(method string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(b.held[method].Sub(b.now()), maxHold) // a clock set back holds nothing for longer
}

// hold has a method not called before its Retry-After, in seconds, has passed.
func (b bounded) hold(method, retryAfter string) {
	seconds, err := strconv.Atoi(retryAfter)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[method] = b.now().Add(min(time.Duration(seconds)*time.Second, maxHold))
}
