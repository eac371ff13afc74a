package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/attempts"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// enqueue adds the records whose ids are not remembered, with their notes, and
// returns for each whether it did. An id is remembered for its time to live and as long as its
// record is queued.
func (t *txn) enqueue(records []store.Record, dedupeTTL, journalTTL time.Duration) (added []bool, err error) {
	added = make([]bool, len(records))
	for i, r := range records {
		if t.remembers(r.ID) {
			continue
		}
		if err := t.forget(format.TagID, r.ID); err != nil {
			return nil, err
		}
		if err := t.insert(r, dedupeTTL); err != nil {
			return nil, err
		}
		if r.Note != nil {
			if err := t.journal.write(t, r.Note.ID, r.Note.Body, keepPresent, journalTTL); err != nil {
				return nil, err
			}
		}
		added[i] = true
	}
	return added, nil
}

// remembers reports whether the id of a record is remembered.
func (t *txn) remembers(id string) bool {
	seq, expires, known := t.lookup(format.TagID, id)
	return known && (expires > t.Now || t.records.Get(seq) != nil)
}

// insert adds a record under a number of its own, and remembers its id, which is not
// remembered yet, for the time of dedupeTTL from now.
func (t *txn) insert(r store.Record, dedupeTTL time.Duration) error {
	seq, err := t.records.NextSequence()
	if err != nil {
		return err
	}
	h := format.Header{ID: r.ID, Kind: r.Kind, Due: format.Later(t.Now, r.After), SeenUntil: format.Later(t.Now, dedupeTTL)}
	if err := t.add(format.TagID, r.ID, format.NumberKey(seq), h.SeenUntil); err != nil {
		return err
	}
	if err := t.putBody(seq, r.Body); err != nil {
		return err
	}
	return t.place(seq, h)
}

// place writes the header, and the record's key in the order of due times.
func (t *txn) place(seq uint64, h format.Header) error {
	if err := t.put(t.records, format.NumberKey(seq), h.Encode()); err != nil {
		return err
	}
	if h.Expires != 0 {
		return t.put(t.due, h.Key(seq), format.LeasedMark)
	}
	t.queued = true
	return t.put(t.due, h.Key(seq), nil)
}

// requeue changes the due time of a record and the end of its lease; 0: it is not
// leased.
func (t *txn) requeue(seq uint64, h format.Header, due, expires int64) error {
	if err := t.delete(t.due, h.Key(seq)); err != nil {
		return err
	}
	h.Due, h.Expires = due, expires
	return t.place(seq, h)
}

// dequeue removes a record without its body, and its id unless that must be
// remembered for longer.
func (t *txn) dequeue(seq uint64, h format.Header) error {
	if err := t.delete(t.due, h.Key(seq)); err != nil {
		return err
	}
	if err := t.delete(t.records, format.NumberKey(seq)); err != nil {
		return err
	}
	if h.SeenUntil > t.Now {
		return nil
	}
	return t.forget(format.TagID, h.ID)
}

// body returns a copy of a record's body.
func (t *txn) body(seq uint64) []byte {
	var body []byte
	prefix := format.NumberKey(seq)
	c := t.bodies.Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		body = append(body, v...)
	}
	return body
}

func (t *txn) putBody(seq uint64, body []byte) error {
	var n uint32
	for chunk := range slices.Chunk(body, format.ChunkSize) {
		if err := t.put(t.bodies, format.ChunkKey(seq, n), chunk); err != nil {
			return err
		}
		n++
	}
	return nil
}

