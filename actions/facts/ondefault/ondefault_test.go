package ondefault_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/facts/ondefault"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

var start = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// branch is a project at a simulated GitLab, and what is known of its default branch.
type branch struct {
	*testing.T
	gl      *gitlabtest.Server
	client  *gitlab.Client
	project gitlabtest.Project
	runs    *ondefault.Runs
	now     time.Time
	minute  int // of the newest pipeline

	lists, jobs int // requests until the last call of requests
}

func newBranch(t *testing.T) *branch {
	b := &branch{T: t, now: start}
	b.gl = gitlabtest.Start(t, gitlabtest.Options{Now: func() time.Time { return start }})
	b.project = b.gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	client, err := gitlab.New(gitlab.Config{
		BaseURL: b.gl.URL(), Token: gitlabtest.DefaultToken, Now: func() time.Time { return start },
		Sleep: func(context.Context, time.Duration) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.client, b.runs = client, ondefault.New(func() time.Time { return b.now })
	return b
}

// add adds a pipeline whose jobs, like lint:failed, have ended a minute after those of the
// one before.
func (b *branch) add(p gitlabtest.Pipeline, jobs ...string) gitlabtest.Pipeline {
	b.Helper()
	b.minute++
	var all []gitlabtest.Job
	for _, j := range jobs {
		name, status, _ := strings.Cut(j, ":")
		status, mayFail := strings.CutSuffix(status, "?")
		all = append(all, gitlabtest.Job{Name: name, Status: status, AllowFailure: mayFail, FinishedAt: start.Add(time.Duration(b.minute) * time.Minute)})
	}
	return b.gl.AddPipeline(b.project.ID, p, all...)
}

// event is one of a job of a merge request's pipeline.
func (b *branch) event(job string) event.Event {
	return event.Event{
		Project:  event.Project{ID: b.project.ID, DefaultBranch: "main"},
		Pipeline: event.Pipeline{ID: 1_000_000, Ref: "refs/merge-requests/7/head"},
		Job:      event.Job{Name: job},
	}
}

func (b *branch) of(e event.Event) event.OnDefault {
	b.Helper()
	got, err := b.runs.Of(b.Context(), b.client, e)
	if err != nil {
		b.Fatal(err)
	}
	return got
}

// requests returns how many requests for lists of pipelines and of jobs came since the
// last call.
func (b *branch) requests() string {
	lists, jobs := b.gl.Count(http.MethodGet, "/pipelines"), b.gl.Count(http.MethodGet, "/jobs")
	defer func() { b.lists, b.jobs = lists, jobs }()
	return fmt.Sprintf("%d of pipelines, %d of jobs", lists-b.lists, jobs-b.jobs)
}

func TestWhatCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		add   func(b *branch)
		event func(b *branch, e *event.Event)
		want  string // the status
	}{
		{name: "no pipeline", add: func(*branch) {}},
		{name: "no such job", add: func(b *branch) { b.add(gitlabtest.Pipeline{}, "rspec:failed") }},
		{name: "it failed", add: func(b *branch) { b.add(gitlabtest.Pipeline{}, "lint:failed") }, want: "failed"},
		{name: "it passed", add: func(b *branch) { b.add(gitlabtest.Pipeline{}, "rspec:failed", "lint:success") }, want: "success"},
		{name: "it did not run", add: func(b *branch) { b.add(gitlabtest.Pipeline{}, "rspec:failed", "lint:skipped") }, want: "skipped"},
		{name: "the last one counts", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{}, "lint:failed")
			b.add(gitlabtest.Pipeline{}, "lint:success")
		}, want: "success"},
		{name: "one that runs does not", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{}, "lint:failed")
			b.add(gitlabtest.Pipeline{}, "lint:success", "rspec:running")
		}, want: "failed"},
		{name: "nor one that was canceled", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{}, "lint:failed")
			b.add(gitlabtest.Pipeline{}, "lint:canceled")
		}, want: "failed"},
		{name: "nor a scheduled one", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{}, "lint:failed")
			b.add(gitlabtest.Pipeline{Source: "schedule"}, "lint:success")
		}, want: "failed"},
		{name: "nor one without the job, such as that of a push that changed other paths", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{}, "lint:failed")
			for range 9 {
				b.add(gitlabtest.Pipeline{}, "rspec:success")
			}
		}, want: "failed"},
		{name: "but only ten are looked at", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{}, "lint:failed")
			for range 10 {
				b.add(gitlabtest.Pipeline{}, "rspec:success")
			}
		}},
		{name: "nor one of another branch", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{}, "lint:failed")
			b.add(gitlabtest.Pipeline{Ref: "feature"}, "lint:success")
		}, want: "failed"},
		{name: "nor one of a merge request from the default branch", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{}, "lint:failed")
			b.add(gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 8, SourceBranch: "main", TargetBranch: "release"}}, "lint:success")
		}, want: "failed"},
		{name: "nor the job's own, which may be done already, nor later ones", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{ID: 100}, "lint:success")
			b.add(gitlabtest.Pipeline{ID: 101}, "lint:failed")
			b.add(gitlabtest.Pipeline{ID: 102}, "lint:failed")
		}, event: func(_ *branch, e *event.Event) { e.Pipeline = event.Pipeline{ID: 101, Ref: "main"} }, want: "success"},
		{name: "of a tag, the last of the branch counts", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{ID: 102}, "lint:failed")
		}, event: func(_ *branch, e *event.Event) { e.Pipeline = event.Pipeline{ID: 101, Ref: "v1", Tag: true} }, want: "failed"},
		{name: "a child pipeline's job has none", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{}, "lint:failed")
		}, event: func(b *branch, e *event.Event) {
			e.Pipeline.Upstream = event.Upstream{ProjectID: b.project.ID, PipelineID: 5}
		}},
		{name: "an old hook without the default branch", add: func(b *branch) {
			b.add(gitlabtest.Pipeline{}, "lint:failed")
		}, event: func(_ *branch, e *event.Event) { e.Project.DefaultBranch = "" }, want: "failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBranch(t)
			c.add(b)
			e := b.event("lint")
			if c.event != nil {
				c.event(b, &e)
			}
			got := b.of(e)
			if got.Status != c.want || got.Failed != (c.want == "failed") {
				t.Errorf("%+v, want the status %q", got, c.want)
			}
		})
	}
}

