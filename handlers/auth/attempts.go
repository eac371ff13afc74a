package auth

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// failuresAtOnce is how many wrong credentials one sender may send at once, and
	// failureEvery how long each takes to be forgotten.
	failuresAtOnce = 10
	failureEvery   = 6 * time.Second
	// waitAtMost bounds how long a request waits for its credentials to be checked.
	waitAtMost = 5 * time.Second
	// maxSenders bounds the memory for senders. A sender of IPv6 is its network of 64
	// bits, because one machine has all of its addresses.
	maxSenders = 4096
)

// attempts bounds what checks of credentials cost, be it processor time for a password or
// requests to GitLab for a token. Each sender has one check in flight, and few that fail:
// a flood of wrong credentials delays the senders of right ones by one check for each
// address that it comes from. Credentials that were right a moment ago need no check, and
// so no attempt.
type attempts struct {
	now   func() time.Time
	slots chan struct{} // one for each check in flight

	mu      sync.Mutex
	senders map[netip.Prefix]*sender
}

type sender struct {
	turn     chan struct{} // full while a check of the sender is in flight
	failures *rate.Limiter // a token is taken by a failure
	waiting  int           // requests that use the sender
	used     time.Time
}

// newAttempts lets that many checks be in flight at a time.
func newAttempts(inFlight int, now func() time.Time) *attempts {
	return &attempts{now: now, slots: make(chan struct{}, inFlight), senders: map[netip.Prefix]*sender{}}
}

// check calls verify once it is the sender's turn. verify reports whether the credentials
// are right; an error means that they could not be checked. The error of check is a
// *refusal, or that of verify.
func (a *attempts) check(ctx context.Context, from netip.Addr, verify func() (right bool, err error)) (right bool, err error) {
	s, err := a.enter(from)
	if err != nil {
		return false, err
	}
	defer a.leave(s)
	ctx, cancel := context.WithTimeout(ctx, waitAtMost)
	defer cancel()
	for _, slot := range []chan struct{}{s.turn, a.slots} {
		select {
		case slot <- struct{}{}:
			defer func() { <-slot }()
		case <-ctx.Done():
			return false, unavailable("too many credentials are checked just now: try again in some seconds")
		}
	}
	if err := a.mayTry(s); err != nil { // others of the sender have failed meanwhile
		return false, err
	}
	right, err = verify()
	if !right && err == nil {
		s.failures.AllowN(a.now(), 1)
	}
	return right, err
}

// enter returns the sender with the address, or a refusal.
func (a *attempts) enter(from netip.Addr) (*sender, error) {
	bits := 64
	if from.Is4() {
		bits = 32
	}
	key, _ := from.Prefix(bits) // an address that is none has the zero prefix
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.senders[key]
	if s == nil {
		if len(a.senders) >= maxSenders && !a.forget() {
			return nil, unavailable("credentials of too many senders are checked just now: try again in some seconds")
		}
		s = &sender{turn: make(chan struct{}, 1), failures: rate.NewLimiter(rate.Every(failureEvery), failuresAtOnce)}
		a.senders[key] = s
	}
	if err := a.mayTry(s); err != nil {
		return nil, err
	}
	s.waiting++
	s.used = a.now()
	return s, nil
}

// mayTry returns a refusal if the sender has had too many failures.
func (a *attempts) mayTry(s *sender) error {
	now := a.now()
	if s.failures.TokensAt(now) < 1 {
		return tooMany(failureEvery, "too many wrong credentials from this address: wait some seconds, and check the user and password, or the token")
	}
	return nil
}

func (a *attempts) leave(s *sender) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.waiting--
}

// forget removes the sender that was not used for the longest; false: all are in use.
func (a *attempts) forget() bool {
	var oldest netip.Prefix
	var found *sender
	for key, s := range a.senders {
		if s.waiting == 0 && (found == nil || s.used.Before(found.used)) {
			oldest, found = key, s
		}
	}
	delete(a.senders, oldest)
	return found != nil
}

// isRefusal reports whether the error is an answer already.
func isRefusal(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}
