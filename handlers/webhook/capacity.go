package webhook

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// capacity is a weighted semaphore: memory, in bytes, that bodies acquire in the
// order in which they request it, so that none waits for ever.
type capacity struct {
	*semaphore.Weighted
	waiting atomic.Int64 // callers of Acquire
}

func newCapacity(size int64) *capacity { return &capacity{Weighted: semaphore.NewWeighted(size)} }

// Acquire blocks until n bytes are available; the error is ctx's.
func (c *capacity) Acquire(ctx context.Context, n int64) error {
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	return c.Weighted.Acquire(ctx, n)
}

// isShort reports whether a body waits for capacity.
func (c *capacity) isShort() bool { return c.waiting.Load() > 0 }
