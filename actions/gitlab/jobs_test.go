package gitlab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// fixture is a simulated GitLab with a client of it, on one clock.
type fixture struct {
	*gitlabtest.Server
	clock   *clock
	client  *gitlab.Client
	project gitlabtest.Project
}

func newFixture(t *testing.T, o gitlabtest.Options, edit ...func(*gitlab.Config)) fixture {
	t.Helper()
	clk := &clock{at: noon}
	o.Now = clk.now
	o.Token = token
	server := gitlabtest.Start(t, o)
	edit = append([]func(*gitlab.Config){func(cfg *gitlab.Config) { cfg.Now, cfg.Sleep = clk.now, clk.sleep }}, edit...)
	client, _ := newClient(t, server.URL(), edit...)
	return fixture{server, clk, client, server.AddProject(gitlabtest.Project{ID: 22, Path: "platform/tools/shop", AgentIDs: []int64{5}})}
}

// push adds a pipeline with jobs of the past, each as name:status.
func (w fixture) push(jobs ...string) gitlabtest.Pipeline {
	var given []gitlabtest.Job
	for _, text := range jobs {
		name, status, _ := strings.Cut(text, ":")
		j := gitlabtest.Job{Name: name, Status: status, StartedAt: noon, FinishedAt: noon.Add(time.Minute), Log: name + "'s log"}
		if status == "manual" {
			j.When = "manual"
		}
		given = append(given, j)
	}
	return w.AddPipeline(w.project.ID, gitlabtest.Pipeline{}, given...)
}

// apiRequests counts the requests that the client made.
func (w fixture) apiRequests() int { return w.Count("", "") }

func ids(jobs []gitlab.Job) []int64 {
	var list []int64
	for _, j := range jobs {
		list = append(list, j.ID)
	}
	return list
}

// collect takes the jobs of an iterator, to the first error.
func collect(t *testing.T, w fixture, scope ...string) []gitlab.Job {
	t.Helper()
	var jobs []gitlab.Job
	for j, err := range w.client.ProjectJobs(t.Context(), w.project.ID, scope...) {
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// All jobs come, newest first, by keyset and by offset on servers without it.
func TestProjectJobs(t *testing.T) {
	for version, requests := range map[string]int{"19.1.0": 3, "15.9.0": 3, "15.8.0": 4} {
		t.Run(version, func(t *testing.T) {
			w := newFixture(t, gitlabtest.Options{Version: version})
			var want, wantFailed []int64
			for i := range 41 {
				w.push("a:success", "b:success", "c:failed", "d:success", "e:skipped")
				for range 5 {
					want = append(want, int64(1001+len(want)))
				}
				wantFailed = append(wantFailed, int64(1003+5*i))
			}
			slices.Reverse(want)
			slices.Reverse(wantFailed)

			if diff := cmp.Diff(want, ids(collect(t, w))); diff != "" {
				t.Errorf("all, -want +got:\n%s", diff)
			}
			if got := w.apiRequests(); got != requests {
				t.Errorf("%d requests, want %d", got, requests)
			}
			if diff := cmp.Diff(wantFailed, ids(collect(t, w, "failed", "canceled"))); diff != "" {
				t.Errorf("failed, -want +got:\n%s", diff)
			}
		})
	}
}

// A cursor goes on where the page before ended, in whatever process.
func TestJobsPage(t *testing.T) {
	for version, requests := range map[string]int{"19.1.0": 3, "15.8.0": 4} {
		t.Run(version, func(t *testing.T) {
			w := newFixture(t, gitlabtest.Options{Version: version})
			for range 101 {
				w.push("a:success", "b:failed", "c:failed")
			}
			var got []int64
			pages := 0
			for cursor := ""; ; pages++ {
				other, _ := newClient(t, w.URL(), func(cfg *gitlab.Config) { cfg.Now = w.clock.now })
				jobs, next, err := other.JobsPage(t.Context(), w.project.ID, cursor, "failed")
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, ids(jobs)...)
				if cursor = next; cursor == "" {
					break
				}
				if len(cursor) > 100 || strings.Contains(cursor, "scope") || strings.Contains(cursor, "http") {
					t.Errorf("cursor %q", cursor)
				}
			}
			if diff := cmp.Diff(ids(collect(t, w, "failed")), got); diff != "" || pages != 2 {
				t.Errorf("%d more pages, -want +got:\n%s", pages, diff)
			}
			if got := w.apiRequests(); got != 2*requests {
				t.Errorf("%d requests, want %d", got, 2*requests)
			}
		})
	}
}

// Of a next page's address only the cursor is kept, and of a cursor only what
// may be in it.
func TestCursor(t *testing.T) {
	var requested []string
	header := http.Header{}
	c, _ := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		requested = append(requested, r.URL.RawQuery)
		for name := range header {
			w.Header().Set(name, header.Get(name))
		}
		_, _ = w.Write([]byte(`[{"id": 7}]`))
	}))
	for _, tt := range []struct{ link, page, next, asks string }{
		{
			`<https://evil.example.com/api/v4/projects/1/jobs?cursor=a%2Bb%3D&per_page=9999&private_token=x&scope[]=no>; rel="next"`, "",
			"cursor=a%2Bb%3D", "cursor=a%2Bb%3D&order_by=id&pagination=keyset&per_page=100&sort=desc",
		},
		{`<https://evil.example.com/?page=7>; rel="next"`, "2", "page=2", "page=2&per_page=100"},
		{`<https://evil.example.com/?cursor=a>; rel="prev"`, "", "", ""},
		{`<%zz?cursor=a>; rel="next"`, "", "", ""},
	} {
		header.Set("Link", tt.link)
		header.Set("X-Next-Page", tt.page)
		_, next, err := c.JobsPage(t.Context(), 1, "")
		if err != nil || next != tt.next {
			t.Errorf("%s: cursor %q, want %q: %v", tt.link, next, tt.next, err)
		}
		if next == "" {
			continue
		}
		if _, _, err := c.JobsPage(t.Context(), 1, next); err != nil || requested[len(requested)-1] != tt.asks {
			t.Errorf("requested %s, want %s: %v", requested[len(requested)-1], tt.asks, err)
		}
	}
	sent := len(requested)
	for _, cursor := range []string{
		"x", "page=0", "page=-1", "page=two", "page=2&cursor=a", "cursor=", "cursor=a&per_page=9", "private_token=x",
		"https://evil.example.com/?cursor=a", "%zz", ";", " ",
	} {
		if _, _, err := c.JobsPage(t.Context(), 1, cursor); err == nil || !strings.Contains(err.Error(), "begin with the first page") {
			t.Errorf("%q: %v", cursor, err)
		}
	}
	if len(requested) != sent {
		t.Errorf("requested %s", requested[sent:])
	}
}

