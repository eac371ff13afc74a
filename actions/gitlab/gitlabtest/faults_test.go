package gitlabtest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/storetest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		fault       gitlabtest.Fault
		status      int // 0: no answer
		contentType string
		retryAfter  string
		body        string
		effect      bool
	}{
		{"429", gitlabtest.Fault{Status: 429, RetryAfter: 1500 * time.Millisecond}, 429, "text/plain", "2", "Retry later\n", false},
		{"409", gitlabtest.Fault{Status: 409}, 409, "application/json", "", `{"message":"409 Conflict"}`, false},
		{"500", gitlabtest.Fault{Status: 500}, 500, "application/json", "", `{"message":"500 Internal Server Error"}`, false},
		{"502 from a proxy", gitlabtest.Fault{Status: 502, HTML: true}, 502, "text/html; charset=utf-8", "", "<h1>502 Bad Gateway</h1>", false},
		{"a proxy's page that claims to be fine", gitlabtest.Fault{Status: 200, HTML: true}, 200, "text/html; charset=utf-8", "", "<h1>200 OK</h1>", false},
		{"503 after the effect", gitlabtest.Fault{Status: 503, After: true, RetryAfter: time.Minute}, 503, "application/json", "60", "503 Service Unavailable", true},
		{"cut before the effect", gitlabtest.Fault{Cut: true}, 0, "", "", "", false},
		{"cut after the effect", gitlabtest.Fault{Cut: true, After: true}, 0, "", "", "", true},
		{"slow", gitlabtest.Fault{Delay: time.Millisecond}, 201, "application/json", "", `"status":"pending"`, true},
		{"slow after the effect", gitlabtest.Fault{Delay: time.Millisecond, After: true}, 201, "application/json", "", `"status":"pending"`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			retry := s.path("/projects/1/jobs/{compile}/retry")
			tt.fault.Method, tt.fault.Path = "POST", "/retry"
			s.gl.Fail(tt.fault)

			if got := ask(t, s.gl, "GET", s.path("/projects/1/jobs/{compile}"), ""); got.status != 200 {
				t.Errorf("a request the fault is not for: got %d", got.status)
			}
			got, err := try(t, s.gl, "POST", retry, "")
			if (err != nil) != (tt.status == 0) {
				t.Fatalf("error %v", err)
			}
			if got.status != tt.status || !strings.Contains(got.body, tt.body) ||
				got.header.Get("Content-Type") != tt.contentType || got.header.Get("Retry-After") != tt.retryAfter {
				t.Errorf("got %d %v %s", got.status, got.header, got.body)
			}
			if effect := s.gl.Job(s.compile).Retried; effect != tt.effect {
				t.Errorf("effect: %v, want %v", effect, tt.effect)
			}
			requests := s.gl.Requests()
			if last := requests[len(requests)-1]; last.Status != tt.status {
				t.Errorf("the request is recorded with %d, want %d", last.Status, tt.status)
			}
			if again := ask(t, s.gl, "POST", retry, ""); (again.status == 201) == tt.effect {
				t.Errorf("once more: got %d; the fault was for one request", again.status)
			}
		})
	}
}

func TestFaultsTakeTurns(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	gl.Fail(gitlabtest.Fault{Path: "/version", Skip: 1, Times: 2, Status: 500})
	gl.Fail(gitlabtest.Fault{Times: -1, Status: 503})
	var got []int
	for range 5 {
		got = append(got, ask(t, gl, "GET", "/version", "").status)
	}
	gl.ClearFaults()
	got = append(got, ask(t, gl, "GET", "/version", "").status)
	if diff := cmp.Diff([]int{503, 500, 500, 503, 503, 200}, got); diff != "" {
		t.Error(diff)
	}
}

