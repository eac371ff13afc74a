// Package ratelimit delays requests to GitLab until GitLab and the limit that
// all replicas share allow them.
//
//	queue.go     the requests of this process wait in order of their priority
//	response.go  blocks requests for as long as GitLab's answers require
//	endpoints.go GitLab's own limits of single endpoints
package ratelimit

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Limiter is the rate limit that all replicas share.
type Limiter interface {
	// Take takes a token from each bucket, one after the other, until one has none. It
	// returns from how many it took, and how long until the next one has a token.
	Take(ctx context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error)
	// Hold lets nobody take from the bucket of key for the given time.
	Hold(ctx context.Context, key string, span time.Duration) error
	// Held returns how long until nobody is kept from the bucket of key; 0: it is not held.
	Held(ctx context.Context, key string) (time.Duration, error)
}

// Priority orders the requests that wait.
type Priority int

// The priorities, the first goes first.
const (
	Action Priority = iota // changes something that was decided already
	Fact                   // is read in order to decide
	Sweep                  // is sent when nothing else waits
)

// Request is what the limits depend on.
type Request struct {
	Method   string // as in net/http
	Endpoint string // package endpoint's name
	Path     string // below /api/v4/
}

// scope names what an application limit is about: an endpoint in a project or a
// group, for some endpoints all projects.
func (r Request) scope() string {
	if r.Endpoint == endpoint.ProjectJobs || r.Endpoint == endpoint.CreateNote { // for each user, over all projects
		return r.Endpoint
	}
	parts := strings.SplitN(r.Path, "/", 3)
	return r.Endpoint + ":" + strings.Join(parts[:min(len(parts), 2)], "/")
}

// writes reports whether r changes something.
func (r Request) writes() bool { return r.Method != http.MethodGet }

// maxQueueTime is the longest that a request waits in total because others use
// up the shared limit.
const maxQueueTime = time.Minute

// Config is what a Queue needs. All but Limiter is required.
type Config struct {
	Limiter Limiter // nil: only GitLab's answers limit
	Key     string  // of the instance's bucket, see keys.Requests
	Rate    store.Rate
	MaxWait time.Duration // the longest that a request waits in place for GitLab
	Now     func() time.Time
	Sleep   func(context.Context, time.Duration) error
}

// Queue lets a request go when GitLab and the shared limit allow it. The
// requests of this process wait in order of their priority, those of the same
// priority in the order of their arrival. The first ones try to take a token from
// the limit: while it is used up, a single one, which sleeps between two tries;
// more at a time with each that gets a token at its first try.
//
// Sweeps also yield to the requests of other processes: those that have to wait hold
// the sweeps' own bucket, which each sweep looks at first.
type Queue struct {
	Config

	mu           sync.Mutex
	blockedUntil time.Time // GitLab's answers to this client allow no request before
	waiting      []*waiter // the first goes next
	taking       int       // how many of them try to take a token
	parallel     int       // how many may try at the same time; 0 is 1

	sweepsBlocked time.Time // when this process last blocked all sweeps
	endpoints     endpointLimits
}

// New returns a queue without requests.
func New(cfg Config) *Queue { return &Queue{Config: cfg} }

// maxParallel is how many requests try to take a token at the same time, at most.
const maxParallel = 16

// blockSweepsEvery is the least time between two blocks of the sweeps by one
// process. A block lasts longer than its cause by that time, so that there is no
// gap before the next. The limit loses nothing: it keeps what the sweeps leave.
const blockSweepsEvery = time.Second

// waiter is one request in the queue.
type waiter struct {
	priority Priority
	since    time.Time
	taking   bool       // it may try to take a token
	yielding bool       // sweeps are blocked: others try first
	turn     chan error // gets nil when it may try to take a token, an error when it has waited too long
}

// NotSentError says that a request was not sent.
type NotSentError struct {
	After  time.Duration // when to come back; 0: unknown
	Reason string
}

func (e *NotSentError) Error() string { return "not sent: " + e.Reason }

// Wait blocks until r may be sent. It returns ctx's error, or a *NotSentError
// when that takes too long or the limiter fails: without a limiter nobody counts
// the requests of the other replicas, so none is sent then.
func (q *Queue) Wait(ctx context.Context, p Priority, r Request) error {
	if err := q.waitForEndpoint(ctx, p, r); err != nil {
		return err
	}
	w := q.enqueue(p)
	defer q.remove(w)
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-w.turn:
			if err != nil {
				return err
			}
		}
		wait, yield, err := q.take(ctx, w)
		if yield {
			q.yield(w)
		} else {
			q.adjustParallel(err == nil && wait <= 0, first)
		}
		if err != nil || wait <= 0 {
			return err
		}
		if err := q.Sleep(ctx, wait); err != nil {
			return err
		}
		q.resume(w)
	}
}

