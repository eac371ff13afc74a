package gitlab_test

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(storetest.InMemory(m)) }

const (
	token    = "glpat-abcdefghijklmnopqrst"
	jobToken = "glcbt-64_zyxwvutsrqponmlkjihg"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// clock is a clock that sleeping moves on, and that remembers the sleeps.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	slept []time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// newClient returns a client of url on a clock of its own, else made as in
// production: only some tests replace its transport. edit may change the
// configuration before.
func newClient(t testing.TB, url string, edit ...func(*gitlab.Config)) (*gitlab.Client, *clock) {
	t.Helper()
	clk := &clock{at: noon}
	cfg := gitlab.Config{
		BaseURL:  url,
		Token:    token,
		JobToken: jobToken,
		Version:  "1.2.3",
		Now:      clk.now,
		Sleep:    clk.sleep,
	}
	for _, e := range edit {
		e(&cfg)
	}
	c, err := gitlab.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, clk
}

// serve starts a server that ends with the test.
func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// calls are all the client's calls, by endpoint.
var calls = map[string]func(context.Context, *gitlab.Client) error{
	"project_jobs": func(ctx context.Context, c *gitlab.Client) error { return firstError(c.ProjectJobs(ctx, 1)) },
	"pipeline_jobs": func(ctx context.Context, c *gitlab.Client) error {
		_, err := c.PipelineJobs(ctx, 1, 6, true)
		return err
	},
	"bridges":         func(ctx context.Context, c *gitlab.Client) error { _, err := c.Bridges(ctx, 1, 6); return err },
	"token_job":       func(ctx context.Context, c *gitlab.Client) error { _, err := c.TokenJob(ctx); return err },
	"allowed_agents":  func(ctx context.Context, c *gitlab.Client) error { _, err := c.AllowedAgents(ctx); return err },
	"job":             func(ctx context.Context, c *gitlab.Client) error { _, err := c.Job(ctx, 1, 7); return err },
	"log":             func(ctx context.Context, c *gitlab.Client) error { _, err := c.Log(ctx, 1, 7); return err },
	"cancel":          func(ctx context.Context, c *gitlab.Client) error { _, err := c.Cancel(ctx, 1, 7, true); return err },
	"retry":           func(ctx context.Context, c *gitlab.Client) error { _, err := c.Retry(ctx, 1, 7); return err },
	"erase":           func(ctx context.Context, c *gitlab.Client) error { _, err := c.Erase(ctx, 1, 7); return err },
	"pipeline":        func(ctx context.Context, c *gitlab.Client) error { _, err := c.Pipeline(ctx, 1, 6); return err },
	"retry_pipeline":  func(ctx context.Context, c *gitlab.Client) error { _, err := c.RetryPipeline(ctx, 1, 6); return err },
	"cancel_pipeline": func(ctx context.Context, c *gitlab.Client) error { _, err := c.CancelPipeline(ctx, 1, 6); return err },
	"project":         func(ctx context.Context, c *gitlab.Client) error { _, err := c.Project(ctx, "a/b.c"); return err },
	"projects":        func(ctx context.Context, c *gitlab.Client) error { return firstError(c.Projects(ctx)) },
	"group_projects":  func(ctx context.Context, c *gitlab.Client) error { return firstError(c.GroupProjects(ctx, "a/b")) },
	"pipelines": func(ctx context.Context, c *gitlab.Client) error {
		_, err := c.NewestPipelines(ctx, 1, "a/b", 30)
		return err
	},
	"project_hooks":   func(ctx context.Context, c *gitlab.Client) error { _, err := c.ProjectHooks(ctx, 1); return err },
	"group_hooks":     func(ctx context.Context, c *gitlab.Client) error { _, err := c.GroupHooks(ctx, "a/b"); return err },
	"hook_deliveries": func(ctx context.Context, c *gitlab.Client) error { return firstError(c.FailedDeliveries(ctx, hook)) },
	"play": func(ctx context.Context, c *gitlab.Client) error {
		_, err := c.Play(ctx, 1, 7, map[string]string{"A": "1"}, map[string]json.RawMessage{"b": []byte("2")})
		return err
	},
}

var hook = gitlab.Hook{ID: 5, Project: 1}

// firstError goes through an iterator, to its error.
func firstError[T any](all iter.Seq2[T, error]) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestNewRefuses(t *testing.T) {
	const url = "https://gitlab.example.com"
	now := func() time.Time { return noon }
	tests := []struct {
		name string
		cfg  gitlab.Config
		want string // part of the error
	}{
		{"no URL", gitlab.Config{BaseURL: " ", Token: token, Now: now}, "the GitLab URL is empty: write the address"},
		{"no scheme", gitlab.Config{BaseURL: "gitlab.example.com", Token: token, Now: now}, `"gitlab.example.com" does not begin with https:// or http://`},
		{"host taken for a scheme", gitlab.Config{BaseURL: "gitlab.example.com:8080", Token: token, Now: now}, "https://"},
		{"other scheme", gitlab.Config{BaseURL: "ssh://gitlab.example.com", Token: token, Now: now}, "does not begin with https://"},
		{"no host", gitlab.Config{BaseURL: "https:///gitlab", Token: token, Now: now}, "has no host"},
		{"bad port", gitlab.Config{BaseURL: "https://gitlab.example.com:abc", Token: token, Now: now}, `gitlab.example.com:abc" can't be read`},
		{"query", gitlab.Config{BaseURL: url + "?private_token=x", Token: token, Now: now}, "has a query"},
		{"fragment", gitlab.Config{BaseURL: url + "#top", Token: token, Now: now}, "has a fragment"},
		{"password", gitlab.Config{BaseURL: "https://me:" + token + "@gitlab.example.com", Token: token, Now: now}, "user name or password"},
		{"bad port and password", gitlab.Config{BaseURL: "https://me:" + token + "@gitlab.example.com:abc", Token: token, Now: now}, "can't be read"},
		{"no token", gitlab.Config{BaseURL: url, Now: now}, "no token"},
		{"token with the line's end", gitlab.Config{BaseURL: url, Token: token + "\n", Now: now}, "the token has a space, a line break"},
		{"job token with a space", gitlab.Config{BaseURL: url, JobToken: " " + token, Now: now}, "the job token has a space"},
		{"no clock", gitlab.Config{BaseURL: url, Token: token}, "Config.Now"},
		{"limiter without rate", gitlab.Config{BaseURL: url, Token: token, Now: now, Limiter: &bucket{}}, "allows no request: write for instance 300/1m"},
		{"rate without time", gitlab.Config{BaseURL: url, Token: token, Now: now, Limiter: &bucket{}, Rate: store.Rate{Limit: 1}}, "allows no request"},
		{"log limit", gitlab.Config{BaseURL: url, Token: token, Now: now, LogLimit: 1 << 40}, "log limit of 1099511627776 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := gitlab.New(tt.cfg)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
			if strings.Contains(err.Error(), token) {
				t.Errorf("error %q holds the token", err)
			}
		})
	}
}

