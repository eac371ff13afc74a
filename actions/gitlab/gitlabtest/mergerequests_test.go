package gitlabtest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// A merge request is that of the newest of its pipelines. GitLab Free tells no
// numbers of approvals, and takes any approval for all.
func TestMergeRequests(t *testing.T) {
	t.Parallel()
	for _, free := range []bool{false, true} {
		gl, _ := start(t, func(o *gitlabtest.Options) { o.Free = free })
		project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
		hidden := gl.AddProject(gitlabtest.Project{Path: "secret/shop", Role: gitlabtest.NoAccess})
		for _, title := range []string{"First title", "New title"} {
			gl.AddPipeline(project.ID, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{
				IID: 7, Title: title, Labels: []string{"b", "a"}, ApprovalsRequired: 2, ApprovedBy: []gitlabtest.User{{Username: "bob"}},
			}}, gitlabtest.Job{Name: "rspec"})
		}
		path := fmt.Sprintf("/projects/%d/merge_requests/", project.ID)
		r := ask(t, gl, "GET", path+"7", "")
		if mr := r.object(t); r.status != http.StatusOK || mr["title"] != "New title" || fmt.Sprint(mr["labels"]) != "[a b]" || mr["state"] != "opened" {
			t.Errorf("%d %s", r.status, r.body)
		}
		r = ask(t, gl, "GET", path+"7/approvals", "")
		got := r.object(t)
		if left, told := got["approvals_left"]; got["approved"] != free || told == free || told && left != 1.0 {
			t.Errorf("free %v: %d %s", free, r.status, r.body)
		}
		for path, want := range map[string]int{
			path + "8": http.StatusNotFound, path + "8/approvals": http.StatusNotFound, path + "x": http.StatusBadRequest,
			fmt.Sprintf("/projects/%d/merge_requests/7", hidden.ID): http.StatusNotFound,
		} {
			if r := ask(t, gl, "GET", path, ""); r.status != want {
				t.Errorf("%s: %d, want %d", path, r.status, want)
			}
		}
	}
}
