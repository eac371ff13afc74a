package gitlab_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

func TestEvent(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{Message: "Mend it\n\nReally.\n"}, gitlabtest.Job{Name: "rspec", TagList: []string{"docker"}})
	j := w.Latest(p.ID, "rspec")
	w.Run(j.ID)
	w.clock.at = noon.Add(90 * time.Second)
	w.Finish(j.ID, "failed", "runner_system_failure")

	job, err := w.client.Job(t.Context(), w.project.ID, j.ID)
	if err != nil {
		t.Fatal(err)
	}
	host := w.URL()[len("http://"):]
	want := event.Event{
		Meta: event.Meta{
			Kind: "job", ID: "catch_up:" + host + ":1001:failed", Source: "catch_up", Instance: w.URL(), ReceivedAt: noon.Add(90 * time.Second),
		},
		Project: event.Project{ID: 22, Path: "platform/tools/shop", Namespace: "platform/tools", URL: w.URL() + "/platform/tools/shop"},
		Pipeline: event.Pipeline{
			ID: p.ID, Ref: "main", SHA: p.SHA, Status: "failed", URL: p.WebURL,
		},
		Job: event.Job{
			ID: j.ID, Name: "rspec", Stage: "test", Status: "failed", FailureReason: "runner_system_failure", FailureClass: "runner",
			Attempt: 1, Ref: "main", URL: j.WebURL, CreatedAt: noon, StartedAt: noon, FinishedAt: noon.Add(90 * time.Second), Duration: 90,
			Runner: event.Runner{ID: 11, Description: "shared-runner-1", Type: "instance_type", Shared: true},
		},
		User: event.User{ID: 3, Username: "ada", Name: "Ada Lovelace", Email: "ada@example.com"},
		Commit: event.Commit{
			SHA: p.SHA, Title: "Mend it", Message: "Mend it\n\nReally.\n", AuthorName: "Ada Lovelace", AuthorEmail: "ada@example.com",
			URL: w.URL() + "/platform/tools/shop/-/commit/" + p.SHA,
		},
	}
	if diff := cmp.Diff(want, w.client.Event(job, event.SourceCatchUp)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	// No hook tells the jobs of schedule rules: their events have all that the API has.
	want.Meta.ID, want.Meta.Source = "schedule:"+host+":1001:failed", "schedule"
	want.Pipeline.IID, want.Pipeline.Source, want.Pipeline.CreatedAt = 1, "push", noon
	if diff := cmp.Diff(want, w.client.Event(job, event.SourceSchedule)); diff != "" {
		t.Errorf("of a schedule rule, -want +got:\n%s", diff)
	}
}

// The project is derived from each version of the job's page.
func TestEventProject(t *testing.T) {
	tests := []struct {
		name, base, page string
		want             event.Project
	}{
		{
			"new", "https://gitlab.example.com", "https://gitlab.example.com/a/b/c/-/jobs/7",
			event.Project{ID: 1, Path: "a/b/c", Namespace: "a/b", URL: "https://gitlab.example.com/a/b/c"},
		},
		{
			"old", "https://gitlab.example.com", "https://gitlab.example.com/a/b/jobs/7",
			event.Project{ID: 1, Path: "a/b", Namespace: "a", URL: "https://gitlab.example.com/a/b"},
		},
		{
			"below a path", "https://example.com/gitlab/", "https://example.com/gitlab/a/b/-/jobs/7",
			event.Project{ID: 1, Path: "a/b", Namespace: "a", URL: "https://example.com/gitlab/a/b"},
		},
		{
			"reached at another host", "http://gitlab.inside:8080", "https://gitlab.example.com/a/b/-/jobs/7",
			event.Project{ID: 1, Path: "a/b", Namespace: "a", URL: "https://gitlab.example.com/a/b"},
		},
		{"none", "https://gitlab.example.com", "", event.Project{ID: 1}},
		{"something else", "https://gitlab.example.com", "https://gitlab.example.com/a/b", event.Project{ID: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := newClient(t, tt.base)
			job := gitlab.Job{ProjectID: 1}
			job.ID, job.URL = 7, tt.page
			if diff := cmp.Diff(tt.want, c.Event(job, event.SourceCatchUp).Project); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
