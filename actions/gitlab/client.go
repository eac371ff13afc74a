// Package gitlab talks to GitLab: the eleven calls of its Jobs API, and some on
// pipelines, projects and webhooks, paced and repeated by one policy, with
// errors that are classified once.
//
// A call goes through five steps, each in its own file:
//
//	jobs.go       names the call and turns the answer into the house's values
//	(pipelines.go, projects.go, hooks.go; cursor.go: where a list goes on)
//	policy.go     sends it, and sends a GET again where that may help
//	flight.go     makes identical GETs that wait one request
//	pace.go       waits before each request until the instance may be asked
//	transport.go  bounds what is read, and keeps the token on its host
//
// What came back and is no success is an *Error (errors.go): it says whether
// to come back later, whether the token lacks the right, and whether a POST
// may have taken effect all the same.
package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Config is what a Client needs. BaseURL, Now and one of the tokens are
// required, the rest has defaults.
type Config struct {
	BaseURL  string   // the instance's: https://gitlab.com, https://example.com/gitlab
	Aliases  []string // other base URLs that the same instance calls itself by
	Token    string   // personal, project or group access token with the scope api
	JobToken string   // CI_JOB_TOKEN; without a Token it is sent with every call
	Version  string   // Pipesteward's own, for the User-Agent; default dev

	Transport http.RoundTripper // default: one with time-outs of its own
	Timeout   time.Duration     // of one request, its whole answer included; default 2 min

	Limiter Limiter    // asked before every request; nil: none
	Rate    store.Rate // what Limiter grants to one instance
	// MaxWait is the longest that GitLab may hold a request back in place;
	// default 10 s. What takes longer, or more than a minute in line for Rate, is
	// an *Error with After.
	MaxWait time.Duration

	LogLimit int64 // how many bytes of a log's end Log gives; default 1 MiB, at most 100 MiB

	Now     func() time.Time
	Sleep   func(ctx context.Context, d time.Duration) error // returns ctx's error when ctx ends first; default: a timer
	Observe func(endpoint string, code int)                  // called after every request; code 0: no answer
	Log     *slog.Logger                                     // default: nothing is logged
}

const (
	defaultMaxWait  = 10 * time.Second
	defaultLogLimit = 1 << 20
	defaultTimeout  = 2 * time.Minute // a long log included
)

// Client asks one GitLab instance. It is safe for concurrent use.
type Client struct {
	api       *gl.Client
	instance  string // base URL without a slash at its end
	prefix    string // its path
	tokens    *atomic.Pointer[tokens]
	logLimit  int64
	addresses *addresses
	pace      *pacer
	flights   *flights
	health    *health
	budget    *budget                     // of a view; nil: none
	sweeping  bool                        // of a view
	gate      func(context.Context) error // of a view; nil: none
	now       func() time.Time
	ahead     *atomic.Int64 // nanoseconds that now is ahead of GitLab's clock, by its last answer
	sleep     func(context.Context, time.Duration) error
	observe   func(string, int)
}

// New returns a client, or an error that says which part of the
// configuration is wrong and what to write instead. It asks GitLab nothing.
func New(cfg Config) (*Client, error) {
	base, err := parseBaseURL(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	given, err := newTokens(cfg.Token, cfg.JobToken, nil)
	if err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		return nil, errors.New("gitlab: Config.Now is missing")
	}
	if cfg.Limiter != nil && (cfg.Rate.Limit <= 0 || cfg.Rate.Per <= 0) {
		return nil, fmt.Errorf("gitlab: rate %d/%s allows no request: write for instance 300/1m", cfg.Rate.Limit, cfg.Rate.Per)
	}
	if cfg.LogLimit < 0 || cfg.LogLimit > MaxLog {
		return nil, fmt.Errorf("gitlab: log limit of %d bytes: write 0 (1 MiB) to %d", cfg.LogLimit, MaxLog)
	}

	known, err := newAddresses(base, cfg.Aliases, cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}

	c := &Client{
		instance:  base.String(),
		addresses: known,
		prefix:    base.Path,
		tokens:    new(atomic.Pointer[tokens]),
		logLimit:  cmp.Or(cfg.LogLimit, defaultLogLimit),
		now:       cfg.Now,
		ahead:     new(atomic.Int64),
		sleep:     cfg.Sleep,
		observe:   cfg.Observe,
		flights:   &flights{waiting: map[string]*flight{}, sent: map[string]*flight{}},
	}
	c.tokens.Store(given)
	if c.sleep == nil {
		c.sleep = sleep
	}
	if c.observe == nil {
		c.observe = func(string, int) {}
	}
	c.health = &health{now: c.now}
	c.pace = &pacer{
		limiter: cfg.Limiter,
		key:     keys.Requests(base.Host),
		rate:    cfg.Rate,
		maxWait: cmp.Or(cfg.MaxWait, defaultMaxWait),
		now:     c.now,
		sleep:   c.sleep,
	}
	// The token is set request by request, so that GitLab never gets two.
	// Requests are paced before client-go gets them; it would make a limiter of
	// its own out of the first answer's headers.
	c.api, err = gl.NewAuthSourceClient(gl.Unauthenticated{},
		gl.WithBaseURL(c.instance),
		gl.WithHTTPClient(newHTTPClient(cfg.Transport, cmp.Or(cfg.Timeout, defaultTimeout))),
		gl.WithCustomLimiter(unlimited{}),
		gl.WithoutRetries(),
		gl.WithUserAgent("pipesteward/"+cmp.Or(cfg.Version, "dev")),
	)
	if err != nil {
		return nil, fmt.Errorf("gitlab: %w", err)
	}
	return c, nil
}

// Now returns the time, by GitLab's clock where the local one is ahead of it: an
// age by this is never more than GitLab would say.
func (c *Client) Now() time.Time {
	return c.now().Add(-time.Duration(max(0, c.ahead.Load())))
}

// learnTime learns from the Date header of an answer how far the local clock is
// ahead.
func (c *Client) learnTime(date string) {
	if at, err := http.ParseTime(date); err == nil {
		c.ahead.Store(int64(c.now().Sub(at.Add(time.Second)))) // which has whole seconds
	}
}

// Instance returns the base URL of the instance, without a slash at its end.
func (c *Client) Instance() string { return c.instance }

// parseBaseURL reads an instance's base URL. It forgives a slash and an
// /api/v4 at the end. Its errors never hold a password of the URL.
func parseBaseURL(text string) (*url.URL, error) {
	const want = "write the address of your GitLab, for instance https://gitlab.com or https://example.com/gitlab"
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("gitlab: the GitLab URL is empty: " + want)
	}
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // without the URL itself
		}
		return nil, fmt.Errorf("gitlab: the GitLab URL can't be read (%w): %s", err, want)
	}
	switch {
	case u.User != nil:
		return nil, errors.New("gitlab: the GitLab URL holds a user name or password: leave them out, the token is a setting of its own")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("gitlab: the GitLab URL %q does not begin with https:// or http://: %s", u.Redacted(), want)
	case u.Hostname() == "":
		return nil, fmt.Errorf("gitlab: the GitLab URL %q has no host: %s", u.Redacted(), want)
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("gitlab: the GitLab URL has a query (?...): leave it out")
	case u.Fragment != "":
		return nil, errors.New("gitlab: the GitLab URL has a fragment (#...): leave it out")
	}
	path := strings.TrimRight(u.Path, "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/api/v4"), "/")
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: path}, nil
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
