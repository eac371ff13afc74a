package store

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// Claimer is the part of a Store that keeps claims.
type Claimer interface {
	Claim(ctx context.Context, key, owner string, ttl time.Duration) (held bool, err error)
	Release(ctx context.Context, key, owner string) error
}

// WithClaim runs do while nobody else has the claim of the key, and gives it
// back. It returns false, and does not run do, while somebody else has it. A
// process that dies in do keeps it for the time of ttl.
func WithClaim(ctx context.Context, c Claimer, key string, ttl time.Duration, do func() error) (held bool, err error) {
	owner := rand.Text()
	if held, err = c.Claim(ctx, key, owner, ttl); err != nil || !held {
		return false, err
	}
	defer func() { _ = c.Release(context.WithoutCancel(ctx), key, owner) }() // else it runs out
	return true, do()
}

// HoldClaim claims the key, and renews the claim until the returned function
// is called, which gives it back; nil: another owner has it. The returned
// context ends with ctx, and when another owner has the claim after all:
// nothing was heard of this one for the time of ttl.
func HoldClaim(ctx context.Context, c Claimer, key, owner string, ttl time.Duration) (held context.Context, release func(), err error) {
	first, err := c.Claim(ctx, key, owner, ttl)
	if err != nil || !first {
		return ctx, nil, err
	}
	held, lose := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		ticker := time.NewTicker(ttl / 4)
		defer ticker.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-ticker.C:
				if still, err := c.Claim(held, key, owner, ttl); err == nil && !still {
					lose()
				} // after an error again at the next tick
			}
		}
	})
	return held, func() {
		lose()
		renewing.Wait()
		_ = c.Release(context.WithoutCancel(ctx), key, owner) // else it runs out
	}, nil
}
