package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Limiter is the rate limit that all replicas share.
type Limiter interface {
	// Take takes one from the bucket of key and returns 0, or takes none and
	// returns how long until one is there.
	Take(ctx context.Context, key string, rate store.Rate) (time.Duration, error)
	// Hold lets nobody take from the bucket of key for the given time.
	Hold(ctx context.Context, key string, span time.Duration) error
}

// maxHold is the longest that an answer can hold this client back: GitLab's
// own windows are minutes, so more is a broken header.
const maxHold = time.Hour

// maxLine is the longest that a request waits in all because others use the
// shared limit up.
const maxLine = time.Minute

// priority is a place in the line of the requests that wait.
type priority int

const (
	action priority = iota // changes something: whoever decided it waits for it
	fact                   // is asked to decide
	sweep                  // goes when nobody else waits
)

// pacer lets a request go when GitLab and the shared limit allow it. The
// requests of this process stand in line by priority, those of the same in the
// order in which they came. The first ask the limit: one alone, who sleeps,
// while it is used up, and more at a time with each that gets one at once.
//
// Sweeps give way to the requests of other processes, too: those that have to
// wait hold the sweeps' own bucket, which each sweep asks first.
type pacer struct {
	limiter Limiter
	key     string
	rate    store.Rate
	maxWait time.Duration
	now     func() time.Time
	sleep   func(context.Context, time.Duration) error

	mu     sync.Mutex
	until  time.Time // no request before; what GitLab asked for in answers to this client
	line   []*waiter // the first goes next
	asking int       // how many of them were told to ask
	wide   int       // how many may ask at the same time; 0 is 1

	heldSweeps time.Time // when this process last held all sweeps back
	limits     limits
}

// widest is how many requests ask the limit at the same time, at most.
const widest = 16

// neverUsedUp is the rate of a bucket that only a Hold keeps anybody from, such
// as that of sweeps.
var neverUsedUp = store.Rate{Limit: 1_000_000, Per: time.Second}

// sweepsHold is how often a process holds the sweeps back, at most. A hold
// lasts so much longer than what made it necessary, so that there is no gap
// before the next. The limit loses nothing by that: it keeps what the sweeps
// leave.
const sweepsHold = time.Second

// waiter is one request in line.
type waiter struct {
	priority priority
	since    time.Time
	asks     bool       // it was told to ask
	aside    bool       // it is held back as a sweep, and is not told to ask
	turn     chan error // gets nil when it is its turn to ask, an error when it has waited too long
}

// pacedError says that a request was not sent: after tells when to come back,
// 0 where nobody knows.
type pacedError struct {
	after  time.Duration
	reason string
}

func (e *pacedError) Error() string { return "not sent: " + e.reason }

// wait returns when r may go, ctx's error, or a *pacedError when that takes too
// long or the limiter fails: a GitLab that nobody counts
// requests for might be pressed, so none is sent then.
func (p *pacer) wait(ctx context.Context, turn priority, r request) error {
	if err := p.waitForLimit(ctx, turn, r); err != nil {
		return err
	}
	w := p.join(turn)
	defer p.leave(w)
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-w.turn:
			if err != nil {
				return err
			}
		}
		wait, aside, err := p.ask(ctx, w)
		if aside {
			p.step(w)
		} else {
			p.widen(err == nil && wait <= 0, first)
		}
		if err != nil || wait <= 0 {
			return err
		}
		if err := p.sleep(ctx, wait); err != nil {
			return err
		}
		p.next(w)
	}
}

// widen lets more ask at the same time when one was granted at its first
// asking, and one alone when one was not.
func (p *pacer) widen(granted, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !granted:
		p.wide = 1
	case first:
		p.wide = min(2*max(p.wide, 1), widest)
	}
}

// ask returns how long w has yet to wait; 0: it may go, and is counted. With
// aside it is to let others go meanwhile.
func (p *pacer) ask(ctx context.Context, w *waiter) (wait time.Duration, aside bool, err error) {
	if held := p.held(); held > p.maxWait {
		return 0, false, &pacedError{held, fmt.Sprintf("GitLab asked to wait, another %s", held.Round(time.Second))}
	} else if held > 0 || p.limiter == nil {
		return held, false, nil
	}
	if w.priority == sweep {
		wait, err = p.limiter.Take(ctx, keys.Sweeps(p.key), neverUsedUp)
		aside = err == nil && wait > 0
	}
	if err == nil && !aside {
		wait, err = p.limiter.Take(ctx, p.key, p.rate)
	}
	if err != nil {
		return 0, false, &pacedError{0, fmt.Sprintf("the rate limit can't be asked: %v", err)}
	}
	// A limit that is used up has one more for us within one share of its
	// time; what takes longer is a hold that GitLab asked another replica for.
	inPlace := max(p.maxWait, p.rate.Per/time.Duration(p.rate.Limit))
	if wait > inPlace || wait > 0 && p.now().Sub(w.since)+wait > maxLine {
		return 0, aside, p.tooLong(wait)
	}
	if wait > 0 && w.priority != sweep {
		p.holdSweeps(ctx, wait)
	}
	return wait, aside, nil
}

