package gitlab_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

func TestOutdatedBy(t *testing.T) {
	const old, newer = 501, 502 // the pipeline in question, and the one expected
	const sameSHA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	mr := func(iid int64) *gitlabtest.MergeRequest {
		return &gitlabtest.MergeRequest{IID: iid, SourceBranch: "fast", TargetBranch: "main"}
	}
	head, merge, train := "refs/merge-requests/1/head", "refs/merge-requests/1/merge", "refs/merge-requests/1/train"
	type pipelines = []gitlabtest.Pipeline
	for _, test := range []struct {
		name    string
		before  pipelines
		this    gitlabtest.Pipeline
		then    pipelines
		up      event.Upstream // as a hook has it
		deploys bool
		want    int64
	}{
		{name: "nothing since"},
		{name: "older ones only", then: pipelines{{ID: 400}}},
		{name: "newer", then: pipelines{{ID: newer}}, want: newer},
		{name: "the newest of some", then: pipelines{{ID: 503}, {ID: newer}, {ID: 504}}, want: 504},
		{name: "of the same commit", this: gitlabtest.Pipeline{SHA: sameSHA}, then: pipelines{{ID: newer, SHA: sameSHA}}},
		{name: "of the same commit, and of another one before", this: gitlabtest.Pipeline{SHA: sameSHA}, then: pipelines{{ID: newer}, {ID: 503, SHA: sameSHA}}, want: newer},
		{name: "skipped", then: pipelines{{ID: newer, Message: "[skip ci]"}}},

		{name: "another branch", then: pipelines{{ID: newer, Ref: "other"}}},
		{name: "a branch with odd characters", this: gitlabtest.Pipeline{Ref: "a/b c&d=é"}, then: pipelines{{ID: newer, Ref: "a/b c&d=é"}}, want: newer},
		{name: "a tag of the branch's name", this: gitlabtest.Pipeline{Ref: "v1"}, then: pipelines{{ID: newer, Ref: "v1", Tag: true}}},
		{name: "a branch of the tag's name", this: gitlabtest.Pipeline{Ref: "v1", Tag: true}, then: pipelines{{ID: newer, Ref: "v1"}}},
		{name: "the tag was moved", this: gitlabtest.Pipeline{Ref: "v1", Tag: true}, then: pipelines{{ID: 503, Ref: "v1"}, {ID: newer, Ref: "v1", Tag: true}}, want: newer},

		{name: "a schedule on the same commit", this: gitlabtest.Pipeline{SHA: sameSHA}, then: pipelines{{ID: newer, Source: "schedule", SHA: sameSHA}}},
		{name: "a schedule on a newer commit", then: pipelines{{ID: newer, Source: "schedule"}}, want: newer},
		{name: "of a schedule, by a push", this: gitlabtest.Pipeline{Source: "schedule"}, then: pipelines{{ID: newer}}},
		{name: "of a schedule, by a schedule", this: gitlabtest.Pipeline{Source: "schedule"}, then: pipelines{{ID: newer, Source: "schedule"}, {ID: 503}}, want: newer},
		{name: "a scheduled deployment, by a push", this: gitlabtest.Pipeline{Source: "schedule"}, then: pipelines{{ID: newer}}, deploys: true, want: newer},

		{name: "a child of another pipeline", then: pipelines{{ID: newer, Source: "parent_pipeline"}}},
		{name: "of a child, by what is newer than it", this: gitlabtest.Pipeline{Source: "parent_pipeline"}, then: pipelines{{ID: newer}}, want: newer},
		{
			name: "of a child, by what is newer than its parent", this: gitlabtest.Pipeline{Source: "parent_pipeline", SHA: sameSHA},
			before: pipelines{{ID: 400, SHA: sameSHA}, {ID: 450}}, want: 450,
		},
		{
			name: "of a child whose parent the hook names", this: gitlabtest.Pipeline{Source: "parent_pipeline", SHA: sameSHA},
			before: pipelines{{ID: 400, SHA: sameSHA}, {ID: 450}}, up: event.Upstream{PipelineID: 400}, want: 450,
		},
		{name: "of a child of the newest", this: gitlabtest.Pipeline{Source: "parent_pipeline", SHA: sameSHA}, before: pipelines{{ID: 400}, {ID: 450, SHA: sameSHA}}},

		{name: "triggered by two other projects, on one commit", this: gitlabtest.Pipeline{Source: "pipeline", SHA: sameSHA}, then: pipelines{{ID: newer, Source: "pipeline", SHA: sameSHA}}},
		{name: "triggered by two other projects, whose ages are not known", this: gitlabtest.Pipeline{Source: "pipeline"}, then: pipelines{{ID: newer, Source: "pipeline"}}},
		{name: "triggered by another project, by a push", this: gitlabtest.Pipeline{Source: "pipeline"}, then: pipelines{{ID: newer}}, want: newer},

		{name: "a branch's merge request", this: gitlabtest.Pipeline{Ref: "fast"}, then: pipelines{{ID: newer, MergeRequest: mr(1)}}},
		{name: "newer, and then its merge request's", this: gitlabtest.Pipeline{Ref: "fast"}, then: pipelines{{ID: newer, Ref: "fast"}, {ID: 503, MergeRequest: mr(1)}}, want: newer},
		{name: "of a merge request", this: gitlabtest.Pipeline{MergeRequest: mr(1)}, then: pipelines{{ID: newer, MergeRequest: mr(1)}}, want: newer},
		{name: "head, by merge", this: gitlabtest.Pipeline{MergeRequest: mr(1), Ref: head}, then: pipelines{{ID: newer, MergeRequest: mr(1), Ref: merge}}, want: newer},
		{name: "merge, by head", this: gitlabtest.Pipeline{MergeRequest: mr(1), Ref: merge}, then: pipelines{{ID: newer, MergeRequest: mr(1), Ref: head}}, want: newer},
		{name: "a train, by a manual run of the merge request", this: gitlabtest.Pipeline{MergeRequest: mr(1), Ref: train}, then: pipelines{{ID: newer, MergeRequest: mr(1), Ref: head}}},
		{name: "a train, by a newer one", this: gitlabtest.Pipeline{MergeRequest: mr(1), Ref: train}, then: pipelines{{ID: newer, MergeRequest: mr(1), Ref: train}}, want: newer},
		{name: "of a merge request, by its train", this: gitlabtest.Pipeline{MergeRequest: mr(1)}, then: pipelines{{ID: newer, MergeRequest: mr(1), Ref: train}}},
		{name: "of another merge request", this: gitlabtest.Pipeline{MergeRequest: mr(1)}, then: pipelines{{ID: newer, MergeRequest: mr(12)}}},
		{name: "the branch of a merge request", this: gitlabtest.Pipeline{MergeRequest: mr(1)}, then: pipelines{{ID: newer, Ref: "fast"}}},
		{name: "a child of a merge request's pipeline", this: gitlabtest.Pipeline{MergeRequest: mr(1), Source: "parent_pipeline"}, then: pipelines{{ID: newer, MergeRequest: mr(1)}}, want: newer},
		{
			name: "of a fork", // the merge request is in another project: there only the ref identifies it
			this: gitlabtest.Pipeline{MergeRequest: mr(1), Source: "parent_pipeline"}, then: pipelines{{ID: newer, MergeRequest: mr(1), Source: "parent_pipeline"}},
		},
	} {
		for _, version := range []string{"17.0.0", "19.1.0"} {
			t.Run(version+"/"+test.name, func(t *testing.T) {
				w := newFixture(t, gitlabtest.Options{Version: version})
				elsewhere := w.AddProject(gitlabtest.Project{Path: "platform/other"})
				add := func(project int64, p gitlabtest.Pipeline) gitlabtest.Pipeline {
					status := "failed"
					if p.Message == "[skip ci]" {
						status = "skipped"
					}
					return w.AddPipeline(project, p, gitlabtest.Job{Name: "rspec", Status: status})
				}
				for _, p := range test.before {
					add(w.project.ID, p)
				}
				test.this.ID = old
				this := add(w.project.ID, test.this)
				for _, p := range test.then {
					add(w.project.ID, p)
				}
				add(elsewhere.ID, gitlabtest.Pipeline{ID: 900, Ref: test.this.Ref, MergeRequest: test.this.MergeRequest})
				for name, p := range map[string]event.Pipeline{
					"as a Job Hook tells it":   {ID: old, Ref: this.Ref, SHA: this.SHA, Tag: this.Tag, Upstream: test.up},
					"of which the id is known": {ID: old, Upstream: test.up},
				} {
					before := w.apiRequests()
					got, err := w.client.OutdatedBy(t.Context(), w.project.ID, p, 0, test.deploys)
					if err != nil || got != test.want {
						t.Errorf("%s: got %d, want %d: %v", name, got, test.want, err)
					}
					if n := w.apiRequests() - before; n > 4 {
						t.Errorf("%s: %d requests", name, n)
					}
				}
			})
		}
	}
}

