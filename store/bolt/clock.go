package bolt

import (
	"sync"
	"time"
)

// steadyClock is the process's clock made fit for times that are stored: it
// never goes back, so that nothing which was to happen in a minute happens
// hours later because somebody set the clock back. From then on it is ahead of
// the process's clock by its lead. What passes between the last call before that
// and the first after it is not counted. It is safe for concurrent use.
type steadyClock struct {
	process func() time.Time

	mu   sync.Mutex
	last int64 // what process showed last, in Unix nanoseconds
	lead int64 // nanoseconds
}

// newSteadyClock returns a clock that goes on from a time, in Unix nanoseconds,
// that it showed before; 0: from none.
func newSteadyClock(process func() time.Time, from int64) *steadyClock {
	now := process().UnixNano()
	return &steadyClock{process: process, last: now, lead: max(0, from-now)}
}

// now returns the time, and by how much it is ahead of the process's clock, in
// nanoseconds.
func (c *steadyClock) now() (now, lead int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown := c.process().UnixNano()
	c.lead += max(0, c.last-shown)
	c.last = shown
	return shown + c.lead, c.lead
}
