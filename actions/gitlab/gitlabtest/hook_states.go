package gitlabtest

import (
	"fmt"
	"math"
	"time"
)

// Whether GitLab sends anything to a webhook (WebHooks::AutoDisabling in its source).
//
//	            4th failure in a row               40th (before 17.5: a 4th one that is
//	executable ──────────────────► paused ──────►  neither 500 nor without an answer)
//	    ▲                          1 min, doubling    │
//	    └── 2xx or 3xx ────────────  to a day ────────▼
//	         (of a test, while it is paused)       disabled
const (
	failuresBeforePause   = 3
	failuresBeforeDisable = 39
	firstPause            = time.Minute
	longestPause          = 24 * time.Hour
)

// Hook returns a webhook as it is now.
func (s *Server) Hook(id int64) Hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.findHook(id)
	if h == nil {
		panic(fmt.Sprintf("gitlabtest: there is no webhook %d", id))
	}
	return *h
}

// Hooks lists all webhooks.
func (s *Server) Hooks() []Hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Hook(nil), s.hooks...)
}

// DisableHook disables a webhook as failed deliveries do: until then, or with the zero
// time for good. Options.DisablesHooks must be set.
func (s *Server) DisableHook(id int64, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.findHook(id)
	if h == nil || !s.o.DisablesHooks {
		panic(fmt.Sprintf("gitlabtest: there is no webhook %d, or none is ever disabled", id))
	}
	h.RecentFailures, h.DisabledUntil = failuresBeforePause+1, until
	if until.IsZero() {
		h.RecentFailures = failuresBeforeDisable + 1
	}
}

// alertStatus is the state of a webhook. A system hook is never disabled.
func (s *Server) alertStatus(h Hook) string {
	switch {
	case !s.o.DisablesHooks || h.ProjectID == 0 && h.Group == "":
		return "executable"
	case h.RecentFailures > failuresBeforeDisable:
		return "disabled"
	case h.RecentFailures > failuresBeforePause && !h.DisabledUntil.Before(s.o.Now()):
		return "temporarily_disabled"
	}
	return "executable"
}

// answeredHook counts the answer to a delivery, 0 for none. A failure counts only while
// the webhook is executable.
func (s *Server) answeredHook(h *Hook, status int) {
	switch {
	case status >= 200 && status < 400:
		h.RecentFailures, h.DisabledUntil = 0, time.Time{}
		return
	case s.alertStatus(*h) != "executable":
		return
	}
	h.RecentFailures++
	if !s.version.atLeast(17, 5) && status != 0 && status != 500 && h.RecentFailures > failuresBeforePause {
		h.RecentFailures = failuresBeforeDisable + 1
	}
	if n := h.RecentFailures - failuresBeforePause; n > 0 {
		pause := float64(firstPause) * math.Pow(2, float64(n-1))
		h.DisabledUntil = s.o.Now().Add(min(time.Duration(min(pause, float64(longestPause))), longestPause))
	}
}
