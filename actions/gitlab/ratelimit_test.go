package gitlab_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// bucket is a limiter with fixed answers that records its calls.
type bucket struct {
	waits    []time.Duration
	err      error
	requests []string
	held     []time.Duration
}

var _ ratelimit.Limiter = (*bucket)(nil)

func (b *bucket) Take(_ context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error) {
	b.requests = append(b.requests, buckets[0].Key+" "+strconv.Itoa(buckets[0].Rate.Limit))
	if len(b.waits) > 0 {
		wait, b.waits = b.waits[0], b.waits[1:]
	}
	if wait == 0 && b.err == nil {
		taken = 1
	}
	return taken, wait, b.err
}

// Held says that nothing is held: limits_test.go is about that.
func (b *bucket) Held(context.Context, string) (time.Duration, error) { return 0, nil }

func (b *bucket) Hold(_ context.Context, _ string, span time.Duration) error {
	b.held = append(b.held, span)
	return b.err
}

// statuses answers with one status after the other, then with a job.
type statuses struct {
	answer   []int
	header   http.Header // of all but the last
	requests int
}

func (s *statuses) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/user") { // the probe
		_, _ = w.Write([]byte(`{"id": 1, "is_admin": true}`))
		return
	}
	s.requests++
	if s.requests > len(s.answer) {
		_, _ = w.Write([]byte(`{"id": 7}`))
		return
	}
	for name, values := range s.header {
		w.Header()[name] = values
	}
	w.WriteHeader(s.answer[s.requests-1])
	if s.answer[s.requests-1] < 429 {
		_, _ = w.Write([]byte(`{"message":"as GitLab says it"}`))
	}
}

func TestRepeat(t *testing.T) {
	tests := []struct {
		name     string
		endpoint string
		answers  []int
		header   http.Header
		requests int
		ok       bool
		slept    []time.Duration // at least
	}{
		{
			name: "a GET that comes right", endpoint: "job", answers: []int{500, 502}, requests: 3, ok: true,
			slept: []time.Duration{125 * time.Millisecond, 250 * time.Millisecond},
		},
		{
			name: "a GET that never does", endpoint: "job", answers: []int{500, 500, 500, 500}, requests: 3,
			slept: []time.Duration{125 * time.Millisecond, 250 * time.Millisecond},
		},
		{name: "a log", endpoint: "log", answers: []int{503}, requests: 2, ok: true, slept: []time.Duration{125 * time.Millisecond}},
		{name: "a GET that would fail again", endpoint: "job", answers: []int{404}, requests: 1},
		{name: "a GET without rights", endpoint: "job", answers: []int{403}, requests: 1},
		{
			name: "a short wait", endpoint: "job", answers: []int{429}, header: http.Header{"Retry-After": {"10"}}, requests: 2, ok: true,
			slept: []time.Duration{10 * time.Second},
		},
		{name: "a long wait", endpoint: "job", answers: []int{429}, header: http.Header{"Retry-After": {"11"}}, requests: 1},
		{name: "retry on 500", endpoint: "retry", answers: []int{500}, requests: 1},
		{name: "retry on 429", endpoint: "retry", answers: []int{429}, header: http.Header{"Retry-After": {"1"}}, requests: 1},
		{name: "play on 503", endpoint: "play", answers: []int{503}, requests: 1},
		{name: "cancel on 502", endpoint: "cancel", answers: []int{502}, requests: 1},
		{name: "erase on 409", endpoint: "erase", answers: []int{409}, requests: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &statuses{answer: tt.answers, header: tt.header}
			c, clk := newClient(t, serve(t, s.ServeHTTP))
			if err := calls[tt.endpoint](t.Context(), c); (err == nil) != tt.ok {
				t.Errorf("error %v, want success: %v", err, tt.ok)
			}
			if s.requests != tt.requests {
				t.Errorf("%d requests, want %d", s.requests, tt.requests)
			}
			if len(clk.slept) != len(tt.slept) {
				t.Fatalf("slept %v, want about %v", clk.slept, tt.slept)
			}
			for i, least := range tt.slept {
				if clk.slept[i] < least || clk.slept[i] > 3*least {
					t.Errorf("slept %v, want %v to %v", clk.slept[i], least, 3*least)
				}
			}
		})
	}
}

