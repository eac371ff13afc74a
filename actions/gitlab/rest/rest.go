// Package rest sends requests to GitLab's REST API, and queries to its GraphQL API. A call goes through these
// steps:
//
//	call.go       sends the request, repeats a GET if that may help, decodes the answer
//	coalesce.go   makes identical GETs that wait one request
//	availability  blocks the request while GitLab as a whole can't be used
//	ratelimit     delays it until the instance may be sent another one
//	send.go       sends it once, and makes an *apierror.Error of what is no success
//	transport.go  bounds what is read, and keeps the token on its host
package rest

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/availability"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
)

// Config is what a Client needs. All but one of the tokens and Transport is
// required.
type Config struct {
	BaseURL   string // of the instance, without a slash at its end
	Token     string // personal, project or group access token
	JobToken  string // CI_JOB_TOKEN; without a Token every call is authenticated by it
	Anonymous bool   // without tokens: requests find out whether GitLab answers
	UserAgent string

	Transport http.RoundTripper // nil: one with time-outs of its own
	Timeout   time.Duration     // of one request, its whole answer included

	Queue   *ratelimit.Queue // each request waits in it first
	MaxWait time.Duration    // a GET for which GitLab requires a longer wait is not repeated

	Now     func() time.Time
	Sleep   func(ctx context.Context, d time.Duration) error     // returns ctx's error when ctx ends first
	Observe func(ctx context.Context, endpoint string, code int) // called after every request; code 0: no answer
}

// Client sends requests to one GitLab instance. It is safe for concurrent use.
type Client struct {
	api      *gl.Client
	tokens   *atomic.Pointer[tokens]
	queue    *ratelimit.Queue
	flights  *flights
	breakers *availability.Breakers
	maxWait  time.Duration
	now      func() time.Time
	ahead    *atomic.Pointer[time.Duration]   // how far now is ahead of GitLab's clock, by its last answer; nil: unknown
	quota    *atomic.Pointer[ratelimit.Quota] // that GitLab's last answer announced; nil: none
	sleep    func(context.Context, time.Duration) error
	observe  func(context.Context, string, int)

	// Of a view, see view.go.
	budget   *budget // nil: none
	sweeping bool
	gate     func(context.Context) error // nil: none
	record   func(Exchange)              // nil: none
}

// New returns a client, or an error that says which part of the configuration is
// wrong. It sends no request.
func New(cfg Config) (*Client, error) {
	given, err := newTokens(cfg.Token, cfg.JobToken, cfg.Anonymous, nil)
	if err != nil {
		return nil, err
	}
	c := &Client{
		tokens:  new(atomic.Pointer[tokens]),
		queue:   cfg.Queue,
		flights: &flights{waiting: map[string]*flight{}, sent: map[string]*flight{}},
		maxWait: cfg.MaxWait,
		now:     cfg.Now,
		ahead:   new(atomic.Pointer[time.Duration]),
		quota:   new(atomic.Pointer[ratelimit.Quota]),
		sleep:   cfg.Sleep,
		observe: cfg.Observe,
	}
	c.tokens.Store(given)
	c.breakers = availability.New(c.now, prober{c})
	// The token is set request by request, so that GitLab never gets two.
	// Requests are delayed before client-go gets them; it would make a limiter of
	// its own out of the first answer's headers.
	c.api, err = gl.NewAuthSourceClient(gl.Unauthenticated{},
		gl.WithBaseURL(cfg.BaseURL),
		gl.WithHTTPClient(newHTTPClient(cfg.Transport, cfg.Timeout)),
		gl.WithCustomLimiter(unlimited{}),
		gl.WithoutRetries(),
		gl.WithUserAgent(cfg.UserAgent),
	)
	if err != nil {
		return nil, fmt.Errorf("gitlab: %w", err)
	}
	return c, nil
}

// unlimited is client-go's rate limiter, which it calls before every request.
type unlimited struct{}

var _ gl.RateLimiter = unlimited{}

// Wait lets every request go.
func (unlimited) Wait(context.Context) error { return nil }

// Now returns the time, by GitLab's clock if the local one is ahead of it: an
// age by this is never more than GitLab would say.
func (c *Client) Now() time.Time {
	if ahead := c.ahead.Load(); ahead != nil {
		return c.now().Add(-max(0, *ahead))
	}
	return c.now()
}

// ClockAhead returns how far the local clock is ahead of GitLab's, negative if it is
// behind, by GitLab's last answer: to a second, and to the time that the answer took.
// known is false until GitLab has answered with its time.
func (c *Client) ClockAhead() (ahead time.Duration, known bool) {
	least := c.ahead.Load()
	if least == nil {
		return 0, false
	}
	return *least + dateResolution/2, true
}

// dateResolution is the resolution of the Date header.
const dateResolution = time.Second

// learnTime learns from the Date header of an answer how far the local clock is
// ahead, at least.
func (c *Client) learnTime(date string) {
	if at, err := http.ParseTime(date); err == nil {
		c.ahead.Store(new(c.now().Sub(at.Add(dateResolution))))
	}
}

// Quota returns the general rate limit that GitLab's last answer announced; ok is
// false if it announced none.
func (c *Client) Quota() (q ratelimit.Quota, ok bool) {
	if announced := c.quota.Load(); announced != nil {
		return *announced, true
	}
	return ratelimit.Quota{}, false
}
