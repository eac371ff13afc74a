package ratelimit

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// maxBlock is the longest that an answer can block this client: GitLab's own
// windows are minutes, so more is a broken header.
const maxBlock = time.Hour

// Response is what the limits learn from an answer of GitLab.
type Response struct {
	Status int // HTTP status
	Header http.Header
	Body   []byte // if the status is no success
}

// Observe reads an answer to r, blocks on all replicas the requests that it is
// about if it requires that, and returns for how long; 0: nothing is blocked. An
// application limit is about its endpoint and object, any other about all
// requests.
func (q *Queue) Observe(ctx context.Context, r Request, answer Response) time.Duration {
	if answer.IsEndpointLimit() {
		wait := q.blockEndpoint(ctx, r, answer.Header)
		h := answer.Header.Clone()
		h.Del("Retry-After")
		return max(wait, q.blockAll(ctx, h))
	}
	return q.blockAll(ctx, answer.Header)
}

// blocked returns for how long GitLab still accepts no request.
func (q *Queue) blocked() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.blockedUntil.Sub(q.Now())
}

// blockAll blocks all requests for as long as the headers require.
func (q *Queue) blockAll(ctx context.Context, h http.Header) time.Duration {
	wait := min(requiredWait(h, q.Now()), maxBlock)
	if wait <= 0 {
		return 0
	}
	q.block(wait)
	if q.Limiter != nil {
		// A limiter that fails lets no request go anyway, and the next answer says
		// the same again.
		_ = q.Limiter.Hold(context.WithoutCancel(ctx), q.Key, wait)
	}
	return wait
}

// block lets this client send nothing for the given time.
func (q *Queue) block(span time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if until := q.Now().Add(span); until.After(q.blockedUntil) {
		q.blockedUntil = until
	}
}

// low is the share of RateLimit-Limit from which on what remains is spread
// over the time to RateLimit-Reset.
const low = 0.1

// requiredWait reads Retry-After (seconds or a date), else derives from the
// RateLimit headers how long the next request must wait: until RateLimit-Reset
// (epoch seconds) when nothing remains, and for its share of that time when
// little does, so that a limit which others use too is not exhausted at full
// speed.
func requiredWait(h http.Header, now time.Time) time.Duration {
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

// retryAfter reads Retry-After, in seconds or as a date; -1: there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return max(0, time.Duration(min(seconds, int(maxBlock/time.Second)))*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return -1
}

// Quota is a general rate limit that GitLab announces with its answers. Without one,
// the limits that are in force are unknown: on self-managed instances they are off by
// default.
type Quota struct {
	Name      string // of GitLab's throttle, such as throttle_authenticated_api
	PerMinute int    // requests; GitLab converts a limit over another time to a minute
	Remaining int    // requests until the window ends
}

// ReadQuota reads the RateLimit headers; ok is false if there are none.
func ReadQuota(h http.Header) (q Quota, ok bool) {
	limit, err := strconv.Atoi(h.Get("RateLimit-Limit"))
	if err != nil || limit <= 0 {
		return Quota{}, false
	}
	remaining, _ := strconv.Atoi(h.Get("RateLimit-Remaining"))
	return Quota{h.Get("RateLimit-Name"), limit, remaining}, true
}
