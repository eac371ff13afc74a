package ratelimit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// GitLab has two kinds of rate limits. The general ones count all requests of a
// user or an address, and block every request (response.go). The application
// limits, many and on by default since 19.4, count the calls of one endpoint on
// one project or job (lib/gitlab/application_rate_limiter.rb), and block that
// endpoint in that project and nothing else.

// applicationLimits are how many calls a minute GitLab 19.4 allows in each
// project, by endpoint. Limits on a single job or pipeline are left out: this
// program does not call often enough on one.
var applicationLimits = map[string]int{
	endpoint.Retry:          1250,
	endpoint.Play:           750,
	endpoint.Erase:          400,
	endpoint.RetryPipeline:  200,
	endpoint.CancelPipeline: 120,
	endpoint.ProjectJobs:    600, // for each user, over all projects
}

// limitWindow is how long GitLab counts for an application limit, and so how
// long the limit blocks when the answer does not say it.
const limitWindow = time.Minute

// maxScopes bounds how many endpoints of projects are remembered as blocked or
// as checked; beyond that those that are no longer blocked are forgotten.
const maxScopes = 1000

// checkEvery is the least time between two checks whether another replica has
// blocked an endpoint.
const checkEvery = time.Second

// endpointLimits are the application limits as this client knows them. The
// queue's mutex guards the maps.
type endpointLimits struct {
	blockedUntil map[string]time.Time // by scope: no call before
	checked      map[string]time.Time // by scope: when the shared block was last checked
}

// sweepsShare is how much of an application limit sweeps use: in any window, the
// burst and what comes back meanwhile stay under it.
func sweepsShare(endpoint string) (rate store.Rate, limited bool) {
	limit, limited := applicationLimits[endpoint]
	return store.Rate{Limit: limit - limit/4, Per: limitWindow, Burst: limit / 4}, limited
}

// IsEndpointLimit reports whether an answer is of an application limit, by its
// body: a JSON object, whose text may be in the user's language. The general
// limits answer in plain text, and other gateways with RateLimit headers.
func (r Response) IsEndpointLimit() bool {
	if r.Status != http.StatusTooManyRequests {
		return false
	}
	var object map[string]any
	if json.Unmarshal(r.Body, &object) != nil {
		return false
	}
	return bytes.Contains(r.Body, []byte("endpoint has been requested too many times")) || r.Header.Get("RateLimit-Remaining") == ""
}

// waitForEndpoint blocks until the application limit of r allows it, or returns a
// *NotSentError that says when to come back: a sweep waits in place for a while,
// any other request is deferred, so that its worker does other work.
func (q *Queue) waitForEndpoint(ctx context.Context, p Priority, r Request) error {
	scope := r.scope()
	since := q.Now()
	for {
		wait, err := q.endpointBlocked(ctx, p, r, scope)
		switch {
		case err != nil:
			return &NotSentError{0, fmt.Sprintf("the rate limiter failed: %v", err)}
		case wait <= 0:
			return nil
		case p != Sweep || wait > q.MaxWait || q.Now().Sub(since)+wait > maxQueueTime:
			return &NotSentError{wait, fmt.Sprintf("GitLab's own limit for this endpoint allows the next call of %s in %s", scope, wait.Round(time.Millisecond))}
		}
		if err := q.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// endpointBlocked returns for how long the scope is blocked; 0: not at all, and
// the call of a sweep is counted. The shared block is checked only for requests
// that change something, at most once in checkEvery, and for sweeps: other reads
// learn of it from their own answer.
func (q *Queue) endpointBlocked(ctx context.Context, p Priority, r Request, scope string) (time.Duration, error) {
	q.mu.Lock()
	now := q.Now()
	blocked := q.endpoints.blockedUntil[scope].Sub(now)
	check := r.writes() && now.Sub(q.endpoints.checked[scope]) >= checkEvery
	q.mu.Unlock()
	if blocked > 0 || q.Limiter == nil {
		return blocked, nil
	}
	if rate, ok := sweepsShare(r.Endpoint); ok && p == Sweep {
		_, wait, err := q.Limiter.Take(ctx, store.Bucket{Key: keys.Sweeps(q.scopeKey(scope)), Rate: rate})
		return wait, err
	}
	if !check {
		return 0, nil
	}
	wait, err := q.Limiter.Held(ctx, q.scopeKey(scope))
	if err != nil || wait > 0 {
		return wait, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endpoints.makeCapacity(now)
	q.endpoints.checked[scope] = now
	return 0, nil
}

// scopeKey is the key of a scope's shared block, and with keys.Sweeps that of its
// bucket for sweeps.
func (q *Queue) scopeKey(scope string) string { return keys.Limit(q.Key, scope) }

// blockEndpoint lets no replica call the endpoint of r in its project for the
// time that GitLab's answer requires, and returns that time.
func (q *Queue) blockEndpoint(ctx context.Context, r Request, header http.Header) time.Duration {
	now := q.Now()
	wait := min(retryAfter(header, now), maxBlock)
	if wait <= 0 {
		wait = limitWindow
	}
	scope := r.scope()
	q.mu.Lock()
	q.endpoints.makeCapacity(now)
	if until := now.Add(wait); until.After(q.endpoints.blockedUntil[scope]) {
		q.endpoints.blockedUntil[scope] = until
	}
	q.mu.Unlock()
	if q.Limiter != nil {
		// If this fails, another replica learns it from its own answer.
		ctx = context.WithoutCancel(ctx)
		_ = q.Limiter.Hold(ctx, q.scopeKey(scope), wait)
		_ = q.Limiter.Hold(ctx, keys.Sweeps(q.scopeKey(scope)), wait)
	}
	return wait
}

// makeCapacity ensures that another scope can be remembered.
func (l *endpointLimits) makeCapacity(now time.Time) {
	if l.blockedUntil == nil {
		l.blockedUntil, l.checked = map[string]time.Time{}, map[string]time.Time{}
	}
	if len(l.blockedUntil)+len(l.checked) < maxScopes {
		return
	}
	maps.DeleteFunc(l.blockedUntil, func(_ string, until time.Time) bool { return !until.After(now) })
	clear(l.checked)
}
