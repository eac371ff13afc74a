package bolt

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/cursors"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// Records implements store.Steering. The cursor is the key of the last record that was
// listed.
func (s *Store) Records(ctx context.Context, cursor string, n int) (records []store.QueuedRecord, next string, err error) {
	after, err := cursors.Parse(cursor)
	if err != nil || n <= 0 {
		return nil, "", err
	}
	err = s.viewAll(ctx, func(t *txn) error {
		size, last := 0, after
		for k := range cursors.Following(t.due, after, false) {
			if len(records) >= n || size >= store.MaxPage {
				next = cursors.Format(last)
				return nil
			}
			_, seq := format.SplitPairKey(k)
			r := t.queuedRecord(seq)
			records, size, last = append(records, r), size+len(r.Body), k
		}
		return nil
	})
	return records, next, err
}

// Dead implements store.Steering. The cursor is the key of the last record that was
// listed.
func (s *Store) Dead(ctx context.Context, cursor string, n int) (dead []store.DeadRecord, next string, err error) {
	before, err := cursors.Parse(cursor)
	if err != nil || n <= 0 {
		return nil, "", err
	}
	err = s.view(ctx, func(t *txn) error {
		size, last := 0, before
		for k, v := range cursors.Following(t.dead, before, true) {
			if len(dead) >= n || size >= store.MaxPage {
				next = cursors.Format(last)
				return nil
			}
			d := t.deadRecord(k, v)
			dead, size, last = append(dead, d), size+len(d.Body), k
		}
		return nil
	})
	return dead, next, err
}

// Find implements store.Steering.
func (s *Store) Find(ctx context.Context, id string) (queued *store.QueuedRecord, dead *store.DeadRecord, err error) {
	if err := store.CheckRecordID(id); err != nil {
		return nil, nil, err
	}
	err = s.viewAll(ctx, func(t *txn) error {
		if seq, ok := t.inQueue(id); ok {
			r := t.queuedRecord(seq)
			queued = &r
		} else if k, v := t.lastDead(id); k != nil {
			d := t.deadRecord(k, v)
			dead = &d
		}
		return nil
	})
	return queued, dead, err
}

// Requeue implements store.Steering. The record gets another number, so that no token of
// an old lease is that of a new one.
func (s *Store) Requeue(ctx context.Context, id string, c store.Changes) error {
	if err := store.CheckSteered(id, c); err != nil {
		return err
	}
	c = c.Clone()
	return s.write(ctx, func(t *txn) error {
		if _, ok := t.inQueue(id); ok {
			return store.ErrQueued
		}
		k, v := t.lastDead(id)
		if k == nil {
			return store.ErrNotFound
		}
		d := t.deadRecord(k, v)
		if err := t.dropDead(k); err != nil {
			return err
		}
		if err := t.forget(format.TagID, id); err != nil {
			return err
		}
		if err := t.insert(store.Record{ID: id, Kind: d.Kind, Body: d.Body}, s.dedupeTTL); err != nil {
			return err
		}
		return s.change(t, c)
	})
}

// Hasten implements store.Steering.
func (s *Store) Hasten(ctx context.Context, id string) error {
	if err := store.CheckRecordID(id); err != nil {
		return err
	}
	return s.write(ctx, func(t *txn) error {
		seq, h, err := t.unleased(id)
		if err != nil || h.Expires != 0 || h.Due <= t.Now { // it is due
			return err
		}
		return t.requeue(seq, h, t.Now, 0)
	})
}

// Drop implements store.Steering.
func (s *Store) Drop(ctx context.Context, id string, c store.Changes) error {
	if err := store.CheckSteered(id, c); err != nil {
		return err
	}
	c = c.Clone()
	return s.write(ctx, func(t *txn) error {
		if err := t.drop(id); err != nil {
			return err
		}
		return s.change(t, c)
	})
}

// drop implements Drop without the changes.
func (t *txn) drop(id string) error {
	seq, h, err := t.unleased(id)
	switch {
	case err == nil:
		if err := t.dequeue(seq, h); err != nil {
			return err
		}
		return t.deleteBody(seq)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	if k, _ := t.lastDead(id); k != nil {
		return t.dropDead(k)
	}
	return store.ErrNotFound
}

// dropDead removes the dead record with the key.
func (t *txn) dropDead(key []byte) error {
	_, seq := format.SplitPairKey(key)
	if err := t.delete(t.dead, key); err != nil {
		return err
	}
	return t.deleteBody(seq)
}

// inQueue returns the number of the queue's record with the id.
func (t *txn) inQueue(id string) (seq uint64, ok bool) {
	key, _, known := t.lookup(format.TagID, id)
	if !known || t.records.Get(key) == nil {
		return 0, false
	}
	return format.SplitNumberKey(key), true
}

// unleased returns the number and the header of the queue's record with the id, unless a
// worker has leased it.
func (t *txn) unleased(id string) (seq uint64, h format.Header, err error) {
	seq, ok := t.inQueue(id)
	if !ok {
		return 0, h, store.ErrNotFound
	}
	h, err = format.DecodeHeader(t.records.Get(format.NumberKey(seq)))
	if err == nil && h.Expires > t.Now { // after an error, Lease buries it once it is due
		err = store.ErrLeased
	}
	return seq, h, err
}

// lastDead returns key and value of the record with the id that was buried last; nil if
// there is none. It reads all dead records.
func (t *txn) lastDead(id string) (k, v []byte) {
	for k, v := range cursors.Following(t.dead, nil, true) {
		if deadHeader(k, v).ID == id {
			return slices.Clone(k), slices.Clone(v)
		}
	}
	return nil, nil
}

// queuedRecord returns the queue's record with the number.
func (t *txn) queuedRecord(seq uint64) store.QueuedRecord {
	h, err := format.DecodeHeader(t.records.Get(format.NumberKey(seq)))
	if err != nil {
		h = unreadable(seq, err) // Lease buries it once it is due
	}
	var expires time.Time
	if h.Expires != 0 {
		expires = t.processTime(h.Expires)
	}
	return store.QueuedRecord{ID: h.ID, Kind: h.Kind, Body: t.body(seq), Attempt: int(h.Attempt), Due: t.processTime(h.Due), Expires: expires}
}

// deadRecord returns the dead record with the key and the value.
func (t *txn) deadRecord(k, v []byte) store.DeadRecord {
	at, seq := format.SplitPairKey(k)
	h := deadHeader(k, v)
	return store.DeadRecord{ID: h.ID, Kind: h.Kind, Body: t.body(seq), Reason: h.Reason, At: t.processTime(at)}
}

// deadHeader returns the header of a dead record.
func deadHeader(k, v []byte) format.Header {
	h, err := format.DecodeHeader(v)
	if err != nil {
		_, seq := format.SplitPairKey(k)
		return unreadable(seq, err)
	}
	return h
}