// A wait that GitLab requires after one call blocks all that follow, until then.
func TestHoldBack(t *testing.T) {
	reset := func(after time.Duration) string { return strconv.FormatInt(noon.Add(after).Unix(), 10) }
	tests := []struct {
		name   string
		status int
		header http.Header
		wait   time.Duration
	}{
		{"Retry-After", 429, http.Header{"Retry-After": {"8"}}, 8 * time.Second},
		{"maintenance", 503, http.Header{"Retry-After": {"8"}}, 8 * time.Second},
		{"the last of the window", 201, http.Header{"Ratelimit-Remaining": {"0"}, "Ratelimit-Reset": {reset(5 * time.Second)}}, 5 * time.Second},
		{"one is left", 201, http.Header{"Ratelimit-Remaining": {"1"}, "Ratelimit-Reset": {reset(5 * time.Second)}}, 0},
		{"few are left", 201, http.Header{"Ratelimit-Limit": {"600"}, "Ratelimit-Remaining": {"59"}, "Ratelimit-Reset": {reset(time.Minute)}}, time.Second},
		{"enough are left", 201, http.Header{"Ratelimit-Limit": {"600"}, "Ratelimit-Remaining": {"61"}, "Ratelimit-Reset": {reset(time.Minute)}}, 0},
		{"a window that is over", 201, http.Header{"Ratelimit-Remaining": {"0"}, "Ratelimit-Reset": {reset(-time.Second)}}, 0},
		{"a window without end", 201, http.Header{"Ratelimit-Remaining": {"0"}}, 0},
		{"longer than is waited in place", 429, http.Header{"Retry-After": {"30"}}, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &statuses{answer: []int{tt.status}, header: tt.header}
			c, clk := newClient(t, serve(t, s.ServeHTTP))
			_, _ = c.Retry(t.Context(), 1, 7)

			_, err := c.Retry(t.Context(), 1, 8)
			if tt.wait > 10*time.Second {
				failed := failureOf(t, err)
				if after, again := failed.Again(); !again || after != tt.wait || failed.MaybeDone() || s.requests != 1 {
					t.Errorf("again %v after %s, maybe done %v, requests %d: %v", again, after, failed.MaybeDone(), s.requests, err)
				}
				clk.at = clk.at.Add(tt.wait)
				if _, err := c.Retry(t.Context(), 1, 8); err != nil {
					t.Errorf("after the wait: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var want []time.Duration
			if tt.wait > 0 {
				want = append(want, tt.wait)
			}
			if diff := cmp.Diff(want, clk.slept); diff != "" {
				t.Errorf("slept, -want +got:\n%s", diff)
			}
		})
	}
}

// All replicas wait when GitLab requires it of one.
func TestHoldBackOfReplicas(t *testing.T) {
	s := &statuses{answer: []int{429}, header: http.Header{"Retry-After": {"30"}}}
	url := serve(t, s.ServeHTTP)
	clock := storetest.NewClock()
	db := openStore(t, clock.Now)
	shared := func(cfg *gitlab.Config) { cfg.Limiter, cfg.Rate = db, store.Rate{Limit: 300, Per: time.Minute} }
	first, _ := newClient(t, url, shared)
	second, _ := newClient(t, url, shared)
	for _, c := range []*gitlab.Client{first, second} {
		_, err := c.Retry(t.Context(), 1, 7)
		if after, again := failureOf(t, err).Again(); !again || after != 30*time.Second {
			t.Errorf("again %v after %s, want after 30s: %v", again, after, err)
		}
	}
	if s.requests != 1 {
		t.Errorf("GitLab received %d requests, want 1", s.requests)
	}
	clock.Advance(30 * time.Second)
	if _, err := second.Retry(t.Context(), 1, 7); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

func TestMaxWait(t *testing.T) {
	s := &statuses{answer: []int{429}, header: http.Header{"Retry-After": {"60"}}}
	c, clk := newClient(t, serve(t, s.ServeHTTP), func(cfg *gitlab.Config) { cfg.MaxWait = 2 * time.Minute })
	if _, err := c.Job(t.Context(), 1, 7); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]time.Duration{time.Minute}, clk.slept); diff != "" {
		t.Errorf("slept, -want +got:\n%s", diff)
	}
}

func TestLimiter(t *testing.T) {
	tests := []struct {
		name     string
		bucket   bucket
		requests int // GitLab
		taken    int
		slept    []time.Duration
		after    time.Duration // of the error; -1: none
	}{
		{name: "free", requests: 1, taken: 1, after: -1},
		{
			name: "soon free", bucket: bucket{waits: []time.Duration{time.Second, 2 * time.Second}}, requests: 1, taken: 3,
			slept: []time.Duration{time.Second, 2 * time.Second}, after: -1,
		},
		{name: "not soon free", bucket: bucket{waits: []time.Duration{time.Minute}}, taken: 1, after: time.Minute},
		{
			name: "taken by others for up to a minute", bucket: bucket{waits: slices.Repeat([]time.Duration{10 * time.Second}, 6)}, requests: 1, taken: 7,
			slept: slices.Repeat([]time.Duration{10 * time.Second}, 6), after: -1,
		},
		{
			name: "taken by others for longer", bucket: bucket{waits: slices.Repeat([]time.Duration{9 * time.Second}, 7)}, taken: 7,
			slept: slices.Repeat([]time.Duration{9 * time.Second}, 6), after: 9 * time.Second,
		},
		{name: "out of order", bucket: bucket{err: errors.New("no connection")}, taken: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &statuses{}
			url := serve(t, s.ServeHTTP)
			b := tt.bucket
			observed := 0
			c, clk := newClient(t, url, func(cfg *gitlab.Config) {
				cfg.Limiter, cfg.Rate = &b, store.Rate{Limit: 300, Per: time.Minute}
				cfg.Observe = func(context.Context, string, int) { observed++ }
			})
			_, err := c.Retry(t.Context(), 1, 7)
			switch {
			case tt.after < 0 && err != nil:
				t.Error(err)
			case tt.after >= 0:
				failed := failureOf(t, err)
				if after, again := failed.Again(); !again || after != tt.after || failed.MaybeDone() {
					t.Errorf("again %v after %s, maybe done %v: %v", again, after, failed.MaybeDone(), err)
				}
			}
			if s.requests != tt.requests || observed != tt.requests {
				t.Errorf("%d requests to GitLab, observed %d, want %d", s.requests, observed, tt.requests)
			}
			if len(b.requests) != tt.taken || b.requests[0] != url[len("http://"):]+" 300" {
				t.Errorf("took %q, want %d", b.requests, tt.taken)
			}
			if diff := cmp.Diff(tt.slept, clk.slept); diff != "" {
				t.Errorf("slept, -want +got:\n%s", diff)
			}
		})
	}
}

