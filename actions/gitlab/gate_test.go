package gitlab_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/store"
)

// gate is a GitLab without a network, and the limiter before it, which lets
// nobody go before it is opened.
type gate struct {
	open  chan struct{} // closed: all go
	one   chan struct{} // lets whoever is first go
	clock *clock

	mu       sync.Mutex
	may      int // so many may go
	requests []string
	hold     chan struct{} // requests are answered once this is closed; nil: at once
	answer   string
}

var (
	_ ratelimit.Limiter = (*gate)(nil)
	_ http.RoundTripper = (*gate)(nil)
)

// gated is a client whose requests wait until the gate is opened.
func gated(t *testing.T) (*gitlab.Client, *gate) {
	t.Helper()
	g := &gate{open: make(chan struct{}), one: make(chan struct{}), answer: `{"id": 7, "status": "failed", "tag_list": ["linux"]}`}
	c, clk := newClient(t, "http://gitlab.example.com", func(cfg *gitlab.Config) {
		cfg.Limiter, cfg.Rate, cfg.Sleep = g, store.Rate{Limit: 300, Per: time.Minute}, g.sleep
		cfg.Transport = g
	})
	g.clock = clk
	return c, g
}

// Take lets one go that may; sweeps of single endpoints are never blocked.
func (g *gate) Take(_ context.Context, buckets ...store.Bucket) (int, time.Duration, error) {
	if strings.Contains(buckets[0].Key, ":limit:") {
		return 1, 0, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		return 1, 0, nil
	default:
	}
	if g.may == 0 {
		return 0, time.Second, nil
	}
	g.may--
	return 1, 0, nil
}

// Held says that nothing is held.
func (g *gate) Held(context.Context, string) (time.Duration, error) { return 0, nil }

// Hold does nothing.
func (g *gate) Hold(context.Context, string, time.Duration) error { return nil }

// sleep lasts until somebody may go.
func (g *gate) sleep(ctx context.Context, _ time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-g.open:
	case <-g.one:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.may++
	}
	return nil
}

// RoundTrip answers every request the same.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	what := strings.TrimPrefix(r.URL.Path, "/api/v4/projects/1/")
	g.requests = append(g.requests, r.Method+" "+strings.TrimPrefix(what, "jobs/"))
	hold, answer := g.hold, g.answer
	g.mu.Unlock()
	if hold != nil {
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-hold:
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

// taken lists the requests in order.
func (g *gate) taken() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.requests...)
}
