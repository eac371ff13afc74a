package bolt

import (
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store/bolt/attempts"
	"github.com/pipesteward/pipesteward/store/bolt/clock"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// txn is a transaction: its buckets, its time and what it changed.
type txn struct {
	tx *bbolt.Tx
	clock.Instant

	meta, records, bodies, due, dead, expiring, expiry, tallies, logs *bbolt.Bucket

	journal entryList

	changes int                // how often it changed a value
	queued  bool               // a record is due sooner than it was
	added   int                // how many values it added to expiring, and entries
	amended []string           // the ids of entries of the journal whose bodies it replaced
	leased  []attempts.Attempt // by the write that runs
	sync    bool               // the write that runs must be committed before it is answered
}

func newTxn(tx *bbolt.Tx) *txn {
	t := &txn{
		tx:       tx,
		meta:     tx.Bucket(format.Meta),
		records:  tx.Bucket(format.Records),
		bodies:   tx.Bucket(format.Bodies),
		due:      tx.Bucket(format.Due),
		dead:     tx.Bucket(format.Dead),
		expiring: tx.Bucket(format.Expiring),
		expiry:   tx.Bucket(format.Expiry),
		tallies:  tx.Bucket(format.Tallies),
		logs:     tx.Bucket(format.Logs),
		journal:  entryList{tx.Bucket(format.Entries), tx.Bucket(format.EntryIDs)},
	}
	for _, b := range []*bbolt.Bucket{t.records, t.bodies, t.due, t.dead, t.journal.entries, t.expiry} {
		b.FillPercent = 0.9 // they grow at their end: other pages need no free space
	}
	return t
}

// processTime converts a stored time to the process's clock: the time between it
// and now is the same on both clocks.
func (t *txn) processTime(at int64) time.Time { return time.Unix(0, at-t.Lead).UTC() }

func (t *txn) put(bucket *bbolt.Bucket, key, value []byte) error {
	t.changes++
	return bucket.Put(key, value)
}

func (t *txn) delete(bucket *bbolt.Bucket, key []byte) error {
	t.changes++
	return bucket.Delete(key)
}

// lookup returns the value of tag and key, and when it expires or expired; ok is
// false if there is none. The payload is part of the memory-mapped file, and
// valid until the transaction ends.
func (t *txn) lookup(tag byte, key string) (payload []byte, expires int64, ok bool) {
	v := t.expiring.Get(format.ExpiringKey(tag, key))
	if len(v) < 8 {
		return nil, 0, false
	}
	return v[8:], int64(binary.BigEndian.Uint64(v)), true
}

// keep stores payload under tag and key until expires, in place of what was there.
func (t *txn) keep(tag byte, key string, payload []byte, expires int64) error {
	if err := t.forget(tag, key); err != nil {
		return err
	}
	return t.add(tag, key, payload, expires)
}

// add stores payload under tag and key, which have no value, until expires.
func (t *txn) add(tag byte, key string, payload []byte, expires int64) error {
	k := format.ExpiringKey(tag, key)
	v := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(payload)), uint64(expires))
	if err := t.put(t.expiring, k, append(v, payload...)); err != nil {
		return err
	}
	t.added++
	return t.put(t.expiry, format.ExpiryKey(expires, k), nil)
}

// forget removes the value of tag and key.
func (t *txn) forget(tag byte, key string) error {
	_, expires, ok := t.lookup(tag, key)
	if !ok {
		return nil
	}
	k := format.ExpiringKey(tag, key)
	if err := t.delete(t.expiry, format.ExpiryKey(expires, k)); err != nil {
		return err
	}
	return t.delete(t.expiring, k)
}

// atMost returns how many expired values, and how many expired entries, are removed at
// most: more than the transaction added, so that they do not pile up.
func (t *txn) atMost() int { return purgeAtLeast + 2*t.added }

// purgeExpired removes expired values.
func (t *txn) purgeExpired() error {
	var old [][]byte
	atMost := t.atMost()
	c := t.expiry.Cursor()
	for k, _ := c.First(); k != nil && len(old) < atMost; k, _ = c.Next() {
		if int64(binary.BigEndian.Uint64(k)) > t.Now {
			break
		}
		old = append(old, append([]byte(nil), k...))
	}
	for _, k := range old {
		tag, key := k[8], string(k[9:])
		if tag == format.TagTally {
			purged, err := t.purgeTally(key, atMost)
			if err != nil {
				return err
			}
			atMost -= purged
			continue
		}
		if err := t.delete(t.expiry, k); err != nil {
			return err
		}
		if seq, _, ok := t.lookup(tag, key); tag == format.TagID && ok && t.records.Get(seq) != nil {
			continue // the id is remembered until Done
		}
		if err := t.delete(t.expiring, k[8:]); err != nil {
			return err
		}
	}
	return nil
}
