package gitlab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// GitLab has two kinds of rate limits. The general ones count all requests of a
// user or an address; what they ask for holds every request (pace.go). The
// application limits, many and on by default since 19.4, count the calls of one
// endpoint on one project or job (lib/gitlab/application_rate_limiter.rb); what
// they ask for holds that endpoint in that project, and nothing else.

// applicationLimits are how many calls a minute GitLab 19.4 allows in each
// project, by endpoint. Those on a single job or pipeline are left out: nothing
// here calls often enough on one.
var applicationLimits = map[string]int{
	endpoint.Retry:          1250,
	endpoint.Play:           750,
	endpoint.Erase:          400,
	endpoint.RetryPipeline:  200,
	endpoint.CancelPipeline: 120,
	endpoint.ProjectJobs:    600, // for each user, over all projects
}

// limitWindow is how long GitLab counts for an application limit, and so how
// long the limit holds when the answer does not say it.
const limitWindow = time.Minute

// maxLooked is how many endpoints of projects a limits remembers to have looked
// at or been held by; past that it forgets those that matter no more.
const maxLooked = 1000

// lookEach is how often it is looked whether another replica was told to wait.
const lookEach = time.Second

// limits are the application limits as this client knows them. The pacer's
// mutex guards the maps.
type limits struct {
	held   map[string]time.Time // by scope: no call before
	looked map[string]time.Time // by scope: when the shared hold was last looked at
}

// limitScope names what an application limit is about: an endpoint in a project
// or a group, or for some only the endpoint.
func (r request) limitScope() string {
	if r.endpoint == endpoint.ProjectJobs {
		return r.endpoint
	}
	parts := strings.SplitN(r.path, "/", 3)
	return r.endpoint + ":" + strings.Join(parts[:min(len(parts), 2)], "/")
}

// sweepsShare is how much of an application limit sweeps use: in any window, the
// burst and what comes back meanwhile stay under it.
func sweepsShare(endpoint string) (rate store.Rate, limited bool) {
	limit, limited := applicationLimits[endpoint]
	return store.Rate{Limit: limit - limit/4, Per: limitWindow, Burst: limit / 4}, limited
}

// isApplicationLimit reports whether an answer is of an application limit, by
// its body: a JSON object, which may say it in the user's language. The general
// limits answer in plain text, and other gateways with RateLimit headers.
func isApplicationLimit(status int, header http.Header, body []byte) bool {
	if status != http.StatusTooManyRequests {
		return false
	}
	var object map[string]any
	if json.Unmarshal(body, &object) != nil {
		return false
	}
	return bytes.Contains(body, []byte("endpoint has been requested too many times")) || header.Get("RateLimit-Remaining") == ""
}

// waitForLimit returns when r may be called as far as its application limit
// goes, or a *pacedError that says when to come back: a sweep waits in place for
// a while, everything else makes room for other work.
func (p *pacer) waitForLimit(ctx context.Context, turn priority, r request) error {
	scope := r.limitScope()
	since := p.now()
	for {
		wait, err := p.limited(ctx, turn, r, scope)
		switch {
		case err != nil:
			return &pacedError{0, fmt.Sprintf("the rate limit can't be asked: %v", err)}
		case wait <= 0:
			return nil
		case turn != sweep || wait > p.maxWait || p.now().Sub(since)+wait > maxLine:
			return &pacedError{wait, fmt.Sprintf("GitLab's own limit for this endpoint lets the next call of %s go in %s", scope, wait.Round(time.Millisecond))}
		}
		if err := p.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// limited returns for how long the scope is held; 0: not at all, and the call
// of a sweep is counted. Other replicas are asked only for what changes
// something, at most each lookEach, and by sweeps: reads find out themselves.
func (p *pacer) limited(ctx context.Context, turn priority, r request, scope string) (time.Duration, error) {
	p.mu.Lock()
	now := p.now()
	held := p.limits.held[scope].Sub(now)
	look := r.method != http.MethodGet && now.Sub(p.limits.looked[scope]) >= lookEach
	p.mu.Unlock()
	if held > 0 || p.limiter == nil {
		return held, nil
	}
	if rate, ok := sweepsShare(r.endpoint); ok && turn == sweep {
		return p.limiter.Take(ctx, keys.Sweeps(p.limitKey(scope)), rate)
	}
	if !look {
		return 0, nil
	}
	wait, err := p.limiter.Take(ctx, p.limitKey(scope), neverUsedUp)
	if err != nil || wait > 0 {
		return wait, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits.remember(now)
	p.limits.looked[scope] = now
	return 0, nil
}

// limitKey is the key of a scope's holds, and with keys.Sweeps that of the
// bucket of sweeps.
func (p *pacer) limitKey(scope string) string { return keys.Limit(p.key, scope) }

// holdLimit lets nobody call the endpoint of r in its project for the time that
// GitLab's answer asks for, on any replica, and returns how long that is.
func (p *pacer) holdLimit(ctx context.Context, r request, header http.Header) time.Duration {
	now := p.now()
	wait := min(retryAfter(header, now), maxHold)
	if wait <= 0 {
		wait = limitWindow
	}
	scope := r.limitScope()
	p.mu.Lock()
	p.limits.remember(now)
	if until := now.Add(wait); until.After(p.limits.held[scope]) {
		p.limits.held[scope] = until
	}
	p.mu.Unlock()
	if p.limiter != nil {
		// Where this fails, another replica finds out from its own answer.
		ctx = context.WithoutCancel(ctx)
		_ = p.limiter.Hold(ctx, p.limitKey(scope), wait)
		_ = p.limiter.Hold(ctx, keys.Sweeps(p.limitKey(scope)), wait)
	}
	return wait
}

// remember makes room for another scope.
func (l *limits) remember(now time.Time) {
	if l.held == nil {
		l.held, l.looked = map[string]time.Time{}, map[string]time.Time{}
	}
	if len(l.held)+len(l.looked) < maxLooked {
		return
	}
	maps.DeleteFunc(l.held, func(_ string, until time.Time) bool { return !until.After(now) })
	clear(l.looked)
}
