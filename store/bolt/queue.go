package bolt

import (
	"bytes"
	"context"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// Put implements store.Queue.
func (s *Store) Put(ctx context.Context, records ...store.Record) ([]bool, error) {
	if err := store.CheckRecords(records); err != nil {
		return nil, err
	}
	records = store.CloneRecords(records)
	return update(ctx, s, func(t *txn) ([]bool, error) { return t.enqueue(records, s.dedupeTTL, s.retention.OfJournal()) })
}

// Queued implements store.Queue.
func (s *Store) Queued(ctx context.Context, ids ...string) (bool, error) {
	var queued bool
	err := s.view(ctx, func(t *txn) error {
		for _, id := range ids {
			if seq, _, ok := t.lookup(format.TagID, id); ok && t.records.Get(seq) != nil {
				queued = true
			}
		}
		return nil
	})
	return queued, err
}

// Lease implements store.Queue.
func (s *Store) Lease(ctx context.Context, n int, visibility time.Duration) ([]store.Lease, error) {
	if err := store.CheckVisibility(visibility); err != nil {
		return nil, err
	}
	return lazily(ctx, s, func(t *txn) ([]store.Lease, error) { return t.lease(n, visibility) })
}

// Extend implements store.Queue.
func (s *Store) Extend(ctx context.Context, l *store.Lease, visibility time.Duration) error {
	if err := store.CheckVisibility(visibility); err != nil {
		return err
	}
	lease, body := *l, bytes.Clone(l.Body)
	expires, err := lazily(ctx, s, func(t *txn) (time.Time, error) {
		seq, h, err := t.leasedRecord(lease)
		if err != nil {
			return time.Time{}, err
		}
		expires := format.Later(t.Now, visibility)
		if err := t.requeue(seq, h, h.Due, expires); err != nil {
			return time.Time{}, err
		}
		t.sync, err = t.saveBody(seq, body)
		return t.processTime(expires), err
	})
	if err != nil {
		return err
	}
	l.Expires = expires
	return nil
}

// Defer implements store.Queue.
func (s *Store) Defer(ctx context.Context, l *store.Lease, after time.Duration) error {
	lease, body := *l, bytes.Clone(l.Body)
	return s.write(ctx, func(t *txn) error {
		seq, h, err := t.leasedRecord(lease)
		if err != nil {
			return err
		}
		if err := t.requeue(seq, h, format.Later(t.Now, after), 0); err != nil {
			return err
		}
		_, err = t.saveBody(seq, body)
		return err
	})
}

// Done implements store.Queue.
func (s *Store) Done(ctx context.Context, l *store.Lease, next ...store.Record) error {
	return s.DoneWith(ctx, l, store.Changes{Next: next})
}

// DoneWith implements store.Store.
func (s *Store) DoneWith(ctx context.Context, l *store.Lease, c store.Changes) error {
	if err := store.CheckChanges(c); err != nil {
		return err
	}
	lease, c := *l, c.Clone()
	return s.write(ctx, func(t *txn) error {
		seq, h, err := t.leasedRecord(lease)
		if err != nil {
			return err
		}
		// The id of this record is still remembered, whatever its time to live.
		if err := s.change(t, c); err != nil {
			return err
		}
		if err := t.dequeue(seq, h); err != nil {
			return err
		}
		return t.deleteBody(seq)
	})
}

// Change implements store.Store.
func (s *Store) Change(ctx context.Context, c store.Changes) error {
	if err := store.CheckChanges(c); err != nil {
		return err
	}
	c = c.Clone()
	return s.write(ctx, func(t *txn) error {
		for _, r := range c.Next {
			if t.remembers(r.ID) {
				return store.ErrKnown
			}
		}
		return s.change(t, c)
	})
}

// change makes the changes if the values are as they expect them.
func (s *Store) change(t *txn, c store.Changes) error {
	if !c.Expected(t.value) {
		return store.ErrChanged
	}
	if _, err := t.enqueue(c.Next, s.dedupeTTL, s.retention.OfJournal()); err != nil {
		return err
	}
	for _, e := range c.Amend {
		if err := t.journal.write(t, e.ID, e.Body, replacePresent, s.retention.OfJournal()); err != nil {
			return err
		}
	}
	for _, v := range c.Values {
		if err := t.keep(format.TagValue, v.Key, v.Value, format.Later(t.Now, v.TTL)); err != nil {
			return err
		}
	}
	return nil
}

// Bury implements store.Queue.
func (s *Store) Bury(ctx context.Context, l *store.Lease, reason string) error {
	lease := *l
	return s.write(ctx, func(t *txn) error {
		seq, h, err := t.leasedRecord(lease)
		if err != nil {
			return err
		}
		if err := t.dequeue(seq, h); err != nil {
			return err
		}
		h.Reason = reason
		return t.put(t.dead, format.PairKey(t.Now, seq), h.Encode())
	})
}

// Wait implements store.Queue.
func (s *Store) Wait(ctx context.Context, atMost time.Duration) error {
	queued := s.queued.Next() // first, so that no record comes unseen after the look at the queue
	next, err := lazily(ctx, s, func(t *txn) (time.Duration, error) {
		k, _ := t.due.Cursor().First()
		if k == nil {
			return atMost, nil
		}
		at, _ := format.SplitPairKey(k)
		return min(atMost, time.Duration(at-t.Now)), nil
	})
	if err != nil || next <= 0 {
		return err
	}
	timer := time.NewTimer(next)
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

// Depth implements store.Queue. It reads a whole index, at some 10 million
// records a second.
func (s *Store) Depth(ctx context.Context) (store.Depth, error) {
	var d store.Depth
	err := s.viewAll(ctx, func(t *txn) error {
		c := t.due.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			at, _ := format.SplitPairKey(k)
			switch {
			case at <= t.Now:
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
