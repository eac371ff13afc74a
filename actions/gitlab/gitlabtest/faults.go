package gitlabtest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Fault makes API requests fail: by one of Status and Cut, or only by a delay
// (Until, Delay).
//
// It can also answer as GitLab does in special states. This is an erase while
// GitLab recalculates the size of the project's artifacts:
//
//	gl.Fail(gitlabtest.Fault{Path: "/jobs/7/erase", Times: -1, Status: 409,
//		Message: "Action temporarily disabled. The project this pipeline belongs to is undergoing stats refresh."})
type Fault struct {
	Method string // of the requests; "" for all
	Path   string // the end of their path; "" for all
	Skip   int    // how many of them succeed first
	Times  int    // how many fail then; 0 is once, -1 is until ClearFaults

	// After lets the request take effect before it fails. Without it, it has no
	// effect.
	After bool

	Status     int           // of the answer instead, with the body that GitLab or its proxy sends
	RetryAfter time.Duration // the Retry-After header, in whole seconds
	Message    string        // text of the body; default: the status with its text. A 429 with one is an application limit's, in JSON
	QueryError string        // of a query of the GraphQL API: the error in the answer, whose Status is then 200
	HTML       bool          // an HTML page for a body, as from a proxy
	Location   string        // the Location header, of a redirect

	Cut bool // the connection ends without an answer

	Until <-chan struct{} // the answer waits until this is closed
	Delay time.Duration   // how long the answer waits, by the wall clock
}

// The answers, until ClearFaults, of a proxy between the bot and GitLab that
// requires a login: a redirect, or its login page.
var (
	LoginRedirect = Fault{Times: -1, Status: http.StatusFound, Location: "https://login.example.com/oauth2/start"}
	LoginPage     = Fault{Times: -1, Status: http.StatusOK, HTML: true}
)

// Fail makes requests fail. Of several faults that match a request, the one added
// first is used.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	if f.QueryError != "" {
		f.Status = http.StatusOK
	}
	s.faults = append(s.faults, &f)
}

// ClearFaults ends all faults, those of Chaos too.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.chaos = nil, nil
}

// Chaos makes a part of all requests (rate, 0 to 1) fail in one of the ways that
// GitLab does: 429, 500, 502, 503, or the connection cut; half of the
// last four after the effect. The same seed produces the same sequence.
func (s *Server) Chaos(seed uint64, rate float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chaos = &chaos{random: rand.New(rand.NewPCG(seed, 0)), rate: rate} //nolint:gosec // no secret
}

type chaos struct {
	random *rand.Rand
	rate   float64
}

// next returns the fault of the next request; without chaos, none.
func (c *chaos) next() Fault {
	if c == nil || c.random.Float64() >= c.rate {
		return Fault{}
	}
	after := c.random.IntN(2) == 0
	switch c.random.IntN(5) {
	case 0:
		return Fault{Status: http.StatusTooManyRequests, RetryAfter: time.Second}
	case 1:
		return Fault{Status: http.StatusInternalServerError, After: after}
	case 2:
		return Fault{Status: http.StatusBadGateway, HTML: true, After: after}
	case 3:
		return Fault{Status: http.StatusServiceUnavailable, HTML: true, After: after}
	default:
		return Fault{Cut: true, After: after}
	}
}

// wait lets the fault's time pass; false: the client gave up first.
func (f Fault) wait(ctx context.Context) bool {
	var delay <-chan time.Time
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		delay = timer.C
	}
	for f.Until != nil || delay != nil {
		select {
		case <-ctx.Done():
			return false
		case <-f.Until:
			f.Until = nil
		case <-delay:
			delay = nil
		}
	}
	return true
}

// answer returns the answer of a fault with a status.
func (f Fault) answer() *answer {
	a := &answer{header: http.Header{}}
	if f.RetryAfter > 0 {
		a.header.Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	if f.Location != "" {
		a.header.Set("Location", f.Location)
	}
	reason := fmt.Sprintf("%d %s", f.Status, http.StatusText(f.Status))
	switch {
	case f.HTML:
		a.header.Set("Content-Type", "text/html; charset=utf-8")
		a.WriteHeader(f.Status)
		fmt.Fprintf(&a.body, "<html><head><title>%[1]s</title></head><body><center><h1>%[1]s</h1></center><hr><center>nginx</center></body></html>\n", reason)
	case f.QueryError != "":
		writeJSON(a, f.Status, object{"errors": []object{{"message": f.QueryError}}})
	case f.Status == http.StatusTooManyRequests && f.Message != "":
		answerTooManyTimes(a, f.Message)
	case f.Status == http.StatusTooManyRequests:
		retryLater(a)
	default:
		writeJSON(a, f.Status, object{"message": cmp.Or(f.Message, reason)})
	}
	return a
}

// retryLater answers as GitLab's Rack::Attack does.
func retryLater(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = w.Write([]byte("Retry later\n"))
}

// throttle counts a request into Now's minute; false: there were too many,
// and 429 is answered (Gitlab::RackAttack).
func (s *Server) throttle(w http.ResponseWriter) bool {
	if s.o.RateLimit == 0 {
		return true
	}
	now := s.o.Now().Unix()
	if minute := now / 60; minute != s.minute {
		s.minute, s.observed = minute, 0
	}
	s.observed++
	reset := (s.minute + 1) * 60
	h := w.Header()
	h.Set("RateLimit-Name", "throttle_authenticated_api")
	h.Set("RateLimit-Limit", strconv.Itoa(s.o.RateLimit))
	h.Set("RateLimit-Observed", strconv.Itoa(s.observed))
	h.Set("RateLimit-Remaining", strconv.Itoa(max(0, s.o.RateLimit-s.observed)))
	h.Set("RateLimit-Reset", strconv.FormatInt(reset, 10))
	if s.observed <= s.o.RateLimit {
		return true
	}
	h.Set("Retry-After", strconv.FormatInt(reset-now, 10))
	retryLater(w)
	return false
}
