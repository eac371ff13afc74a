package gitlabtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a GitLab whose clock does not move.
func start(t *testing.T, change ...func(*gitlabtest.Options)) (*gitlabtest.Server, *storetest.Clock) {
	t.Helper()
	c := storetest.NewClock()
	o := gitlabtest.Options{Now: c.Now}
	for _, f := range change {
		f(&o)
	}
	return gitlabtest.Start(t, o), c
}

// shop adds a project with a pipeline of one job in each stage: build, test
// and a manual deploy.
func shop(gl *gitlabtest.Server) gitlabtest.Pipeline {
	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop", ProtectedRefs: []string{"main"}})
	return gl.AddPipeline(project.ID, gitlabtest.Pipeline{},
		gitlabtest.Job{Stage: "build", Name: "compile"},
		gitlabtest.Job{Stage: "test", Name: "rspec", TagList: []string{"linux", "docker"}},
		gitlabtest.Job{Stage: "deploy", Name: "production", When: "manual", Environment: gitlabtest.Environment{Name: "production", Action: "start", Tier: "production"}},
	)
}

// finished runs a job to its end.
func finished(gl *gitlabtest.Server, job gitlabtest.Job, status, reason string) gitlabtest.Job {
	gl.Run(job.ID)
	gl.Finish(job.ID, status, reason)
	return gl.Job(job.ID)
}

// reply is what the API answered.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends an API request with the bot's token, unless the headers
// (name, value, ...) bring another one.
func ask(t *testing.T, gl *gitlabtest.Server, method, path, body string, headers ...string) reply {
	t.Helper()
	r, err := try(t, gl, method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// try is ask for requests that may get no answer.
func try(t *testing.T, gl *gitlabtest.Server, method, path, body string, headers ...string) (reply, error) {
	t.Helper()
	return tryWith(t.Context(), t, gl, method, path, body, headers...)
}

func tryWith(ctx context.Context, t *testing.T, gl *gitlabtest.Server, method, path, body string, headers ...string) (reply, error) {
	t.Helper()
	url := path
	if !strings.HasPrefix(url, "http") {
		url = gl.URL() + "/api/v4" + path
	}
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Private-Token", gitlabtest.DefaultToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if len(headers) > 0 {
		r.Header.Del("Private-Token")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return reply{}, err
	}
	return reply{response.StatusCode, response.Header, string(text)}, nil
}

// object decodes a reply that is one JSON object.
func (r reply) object(t *testing.T) map[string]any {
	t.Helper()
	return decode[map[string]any](t, r.body)
}

// ids decodes a reply that is a list of things with ids.
func (r reply) ids(t *testing.T) []int64 {
	t.Helper()
	ids := []int64{}
	for _, o := range decode[[]struct{ ID int64 }](t, r.body) {
		ids = append(ids, o.ID)
	}
	return ids
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// receiver collects webhook requests.
type receiver struct {
	URL    string
	status int

	mu   sync.Mutex
	hits []hit
}

type hit struct {
	header http.Header
	raw    []byte
	body   map[string]any
}

func newReceiver(t *testing.T) *receiver {
	rec := &receiver{status: http.StatusAccepted}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		h := hit{header: r.Header, raw: raw}
		_ = json.Unmarshal(raw, &h.body)
		rec.mu.Lock()
		defer rec.mu.Unlock()
		rec.hits = append(rec.hits, h)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(rec.status)
	}))
	t.Cleanup(server.Close)
	rec.URL = server.URL
	return rec
}

// take gives what arrived since the last take.
func (rec *receiver) take() []hit {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	hits := rec.hits
	rec.hits = nil
	return hits
}

// story describes hits in short: "compile pending", "pipeline running".
func story(hits []hit) []string {
	lines := []string{}
	for _, h := range hits {
		if a, ok := h.body["object_attributes"].(map[string]any); ok {
			lines = append(lines, "pipeline "+a["status"].(string))
			continue
		}
		lines = append(lines, h.body["build_name"].(string)+" "+h.body["build_status"].(string))
	}
	return lines
}

// newHanging returns the URL of a receiver that signals when a request arrived and
// does not answer before it is released.
func newHanging(t *testing.T, arrived chan<- struct{}, release <-chan struct{}) string {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	t.Cleanup(server.Close)
	return server.URL
}
