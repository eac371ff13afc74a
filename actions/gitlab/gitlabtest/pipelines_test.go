package gitlabtest_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// runs describes a pipeline's jobs, oldest first: "rspec failed".
func runs(gl *gitlabtest.Server, pipeline int64) []string {
	list := []string{}
	for _, j := range gl.Jobs(pipeline) {
		list = append(list, j.Name+" "+j.Status)
	}
	return list
}

// A pipeline's retry makes new runs of what failed or was canceled, also where
// it was allowed to; jobs that were skipped have their turn again, bridges and
// jobs that wait for a person are left as they are.
func TestRetryPipelineEffects(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{},
		gitlabtest.Job{Stage: "build", Name: "compile", Status: "success"},
		gitlabtest.Job{Stage: "test", Name: "rspec", Status: "failed"},
		gitlabtest.Job{Stage: "test", Name: "lint", Status: "failed", AllowFailure: true},
		gitlabtest.Job{Stage: "test", Name: "slow", Status: "canceled"},
		gitlabtest.Job{Stage: "test", Name: "old", Status: "failed", Archived: true},
		gitlabtest.Job{Stage: "test", Name: "downstream", Bridge: true, Status: "failed"},
		gitlabtest.Job{Stage: "deploy", Name: "production", Status: "skipped"},
	)
	r := ask(t, gl, "POST", fmt.Sprintf("/projects/%d/pipelines/%d/retry", project.ID, p.ID), "")
	if r.status != http.StatusCreated || r.object(t)["id"] != float64(p.ID) || r.object(t)["status"] != "running" {
		t.Errorf("%d %s", r.status, r.body)
	}
	want := []string{
		"compile success", "rspec failed", "lint failed", "slow canceled", "old failed", "downstream failed", "production created",
		"rspec pending", "lint pending", "slow pending",
	}
	if diff := cmp.Diff(want, runs(gl, p.ID)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A pipeline's cancel reaches its children, and answers the same when there is
// nothing to cancel.
func TestCancelPipelineEffects(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	other := gl.AddProject(gitlabtest.Project{Path: "platform/docs"})
	p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{},
		gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "child", Bridge: true}, gitlabtest.Job{Name: "docs", Bridge: true})
	child := gl.AddPipeline(project.ID, gitlabtest.Pipeline{TriggeredBy: gl.Latest(p.ID, "child").ID}, gitlabtest.Job{Name: "smoke"})
	docs := gl.AddPipeline(other.ID, gitlabtest.Pipeline{TriggeredBy: gl.Latest(p.ID, "docs").ID}, gitlabtest.Job{Name: "site"})
	for range 2 {
		r := ask(t, gl, "POST", fmt.Sprintf("/projects/%d/pipelines/%d/cancel", project.ID, p.ID), "")
		if r.status != http.StatusOK || r.object(t)["status"] != "canceled" {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if c, d := gl.Pipeline(child.ID), gl.Pipeline(docs.ID); c.Status != "canceled" || d.Status != "pending" || c.Source != "parent_pipeline" || d.Source != "pipeline" {
		t.Errorf("child (%s) %s, other project's (%s) %s", c.Source, c.Status, d.Source, d.Status)
	}
}

func TestListsOfPipelines(t *testing.T) {
	t.Parallel()
	job := gitlabtest.Job{Name: "rspec", Status: "failed"}
	mr := &gitlabtest.MergeRequest{IID: 1, SourceBranch: "fast"}
	const list, ofMR = "/projects/1/pipelines", "/projects/1/merge_requests/1/pipelines"
	for version, branch := range map[string][]int64{"17.11.0": {101}, "19.1.0": {104, 102, 101}} {
		gl, _ := start(t, func(o *gitlabtest.Options) { o.Version = version })
		gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
		for _, p := range []gitlabtest.Pipeline{{Ref: "fast"}, {MergeRequest: mr}, {}, {MergeRequest: mr}, {Source: "parent_pipeline"}} {
			gl.AddPipeline(1, p, job)
		}
		for path, want := range map[string][]int64{
			list:                          {104, 103, 102, 101},
			list + "?sort=asc&per_page=2": {101, 102},
			list + "?order_by=id&sort=desc&page=4&per_page=1": {101},
			list + "?source=parent_pipeline":                  {105},
			list + "?ref=main":                                {103},
			list + "?ref=fast":                                branch,
			list + "?ref=refs/merge-requests/1/head":          {104, 102},
			ofMR:                                              {104, 102, 101},
		} {
			if diff := cmp.Diff(want, ask(t, gl, "GET", path, "").ids(t)); diff != "" {
				t.Errorf("%s, %s: -want +got:\n%s", version, path, diff)
			}
		}
		for path, want := range map[string]int{
			list + "?sort=up": 400, list + "?order_by=color": 400,
			"/projects/1/merge_requests/2/pipelines": 404, "/projects/1/merge_requests/x/pipelines": 400,
		} {
			if r := ask(t, gl, "GET", path, ""); r.status != want {
				t.Errorf("%s: %d %s, want %d", path, r.status, r.body, want)
			}
		}
	}
}

// What a merge request's pipeline is called differs between hooks.
func TestMergeRequestRef(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	p := gl.AddPipeline(1, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 3, SourceBranch: "fast"}}, gitlabtest.Job{Name: "rspec"})
	hook := decode[struct {
		Attributes struct{ Ref, Source string } `json:"object_attributes"`
	}](t, string(gl.PipelineHookBody(p.ID)))
	jobHook := decode[struct{ Ref string }](t, string(gl.JobHookBody(gl.Latest(p.ID, "rspec").ID)))
	api := ask(t, gl, "GET", fmt.Sprintf("/projects/1/pipelines/%d", p.ID), "").object(t)
	got := []any{hook.Attributes.Ref, hook.Attributes.Source, jobHook.Ref, api["ref"]}
	if diff := cmp.Diff([]any{"fast", "merge_request_event", "refs/merge-requests/3/head", "refs/merge-requests/3/head"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Who may write where.
func TestProtection(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		project gitlabtest.Project
		job     gitlabtest.Job
		want    map[string]int // path's end: status
	}{
		{
			"a protected environment",
			gitlabtest.Project{ProtectedEnvironments: map[string][]gitlabtest.Role{"production": {gitlabtest.Maintainer}}, Role: gitlabtest.Developer},
			gitlabtest.Job{When: "manual", Status: "manual", Environment: gitlabtest.Environment{Name: "production"}},
			map[string]int{"play": 403, "retry": 403},
		},
		{
			"a protected environment for this role",
			gitlabtest.Project{ProtectedEnvironments: map[string][]gitlabtest.Role{"production": {gitlabtest.Developer}}, Role: gitlabtest.Developer},
			gitlabtest.Job{When: "manual", Status: "manual", Environment: gitlabtest.Environment{Name: "production"}},
			map[string]int{"play": 200},
		},
		{
			"a protected ref",
			gitlabtest.Project{ProtectedRefs: []string{"main"}, Role: gitlabtest.Developer},
			gitlabtest.Job{Status: "failed"},
			map[string]int{"retry": 403, "cancel": 403},
		},
		{
			"an archived project",
			gitlabtest.Project{Archived: true},
			gitlabtest.Job{Status: "failed", Log: "log"},
			map[string]int{"retry": 403, "erase": 403, "cancel": 403},
		},
		{"an archived job", gitlabtest.Project{}, gitlabtest.Job{Status: "failed", Archived: true}, map[string]int{"retry": 403}},
	} {
		gl, _ := start(t)
		tt.project.Path, tt.job.Name = "platform/shop", "deploy"
		gl.AddProject(tt.project)
		p := gl.AddPipeline(1, gitlabtest.Pipeline{}, tt.job)
		for verb, want := range tt.want {
			if r := ask(t, gl, "POST", fmt.Sprintf("/projects/1/jobs/%d/%s", gl.Latest(p.ID, "deploy").ID, verb), ""); r.status != want {
				t.Errorf("%s: %s: %d %s, want %d", tt.name, verb, r.status, r.body, want)
			}
		}
		if tt.project.Archived || tt.project.ProtectedRefs != nil {
			for _, verb := range []string{"retry", "cancel"} {
				if r := ask(t, gl, "POST", fmt.Sprintf("/projects/1/pipelines/%d/%s", p.ID, verb), ""); r.status != 403 {
					t.Errorf("%s: the pipeline's %s: %d", tt.name, verb, r.status)
				}
			}
		}
	}
}

// GitLab's own retry comes when it is due, and not where somebody was faster.
func TestAutoRetryAfter(t *testing.T) {
	t.Parallel()
	gl, clock := start(t)
	gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	for _, faster := range []bool{false, true} {
		p := gl.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", AutoRetry: 1, AutoRetryAfter: 2 * time.Second})
		job := finished(gl, gl.Latest(p.ID, "rspec"), "failed", "script_failure")
		if faster {
			must(gl.Retry(job.ID))
		}
		clock.Advance(2*time.Second - time.Nanosecond)
		if n := len(gl.Jobs(p.ID)); (n == 2) != faster {
			t.Errorf("%d runs before it is due", n)
		}
		clock.Advance(time.Nanosecond)
		if n := len(gl.Jobs(p.ID)); n != 2 {
			t.Errorf("%d runs when it is due, want 2", n)
		}
		finished(gl, gl.Latest(p.ID, "rspec"), "failed", "script_failure")
		clock.Advance(time.Minute)
		if n := len(gl.Jobs(p.ID)); n != 2 {
			t.Errorf("%d runs when none is left, want 2", n)
		}
	}
}

// A trigger job's new run is without a downstream pipeline until it has one.
func TestRetryOfBridge(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	p := gl.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "child", Bridge: true, Status: "failed"})
	old := gl.Latest(p.ID, "child")
	gl.AddPipeline(1, gitlabtest.Pipeline{TriggeredBy: old.ID}, gitlabtest.Job{Name: "smoke", Status: "failed"})
	if r := ask(t, gl, "POST", fmt.Sprintf("/projects/1/jobs/%d/retry", old.ID), ""); r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	again := gl.Latest(p.ID, "child")
	if again.ID == old.ID || again.Status != "pending" || again.Downstream != 0 {
		t.Errorf("%+v", again)
	}
	child := gl.AddPipeline(1, gitlabtest.Pipeline{TriggeredBy: again.ID}, gitlabtest.Job{Name: "smoke"})
	if got := gl.Latest(p.ID, "child").Downstream; got != child.ID {
		t.Errorf("downstream is %d, want %d", got, child.ID)
	}
}

// Too many requests are counted.
func TestAnswered(t *testing.T) {
	t.Parallel()
	gl, _ := start(t, func(o *gitlabtest.Options) { o.RateLimit = 2 })
	for range 5 {
		ask(t, gl, "GET", "/user", "")
	}
	if n := gl.Answered(429); n != 3 {
		t.Errorf("%d, want 3", n)
	}
}
