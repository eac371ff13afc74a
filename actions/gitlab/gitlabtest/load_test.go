package gitlabtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// Answers take their time concurrently: all requests are in before one is
// answered.
func TestLatency(t *testing.T) {
	t.Parallel()
	const parallel = 20
	gl, _ := start(t, func(o *gitlabtest.Options) { o.Latency = time.Hour })
	ctx, giveUp := context.WithCancel(t.Context())
	errs := make(chan error, parallel)
	for range parallel {
		go func() {
			_, err := tryWith(ctx, t, gl, "GET", "/version", "")
			errs <- err
		}()
	}
	await.Until(t, "it is seen", func() bool { return gl.Count("GET", "/version") == parallel })
	if n := gl.Answered(0); n != parallel {
		t.Errorf("%d wait, want %d", n, parallel)
	}
	giveUp()
	for range parallel {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

// An answer that took its time is an answer.
func TestLatencyEnds(t *testing.T) {
	t.Parallel()
	gl, _ := start(t, func(o *gitlabtest.Options) { o.Latency = time.Millisecond })
	if r := ask(t, gl, "GET", "/version", ""); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// Requests that are forgotten are counted all the same.
func TestForgetRequests(t *testing.T) {
	t.Parallel()
	for _, forget := range []bool{false, true} {
		gl, _ := start(t, func(o *gitlabtest.Options) { o.ForgetRequests = forget })
		p := shop(gl)
		gl.Fail(gitlabtest.Fault{Method: "GET", Path: "/projects/platform/shop/jobs", Status: 502})
		ask(t, gl, "GET", "/projects/platform%2Fshop/jobs", "")
		ask(t, gl, "GET", "/projects/1/jobs", "")
		ask(t, gl, "POST", fmt.Sprintf("/projects/1/jobs/%d/erase", gl.Latest(p.ID, "rspec").ID), "")
		ask(t, gl, "GET", "/nothing", "")
		got := map[string]int{
			"all": gl.Count("", ""), "jobs": gl.Count("GET", "/jobs"), "erase": gl.Count("POST", "/erase"), "GET erase": gl.Count("GET", "/erase"),
			"200": gl.Answered(200), "403": gl.Answered(403), "404": gl.Answered(404), "502": gl.Answered(502), "none": gl.Answered(0),
		}
		want := map[string]int{"all": 4, "jobs": 2, "erase": 1, "GET erase": 0, "200": 1, "403": 1, "404": 1, "502": 1, "none": 0}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("forget %t: -want +got:\n%s", forget, diff)
		}
		if n := len(gl.Requests()); n != 4 && !forget || n != 0 && forget {
			t.Errorf("forget %t: %d are listed", forget, n)
		}
	}
}

// A chosen job can be made to be refused, in GitLab's words.
func TestEraseRefused(t *testing.T) {
	t.Parallel()
	const refresh = "Action temporarily disabled. The project this pipeline belongs to is undergoing stats refresh."
	gl, _ := withOldJobs(t, 10, 1)
	gl.Fail(gitlabtest.Fault{Method: "POST", Path: "/jobs/1004/erase", Times: -1, Status: http.StatusConflict, Message: refresh})
	gl.Fail(gitlabtest.Fault{Method: "POST", Path: "/jobs/1005/erase", Times: -1, Status: http.StatusForbidden})
	for job, want := range map[int]string{
		1004: `409 {"message":"` + refresh + `"}`,
		1005: `403 {"message":"403 Forbidden"}`,
		1003: `403 {"message":"403 Forbidden - Job is not erasable!"}`, // skipped: it has no log
	} {
		r := ask(t, gl, "POST", fmt.Sprintf("/projects/1/jobs/%d/erase", job), "")
		if got := fmt.Sprintf("%d %s", r.status, r.body); got != want+"\n" {
			t.Errorf("job %d: %s, want %s", job, got, want)
		}
		if !gl.Job(int64(job)).ErasedAt.IsZero() {
			t.Errorf("job %d was erased", job)
		}
	}
}

// Archived jobs are erased since 18.0.
func TestEraseArchived(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]int{"17.11.0": http.StatusForbidden, "18.0.0": http.StatusCreated} {
		gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, Version: version})
		gl.AddPipeline(gl.AddProject(gitlabtest.Project{Path: "platform/shop"}).ID, gitlabtest.Pipeline{},
			gitlabtest.Job{ID: 2000, Name: "rspec", Status: "failed", Log: "text", Archived: true})
		if r := ask(t, gl, "POST", "/projects/1/jobs/2000/erase", ""); r.status != want {
			t.Errorf("%s: %d %s, want %d", version, r.status, r.body, want)
		}
	}
}
