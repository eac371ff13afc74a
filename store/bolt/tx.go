package bolt

import (
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"
)

// boltTx is a transaction: its buckets, its time and what it changed.
type boltTx struct {
	now  int64 // Unix nanoseconds
	lead int64 // by how much now is ahead of the process's clock, in nanoseconds

	meta, records, bodies, due, dead, entries, entryIDs, expiring, expiry, tallies *bbolt.Bucket

	changed bool
	queued  bool // a record is due sooner than it was
	added   int  // to expiring and entries
}

// begin makes a boltTx at the time that the store's clock shows.
func (b *Store) begin(tx *bbolt.Tx) *boltTx {
	now, lead := b.clock.now()
	return newBoltTx(tx, now, lead)
}

func newBoltTx(tx *bbolt.Tx, now, lead int64) *boltTx {
	t := &boltTx{
		now:      now,
		lead:     lead,
		meta:     tx.Bucket(metaBucket),
		records:  tx.Bucket(recordsBucket),
		bodies:   tx.Bucket(bodiesBucket),
		due:      tx.Bucket(dueBucket),
		dead:     tx.Bucket(deadBucket),
		entries:  tx.Bucket(entriesBucket),
		entryIDs: tx.Bucket(entryIDsBucket),
		expiring: tx.Bucket(expiringBucket),
		expiry:   tx.Bucket(expiryBucket),
		tallies:  tx.Bucket(talliesBucket),
	}
	for _, b := range []*bbolt.Bucket{t.records, t.bodies, t.due, t.dead, t.entries, t.expiry} {
		b.FillPercent = 0.9 // they grow at their end, where no page needs room for more
	}
	return t
}

// shown converts a stored time to the process's clock: it is as long ago, or to
// come, by either.
func (t *boltTx) shown(at int64) time.Time { return time.Unix(0, at-t.lead).UTC() }

func (t *boltTx) put(bucket *bbolt.Bucket, key, value []byte) error {
	t.changed = true
	return bucket.Put(key, value)
}

func (t *boltTx) delete(bucket *bbolt.Bucket, key []byte) error {
	t.changed = true
	return bucket.Delete(key)
}

// lookup returns what was kept under tag and key and when it expires or
// expired; ok is false when nothing was. The payload lies in the file's
// memory: it is good as long as the transaction.
func (t *boltTx) lookup(tag byte, key string) (payload []byte, expires int64, ok bool) {
	v := t.expiring.Get(expiringKey(tag, key))
	if len(v) < 8 {
		return nil, 0, false
	}
	return v[8:], int64(binary.BigEndian.Uint64(v)), true
}

// keep puts payload under tag and key until expires.
func (t *boltTx) keep(tag byte, key string, payload []byte, expires int64) error {
	if err := t.forget(tag, key); err != nil {
		return err
	}
	return t.add(tag, key, payload, expires)
}

// add puts payload under tag and key, where nothing is, until expires.
func (t *boltTx) add(tag byte, key string, payload []byte, expires int64) error {
	k := expiringKey(tag, key)
	v := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(payload)), uint64(expires))
	if err := t.put(t.expiring, k, append(v, payload...)); err != nil {
		return err
	}
	t.added++
	return t.put(t.expiry, expiryKey(expires, k), nil)
}

// forget removes what was kept under tag and key.
func (t *boltTx) forget(tag byte, key string) error {
	_, expires, ok := t.lookup(tag, key)
	if !ok {
		return nil
	}
	k := expiringKey(tag, key)
	if err := t.delete(t.expiry, expiryKey(expires, k)); err != nil {
		return err
	}
	return t.delete(t.expiring, k)
}

// purgeExpired removes some of what expired: more than was added, so that it
// never falls behind.
func (t *boltTx) purgeExpired() error {
	var old [][]byte
	atMost := purgeAtLeast + 2*t.added
	c := t.expiry.Cursor()
	for k, _ := c.First(); k != nil && len(old) < atMost; k, _ = c.Next() {
		if int64(binary.BigEndian.Uint64(k)) > t.now {
			break
		}
		old = append(old, append([]byte(nil), k...))
	}
	for _, k := range old {
		tag, key := k[8], string(k[9:])
		if tag == tagTally {
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
		if seq, _, ok := t.lookup(tag, key); tag == tagID && ok && t.records.Get(seq) != nil {
			continue // Done removes it
		}
		if err := t.delete(t.expiring, k[8:]); err != nil {
			return err
		}
	}
	return nil
}

func expiringKey(tag byte, key string) []byte {
	return append(append(make([]byte, 0, 1+len(key)), tag), key...)
}

func expiryKey(expires int64, k []byte) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(k)), uint64(expires))
	return append(b, k...)
}
