package rights

import (
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/pipesteward/pipesteward/actions/gitlab"
)

const (
	// userFor is how long the user of an address is remembered. What the user may do is read
	// for each request, and that the user is active with it (MemberRole).
	userFor = 10 * time.Minute
	// noUserFor is how long it is remembered that an address has no user who may do anything:
	// the person may change that in GitLab, and try again.
	noUserFor = 20 * time.Second
	// maxUsers bounds the addresses that are remembered.
	maxUsers = 1000
)

// users are those in GitLab by the addresses of people in Slack. To find one takes up to 21
// requests.
type users struct {
	Config
	searching singleflight.Group
	mu        sync.Mutex
	known     map[string]search // by the address in lower case
}

// search is what came of the search for a user.
type search struct {
	user  gitlab.User
	found bool
	until time.Time
}

// byEmail returns the user of an address, who is remembered, or searched for: once for all
// who wait. An error is not remembered.
func (u *users) byEmail(ctx context.Context, email string) (user gitlab.User, found bool, err error) {
	key := strings.ToLower(email)
	u.mu.Lock()
	known, is := u.known[key]
	u.mu.Unlock()
	if now := u.Now(); is && now.Before(known.until) && known.until.Sub(now) <= userFor { // a clock may be set back
		return known.user, known.found, nil
	}
	known, err = shared(ctx, &u.searching, key, func(ctx context.Context) (search, error) {
		user, found, err := u.GitLab.UserByEmail(ctx, email)
		if err != nil {
			return search{}, err
		}
		s := search{user, found, u.Now().Add(noUserFor)}
		if found && user.Active && !user.Bot {
			s.until = u.Now().Add(userFor)
		}
		u.remember(key, s)
		return s, nil
	})
	return known.user, known.found, err
}

// remember stores what came of a search, and forgets what ends first if that is too much.
func (u *users) remember(key string, s search) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.known == nil {
		u.known = map[string]search{}
	}
	u.known[key] = s
	if len(u.known) <= maxUsers {
		return
	}
	first := key
	for other, s := range u.known {
		if s.until.Before(u.known[first].until) {
			first = other
		}
	}
	delete(u.known, first)
}

// shared does something once for all who wait for the same key, for readFor at most. Who
// does not wait any longer leaves it to the others.
func shared[T any](ctx context.Context, by *singleflight.Group, key string, do func(ctx context.Context) (T, error)) (T, error) {
	done := by.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readFor)
		defer cancel()
		return do(ctx)
	})
	var none T
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case result := <-done:
		if result.Err != nil {
			return none, result.Err
		}
		return result.Val.(T), nil
	}
}