// Every request takes one, the repeated included.
func TestLimiterCountsRepeats(t *testing.T) {
	s := &statuses{answer: []int{500, 500}}
	b := &bucket{}
	c, _ := newClient(t, serve(t, s.ServeHTTP), func(cfg *gitlab.Config) {
		cfg.Limiter, cfg.Rate = b, store.Rate{Limit: 1, Per: time.Second}
	})
	if _, err := c.Job(t.Context(), 1, 7); err != nil {
		t.Fatal(err)
	}
	if len(b.requests) != 3 {
		t.Errorf("took %d, want 3", len(b.requests))
	}
}

func TestContextEndsWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &statuses{answer: []int{500, 500}}
	c, _ := newClient(t, serve(t, s.ServeHTTP), func(cfg *gitlab.Config) {
		cfg.Sleep = func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }
	})
	if _, err := c.Job(ctx, 1, 7); !errors.Is(err, context.Canceled) || s.requests != 1 {
		t.Errorf("%d requests, error %v", s.requests, err)
	}
}

// With nothing of the test's own, waits pass by the clock and end with the
// context.
func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &statuses{}
		b := &bucket{waits: []time.Duration{time.Second}}
		c, _ := newClient(t, "http://gitlab.example.com", func(cfg *gitlab.Config) {
			cfg.Sleep = nil
			cfg.Limiter, cfg.Rate = b, store.Rate{Limit: 1, Per: time.Second}
			cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				answer := httptest.NewRecorder()
				s.ServeHTTP(answer, r)
				return answer.Result(), nil
			})
		})
		began := time.Now()
		if _, err := c.Job(t.Context(), 1, 7); err != nil || len(b.requests) != 2 || time.Since(began) != time.Second {
			t.Errorf("took %d, after %s: %v", len(b.requests), time.Since(began), err)
		}
		b.waits = []time.Duration{5 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if _, err := c.Job(ctx, 1, 7); !errors.Is(err, context.DeadlineExceeded) || s.requests != 1 {
			t.Errorf("%d requests to GitLab: %v", s.requests, err)
		}
	})
}

// Many workers share one client.
func TestConcurrent(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{RateLimit: 20}, func(cfg *gitlab.Config) { cfg.MaxWait = time.Hour })
	j := w.Latest(w.push("rspec:failed").ID, "rspec")
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 20 {
				// The clock of the test runs while others try: a request may
				// meet three full minutes in a row.
				job, err := w.client.Job(t.Context(), w.project.ID, j.ID)
				var failed *apierror.Error
				if err != nil && (!errors.As(err, &failed) || failed.Status != 429) || err == nil && job.ID != j.ID {
					t.Errorf("job %d: %v", job.ID, err)
				}
			}
		})
	}
	workers.Wait()
}

