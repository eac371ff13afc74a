package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// Put implements Queue.
func (b *Store) Put(ctx context.Context, records ...store.Record) ([]bool, error) {
	if err := store.CheckRecords(records); err != nil {
		return nil, err
	}
	records = cloneRecords(records)
	var added []bool
	err := b.write(ctx, func(t *boltTx) (err error) {
		added, err = t.enqueue(records, b.dedupeTTL)
		return err
	})
	if err != nil {
		return nil, err
	}
	return added, nil
}

// Queued implements Queue.
func (b *Store) Queued(ctx context.Context, ids ...string) (bool, error) {
	var queued bool
	err := b.view(ctx, func(t *boltTx) error {
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
func (b *Store) Lease(ctx context.Context, n int, visibility time.Duration) ([]store.Lease, error) {
	if err := store.CheckVisibility(visibility); err != nil {
		return nil, err
	}
	var leases []store.Lease
	err := b.write(ctx, func(t *boltTx) (err error) {
		leases, err = t.lease(n, visibility)
		return err
	})
	if err != nil {
		return nil, err
	}
	return leases, nil
}

// Extend implements Queue.
func (b *Store) Extend(ctx context.Context, l *store.Lease, visibility time.Duration) error {
	if err := store.CheckVisibility(visibility); err != nil {
		return err
	}
	held, body := *l, bytes.Clone(l.Body)
	var ends time.Time
	err := b.write(ctx, func(t *boltTx) error {
		seq, h, err := t.held(held)
		if err != nil {
			return err
		}
		expires := later(t.now, visibility)
		ends = t.shown(expires)
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
func (b *Store) Defer(ctx context.Context, l *store.Lease, after time.Duration) error {
	held, body := *l, bytes.Clone(l.Body)
	return b.write(ctx, func(t *boltTx) error {
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
func (b *Store) Done(ctx context.Context, l *store.Lease, next ...store.Record) error {
	if err := store.CheckRecords(next); err != nil {
		return err
	}
	held, next := *l, cloneRecords(next)
	return b.write(ctx, func(t *boltTx) error {
		seq, h, err := t.held(held)
		if err != nil {
			return err
		}
		// What follows goes first, while this record's id is still known.
		if _, err := t.enqueue(next, b.dedupeTTL); err != nil {
			return err
		}
		if err := t.dequeue(seq, h); err != nil {
			return err
		}
		return t.deleteBody(seq)
	})
}

// Bury implements Queue.
func (b *Store) Bury(ctx context.Context, l *store.Lease, reason string) error {
	held := *l
	return b.write(ctx, func(t *boltTx) error {
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
func (b *Store) Wait(ctx context.Context, atMost time.Duration) error {
	queued := b.queued.Next() // before looking, so that nothing comes in between unseen
	err := b.view(ctx, func(t *boltTx) error {
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
	case <-b.closing:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Depth implements Queue. It reads an index through, some 10 million records
// a second.
func (b *Store) Depth(ctx context.Context) (store.Depth, error) {
	var d store.Depth
	err := b.view(ctx, func(t *boltTx) error {
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
func (b *Store) Dead(ctx context.Context, n int) ([]store.DeadRecord, error) {
	var dead []store.DeadRecord
	err := b.view(ctx, func(t *boltTx) error {
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
				At:     t.shown(at),
			})
		}
		return nil
	})
	return dead, err
}

// enqueue adds the records whose ids are not remembered. An id is, for its time
// to live and as long as its record is queued.
func (t *boltTx) enqueue(records []store.Record, dedupeTTL time.Duration) (added []bool, err error) {
	added = make([]bool, len(records))
	for i, r := range records {
		before, expires, known := t.lookup(tagID, r.ID)
		if known && (expires > t.now || t.records.Get(before) != nil) {
			continue
		}
		if known {
			if err := t.forget(tagID, r.ID); err != nil {
				return nil, err
			}
		}
		seq, err := t.records.NextSequence()
		if err != nil {
			return nil, err
		}
		h := header{ID: r.ID, Kind: r.Kind, Due: later(t.now, r.After), SeenUntil: later(t.now, dedupeTTL)}
		if err := t.add(tagID, r.ID, numberKey(seq), h.SeenUntil); err != nil {
			return nil, err
		}
		if err := t.putBody(seq, r.Body); err != nil {
			return nil, err
		}
		if err := t.place(seq, h); err != nil {
			return nil, err
		}
		added[i] = true
	}
	return added, nil
}

// place writes the header and its place in the order of due times.
func (t *boltTx) place(seq uint64, h header) error {
	if err := t.put(t.records, numberKey(seq), h.encode()); err != nil {
		return err
	}
	if h.Expires != 0 {
		return t.put(t.due, h.key(seq), leasedMark)
	}
	t.queued = true
	return t.put(t.due, h.key(seq), nil)
}

// requeue moves a record to another due time and lease end.
func (t *boltTx) requeue(seq uint64, h header, due, expires int64) error {
	if err := t.delete(t.due, h.key(seq)); err != nil {
		return err
	}
	h.Due, h.Expires = due, expires
	return t.place(seq, h)
}

// dequeue removes a record but for its body, and its id when that is not to
// be remembered longer.
func (t *boltTx) dequeue(seq uint64, h header) error {
	if err := t.delete(t.due, h.key(seq)); err != nil {
		return err
	}
	if err := t.delete(t.records, numberKey(seq)); err != nil {
		return err
	}
	if h.SeenUntil > t.now {
		return nil
	}
	return t.forget(tagID, h.ID)
}

// body returns a copy of a record's body.
func (t *boltTx) body(seq uint64) []byte {
	var body []byte
	prefix := numberKey(seq)
	c := t.bodies.Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		body = append(body, v...)
	}
	return body
}

func (t *boltTx) putBody(seq uint64, body []byte) error {
	var n uint32
	for chunk := range slices.Chunk(body, chunkSize) {
		if err := t.put(t.bodies, chunkKey(seq, n), chunk); err != nil {
			return err
		}
		n++
	}
	return nil
}

func (t *boltTx) deleteBody(seq uint64) error {
	var chunks [][]byte
	prefix := numberKey(seq)
	c := t.bodies.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		chunks = append(chunks, bytes.Clone(k))
	}
	for _, k := range chunks {
		if err := t.delete(t.bodies, k); err != nil {
			return err
		}
	}
	return nil
}

// saveBody leaves the file alone where nothing changed, as is usual.
func (t *boltTx) saveBody(seq uint64, body []byte) error {
	if bytes.Equal(t.body(seq), body) {
		return nil
	}
	if err := t.deleteBody(seq); err != nil {
		return err
	}
	return t.putBody(seq, body)
}

// lease hands out up to n due records.
func (t *boltTx) lease(n int, visibility time.Duration) ([]store.Lease, error) {
	var due [][]byte // keys
	c := t.due.Cursor()
	for k, _ := c.First(); k != nil && len(due) < n; k, _ = c.Next() {
		if at, _ := splitPairKey(k); at > t.now {
			break
		}
		due = append(due, bytes.Clone(k))
	}
	leases := make([]store.Lease, 0, len(due))
	for i := range due {
		_, seq := splitPairKey(due[i])
		h, err := decodeHeader(t.records.Get(numberKey(seq)))
		if err != nil {
			// Nobody can work on it, and it must not stop the others.
			if err := t.buryUnreadable(due[i], seq, err); err != nil {
				return nil, err
			}
			continue
		}
		h.Attempt++
		expires := later(t.now, visibility)
		if err := t.requeue(seq, h, h.Due, expires); err != nil {
			return nil, err
		}
		leases = append(leases, store.Lease{
			ID:      h.ID,
			Kind:    h.Kind,
			Body:    t.body(seq),
			Attempt: int(h.Attempt),
			Due:     t.shown(h.Due),
			Expires: t.shown(expires),
			Token:   token(seq, h.Attempt),
		})
	}
	return leases, nil
}

// buryUnreadable takes a record out of the queue whose header can't be read. Its
// id is forgotten, so that whoever put it may put it again.
func (t *boltTx) buryUnreadable(dueKey []byte, seq uint64, reason error) error {
	if err := t.delete(t.due, dueKey); err != nil {
		return err
	}
	if err := t.delete(t.records, numberKey(seq)); err != nil {
		return err
	}
	h := unreadable(seq, reason)
	if id, ok := t.idOf(seq); ok {
		h.ID = id
		if err := t.forget(tagID, id); err != nil {
			return err
		}
	}
	return t.put(t.dead, pairKey(t.now, seq), h.encode())
}

// unreadable is the header of a record whose own can't be read.
func unreadable(seq uint64, reason error) header {
	return header{ID: fmt.Sprintf("unreadable:%d", seq), Kind: "unreadable", Reason: reason.Error()}
}

// idOf looks for the id that was remembered for a record. It reads through all
// ids.
func (t *boltTx) idOf(seq uint64) (id string, ok bool) {
	prefix, want := []byte{tagID}, numberKey(seq)
	c := t.expiring.Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if len(v) > 8 && bytes.Equal(v[8:], want) {
			return string(k[1:]), true
		}
	}
	return "", false
}

// held returns the record that the lease holds, also when the lease expired
// and nobody took the record; ErrLeaseLost when it holds none.
func (t *boltTx) held(l store.Lease) (seq uint64, h header, err error) {
	seq, attempt, ok := parseToken(l.Token)
	if !ok {
		return 0, header{}, store.ErrLeaseLost
	}
	v := t.records.Get(numberKey(seq))
	if v == nil {
		return 0, header{}, store.ErrLeaseLost
	}
	h, err = decodeHeader(v)
	if err != nil {
		return 0, header{}, fmt.Errorf("record %d: %w", seq, err)
	}
	if h.ID != l.ID || h.Attempt != attempt || h.Expires == 0 {
		return 0, header{}, store.ErrLeaseLost
	}
	return seq, h, nil
}

// endLeases makes all leased records due.
func endLeases(t *boltTx) error {
	var leased []uint64
	c := t.due.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(v) > 0 {
			leased = append(leased, binary.BigEndian.Uint64(k[8:]))
		}
	}
	for _, seq := range leased {
		h, err := decodeHeader(t.records.Get(numberKey(seq)))
		if err != nil {
			continue // lease buries it when it is due
		}
		if err := t.requeue(seq, h, h.Due, 0); err != nil {
			return err
		}
	}
	return nil
}

// cloneRecords copies the records, so that the caller may change its own.
func cloneRecords(records []store.Record) []store.Record {
	records = slices.Clone(records)
	for i := range records {
		records[i].Body = bytes.Clone(records[i].Body)
	}
	return records
}