// A list of a branch's pipelines may be full of those of merge requests.
func TestOutdatedByOnNextPage(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	job := gitlabtest.Job{Name: "rspec", Status: "failed"}
	first := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{Ref: "fast"}, job)
	second := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{Ref: "fast"}, job)
	for range 25 {
		w.AddPipeline(w.project.ID, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 1, SourceBranch: "fast"}}, job)
	}
	for pipeline, want := range map[int64]int64{first.ID: second.ID, second.ID: 0} {
		if got, err := w.client.OutdatedBy(t.Context(), w.project.ID, event.Pipeline{ID: pipeline}, 0, false); err != nil || got != want {
			t.Errorf("of %d: got %d, want %d: %v", pipeline, got, want, err)
		}
	}
}

// TestOutdated lists what a new pipeline makes redundant.
func TestOutdated(t *testing.T) {
	const sameSHA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	mr := &gitlabtest.MergeRequest{IID: 1, SourceBranch: "fast", TargetBranch: "main"}
	type pipelines = []gitlabtest.Pipeline
	for _, test := range []struct {
		name   string
		before pipelines
		this   gitlabtest.Pipeline
		up     int64 // of which pipeline of another project
		want   []int64
	}{
		{name: "older ones that run", before: pipelines{{ID: 401}, {ID: 402}}, want: []int64{402, 401}},
		{name: "of the same commit", before: pipelines{{ID: 401, SHA: sameSHA}}, this: gitlabtest.Pipeline{SHA: sameSHA}},
		{name: "a tag of the branch's name", before: pipelines{{ID: 401, Ref: "v1"}}, this: gitlabtest.Pipeline{Ref: "v1", Tag: true}},
		{name: "a schedule", before: pipelines{{ID: 401, Source: "schedule"}}},
		{name: "head and train, by merge", before: pipelines{{ID: 401, MergeRequest: mr, Ref: "refs/merge-requests/1/head"}, {ID: 402, MergeRequest: mr, Ref: "refs/merge-requests/1/train"}}, this: gitlabtest.Pipeline{MergeRequest: mr, Ref: "refs/merge-requests/1/merge"}, want: []int64{401}},
		{name: "this one was triggered by who knows", before: pipelines{{ID: 401}}, this: gitlabtest.Pipeline{Source: "pipeline"}},
		{name: "this one was triggered by a newer one", before: pipelines{{ID: 401}}, this: gitlabtest.Pipeline{Source: "pipeline"}, up: 450, want: []int64{401}},
		{name: "this one was triggered by an older one", before: pipelines{{ID: 401}}, this: gitlabtest.Pipeline{Source: "pipeline"}, up: 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newFixture(t, gitlabtest.Options{})
			for _, p := range test.before {
				w.AddPipeline(w.project.ID, p, gitlabtest.Job{Name: "rspec"})
			}
			w.AddPipeline(w.project.ID, gitlabtest.Pipeline{ID: 300}, gitlabtest.Job{Name: "rspec", Status: "success"}) // has ended
			test.this.ID = 501
			this := w.AddPipeline(w.project.ID, test.this, gitlabtest.Job{Name: "rspec"})
			p := event.Pipeline{ID: this.ID, Ref: this.Ref, SHA: this.SHA, Tag: this.Tag, Source: this.Source}
			if test.up != 0 {
				other := w.AddProject(gitlabtest.Project{Path: "platform/upstream"})
				w.AddPipeline(other.ID, gitlabtest.Pipeline{ID: test.up}, gitlabtest.Job{Name: "trigger"})
				p.Upstream = event.Upstream{ProjectID: other.ID, PipelineID: test.up}
			}
			all, err := w.client.Outdated(t.Context(), w.project.ID, p, 0)
			var got []int64
			for _, p := range all {
				got = append(got, p.ID)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
}
