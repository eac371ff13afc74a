package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pipesteward/pipesteward/store"
)

// Take implements store.Guard. Its unit of time is the microsecond: a bucket yields a
// million tokens a second at most.
func (r *Store) Take(ctx context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error) {
	if err := store.CheckTake(buckets); err != nil || len(buckets) == 0 {
		return 0, 0, err
	}
	keys, args := make([]string, 0, 2*len(buckets)), make([]any, 0, 2*len(buckets))
	for _, b := range buckets {
		keys = append(keys, r.prefix+"rate:"+b.Key, r.holdKey(b.Key))
		args = append(args, micros(b.Rate.Interval()), b.Rate.Capacity())
	}
	list, err := r.runList(ctx, "take", keys, args...)
	if err != nil {
		return 0, 0, err
	}
	return int(list.number()), time.Duration(list.number()) * time.Microsecond, nil
}

// Left implements store.Guard.
func (r *Store) Left(ctx context.Context, b store.Bucket) (int, error) {
	if err := store.CheckTake([]store.Bucket{b}); err != nil {
		return 0, err
	}
	left, err := r.runNumber(ctx, "left", []string{r.prefix + "rate:" + b.Key}, micros(b.Rate.Interval()), b.Rate.Capacity())
	return int(left), err
}

// Hold implements store.Guard.
func (r *Store) Hold(ctx context.Context, key string, span time.Duration) error {
	if err := store.CheckHold(key, span); err != nil {
		return err
	}
	_, err := r.run(ctx, "hold", []string{r.holdKey(key)}, micros(span))
	return err
}

// Held implements store.Guard.
func (r *Store) Held(ctx context.Context, key string) (time.Duration, error) {
	if err := store.CheckHeld(key); err != nil {
		return 0, err
	}
	left, err := r.runNumber(ctx, "held", []string{r.holdKey(key)})
	return time.Duration(left) * time.Microsecond, err
}

func (r *Store) holdKey(key string) string { return r.prefix + "hold:" + key }

// Claim implements store.Guard.
func (r *Store) Claim(ctx context.Context, key, owner string, ttl time.Duration) (bool, error) {
	if err := store.CheckClaim(key, owner, ttl); err != nil {
		return false, err
	}
	claimed, err := r.runNumber(ctx, "claim", []string{r.claimKey(key)}, owner, millis(ttl))
	return claimed == 1, err
}

// Release implements store.Guard.
func (r *Store) Release(ctx context.Context, key, owner string) error {
	if err := store.CheckRelease(key, owner); err != nil {
		return err
	}
	_, err := r.run(ctx, "release", []string{r.claimKey(key)}, owner)
	return err
}

func (r *Store) claimKey(key string) string { return r.prefix + "claim:" + key }

// Tally implements store.Guard.
func (r *Store) Tally(ctx context.Context, key string, s store.Seen, within time.Duration) (store.Count, error) {
	if err := store.CheckTally(key, s, within); err != nil {
		return store.Count{}, err
	}
	list, err := r.runList(ctx, "tally", r.tallyKeys(key), s.ID, s.Group, s.Note, micros(within), store.MaxTally)
	if err != nil {
		return store.Count{}, err
	}
	return store.Count{Members: int(list.number()), Groups: int(list.number()), Position: int(list.number()) + 1}, nil
}

// Tallied implements store.Guard, with a script for each maxReply members.
func (r *Store) Tallied(ctx context.Context, key string, within time.Duration) ([]store.Seen, error) {
	if err := store.CheckTallied(key, within); err != nil {
		return nil, err
	}
	var members []store.Seen
	last := int64(0)
	for len(members) < store.MaxTally {
		list, err := r.runList(ctx, "tallied", r.tallyKeys(key), last, maxReply, micros(within))
		if err != nil {
			return nil, err
		}
		before := len(members)
		for len(list.rest) > 0 {
			s := store.Seen{ID: list.string()}
			last = list.number()
			s.At, s.Group, s.Note = fromMicros(last), list.string(), list.string()
			members = append(members, s)
		}
		if len(members) < before+maxReply {
			break
		}
	}
	return members, nil
}

func (r *Store) tallyKeys(key string) []string {
	return []string{r.prefix + "tally:" + key, r.prefix + "tally-details:" + key, r.prefix + "tally-groups:" + key}
}

// Set implements store.Guard.
func (r *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := store.CheckSet(key, ttl); err != nil {
		return err
	}
	return r.call(ctx, func(ctx context.Context) error {
		return r.client.Do(ctx, "set", r.valueKey(key), value, "px", millis(ttl)).Err()
	})
}

// Get implements store.Guard.
func (r *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if err := store.CheckGet(key); err != nil {
		return nil, err
	}
	var value []byte
	err := r.call(ctx, func(ctx context.Context) (err error) {
		value, err = r.client.Get(ctx, r.valueKey(key)).Bytes()
		if errors.Is(err, goredis.Nil) {
			return nil
		}
		return err
	})
	return value, err
}

func (r *Store) valueKey(key string) string { return r.prefix + "value:" + key }