// A pipeline of the default branch that does not come of its commits tells nothing, even if a
// job of it has the same name.
func TestSources(t *testing.T) {
	t.Parallel()
	for source, counts := range map[string]bool{
		"push": true, "web": true, "api": true, "trigger": true, "pipeline": true,
		"schedule": false, "chat": false, "external": false, "webide": false, "ondemand_dast_scan": false, "ondemand_dast_validation": false,
		"security_orchestration_policy": false, "container_registry_push": false, "duo_workflow": false, "pipeline_execution_policy_schedule": false,
	} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			b := newBranch(t)
			b.add(gitlabtest.Pipeline{}, "lint:failed")
			b.add(gitlabtest.Pipeline{Source: source}, "lint:success", "sast:success")
			if got := b.of(b.event("lint")); got.Failed == counts || got.Status == "" {
				t.Errorf("%+v, want that of the pipeline by %s: %t", got, source, counts)
			}
		})
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		pipelines []string // jobs, oldest first
		want      int      // which pipeline, from 1
	}{
		{"it failed once", []string{"lint:success", "lint:failed"}, 2},
		{"it fails since then", []string{"lint:success", "lint:failed", "lint:failed", "lint:failed"}, 2},
		{"it passed in between", []string{"lint:failed", "lint:success", "lint:failed"}, 3},
		{"another job failed before", []string{"lint:success", "lint:success rspec:failed", "lint:failed"}, 3},
		{"a canceled pipeline does not count", []string{"lint:failed", "lint:canceled", "lint:failed"}, 1},
		{"pipelines without the job do not count", []string{"lint:success", "lint:failed", "rspec:success", "rspec:failed", "lint:failed"}, 2},
		{"it may fail, and the pipelines passed", []string{"lint:success", "lint:failed?", "lint:failed?"}, 2},
		{"ten pipelines are looked at", strings.Split(strings.Repeat("lint:failed,", 12)+"lint:failed", ","), 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBranch(t)
			var added []gitlabtest.Pipeline
			for _, jobs := range c.pipelines {
				added = append(added, b.add(gitlabtest.Pipeline{}, strings.Fields(jobs)...))
			}
			last := b.gl.Latest(added[len(added)-1].ID, "lint")
			want := event.OnDefault{
				Failed: true, Status: "failed", FailureReason: "unknown_failure", URL: last.WebURL,
				Since: start.Add(time.Duration(c.want) * time.Minute), SinceSHA: added[c.want-1].SHA,
			}
			if diff := cmp.Diff(want, b.of(b.event("lint"))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A list of pipelines is read once a minute, and the jobs of a pipeline once, for all jobs
// and events.
func TestRequests(t *testing.T) {
	t.Parallel()
	b := newBranch(t)
	b.add(gitlabtest.Pipeline{}, "lint:success", "rspec:success")
	b.add(gitlabtest.Pipeline{}, "lint:failed", "rspec:success")
	step := func(what, want string, jobs ...string) {
		t.Helper()
		for _, job := range jobs {
			b.of(b.event(job))
		}
		if got := b.requests(); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	step("first", "1 of pipelines, 1 of jobs", "rspec")
	step("a job that fails, for since when it does", "0 of pipelines, 1 of jobs", "lint")
	step("other jobs", "0 of pipelines, 0 of jobs", "lint", "rspec", "none")
	b.now = b.now.Add(59 * time.Second)
	step("within the minute", "0 of pipelines, 0 of jobs", "lint", "rspec", "none")
	b.now = b.now.Add(time.Second)
	step("after the minute", "1 of pipelines, 0 of jobs", "lint", "rspec", "none")
	b.add(gitlabtest.Pipeline{}, "lint:failed", "rspec:failed")
	b.now = b.now.Add(time.Minute)
	step("a new pipeline", "1 of pipelines, 1 of jobs", "lint", "rspec")

	e := b.event("lint")
	e.Pipeline.Upstream = event.Upstream{ProjectID: b.project.ID}
	b.of(e)
	step("a child pipeline", "0 of pipelines, 0 of jobs")
	e = b.event("lint")
	e.Project.DefaultBranch = "trunk" // it was renamed
	b.of(e)
	step("another default branch", "1 of pipelines, 0 of jobs")
}

// A pipeline that was retried is read again.
func TestRetriedPipeline(t *testing.T) {
	t.Parallel()
	b := newBranch(t)
	p := b.add(gitlabtest.Pipeline{}, "lint:failed")
	if got := b.of(b.event("lint")); !got.Failed {
		t.Fatalf("%+v", got)
	}
	again, err := b.gl.Retry(b.gl.Latest(p.ID, "lint").ID)
	if err != nil {
		t.Fatal(err)
	}
	b.gl.Run(again.ID)
	b.gl.Finish(again.ID, "success", "")
	b.now = b.now.Add(time.Minute)
	if got := b.of(b.event("lint")); got.Failed || got.Status != "success" {
		t.Errorf("%+v, want the run that passed", got)
	}
}

// Events that need the same at the same time cost one request.
func TestAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := newBranch(t)
	b.add(gitlabtest.Pipeline{}, "lint:failed")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got, err := b.runs.Of(t.Context(), b.client, b.event("lint")); err != nil || !got.Failed {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	if got := b.requests(); got != "1 of pipelines, 1 of jobs" {
		t.Error(got)
	}
}

// What GitLab did not answer is not kept: a failure passes, and is requested again.
func TestGitLabFails(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/pipelines", "/jobs"} {
		b := newBranch(t)
		b.add(gitlabtest.Pipeline{}, "lint:failed")
		b.gl.Fail(gitlabtest.Fault{Path: path, Times: -1, Status: http.StatusServiceUnavailable})
		if _, err := b.runs.Of(t.Context(), b.client, b.event("lint")); !event.Transient(err) {
			t.Errorf("%s: error %v, want one that passes", path, err)
		}
		b.gl.ClearFaults()
		if got := b.of(b.event("lint")); !got.Failed {
			t.Errorf("%s: %+v, want the job that failed", path, got)
		}
	}
	b := newBranch(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.runs.Of(ended, b.client, b.event("lint")); err == nil {
		t.Error("no error, though the context has ended")
	}
}

// Many projects and jobs are not all kept, and those that are not are read again.
func TestBounds(t *testing.T) {
	t.Parallel()
	gl := &counted{}
	runs := ondefault.New(func() time.Time { return start.Add(time.Duration(gl.lists) * time.Millisecond) })
	of := func(project int64) {
		e := event.Event{Project: event.Project{ID: project, DefaultBranch: "main"}, Pipeline: event.Pipeline{ID: 9, Ref: "feature"}, Job: event.Job{Name: "job 1"}}
		if got, err := runs.Of(t.Context(), gl, e); err != nil || got.Status != "success" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	read := func(project int64) int {
		before := gl.lists
		of(project)
		return gl.lists - before
	}
	for project := int64(1); project <= 501; project++ {
		of(project)
	}
	if first, last := read(1), read(501); first != 1 || last != 0 {
		t.Errorf("%d and %d requests, want one for the first of 501 projects, and none for the last", first, last)
	}
	gl.jobs = 40_000
	for project := int64(1001); project <= 1003; project++ {
		of(project)
	}
	if first, last := read(1001), read(1003); first != 1 || last != 0 {
		t.Errorf("%d and %d requests, want one for the first of 3 projects with 40,000 jobs, and none for the last", first, last)
	}
}

// counted is a GitLab whose default branches have one pipeline that passed.
type counted struct{ lists, jobs int }

func (*counted) Project(context.Context, string) (gitlab.Project, error) {
	return gitlab.Project{}, nil
}

func (c *counted) FinishedPipelines(context.Context, int64, string) ([]gitlab.UpdatedPipeline, error) {
	c.lists++
	return []gitlab.UpdatedPipeline{{Pipeline: event.Pipeline{ID: 1, Status: "success"}}}, nil
}

func (c *counted) PipelineJobs(context.Context, int64, int64, bool, ...string) ([]gitlab.Job, error) {
	jobs := make([]gitlab.Job, max(c.jobs, 2))
	for i := range jobs {
		jobs[i].Name, jobs[i].Status = fmt.Sprintf("job %d", i), "success"
	}
	return jobs, nil
}
