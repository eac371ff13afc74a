package facts_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// The merge request of a pipeline is read with its approvals, on pipeline events and
// on job events, which tell it by the ref only. A pipeline of a branch has none, and
// costs no request.
func TestMergeRequestDetails(t *testing.T) {
	t.Parallel()
	ann, bob := gitlabtest.User{ID: 11, Username: "ann", Name: "Ann"}, gitlabtest.User{ID: 12, Username: "bob", Name: "Bob"}
	for _, c := range []struct {
		name    string
		options gitlabtest.Options
		want    event.MergeRequestDetails // its approvals
	}{
		{"Premium", gitlabtest.Options{}, event.MergeRequestDetails{ApprovalsRequired: 2, ApprovalsLeft: 1}},
		{"Free", gitlabtest.Options{Free: true}, event.MergeRequestDetails{Approved: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.options.Now = time.Now
			gl := gitlabtest.Start(t, c.options)
			shop, fork := gl.AddProject(gitlabtest.Project{Path: "platform/shop"}), gl.AddProject(gitlabtest.Project{Path: "ann/shop"})
			mr := &gitlabtest.MergeRequest{
				IID: 7, Title: "Mend the cart", SourceBranch: "cart", TargetBranch: "main", Labels: []string{"urgent", "shop"}, Draft: true,
				Author: ann, ApprovedBy: []gitlabtest.User{bob}, ApprovalsRequired: 2,
			}
			gl.AddPipeline(shop.ID, gitlabtest.Pipeline{MergeRequest: mr}, gitlabtest.Job{Name: "rspec"})
			ofFork := *mr
			ofFork.IID, ofFork.ProjectID = 8, shop.ID
			gl.AddPipeline(fork.ID, gitlabtest.Pipeline{MergeRequest: &ofFork}, gitlabtest.Job{Name: "rspec"})
			reader := factsOf(t, gl)

			want := c.want
			want.MergeRequest = event.MergeRequest{IID: 7, Title: "Mend the cart", State: "opened", SourceBranch: "cart", TargetBranch: "main", URL: shop.WebURL + "/-/merge_requests/7"}
			want.Labels, want.Draft, want.Author, want.ApprovedBy = []string{"shop", "urgent"}, true, event.Author{ID: 11, Username: "ann", Name: "Ann"}, []string{"bob"}
			project := event.Project{ID: shop.ID, Path: "platform/shop"}
			for name, e := range map[string]event.Event{
				"a pipeline event":             {Project: project, Pipeline: event.Pipeline{Ref: "cart"}, MergeRequest: event.MergeRequest{IID: 7, URL: want.URL}},
				"a job event":                  {Project: project, Pipeline: event.Pipeline{Ref: "refs/merge-requests/7/merge"}},
				"a job event of an old GitLab": {Project: project, Job: event.Job{Ref: "refs/merge-requests/7/head"}},
			} {
				got, err := reader.MergeRequestDetails(t.Context(), e)
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%s: error %v, details (-want +got):\n%s", name, err, diff)
				}
			}

			url := shop.WebURL + "/-/merge_requests/8"
			got, err := reader.MergeRequestDetails(t.Context(), event.Event{Project: event.Project{ID: fork.ID, Path: "ann/shop"}, MergeRequest: event.MergeRequest{IID: 8, URL: url}})
			if err != nil || got.URL != url {
				t.Errorf("the merge request of a fork's pipeline: %q, %v, want %s", got.URL, err, url)
			}

			before := len(gl.Requests())
			none, err := reader.MergeRequestDetails(t.Context(), event.Event{Project: project, Pipeline: event.Pipeline{Ref: "main"}})
			if diff := cmp.Diff(event.MergeRequestDetails{}, none); diff != "" || err != nil || len(gl.Requests()) != before {
				t.Errorf("a branch: %d requests, error %v, details %s", len(gl.Requests())-before, err, diff)
			}
		})
	}
}

// A merge request that can't be read is an error; approvals that GitLab does not tell
// are zero.
func TestMergeRequestThatCannotBeRead(t *testing.T) {
	t.Parallel()
	gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	shop := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	gl.AddPipeline(shop.ID, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 7, ApprovalsRequired: 2}}, gitlabtest.Job{Name: "rspec"})
	reader := factsOf(t, gl)
	of := func(ref string) event.Event {
		return event.Event{Project: event.Project{ID: shop.ID}, Pipeline: event.Pipeline{Ref: ref}}
	}
	if _, err := reader.MergeRequestDetails(t.Context(), of("refs/merge-requests/9/head")); err == nil || event.Transient(err) {
		t.Errorf("error %v, want one that is final: there is no such merge request", err)
	}
	gl.Fail(gitlabtest.Fault{Path: "/approvals", Times: 1, Status: http.StatusNotFound})
	if got, err := reader.MergeRequestDetails(t.Context(), of("refs/merge-requests/7/head")); err != nil || got.IID != 7 || got.ApprovalsRequired != 0 {
		t.Errorf("%+v, %v, want a merge request without approvals", got, err)
	}
	gl.Fail(gitlabtest.Fault{Path: "/approvals", Times: -1, Status: http.StatusServiceUnavailable})
	if _, err := reader.MergeRequestDetails(t.Context(), of("refs/merge-requests/7/head")); !event.Transient(err) {
		t.Errorf("error %v, want one that passes", err)
	}
}
