// Package circuit has the circuit breaker of a receiver of notifications, or of an address of
// one, and what an error of a call says of both.
package circuit

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

// FirstProbe is how long after a refusal the first probe is made.
const FirstProbe = time.Minute

var (
	// ofSilence is that for a receiver which does not answer.
	ofSilence = tolerance{3, 5 * time.Second, time.Minute}
	// ofRefusals is that for a receiver or an address which refuses every notification
	// until a person has mended the cause.
	ofRefusals = tolerance{1, FirstProbe, time.Hour}
)

// Verdict is what the result of a call says of a receiver or of an address.
type Verdict int

// The verdicts.
const (
	Answers Verdict = iota
	Unclear         // it may refuse another call
	Silent
	Refuses
)

// Breaker stops calls to a receiver that does not answer, or to an address that
// refuses all notifications. While it is open, one call at a time probes. It is safe for
// concurrent use.
type Breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int // in a row
	until    time.Time
	pause    time.Duration // the last one; 0: the breaker is closed
	probing  bool          // a probe is in progress
	cause    error         // of the last failure
}

// New returns a closed Breaker.
func New(now func() time.Time) *Breaker { return &Breaker{now: now} }

// Allow returns 0 if a call may be made, which must be reported, else how long to
// wait and why.
func (b *Breaker) Allow() (wait time.Duration, cause error) {
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

// Report notes the result of a call, and returns whether it opened or closed the
// breaker.
func (b *Breaker) Report(v Verdict, err error) (opened, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := ofSilence
	if v == Answers && Mendable(b.cause) && event.Transient(err) {
		v = Unclear // the call may not have reached the receiver
	}
	switch v {
	case Answers:
		closed = b.pause > 0
		b.failures, b.pause, b.probing, b.cause = 0, 0, false, nil
		return false, closed
	case Unclear:
		b.until, b.probing = b.now(), false // the next call probes
		return false, false
	case Refuses:
		t = ofRefusals
	case Silent:
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

// Reset closes the breaker.
func (b *Breaker) Reset() { b.Report(Answers, nil) }

// OfReceiver returns what the error of a call says of its receiver.
func OfReceiver(err error) Verdict {
	var e interface{ Silent() bool }
	switch {
	case errors.As(err, &e) && e.Silent():
		return Silent
	case Mendable(err) && everywhere(err):
		return Refuses
	}
	return Answers
}

// OfAddress returns what the error of a call says of its address.
func OfAddress(err error) Verdict {
	switch {
	case Mendable(err) && !everywhere(err):
		return Refuses
	case Mendable(err), event.Transient(err):
		return Unclear
	}
	return Answers
}

// Mendable reports whether an error declares, by a method Mendable, that the same call
// succeeds once a person has mended the cause.
func Mendable(err error) bool {
	var e interface{ Mendable() bool }
	return errors.As(err, &e) && e.Mendable()
}

// everywhere reports whether an error declares, by a method Everywhere, that no call to
// the receiver succeeds before that, whatever its address.
func everywhere(err error) bool {
	var e interface{ Everywhere() bool }
	return errors.As(err, &e) && e.Everywhere()
}
