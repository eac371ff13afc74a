package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/store"
)

// Limiter is the rate limit that all replicas share.
type Limiter interface {
	// Take takes one from the bucket of key and returns 0, or takes none and
	// returns how long until one is there.
	Take(ctx context.Context, key string, rate store.Rate) (time.Duration, error)
}

// maxHold is the longest that an answer can hold this client back: GitLab's
// own windows are minutes, so more is a broken header.
const maxHold = time.Hour

// pacer lets a request go when GitLab and the shared limit allow it. It is
// client-go's rate limiter, which client-go asks before every request.
type pacer struct {
	limiter Limiter
	key     string
	rate    store.Rate
	maxWait time.Duration
	now     func() time.Time
	sleep   func(context.Context, time.Duration) error

	mu    sync.Mutex
	until time.Time // no request before; what GitLab asked for
}

var _ gl.RateLimiter = (*pacer)(nil)

// pacedError says that a request was not sent: after tells when to come back,
// 0 where nobody knows.
type pacedError struct {
	after  time.Duration
	reason string
}

func (e *pacedError) Error() string { return "not sent: " + e.reason }

// Wait returns when the next request may go, ctx's error, or a *pacedError
// when that takes longer than maxWait or the limiter fails: a GitLab that
// nobody counts requests for might be pressed, so none is sent then.
func (p *pacer) Wait(ctx context.Context) error {
	if held := p.held(); held > p.maxWait {
		return &pacedError{held, fmt.Sprintf("GitLab asked to wait, another %s", held.Round(time.Second))}
	} else if held > 0 {
		if err := p.sleep(ctx, held); err != nil {
			return err
		}
	}
	if p.limiter == nil {
		return nil
	}
	for waited := time.Duration(0); ; {
		wait, err := p.limiter.Take(ctx, p.key, p.rate)
		switch {
		case err != nil:
			return &pacedError{0, fmt.Sprintf("the rate limit can't be asked: %v", err)}
		case wait <= 0:
			return nil
		}
		if waited += wait; waited > p.maxWait {
			return &pacedError{wait, fmt.Sprintf("%s is used up (%d in %s), the next is free in %s", p.key, p.rate.Limit, p.rate.Per, wait.Round(time.Millisecond))}
		}
		if err := p.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// held returns how long GitLab still wants no request.
func (p *pacer) held() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until.Sub(p.now())
}

// note reads an answer's headers, holds the following requests back where
// they say so, and returns for how long; 0 for not at all.
func (p *pacer) note(h http.Header) time.Duration {
	now := p.now()
	wait := min(askedWait(h, now), maxHold)
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := now.Add(wait); wait > 0 && until.After(p.until) {
		p.until = until
	}
	return wait
}

// askedWait reads Retry-After (seconds or a date), else RateLimit-Reset
// (epoch seconds) where RateLimit-Remaining is 0.
func askedWait(h http.Header, now time.Time) time.Duration {
	if text := h.Get("Retry-After"); text != "" {
		if seconds, err := strconv.Atoi(text); err == nil {
			return max(0, time.Duration(min(seconds, int(maxHold/time.Second)))*time.Second)
		}
		if at, err := http.ParseTime(text); err == nil {
			return max(0, at.Sub(now))
		}
	}
	if h.Get("RateLimit-Remaining") != "0" {
		return 0
	}
	reset, err := strconv.ParseInt(h.Get("RateLimit-Reset"), 10, 64)
	if err != nil {
		return 0
	}
	return max(0, time.Unix(reset, 0).Sub(now))
}