// A client that does not wait for a slow answer cannot know what happened.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		s := newScene(t)
		s.gl.Fail(gitlabtest.Fault{Method: "POST", Until: make(chan struct{}), After: after})
		ctx, giveUp := context.WithCancel(t.Context())
		answered := make(chan error)
		go func() {
			_, err := tryWith(ctx, t, s.gl, "POST", s.path("/projects/1/jobs/{compile}/retry"), "")
			answered <- err
		}()
		await.Until(t, "it is seen", func() bool { return s.gl.Count("POST", "/retry") == 1 && s.gl.Job(s.compile).Retried == after })
		giveUp()
		if err := <-answered; err == nil {
			t.Error("there was an answer")
		}
		s.gl.Close()
		if got := s.gl.Job(s.compile).Retried; got != after {
			t.Errorf("after %v: retried is %v", after, got)
		}
	}
}

func TestHeldAnswersAreGivenInTheEnd(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	release := make(chan struct{})
	s.gl.Fail(gitlabtest.Fault{Until: release})
	answered := make(chan int)
	go func() {
		got, _ := try(t, s.gl, "POST", s.path("/projects/1/jobs/{compile}/retry"), "")
		answered <- got.status
	}()
	close(release)
	if got := <-answered; got != 201 {
		t.Errorf("got %d, want 201", got)
	}
}

func TestChaosIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	outcomes := func() []string {
		gl, _ := start(t)
		gl.Chaos(7, 0.5)
		var list []string
		for range 60 {
			got, err := try(t, gl, "GET", "/version", "")
			list = append(list, fmt.Sprint(got.status, err != nil))
		}
		gl.ClearFaults()
		if got := ask(t, gl, "GET", "/version", ""); got.status != 200 {
			t.Errorf("after the chaos: got %d", got.status)
		}
		return list
	}
	first := outcomes()
	if diff := cmp.Diff(first, outcomes()); diff != "" {
		t.Error(diff)
	}
	kinds := map[string]bool{}
	for _, o := range first {
		kinds[o] = true
	}
	for _, want := range []string{"200 false", "429 false", "500 false", "502 false", "503 false", "0 true"} {
		if !kinds[want] {
			t.Errorf("no %q in 60 requests", want)
		}
	}
}

func TestRequestsAreRecordedWithoutTokens(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ask(t, s.gl, "POST", s.path("/projects/platform%2Fshop/jobs/{manual}/play?private_token=secret&a=b"), `{"job_inputs":{}}`,
		"Private-Token", gitlabtest.DefaultToken, "User-Agent", "tester", "Job-Token", "secret", "Authorization", "Bearer secret")
	requests := s.gl.Requests()
	if len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
	r := requests[0]
	if r.Method != http.MethodPost || r.Path != s.path("/projects/platform/shop/jobs/{manual}/play") || r.Query.Encode() != "a=b" ||
		r.Body != `{"job_inputs":{}}` || r.Status != 200 || r.Header.Get("User-Agent") != "tester" || !r.At.Equal(storetest.NewClock().Now()) {
		t.Errorf("recorded %+v", r)
	}
	if text := fmt.Sprint(r); strings.Contains(text, "secret") || strings.Contains(text, gitlabtest.DefaultToken) {
		t.Errorf("a token is recorded: %s", text)
	}
	for want, got := range map[int]int{1: s.gl.Count("POST", "/play"), 0: s.gl.Count("GET", "/play") + s.gl.Count("", "/retry")} {
		if got != want {
			t.Errorf("counted %d, want %d", got, want)
		}
	}
}

func TestCloseCutsWhatIsHeld(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	gl.Fail(gitlabtest.Fault{Until: make(chan struct{})})
	answered := make(chan error)
	go func() {
		_, err := try(t, gl, "GET", "/version", "")
		answered <- err
	}()
	await.Until(t, "it is seen", func() bool { return gl.Count("", "/version") == 1 })
	gl.Close()
	if err := <-answered; err == nil {
		t.Error("there was an answer")
	}
	if _, err := http.Get(gl.URL()); err == nil {
		t.Error("it still listens")
	}
	gl.Close()
}
