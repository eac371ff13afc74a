package gitlab_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
)

// Identical GETs that wait are one request, and everybody has an answer of
// their own.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := gated(t)
		jobs := make([]gitlab.Job, 20)
		var workers sync.WaitGroup
		for i := range jobs {
			workers.Go(func() {
				job, err := c.Job(t.Context(), 1, 7)
				if err != nil || len(job.TagList) != 1 || job.TagList[0] != "linux" {
					t.Errorf("tags %q: %v", job.TagList, err)
					return
				}
				job.TagList[0] = "changed"
				jobs[i] = job
			})
		}
		workers.Go(func() { _, _ = c.Job(t.Context(), 1, 8) })
		workers.Go(func() { _, _ = c.Sweeping().Job(t.Context(), 1, 7) })
		workers.Go(func() { _, _ = c.Log(t.Context(), 1, 7) })
		for range 2 {
			workers.Go(func() { _, _ = c.Retry(t.Context(), 1, 7) })
		}
		synctest.Wait()
		close(g.open)
		workers.Wait()
		count := map[string]int{}
		for _, what := range g.taken() {
			count[what]++
		}
		want := map[string]int{"GET 7": 2, "GET 8": 1, "GET 7/trace": 1, "POST 7/retry": 2}
		if diff := cmp.Diff(want, count); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// A GET never gets an answer that may be older than itself: it waits for the
// one that was sent, and those that come meanwhile share the next.
func TestJoinNotWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := gated(t)
		close(g.open)
		first := make(chan struct{})
		g.hold = first
		var workers sync.WaitGroup
		status := make([]string, 4)
		ask := func(i int) {
			workers.Go(func() {
				job, err := c.Job(t.Context(), 1, 7)
				if err != nil {
					t.Error(err)
				}
				status[i] = job.Status
			})
			synctest.Wait()
		}
		ask(0)
		g.mu.Lock()
		g.hold, g.answer = nil, `{"id": 7, "status": "running"}`
		g.mu.Unlock()
		for i := range 3 {
			ask(1 + i)
		}
		if n := len(g.taken()); n != 1 {
			t.Errorf("%d requests while the first is under way, want 1", n)
		}
		close(first)
		workers.Wait()
		if diff := cmp.Diff([]string{"failed", "running", "running", "running"}, status); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if n := len(g.taken()); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
}

// Who gives up does not end the request for the others; the last one does,
// before it was sent and after.
func TestJoinGivingUp(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent bool
		gone int // of 3
	}{
		{"one of those who wait", false, 1},
		{"all of those who wait", false, 3},
		{"one after it was sent", true, 1},
		{"all after it was sent", true, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, g := gated(t)
				answer := make(chan struct{})
				g.hold = answer
				errs := make([]error, 3)
				give := make([]context.CancelFunc, 3)
				var workers sync.WaitGroup
				for i := range errs {
					ctx, cancel := context.WithCancel(t.Context())
					give[i] = cancel
					workers.Go(func() { _, errs[i] = c.Job(ctx, 1, 7) })
					synctest.Wait()
				}
				if tt.sent {
					g.one <- struct{}{}
					synctest.Wait()
				}
				for i := range tt.gone {
					give[i]()
				}
				synctest.Wait()
				close(answer)
				close(g.open)
				workers.Wait()
				for i, err := range errs {
					if gone := i < tt.gone; errors.Is(err, context.Canceled) != gone || !gone && err != nil {
						t.Errorf("caller %d: %v", i, err)
					}
					give[i]()
				}
				want := 1
				if !tt.sent && tt.gone == 3 {
					want = 0
				}
				if n := len(g.taken()); n != want {
					t.Errorf("%d requests, want %d", n, want)
				}
				// Nothing is left behind: the next one is answered.
				if _, err := c.Job(t.Context(), 1, 7); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Every request of a view counts, one that is shared for each who shares it.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := gated(t)
		close(g.open)
		view, other := c.WithBudget(3), c.WithBudget(3)
		for range 3 {
			if _, err := view.Job(t.Context(), 1, 7); err != nil {
				t.Error(err)
			}
		}
		for name, do := range map[string]func() error{
			"GET":  func() error { _, err := view.Job(t.Context(), 1, 7); return err },
			"POST": func() error { _, err := view.Sweeping().Retry(t.Context(), 1, 7); return err },
		} {
			failed := failureOf(t, do())
			if _, again := failed.Again(); again || failed.Rights() || failed.MaybeDone() ||
				failed.Message != "this event has sent GitLab 3 requests, as many as one event may" {
				t.Errorf("%s: %+v", name, failed)
			}
		}
		if _, err := other.Job(t.Context(), 1, 7); err != nil {
			t.Errorf("another view: %v", err)
		}
		if n := len(g.taken()); n != 4 {
			t.Errorf("%d requests, want 4", n)
		}
	})
}
