package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// Take implements store.Guard.
func (s *Store) Take(ctx context.Context, key string, rate store.Rate) (time.Duration, error) {
	if err := store.CheckTake(key, rate); err != nil {
		return 0, err
	}
	return lazily(ctx, s, func(t *txn) (time.Duration, error) {
		var full int64
		if payload, _, ok := t.lookup(tagRate, key); ok {
			full = int64(binary.BigEndian.Uint64(payload))
		}
		full, wait := gcra(t.now, full, rate)
		if _, blocked, ok := t.lookup(tagHold, key); ok {
			wait = max(wait, time.Duration(blocked-t.now))
		}
		if wait > 0 {
			return wait, nil
		}
		return 0, t.keep(tagRate, key, numberKey(uint64(full)), full) // a full bucket is the same as a new one
	})
}

// Hold implements store.Guard.
func (s *Store) Hold(ctx context.Context, key string, span time.Duration) error {
	if err := store.CheckHold(key, span); err != nil {
		return err
	}
	return s.write(ctx, func(t *txn) error {
		end := later(t.now, span)
		if _, blocked, ok := t.lookup(tagHold, key); ok && blocked >= end {
			return nil
		}
		return t.keep(tagHold, key, nil, end)
	})
}

// Claim implements store.Guard.
func (s *Store) Claim(ctx context.Context, key, owner string, ttl time.Duration) (bool, error) {
	if err := store.CheckClaim(key, owner, ttl); err != nil {
		return false, err
	}
	return lazily(ctx, s, func(t *txn) (bool, error) {
		current, expires, ok := t.lookup(tagClaim, key)
		if ok && expires > t.now && string(current) != owner {
			return false, nil
		}
		return true, t.keep(tagClaim, key, []byte(owner), later(t.now, ttl))
	})
}

// Release implements store.Guard.
func (s *Store) Release(ctx context.Context, key, owner string) error {
	if err := store.CheckRelease(key, owner); err != nil {
		return err
	}
	_, err := lazily(ctx, s, func(t *txn) (struct{}, error) {
		if current, _, ok := t.lookup(tagClaim, key); !ok || string(current) != owner {
			return struct{}{}, nil
		}
		return struct{}{}, t.forget(tagClaim, key)
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
		return t.keep(tagValue, key, value, later(t.now, ttl))
	})
}

// Get implements store.Guard.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if err := store.CheckGet(key); err != nil {
		return nil, err
	}
	var value []byte
	err := s.view(ctx, func(t *txn) error {
		if payload, expires, ok := t.lookup(tagValue, key); ok && expires > t.now {
			value = append([]byte{}, payload...) // not nil
		}
		return nil
	})
	return value, err
}
