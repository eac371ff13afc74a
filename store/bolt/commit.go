package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/clock"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

const (
	// maxBatch is how many writes share a commit at most.
	maxBatch = 1024
	// maxLazy is how many lazy writes wait for a commit at most: a further one is
	// committed at once. All of them run again whenever a commit fails.
	maxLazy = 256
	// commitWithin is how long a lazy write waits for a commit at most.
	commitWithin = time.Second
)

// write is one call that changes something. The committing goroutine runs it,
// more than once if a commit fails; so run depends on nothing but the
// transaction, and on nothing that the caller may change after it gave up.
type write struct {
	run    func(*txn) error
	lazy   bool          // it is answered before it is committed
	time   clock.Instant //  of the first run, and of all others
	ranIn  *txn          // the transaction of the last run
	result chan error    // has room for the result
}

// write runs a function in a transaction and returns when that is committed.
// If ctx ends before, it may be committed later.
func (s *Store) write(ctx context.Context, run func(*txn) error) error {
	return s.send(ctx, &write{run: run})
}

// update is write for a function with a result.
func update[T any](ctx context.Context, s *Store, run func(*txn) (T, error)) (T, error) {
	return result(ctx, s, false, run)
}

// lazily runs a function in a transaction and returns its result. The
// transaction is committed with the next write, and at the latest within a
// second; at once if the function sets txn.sync. Until then a crash undoes it.
func lazily[T any](ctx context.Context, s *Store, run func(*txn) (T, error)) (T, error) {
	return result(ctx, s, true, run)
}

func result[T any](ctx context.Context, s *Store, lazy bool, run func(*txn) (T, error)) (value T, err error) {
	values := make(chan T, 1) // the result of the last run: a variable would be shared with runs after the answer
	err = s.send(ctx, &write{lazy: lazy, run: func(t *txn) error {
		v, err := run(t)
		select {
		case <-values:
		default:
		}
		values <- v
		return err
	}})
	if err != nil {
		return value, err
	}
	return <-values, nil
}

