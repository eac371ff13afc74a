package webhook

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// capacity is memory, in bytes, of which several take parts for a time.
type capacity interface {
	TryAcquire(n int64) bool
	// Acquire waits until there are n bytes; the error is ctx's.
	Acquire(ctx context.Context, n int64) error
	Release(n int64)
}

var (
	_ capacity = (*semaphore.Weighted)(nil) // in order: a large part is not kept waiting by small ones for ever
	_ capacity = (*unordered)(nil)
)

// unordered is a weighted semaphore without a queue: what is released goes to
// whoever it suffices for. So small parts are not kept waiting by large ones.
type unordered struct {
	mu       sync.Mutex
	free     int64         // bytes
	waiting  int           // callers of Acquire
	released chan struct{} // closed and made anew by Release, if anybody waits
}

func newUnordered(size int64) *unordered {
	return &unordered{free: size, released: make(chan struct{})}
}

// TryAcquire takes n bytes if there are as many.
func (u *unordered) TryAcquire(n int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.take(n)
}

func (u *unordered) take(n int64) bool {
	if n > u.free {
		return false
	}
	u.free -= n
	return true
}

// Acquire implements capacity.
func (u *unordered) Acquire(ctx context.Context, n int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting++
	defer func() { u.waiting-- }()
	for !u.take(n) {
		released := u.released
		u.mu.Unlock()
		select {
		case <-released:
		case <-ctx.Done():
		}
		u.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// Release gives n bytes back.
func (u *unordered) Release(n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.free += n
	if u.waiting > 0 {
		close(u.released)
		u.released = make(chan struct{})
	}
}

// short reports whether anybody waits.
func (u *unordered) short() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.waiting > 0
}