func TestBaseURL(t *testing.T) {
	var requests string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests = r.URL.Path
		_, _ = w.Write([]byte(`{"id": 7}`))
	})
	tests := []struct{ base, instance, path string }{
		{"", "", "/api/v4/projects/1/jobs/7"},
		{"/", "", "/api/v4/projects/1/jobs/7"},
		{"/api/v4", "", "/api/v4/projects/1/jobs/7"},
		{"/api/v4/", "", "/api/v4/projects/1/jobs/7"},
		{"/gitlab", "/gitlab", "/gitlab/api/v4/projects/1/jobs/7"},
		{"/gitlab//", "/gitlab", "/gitlab/api/v4/projects/1/jobs/7"},
		{"/gitlab/api/v4/", "/gitlab", "/gitlab/api/v4/projects/1/jobs/7"},
	}
	for _, tt := range tests {
		t.Run(tt.base, func(t *testing.T) {
			c, _ := newClient(t, url+tt.base)
			if got := c.Instance(); got != url+tt.instance {
				t.Errorf("instance %q, want %q", got, url+tt.instance)
			}
			if _, err := c.Job(t.Context(), 1, 7); err != nil {
				t.Fatal(err)
			}
			if requests != tt.path {
				t.Errorf("requested %q, want %q", requests, tt.path)
			}
		})
	}
}

