package gitlab_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest"
)

const tooManyTimes = "This endpoint has been requested too many times. Try again later."

// A 429 blocks its subject, and nothing else: an application limit blocks one
// endpoint of one project, a general limit all requests.
func TestLimitHoldsWhatItIsAbout(t *testing.T) {
	json := http.Header{"Content-Type": {"application/json"}}
	with := func(h http.Header, name, value string) http.Header {
		h = h.Clone()
		h.Set(name, value)
		return h
	}
	const own, nested = `{"error":"` + tooManyTimes + `"}`, `{"message":{"error":"` + tooManyTimes + `"}}`
	for _, tt := range []struct {
		name   string
		header http.Header
		body   string
		after  time.Duration
		all    bool // all requests wait
	}{
		{"an application limit", json, nested, time.Minute, false},
		{"an application limit, worded otherwise", json, own, time.Minute, false},
		{"an application limit, translated", json, `{"message":{"error":"此端点已被请求太多次。请稍后再试。"}}`, time.Minute, false},
		{"an application limit that says when", with(json, "Retry-After", "20"), nested, 20 * time.Second, false},
		{"an application limit, with headers of the general one", with(with(json, "RateLimit-Remaining", "1500"), "RateLimit-Limit", "2000"), nested, time.Minute, false},
		{"a general limit", http.Header{"Content-Type": {"text/plain"}, "Retry-After": {"20"}}, "Retry later\n", 20 * time.Second, true},
		{"a gateway's limit", with(with(json, "Retry-After", "20"), "RateLimit-Remaining", "0"), `{"message":"API rate limit exceeded"}`, 20 * time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refuse := true
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if !refuse {
					_, _ = w.Write([]byte(`{"id": 7}`))
					return
				}
				refuse = false
				for name, values := range tt.header {
					w.Header()[name] = values
				}
				answer(w, http.StatusTooManyRequests, tt.body)
			})
			clock := storetest.NewClock()
			db := openStore(t, clock.Now)
			shared := func(cfg *gitlab.Config) {
				cfg.Limiter, cfg.Rate, cfg.Now = db, store.Rate{Limit: 300, Per: time.Minute}, clock.Now
			}
			first, _ := newClient(t, url, shared)
			second, _ := newClient(t, url, shared)

			_, err := first.Retry(t.Context(), 1, 7)
			if after, again := failureOf(t, err).Again(); !again || after != tt.after {
				t.Fatalf("again %v after %s, want after %s: %v", again, after, tt.after, err)
			}
			for _, c := range []struct {
				replica string
				client  *gitlab.Client
			}{{"the same", first}, {"another", second}} {
				check := func(what string, held bool, err error) {
					t.Helper()
					var failed *apierror.Error
					if errors.As(err, &failed) != held {
						t.Errorf("%s replica, %s: error %v, want held: %v", c.replica, what, err, held)
					}
					if held && (failed.Status != 0 || failed.MaybeDone() || !failed.Limited()) {
						t.Errorf("%s replica, %s: the request was sent: %v", c.replica, what, err)
					}
				}
				_, err := c.client.Retry(t.Context(), 1, 8)
				check("a retry in the project", true, err)
				_, err = c.client.Retry(t.Context(), 2, 8)
				check("a retry in another project", tt.all, err)
				_, err = c.client.Cancel(t.Context(), 1, 8, false)
				check("another endpoint", tt.all, err)
				_, err = c.client.Job(t.Context(), 1, 8)
				check("a read", tt.all, err)
			}
			clock.Advance(tt.after)
			for _, c := range []*gitlab.Client{first, second} {
				if _, err := c.Retry(t.Context(), 1, 8); err != nil {
					t.Errorf("after the wait: %v", err)
				}
			}
		})
	}
}

// A limit of a list is about the user: the list of every project waits, and is
// not waited for in place.
func TestLimitOfTheJobsList(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	other := w.AddProject(gitlabtest.Project{Path: "platform/other"})
	w.Fail(gitlabtest.Fault{Path: "/jobs", Status: http.StatusTooManyRequests, RetryAfter: 5 * time.Second, Message: tooManyTimes})
	list := func(project int64) error { return firstError(w.client.ProjectJobs(t.Context(), project)) }
	for _, project := range []int64{w.project.ID, other.ID} {
		failed := failureOf(t, list(project))
		if after, again := failed.Again(); !again || after != 5*time.Second || !failed.Limited() {
			t.Errorf("project %d: again %v after %s: %v", project, again, after, failed)
		}
	}
	if diff := cmp.Diff([]time.Duration(nil), w.clock.slept); diff != "" {
		t.Errorf("slept, -want +got:\n%s", diff)
	}
	w.clock.pass(5 * time.Second)
	if err := list(other.ID); err != nil {
		t.Error(err)
	}
}

// A sweep stays under the limit of each endpoint by itself, however high the
// general rate is and however many workers and replicas it has, and uses most
// of it.
func TestSweepsStayUnderApplicationLimits(t *testing.T) {
	t.Parallel()
	const span = 3 * time.Minute
	for _, tt := range []struct {
		name    string
		path    string
		allowed int // by GitLab in a minute
		call    func(c *gitlab.Client, t *testing.T, project, job int64) error
	}{
		{"erase", "/erase", 400, func(c *gitlab.Client, t *testing.T, project, job int64) error {
			_, err := c.Erase(t.Context(), project, job)
			return err
		}},
		{"cancel pipelines", "/cancel", 120, func(c *gitlab.Client, t *testing.T, project, _ int64) error {
			_, err := c.CancelPipeline(t.Context(), project, 1)
			return err
		}},
		{"list jobs", "/jobs", 600, func(c *gitlab.Client, t *testing.T, project, _ int64) error {
			_, _, err := c.JobsPage(t.Context(), project, "")
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				db := openStore(t, time.Now)
				sent := &sentTimes{}
				var workers sync.WaitGroup
				for range 2 {
					c, _ := newClient(t, "http://gitlab.example.com", func(cfg *gitlab.Config) {
						cfg.Now, cfg.Sleep, cfg.Transport = time.Now, nil, sent
						cfg.Limiter, cfg.Rate = db, store.Rate{Limit: 100_000, Per: time.Minute}
					})
					sweeping := c.Sweeping()
					for worker := range int64(4) {
						workers.Go(func() {
							for time.Since(begin) < span {
								if err := tt.call(sweeping, t, 1, worker); err != nil {
									after, again := failureOf(t, err).Again()
									if !again || after <= 0 {
										t.Error(err)
										return
									}
									<-time.After(after)
								}
							}
						})
					}
				}
				workers.Wait()
				if most := sent.mostWithin(time.Minute); most > tt.allowed {
					t.Errorf("%d calls in a minute, GitLab allows %d", most, tt.allowed)
				}
				if least := int(0.7 * float64(tt.allowed) * span.Minutes()); len(sent.at) < least {
					t.Errorf("%d calls in %s, want %d at least", len(sent.at), span, least)
				}
			})
		})
	}
}

// sentTimes is a GitLab without a network that notes when it was called.
type sentTimes struct {
	mu sync.Mutex
	at []time.Time
}

var _ http.RoundTripper = (*sentTimes)(nil)

// RoundTrip answers as the endpoint does.
func (s *sentTimes) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
	body := `{"id": 7}`
	if req.Method == http.MethodGet {
		body = `[{"id": 7}]`
	}
	return jsonAnswer(req, body), nil
}

// mostWithin is the most calls in any such span.
func (s *sentTimes) mostWithin(span time.Duration) (most int) {
	first := 0
	for i, at := range s.at {
		for at.Sub(s.at[first]) >= span {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
