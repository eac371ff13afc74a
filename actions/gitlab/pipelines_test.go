package gitlab_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules"
)

func TestPipeline(t *testing.T) {
	w := newWorld(t, gitlabtest.Options{})
	p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{Name: "Nightly", Ref: "v1", Tag: true, Source: "schedule", CreatedAt: noon},
		gitlabtest.Job{Name: "rspec", Status: "failed", StartedAt: noon.Add(time.Second), FinishedAt: noon.Add(time.Minute)})
	got, err := w.client.Pipeline(t.Context(), w.project.ID, p.ID)
	want := rules.Pipeline{
		ID: p.ID, IID: 1, Ref: "v1", Tag: true, SHA: p.SHA, Status: "failed", Source: "schedule", Name: "Nightly", URL: p.WebURL,
		CreatedAt: noon, FinishedAt: noon.Add(time.Minute), Duration: 59, QueuedDuration: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestNewerPipeline(t *testing.T) {
	const old, newer = 501, 502 // the pipeline asked about, and the one expected
	job := gitlabtest.Job{Name: "rspec", Status: "failed"}
	mr := func(iid int64) *gitlabtest.MergeRequest {
		return &gitlabtest.MergeRequest{IID: iid, SourceBranch: "fast", TargetBranch: "main"}
	}
	tests := []struct {
		name string
		this gitlabtest.Pipeline
		then []gitlabtest.Pipeline
		want int64
	}{
		{"nothing since", gitlabtest.Pipeline{}, nil, 0},
		{"older ones only", gitlabtest.Pipeline{}, []gitlabtest.Pipeline{{ID: 400}}, 0},
		{"another branch", gitlabtest.Pipeline{}, []gitlabtest.Pipeline{{ID: newer, Ref: "other"}}, 0},
		{"newer", gitlabtest.Pipeline{}, []gitlabtest.Pipeline{{ID: newer}}, newer},
		{"the newest of some", gitlabtest.Pipeline{}, []gitlabtest.Pipeline{{ID: 503}, {ID: newer}, {ID: 504}}, 504},
		{"newer on a branch with odd characters", gitlabtest.Pipeline{Ref: "a/b c&d=é"}, []gitlabtest.Pipeline{{ID: newer, Ref: "a/b c&d=é"}}, newer},
		{"a child pipeline does not count", gitlabtest.Pipeline{}, []gitlabtest.Pipeline{{ID: newer, Source: "parent_pipeline"}}, 0},
		{"of a child pipeline", gitlabtest.Pipeline{Source: "parent_pipeline"}, []gitlabtest.Pipeline{{ID: newer}}, newer},
		{"the parent is older than the child", gitlabtest.Pipeline{Source: "parent_pipeline"}, []gitlabtest.Pipeline{{ID: 500}}, 0},
		{"a branch's merge request does not count", gitlabtest.Pipeline{Ref: "fast"}, []gitlabtest.Pipeline{{ID: newer, MergeRequest: mr(1)}}, 0},
		{"newer, and then its merge request's", gitlabtest.Pipeline{Ref: "fast"}, []gitlabtest.Pipeline{{ID: newer, Ref: "fast"}, {ID: 503, MergeRequest: mr(1)}}, newer},
		{"of a merge request", gitlabtest.Pipeline{MergeRequest: mr(1)}, []gitlabtest.Pipeline{{ID: newer, MergeRequest: mr(1)}}, newer},
		{"of a merge request, of another kind", gitlabtest.Pipeline{MergeRequest: mr(1)}, []gitlabtest.Pipeline{{ID: newer, MergeRequest: mr(1), Ref: "refs/merge-requests/1/merge"}}, newer},
		{"of another merge request", gitlabtest.Pipeline{MergeRequest: mr(1)}, []gitlabtest.Pipeline{{ID: newer, MergeRequest: mr(12)}}, 0},
		{"the branch of a merge request does not count", gitlabtest.Pipeline{MergeRequest: mr(1)}, []gitlabtest.Pipeline{{ID: newer, Ref: "fast"}}, 0},
		{
			"a child of a merge request's pipeline",
			gitlabtest.Pipeline{MergeRequest: mr(1), Source: "parent_pipeline"},
			[]gitlabtest.Pipeline{{ID: newer, MergeRequest: mr(1)}},
			newer,
		},
		{ // the merge request is in another project: there only the ref tells
			"of a fork",
			gitlabtest.Pipeline{MergeRequest: mr(1), Source: "parent_pipeline"},
			[]gitlabtest.Pipeline{{ID: newer, MergeRequest: mr(1), Source: "parent_pipeline"}},
			0,
		},
	}
	for _, version := range []string{"17.0.0", "19.1.0"} {
		for _, tt := range tests {
			t.Run(version+"/"+tt.name, func(t *testing.T) {
				w := newWorld(t, gitlabtest.Options{Version: version})
				elsewhere := w.AddProject(gitlabtest.Project{Path: "platform/other"})
				tt.this.ID = old
				w.AddPipeline(w.project.ID, tt.this, job)
				for _, p := range tt.then {
					w.AddPipeline(w.project.ID, p, job)
				}
				w.AddPipeline(elsewhere.ID, gitlabtest.Pipeline{ID: 900, Ref: tt.this.Ref, MergeRequest: tt.this.MergeRequest}, job)
				got, err := w.client.NewerPipeline(t.Context(), w.project.ID, old, "")
				if err != nil || got != tt.want {
					t.Errorf("got %d, want %d: %v", got, tt.want, err)
				}
				if n := w.apiRequests(); n > 3 {
					t.Errorf("%d requests", n)
				}
			})
		}
	}
}

// Newer versions list merge requests' pipelines with their branch's: they may
// fill a page.
func TestNewerPipelineOnNextPage(t *testing.T) {
	w := newWorld(t, gitlabtest.Options{})
	job := gitlabtest.Job{Name: "rspec", Status: "failed"}
	first := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{Ref: "fast"}, job)
	second := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{Ref: "fast"}, job)
	for range 25 {
		w.AddPipeline(w.project.ID, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 1, SourceBranch: "fast"}}, job)
	}
	for pipeline, want := range map[int64]int64{first.ID: second.ID, second.ID: 0} {
		if got, err := w.client.NewerPipeline(t.Context(), w.project.ID, pipeline, ""); err != nil || got != want {
			t.Errorf("of %d: got %d, want %d: %v", pipeline, got, want, err)
		}
	}
}

