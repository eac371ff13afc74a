// Package gitlab has the calls of GitLab's API that Pipesteward needs: the
// eleven of the Jobs API, and some on pipelines, projects and webhooks. Their
// results are the values of rules/event.
//
//	jobs.go, pipelines.go, projects.go, hooks.go  one method for each call
//	token.go, roles.go, instance.go               what the token may do, and where
//	users.go, protection.go                       what people may do, and where
//	cursor.go     where a list continues
//	decode.go     the API's JSON
//	event.go      the event that a webhook would have sent, derived from the API's answers
//	addresses.go  the base URLs of the instance, and which deliveries are its own
//
// The packages below have a concept each:
//
//	rest          sends requests: tokens, repeats, views
//	ratelimit     when a request may be sent
//	availability  whether GitLab as a whole can be used: circuit breakers
//	apierror      errors, classified once: about the job, the moment or the bot
//	endpoint      the names of the calls
//	outdated      whether a pipeline makes another one redundant
//	gitlabtest    the simulated GitLab
//
// The package has more than 2,000 lines because it is one client: its calls share the
// Client's rate limits, breakers and views, its ways to list, and the API's types.
package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Config is what a Client needs. BaseURL, Now and one of the tokens (or Anonymous)
// are required, the rest has defaults.
type Config struct {
	BaseURL  string   // the instance's: https://gitlab.com, https://example.com/gitlab
	Aliases  []string // other base URLs that the same instance calls itself by
	Token    string   // personal, project or group access token with the scope api
	JobToken string   // CI_JOB_TOKEN; without a Token every call is authenticated by it
	// Anonymous allows neither token: requests then carry none, and tell whether GitLab
	// answers.
	Anonymous bool
	Version   string // Pipesteward's own, for the User-Agent; default dev

	Transport http.RoundTripper // default: one with time-outs of its own
	Timeout   time.Duration     // of one request, its whole answer included; default 2 min

	Limiter ratelimit.Limiter // limits the requests of all replicas; nil: none
	Rate    store.Rate        // of requests to one instance, for Limiter
	// MaxWait is the longest that a request waits in place because GitLab requires
	// it; default 10 s. A request that would wait longer, or more than a minute for
	// Rate, fails with an *apierror.Error that has After.
	MaxWait time.Duration

	LogLimit int64 // how many bytes of a log's end Log returns; default 1 MiB, at most 100 MiB

	Now     func() time.Time
	Sleep   func(ctx context.Context, d time.Duration) error     // returns ctx's error when ctx ends first; default: a timer
	Observe func(ctx context.Context, endpoint string, code int) // called after every request; code 0: no answer
	Log     *slog.Logger                                         // default: nothing is logged
}

const (
	defaultMaxWait  = 10 * time.Second
	defaultLogLimit = 1 << 20
	defaultTimeout  = 2 * time.Minute // a long log included
)

// Client calls the API of one GitLab instance. It is safe for concurrent use.
type Client struct {
	*rest.Client

	instance  string // base URL without a slash at its end
	prefix    string // its path
	host      string // names the instance in the ids of events
	logLimit  int64  // bytes
	addresses *addresses
	now       func() time.Time
	sleep     func(context.Context, time.Duration) error
}

// New returns a client, or an error that says which part of the
// configuration is wrong and what to write instead. It sends no request.
func New(cfg Config) (*Client, error) {
	base, err := parseBaseURL(cfg.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("gitlab: %w", err)
	}
	if cfg.Now == nil {
		return nil, errors.New("gitlab: Config.Now is missing")
	}
	if cfg.Limiter != nil && (cfg.Rate.Limit <= 0 || cfg.Rate.Per <= 0) {
		return nil, fmt.Errorf("gitlab: rate %d/%s allows no request: write for instance 300/1m", cfg.Rate.Limit, cfg.Rate.Per)
	}
	if cfg.LogLimit < 0 || cfg.LogLimit > rest.MaxLog {
		return nil, fmt.Errorf("gitlab: log limit of %d bytes: write 0 (1 MiB) to %d", cfg.LogLimit, rest.MaxLog)
	}
	known, err := newAddresses(base, cfg.Aliases, cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	c := &Client{
		instance:  base.String(),
		prefix:    base.Path,
		host:      base.Host,
		logLimit:  cmp.Or(cfg.LogLimit, defaultLogLimit),
		addresses: known,
		now:       cfg.Now,
		sleep:     cfg.Sleep,
	}
	if c.sleep == nil {
		c.sleep = Sleep
	}
	observe := cfg.Observe
	if observe == nil {
		observe = func(context.Context, string, int) {}
	}
	maxWait := cmp.Or(cfg.MaxWait, defaultMaxWait)
	c.Client, err = rest.New(rest.Config{
		BaseURL:   c.instance,
		Token:     cfg.Token,
		JobToken:  cfg.JobToken,
		Anonymous: cfg.Anonymous,
		UserAgent: "pipesteward/" + cmp.Or(cfg.Version, "dev"),
		Transport: cfg.Transport,
		Timeout:   cmp.Or(cfg.Timeout, defaultTimeout),
		Queue: ratelimit.New(ratelimit.Config{
			Limiter: cfg.Limiter,
			Key:     keys.Requests(base.Host),
			Rate:    cfg.Rate,
			MaxWait: maxWait,
			Now:     c.now,
			Sleep:   c.sleep,
		}),
		MaxWait: maxWait,
		Now:     c.now,
		Sleep:   c.sleep,
		Observe: observe,
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Instance returns the base URL of the instance, without a slash at its end.
func (c *Client) Instance() string { return c.instance }

// WithBudget returns a view of the client that sends at most n requests, see
// rest.Client.WithBudget.
func (c *Client) WithBudget(n int) *Client { return c.view(c.Client.WithBudget(n)) }

// Gated returns a view of the client that calls gate before each request that
// changes something, see rest.Client.Gated.
func (c *Client) Gated(gate func(context.Context) error) *Client { return c.view(c.Client.Gated(gate)) }

// Recorded returns a view of the client that calls record after each request that was
// sent, see rest.Client.Recorded.
func (c *Client) Recorded(record func(rest.Exchange)) *Client {
	return c.view(c.Client.Recorded(record))
}

// Sweeping returns a view of the client whose requests yield to all others, see
// rest.Client.Sweeping.
func (c *Client) Sweeping() *Client { return c.view(c.Client.Sweeping()) }

// view returns a copy of the client that sends its requests by another one.
func (c *Client) view(by *rest.Client) *Client {
	view := *c
	view.Client = by
	return &view
}

// Sleep waits for d or until ctx ends; then it returns ctx's error.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
