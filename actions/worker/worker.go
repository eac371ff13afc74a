// Package worker takes records out of the store's queue and has each carried one
// step on by the handler of its kind. The records mean nothing to it.
//
// A record is leased, its handler runs while the lease is renewed, and the handler
// settles the lease: done, with the records that come next, or deferred. Where it
// returns an error instead, the pool settles the lease:
//
//	         ┌─► Done                      the handler settled it
//	         ├─► Defer, and try again      any error, after an exponential back-off
//	leased ──┼─► Defer, as the error says  *LaterError, and errors with a method Again
//	         ├─► Defer, due at once        the program stops
//	         └─► Bury                      *DeadError, and a handler that panics again and again
//
// A worker that dies settles nothing: the lease expires, and the record is due
// again, on any replica. So every handler must be safe to repeat.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/goccy/go-json"

	"github.com/pipesteward/pipesteward/store"
)

const (
	// Visibility is how long a lease lasts without renewal: then another replica
	// may take the record.
	Visibility = 30 * time.Second
	// idle is the longest time between two attempts to lease from an empty queue, and the pause
	// after the queue could not be read.
	idle = time.Second
	// settleTimeout bounds the settling of a lease after the program was stopped.
	settleTimeout = 2 * time.Second
	// maxPanics is the attempt from which on a record whose handler panics is
	// buried for a person to look at.
	maxPanics = 3
)

// Queue is the part of the store's queue that a Pool uses.
type Queue interface {
	Lease(ctx context.Context, n int, visibility time.Duration) ([]store.Lease, error)
	Wait(ctx context.Context, atMost time.Duration) error
	Settler
}

// Handler carries a record one step on and settles its lease. After an error the
// pool settles it.
type Handler func(ctx context.Context, l *Lease) error

// JSON returns a handler that gets the record's body decoded. A body that can't
// be decoded buries the record.
func JSON[T any](handle func(ctx context.Context, l *Lease, body T) error) Handler {
	return func(ctx context.Context, l *Lease) error {
		var body T
		if err := json.Unmarshal(l.Body(), &body); err != nil {
			return &DeadError{fmt.Sprintf("the body can't be read: %v", err)}
		}
		return handle(ctx, l, body)
	}
}

// DeadError is the error of a record that no repetition can carry on. The record is
// buried.
type DeadError struct{ Reason string }

func (e *DeadError) Error() string { return e.Reason }

// LaterError is an error after which the record is due again after a given time. It is
// logged for debugging only: thousands of records may wait for the same.
type LaterError struct {
	Err   error
	After time.Duration
}

func (e *LaterError) Error() string { return e.Err.Error() }

func (e *LaterError) Unwrap() error { return e.Err }

// Again says that the same can succeed after that time.
func (e *LaterError) Again() (after time.Duration, ok bool) { return e.After, true }

// Config configures a Pool. All fields but Span are required.
type Config struct {
	Queue    Queue
	Handlers map[string]Handler // by kind of record
	Log      *slog.Logger
	// Workers is how many records are in flight at the same time, those in the slow
	// lane apart; at least 1.
	Workers int
	// SlowLane is how many records may be in the slow lane while the pool runs; see
	// Lease.EnterSlowLane.
	SlowLane int
	Span     Span
}

// Span begins a span of the work on a record. The work is done in the returned ctx, and end
// is called with its error. nil: there are no spans.
type Span func(ctx context.Context, l *Lease) (_ context.Context, end func(error))

// Pool works on the records of a queue.
type Pool struct{ Config }

// New returns a Pool.
func New(c Config) *Pool {
	c.Workers = max(c.Workers, 1)
	return &Pool{c}
}

// Run works until ctx is done. Then it leases no more records, gives those in
// flight the time of grace to end, gives the others back and returns.
func (p *Pool) Run(ctx context.Context, grace time.Duration) {
	p.run(ctx, grace, newCapacity(p.Workers, p.SlowLane), func(bool, <-chan struct{}) (more bool) {
		pauseAfter(ctx, p.Queue.Wait(ctx, idle))
		return true
	})
}

// WorkOff works as Run does, and returns also when no record is due and none is in
// flight. Records that other replicas have leased do not count.
func (p *Pool) WorkOff(ctx context.Context, grace time.Duration) {
	p.run(ctx, grace, newCapacity(p.Workers, p.Workers), func(busy bool, ended <-chan struct{}) (more bool) {
		if !busy {
			return false
		}
		select {
		case <-ctx.Done():
		case <-ended: // its successors may be due
		}
		return true
	})
}

