package slacktest

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Fault makes calls fail, in this order: Delay, the call's effect if AfterEffect is
// set, then Cut, Status, Redirect, Body or Error.
type Fault struct {
	Method string // for example chat.postMessage; "": every method
	Skip   int    // how many calls pass first
	Times  int    // how many calls fail then; 0 means 1

	Delay       time.Duration // delays the answer, at most until the client gives up
	AfterEffect bool          // the call takes effect, and fails only then
	Cut         bool          // the connection ends without an answer
	Status      int           // an answer with this HTTP status and no JSON
	RetryAfter  time.Duration // its Retry-After header
	Redirect    string        // an answer with status 307 to this address
	Body        string        // an answer with status 200 and this body
	Error       string        // an answer "ok": false with this error code
	Needed      string        // with Error missing_scope: the scope that is needed
}

// Fail adds a fault. Of several that match a call, the first added one is used.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Times = max(f.Times, 1)
	s.faults = append(s.faults, &f)
}

// ClearFaults removes all faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault returns the fault of this call of the method and counts it; nil: none.
func (s *Server) fault(method string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Method != "" && f.Method != method {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times--; f.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		due := *f
		return &due
	}
	return nil
}

// fails reports whether the fault replaces the call's own answer.
func (f *Fault) fails() bool {
	return f.Cut || f.Status != 0 || f.Redirect != "" || f.Body != "" || f.Error != ""
}

// answer fails the call.
func (f *Fault) answer(w http.ResponseWriter) {
	switch {
	case f.Cut:
		panic(http.ErrAbortHandler) // net/http's way to drop the connection
	case f.Status != 0:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
		}
		http.Error(w, http.StatusText(f.Status), f.Status)
	case f.Redirect != "":
		w.Header().Set("Location", f.Redirect)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case f.Body != "":
		_, _ = io.WriteString(w, f.Body) // fails only if the client is gone
	default:
		refusal := answer{"ok": false, "error": f.Error}
		if f.Needed != "" {
			refusal["needed"] = f.Needed
			refusal["provided"] = "chat:write"
		}
		reply(w, refusal)
	}
}
