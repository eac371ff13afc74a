package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// Take implements store.Guard.
func (s *Store) Take(ctx context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error) {
	if err := store.CheckTake(buckets); err != nil {
		return 0, 0, err
	}
	type result struct {
		taken int
		wait  time.Duration
	}
	buckets = slices.Clone(buckets)
	r, err := lazily(ctx, s, func(t *txn) (r result, err error) {
		for _, b := range buckets {
			if r.wait, err = t.take(b); r.wait > 0 || err != nil {
				break
			}
			r.taken++
		}
		return r, err
	})
	return r.taken, r.wait, err
}

// take takes a token from the bucket and returns 0, or returns the time until it has one.
func (t *txn) take(b store.Bucket) (time.Duration, error) {
	full, wait := b.Rate.Take(t.Now, t.full(b.Key))
	if wait = max(wait, t.held(b.Key)); wait > 0 {
		return wait, nil
	}
	return 0, t.keep(format.TagRate, b.Key, format.NumberKey(uint64(full)), full) // a full bucket is the same as a new one
}

// Left implements store.Guard.
func (s *Store) Left(ctx context.Context, b store.Bucket) (int, error) {
	if err := store.CheckTake([]store.Bucket{b}); err != nil {
		return 0, err
	}
	return lazily(ctx, s, func(t *txn) (int, error) { return b.Rate.Left(t.Now, t.full(b.Key)), nil })
}

// full returns when the bucket of key is full again, 0 if it is new.
func (t *txn) full(key string) int64 {
	if payload, _, ok := t.lookup(format.TagRate, key); ok {
		return int64(binary.BigEndian.Uint64(payload))
	}
	return 0
}

// held returns the time until the end of the Hold of key, 0 if there is none.
func (t *txn) held(key string) time.Duration {
	_, end, _ := t.lookup(format.TagHold, key)
	return time.Duration(max(end-t.Now, 0))
}

// Held implements store.Guard.
func (s *Store) Held(ctx context.Context, key string) (left time.Duration, err error) {
	if err := store.CheckHeld(key); err != nil {
		return 0, err
	}
	err = s.view(ctx, func(t *txn) error {
		left = t.held(key)
		return nil
	})
	return left, err
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
		value = t.value(key)
		return nil
	})
	return value, err
}

// value returns a copy of the value of a key; nil: there is none.
func (t *txn) value(key string) []byte {
	if payload, expires, ok := t.lookup(format.TagValue, key); ok && expires > t.Now {
		return append([]byte{}, payload...)
	}
	return nil
}
