package bolt

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/format"
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
		if err != nil || expires <= t.Now {
			return nil, err
		}
		var members []store.Seen
		c := t.tallies.Cursor()
		_, v := c.Seek(y.MemberKey(y.First))
		for n := y.First; n < y.Next; n++ {
			at, member, err := format.DecodeSeen(v)
			if err != nil {
				return nil, err
			}
			member.At = t.processTime(at)
			if format.Later(at, within) > t.Now {
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
	for y.First < y.Next {
		at, _, err := format.DecodeSeen(t.tallies.Get(y.MemberKey(y.First)))
		if err != nil {
			return store.Count{}, err
		}
		if expires > t.Now && format.Later(at, within) > t.Now {
			break
		}
		if err := t.forgetOldest(&y); err != nil {
			return store.Count{}, err
		}
	}
	n := y.Next
	if v := t.tallies.Get(y.IDKey(s.ID)); v != nil {
		n = binary.BigEndian.Uint64(v)
	} else {
		if err := t.addSeen(&y, s); err != nil {
			return store.Count{}, err
		}
		expires = format.Later(t.Now, within)
	}
	if y != was {
		if err := t.keep(format.TagTally, key, y.Encode(), expires); err != nil {
			return store.Count{}, err
		}
	}
	return store.Count{Members: int(y.Next - y.First), Groups: int(y.Groups), Position: int(n-y.First) + 1}, nil
}

// addSeen adds a member; in a full tally it replaces the oldest.
func (t *txn) addSeen(y *format.Tally, s store.Seen) error {
	if y.Number == 0 {
		var err error
		if y.Number, err = t.tallies.NextSequence(); err != nil {
			return err
		}
	}
	if y.Next-y.First == store.MaxTally {
		if err := t.forgetOldest(y); err != nil {
			return err
		}
	}
	n, group := format.NumberKey(y.Next), y.GroupKey(s.Group)
	if t.tallies.Get(group) == nil {
		y.Groups++
	}
	if err := t.put(t.tallies, group, n); err != nil {
		return err
	}
	if err := t.put(t.tallies, y.IDKey(s.ID), n); err != nil {
		return err
	}
	if err := t.put(t.tallies, y.MemberKey(y.Next), format.EncodeSeen(t.Now, s)); err != nil {
		return err
	}
	y.Next++
	t.added++
	return nil
}

// forgetOldest removes the oldest member, and its group if that has no other
// member.
func (t *txn) forgetOldest(y *format.Tally) error {
	member := y.MemberKey(y.First)
	_, s, err := format.DecodeSeen(t.tallies.Get(member))
	if err != nil {
		return err
	}
	if err := t.delete(t.tallies, member); err != nil {
		return err
	}
	if err := t.delete(t.tallies, y.IDKey(s.ID)); err != nil {
		return err
	}
	group := y.GroupKey(s.Group)
	if v := t.tallies.Get(group); v != nil && binary.BigEndian.Uint64(v) == y.First {
		if err := t.delete(t.tallies, group); err != nil {
			return err
		}
		y.Groups--
	}
	y.First++
	return nil
}

// purgeTally removes up to n members of an expired tally, and the tally when
// none is left. It returns how many members it removed.
func (t *txn) purgeTally(key string, n int) (removed int, err error) {
	y, expires, err := t.tally(key)
	if err != nil {
		return 0, err
	}
	for ; removed < n && y.First < y.Next; removed++ {
		if err := t.forgetOldest(&y); err != nil {
			return 0, err
		}
	}
	if y.First == y.Next {
		return removed, t.forget(format.TagTally, key)
	}
	return removed, t.keep(format.TagTally, key, y.Encode(), expires)
}

// tally returns the tally of key and when it expires or expired; both are
// zero if there is none.
func (t *txn) tally(key string) (y format.Tally, expires int64, err error) {
	payload, expires, ok := t.lookup(format.TagTally, key)
	if !ok {
		return format.Tally{}, 0, nil
	}
	y, err = format.DecodeTally(payload)
	return y, expires, err
}
