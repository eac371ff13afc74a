package gitlabtest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// hookRig is a GitLab with a project, and a receiver of webhooks.
type hookRig struct {
	*testing.T
	clock  *storetest.Clock
	server *gitlabtest.Server
	client *gitlab.Client
	url    string
	status atomic.Int64
}

func newHookRig(t *testing.T, o gitlabtest.Options) *hookRig {
	t.Helper()
	r := &hookRig{T: t, clock: storetest.NewClock()}
	o.Now, o.DisablesHooks = r.clock.Now, true
	r.server = gitlabtest.Start(t, o)
	r.server.AddProject(gitlabtest.Project{Path: "platform/shop"})
	r.status.Store(http.StatusOK)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(r.status.Load()))
		_, _ = io.WriteString(w, "the receiver's words")
	}))
	t.Cleanup(receiver.Close)
	r.url = receiver.URL
	var err error
	if r.client, err = gitlab.New(gitlab.Config{BaseURL: r.server.URL(), Token: gitlabtest.DefaultToken, Now: r.clock.Now}); err != nil {
		t.Fatal(err)
	}
	return r
}

// call sends a request as the client does not, and returns its answer.
func (r *hookRig) call(method, path, body string) (int, string) {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, r.server.URL()+"/api/v4"+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Private-Token", gitlabtest.DefaultToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A webhook pauses after four failures in a row, for longer each time, and ends after
// forty; before 17.5, after four answers that are no 500. A success begins anew.
func TestHookStates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, version string
		status        int64
		failures      int
		want          string
	}{
		{"three", "19.1.0", 503, 3, "executable"},
		{"four", "19.1.0", 503, 4, "temporarily_disabled"},
		{"forty", "19.1.0", 503, 40, "disabled"},
		{"an older one, 503", "17.4.0", 503, 4, "disabled"},
		{"an older one, 500", "17.4.0", 500, 4, "temporarily_disabled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newHookRig(t, gitlabtest.Options{Version: c.version})
			hook := r.server.AddHook(gitlabtest.Hook{ProjectID: 1, URL: r.url, PipelineEvents: true})
			r.status.Store(c.status)
			sent := func() int { return len(r.server.Deliveries()) }
			for range c.failures {
				r.clock.Advance(25 * time.Hour) // the pause is over
				before := sent()
				r.server.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one"})
				r.server.Flush()
				if sent() != before+1 {
					t.Fatalf("%d deliveries, want 1", sent()-before)
				}
			}
			hooks, err := r.client.ProjectHooks(t.Context(), 1)
			if err != nil || hooks[0].AlertStatus != c.want {
				t.Fatalf("%+v, %v, want %s", hooks, err, c.want)
			}
			before := sent()
			r.server.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one"})
			r.server.Flush()
			if (sent() > before) != (c.want == "executable") {
				t.Errorf("%d deliveries to a webhook that is %s", sent()-before, c.want)
			}
			r.status.Store(http.StatusOK)
			if err := r.client.TestHook(t.Context(), hooks[0]); err != nil {
				t.Fatal(err)
			}
			if h := r.server.Hook(hook.ID); h.RecentFailures != 0 || !h.DisabledUntil.IsZero() {
				t.Errorf("after a test: %+v", h)
			}
		})
	}
}

