package gitlabtest

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Request is one API request that arrived.
type Request struct {
	At     time.Time // by Options.Now
	Method string
	Path   string // below /api/v4, decoded: /projects/1/jobs/7/retry
	Query  url.Values
	Header http.Header // without the headers that carry tokens
	Body   string
	Status int // of the answer; 0: none yet, or the connection was cut
}

// Requests lists the API requests so far, oldest first; none with
// Options.ForgetRequests. Go's HTTP transport sends a GET again by itself when a
// kept-alive connection was cut: both are listed.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Request, len(s.requests))
	for i, r := range s.requests {
		list[i] = *r
	}
	return list
}

// Count counts the API requests of a method ("" for any) whose path ends so
// ("" for any): Count("POST", "/retry").
func (s *Server) Count(method, pathEnd string) int {
	return s.count(func(k requestKind) bool { return matches(method, pathEnd, k.method, k.path) })
}

// Answered counts the API requests that were answered with a status:
// Answered(429).
func (s *Server) Answered(status int) int {
	return s.count(func(k requestKind) bool { return k.status == status })
}

// requestKind identifies requests that are only counted.
type requestKind struct {
	method, path string
	status       int
}

func kind(r *Request) requestKind { return requestKind{r.Method, r.Path, r.Status} }

// count counts the requests that are wanted.
func (s *Server) count(wanted func(requestKind) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if wanted(kind(r)) {
			n++
		}
	}
	for kind, times := range s.counts {
		if wanted(kind) {
			n += times
		}
	}
	return n
}

func matches(wantMethod, wantEnd, method, path string) bool {
	return (wantMethod == "" || wantMethod == method) && strings.HasSuffix(path, wantEnd)
}

const apiPrefix = "/api/v4"

var tokenHeaders = []string{"Private-Token", "Authorization", "Job-Token"}

// ServeHTTP answers the API, with the faults of Fail and Chaos, and a plain page for
// each project, pipeline and job.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()

	if !strings.HasPrefix(r.URL.Path, apiPrefix+"/") && r.URL.Path != graphQLPath {
		s.servePage(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	seen := s.arrived(r, string(body))
	fault := s.fault(r.Method, strings.TrimPrefix(r.URL.Path, apiPrefix))
	fault.Delay += s.o.Latency

	a := &answer{header: http.Header{}, status: http.StatusOK}
	if fault.After {
		s.handle(a, r)
	}
	if !fault.wait(r.Context()) {
		panic(http.ErrAbortHandler) // the client gave up
	}
	switch {
	case fault.Cut:
		panic(http.ErrAbortHandler)
	case fault.Status != 0:
		a = fault.answer()
	case !fault.After:
		s.handle(a, r)
	}

	s.answered(seen, a.status)
	w.Header().Set("Date", s.o.Now().UTC().Format(http.TimeFormat))
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // an error here is the client's: it went away
}

// arrived records a request.
func (s *Server) arrived(r *http.Request, body string) *Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.ForgetRequests {
		seen := &Request{Method: r.Method, Path: s.endpoint(r)}
		s.counts[kind(seen)]++
		return seen
	}
	seen := &Request{
		At:     s.o.Now(),
		Method: r.Method,
		Path:   strings.TrimPrefix(r.URL.Path, apiPrefix),
		Query:  r.URL.Query(),
		Header: r.Header.Clone(),
		Body:   body,
	}
	for _, name := range tokenHeaders {
		seen.Header.Del(name)
	}
	for _, name := range []string{"private_token", "job_token"} {
		seen.Query.Del(name)
	}
	s.requests = append(s.requests, seen)
	return seen
}

// answered records the answer to a request.
func (s *Server) answered(seen *Request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.ForgetRequests {
		s.counts[kind(seen)]--
	}
	seen.Status = status
	if s.o.ForgetRequests {
		s.counts[kind(seen)]++
	}
}

// endpoint is the path that a request is for, as the API's description has it.
func (s *Server) endpoint(r *http.Request) string {
	_, pattern := s.api.Handler(r)
	_, path, _ := strings.Cut(pattern, apiPrefix)
	return path
}

// fault returns the fault of a request.
func (s *Server) fault(method, path string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !matches(f.Method, f.Path, method, path) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		f.Times--
		if f.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return *f
	}
	return s.chaos.next()
}

// answer buffers the API's answer until it is known whether the client gets it.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

var _ http.ResponseWriter = (*answer)(nil)

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