// holdSweeps lets all replicas send no sweep while a request waits that is
// none.
func (p *pacer) holdSweeps(ctx context.Context, wait time.Duration) {
	p.mu.Lock()
	now := p.now()
	due := now.Sub(p.heldSweeps) >= sweepsHold
	if due {
		p.heldSweeps = now
	}
	p.mu.Unlock()
	if due {
		// Without it, a sweep may go first: that is no reason to fail.
		_ = p.limiter.Hold(ctx, keys.Sweeps(p.key), wait+sweepsHold)
	}
}

func (p *pacer) tooLong(after time.Duration) error {
	return &pacedError{after, fmt.Sprintf("the rate limit lets the next request to %s go in %s", p.key, after.Round(time.Millisecond))}
}

// join puts a request into the line, behind those of its priority.
func (p *pacer) join(turn priority) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &waiter{priority: turn, since: p.now(), turn: make(chan error, 1)}
	at, _ := slices.BinarySearchFunc(p.line, turn, func(other *waiter, turn priority) int {
		return cmp.Or(cmp.Compare(other.priority, turn), -1) // equal ones stand before
	})
	p.line = slices.Insert(p.line, at, w)
	p.call()
	return w
}

// step lets others ask before w's next turn, which is not before next.
func (p *pacer) step(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silence(w)
	w.aside = true
	p.call()
}

// next puts w back in its place, from where it may be told to ask again.
func (p *pacer) next(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silence(w)
	w.aside = false
	p.call()
}

// leave takes a request out of the line, if it still stands there.
func (p *pacer) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = slices.DeleteFunc(p.line, func(other *waiter) bool { return other == w })
	p.silence(w)
	p.call()
}

// silence notes that w asks no more; p is locked.
func (p *pacer) silence(w *waiter) {
	if w.asks {
		w.asks = false
		p.asking--
	}
}

// call tells the first in line to ask, as many as may, and those who have
// waited too long to come back later; p is locked.
func (p *pacer) call() {
	if p.asking >= max(p.wide, 1) {
		return
	}
	now := p.now()
	share := time.Duration(0)
	if p.limiter != nil {
		share = p.rate.Per / time.Duration(p.rate.Limit)
	}
	waiting := len(p.line)
	p.line = slices.DeleteFunc(p.line, func(w *waiter) bool {
		if w.asks || now.Sub(w.since) <= maxLine {
			return false
		}
		w.turn <- p.tooLong(share * time.Duration(waiting))
		return true
	})
	for _, w := range p.line {
		if p.asking >= max(p.wide, 1) {
			return
		}
		if !w.asks && !w.aside {
			w.asks = true
			p.asking++
			w.turn <- nil
		}
	}
}

// unlimited is client-go's rate limiter, which it asks before every request.
type unlimited struct{}

var _ gl.RateLimiter = unlimited{}

// Wait lets every request go.
func (unlimited) Wait(context.Context) error { return nil }

// held returns how long GitLab still wants no request.
func (p *pacer) held() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until.Sub(p.now())
}

// note reads an answer, holds back what it is about on all replicas where it
// says so, and returns for how long; 0 for not at all. An application limit is
// about its endpoint and object, everything else about all requests.
func (p *pacer) note(ctx context.Context, r request, status int, h http.Header, body []byte) time.Duration {
	if isApplicationLimit(status, h, body) {
		wait := p.holdLimit(ctx, r, h)
		h = h.Clone()
		h.Del("Retry-After")
		return max(wait, p.holdAll(ctx, h))
	}
	return p.holdAll(ctx, h)
}

// holdAll holds all requests back for as long as the headers ask.
func (p *pacer) holdAll(ctx context.Context, h http.Header) time.Duration {
	wait := min(askedWait(h, p.now()), maxHold)
	if wait <= 0 {
		return 0
	}
	p.hold(wait)
	if p.limiter != nil {
		// A limiter that fails lets no request go anyway, and the next answer
		// says the same again.
		_ = p.limiter.Hold(context.WithoutCancel(ctx), p.key, wait)
	}
	return wait
}

// hold lets this client send nothing for the given time.
func (p *pacer) hold(span time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := p.now().Add(span); until.After(p.until) {
		p.until = until
	}
}

// low is the share of RateLimit-Limit from which on what remains is spread
// over the time to RateLimit-Reset.
const low = 0.1

// askedWait reads Retry-After (seconds or a date), else how the RateLimit
// headers want the next request to wait: until RateLimit-Reset (epoch
// seconds) when nothing remains, and for its share of that time when little
// does, so that a limit that others use too is not run into at full speed.
func askedWait(h http.Header, now time.Time) time.Duration {
	if wait := retryAfter(h, now); wait >= 0 {
		return wait
	}
	number := func(name string) int64 {
		n, err := strconv.ParseInt(h.Get(name), 10, 64)
		if err != nil || n < 0 {
			return -1
		}
		return n
	}
	remaining, reset := number("RateLimit-Remaining"), number("RateLimit-Reset")
	if remaining < 0 || reset < 0 || remaining > 0 && float64(remaining) > low*float64(number("RateLimit-Limit")) {
		return 0
	}
	return max(0, time.Unix(reset, 0).Sub(now)) / time.Duration(remaining+1)
}

// retryAfter reads Retry-After, in seconds or as a date; -1 where there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return max(0, time.Duration(min(seconds, int(maxHold/time.Second)))*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return -1
}
