package bolt

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// tally is the value of a key with tagTally. Its members have consecutive
// numbers, because they are added at the end and removed at the start: their
// count and the position of each are differences of numbers.
type tally struct {
	number uint64 // of this tally: the prefix of its keys in talliesBucket
	first  uint64 // number of the oldest member
	next   uint64 // number of the next member
	groups uint64 // how many groups there are
}

// Kinds of keys in talliesBucket, after the tally's number.
const (
	kindMember = 'm' // a member's number → its time, id, group and note
	kindID     = 'i' // a member's id → its number
	kindGroup  = 'g' // a group → number of its newest member; it is removed with that
)

// Tally implements store.Guard.
func (s *Store) Tally(ctx context.Context, key string, member store.Seen, within time.Duration) (store.Count, error) {
	if err := store.CheckTally(key, member, within); err != nil {
		return store.Count{}, err
	}
	return lazily(ctx, s, func(t *txn) (store.Count, error) { return t.addToTally(key, member, within) })
}

// Tallied implements store.Guard.
func (s *Store) Tallied(ctx context.Context, key string, within time.Duration) ([]store.Seen, error) {
	if err := store.CheckTallied(key, within); err != nil {
		return nil, err
	}
	return lazily(ctx, s, func(t *txn) ([]store.Seen, error) {
		y, expires, err := t.tally(key)
		if err != nil || expires <= t.now {
			return nil, err
		}
		var members []store.Seen
		c := t.tallies.Cursor()
		_, v := c.Seek(y.memberKey(y.first))
		for n := y.first; n < y.next; n++ {
			at, member, err := decodeSeen(v)
			if err != nil {
				return nil, err
			}
			member.At = t.processTime(at)
			if later(at, within) > t.now {
				members = append(members, member)
			}
			_, v = c.Next()
		}
		return members, nil
	})
}

// addToTally implements Tally.
func (t *txn) addToTally(key string, s store.Seen, within time.Duration) (store.Count, error) {
	y, expires, err := t.tally(key)
	if err != nil {
		return store.Count{}, err
	}
	was := y
	for y.first < y.next {
		at, _, err := decodeSeen(t.tallies.Get(y.memberKey(y.first)))
		if err != nil {
			return store.Count{}, err
		}
		if expires > t.now && later(at, within) > t.now {
			break
		}
		if err := t.forgetOldest(&y); err != nil {
			return store.Count{}, err
		}
	}
	n := y.next
	if v := t.tallies.Get(y.key(kindID, s.ID)); v != nil {
		n = binary.BigEndian.Uint64(v)
	} else {
		if err := t.addSeen(&y, s); err != nil {
			return store.Count{}, err
		}
		expires = later(t.now, within)
	}
	if y != was {
		if err := t.keep(tagTally, key, y.encode(), expires); err != nil {
			return store.Count{}, err
		}
	}
	return store.Count{Members: int(y.next - y.first), Groups: int(y.groups), Position: int(n-y.first) + 1}, nil
}

// addSeen adds a member; in a full tally it replaces the oldest.
func (t *txn) addSeen(y *tally, s store.Seen) error {
	if y.number == 0 {
		var err error
		if y.number, err = t.tallies.NextSequence(); err != nil {
			return err
		}
	}
	if y.next-y.first == store.MaxTally {
		if err := t.forgetOldest(y); err != nil {
			return err
		}
	}
	n, group := numberKey(y.next), y.key(kindGroup, s.Group)
	if t.tallies.Get(group) == nil {
		y.groups++
	}
	if err := t.put(t.tallies, group, n); err != nil {
		return err
	}
	if err := t.put(t.tallies, y.key(kindID, s.ID), n); err != nil {
		return err
	}
	if err := t.put(t.tallies, y.memberKey(y.next), encodeSeen(t.now, s)); err != nil {
		return err
	}
	y.next++
	t.added++
	return nil
}

// forgetOldest removes the oldest member, and its group if that has no other
// member.
func (t *txn) forgetOldest(y *tally) error {
	member := y.memberKey(y.first)
	_, s, err := decodeSeen(t.tallies.Get(member))
	if err != nil {
		return err
	}
	if err := t.delete(t.tallies, member); err != nil {
		return err
	}
	if err := t.delete(t.tallies, y.key(kindID, s.ID)); err != nil {
		return err
	}
	group := y.key(kindGroup, s.Group)
	if v := t.tallies.Get(group); v != nil && binary.BigEndian.Uint64(v) == y.first {
		if err := t.delete(t.tallies, group); err != nil {
			return err
		}
		y.groups--
	}
	y.first++
	return nil
}

// purgeTally removes up to n members of an expired tally, and the tally when
// none is left. It returns how many members it removed.
func (t *txn) purgeTally(key string, n int) (removed int, err error) {
	y, expires, err := t.tally(key)
	if err != nil {
		return 0, err
	}
	for ; removed < n && y.first < y.next; removed++ {
		if err := t.forgetOldest(&y); err != nil {
			return 0, err
		}
	}
	if y.first == y.next {
		return removed, t.forget(tagTally, key)
	}
	return removed, t.keep(tagTally, key, y.encode(), expires)
}

// tally returns the tally of key and when it expires or expired; both are
// zero if there is none.
func (t *txn) tally(key string) (y tally, expires int64, err error) {
	payload, expires, ok := t.lookup(tagTally, key)
	if !ok {
		return tally{}, 0, nil
	}
	d := decoder{rest: payload}
	y = tally{number: d.uint64(), first: d.uint64(), next: d.uint64(), groups: d.uint64()}
	return y, expires, d.err
}

func (y tally) encode() []byte {
	b := make([]byte, 0, 32)
	for _, n := range []uint64{y.number, y.first, y.next, y.groups} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func (y tally) key(kind byte, rest string) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 9+len(rest)), y.number)
	return append(append(b, kind), rest...)
}

func (y tally) memberKey(n uint64) []byte {
	return binary.BigEndian.AppendUint64(y.key(kindMember, ""), n)
}

func encodeSeen(at int64, s store.Seen) []byte {
	b := make([]byte, 0, 16+len(s.ID)+len(s.Group)+len(s.Note))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = appendString(b, s.ID)
	b = appendString(b, s.Group)
	return append(b, s.Note...)
}

func decodeSeen(b []byte) (at int64, s store.Seen, err error) {
	d := decoder{rest: b}
	at = int64(d.uint64())
	s = store.Seen{ID: d.string(), Group: d.string()}
	s.Note = string(d.rest)
	return at, s, d.err
}
