package notify

import (
	"errors"
	"sync"
	"time"
)

// A receiver's circuit breaker opens after so many calls in a row that the
// receiver did not answer; then one call at a time probes it, after minOpen first
// and then after twice as long each time, up to maxOpen.
const (
	breakerFailures = 3
	minOpen         = 5 * time.Second
	maxOpen         = time.Minute
)

// circuitBreaker stops calls to a receiver that does not answer. It is safe for
// concurrent use.
type circuitBreaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int // in a row
	until    time.Time
	pause    time.Duration // the last one; 0: the breaker is closed
}

// allow returns 0 if a call may be made, which must be reported, else how long to
// wait.
func (b *circuitBreaker) allow() (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pause == 0 {
		return 0
	}
	now := b.now()
	if wait = b.until.Sub(now); wait > 0 {
		return min(wait, b.pause) // a clock set back delays nothing
	}
	b.until = now.Add(b.pause) // this call is the probe; the next one waits for it
	return 0
}

// report notes the result of a call, and returns whether it opened or closed the
// breaker. Only an error that declares by a method Silent that the receiver did not
// answer counts.
func (b *circuitBreaker) report(err error) (opened, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var silent interface{ Silent() bool }
	if !errors.As(err, &silent) || !silent.Silent() {
		closed = b.pause > 0
		b.failures, b.pause = 0, 0
		return false, closed
	}
	if b.failures++; b.failures < breakerFailures {
		return false, false
	}
	opened = b.pause == 0
	b.pause = min(max(2*b.pause, minOpen), maxOpen)
	b.until = b.now().Add(b.pause)
	return opened, false
}
