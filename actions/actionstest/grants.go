package actionstest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// Grants notes when requests to GitLab are granted, by a clock that moves while they wait.
// On a busy machine the requests may reach GitLab much later by that clock.
type Grants struct {
	ratelimit.Limiter
	rate  store.Rate // of all requests; some have others besides
	clock *storetest.Clock
	time  sync.RWMutex // held for writing while time passes
	mu    sync.Mutex
	at    []time.Time
}

// Take implements ratelimit.Limiter.
func (g *Grants) Take(ctx context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error) {
	g.time.RLock()
	defer g.time.RUnlock()
	taken, wait, err = g.Limiter.Take(ctx, buckets...)
	for _, b := range buckets[:taken] {
		if b.Rate == g.rate {
			g.mu.Lock()
			g.at = append(g.at, g.clock.Now())
			g.mu.Unlock()
		}
	}
	return taken, wait, err
}

// sleep moves the clock to d from now, unless another sleep has moved it that far.
func (g *Grants) sleep(_ context.Context, d time.Duration) error {
	until := g.clock.Now().Add(d)
	g.time.Lock()
	defer g.time.Unlock()
	if left := until.Sub(g.clock.Now()); left > 0 {
		g.clock.Advance(left)
	}
	return nil
}

// Last returns when the last request was granted.
func (g *Grants) Last() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.MaxFunc(g.at, time.Time.Compare)
}

// WantAtMost checks that at most so many requests were granted in any minute, and that all
// requests that GitLab saw were granted.
func (g *Grants) WantAtMost(h *Harness, perMinute int) {
	h.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if requests := len(h.GitLab.Requests()); requests > len(g.at) {
		h.Errorf("GitLab saw %d requests, and %d were granted", requests, len(g.at))
	}
	slices.SortFunc(g.at, time.Time.Compare)
	first := 0
	for i, at := range g.at {
		for at.Sub(g.at[first]) >= time.Minute {
			first++
		}
		if n := i - first + 1; n > perMinute {
			h.Errorf("%d requests were granted in the minute before %v, want %d at most", n, at, perMinute)
			return
		}
	}
}