// Pages of one list that are requested at the same time are separate requests.
func TestPagesAreNotJoined(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	for range 50 {
		w.push("a:success", "b:success", "c:failed")
	}
	_, second, err := w.client.JobsPage(t.Context(), w.project.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for range 10 {
		for cursor, want := range map[string]int{"": 100, second: 50} {
			workers.Go(func() {
				jobs, next, err := w.client.JobsPage(t.Context(), w.project.ID, cursor)
				if err != nil || len(jobs) != want || (next == "") != (cursor == second) {
					t.Errorf("page %q: %d jobs, next %q: %v", cursor, len(jobs), next, err)
				}
			})
		}
	}
	workers.Wait()
}

// The refusal of an unknown status in a scope is distinguished from others.
func TestUnknownScope(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{Version: "16.11.4"})
	_, _, err := w.client.JobsPage(t.Context(), w.project.ID, "", "failed", "canceling")
	if failed := failureOf(t, err); !failed.UnknownScope() || failed.Status != 400 || failed.Message != "scope does not have a valid value" {
		t.Errorf("of a project: %v", err)
	}
	_, err = w.client.PipelineJobs(t.Context(), w.project.ID, w.push("a:failed").ID, false, "canceling")
	if failed := failureOf(t, err); !failed.UnknownScope() {
		t.Errorf("of a pipeline: %v", err)
	}
	_, _, err = w.client.JobsPage(t.Context(), w.project.ID, "cursor=abc")
	if failed := failureOf(t, err); failed.UnknownScope() || failed.Status != 400 {
		t.Errorf("a cursor of no server: %v", err)
	}
}

