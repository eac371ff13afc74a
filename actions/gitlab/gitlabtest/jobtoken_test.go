package gitlabtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// A job token is valid while its job runs, and only for the few calls that GitLab allows
// it.
func TestJobToken(t *testing.T) {
	t.Parallel()
	before18, before15 := func(o *gitlabtest.Options) { o.Version = "18.4.0" }, func(o *gitlabtest.Options) { o.Version = "14.10.0" }
	const unauthorized, hidden = `{"message":"401 Unauthorized"}`, `{"message":"404 Project Not Found"}`
	for _, tt := range []struct {
		name    string
		options func(*gitlabtest.Options)
		request string
		bearer  bool // the token in the header Authorization
		query   bool // the token in the query
		before  func(gl *gitlabtest.Server, job gitlabtest.Job)
		status  int
		want    string
	}{
		{name: "its job", request: "GET /job", status: 200, want: `"name":"ci"`},
		{name: "its job, by bearer", request: "GET /job", bearer: true, status: 200, want: `"name":"ci"`},
		{name: "its job, by query", request: "GET /job", query: true, status: 200, want: `"name":"ci"`},
		{name: "agents", request: "GET /job/allowed_agents", status: 200, want: `{"allowed_agents":[{"config_project":{"id":1},"id":5}],"environment":{"slug":"staging","tier":"staging"},"job":{"id":1001},"pipeline":{"id":101},"project":{"groups":[],"id":1},"user":{"id":3,"roles_in_project":["guest","reporter","developer"],"username":"ada"}}`},
		{name: "agents before 15", options: before15, request: "GET /job/allowed_agents", status: 200, want: `"job":{"id":1001,"name":"ci","project_id":1,"project_name":"agents","stage":"test"}`},
		{name: "the jobs of its pipeline", request: "GET /projects/1/pipelines/101/jobs", status: 200, want: `"name":"ci"`},
		{name: "the jobs of its project", request: "GET /projects/1/jobs", status: 200, want: `"name":"ci"`},
		{name: "deployments", request: "GET /projects/1/deployments?status=running", status: 200},
		{name: "the jobs of its pipeline before 18.5", options: before18, request: "GET /projects/1/pipelines/101/jobs", status: 404, want: hidden},
		{name: "the jobs of its project before 18.5", options: before18, request: "GET /projects/1/jobs", status: 401, want: unauthorized},
		{name: "another project", request: "GET /projects/2/jobs", status: 403, want: `{"message":"403 Forbidden - Authentication by CI/CD job token not allowed from agents to other."}`},
		{name: "no project", request: "GET /projects/3/jobs", status: 404, want: hidden},
		{name: "its pipeline", request: "GET /projects/1/pipelines/101", status: 404, want: hidden},
		{name: "the pipelines", request: "GET /projects/1/pipelines", status: 404, want: hidden},
		{name: "its trigger jobs", request: "GET /projects/1/pipelines/101/bridges", status: 404, want: hidden},
		{name: "its project", request: "GET /projects/1", status: 404, want: hidden},
		{name: "a job", request: "GET /projects/1/jobs/1001", status: 401, want: unauthorized},
		{name: "a log", request: "GET /projects/1/jobs/1001/trace", status: 401, want: unauthorized},
		{name: "a retry", request: "POST /projects/1/jobs/1001/retry", status: 401, want: unauthorized},
		{name: "a cancel", request: "POST /projects/1/jobs/1001/cancel", status: 401, want: unauthorized},
		{name: "a cancel of its pipeline", request: "POST /projects/1/pipelines/101/cancel", status: 401, want: unauthorized},
		{name: "the user", request: "GET /user", status: 401, want: unauthorized},
		{name: "its job, after its end", request: "GET /job", before: func(gl *gitlabtest.Server, job gitlabtest.Job) { gl.Finish(job.ID, "success", "") }, status: 401, want: unauthorized},
		{name: "agents, after its end", request: "GET /job/allowed_agents", before: func(gl *gitlabtest.Server, job gitlabtest.Job) { gl.Finish(job.ID, "failed", "") }, status: 401, want: unauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var change []func(*gitlabtest.Options)
			if tt.options != nil {
				change = append(change, tt.options)
			}
			gl, _ := start(t, change...)
			project := gl.AddProject(gitlabtest.Project{Path: "agents", AgentIDs: []int64{5}})
			gl.AddProject(gitlabtest.Project{Path: "other"})
			p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "ci", Environment: gitlabtest.Environment{Name: "staging", Tier: "staging"}})
			job := gl.Latest(p.ID, "ci")
			if got := ask(t, gl, "GET", "/job", "", "Job-Token", gl.JobToken(job.ID)); got.status != 401 {
				t.Errorf("before the job runs: %d", got.status)
			}
			gl.Run(job.ID)
			if tt.before != nil {
				tt.before(gl, job)
			}
			method, path, _ := strings.Cut(tt.request, " ")
			headers := []string{"Job-Token", gl.JobToken(job.ID)}
			switch {
			case tt.bearer:
				headers = []string{"Authorization", "Bearer " + gl.JobToken(job.ID)}
			case tt.query:
				path, headers = fmt.Sprintf("%s?job_token=%s", path, gl.JobToken(job.ID)), []string{"Accept", "*/*"}
			}
			if got := ask(t, gl, method, path, "", headers...); got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
}