// openStore is a store on a clock.
func openStore(t *testing.T, now func() time.Time) *bolt.Store {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Of 660 requests at 300 a minute, 300 go at once and then 5 a second; those
// that would wait for more than a minute are deferred. GitLab has capacity for no
// more than that.
func TestPace(t *testing.T) {
	t.Parallel()
	w := newFixture(t, gitlabtest.Options{RateLimit: 700})
	job := w.Latest(w.push("rspec:failed").ID, "rspec")
	paced, _ := newClient(t, w.URL(), func(cfg *gitlab.Config) {
		cfg.Now, cfg.Sleep = w.clock.now, w.clock.sleep
		cfg.Limiter, cfg.Rate = openStore(t, w.clock.now), store.Rate{Limit: 300, Per: time.Minute}
	})
	var workers sync.WaitGroup
	until := func(ask func() error) {
		workers.Go(func() {
			for {
				var failed *apierror.Error
				err := ask()
				if err == nil || !errors.As(err, &failed) || failed.Rights() || failed.Status != 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for range 600 {
		until(func() error { _, err := paced.Cancel(t.Context(), w.project.ID, job.ID, false); return err })
	}
	for i := range 60 { // each another one, or they would be joined
		until(func() error {
			_, err := paced.PipelineJobs(t.Context(), w.project.ID, job.PipelineID, i%2 == 0, []string{"failed", "success", "canceled", "running", "pending"}[:i%5+1]...)
			return err
		})
	}
	workers.Wait()
	posts, all := w.Count("POST", "/cancel"), w.apiRequests()
	if posts != 600 || w.Answered(http.StatusTooManyRequests) != 0 {
		t.Errorf("%d cancels, %d answers of 429, want 600 and none", posts, w.Answered(http.StatusTooManyRequests))
	}
	if took, want := w.clock.now().Sub(noon), time.Duration(all-300)*200*time.Millisecond; took != want {
		t.Errorf("%d requests took %s, want %s", all, took, want)
	}
}

// Actions go before facts, and both before a sweep, whoever came first.
func TestPriorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := gated(t)
		sweeping := c.Sweeping()
		var workers sync.WaitGroup
		come := func(do func() error) {
			workers.Go(func() {
				if err := do(); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for id := range int64(2) {
			come(func() error { _, err := sweeping.Erase(t.Context(), 1, 10+id); return err })
			come(func() error { _, err := sweeping.Job(t.Context(), 1, 20+id); return err })
			come(func() error { _, err := c.Job(t.Context(), 1, 30+id); return err })
			come(func() error { _, err := c.Retry(t.Context(), 1, 40+id); return err })
		}
		for range 8 {
			g.one <- struct{}{}
			synctest.Wait()
		}
		workers.Wait()
		want := []string{
			"POST 40/retry", "POST 41/retry", "GET 30", "GET 31",
			"POST 10/erase", "GET 20", "POST 11/erase", "GET 21",
		}
		got := g.taken()
		// The first request gets a token at its first try, so the next two try at the
		// same time, and sleep: the scheduler decides which of them is woken first.
		if len(got) == len(want) && got[1] == want[2] {
			got[1], got[2] = got[2], got[1]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// A request that others delay for more than a minute is deferred.
func TestWaitingTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := gated(t)
		var workers sync.WaitGroup
		var err error
		workers.Go(func() { _, err = c.Job(t.Context(), 1, 7) })
		synctest.Wait()
		g.clock.pass(61 * time.Second)
		workers.Go(func() {
			if _, err := c.Retry(t.Context(), 1, 7); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		g.one <- struct{}{}
		workers.Wait()
		failed := failureOf(t, err)
		if after, again := failed.Again(); !again || after != 400*time.Millisecond || failed.MaybeDone() {
			t.Errorf("again %v after %s: %v", again, after, err)
		}
		if diff := cmp.Diff([]string{"POST 7/retry"}, g.taken()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// Who gives up leaves the line, also from its head.
func TestLeavingTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := gated(t)
		var workers sync.WaitGroup
		var leave []context.CancelFunc
		for id := range int64(4) {
			ctx, cancel := context.WithCancel(t.Context())
			leave = append(leave, cancel)
			workers.Go(func() {
				_, err := c.Retry(ctx, 1, id)
				if gone := id%2 == 0; errors.Is(err, context.Canceled) != gone || !gone && err != nil {
					t.Errorf("%d: %v", id, err)
				}
			})
			synctest.Wait()
		}
		leave[2]()
		leave[0]()
		for range 2 {
			g.one <- struct{}{}
			synctest.Wait()
		}
		workers.Wait()
		if diff := cmp.Diff([]string{"POST 1/retry", "POST 3/retry"}, g.taken()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		leave[1]()
		leave[3]()
	})
}

// failureOf is the *Error that err must be.
func failureOf(t *testing.T, err error) *apierror.Error {
	t.Helper()
	var failed *apierror.Error
	if !errors.As(err, &failed) {
		t.Fatalf("error %v, want an *Error", err)
	}
	return failed
}
