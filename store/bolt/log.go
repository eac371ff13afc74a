package bolt

import (
	"bytes"
	"context"
	"math"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// Append implements store.Log.
func (s *Store) Append(ctx context.Context, key, id string, body []byte, most int) error {
	if err := store.CheckAppend(key, id, most); err != nil {
		return err
	}
	body = bytes.Clone(body)
	_, err := lazily(ctx, s, func(t *txn) (struct{}, error) {
		l, err := t.logOf(key)
		if err == nil {
			err = l.removeExpired(t, math.MaxInt, s.retention.OfLog(key))
		}
		if err == nil {
			err = l.write(t, id, body, renewPresent, s.retention.OfLog(key))
		}
		if err == nil {
			err = l.keepNewest(t, most)
		}
		return struct{}{}, err
	})
	return err
}

// Appended implements store.Log. It sees what is not committed yet.
func (s *Store) Appended(ctx context.Context, key, cursor string, n int) (entries []store.Entry, next string, err error) {
	if err := store.CheckAppended(key); err != nil {
		return nil, "", err
	}
	before, err := store.ParseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	type page struct {
		entries []store.Entry
		next    string
	}
	p, err := lazily(ctx, s, func(t *txn) (p page, err error) {
		if b := t.logs.Bucket([]byte(key)); b != nil {
			p.entries, p.next, err = entryList{b.Bucket(format.Entries), b.Bucket(format.EntryIDs)}.list(t, before, n, s.retention.OfLog(key))
		}
		return p, err
	})
	return p.entries, p.next, err
}

// logOf returns the log of a key, and makes it if there is none.
func (t *txn) logOf(key string) (l entryList, err error) {
	b, err := t.logs.CreateBucketIfNotExists([]byte(key))
	if err != nil {
		return l, err
	}
	for _, part := range []struct {
		name []byte
		of   **bbolt.Bucket
	}{{format.Entries, &l.entries}, {format.EntryIDs, &l.ids}} {
		if *part.of, err = b.CreateBucketIfNotExists(part.name); err != nil {
			return l, err
		}
	}
	return l, nil
}