// No page is requested before it is needed, and a second run starts anew.
func TestProjectJobsIsLazy(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	for range 50 {
		w.push("a:success", "b:success", "c:failed")
	}
	jobs := w.client.ProjectJobs(t.Context(), w.project.ID)
	for run := range 2 {
		for j, err := range jobs {
			if err != nil || j.ID != 1150 {
				t.Errorf("job %d, error %v", j.ID, err)
			}
			break
		}
		if got := w.apiRequests(); got != run+1 {
			t.Errorf("%d requests, want %d", got, run+1)
		}
	}
}

func TestProjectJobsEndsWithError(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	for range 50 {
		w.push("a:success", "b:success", "c:failed")
	}
	w.Fail(gitlabtest.Fault{Path: "/jobs", Skip: 1, Times: -1, Status: 500})
	var jobs, failures int
	for _, err := range w.client.ProjectJobs(t.Context(), w.project.ID) {
		if err != nil {
			failures++
			if _, again := failureOf(t, err).Again(); !again {
				t.Errorf("not again: %v", err)
			}
			continue
		}
		jobs++
	}
	if jobs != 100 || failures != 1 {
		t.Errorf("%d jobs and %d errors, want 100 and 1", jobs, failures)
	}
}

func TestPipelineJobs(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	var names []string
	for i := range 130 {
		names = append(names, fmt.Sprintf("job-%d:success", i))
	}
	p := w.push(append(names, "flaky:failed")...)
	w.push("of another pipeline:failed")
	second, err := w.Retry(w.Latest(p.ID, "flaky").ID)
	if err != nil {
		t.Fatal(err)
	}
	w.Run(second.ID)
	w.Finish(second.ID, "failed", "runner_system_failure")
	third, err := w.Retry(second.ID)
	if err != nil {
		t.Fatal(err)
	}

	latest, err := w.client.PipelineJobs(t.Context(), w.project.ID, p.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(latest) != 131 || latest[0].ID != third.ID || latest[0].Attempt != 1 {
		t.Errorf("%d jobs, first %d with attempt %d", len(latest), latest[0].ID, latest[0].Attempt)
	}

	all, err := w.client.PipelineJobs(t.Context(), w.project.ID, p.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	attempts := map[int64]int{}
	for _, j := range all {
		attempts[j.ID] = j.Attempt
	}
	if len(all) != 133 || attempts[third.ID] != 3 || attempts[second.ID] != 2 || attempts[1131] != 1 || attempts[1001] != 1 {
		t.Errorf("%d jobs, attempts of flaky %d, %d, %d", len(all), attempts[1131], attempts[second.ID], attempts[third.ID])
	}

	failed, err := w.client.PipelineJobs(t.Context(), w.project.ID, p.ID, true, "failed")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{second.ID, 1131}, ids(failed)); diff != "" {
		t.Errorf("failed, -want +got:\n%s", diff)
	}
}

// A job made while the pages are read moves the others on; none comes twice.
func TestPipelineJobsTwice(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") == "" {
			w.Header().Set("X-Next-Page", "2")
			_, _ = w.Write([]byte(`[{"id":9,"name":"a"},{"id":8,"name":"b"}]`))
			return
		}
		_, _ = w.Write([]byte(`[{"id":8,"name":"b"},{"id":7,"name":"a"}]`))
	})
	c, _ := newClient(t, url)
	jobs, err := c.PipelineJobs(t.Context(), 1, 6, true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{9, 8, 7}, ids(jobs)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if jobs[0].Attempt != 2 || jobs[1].Attempt != 1 {
		t.Errorf("attempts %d, %d", jobs[0].Attempt, jobs[1].Attempt)
	}
}

// Behind a proxy GitLab may write links to another host than the base URL's;
// and it may go on without end where there is nothing more.
func TestPagesOfOtherHost(t *testing.T) {
	requested := 0
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requested++
		w.Header().Set("Link", `<http://inside.example.com/api/v4/projects/1/jobs?cursor=abc&pagination=keyset&scope%5B%5D=failed>; rel="next"`)
		if r.URL.Query().Get("cursor") == "" {
			_, _ = w.Write([]byte(`[{"id":9}]`))
			return
		}
		if got := r.URL.Query()["scope[]"]; !slices.Equal(got, []string{"failed"}) {
			t.Errorf("scope %v", got)
		}
		_, _ = w.Write([]byte(`[]`))
	})
	c, _ := newClient(t, url)
	jobs := 0
	for _, err := range c.ProjectJobs(t.Context(), 1, "failed") {
		if err != nil {
			t.Fatal(err)
		}
		jobs++
	}
	if jobs != 1 || requested != 2 {
		t.Errorf("%d jobs in %d requests, want 1 in 2", jobs, requested)
	}
}

