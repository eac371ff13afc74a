package store

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

// Claimer is the part of a Store that has to do with claims.
type Claimer interface {
	Claim(ctx context.Context, key, owner string, ttl time.Duration) (claimed bool, err error)
	Release(ctx context.Context, key, owner string) error
}

// WithClaim claims the key, runs do and releases the claim. If another owner
// has the claim, it returns false and does not run do. The claim of a process
// that dies in do expires after ttl.
func WithClaim(ctx context.Context, c Claimer, key string, ttl time.Duration, do func() error) (claimed bool, err error) {
	owner := rand.Text()
	if claimed, err = c.Claim(ctx, key, owner, ttl); err != nil || !claimed {
		return false, err
	}
	defer func() { _ = c.Release(context.WithoutCancel(ctx), key, owner) }() // if that fails, it expires
	return true, do()
}

// claimRetry is the time between two attempts of AwaitClaim.
const claimRetry = 50 * time.Millisecond

// ErrClaimed is returned by AwaitClaim if others had the claim until ctx was done.
var ErrClaimed = errors.New("another replica changes the same and does not end: try again")

// AwaitClaim is WithClaim that waits while another owner has the claim, until ctx is done.
func AwaitClaim(ctx context.Context, c Claimer, key string, ttl time.Duration, do func() error) error {
	for {
		if claimed, err := WithClaim(ctx, c, key, ttl, do); err != nil || claimed {
			return err
		}
		select {
		case <-ctx.Done():
			return ErrClaimed
		case <-time.After(claimRetry):
		}
	}
}

// HoldClaim claims the key, and renews the claim until the returned release is
// called; release is nil if another owner has the claim. The returned context
// is done when ctx is, and when the claim is lost: it could not be renewed for
// the time of ttl, and another owner took it.
func HoldClaim(ctx context.Context, c Claimer, key, owner string, ttl time.Duration) (owned context.Context, release func(), err error) {
	claimed, err := c.Claim(ctx, key, owner, ttl)
	if err != nil || !claimed {
		return ctx, nil, err
	}
	owned, lose := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		ticker := time.NewTicker(ttl / 4)
		defer ticker.Stop()
		for {
			select {
			case <-owned.Done():
				return
			case <-ticker.C:
				// After an error, the next tick tries again.
				if renewed, err := c.Claim(owned, key, owner, ttl); err == nil && !renewed {
					lose()
				}
			}
		}
	})
	return owned, func() {
		lose()
		renewing.Wait()
		_ = c.Release(context.WithoutCancel(ctx), key, owner) // if that fails, it expires
	}, nil
}
