package webhook

import (
	"cmp"
	"errors"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A body has to arrive at leastRate, in bytes a second, on average over
	// leastTicks seconds.
	leastRate  = 8 << 10
	leastTicks = 5
	// slowRate is the rate below which a body may be evicted, in bytes a second.
	// GitLab waits 10 s for a response: a large body at a lower rate arrives too
	// late, and a small one at this rate arrives within the first second.
	slowRate = 1 << 20
	// tick is how often the rate of a body is measured.
	tick = time.Second
)

// arrival is a body that is being received. Its sender is proven if the secret
// token is right.
type arrival struct {
	proven  bool
	arrived atomic.Int64 // bytes

	mu        sync.Mutex
	interrupt func()    // ends a read that waits for the sender
	from      *capacity // the capacity that it has acquired, if its sender is unproven
	size      int64     // bytes acquired of it
	paused    bool      // it waits for capacity: the sender is not slow
	failed    error     // why it was interrupted
	ended     bool

	timer    *time.Timer
	epoch    int   // of the timer: a late one measures nothing
	measured bool  // it has been arriving for a tick
	last     int64 // bytes that arrived in the last tick
	before   int64 // bytes that had arrived before this tick
	ticks    int   // since the least rate was last checked
	since    int64 // bytes that arrived in these ticks
}

// arrivals are the bodies of unproven senders that are being received.
type arrivals struct {
	mu  sync.Mutex
	all map[*arrival]struct{}
}

// begin starts to measure the body of a request. Only bodies of unproven senders
// can be evicted.
func (s *arrivals) begin(conn *http.ResponseController, proven bool) *arrival {
	a := &arrival{
		proven: proven,
		// A deadline in the past ends a read at once.
		interrupt: func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) },
	}
	a.mu.Lock()
	a.start()
	a.mu.Unlock()
	if !proven {
		s.mu.Lock()
		s.all[a] = struct{}{}
		s.mu.Unlock()
	}
	return a
}

// end stops measuring: the body is not interrupted any more.
func (s *arrivals) end(a *arrival) {
	if !a.proven {
		s.mu.Lock()
		delete(s.all, a)
		s.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	a.timer.Stop()
}

// explain returns why a body could not be read to its end.
func (a *arrival) explain(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.failed != nil:
		return a.failed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow // the server's own deadline, for the whole request
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return errTooLarge
	}
	return errCutOff
}

// measure records the rate of the last tick. It interrupts the body if its rate has
// been below leastRate for leastTicks, or if it is slow while others wait for capacity.
func (a *arrival) measure(epoch int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if epoch != a.epoch || a.ended || a.failed != nil || a.paused {
		return
	}
	arrived := a.arrived.Load()
	a.measured, a.last, a.before = true, arrived-a.before, arrived
	a.ticks, a.since = a.ticks+1, a.since+a.last
	if a.ticks == leastTicks {
		if a.since < leastRate*leastTicks {
			a.fail(errSlow)
			return
		}
		a.ticks, a.since = 0, 0
	}
	if a.last < slowRate && a.from != nil && a.from.isShort() {
		a.fail(errCrowded)
		return
	}
	a.start()
}

// start starts a tick. The caller has locked a.mu.
func (a *arrival) start() {
	a.epoch++
	epoch := a.epoch
	a.timer = time.AfterFunc(tick, func() { a.measure(epoch) })
}

// fail interrupts the body. The caller has locked a.mu.
func (a *arrival) fail(reason error) {
	if !a.ended && a.failed == nil {
		a.failed = reason
		a.interrupt()
	}
}

// takes records how many bytes of a capacity the body has acquired.
func (a *arrival) takes(from *capacity, size int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.from, a.size = from, size
}

// pause stops measuring while the body waits for capacity, until resume is called.
func (a *arrival) pause() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paused = true
}

// resume starts to measure the body again.
func (a *arrival) resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paused, a.measured, a.before = false, false, a.arrived.Load()
	a.ticks, a.since = 0, 0
	a.timer.Stop()
	a.start()
}

// slow returns the bytes that arrived in the last tick and the bytes that the body
// has acquired of the capacity. ok is true if the body is slow and may be evicted.
func (a *arrival) slow(of *capacity) (last, size int64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last, a.size, a.from == of && a.measured && a.last < slowRate && !a.paused && a.failed == nil
}

// evict interrupts slow bodies, the slowest first, until they have acquired as many
// bytes of the capacity as are needed.
func (s *arrivals) evict(of *capacity, needed int64) {
	type victim struct {
		*arrival
		last, size int64
	}
	var slow []victim
	s.mu.Lock()
	for a := range s.all {
		if last, size, ok := a.slow(of); ok {
			slow = append(slow, victim{a, last, size})
		}
	}
	s.mu.Unlock()
	slices.SortFunc(slow, func(a, b victim) int { return cmp.Compare(a.last, b.last) })
	for _, v := range slow {
		if needed <= 0 {
			return
		}
		v.mu.Lock()
		v.fail(errCrowded)
		v.mu.Unlock()
		needed -= v.size
	}
}
