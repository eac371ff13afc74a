package gitlabtest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// scene is what an API test starts from.
type scene struct {
	gl       *gitlabtest.Server
	pipeline gitlabtest.Pipeline
	compile  int64 // failed, with a log and artifacts
	rspec    int64 // pending
	deploy   int64 // created
	manual   int64 // in another pipeline, waiting for a person
	bridge   int64 // in that pipeline too, pending
}

func newScene(t *testing.T, change ...func(*gitlabtest.Options)) scene {
	t.Helper()
	gl, _ := start(t, change...)
	p := shop(gl)
	s := scene{
		gl:       gl,
		pipeline: p,
		compile:  gl.Latest(p.ID, "compile").ID,
		rspec:    gl.Latest(p.ID, "rspec").ID,
		deploy:   gl.Latest(p.ID, "production").ID,
	}
	gl.SetLog(s.compile, "No space left on device\n")
	gl.SetArtifacts(s.compile, gitlabtest.Archive)
	finished(gl, gl.Job(s.compile), "failed", "script_failure")
	other := gl.AddPipeline(p.ProjectID, gitlabtest.Pipeline{Ref: "feature"},
		gitlabtest.Job{Name: "approve", When: "manual"},
		gitlabtest.Job{Name: "downstream", Bridge: true})
	s.manual = gl.Latest(other.ID, "approve").ID
	s.bridge = gl.Latest(other.ID, "downstream").ID
	return s
}

