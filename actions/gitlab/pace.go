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
	// Hold lets nobody take from the bucket of key for the given time.
	Hold(ctx context.Context, key string, span time.Duration) error
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
	until time.Time // no request before; what GitLab asked for in answers to this client
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
			return &pacedError{wait, fmt.Sprintf("the rate limit lets the next request to %s go in %s", p.key, wait.Round(time.Millisecond))}
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

// note reads an answer's headers, holds the following requests of all
// replicas back where they say so, and returns for how long; 0 for not at all.
func (p *pacer) note(ctx context.Context, h http.Header) time.Duration {
	wait := min(askedWait(h, p.now()), maxHold)
	if wait <= 0 {
		return 0
	}
	p.hold(wait)
	if p.limiter != nil {
		// A limiter that fails lets no request go anyway, and the next answer
		// says the same again.
		_ = p.limiter.Hold(context.WithoutCancel(ctx), p.key, wait)
	}
	return wait
}

// hold lets this client send nothing for the given time.
func (p *pacer) hold(span time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := p.now().Add(span); until.After(p.until) {
		p.until = until
	}
}

// low is the share of RateLimit-Limit from which on what remains is spread
// over the time to RateLimit-Reset.
const low = 0.1

// askedWait reads Retry-After (seconds or a date), else how the RateLimit
// headers want the next request to wait: until RateLimit-Reset (epoch
// seconds) when nothing remains, and for its share of that time when little
// does, so that a limit that others use too is not run into at full speed.
func askedWait(h http.Header, now time.Time) time.Duration {
	if text := h.Get("Retry-After"); text != "" {
		if seconds, err := strconv.Atoi(text); err == nil {
			return max(0, time.Duration(min(seconds, int(maxHold/time.Second)))*time.Second)
		}
		if at, err := http.ParseTime(text); err == nil {
			return max(0, at.Sub(now))
		}
	}
	number := func(name string) int64 {
		n, err := strconv.ParseInt(h.Get(name), 10, 64)
		if err != nil || n < 0 {
			return -1
		}
		return n
	}
	remaining, reset := number("RateLimit-Remaining"), number("RateLimit-Reset")
	if remaining < 0 || reset < 0 || remaining > 0 && float64(remaining) > low*float64(number("RateLimit-Limit")) {
		return 0
	}
	return max(0, time.Unix(reset, 0).Sub(now)) / time.Duration(remaining+1)
}