func TestBridges(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"}, gitlabtest.Job{Name: "trigger", Bridge: true})
	bridge := w.Latest(p.ID, "trigger")
	down := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{TriggeredBy: bridge.ID, Ref: "release"}, gitlabtest.Job{Name: "deploy"})

	got, err := w.client.Bridges(t.Context(), w.project.ID, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := []event.Bridge{{
		ID: bridge.ID, Name: "trigger", Stage: "test", Status: "pending", URL: bridge.WebURL,
		Downstream: event.Downstream{ID: down.ID, ProjectID: w.project.ID, Ref: "release", SHA: down.SHA, Status: "pending", URL: down.WebURL},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := w.client.Job(t.Context(), w.project.ID, bridge.ID); failureOf(t, err).Status != 404 {
		t.Errorf("a bridge as a job: %v", err)
	}
	none, err := w.client.Bridges(t.Context(), w.project.ID, p.ID, "failed")
	if err != nil || len(none) > 0 {
		t.Errorf("failed bridges %v, error %v", none, err)
	}
}

func TestJobToken(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "steward"})
	running := w.Latest(p.ID, "steward")
	w.Run(running.ID)
	c, _ := newClient(t, w.URL(), func(cfg *gitlab.Config) { cfg.JobToken = w.JobToken(running.ID) })

	job, err := c.TokenJob(t.Context())
	if err != nil || job.ID != running.ID || job.ProjectID != w.project.ID || job.Pipeline.ID != p.ID {
		t.Errorf("job %d of project %d, pipeline %d: %v", job.ID, job.ProjectID, job.Pipeline.ID, err)
	}
	agents, err := c.AllowedAgents(t.Context())
	if err != nil || len(agents.Agents) != 1 || agents.Agents[0].ID != 5 || agents.Job.ID != running.ID {
		t.Errorf("agents %+v: %v", agents, err)
	}
	w.Finish(running.ID, "success", "")
	if _, err := c.TokenJob(t.Context()); !failureOf(t, err).Rights() {
		t.Errorf("after the job: %v", err)
	}
}

func TestLog(t *testing.T) {
	tests := []struct {
		name string
		log  string
		want gitlab.Log
	}{
		{"none", "", gitlab.Log{}},
		{"short", "ok\n", gitlab.Log{Text: "ok\n"}},
		{"as long as the limit", "0123456789", gitlab.Log{Text: "0123456789"}},
		{"longer", "0123456789abc", gitlab.Log{Text: "3456789abc", Cut: true}},
		{"much longer", strings.Repeat("x", 100_000) + "the end", gitlab.Log{Text: "xxxthe end", Cut: true}},
		{"cut within a character", "éé2345678é", gitlab.Log{Text: "2345678é", Cut: true}},
		{"not UTF-8", "a\xffb", gitlab.Log{Text: "ab"}},
	}
	for _, notFound := range []bool{false, true} {
		w := newFixture(t, gitlabtest.Options{NoLogIsNotFound: notFound}, func(cfg *gitlab.Config) { cfg.LogLimit = 10 })
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, 404 %v", tt.name, notFound), func(t *testing.T) {
				j := w.Latest(w.push("a:failed").ID, "a")
				w.SetLog(j.ID, tt.log)
				got, err := w.client.Log(t.Context(), w.project.ID, j.ID)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}

// A log that breaks off is read again from its beginning.
func TestLogCut(t *testing.T) {
	var requested atomic.Int32
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "6")
		_, _ = w.Write([]byte("one"))
		if requested.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte("two"))
	})
	c, _ := newClient(t, url)
	got, err := c.Log(t.Context(), 1, 7)
	if err != nil || got.Text != "onetwo" || requested.Load() != 2 {
		t.Errorf("log %q after %d requests: %v", got.Text, requested.Load(), err)
	}
}

