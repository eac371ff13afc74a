package notify

import (
	"errors"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// tolerance says when a circuit breaker opens, and for how long: after so many failures
// in a row, for minOpen first and then for twice as long after each probe that fails, up
// to maxOpen.
type tolerance struct {
	failures         int
	minOpen, maxOpen time.Duration
}

var (
	// ofSilence is that for a receiver which does not answer.
	ofSilence = tolerance{3, 5 * time.Second, time.Minute}
	// ofRefusals is that for a receiver or an address which refuses every notification
	// until a person has mended the cause.
	ofRefusals = tolerance{1, time.Minute, time.Hour}
)

// verdict is what the result of a call says of a receiver or of an address.
type verdict int

const (
	answers verdict = iota
	unclear         // it may refuse another call
	silent
	refuses
)

// circuitBreaker stops calls to a receiver that does not answer, or to an address that
// refuses all notifications. While it is open, one call at a time probes. It is safe for
// concurrent use.
type circuitBreaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int // in a row
	until    time.Time
	pause    time.Duration // the last one; 0: the breaker is closed
	probing  bool          // a probe is in progress
	cause    error         // of the last failure
}

// allow returns 0 if a call may be made, which must be reported, else how long to
// wait and why.
func (b *circuitBreaker) allow() (wait time.Duration, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pause == 0 {
		return 0, nil
	}
	now := b.now()
	if wait = b.until.Sub(now); wait > 0 {
		return min(wait, b.pause), b.cause // a clock set back delays nothing
	}
	b.until, b.probing = now.Add(b.pause), true // the next probe waits for this call
	return 0, nil
}

// report notes the result of a call, and returns whether it opened or closed the
// breaker.
func (b *circuitBreaker) report(v verdict, err error) (opened, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := ofSilence
	if v == answers && mendable(b.cause) && event.Transient(err) {
		v = unclear // the call may not have reached the receiver
	}
	switch v {
	case answers:
		closed = b.pause > 0
		b.failures, b.pause, b.probing, b.cause = 0, 0, false, nil
		return false, closed
	case unclear:
		b.until, b.probing = b.now(), false // the next call probes
		return false, false
	case refuses:
		t = ofRefusals
	case silent:
	}
	if b.failures++; b.failures < t.failures {
		return false, false
	}
	opened = b.pause == 0
	if !opened && !b.probing { // the call was in progress when the breaker opened
		return false, false
	}
	b.probing, b.pause, b.cause = false, min(max(2*b.pause, t.minOpen), t.maxOpen), err
	b.until = b.now().Add(b.pause)
	return opened, false
}

// reset closes the breaker.
func (b *circuitBreaker) reset() { b.report(answers, nil) }

// ofReceiver returns what the error of a call says of its receiver.
func ofReceiver(err error) verdict {
	var e interface{ Silent() bool }
	switch {
	case errors.As(err, &e) && e.Silent():
		return silent
	case mendable(err) && everywhere(err):
		return refuses
	}
	return answers
}

// ofAddress returns what the error of a call says of its address.
func ofAddress(err error) verdict {
	switch {
	case mendable(err) && !everywhere(err):
		return refuses
	case mendable(err), event.Transient(err):
		return unclear
	}
	return answers
}

// mendable reports whether an error declares, by a method Mendable, that the same call
// succeeds once a person has mended the cause.
func mendable(err error) bool {
	var e interface{ Mendable() bool }
	return errors.As(err, &e) && e.Mendable()
}

// everywhere reports whether an error declares, by a method Everywhere, that no call to
// the receiver succeeds before that, whatever its address.
func everywhere(err error) bool {
	var e interface{ Everywhere() bool }
	return errors.As(err, &e) && e.Everywhere()
}
