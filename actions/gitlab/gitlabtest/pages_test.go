package gitlabtest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// A job's page says how to end the job, and a POST below the page does so, while the job
// is pending or running.
func TestPageEndsAJob(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	project := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
	rspec, lint := gl.Latest(p.ID, "rspec"), gl.Latest(p.ID, "lint")
	send := func(method, url string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if _, page := send("GET", rspec.WebURL); !strings.Contains(page, "To end it: curl -X POST "+rspec.WebURL+"/fail") {
		t.Errorf("the page of a pending job: %s", page)
	}
	for _, tt := range []struct {
		name, url string
		status    int
		want      string
	}{
		{"fail", rspec.WebURL + "/fail?reason=stuck_pending_no_matching_runners", 200, "rspec, is failed stuck_pending_no_matching_runners"},
		{"fail what has failed", rspec.WebURL + "/fail", 409, "the job is failed: only one that is pending or running can end"},
		{"pass", lint.WebURL + "/pass", 200, "lint, is success"},
		{"neither", lint.WebURL + "/skip", 404, ""},
		{"no job", gl.URL() + "/platform/shop/-/jobs/7/fail", 404, ""},
		{"another project's", gl.URL() + "/platform/other/-/jobs/1001/fail", 404, ""},
	} {
		if status, page := send("POST", tt.url); status != tt.status || !strings.Contains(page, tt.want) {
			t.Errorf("%s: %d %s", tt.name, status, page)
		}
	}
	if _, page := send("GET", rspec.WebURL); strings.Contains(page, "To end it") {
		t.Errorf("the page of a failed job: %s", page)
	}
}