// The tail of any log is what a plain slice would give, however it arrives.
func TestLogTail(t *testing.T) {
	var chunks []string
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for _, chunk := range chunks {
			_, _ = w.Write([]byte(chunk))
			_ = http.NewResponseController(w).Flush()
		}
	})
	limits := map[int64]*gitlab.Client{}
	for limit := range int64(9) {
		limits[limit+1], _ = newClient(t, url, func(cfg *gitlab.Config) { cfg.LogLimit = limit + 1 })
	}
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, 9).Draw(t, "limit")
		chunks = rapid.SliceOfN(rapid.StringMatching("[a-z]{0,20}"), 0, 5).Draw(t, "chunks")
		whole := strings.Join(chunks, "")
		want := gitlab.Log{Text: whole[max(0, len(whole)-int(limit)):], Cut: len(whole) > int(limit)}
		got, err := limits[limit].Log(context.Background(), 1, 7)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

// An endless log ends where the client stops reading.
func TestLogEndless(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		line := []byte(strings.Repeat("x", 1<<16))
		for r.Context().Err() == nil {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	})
	c, _ := newClient(t, url)
	got, err := c.Log(t.Context(), 1, 7)
	if err != nil || !got.Cut || len(got.Text) != 1<<20 {
		t.Errorf("%d bytes, cut %v: %v", len(got.Text), got.Cut, err)
	}
}

func TestRetry(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.push("rspec:failed")
	old := w.Latest(p.ID, "rspec")

	job, err := w.client.Retry(t.Context(), w.project.ID, old.ID)
	if err != nil {
		t.Fatal(err)
	}
	if now := w.Latest(p.ID, "rspec"); job.ID == old.ID || job.ID != now.ID || job.Status != now.Status {
		t.Errorf("job %d is %s, want %d, %s", job.ID, job.Status, now.ID, now.Status)
	}
	_, err = w.client.Retry(t.Context(), w.project.ID, old.ID)
	failed := failureOf(t, err)
	if _, again := failed.Again(); again || failed.Rights() || failed.MaybeDone() || !strings.HasPrefix(failed.Message, "403 Forbidden - Job is not retryable") {
		t.Errorf("second retry: %+v", failed)
	}
	w.AddProject(gitlabtest.Project{Path: "platform/other"}) // it keeps its rights elsewhere
	w.SetRole(w.project.ID, gitlabtest.Reporter)
	if _, err = w.client.Retry(t.Context(), w.project.ID, job.ID); !failureOf(t, err).Rights() {
		t.Errorf("as reporter: %v", err)
	}
	w.SetRole(w.project.ID, gitlabtest.NoAccess)
	if _, err = w.client.Retry(t.Context(), w.project.ID, job.ID); failureOf(t, err).Message != "404 Project Not Found" {
		t.Errorf("without access: %v", err)
	}
}

func TestPlay(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.push("deploy:manual")
	manual := w.Latest(p.ID, "deploy")

	job, err := w.client.Play(t.Context(), w.project.ID, manual.ID, map[string]string{"B": "2", "A": "1"}, map[string]json.RawMessage{"to": []byte(`"staging"`), "replicas": []byte("3"), "canary": []byte("true")})
	if err != nil || job.ID != manual.ID || job.Status != "pending" {
		t.Errorf("job %d is %s: %v", job.ID, job.Status, err)
	}
	played := w.Job(manual.ID)
	if diff := cmp.Diff([]gitlabtest.Variable{{Key: "A", Value: "1"}, {Key: "B", Value: "2"}}, played.Variables); diff != "" {
		t.Errorf("variables, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"to": "staging", "replicas": 3.0, "canary": true}, played.Inputs); diff != "" {
		t.Errorf("inputs, -want +got:\n%s", diff)
	}
	if _, err = w.client.Play(t.Context(), w.project.ID, manual.ID, nil, nil); failureOf(t, err).Message != "400 Bad request - Unplayable Job" {
		t.Errorf("second play: %v", err)
	}
}

func TestCancel(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{RunnersCancelGracefully: true})
	p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	j := w.Latest(p.ID, "rspec")
	w.Run(j.ID)

	for _, step := range []struct {
		force bool
		want  string
	}{{false, "canceling"}, {false, "canceling"}, {true, "canceled"}, {false, "canceled"}} {
		job, err := w.client.Cancel(t.Context(), w.project.ID, j.ID, step.force)
		if err != nil || job.Status != step.want {
			t.Errorf("force %v: %s, want %s: %v", step.force, job.Status, step.want, err)
		}
	}
	w.SetRole(w.project.ID, gitlabtest.Developer)
	if _, err := w.client.Cancel(t.Context(), w.project.ID, j.ID, true); !failureOf(t, err).Rights() {
		t.Errorf("force as developer: %v", err)
	}
}

