package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// entryList is a list of entries in a transaction: the journal, or a log. Their
// numbers are in the order in which they were added.
type entryList struct {
	entries *bbolt.Bucket // seq → time, id, body
	ids     *bbolt.Bucket // id → seq
}

// present is what write does with an entry that is there and has not expired.
type present int

const (
	keepPresent    present = iota // leave it as it is
	replacePresent                // replace its body; its place and time stay
	renewPresent                  // remove it: what is written is a new entry
)

// write adds an entry. An entry with the id that is older than ttl is removed, and with
// another one it does as present says.
func (l entryList) write(t *txn, id string, body []byte, present present, ttl time.Duration) error {
	at, key := t.Now, l.ids.Get([]byte(id))
	if key != nil {
		was, _, _, err := format.DecodeEntry(l.entries.Get(key))
		if err != nil {
			return err
		}
		switch expired := format.Later(was, ttl) <= t.Now; {
		case expired, present == renewPresent:
			if err := t.delete(l.entries, key); err != nil {
				return err
			}
			key = nil
		case present == keepPresent:
			return nil
		default:
			at = was
			t.amended = append(t.amended, id)
		}
	}
	if key == nil {
		seq, err := l.entries.NextSequence()
		if err != nil {
			return err
		}
		key = format.NumberKey(seq)
		if err := t.put(l.ids, []byte(id), key); err != nil {
			return err
		}
		t.added++
	}
	return t.put(l.entries, key, format.EncodeEntry(at, id, body))
}

// of returns the entries with the ids that are not older than ttl.
func (l entryList) of(t *txn, ids []string, ttl time.Duration) (entries []store.Entry, err error) {
	for _, id := range ids {
		key := l.ids.Get([]byte(id))
		if key == nil {
			continue
		}
		at, _, body, err := format.DecodeEntry(l.entries.Get(key))
		if err != nil {
			return nil, err
		}
		if format.Later(at, ttl) > t.Now {
			entries = append(entries, t.entry(key, at, id, body))
		}
	}
	return entries, nil
}

// entry returns a copy of an entry.
func (t *txn) entry(key []byte, at int64, id string, body []byte) store.Entry {
	return store.Entry{ID: id, Seq: binary.BigEndian.Uint64(key), At: t.processTime(at), Body: bytes.Clone(body)}
}

// list lists up to n entries, newest first, that were added before the one with the
// number; 0: all. The cursor is the number of the last one that it lists.
func (l entryList) list(t *txn, before uint64, n int, ttl time.Duration) (entries []store.Entry, next string, err error) {
	c := l.entries.Cursor()
	k, v := c.Last()
	if before != 0 {
		if k, _ = c.Seek(format.NumberKey(before)); k != nil {
			k, v = c.Prev()
		} else {
			k, v = c.Last()
		}
	}
	for ; k != nil; k, v = c.Prev() {
		at, id, body, err := format.DecodeEntry(v)
		if err != nil {
			return nil, "", err
		}
		if format.Later(at, ttl) <= t.Now {
			return entries, "", nil // all that follow are older
		}
		if len(entries) >= n {
			return entries, store.Entry{Seq: before}.Cursor(), nil
		}
		entries = append(entries, t.entry(k, at, id, body))
		before = entries[len(entries)-1].Seq
	}
	return entries, "", nil
}

// removeExpired removes up to n of the entries that are older than ttl.
func (l entryList) removeExpired(t *txn, n int, ttl time.Duration) error {
	return l.removeOldest(t, n, func(at int64) bool { return format.Later(at, ttl) <= t.Now })
}

// keepNewest removes the oldest entries until at most so many are left.
func (l entryList) keepNewest(t *txn, most int) error {
	n, c := 0, l.entries.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		n++
	}
	return l.removeOldest(t, n-most, func(int64) bool { return true })
}

// removeOldest removes up to n entries, from the oldest on, as long as which
// reports true for their time.
func (l entryList) removeOldest(t *txn, n int, which func(at int64) bool) error {
	var keys, ids [][]byte
	c := l.entries.Cursor()
	for k, v := c.First(); k != nil && len(keys) < n; k, v = c.Next() {
		at, id, _, err := format.DecodeEntry(v)
		if err != nil {
			return err
		}
		if !which(at) {
			break
		}
		keys, ids = append(keys, bytes.Clone(k)), append(ids, []byte(id))
	}
	for i, key := range keys {
		if err := errors.Join(t.delete(l.ids, ids[i]), t.delete(l.entries, key)); err != nil {
			return err
		}
	}
	return nil
}
