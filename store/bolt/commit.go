package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/pipesteward/pipesteward/store"
)

// write is one call that changes something. Its run may be called twice, so
// it sets its results anew each time, and it uses nothing that its caller
// may change after giving up.
type write struct {
	run    func(*txn) error
	result chan error
}

// write has the committing goroutine run the function and waits until what
// it did is on disk. When ctx ends first, it may still come to pass.
func (s *Store) write(ctx context.Context, run func(*txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &write{run: run, result: make(chan error, 1)}
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

// view runs the function on what is committed.
func (s *Store) view(ctx context.Context, run func(*txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.guarded(func() error {
		return s.db.View(func(tx *bbolt.Tx) error { return run(s.begin(tx)) })
	})
	if errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// commitLoop is the committing goroutine.
func (s *Store) commitLoop() {
	defer close(s.committed)
	for {
		select {
		case first := <-s.writes:
			s.commit(s.gather(first))
		case <-s.closing:
			return
		}
	}
}

// gather adds the writes that wait already. It yields as long as that brings
// more, so that the writers that the last commit answered come in again: else
// groups are half as large. It waits for nobody.
func (s *Store) gather(first *write) []*write {
	group := []*write{first}
	for had := 0; had < len(group); {
		had = len(group)
		runtime.Gosched()
		group = s.drain(group)
	}
	return group
}

// drain adds the writes that wait to the group, up to maxBatch.
func (s *Store) drain(group []*write) []*write {
	for len(group) < maxBatch {
		select {
		case w := <-s.writes:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

// commit runs the writes as one transaction, or, when that fails, each as
// its own, and answers them all.
func (s *Store) commit(group []*write) {
	err := s.update(group)
	for i, w := range group {
		if err != nil && len(group) > 1 {
			w.result <- s.update(group[i : i+1])
			continue
		}
		w.result <- err
	}
}

var errUnchanged = errors.New("store: nothing to commit")

// update runs the writes as one transaction.
func (s *Store) update(group []*write) error {
	if err := s.present(); err != nil {
		return err
	}
	var queued bool
	err := s.guarded(func() error { return s.db.Update(s.apply(group, &queued)) })
	switch {
	case err == nil && queued:
		s.queued.Notify()
	case errors.Is(err, errUnchanged):
		return nil
	case errors.Is(err, bbolterrors.ErrMaxSizeReached), errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("store: %s cannot grow, and nothing was changed (%w): free space on its disk", s.db.Path(), err)
	}
	return err
}

// apply returns the transaction of the writes, which sets whether records were
// queued.
func (s *Store) apply(group []*write, queued *bool) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		t := s.begin(tx)
		for _, w := range group {
			if err := w.run(t); err != nil {
				return err
			}
		}
		if !t.changed {
			return errUnchanged // spares the sync to disk
		}
		*queued = t.queued
		return errors.Join(t.put(t.meta, clockKey, numberKey(uint64(t.now))), t.purgeExpired(), t.purgeEntries(s.journalTTL))
	}
}

// guarded runs something on the file. bbolt panics where the file is damaged,
// or faults where it is too short, and can't be used or closed after that: then
// Damaged tells it, and this and all later calls return an error.
func (s *Store) guarded(run func() error) (err error) {
	if broken := s.broken.Load(); broken != nil {
		return *broken
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("store: %s: %w (%v): stop, and restore a backup, or move it away to start with an empty store", s.db.Path(), errDamaged, r)
			if s.broken.CompareAndSwap(nil, &err) {
				s.damage <- err
			}
		}
	}()
	return run()
}

// Damaged returns a channel that gives an error when the file is found to be
// damaged while it is in use: the process must end, and nothing else helps.
func (s *Store) Damaged() <-chan error { return s.damage }
