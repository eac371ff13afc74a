package store

import (
	"sync"
	"time"
)

// steadyClock is the process's clock made fit for times that are stored: it
// never goes back, so that nothing which was to happen in a minute happens
// hours later because somebody set the clock back. It is ahead of the process's
// clock then, by its lead, and goes at half the speed until that is gone: what
// waits meanwhile waits twice as long at most. It is safe for concurrent use.
type steadyClock struct {
	wall func() time.Time

	mu   sync.Mutex
	last int64 // what wall showed last, in Unix nanoseconds
	lead int64 // nanoseconds
}

// newSteadyClock returns a clock that goes on from a time, in Unix nanoseconds,
// that it showed before; 0: from none.
func newSteadyClock(wall func() time.Time, from int64) *steadyClock {
	now := wall().UnixNano()
	return &steadyClock{wall: wall, last: now, lead: max(0, from-now)}
}

// now returns the time in Unix nanoseconds.
func (c *steadyClock) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.wall().UnixNano()
	if step := now - c.last; step < 0 {
		c.lead -= step
	} else {
		c.lead -= min(c.lead, step/2)
	}
	c.last = now
	return now + c.lead
}
