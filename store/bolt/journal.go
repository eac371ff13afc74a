package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// Note implements store.Journal.
func (s *Store) Note(ctx context.Context, id string, body []byte) error {
	return s.writeEntry(ctx, id, body, false)
}

// Amend implements store.Journal.
func (s *Store) Amend(ctx context.Context, id string, body []byte) error {
	return s.writeEntry(ctx, id, body, true)
}

func (s *Store) writeEntry(ctx context.Context, id string, body []byte, replace bool) error {
	if err := store.CheckEntry(id); err != nil {
		return err
	}
	body = bytes.Clone(body)
	return s.write(ctx, func(t *txn) error { return t.writeEntry(id, body, replace, s.journalTTL) })
}

// writeEntry adds an entry. If there is one with the id that is not older than
// ttl, it replaces the body of that or does nothing.
func (t *txn) writeEntry(id string, body []byte, replace bool, ttl time.Duration) error {
	at, key := t.now, t.entryIDs.Get([]byte(id))
	if key != nil {
		was, _, _, err := decodeEntry(t.entries.Get(key))
		if err != nil {
			return err
		}
		switch expired := later(was, ttl) <= t.now; {
		case expired:
			if err := t.delete(t.entries, key); err != nil {
				return err
			}
			key = nil
		case !replace:
			return nil
		default:
			at = was
		}
	}
	if key == nil {
		seq, err := t.entries.NextSequence()
		if err != nil {
			return err
		}
		key = numberKey(seq)
		if err := t.put(t.entryIDs, []byte(id), key); err != nil {
			return err
		}
		t.added++
	}
	return t.put(t.entries, key, encodeEntry(at, id, body))
}

// Entries implements store.Journal. The cursor is the number of the last entry that
// was listed.
func (s *Store) Entries(ctx context.Context, cursor string, n int) (entries []store.Entry, next string, err error) {
	before := uint64(0) // none
	if cursor != "" {
		before, err = strconv.ParseUint(cursor, 10, 64)
		if err != nil || before == 0 {
			return nil, "", store.BadCursor(cursor)
		}
	}
	err = s.view(ctx, func(t *txn) error {
		c := t.entries.Cursor()
		k, v := c.Last()
		if before != 0 {
			if k, _ = c.Seek(numberKey(before)); k != nil {
				k, v = c.Prev()
			} else {
				k, v = c.Last()
			}
		}
		for ; k != nil; k, v = c.Prev() {
			at, id, body, err := decodeEntry(v)
			if err != nil {
				return err
			}
			if later(at, s.journalTTL) <= t.now {
				return nil // all that follow are older
			}
			if len(entries) >= n {
				next = strconv.FormatUint(before, 10)
				return nil
			}
			before = binary.BigEndian.Uint64(k)
			entries = append(entries, store.Entry{ID: id, At: t.processTime(at), Body: bytes.Clone(body)})
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return entries, next, nil
}

// Entry implements store.Journal.
func (s *Store) Entry(ctx context.Context, id string) (entry *store.Entry, err error) {
	if err := store.CheckEntry(id); err != nil {
		return nil, err
	}
	err = s.view(ctx, func(t *txn) error {
		key := t.entryIDs.Get([]byte(id))
		if key == nil {
			return nil
		}
		at, _, body, err := decodeEntry(t.entries.Get(key))
		if err == nil && later(at, s.journalTTL) > t.now {
			entry = &store.Entry{ID: id, At: t.processTime(at), Body: bytes.Clone(body)}
		}
		return err
	})
	return entry, err
}

// purgeEntries removes entries that are older than ttl: up to more than the
// transaction added, so that they do not pile up.
func (t *txn) purgeEntries(ttl time.Duration) error {
	var old [][]byte
	c := t.entries.Cursor()
	for k, v := c.First(); k != nil && len(old) < purgeAtLeast+2*t.added; k, v = c.Next() {
		at, _, _, err := decodeEntry(v)
		if err != nil {
			return err
		}
		if later(at, ttl) > t.now {
			break
		}
		old = append(old, bytes.Clone(k))
	}
	for _, k := range old {
		_, id, _, err := decodeEntry(t.entries.Get(k))
		if err != nil {
			return err
		}
		if err := t.delete(t.entryIDs, []byte(id)); err != nil {
			return err
		}
		if err := t.delete(t.entries, k); err != nil {
			return err
		}
	}
	return nil
}
