package ratelimit

import (
	"context"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// Local is the Limiter of one process, for commands that share no store with others. It
// is safe for concurrent use.
type Local struct {
	now func() time.Time

	mu   sync.Mutex
	full map[string]time.Time // when the bucket is full again
	held map[string]time.Time // nobody takes from the bucket before
}

var _ Limiter = (*Local)(nil)

// NewLocal returns a Local whose buckets are full.
func NewLocal(now func() time.Time) *Local {
	return &Local{now: now, full: map[string]time.Time{}, held: map[string]time.Time{}}
}

// Take implements Limiter. Its error is ctx's.
func (l *Local) Take(ctx context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, b := range buckets {
		if wait = l.take(now, b); wait > 0 {
			break
		}
		taken++
	}
	return taken, wait, ctx.Err()
}

func (l *Local) take(now time.Time, b store.Bucket) (wait time.Duration) {
	if held := l.held[b.Key].Sub(now); held > 0 {
		return held
	}
	full := l.full[b.Key]
	if full.Before(now) {
		full = now
	}
	full = full.Add(b.Rate.Interval())
	if wait := full.Sub(now) - time.Duration(b.Rate.Capacity())*b.Rate.Interval(); wait > 0 {
		return wait
	}
	l.full[b.Key] = full
	return 0
}

// Held implements Limiter. Its error is ctx's.
func (l *Local) Held(ctx context.Context, key string) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.held[key].Sub(l.now()), 0), ctx.Err()
}

// Hold implements Limiter. Its error is ctx's.
func (l *Local) Hold(ctx context.Context, key string, span time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.now().Add(span); until.After(l.held[key]) {
		l.held[key] = until
	}
	return ctx.Err()
}