// run works until ctx is done, or wait returns that there is no more. wait is
// called when no more records were due: busy tells that some are in flight or were
// before, and ended receives when one of them has ended.
func (p *Pool) run(ctx context.Context, grace time.Duration, c *capacity, wait func(busy bool, ended <-chan struct{}) (more bool)) {
	// The work in flight outlives ctx by the time of grace.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	for {
		n := c.acquire(ctx)
		if n == 0 {
			break
		}
		busy := c.records.Load() > 0
		leases, err := p.Queue.Lease(ctx, n, Visibility)
		c.workers.Release(int64(n - len(leases)))
		c.leased(leases)
		for _, record := range leases {
			l := &Lease{queue: p.Queue, record: record, capacity: c}
			size := len(record.Body)
			running.Go(func() {
				defer func() { c.end(size, l.slow) }()
				p.work(working, l)
			})
		}
		if err != nil {
			if ctx.Err() == nil {
				p.Log.ErrorContext(ctx, "the queue can't be read", store.Outage(err))
			}
			pauseAfter(ctx, err)
		} else if len(leases) < n && !wait(busy || len(leases) > 0, c.ended) {
			break
		}
	}
	time.AfterFunc(grace, stop)
	running.Wait()
}

// pauseAfter pauses after an error, so that a store that fails is not called
// without end.
func pauseAfter(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(idle):
	}
}

// Work carries one leased record one step on, and settles its lease.
func (p *Pool) Work(ctx context.Context, record store.Lease) {
	p.work(ctx, &Lease{queue: p.Queue, record: record})
}

func (p *Pool) work(ctx context.Context, l *Lease) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer l.renew(ctx, stop)()

	var err error
	if p.Span != nil {
		var end func(error)
		ctx, end = p.Span(ctx, l)
		defer func() { end(err) }()
	}
	err = p.handle(ctx, l)
	if err == nil || errors.Is(err, store.ErrLeaseLost) {
		return
	}
	// Settling must also be possible when ctx is done: the record is given back
	// then, and due at once.
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if failed := p.settle(settle, l, err, ctx.Err() != nil); failed != nil && !errors.Is(failed, store.ErrLeaseLost) {
		p.Log.ErrorContext(ctx, "the lease could not be settled; the record comes back by itself", "record", l.ID(), store.Outage(failed))
	}
}

// settle settles the lease of a record whose handler returned an error.
func (p *Pool) settle(ctx context.Context, l *Lease, err error, stopped bool) error {
	var dead *DeadError
	var later *LaterError
	switch {
	case stopped:
		return l.Defer(ctx, 0)
	case errors.As(err, &dead):
		p.Log.ErrorContext(ctx, "record buried", "record", l.ID(), "reason", dead.Reason)
		return l.bury(ctx, dead.Reason)
	case errors.As(err, &later):
		p.Log.DebugContext(ctx, "record deferred", "record", l.ID(), "wait", later.After.String(), "error", err)
		return l.Defer(ctx, later.After)
	}
	wait := Backoff(err, l.Tries())
	p.Log.WarnContext(ctx, "tried again later", "record", l.ID(), "wait", wait.String(), "error", err)
	return l.Defer(ctx, wait)
}

// handle calls the handler of the record's kind, and turns a panic into an error.
func (p *Pool) handle(ctx context.Context, l *Lease) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			p.Log.ErrorContext(ctx, "panic", "record", l.ID(), "panic", reason, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", reason)
			if l.Tries() >= maxPanics {
				err = &DeadError{err.Error()}
			}
		}
	}()
	handler, ok := p.Handlers[l.record.Kind]
	if !ok {
		return &DeadError{fmt.Sprintf("unknown kind %q", l.record.Kind)}
	}
	return handler(ctx, l)
}

// Backoff returns how long to wait before the given attempt, counted from 1, is
// repeated: the time that the error declares by a method Again, else from 1 s to 5 min,
// twice as long each time.
func Backoff(err error, attempt int) time.Duration {
	wait := min(time.Second<<min(max(attempt-1, 0), 10), 5*time.Minute)
	var declared interface {
		Again() (after time.Duration, ok bool)
	}
	if errors.As(err, &declared) {
		if after, ok := declared.Again(); ok && after > 0 {
			return after
		}
	}
	return wait
}