func (t *txn) deleteBody(seq uint64) error {
	var chunks [][]byte
	prefix := format.NumberKey(seq)
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

// saveBody replaces the body of a record, and reports whether it had another
// one, which is rare.
func (t *txn) saveBody(seq uint64, body []byte) (changed bool, err error) {
	if bytes.Equal(t.body(seq), body) {
		return false, nil
	}
	if err := t.deleteBody(seq); err != nil {
		return true, err
	}
	return true, t.putBody(seq, body)
}

// lease leases up to n due records.
func (t *txn) lease(n int, visibility time.Duration) ([]store.Lease, error) {
	var due [][]byte // keys
	c := t.due.Cursor()
	for k, _ := c.First(); k != nil && len(due) < n; k, _ = c.Next() {
		if at, _ := format.SplitPairKey(k); at > t.Now {
			break
		}
		due = append(due, bytes.Clone(k))
	}
	leases := make([]store.Lease, 0, len(due))
	for i := range due {
		_, seq := format.SplitPairKey(due[i])
		h, err := format.DecodeHeader(t.records.Get(format.NumberKey(seq)))
		if err != nil {
			// Nobody can work on it, and it must not block the others.
			if err := t.buryUnreadable(due[i], seq, err); err != nil {
				return nil, err
			}
			t.sync = true
			continue
		}
		h.Attempt++
		expires := format.Later(t.Now, visibility)
		if err := t.requeue(seq, h, h.Due, expires); err != nil {
			return nil, err
		}
		t.leased = append(t.leased, attempts.Attempt{Seq: seq, Number: h.Attempt, ID: h.ID})
		leases = append(leases, store.Lease{
			ID:      h.ID,
			Kind:    h.Kind,
			Body:    t.body(seq),
			Attempt: int(h.Attempt),
			Due:     t.processTime(h.Due),
			Expires: t.processTime(expires),
			Token:   format.Token(seq, h.Attempt),
		})
	}
	return leases, nil
}

// buryUnreadable buries a record whose header can't be read. Its id is
// forgotten, so that it can be put again.
func (t *txn) buryUnreadable(dueKey []byte, seq uint64, reason error) error {
	if err := t.delete(t.due, dueKey); err != nil {
		return err
	}
	if err := t.delete(t.records, format.NumberKey(seq)); err != nil {
		return err
	}
	h := unreadable(seq, reason)
	if id, ok := t.idOf(seq); ok {
		h.ID = id
		if err := t.forget(format.TagID, id); err != nil {
			return err
		}
	}
	return t.put(t.dead, format.PairKey(t.Now, seq), h.Encode())
}

// unreadable returns a header for a record whose own can't be read.
func unreadable(seq uint64, reason error) format.Header {
	return format.Header{ID: fmt.Sprintf("unreadable:%d", seq), Kind: "unreadable", Reason: reason.Error()}
}

// idOf returns the id of a record, if it is remembered. It reads all ids.
func (t *txn) idOf(seq uint64) (id string, ok bool) {
	prefix, want := []byte{format.TagID}, format.NumberKey(seq)
	c := t.expiring.Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if len(v) > 8 && bytes.Equal(v[8:], want) {
			return string(k[1:]), true
		}
	}
	return "", false
}

// leasedRecord returns the record of a lease, which may have expired, and
// store.ErrLeaseLost if the lease is lost.
func (t *txn) leasedRecord(l store.Lease) (seq uint64, h format.Header, err error) {
	seq, attempt, ok := format.ParseToken(l.Token)
	if !ok {
		return 0, format.Header{}, store.ErrLeaseLost
	}
	v := t.records.Get(format.NumberKey(seq))
	if v == nil {
		return 0, format.Header{}, store.ErrLeaseLost
	}
	h, err = format.DecodeHeader(v)
	if err != nil {
		return 0, format.Header{}, fmt.Errorf("record %d: %w", seq, err)
	}
	if h.ID != l.ID || h.Attempt != attempt || h.Expires == 0 {
		return 0, format.Header{}, store.ErrLeaseLost
	}
	return seq, h, nil
}

// endLeases ends all leases: the records are due.
func endLeases(t *txn) error {
	var leased []uint64
	c := t.due.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(v) > 0 {
			leased = append(leased, binary.BigEndian.Uint64(k[8:]))
		}
	}
	for _, seq := range leased {
		h, err := format.DecodeHeader(t.records.Get(format.NumberKey(seq)))
		if err != nil {
			continue // lease buries it once it is due
		}
		if err := t.requeue(seq, h, h.Due, 0); err != nil {
			return err
		}
	}
	return nil
}
