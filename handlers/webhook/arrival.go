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
	// GitLab waits 10 s for an answer: a large body that comes more slowly than
	// that is in vain, and a small one is there within the first second.
	slowRate = 1 << 20
	// tick is how often the rate of a body is measured.
	tick = time.Second
)

// arrival is a body that is being received.
type arrival struct {
	proven  bool
	arrived atomic.Int64 // bytes

	mu        sync.Mutex
	interrupt func()    // ends a read that waits for the sender
	from      *capacity // the capacity that it takes, if its sender is unproven …
	size      int64     // … and how much of it, in bytes
	paused    bool      // it waits for capacity: it is not the sender who is slow
	failed    error     // why it was interrupted
	ended     bool

	timer    *time.Timer
	epoch    int   // of the timer: one that fired late measures nothing
	measured bool  // it has been arriving for a tick
	last     int64 // bytes that arrived in the last tick
	before   int64 // bytes that had arrived before this tick
	ticks    int   // since the least rate was last checked …
	since    int64 // … and bytes in them
}

// arrivals are the bodies of unproven senders that are being received.
type arrivals struct {
	mu  sync.Mutex
	all map[*arrival]struct{}
}

// begin begins to watch the body of a request. Only those of unproven senders
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

// end ends the watch: nothing is interrupted any more.
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

// explain says why a body could not be read to its end.
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

// measure notes the rate of the last tick, and interrupts the body if it has been
// below the least rate for long, or if it is slow while others wait for memory.
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

// start begins a tick; a.mu is held.
func (a *arrival) start() {
	a.epoch++
	epoch := a.epoch
	a.timer = time.AfterFunc(tick, func() { a.measure(epoch) })
}

// fail interrupts the body; a.mu is held.
func (a *arrival) fail(reason error) {
	if !a.ended && a.failed == nil {
		a.failed = reason
		a.interrupt()
	}
}

// takes notes what the body takes of which capacity.
func (a *arrival) takes(from *capacity, size int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.from, a.size = from, size
}

// pause says that the body waits for capacity, until resume is called.
func (a *arrival) pause() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paused = true
}

// resume begins to measure the body anew.
func (a *arrival) resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paused, a.measured, a.before = false, false, a.arrived.Load()
	a.ticks, a.since = 0, 0
	a.timer.Stop()
	a.start()
}

// slow returns the bytes that came in the last tick and how much the body takes
// of the capacity, if that could be had back because the body is slow.
func (a *arrival) slow(of *capacity) (last, size int64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last, a.size, a.from == of && a.measured && a.last < slowRate && !a.paused && a.failed == nil
}

// evict interrupts slow bodies until what they take of the capacity is as much
// as is needed, in bytes, the slowest first.
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
