package bolt

import (
	"sync"
	"time"
)

// steadyClock is a monotonic clock for times that are stored. It follows the
// process's clock, but never goes back: if somebody sets the process's clock
// back by hours, what is due in a minute is still due in a minute. From then on
// it is ahead of the process's clock by its lead. The time between the last call
// before the change and the first call after it is not counted. It is safe for
// concurrent use.
type steadyClock struct {
	process func() time.Time

	mu   sync.Mutex
	last int64 // the last time of process, in Unix nanoseconds
	lead int64 // nanoseconds
}

// newSteadyClock returns a clock that starts no earlier than at from, the last
// time of an earlier clock, in Unix nanoseconds; 0: there was none.
func newSteadyClock(process func() time.Time, from int64) *steadyClock {
	now := process().UnixNano()
	return &steadyClock{process: process, last: now, lead: max(0, from-now)}
}

// instant is a time of the store's clock.
type instant struct {
	now  int64 // Unix nanoseconds
	lead int64 // how far now is ahead of the process's clock, in nanoseconds
}

func (c *steadyClock) now() instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.process().UnixNano()
	c.lead += max(0, c.last-t)
	c.last = t
	return instant{t + c.lead, c.lead}
}
