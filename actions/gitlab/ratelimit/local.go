package ratelimit

import (
	"context"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// Local is a Limiter of one process, for commands that have no store.
type Local struct {
	now func() time.Time

	mu   sync.Mutex
	next map[string]time.Time // by key: when a token is free if the bucket has no burst (GCRA's theoretical arrival time)
	held map[string]time.Time // by key: nobody may take before
}

var _ Limiter = (*Local)(nil)

// NewLocal returns a limiter whose buckets are full.
func NewLocal(now func() time.Time) *Local {
	return &Local{now: now, next: map[string]time.Time{}, held: map[string]time.Time{}}
}

// Take implements Limiter.
func (l *Local) Take(_ context.Context, key string, rate store.Rate) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, interval := l.now(), rate.Interval()
	if wait := l.held[key].Sub(now); wait > 0 {
		return wait, nil
	}
	next := l.next[key]
	if next.Before(now) {
		next = now
	}
	if wait := next.Sub(now) - interval*time.Duration(rate.Capacity()-1); wait > 0 {
		return wait, nil
	}
	l.next[key] = next.Add(interval)
	return 0, nil
}

// Hold implements Limiter.
func (l *Local) Hold(_ context.Context, key string, span time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.now().Add(span); until.After(l.held[key]) {
		l.held[key] = until
	}
	return nil
}
