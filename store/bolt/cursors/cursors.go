// Package cursors lists the keys of a bucket in pages. The cursor of a page is the last key
// that was listed.
package cursors

import (
	"bytes"
	"encoding/hex"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// Format returns the cursor of a key.
func Format(key []byte) string { return hex.EncodeToString(key) }

// Parse returns the key of a record that a cursor stands for; nil for none.
func Parse(cursor string) (key []byte, err error) {
	if cursor == "" {
		return nil, nil
	}
	key, err = hex.DecodeString(cursor)
	if err != nil || len(key) != len(format.PairKey(0, 0)) {
		return nil, store.BadCursor(cursor)
	}
	return key, nil
}

// Following yields the keys and values of a bucket that follow a key, nil for all of
// them, in ascending or in descending order.
func Following(b *bbolt.Bucket, after []byte, descending bool) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c := b.Cursor()
		first, step := c.First, c.Next
		if descending {
			first, step = c.Last, c.Prev
		}
		k, v := first()
		if after != nil {
			if at, value := c.Seek(after); descending && at != nil || bytes.Equal(at, after) {
				k, v = step()
			} else if !descending {
				k, v = at, value
			} else {
				k, v = first()
			}
		}
		for ; k != nil && yield(k, v); k, v = step() {
		}
	}
}