// Every call goes to its path with one token, its own User-Agent, and without
// the header that would make GitLab suppress hooks.
func TestRequests(t *testing.T) {
	want := map[string]string{
		"project_jobs":    "GET /api/v4/projects/1/jobs?order_by=id&pagination=keyset&per_page=100&sort=desc",
		"pipeline_jobs":   "GET /api/v4/projects/1/pipelines/6/jobs?include_retried=true&per_page=100",
		"bridges":         "GET /api/v4/projects/1/pipelines/6/bridges?per_page=100",
		"token_job":       "GET /api/v4/job",
		"allowed_agents":  "GET /api/v4/job/allowed_agents",
		"job":             "GET /api/v4/projects/1/jobs/7",
		"log":             "GET /api/v4/projects/1/jobs/7/trace",
		"cancel":          `POST /api/v4/projects/1/jobs/7/cancel {"force":true}`,
		"retry":           "POST /api/v4/projects/1/jobs/7/retry",
		"erase":           "POST /api/v4/projects/1/jobs/7/erase",
		"pipeline":        "GET /api/v4/projects/1/pipelines/6",
		"retry_pipeline":  "POST /api/v4/projects/1/pipelines/6/retry",
		"cancel_pipeline": "POST /api/v4/projects/1/pipelines/6/cancel",
		"project":         "GET /api/v4/projects/a%2Fb%2Ec",
		"projects":        "GET /api/v4/projects?archived=false&membership=true&order_by=id&pagination=keyset&per_page=100&simple=true&sort=asc",
		"group_projects":  "GET /api/v4/groups/a%2Fb/projects?archived=false&include_subgroups=true&order_by=id&per_page=100&simple=true&sort=asc&with_shared=false",
		"pipelines":       "GET /api/v4/projects/1/pipelines?order_by=id&per_page=30&ref=a%2Fb&sort=desc",
		"project_hooks":   "GET /api/v4/projects/1/hooks?per_page=100",
		"group_hooks":     "GET /api/v4/groups/a%2Fb/hooks?per_page=100",
		"hook_deliveries": "GET /api/v4/projects/1/hooks/5/events?per_page=10&status=client_failure%2Cserver_failure",
		"play":            `POST /api/v4/projects/1/jobs/7/play {"job_variables_attributes":[{"key":"A","value":"1"}],"job_inputs":{"b":2}}`,
	}
	for endpoint, do := range calls {
		t.Run(endpoint, func(t *testing.T) {
			var got string
			var header http.Header
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got, header = request(r), r.Header
				if strings.HasSuffix(r.URL.Path, "s") && !strings.Contains(r.URL.Path, "agents") {
					_, _ = w.Write([]byte(`[]`))
					return
				}
				_, _ = w.Write([]byte(`{"id": 7}`))
			})
			observed := map[string]int{}
			c, _ := newClient(t, url, func(cfg *gitlab.Config) {
				cfg.Observe = func(_ context.Context, endpoint string, code int) { observed[endpoint] = code }
			})
			if err := do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if got != want[endpoint] {
				t.Errorf("got  %s\nwant %s", got, want[endpoint])
			}
			wantToken, wantJobToken := token, ""
			if strings.HasPrefix(want[endpoint], "GET /api/v4/job") {
				wantToken, wantJobToken = "", jobToken
			}
			for name, value := range map[string]string{
				"Private-Token":       wantToken,
				"Job-Token":           wantJobToken,
				"User-Agent":          "pipesteward/1.2.3",
				"X-Gitlab-Event-Uuid": "",
			} {
				if header.Get(name) != value {
					t.Errorf("header %s: %q, want %q", name, header.Get(name), value)
				}
			}
			if len(observed) != 1 || observed[endpoint] != 200 {
				t.Errorf("observed %v, want %s: 200", observed, endpoint)
			}
		})
	}
}

// Inside a CI job there may be no other token than the job's.
func TestJobTokenAlone(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Job-Token") != jobToken || len(r.Header["Private-Token"]) != 0 {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = w.Write([]byte(`{"id": 7}`))
	})
	c, _ := newClient(t, url, func(cfg *gitlab.Config) { cfg.Token = "" })
	if _, err := c.Job(t.Context(), 1, 7); err != nil {
		t.Fatal(err)
	}
}

func TestNoJobToken(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	c, _ := newClient(t, url, func(cfg *gitlab.Config) { cfg.JobToken = "" })
	if _, err := c.TokenJob(t.Context()); err == nil || !strings.Contains(err.Error(), "inside a CI job") {
		t.Errorf("TokenJob: %v", err)
	}
	if _, err := c.AllowedAgents(t.Context()); err == nil || !strings.Contains(err.Error(), "inside a CI job") {
		t.Errorf("AllowedAgents: %v", err)
	}
}