// The API of webhooks refuses what GitLab refuses.
func TestHooksAPIRefuses(t *testing.T) {
	t.Parallel()
	const hooks, one = "/projects/1/hooks", "/projects/1/hooks/1"
	for _, c := range []struct {
		name         string
		options      gitlabtest.Options
		arrange      func(r *hookRig)
		method, path string
		body         string
		status       int
		want         string
	}{
		{name: "no URL", method: "POST", path: hooks, body: `{"job_events": true}`, status: 400, want: "url is missing"},
		{name: "no such URL", method: "POST", path: hooks, body: `{"url": "gopher://x"}`, status: 422, want: `{"error":"Invalid url given"}`},
		{name: "a local URL", options: gitlabtest.Options{NoLocalHooks: true}, method: "POST", path: hooks, body: `{"url": "http://10.0.0.1/x"}`, status: 422, want: "Invalid url given"},
		{name: "a filter that is none", method: "PUT", path: one, body: `{"branch_filter_strategy": "some"}`, status: 400, want: "branch_filter_strategy does not have a valid value"},
		{name: "a token of two lines", method: "PUT", path: one, body: `{"token": "a\nb"}`, status: 422, want: `{"message":{"token":["is invalid"]}}`},
		{name: "a signing token that is none", method: "PUT", path: one, body: `{"signing_token": "whsec_AAAA"}`, status: 422, want: "whsec_"},
		{name: "no parameters", method: "PUT", path: one, body: `{}`, status: 400, want: "No parameters provided"},
		{name: "an older one without a URL", options: gitlabtest.Options{Version: "15.0.0"}, method: "PUT", path: one, body: `{"job_events": true}`, status: 400, want: "url is missing"},
		{name: "another project's", method: "DELETE", path: "/projects/1/hooks/2", status: 404, want: "404 Not found"},
		{name: "an id that is none", method: "GET", path: "/projects/1/hooks/x", status: 400, want: "hook_id is invalid"},
		{name: "an event that is none", method: "POST", path: one + "/test/builds", status: 400, want: "trigger does not have a valid value"},
		{name: "no job", method: "POST", path: one + "/test/job_events", status: 422, want: "Ensure the project has CI jobs."},
		{name: "no pipeline", method: "POST", path: one + "/test/pipeline_events", status: 422, want: "Ensure the project has CI pipelines."},
		{name: "a receiver that fails", arrange: func(r *hookRig) { r.status.Store(500) }, method: "POST", path: one + "/test/push_events", status: 422, want: "the receiver's words"},
		{name: "a receiver that redirects", arrange: func(r *hookRig) { r.status.Store(302) }, method: "POST", path: one + "/test/push_events", status: 422, want: "the receiver's words"},
		{name: "an older one without tests", options: gitlabtest.Options{Version: "16.10.0"}, method: "POST", path: one + "/test/push_events", status: 404, want: `{"error":"404 Not Found"}`},
		{name: "an older one without tests for groups", options: gitlabtest.Options{Version: "17.0.0-ee"}, method: "POST", path: "/groups/platform/hooks/3/test/push_events", status: 404},
		{name: "an older one without deliveries", options: gitlabtest.Options{Version: "17.2.0"}, method: "GET", path: one + "/events", status: 404},
		{name: "the Community Edition", options: gitlabtest.Options{Version: "19.1.0"}, method: "GET", path: "/groups/platform/hooks", status: 404, want: `{"error":"404 Not Found"}`},
		{name: "JiHu GitLab", options: gitlabtest.Options{Version: "18.5.0-jh"}, method: "GET", path: "/groups/platform/hooks", status: 200},
		{name: "no licence", options: gitlabtest.Options{Free: true}, method: "GET", path: "/groups/platform/hooks", status: 404, want: `{"error":"404 Not Found"}`},
		{name: "a Maintainer of the group", arrange: func(r *hookRig) { r.server.AddGroup(gitlabtest.Group{Path: "tools", NotOwner: true}) }, method: "GET", path: "/groups/tools/hooks", status: 403},
		{name: "a fifty-first of the group", arrange: func(r *hookRig) {
			for range 50 {
				r.server.AddHook(gitlabtest.Hook{Group: "platform", URL: r.url})
			}
		}, method: "POST", path: "/groups/platform/hooks", body: `{"url": "https://ci.example.com"}`, status: 422, want: `{"message":{"base":["Maximum number of group hooks (50) exceeded"]}}`},
		{name: "a sixth test in a minute", arrange: func(r *hookRig) {
			for range 5 {
				if code, text := r.call("POST", one+"/test/push_events", ""); code != 201 {
					r.Errorf("test: %d %s", code, text)
				}
			}
		}, method: "POST", path: one + "/test/push_events", status: 429, want: "requested too many times"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newHookRig(t, c.options)
			r.server.AddProject(gitlabtest.Project{Path: "platform/other"})
			r.server.AddHook(gitlabtest.Hook{ProjectID: 1, URL: r.url, Token: "before"})
			r.server.AddHook(gitlabtest.Hook{ProjectID: 2, URL: r.url})
			r.server.AddHook(gitlabtest.Hook{Group: "platform", URL: r.url})
			if c.arrange != nil {
				c.arrange(r)
			}
			before := r.server.Hooks()
			if code, text := r.call(c.method, c.path, c.body); code != c.status || !strings.Contains(text, c.want) {
				t.Errorf("%d %s, want %d %s", code, text, c.status, c.want)
			}
			if after := r.server.Hooks(); len(after) != len(before) || after[0].Token != "before" {
				t.Errorf("the webhooks are %+v", after)
			}
		})
	}
}

// What is created has GitLab's defaults, and another URL loses the secret token.
func TestHooksAPIEdits(t *testing.T) {
	t.Parallel()
	r := newHookRig(t, gitlabtest.Options{})
	if code, text := r.call("POST", "/projects/1/hooks", `{"url": "https://ci.example.com/a", "token": "hush"}`); code != 201 || strings.Contains(text, "hush") || !strings.Contains(text, `"token_present":true`) {
		t.Errorf("%d %s", code, text)
	}
	if h := r.server.Hook(1); !h.PushEvents || h.JobEvents || h.InsecureTLS || h.Token != "hush" {
		t.Errorf("created: %+v", h)
	}
	if code, text := r.call("PUT", "/projects/1/hooks/1", `{"url": "https://ci.example.com/b"}`); code != 200 || !strings.Contains(text, `"token_present":false`) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := r.call("DELETE", "/projects/1/hooks/1", ""); code != 204 || text != "" || len(r.server.Hooks()) != 0 {
		t.Errorf("%d %s", code, text)
	}
	r.server.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one"})
	r.server.Flush()
}

// A test delivers a sample of the event that it names, and only then answers.
func TestHookTests(t *testing.T) {
	t.Parallel()
	r := newHookRig(t, gitlabtest.Options{})
	r.server.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one"})
	r.server.AddHook(gitlabtest.Hook{ProjectID: 1, URL: r.url})
	r.server.AddHook(gitlabtest.Hook{Group: "platform", URL: r.url})
	for i, path := range []string{"/projects/1/hooks/1/test/push_events", "/projects/1/hooks/1/test/job_events", "/projects/1/hooks/1/test/pipeline_events", "/groups/platform/hooks/2/test/push_events"} {
		if code, text := r.call("POST", path, ""); code != 201 || !strings.Contains(text, "201 Created") {
			t.Errorf("%s: %d %s", path, code, text)
		}
		want := []string{`"push"`, `"build"`, `"pipeline"`, `"push"`}[i]
		if all := r.server.Deliveries(); len(all) != i+1 || all[i].Status != 200 || !strings.Contains(string(all[i].Body), `"object_kind":`+want) {
			t.Errorf("%s: deliveries %+v", path, all)
		}
	}
}