func (s *Store) send(ctx context.Context, w *write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.result = make(chan error, 1)
	select {
	case s.writes <- w:
	case <-s.closing:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-w.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// view runs a function in a transaction that sees what is committed. Lazy writes
// may be missing.
func (s *Store) view(ctx context.Context, run func(*txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.db.Guarded(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			t := newTxn(tx)
			t.Instant = s.clock.Now()
			return run(t)
		})
	})
	if errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// viewAll is view with the lazy writes, among which are leases: it commits them. A full
// store can still be looked at: then they may be missing.
func (s *Store) viewAll(ctx context.Context, run func(*txn) error) error {
	if err := s.write(ctx, func(*txn) error { return nil }); err != nil && !isFull(err) {
		return err
	}
	return s.view(ctx, run)
}

// committer is the state of the committing goroutine.
type committer struct {
	*Store
	txn     *txn        // the open transaction, or nil
	lazy    []*write    // the answered writes in the transaction
	overdue *time.Timer // runs while there are any
}

// commitLoop is the committing goroutine.
func (s *Store) commitLoop() {
	defer close(s.committed)
	c := &committer{Store: s, overdue: time.NewTimer(commitWithin)}
	c.overdue.Stop()
	for {
		select {
		case first := <-s.writes:
			c.serve(first)
		case <-c.overdue.C:
			if c.commit() != nil {
				c.overdue.Reset(commitWithin) // the next write has the error, if it persists
			}
		case <-s.closing:
			s.commitErr = c.commit()
			c.rollback()
			return
		}
	}
}

// serve runs a write and those that wait, and commits them in one transaction.
func (c *committer) serve(first *write) {
	batch := c.collect(nil, first)
	for had := 0; had < len(batch); {
		// As long as that brings more writes, the writers that the last commit
		// answered get a chance to come in again: else batches are half as large.
		had = len(batch)
		runtime.Gosched()
		batch = c.drain(batch)
	}
	if len(batch) > 0 {
		c.commitBatch(batch)
	}
}

// drain adds the writes that wait to the batch, up to maxBatch.
func (c *committer) drain(batch []*write) []*write {
	for len(batch) < maxBatch {
		select {
		case w := <-c.writes:
			batch = c.collect(batch, w)
		default:
			return batch
		}
	}
	return batch
}

// collect adds a write to the batch. It runs and answers a lazy one instead,
// unless that must be committed.
func (c *committer) collect(batch []*write, w *write) []*write {
	if !w.lazy {
		return append(batch, w)
	}
	changed, err := c.run(w)
	switch {
	case err != nil && changed:
		c.restart()
		fallthrough
	case err != nil:
		w.result <- err
		return batch
	case c.txn.sync:
		return append(batch, w)
	}
	c.answer(w, changed)
	return batch
}

// answer answers a write that is not committed yet.
func (c *committer) answer(w *write, changed bool) {
	if changed {
		if len(c.lazy) == 0 {
			c.overdue.Reset(commitWithin)
		}
		c.lazy = append(c.lazy, w)
	}
	w.result <- nil
}

// commitBatch runs the writes of the batch and commits them in one transaction.
// If that fails, it runs and commits each write by itself, so that each has its
// own result.
func (c *committer) commitBatch(batch []*write) {
	var ran []*write
	for i, w := range batch {
		if c.txn != nil && w.ranIn == c.txn { // collect ran it
			ran = append(ran, w)
			continue
		}
		changed, err := c.run(w)
		switch {
		case err != nil && changed && len(batch) > 1:
			c.restart()
			c.commitEach(append(ran, batch[i:]...))
			return
		case err != nil && changed:
			c.restart()
			fallthrough
		case err != nil:
			w.result <- err
		default:
			ran = append(ran, w)
		}
	}
	err := c.commit()
	if err != nil && len(ran) > 1 {
		c.commitEach(ran)
		return
	}
	for _, w := range ran {
		w.result <- err
	}
}

func (c *committer) commitEach(batch []*write) {
	for i := range batch {
		c.commitBatch(batch[i : i+1])
	}
}

// run runs a write in the open transaction, and reports whether it changed
// anything.
func (c *committer) run(w *write) (changed bool, err error) {
	if err := c.db.Present(); err != nil {
		return false, err
	}
	if w.time.Now == 0 {
		w.time = c.clock.Now()
	}
	err = c.db.Guarded(func() error {
		if c.txn == nil {
			tx, err := c.db.Begin(true)
			if err != nil {
				return err
			}
			c.txn = newTxn(tx)
		}
		t := c.txn
		w.ranIn = t
		before := t.changes
		t.Instant, t.sync, t.leased = w.time, len(c.lazy) >= maxLazy, t.leased[:0]
		err := w.run(t)
		changed = t.changes > before
		if err == nil && len(t.leased) > 0 && c.attempts.Save(t.leased) != nil {
			t.sync = true // then the transaction saves them
		}
		return err
	})
	return changed, err
}

// isFull tells whether an error is that the file can't grow.
func isFull(err error) bool {
	return errors.Is(err, bbolterrors.ErrMaxSizeReached) || errors.Is(err, syscall.ENOSPC)
}

// commit commits the open transaction. If that fails, it starts another one with
// the lazy writes of this one.
func (c *committer) commit() error {
	if c.txn == nil || c.txn.changes == 0 {
		return nil
	}
	t := c.txn
	err := c.db.Guarded(func() error {
		t.Instant = c.clock.Now()
		if err := errors.Join(t.put(t.meta, format.ClockKey, format.NumberKey(uint64(t.Now))), t.purgeExpired(), t.journal.removeExpired(t, t.atMost(), c.retention.OfJournal())); err != nil {
			return err
		}
		return t.tx.Commit()
	})
	if err != nil {
		c.restart()
		if isFull(err) {
			return fmt.Errorf("store: %s cannot grow, and nothing was changed (%w): free space on its disk", c.db.Path(), err)
		}
		return err
	}
	c.txn, c.lazy = nil, nil
	c.amendments.Add(t.amended)
	c.overdue.Stop()
	c.attempts.Reset()
	if t.queued {
		c.queued.Notify()
	}
	return nil
}

// restart rolls the transaction back and starts another one with its lazy
// writes, which are answered: they change the same again, because they run in the
// same order, at the same times and after the same commit.
func (c *committer) restart() {
	c.rollback()
	for _, w := range c.lazy {
		_, _ = c.run(w) // it succeeded before
	}
}

func (c *committer) rollback() {
	if c.txn != nil && !c.db.Broken() {
		_ = c.txn.tx.Rollback() // a Commit that failed did it already
	}
	c.txn = nil
}

// Damaged returns a channel that receives an error when the file turns out to be
// damaged while it is in use. Then the process must end: nothing else helps.
func (s *Store) Damaged() <-chan error { return s.db.Damaged() }
