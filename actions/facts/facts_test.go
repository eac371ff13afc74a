package facts_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/facts"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// factsOf returns a reader of a simulated GitLab.
func factsOf(t *testing.T, gl *gitlabtest.Server) facts.Reader {
	t.Helper()
	client, err := gitlab.New(gitlab.Config{
		BaseURL: gl.URL(), Token: gitlabtest.DefaultToken, Now: time.Now,
		Sleep: func(context.Context, time.Duration) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return facts.Reader{GitLab: client}
}

// A rule on the upstream can name the jobs that failed downstream. What the
// token's user may not see of them is left out, and a GitLab that fails for
// now is requested again.
func TestFactsOfFailedBridges(t *testing.T) {
	gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	up, down := gl.AddProject(gitlabtest.Project{Path: "platform/shop"}), gl.AddProject(gitlabtest.Project{Path: "platform/docs"})
	pipeline := gl.AddPipeline(up.ID, gitlabtest.Pipeline{},
		gitlabtest.Job{Name: "docs", Bridge: true, Status: "failed"},
		gitlabtest.Job{Name: "more-docs", Bridge: true, Status: "success"},
		gitlabtest.Job{Name: "never-triggered", Bridge: true, Status: "failed"})
	for _, bridge := range []string{"docs", "more-docs"} {
		gl.AddPipeline(down.ID, gitlabtest.Pipeline{TriggeredBy: gl.Latest(pipeline.ID, bridge).ID},
			gitlabtest.Job{Name: "build", Status: "success"},
			gitlabtest.Job{Name: "smoke", Status: "failed", FailureReason: "runner_system_failure"})
	}
	e := event.Event{Project: event.Project{ID: up.ID}, Pipeline: event.Pipeline{ID: pipeline.ID}}
	reader := factsOf(t, gl)

	failed := func(t *testing.T) map[string][]string {
		t.Helper()
		bridges, err := reader.Bridges(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		failed := map[string][]string{}
		for _, b := range bridges {
			failed[b.Name] = nil
			for _, j := range b.Downstream.FailedJobs {
				failed[b.Name] = append(failed[b.Name], j.Name+": "+j.FailureClass)
			}
			slices.Sort(failed[b.Name])
		}
		return failed
	}
	want := map[string][]string{"docs": {"smoke: runner"}, "more-docs": nil, "never-triggered": nil}
	if diff := cmp.Diff(want, failed(t)); diff != "" {
		t.Errorf("jobs that failed downstream (-want +got):\n%s", diff)
	}
	if n := gl.Count(http.MethodGet, "/jobs"); n != 1 {
		t.Errorf("the jobs of %d pipelines were requested, want one: the other bridges did not fail, or triggered nothing", n)
	}

	gl.Fail(gitlabtest.Fault{Path: "/jobs", Times: -1, Status: http.StatusServiceUnavailable})
	if _, err := reader.Bridges(t.Context(), e); !event.Transient(err) {
		t.Errorf("error %v, want one that passes", err)
	}
	gl.ClearFaults()

	gl.SetRole(down.ID, gitlabtest.NoAccess)
	want["docs"] = nil
	if diff := cmp.Diff(want, failed(t)); diff != "" {
		t.Errorf("what the user may not see (-want +got):\n%s", diff)
	}
}

func TestFactsOfSuperseded(t *testing.T) {
	gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	first := gl.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "feature"}, gitlabtest.Job{Name: "rspec"})
	other := gl.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "other"}, gitlabtest.Job{Name: "rspec"})
	second := gl.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "feature"}, gitlabtest.Job{Name: "rspec"})
	reader := factsOf(t, gl)
	for _, c := range []struct {
		name     string
		pipeline int64
		want     bool
	}{
		{"there is a newer one", first.ID, true},
		{"there is one on another ref", other.ID, false},
		{"it is the newest", second.ID, false},
	} {
		got, err := reader.Superseded(t.Context(), event.Event{Project: event.Project{ID: project.ID}, Pipeline: event.Pipeline{ID: c.pipeline}})
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}
