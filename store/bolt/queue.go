package bolt

import (
	"bytes"
	"context"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// Put implements Queue.
func (s *Store) Put(ctx context.Context, records ...store.Record) ([]bool, error) {
	if err := store.CheckRecords(records); err != nil {
		return nil, err
	}
	records = cloneRecords(records)
	var added []bool
	err := s.write(ctx, func(t *txn) (err error) {
		added, err = t.enqueue(records, s.dedupeTTL)
		return err
	})
	if err != nil {
		return nil, err
	}
	return added, nil
}

// Queued implements Queue.
func (s *Store) Queued(ctx context.Context, ids ...string) (bool, error) {
	var queued bool
	err := s.view(ctx, func(t *txn) error {
		for _, id := range ids {
			if seq, _, ok := t.lookup(tagID, id); ok && t.records.Get(seq) != nil {
				queued = true
			}
		}
		return nil
	})
	return queued, err
}

// Lease implements Queue.
func (s *Store) Lease(ctx context.Context, n int, visibility time.Duration) ([]store.Lease, error) {
	if err := store.CheckVisibility(visibility); err != nil {
		return nil, err
	}
	var leases []store.Lease
	err := s.write(ctx, func(t *txn) (err error) {
		leases, err = t.lease(n, visibility)
		return err
	})
	if err != nil {
		return nil, err
	}
	return leases, nil
}

// Extend implements Queue.
func (s *Store) Extend(ctx context.Context, l *store.Lease, visibility time.Duration) error {
	if err := store.CheckVisibility(visibility); err != nil {
		return err
	}
	held, body := *l, bytes.Clone(l.Body)
	var ends time.Time
	err := s.write(ctx, func(t *txn) error {
		seq, h, err := t.held(held)
		if err != nil {
			return err
		}
		expires := later(t.now, visibility)
		ends = t.processTime(expires)
		if err := t.requeue(seq, h, h.Due, expires); err != nil {
			return err
		}
		return t.saveBody(seq, body)
	})
	if err != nil {
		return err
	}
	l.Expires = ends
	return nil
}

// Defer implements Queue.
func (s *Store) Defer(ctx context.Context, l *store.Lease, after time.Duration) error {
	held, body := *l, bytes.Clone(l.Body)
	return s.write(ctx, func(t *txn) error {
		seq, h, err := t.held(held)
		if err != nil {
			return err
		}
		if err := t.requeue(seq, h, later(t.now, after), 0); err != nil {
			return err
		}
		return t.saveBody(seq, body)
	})
}

// Done implements Queue.
func (s *Store) Done(ctx context.Context, l *store.Lease, next ...store.Record) error {
	if err := store.CheckRecords(next); err != nil {
		return err
	}
	held, next := *l, cloneRecords(next)
	return s.write(ctx, func(t *txn) error {
		seq, h, err := t.held(held)
		if err != nil {
			return err
		}
		// What follows goes first, while this record's id is still known.
		if _, err := t.enqueue(next, s.dedupeTTL); err != nil {
			return err
		}
		if err := t.dequeue(seq, h); err != nil {
			return err
		}
		return t.deleteBody(seq)
	})
}

// Bury implements Queue.
func (s *Store) Bury(ctx context.Context, l *store.Lease, reason string) error {
	held := *l
	return s.write(ctx, func(t *txn) error {
		seq, h, err := t.held(held)
		if err != nil {
			return err
		}
		if err := t.dequeue(seq, h); err != nil {
			return err
		}
		h.Reason = reason
		return t.put(t.dead, pairKey(t.now, seq), h.encode())
	})
}

// Wait implements Queue.
func (s *Store) Wait(ctx context.Context, atMost time.Duration) error {
	queued := s.queued.Next() // before looking, so that nothing comes in between unseen
	err := s.view(ctx, func(t *txn) error {
		if k, _ := t.due.Cursor().First(); k != nil {
			at, _ := splitPairKey(k)
			atMost = min(atMost, time.Duration(at-t.now))
		}
		return nil
	})
	if err != nil || atMost <= 0 {
		return err
	}
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-queued:
	case <-timer.C:
	case <-s.closing:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Depth implements Queue. It reads an index through, some 10 million records
// a second.
func (s *Store) Depth(ctx context.Context) (store.Depth, error) {
	var d store.Depth
	err := s.view(ctx, func(t *txn) error {
		c := t.due.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			at, _ := splitPairKey(k)
			switch {
			case at <= t.now:
				d.Due++
			case len(v) > 0:
				d.Leased++
			default:
				d.Waiting++
			}
		}
		d.Dead = t.dead.Stats().KeyN
		return nil
	})
	return d, err
}

// Dead implements Queue.
func (s *Store) Dead(ctx context.Context, n int) ([]store.DeadRecord, error) {
	var dead []store.DeadRecord
	err := s.view(ctx, func(t *txn) error {
		c := t.dead.Cursor()
		for k, v := c.Last(); k != nil && len(dead) < n; k, v = c.Prev() {
			at, seq := splitPairKey(k)
			h, err := decodeHeader(v)
			if err != nil {
				h = unreadable(seq, err)
			}
			dead = append(dead, store.DeadRecord{
				ID:     h.ID,
				Kind:   h.Kind,
				Body:   t.body(seq),
				Reason: h.Reason,
				At:     t.processTime(at),
			})
		}
		return nil
	})
	return dead, err
}