func TestRetryPipeline(t *testing.T) {
	w := newWorld(t, gitlabtest.Options{})
	p := w.push("build:success", "rspec:failed", "lint:canceled")
	got, err := w.client.RetryPipeline(t.Context(), w.project.ID, p.ID)
	if err != nil || got.ID != p.ID || got.Status != "running" {
		t.Errorf("pipeline %d is %s: %v", got.ID, got.Status, err)
	}
	for name, runs := range map[string]int{"build": 1, "rspec": 2, "lint": 2} {
		n := 0
		for _, j := range w.Jobs(p.ID) {
			if j.Name == name {
				n++
			}
		}
		if n != runs {
			t.Errorf("%s has %d runs, want %d", name, n, runs)
		}
	}
	w.SetRole(w.project.ID, gitlabtest.Reporter)
	if _, err = w.client.RetryPipeline(t.Context(), w.project.ID, p.ID); !failureOf(t, err).Rights() {
		t.Errorf("as reporter: %v", err)
	}
}

func TestCancelPipeline(t *testing.T) {
	w := newWorld(t, gitlabtest.Options{})
	p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Stage: "deploy", Name: "deploy"})
	for range 2 { // the second time there is nothing to cancel
		got, err := w.client.CancelPipeline(t.Context(), w.project.ID, p.ID)
		if err != nil || got.Status != "canceled" {
			t.Errorf("pipeline is %s: %v", got.Status, err)
		}
	}
}

func TestArchivedJob(t *testing.T) {
	w := newWorld(t, gitlabtest.Options{})
	p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", Status: "failed", Archived: true})
	job, err := w.client.Job(t.Context(), w.project.ID, w.Latest(p.ID, "rspec").ID)
	if err != nil || !job.Archived {
		t.Errorf("archived %v: %v", job.Archived, err)
	}
}

// Trigger jobs are retried by the same call, where GitLab can.
func TestRetryBridge(t *testing.T) {
	for version, able := range map[string]bool{"16.11.0": false, "17.0.0": true} {
		w := newWorld(t, gitlabtest.Options{Version: version})
		p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "downstream", Bridge: true, Status: "failed"})
		old := w.Latest(p.ID, "downstream")
		run, err := w.client.Retry(t.Context(), w.project.ID, old.ID)
		switch {
		case able && (err != nil || run.ID == old.ID):
			t.Errorf("%s: run %d: %v", version, run.ID, err)
		case !able && failureOf(t, err).Message != "404 Not found (before 17.0, GitLab retries no trigger job through its API)":
			t.Errorf("%s: %v", version, err)
		}
	}
}
