// Package clock is the clock of the store in a file.
package clock

import (
	"sync"
	"time"
)

// Steady is a monotonic clock for times that are stored. It follows the
// process's clock, but never goes back: if somebody sets the process's clock
// back by hours, what is due in a minute is still due in a minute. From then on
// it is ahead of the process's clock by its lead. The time between the last call
// before the change and the first call after it is not counted. It is safe for
// concurrent use.
type Steady struct {
	process func() time.Time

	mu   sync.Mutex
	last int64 // the last time of process, in Unix nanoseconds
	lead int64 // nanoseconds
}

// New returns a clock that starts no earlier than at from, the last
// time of an earlier clock, in Unix nanoseconds; 0: there was none.
func New(process func() time.Time, from int64) *Steady {
	now := process().UnixNano()
	return &Steady{process: process, last: now, lead: max(0, from-now)}
}

// Instant is a time of the store's clock.
type Instant struct {
	Now  int64 // Unix nanoseconds
	Lead int64 // how far Now is ahead of the process's clock, in nanoseconds
}

// Now returns the clock's time.
func (c *Steady) Now() Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.process().UnixNano()
	c.lead += max(0, c.last-t)
	c.last = t
	return Instant{t + c.lead, c.lead}
}