// path fills in the scene's ids.
func (s scene) path(path string) string {
	for name, id := range map[string]int64{
		"{compile}": s.compile, "{rspec}": s.rspec, "{deploy}": s.deploy,
		"{manual}": s.manual, "{bridge}": s.bridge, "{pipeline}": s.pipeline.ID,
	} {
		path = strings.ReplaceAll(path, name, strconv.FormatInt(id, 10))
	}
	return path
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	developer := func(s scene) { s.gl.SetRole(1, gitlabtest.Developer) }
	reporter := func(s scene) { s.gl.SetRole(1, gitlabtest.Reporter) }
	noAccess := func(s scene) { s.gl.SetRole(1, gitlabtest.NoAccess) }
	retried := func(s scene) { _, _ = s.gl.Retry(s.compile) }
	erased := func(s scene) { _ = s.gl.Erase(s.compile) }
	old := func(o *gitlabtest.Options) { o.Version = "16.11.4" }

	for _, tt := range []struct {
		name    string
		options func(*gitlabtest.Options)
		before  func(scene)
		request string
		body    string
		headers []string
		status  int
		want    string // part of the body
	}{
		{name: "a job", request: "GET /projects/1/jobs/{compile}", status: 200, want: `"failure_reason":"script_failure"`},
		{name: "a job by its project's path", request: "GET /projects/platform%2Fshop/jobs/{compile}", status: 200, want: `"name":"compile"`},
		{name: "a bearer token", request: "GET /user", headers: []string{"Authorization", "Bearer " + gitlabtest.DefaultToken}, status: 200, want: `"username":"pipesteward-bot"`},
		{name: "a wrong token", request: "GET /user", headers: []string{"Private-Token", "wrong"}, status: 401, want: `{"message":"401 Unauthorized"}`},
		{name: "no token", request: "GET /projects/1/jobs", headers: []string{"Accept", "*/*"}, status: 401, want: `{"message":"401 Unauthorized"}`},
		{name: "an unknown project", request: "GET /projects/7/jobs", status: 404, want: `{"message":"404 Project Not Found"}`},
		{name: "a project that is none of the bot's business", before: noAccess, request: "GET /projects/1/jobs", status: 404, want: `{"message":"404 Project Not Found"}`},
		{name: "an unknown job", request: "GET /projects/1/jobs/7", status: 404, want: `{"message":"404 Not found"}`},
		{name: "no job id", request: "GET /projects/1/jobs/seven", status: 400, want: `{"error":"job_id is invalid"}`},
		{name: "an unknown pipeline", request: "GET /projects/1/pipelines/7/jobs", status: 404, want: `{"message":"404 Not found"}`},
		{name: "no pipeline id", request: "GET /projects/1/pipelines/seven", status: 400, want: `{"error":"pipeline_id is invalid"}`},
		{name: "an unknown call", request: "GET /projects/1/nothing", status: 404, want: `{"error":"404 Not Found"}`},
		{name: "a bridge is no job", request: "GET /projects/1/jobs/{bridge}", status: 404, want: `{"message":"404 Not found"}`},
		{name: "the version", request: "GET /version", status: 200, want: `"version":"19.1.0-ee"`},
		{name: "the version, the new way", options: old, request: "GET /metadata", status: 200, want: `"version":"16.11.4"`},
		{name: "a project", request: "GET /projects/1", status: 200, want: `"default_branch":"main"`},
		{name: "a pipeline", request: "GET /projects/1/pipelines/{pipeline}", status: 200, want: `"status":"failed"`},
		{name: "the pipelines of a ref", request: "GET /projects/1/pipelines?ref=feature", status: 200, want: `"ref":"feature"`},
		{name: "the pipelines of an unknown ref", request: "GET /projects/1/pipelines?ref=gone", status: 200, want: `[]`},

		{name: "an unknown scope", request: "GET /projects/1/jobs?scope[]=broken", status: 400, want: `{"error":"scope does not have a valid value"}`},
		{name: "a scope of today", request: "GET /projects/1/jobs?scope[]=canceling", status: 200, want: `[]`},
		{name: "a scope of tomorrow", options: old, request: "GET /projects/1/jobs?scope[]=canceling", status: 400, want: `{"error":"scope does not have a valid value"}`},
		{name: "a page that is no number", request: "GET /projects/1/jobs?page=two", status: 400, want: `{"error":"page is invalid"}`},
		{name: "a page of nothing", request: "GET /projects/1/jobs?per_page=0", status: 400, want: `{"error":"per_page does not have a valid value"}`},
		{name: "too far for offsets", request: "GET /projects/1/jobs?per_page=100&page=501", status: 405, want: `maximum allowed offset of 50000`},
		{name: "keyset the wrong way round", request: "GET /projects/1/jobs?pagination=keyset&sort=asc", status: 405, want: `Keyset pagination is not yet available`},
		{name: "keyset with a made-up cursor", request: "GET /projects/1/jobs?pagination=keyset&cursor=abc", status: 400, want: `cursor is invalid`},
		{name: "keyset before 15.9", options: func(o *gitlabtest.Options) { o.Version = "15.8.0" }, request: "GET /projects/1/jobs?pagination=keyset", status: 405, want: `Keyset pagination is not yet available`},

		{name: "a log", request: "GET /projects/1/jobs/{compile}/trace", status: 200, want: "No space left on device\n"},
		{name: "a part of a log is the whole log", request: "GET /projects/1/jobs/{compile}/trace", headers: []string{"Private-Token", gitlabtest.DefaultToken, "Range", "bytes=0-3"}, status: 200, want: "No space left on device\n"},
		{name: "no log", request: "GET /projects/1/jobs/{rspec}/trace", status: 200},
		{name: "no log, as documented", options: func(o *gitlabtest.Options) { o.NoLogIsNotFound = true }, request: "GET /projects/1/jobs/{rspec}/trace", status: 404, want: `"404 Not Found"`},
		{name: "a log erased", before: erased, request: "GET /projects/1/jobs/{compile}/trace", status: 200},
		{name: "a bridge has no log", request: "GET /projects/1/jobs/{bridge}/trace", status: 404, want: `{"message":"404 Not found"}`},

		{name: "retry", request: "POST /projects/1/jobs/{compile}/retry", status: 201, want: `"status":"pending"`},
		{name: "retry of a retried job", before: retried, request: "POST /projects/1/jobs/{compile}/retry", status: 403, want: `{"message":"403 Forbidden - Job is not retryable"}`},
		{name: "retry of a job that never ran", request: "POST /projects/1/jobs/{deploy}/retry", status: 403, want: `{"message":"403 Forbidden - Job is not retryable"}`},
		{name: "retry of an unknown job", request: "POST /projects/1/jobs/7/retry", status: 404, want: `{"message":"404 Not found"}`},
		{name: "retry on a protected ref", before: developer, request: "POST /projects/1/jobs/{compile}/retry", status: 403, want: `{"message":"403 Forbidden"}`},
		{name: "retry of a bridge", before: func(s scene) { s.gl.Finish(s.bridge, "failed", "") }, request: "POST /projects/1/jobs/{bridge}/retry", status: 201, want: `"name":"downstream"`},
		{name: "retry of a bridge before 17.0", options: old, before: func(s scene) { s.gl.Finish(s.bridge, "failed", "") }, request: "POST /projects/1/jobs/{bridge}/retry", status: 404, want: `{"message":"404 Not found"}`},

		{name: "play", request: "POST /projects/1/jobs/{manual}/play", status: 200, want: `"status":"pending"`},
		{name: "play on an unprotected ref", before: developer, request: "POST /projects/1/jobs/{manual}/play", status: 200, want: `"status":"pending"`},
		{name: "play of an automatic job", request: "POST /projects/1/jobs/{compile}/play", status: 400, want: `{"message":"400 Bad request - Unplayable Job"}`},
		{name: "play of a manual job not yet reached", request: "POST /projects/1/jobs/{deploy}/play", status: 400, want: `{"message":"400 Bad request - Unplayable Job"}`},
		{name: "play of a bridge", request: "POST /projects/1/jobs/{bridge}/play", status: 400, want: `{"message":"400 Bad request - Unplayable Job"}`},
		{name: "play without rights", before: reporter, request: "POST /projects/1/jobs/{manual}/play", status: 403, want: `{"message":"403 Forbidden"}`},
		{name: "play with a broken body", request: "POST /projects/1/jobs/{manual}/play", body: `{"job_`, status: 400, want: `message body does not match declared format`},

		{name: "cancel", request: "POST /projects/1/jobs/{manual}/cancel", status: 201, want: `"status":"canceled"`},
		{name: "cancel of a job that is done", request: "POST /projects/1/jobs/{compile}/cancel", status: 201, want: `"status":"failed"`},
		{name: "cancel without rights", before: reporter, request: "POST /projects/1/jobs/{manual}/cancel", status: 403, want: `{"message":"403 Forbidden"}`},
		{name: "cancel with force is for maintainers", before: developer, request: "POST /projects/1/jobs/{manual}/cancel", body: `{"force":true}`, status: 403, want: `{"message":"403 Forbidden"}`},

		{name: "erase", request: "POST /projects/1/jobs/{compile}/erase", status: 201, want: `"artifacts":[]`},
		{name: "erase once more", before: erased, request: "POST /projects/1/jobs/{compile}/erase", status: 403, want: `{"message":"403 Forbidden - Job is not erasable!"}`},
		{name: "erase of a job that is not done", request: "POST /projects/1/jobs/{manual}/erase", status: 403, want: `{"message":"403 Forbidden - Job is not erasable!"}`},
		{name: "erase of someone's job is for maintainers", before: developer, request: "POST /projects/1/jobs/{compile}/erase", status: 403, want: `{"message":"403 Forbidden"}`},

		{name: "the token's job, without a job token", request: "GET /job", status: 404, want: `{"message":"404 Job Not Found"}`},
		{name: "the token's agents, without a job token", request: "GET /job/allowed_agents", status: 404, want: `{"message":"404 Job Not Found"}`},
		{name: "a job token that is none", request: "GET /job", headers: []string{"Job-Token", "glcbt-simulated-7"}, status: 401, want: `{"message":"401 Unauthorized"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var change []func(*gitlabtest.Options)
			if tt.options != nil {
				change = append(change, tt.options)
			}
			s := newScene(t, change...)
			if tt.before != nil {
				tt.before(s)
			}
			method, path, _ := strings.Cut(s.path(tt.request), " ")
			got := ask(t, s.gl, method, path, tt.body, tt.headers...)
			if got.status != tt.status || !strings.Contains(got.body, tt.want) || tt.want == "" && got.body != "" {
				t.Errorf("got %d %s\nwant %d %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}

func TestRetryMakesANewJob(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	got := decode[struct {
		ID     int64
		Status string
		User   struct{ Username string }
	}](t, ask(t, s.gl, "POST", s.path("/projects/1/jobs/{compile}/retry"), "").body)
	if got.ID <= s.bridge || got.Status != "pending" || got.User.Username != "pipesteward-bot" {
		t.Errorf("got %+v, want a new job, pending, the bot's", got)
	}
	before, after := s.gl.Job(s.compile), s.gl.Latest(s.pipeline.ID, "compile")
	if !before.Retried || before.Status != "failed" || after.ID != got.ID || after.Log != "" || after.Artifacts != nil {
		t.Errorf("old job %+v\nnew job %+v", before, after)
	}
}

func TestPlayPassesVariablesAndInputs(t *testing.T) {
	t.Parallel()
	body := `{"job_variables_attributes":[{"key":"RELEASE","value":"1.2"}],"job_inputs":{"size":3}}`
	variables := []gitlabtest.Variable{{Key: "RELEASE", Value: "1.2"}}
	for version, inputs := range map[string]map[string]any{"18.10.0": {"size": 3.0}, "18.9.0": nil} {
		s := newScene(t, func(o *gitlabtest.Options) { o.Version = version })
		ask(t, s.gl, "POST", s.path("/projects/1/jobs/{manual}/play"), body)
		job := s.gl.Job(s.manual)
		if diff := cmp.Diff(variables, job.Variables); diff != "" {
			t.Error(version, diff)
		}
		if diff := cmp.Diff(inputs, job.Inputs); diff != "" {
			t.Error(version, diff)
		}
	}
}

func TestPlayMayClone(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(o *gitlabtest.Options) { o.PlayClones = true })
	got := ask(t, s.gl, "POST", s.path("/projects/1/jobs/{manual}/play"), "")
	if got.status != 200 || got.object(t)["id"] != float64(s.manual) {
		t.Errorf("got %d %s, want 200 and the original", got.status, got.body)
	}
	clone := s.gl.Latest(s.gl.Job(s.manual).PipelineID, "approve")
	if clone.ID == s.manual || clone.Status != "pending" {
		t.Errorf("what runs is %+v, want another job", clone)
	}
}

func TestCancelMayTakeItsTime(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(o *gitlabtest.Options) { o.RunnersCancelGracefully = true })
	if _, err := s.gl.Play(s.manual); err != nil {
		t.Fatal(err)
	}
	s.gl.Run(s.manual)
	cancel := s.path("/projects/1/jobs/{manual}/cancel")
	for i, step := range []struct{ body, want string }{
		{`{"force":true}`, "running"}, // force is only for a job that is canceling
		{``, "canceling"},
		{``, "canceling"},
		{`{"force":true}`, "canceled"},
	} {
		if got := ask(t, s.gl, "POST", cancel, step.body); got.status != 201 || got.object(t)["status"] != step.want {
			t.Errorf("step %d: got %d %s, want 201 and %s", i+1, got.status, got.body, step.want)
		}
	}

	again := finished(s.gl, must(s.gl.Play(s.manual)), "success", "")
	if again.Status != "success" {
		t.Errorf("played again, it is %s", again.Status)
	}
	third := must(s.gl.Play(again.ID))
	s.gl.Run(third.ID)
	s.gl.Cancel(third.ID)
	s.gl.Finish(third.ID, "success", "")
	if got := s.gl.Job(third.ID).Status; got != "canceled" {
		t.Errorf("a canceling job finished as %s, want canceled", got)
	}
}

func must(j gitlabtest.Job, err error) gitlabtest.Job {
	if err != nil {
		panic(err)
	}
	return j
}

func TestEraseTakesLogAndArtifacts(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	got := ask(t, s.gl, "POST", s.path("/projects/1/jobs/{compile}/erase"), "").object(t)
	if got["erased_at"] != "2026-11-01T12:00:00.000Z" || got["artifacts_file"] != nil {
		t.Errorf("got %v", got)
	}
	if job := s.gl.Job(s.compile); job.Log != "" || job.Artifacts != nil || job.ErasedAt.IsZero() {
		t.Errorf("the job is %+v", job)
	}
}

func TestABotErasesItsOwnJobs(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	retry := ask(t, s.gl, "POST", s.path("/projects/1/jobs/{compile}/retry"), "")
	protected := int64(retry.object(t)["id"].(float64))
	ask(t, s.gl, "POST", s.path("/projects/1/jobs/{manual}/play"), "")
	s.gl.SetRole(1, gitlabtest.Developer)
	for id, want := range map[int64]int{s.manual: 201, protected: 403} {
		s.gl.SetLog(id, "text")
		finished(s.gl, s.gl.Job(id), "success", "")
		if got := ask(t, s.gl, "POST", fmt.Sprintf("/projects/1/jobs/%d/erase", id), ""); got.status != want {
			t.Errorf("job %d: got %d %s, want %d", id, got.status, got.body, want)
		}
	}
}

func TestNotRetryable(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	project := gl.AddProject(gitlabtest.Project{Path: "g/p"})
	p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{},
		gitlabtest.Job{Name: "archived", Status: "failed", Archived: true},
		gitlabtest.Job{Name: "rejected", Status: "failed", FailureReason: "deployment_rejected"})
	for _, j := range gl.Jobs(p.ID) {
		if got := ask(t, gl, "POST", fmt.Sprintf("/projects/%d/jobs/%d/retry", project.ID, j.ID), ""); got.status != 403 {
			t.Errorf("%s: got %d, want 403", j.Name, got.status)
		}
	}
}

func TestPipelineLists(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	again := must(s.gl.Retry(s.compile)).ID
	other := s.gl.Job(s.manual).PipelineID
	for _, tt := range []struct {
		path string
		want []int64
	}{
		{"/projects/1/pipelines/{pipeline}/jobs", []int64{again, s.deploy, s.rspec}},
		{"/projects/1/pipelines/{pipeline}/jobs?include_retried=true", []int64{again, s.deploy, s.rspec, s.compile}},
		{"/projects/1/pipelines/{pipeline}/jobs?scope[]=pending", []int64{again}},
		{"/projects/1/pipelines/{pipeline}/jobs?scope=pending", []int64{again}},
		{"/projects/1/pipelines/{pipeline}/jobs?scope[]=pending&scope[]=failed&include_retried=true", []int64{again, s.compile}},
		{"/projects/1/pipelines/{pipeline}/bridges", []int64{}},
		{fmt.Sprintf("/projects/1/pipelines/%d/jobs", other), []int64{s.manual}},
		{fmt.Sprintf("/projects/1/pipelines/%d/bridges", other), []int64{s.bridge}},
		{fmt.Sprintf("/projects/1/pipelines/%d/bridges?scope[]=failed", other), []int64{}},
		{"/projects/1/jobs", []int64{again, s.manual, s.deploy, s.rspec, s.compile}},
		{"/projects/1/jobs?scope[]=failed&scope[]=manual", []int64{s.manual, s.compile}},
		{"/projects/1/pipelines", []int64{other, s.pipeline.ID}},
	} {
		if diff := cmp.Diff(tt.want, ask(t, s.gl, "GET", s.path(tt.path), "").ids(t)); diff != "" {
			t.Errorf("%s: %s", tt.path, diff)
		}
	}
}

func TestBridgesCarryTheirPipeline(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	bridge := s.gl.Job(s.bridge)
	down := s.gl.AddPipeline(1, gitlabtest.Pipeline{Ref: "child", TriggeredBy: s.bridge, Source: "parent_pipeline"}, gitlabtest.Job{Name: "x"})
	got := ask(t, s.gl, "GET", fmt.Sprintf("/projects/1/pipelines/%d/bridges", bridge.PipelineID), "").body
	list := decode[[]struct {
		Downstream struct {
			ID  int64
			Ref string
		} `json:"downstream_pipeline"`
	}](t, got)
	if len(list) != 1 || list[0].Downstream.ID != down.ID || list[0].Downstream.Ref != "child" {
		t.Errorf("got %s", got)
	}
	if body := decode[map[string]any](t, string(s.gl.PipelineHookBody(down.ID))); body["source_pipeline"].(map[string]any)["job_id"] != float64(s.bridge) {
		t.Errorf("the hook's source_pipeline is %v", body["source_pipeline"])
	}
}

// many adds a pipeline of n jobs.
func many(gl *gitlabtest.Server, n int) gitlabtest.Pipeline {
	jobs := make([]gitlabtest.Job, n)
	for i := range jobs {
		jobs[i] = gitlabtest.Job{Name: fmt.Sprintf("job %d", i), Status: "success"}
	}
	return gl.AddPipeline(gl.AddProject(gitlabtest.Project{Path: "g/many"}).ID, gitlabtest.Pipeline{}, jobs...)
}

func TestPaging(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	p := many(gl, 45)
	pipelineJobs := fmt.Sprintf("/projects/1/pipelines/%d/jobs", p.ID)
	for _, tt := range []struct {
		name   string
		path   string
		sizes  []int
		totals string
	}{
		{"offsets", "/projects/1/jobs", []int{20, 20, 5}, ""},
		{"offsets, full pages", "/projects/1/jobs?per_page=15", []int{15, 15, 15}, ""},
		{"offsets, one page", "/projects/1/jobs?per_page=1000", []int{45}, ""},
		{"offsets with totals", pipelineJobs + "?per_page=40&scope[]=success&scope[]=failed", []int{40, 5}, "45"},
		{"keyset", "/projects/1/jobs?pagination=keyset&order_by=id&sort=desc", []int{20, 20, 5}, ""},
		{"keyset, full pages", "/projects/1/jobs?pagination=keyset&per_page=15&scope[]=success", []int{15, 15, 15}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var sizes []int
			seen := map[int64]bool{}
			for path := tt.path; path != ""; {
				page := ask(t, gl, "GET", path, "")
				if got := page.header.Get("X-Total"); got != tt.totals {
					t.Errorf("X-Total is %q, want %q", got, tt.totals)
				}
				sizes = append(sizes, len(page.ids(t)))
				for _, id := range page.ids(t) {
					seen[id] = true
				}
				path = next(page.header)
				if keyset := strings.Contains(tt.path, "keyset"); !keyset && (path == "") != (page.header.Get("X-Next-Page") == "") {
					t.Errorf("Link %q and X-Next-Page %q differ", page.header.Get("Link"), page.header.Get("X-Next-Page"))
				}
			}
			if diff := cmp.Diff(tt.sizes, sizes); diff != "" {
				t.Error(diff)
			}
			if len(seen) != 45 {
				t.Errorf("saw %d jobs, want 45", len(seen))
			}
		})
	}
}

// next is the Link header's next page.
func next(h http.Header) string {
	for link := range strings.SplitSeq(h.Get("Link"), ", ") {
		if target, found := strings.CutSuffix(link, `>; rel="next"`); found {
			return strings.TrimPrefix(target, "<")
		}
	}
	return ""
}

// A job that comes while one pages shifts offsets, but no keyset.
func TestKeysetHoldsStill(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	p := many(gl, 4)
	first := ask(t, gl, "GET", "/projects/1/jobs?pagination=keyset&per_page=2", "")
	gl.AddPipeline(p.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "new"})
	second := ask(t, gl, "GET", next(first.header), "")
	if diff := cmp.Diff([]int64{1002, 1001}, second.ids(t)); diff != "" {
		t.Error(diff)
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	gl, now := start(t, func(o *gitlabtest.Options) { o.RateLimit = 2 })
	now.Advance(15 * time.Second)
	for i, want := range []struct {
		status                           int
		observed, remaining, retry, body string
	}{
		{200, "1", "1", "", `"version"`},
		{200, "2", "0", "", `"version"`},
		{429, "3", "0", "45", "Retry later\n"},
		{429, "4", "0", "45", "Retry later\n"},
	} {
		got := ask(t, gl, "GET", "/version", "")
		h := got.header
		if got.status != want.status || h.Get("RateLimit-Observed") != want.observed || h.Get("RateLimit-Remaining") != want.remaining ||
			h.Get("RateLimit-Limit") != "2" || h.Get("Retry-After") != want.retry || !strings.Contains(got.body, want.body) {
			t.Errorf("request %d: got %d %v %s", i+1, got.status, h, got.body)
		}
		if reset := h.Get("RateLimit-Reset"); reset != "1793534460" { // 12:01
			t.Errorf("RateLimit-Reset is %s", reset)
		}
	}
	now.Advance(45 * time.Second)
	if got := ask(t, gl, "GET", "/version", ""); got.status != 200 {
		t.Errorf("in the next minute: got %d", got.status)
	}
}

// The bodies are what GitLab's own Go client expects.
func TestOfficialClient(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	client, err := gitlab.NewClient(gitlabtest.DefaultToken, gitlab.WithBaseURL(s.gl.URL()), gitlab.WithoutRetries(),
		gitlab.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
	if err != nil {
		t.Fatal(err)
	}
	job, _, err := client.Jobs.GetJob("platform/shop", s.compile)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	if job.ID != s.compile || job.Status != "failed" || job.Pipeline.ProjectID != 1 || !job.FinishedAt.Equal(at) ||
		job.User.Username != "ada" || job.Runner.ID != 11 || job.ArtifactsFile.Size != 1000 || len(job.Artifacts) != 2 ||
		job.Artifacts[1] != (gitlab.JobArtifact{FileType: "trace", Filename: "job.log", Size: 24, FileFormat: "raw"}) ||
		job.Commit.Title != "Change 1" || job.WebURL != s.gl.URL()+fmt.Sprintf("/platform/shop/-/jobs/%d", s.compile) {
		t.Errorf("got %+v", job)
	}
	rspec, _, err := client.Jobs.GetJob(1, s.rspec)
	if err != nil || !cmp.Equal(rspec.TagList, []string{"docker", "linux"}) || rspec.StartedAt != nil || rspec.Status != "skipped" {
		t.Errorf("got %+v, %v", rspec, err)
	}
	bridges, _, err := client.Jobs.ListPipelineBridges(1, s.gl.Job(s.bridge).PipelineID, nil)
	if err != nil || len(bridges) != 1 || bridges[0].DownstreamPipeline != nil {
		t.Errorf("got %+v, %v", bridges, err)
	}
	played, _, err := client.Jobs.PlayJob(1, s.manual, &gitlab.PlayJobOptions{
		JobVariablesAttributes: &[]*gitlab.JobVariableOptions{{Key: gitlab.Ptr("A"), Value: gitlab.Ptr("b")}},
	})
	if err != nil || played.Status != "pending" || s.gl.Job(s.manual).Variables[0] != (gitlabtest.Variable{Key: "A", Value: "b"}) {
		t.Errorf("got %+v, %v", played, err)
	}
	pipelines, _, err := client.Pipelines.ListProjectPipelines(1, &gitlab.ListProjectPipelinesOptions{Ref: gitlab.Ptr("main")})
	if err != nil || len(pipelines) != 1 || pipelines[0].ID != s.pipeline.ID {
		t.Errorf("got %+v, %v", pipelines, err)
	}
	pipeline, _, err := client.Pipelines.GetPipeline(1, s.pipeline.ID)
	if err != nil || pipeline.Status != "failed" || !pipeline.FinishedAt.Equal(at) {
		t.Errorf("got %+v, %v", pipeline, err)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	job := s.gl.Job(s.compile)
	for page, want := range map[string]string{
		s.gl.Project(1).WebURL:                      fmt.Sprintf("/-/pipelines/%d", s.pipeline.ID),
		s.gl.Pipeline(s.pipeline.ID).WebURL:         fmt.Sprintf("/-/jobs/%d", s.compile),
		job.WebURL:                                  "is failed script_failure",
		s.gl.URL() + "/" + url.PathEscape("no/way"): "404 page not found",
	} {
		if got := ask(t, s.gl, "GET", page, ""); !strings.Contains(got.body, want) {
			t.Errorf("%s: got %s, want %s", page, got.body, want)
		}
	}
	if n := len(s.gl.Requests()); n != 0 {
		t.Errorf("%d pages were taken for API requests", n)
	}
}
