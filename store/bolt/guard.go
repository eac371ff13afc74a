package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// Take implements store.Guard.
func (s *Store) Take(ctx context.Context, key string, rate store.Rate) (time.Duration, error) {
	if err := store.CheckTake(key, rate); err != nil {
		return 0, err
	}
	return lazily(ctx, s, func(t *txn) (time.Duration, error) {
		var full int64
		if payload, _, ok := t.lookup(format.TagRate, key); ok {
			full = int64(binary.BigEndian.Uint64(payload))
		}
		full, wait := rate.Take(t.Now, full)
		if _, blocked, ok := t.lookup(format.TagHold, key); ok {
			wait = max(wait, time.Duration(blocked-t.Now))
		}
		if wait > 0 {
			return wait, nil
		}
		return 0, t.keep(format.TagRate, key, format.NumberKey(uint64(full)), full) // a full bucket is the same as a new one
	})
}

// Hold implements store.Guard.
func (s *Store) Hold(ctx context.Context, key string, span time.Duration) error {
	if err := store.CheckHold(key, span); err != nil {
		return err
	}
	return s.write(ctx, func(t *txn) error {
		end := format.Later(t.Now, span)
		if _, blocked, ok := t.lookup(format.TagHold, key); ok && blocked >= end {
			return nil
		}
		return t.keep(format.TagHold, key, nil, end)
	})
}

// Claim implements store.Guard.
func (s *Store) Claim(ctx context.Context, key, owner string, ttl time.Duration) (bool, error) {
	if err := store.CheckClaim(key, owner, ttl); err != nil {
		return false, err
	}
	return lazily(ctx, s, func(t *txn) (bool, error) {
		current, expires, ok := t.lookup(format.TagClaim, key)
		if ok && expires > t.Now && string(current) != owner {
			return false, nil
		}
		return true, t.keep(format.TagClaim, key, []byte(owner), format.Later(t.Now, ttl))
	})
}

// Release implements store.Guard.
func (s *Store) Release(ctx context.Context, key, owner string) error {
	if err := store.CheckRelease(key, owner); err != nil {
		return err
	}
	_, err := lazily(ctx, s, func(t *txn) (struct{}, error) {
		if current, _, ok := t.lookup(format.TagClaim, key); !ok || string(current) != owner {
			return struct{}{}, nil
		}
		return struct{}{}, t.forget(format.TagClaim, key)
	})
	return err
}

// Set implements store.Guard.
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := store.CheckSet(key, ttl); err != nil {
		return err
	}
	value = bytes.Clone(value)
	return s.write(ctx, func(t *txn) error {
		return t.keep(format.TagValue, key, value, format.Later(t.Now, ttl))
	})
}

// Get implements store.Guard.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if err := store.CheckGet(key); err != nil {
		return nil, err
	}
	var value []byte
	err := s.view(ctx, func(t *txn) error {
		if payload := t.value(key); payload != nil {
			value = append([]byte{}, payload...)
		}
		return nil
	})
	return value, err
}

// value returns the value of a key, which is the transaction's; nil: there is none.
func (t *txn) value(key string) []byte {
	payload, expires, ok := t.lookup(format.TagValue, key)
	switch {
	case !ok || expires <= t.Now:
		return nil
	case payload == nil:
		return []byte{}
	}
	return payload
}

// has reports whether a value is as expected.
func (t *txn) has(e store.Expected) bool {
	value := t.value(e.Key)
	return (value == nil) == (e.Value == nil) && bytes.Equal(value, e.Value)
}