func TestErase(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	j := w.Latest(w.push("rspec:success").ID, "rspec")
	w.SetArtifacts(j.ID, gitlabtest.Archive)

	before, err := w.client.Job(t.Context(), w.project.ID, j.ID)
	if err != nil || len(before.Artifacts) != 2 {
		t.Fatalf("artifacts %v: %v", before.Artifacts, err)
	}
	job, err := w.client.Erase(t.Context(), w.project.ID, j.ID)
	if err != nil || !job.ErasedAt.Equal(noon) || len(job.Artifacts) > 0 {
		t.Errorf("erased at %s, artifacts %v: %v", job.ErasedAt, job.Artifacts, err)
	}
	if _, err = w.client.Erase(t.Context(), w.project.ID, j.ID); failureOf(t, err).Rights() {
		t.Errorf("second erase is about the job, not about rights: %v", err)
	}
}

// A POST is sent once whatever happens, and its error says whether it may have
// taken effect.
func TestPostIsSentOnce(t *testing.T) {
	tests := []struct {
		name  string
		fault gitlabtest.Fault
		done  bool // GitLab did it
		maybe bool // and the error says that it may have
	}{
		{"cut before", gitlabtest.Fault{Cut: true}, false, true},
		{"cut after", gitlabtest.Fault{Cut: true, After: true}, true, true},
		{"500 before", gitlabtest.Fault{Status: 500}, false, true},
		{"502 after", gitlabtest.Fault{Status: 502, After: true, HTML: true}, true, true},
		{"429", gitlabtest.Fault{Status: 429, RetryAfter: time.Second}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t, gitlabtest.Options{})
			p := w.push("rspec:failed")
			// So that the connection is one that was used before.
			if _, err := w.client.Job(t.Context(), w.project.ID, w.Latest(p.ID, "rspec").ID); err != nil {
				t.Fatal(err)
			}
			tt.fault.Method = "POST"
			w.Fail(tt.fault)
			_, err := w.client.Retry(t.Context(), w.project.ID, w.Latest(p.ID, "rspec").ID)
			failed := failureOf(t, err)
			if _, again := failed.Again(); !again || failed.MaybeDone() != tt.maybe {
				t.Errorf("again %v, maybe done %v: %v", again, failed.MaybeDone(), err)
			}
			if got := w.Count("POST", "/retry"); got != 1 {
				t.Errorf("%d requests, want 1", got)
			}
			if done := len(w.Jobs(p.ID)) == 2; done != tt.done {
				t.Errorf("done %v, want %v", done, tt.done)
			}
		})
	}
}

// The whole of GitLab's rate limit is used, and no request is refused.
func TestGitLabsOwnLimit(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{RateLimit: 5}, func(cfg *gitlab.Config) { cfg.MaxWait = time.Minute })
	j := w.Latest(w.push("rspec:failed").ID, "rspec")
	for range 12 {
		if _, err := w.client.Job(t.Context(), w.project.ID, j.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range w.Requests() {
		if r.Status != 200 {
			t.Errorf("%s: %d", r.At, r.Status)
		}
	}
	if diff := cmp.Diff([]time.Duration{time.Minute, time.Minute}, w.clock.slept); diff != "" {
		t.Errorf("slept, -want +got:\n%s", diff)
	}
}

// Through any weather, what is read is right or an error.
func TestChaos(t *testing.T) {
	t.Parallel()
	w := newFixture(t, gitlabtest.Options{}, func(cfg *gitlab.Config) { cfg.MaxWait = time.Hour })
	for range 60 {
		w.push("a:success", "b:success", "c:failed", "d:success", "e:skipped")
	}
	w.Chaos(7, 0.3)
	right := 0
	for range 12 {
		n := 0
		var failed *apierror.Error
		for _, err := range w.client.ProjectJobs(t.Context(), w.project.ID) {
			if err == nil {
				n++
			} else if !errors.As(err, &failed) {
				t.Errorf("error %v", err)
			}
		}
		switch {
		case failed == nil && n == 300:
			right++
		case failed == nil:
			t.Errorf("%d jobs and no error", n)
		}
	}
	if right == 0 {
		t.Error("not one list came through")
	}
}