// adjustParallel lets more requests try at the same time after one got a token at
// its first try, and a single one after one got none.
func (q *Queue) adjustParallel(granted, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !granted:
		q.parallel = 1
	case first:
		q.parallel = min(2*max(q.parallel, 1), maxParallel)
	}
}

// take returns how long w has yet to wait; 0: it may go, and is counted. With
// yield it must let others try meanwhile.
func (q *Queue) take(ctx context.Context, w *waiter) (wait time.Duration, yield bool, err error) {
	if blocked := q.blocked(); blocked > q.MaxWait {
		return 0, false, &NotSentError{blocked, fmt.Sprintf("GitLab accepts no request for another %s", blocked.Round(time.Second))}
	} else if blocked > 0 || q.Limiter == nil {
		return blocked, false, nil
	}
	if w.priority == Sweep {
		wait, err = q.Limiter.Held(ctx, keys.Sweeps(q.Key))
		yield = err == nil && wait > 0
	}
	if err == nil && !yield {
		_, wait, err = q.Limiter.Take(ctx, store.Bucket{Key: q.Key, Rate: q.Rate})
	}
	if err != nil {
		return 0, false, &NotSentError{0, fmt.Sprintf("the rate limiter failed: %v", err)}
	}
	// A limit that is used up has a token again within one share of its time; a
	// longer wait is a block that GitLab's answer to another replica caused.
	inPlace := max(q.MaxWait, q.share())
	if wait > inPlace || wait > 0 && q.Now().Sub(w.since)+wait > maxQueueTime {
		return 0, yield, q.tooLong(wait)
	}
	if wait > 0 && w.priority != Sweep {
		q.blockSweeps(ctx, wait)
	}
	return wait, yield, nil
}

// share is the time in which the shared limit gains one token.
func (q *Queue) share() time.Duration { return q.Rate.Per / time.Duration(q.Rate.Limit) }

// blockSweeps lets no replica send a sweep while a request of a higher priority
// waits.
func (q *Queue) blockSweeps(ctx context.Context, wait time.Duration) {
	q.mu.Lock()
	now := q.Now()
	due := now.Sub(q.sweepsBlocked) >= blockSweepsEvery
	if due {
		q.sweepsBlocked = now
	}
	q.mu.Unlock()
	if due {
		// If it fails, a sweep may go first: that is no reason to fail.
		_ = q.Limiter.Hold(ctx, keys.Sweeps(q.Key), wait+blockSweepsEvery)
	}
}

func (q *Queue) tooLong(after time.Duration) error {
	return &NotSentError{after, fmt.Sprintf("the rate limit allows the next request to %s in %s", q.Key, after.Round(time.Millisecond))}
}

// enqueue adds a request behind those of its priority.
func (q *Queue) enqueue(p Priority) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := &waiter{priority: p, since: q.Now(), turn: make(chan error, 1)}
	at, _ := slices.BinarySearchFunc(q.waiting, p, func(other *waiter, p Priority) int {
		return cmp.Or(cmp.Compare(other.priority, p), -1) // equal ones stand before
	})
	q.waiting = slices.Insert(q.waiting, at, w)
	q.dispatch()
	return w
}

// yield lets others try before w's next turn, which comes after resume.
func (q *Queue) yield(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endTry(w)
	w.yielding = true
	q.dispatch()
}

// resume puts w back in its place, from where it may get another turn.
func (q *Queue) resume(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endTry(w)
	w.yielding = false
	q.dispatch()
}

// remove takes a request out of the queue, if it is still there.
func (q *Queue) remove(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(other *waiter) bool { return other == w })
	q.endTry(w)
	q.dispatch()
}

// endTry records that w no longer tries to take a token; q is locked.
func (q *Queue) endTry(w *waiter) {
	if w.taking {
		w.taking = false
		q.taking--
	}
}

// dispatch gives the first requests their turn, as many as may try at the same
// time, and fails those that have waited too long; q is locked.
func (q *Queue) dispatch() {
	if q.taking >= max(q.parallel, 1) {
		return
	}
	now := q.Now()
	share := time.Duration(0)
	if q.Limiter != nil {
		share = q.share()
	}
	waiting := len(q.waiting)
	q.waiting = slices.DeleteFunc(q.waiting, func(w *waiter) bool {
		if w.taking || now.Sub(w.since) <= maxQueueTime {
			return false
		}
		w.turn <- q.tooLong(share * time.Duration(waiting))
		return true
	})
	for _, w := range q.waiting {
		if q.taking >= max(q.parallel, 1) {
			return
		}
		if !w.taking && !w.yielding {
			w.taking = true
			q.taking++
			w.turn <- nil
		}
	}
}
