package worker

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// Settler ends or renews a lease.
type Settler interface {
	Extend(ctx context.Context, l *store.Lease, visibility time.Duration) error
	DoneWith(ctx context.Context, l *store.Lease, c store.Changes) error
	Defer(ctx context.Context, l *store.Lease, after time.Duration) error
	Bury(ctx context.Context, l *store.Lease, reason string) error
}

// Lease is the lease of a record that a handler works on. The handler and the
// renewal change it in turn. A method that returns store.ErrLeaseLost has changed
// nothing, and the handler must stop.
type Lease struct {
	queue    Settler
	capacity *capacity // that the record takes up; nil: none
	slow     bool      // the record is in the slow lane
	deferred int       // the attempt that ended with the last deliberate wait

	mu     sync.Mutex
	record store.Lease
}

// ID returns the record's id.
func (l *Lease) ID() string { return l.record.ID }

// Kind returns the record's kind.
func (l *Lease) Kind() string { return l.record.Kind }

// Trace returns the span in which the record was put; zero: none.
func (l *Lease) Trace() store.Trace { return l.record.Trace }

// Body returns the record's body.
func (l *Lease) Body() []byte { return l.record.Body }

// Attempt returns how often the record was leased, this time included.
func (l *Lease) Attempt() int { return l.record.Attempt }

// Tries returns how often the record was tried since its last deliberate wait,
// this time included.
func (l *Lease) Tries() int { return l.record.Attempt - l.deferred }

// CountTriesAfter says that the given attempt ended with a deliberate wait: Tries
// and the back-off count from there.
func (l *Lease) CountTriesAfter(attempt int) { l.deferred = attempt }

// EnterSlowLane moves the record from the workers to the slow lane, so that other
// records do not wait for a handler that calls something which may not answer. It
// returns false, and moves nothing, while the slow lane is full.
func (l *Lease) EnterSlowLane() bool {
	if l.slow || l.capacity == nil {
		return true
	}
	l.slow = l.capacity.enterSlowLane()
	return l.slow
}

// Keep changes the body that the next call to the queue saves.
func (l *Lease) Keep(body any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := json.Marshal(body)
	if err == nil {
		l.record.Body = b
	}
	return err
}

// Extend renews the lease, and saves the record's body.
func (l *Lease) Extend(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.Extend(ctx, &l.record, Visibility)
}

// Done removes the record from the queue and puts the records that come next, in
// one step.
func (l *Lease) Done(ctx context.Context, next ...store.Record) error {
	return l.DoneWith(ctx, store.Changes{Next: next})
}

// DoneWith removes the record from the queue and makes the changes, in one step.
func (l *Lease) DoneWith(ctx context.Context, c store.Changes) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.DoneWith(ctx, &l.record, c)
}

// Defer saves the record's body and gives the record back, due after the given
// time.
func (l *Lease) Defer(ctx context.Context, after time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.Defer(ctx, &l.record, after)
}

func (l *Lease) bury(ctx context.Context, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.Bury(ctx, &l.record, reason)
}

// renew renews the lease until the returned function is called. When the lease is
// lost, it calls cancel, which ends the work on the record.
func (l *Lease) renew(ctx context.Context, cancel context.CancelFunc) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(Visibility / 3)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := l.Extend(ctx); errors.Is(err, store.ErrLeaseLost) {
					cancel()
				}
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}
