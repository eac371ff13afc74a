package gitlab_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
)

// replicas are clients that share a limit of 300 a minute, on the clock of a
// synctest bubble, and a GitLab without a network that counts their requests.
type replicas struct {
	begin           time.Time
	db              *bolt.Store
	sweeps, actions atomic.Int64 // erasures, and retries
}

var _ http.RoundTripper = (*replicas)(nil)

func newReplicas(t *testing.T) *replicas {
	t.Helper()
	return &replicas{begin: time.Now(), db: openStore(t, time.Now)}
}

// far is a limiter that takes a while to be reached: in a race for the same
// request, its sender comes last.
type far struct{ ratelimit.Limiter }

var _ ratelimit.Limiter = far{}

// Take takes from the limiter, late.
func (f far) Take(ctx context.Context, buckets ...store.Bucket) (int, time.Duration, error) {
	<-time.After(5 * time.Millisecond)
	return f.Limiter.Take(ctx, buckets...)
}

func (r *replicas) client(t *testing.T, limiter ratelimit.Limiter) *gitlab.Client {
	t.Helper()
	c, _ := newClient(t, "http://gitlab.example.com", func(cfg *gitlab.Config) {
		cfg.Now, cfg.Sleep = time.Now, nil
		cfg.Limiter, cfg.Rate = limiter, store.Rate{Limit: 300, Per: time.Minute}
		cfg.Transport = r
	})
	return c
}

// RoundTrip answers every request with a job.
func (r *replicas) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case strings.HasSuffix(req.URL.Path, "/erase"):
		r.sweeps.Add(1)
	case strings.HasSuffix(req.URL.Path, "/retry"):
		r.actions.Add(1)
	}
	return jsonAnswer(req, `{"id": 7}`), nil
}

func jsonAnswer(req *http.Request, body string) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: req,
	}
}

// sweep lets four workers of a client erase until the returned function is
// called.
func (r *replicas) sweep(t *testing.T, c *gitlab.Client) (stop func()) {
	t.Helper()
	sweeping := c.Sweeping()
	var ended atomic.Bool
	var workers sync.WaitGroup
	for project := range int64(4) { // none of them reaches its own limit
		workers.Go(func() {
			for !ended.Load() {
				_, err := sweeping.Erase(t.Context(), project+1, 7)
				if err == nil {
					continue
				}
				after, again := failureOf(t, err).Again()
				if !again || after <= 0 {
					t.Error(err)
					return
				}
				<-time.After(after)
			}
		})
	}
	return func() {
		ended.Store(true)
		workers.Wait()
	}
}

// act retries n jobs, eight at a time, and returns how long that took.
func (r *replicas) act(t *testing.T, c *gitlab.Client, n int64) time.Duration {
	t.Helper()
	begin := time.Now()
	var left atomic.Int64
	left.Store(n)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := c.Retry(t.Context(), 1, 7); err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	return time.Since(begin)
}

// after waits until the clock shows that much since the beginning.
func (r *replicas) after(d time.Duration) { <-time.After(time.Until(r.begin.Add(d))) }

// used is the share of the allowed requests that were sent, to now.
func (r *replicas) used() float64 {
	allowed := 300 + time.Since(r.begin).Seconds()*5
	return float64(r.sweeps.Load()+r.actions.Load()) / allowed
}

// Alone, a sweep uses what the limit gives.
func TestSweepAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		stop := r.sweep(t, r.client(t, r.db))
		r.after(5 * time.Minute)
		if used := r.used(); used < 0.99 || used > 1 {
			t.Errorf("%.3f of the rate was used", used)
		}
		stop()
	})
}

// While one replica has more to do than the limit allows, the sweeps of the
// others stand still, and go on right after.
func TestSweepsGiveWayToReplicas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		stops := []func(){r.sweep(t, r.client(t, r.db)), r.sweep(t, r.client(t, r.db))}
		r.after(2 * time.Minute)

		const actions = 100
		before := r.sweeps.Load()
		took := r.act(t, r.client(t, far{r.db}), actions)
		sweeps := r.sweeps.Load() - before
		if share := time.Minute / 300; took > (actions+5)*share {
			t.Errorf("%d actions took %s, want about %s", actions, took, actions*share)
		}
		if sweeps > 4 {
			t.Errorf("%d sweeps went before them", sweeps)
		}

		r.after(4 * time.Minute)
		if used := r.used(); used < 0.99 || used > 1 {
			t.Errorf("%.3f of the rate was used", used)
		}
		for _, stop := range stops {
			stop()
		}
	})
}

// Actions that come now and then cost the sweep nothing but their own share.
func TestSweepBetweenActions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		stop := r.sweep(t, r.client(t, r.db))
		r.after(2 * time.Minute)
		acting := r.client(t, far{r.db})
		var longest time.Duration
		for range 60 {
			longest = max(longest, r.act(t, acting, 1))
			<-time.After(700 * time.Millisecond)
		}
		if share := time.Minute / 300; longest > 3*share {
			t.Errorf("an action waited for %s", longest)
		}
		r.after(4 * time.Minute)
		if used := r.used(); used < 0.99 || used > 1 {
			t.Errorf("%.3f of the rate was used", used)
		}
		stop()
	})
}

// A sweep that is blocked does not delay the actions of its own process.
func TestHeldSweepLetsActionsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicas(t)
		c := r.client(t, r.db)
		if err := r.db.Hold(t.Context(), "gitlab.example.com:sweeps", 5*time.Second); err != nil {
			t.Fatal(err)
		}
		stop := r.sweep(t, c)
		synctest.Wait()
		if took := r.act(t, c, 100); took != 0 || r.sweeps.Load() != 0 {
			t.Errorf("100 actions took %s, with %d sweeps", took, r.sweeps.Load())
		}
		r.after(6 * time.Second)
		if r.sweeps.Load() == 0 {
			t.Error("no sweep after the hold")
		}
		stop()
	})
}
