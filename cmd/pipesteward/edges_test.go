package main

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// `make test` takes some seconds of this, `make soak` a minute.
var edgesFor = flag.Duration("edges.for", 0, "for how `long` TestGitLabsEdges goes on once each trouble has been")

const edgesRules = `
version: 1
limits: {per_job: 10, per_pipeline: 1000, per_project: 100000/1h, total: 100000/1h}
storm: {failures: 10000}
rules:
  - {name: retry-stuck, on: job, if: 'failed_with("stuck_or_timeout_failure")', actions: [retry: {max_attempts: 3}]}
  - {name: retry-third, on: job, if: 'failed_with("runner_system_failure") and job.attempt == 2', actions: [retry: {max_attempts: 3}]}
  - {name: retry-full-disk, on: job, if: 'failed_with("script_failure") and log() contains "No space left"', actions: [retry: {max_attempts: 3}]}
  - name: deploy
    on: pipeline
    if: any(pipeline.jobs, .name == "deploy" and .status == "manual") and all(pipeline.jobs, .stage != "test" or .status == "success")
    actions: [play: {jobs: 'filter(pipeline.jobs, .name == "deploy" and .status == "manual")'}]
  - {name: cancel-outdated, on: pipeline, if: 'pipeline.status in ["pending", "running"]', actions: [cancel_outdated]}
`

// TestGitLabsEdges: a GitLab whose API is behind its webhooks goes through all
// the ways in which it can't be used, one after the other, while people and
// another GitLab that was restored from its backup do what a rule must not act
// on. What was wanted is done once, and nothing else.
func TestGitLabsEdges(t *testing.T) {
	await.Long(t, "it goes through a dozen ways in which GitLab can't be used")
	t.Parallel()
	e := newEdges(t)
	troubles := e.troubles()
	scenes := e.scenes()
	began := time.Now()
	for round := 0; round < len(troubles) || time.Since(began) < *edgesFor; round++ {
		trouble := troubles[round%len(troubles)]
		trouble.begin()
		for _, scene := range scenes {
			e.wanted = append(e.wanted, scene.play(len(e.wanted)))
			<-time.After(50 * time.Millisecond) // GitLab's traffic; nothing is expected by its end
		}
		trouble.end()
	}
	e.p.workedOff()
	e.check()
}

// edges is a program at such a GitLab, with what is to come of all that happened.
type edges struct {
	*environment
	p        *program
	restored *gitlabtest.Server // has the ids of gitlab, and another address
	projects map[string]gitlabtest.Project
	tokens   int
	wanted   []wantedEffect
}

// wantedEffect is what a scene is to end with.
type wantedEffect struct {
	scene    string
	pipeline int64
	jobs     map[string][]string // statuses of the runs of each job, oldest first
	reason   string              // of its failed outcome, in GitLab's words; "": no decision fails
}

func newEdges(t *testing.T) *edges {
	env := newEnvironment(t)
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, Lag: time.Second})
	env.write("rules.yaml", edgesRules)
	env.tokenFile = env.write("token", gitlabtest.DefaultToken)
	e := &edges{
		environment: env, projects: map[string]gitlabtest.Project{},
		restored: gitlabtest.Start(t, gitlabtest.Options{Now: time.Now}),
	}
	e.p = env.serve("--gitlab-rate", "1000000/1m")
	return e
}

// trouble is a way in which GitLab can't be used.
type trouble struct{ begin, end func() }

func (e *edges) troubles() []trouble {
	faults := []gitlabtest.Fault{
		{Times: -1, Status: http.StatusUnauthorized},
		gitlabtest.LoginRedirect, gitlabtest.LoginPage,
		{Times: -1, Status: http.StatusLocked},
		{Times: -1, Status: 499},
		{Times: -1, Status: http.StatusBadGateway, HTML: true},
		{Times: -1, Method: http.MethodPost, Status: http.StatusConflict, Message: "409 Conflict: Resource lock"},
		{Times: -1, Method: http.MethodPost, After: true, Cut: true},
	}
	all := []trouble{
		{func() {}, func() {}},
		{
			func() { e.gitlab.SetAccessToken(gitlabtest.AccessToken{Scopes: []string{"read_api"}}) },
			func() { e.gitlab.SetAccessToken(gitlabtest.AccessToken{}) },
		},
		{
			func() { // the token is rotated, and the file follows later
				e.tokens++
				e.gitlab.SetToken(fmt.Sprintf("%s-%d", gitlabtest.DefaultToken, e.tokens))
			},
			func() {
				e.write("token.new", fmt.Sprintf("%s-%d", gitlabtest.DefaultToken, e.tokens))
				if err := os.Rename(e.tokenFile+".new", e.tokenFile); err != nil {
					e.Fatal(err)
				}
			},
		},
	}
	if *edgesFor >= time.Minute { // as long as GitLab's limit of an endpoint lasts
		faults = append(faults, gitlabtest.Fault{
			Times: -1, Method: http.MethodPost, Status: http.StatusTooManyRequests,
			Message: "This endpoint has been requested too many times. Try again later.",
		})
	}
	for _, f := range faults {
		all = append(all, trouble{func() { e.gitlab.Fail(f) }, e.gitlab.ClearFaults})
	}
	return all
}

// scene is something that happens in a pipeline of its own.
type scene struct {
	name string
	play func(n int) wantedEffect
}

func (e *edges) scenes() []scene {
	scenes := []scene{
		{"a job gets stuck", func(int) wantedEffect {
			p := e.pipeline("stuck", gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			e.fail(p, "rspec", "stuck_or_timeout_failure")
			e.jobHook(p, "rspec")
			return wantedEffect{pipeline: p, jobs: map[string][]string{"rspec": {"failed", "pending"}}}
		}},
		{"a disk is full", func(int) wantedEffect {
			p := e.pipeline("disk", gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", Log: "No space left on device\n"})
			e.fail(p, "rspec", "script_failure")
			e.jobHook(p, "rspec")
			return wantedEffect{pipeline: p, jobs: map[string][]string{"rspec": {"failed", "pending"}}}
		}},
		{"a person is faster", func(int) wantedEffect {
			p := e.pipeline("person", gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			e.fail(p, "rspec", "stuck_or_timeout_failure")
			body := e.gitlab.JobHookBody(e.gitlab.Latest(p, "rspec").ID)
			if _, err := e.gitlab.Retry(e.gitlab.Latest(p, "rspec").ID); err != nil {
				e.Error(err)
			}
			e.post(body)
			return wantedEffect{pipeline: p, jobs: map[string][]string{"rspec": {"failed", "pending"}}}
		}},
		{"GitLab's own retry runs the job again", func(int) wantedEffect {
			p := e.pipeline("native", gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", AutoRetry: 1})
			for range 2 {
				e.fail(p, "rspec", "runner_system_failure")
				e.jobHook(p, "rspec")
			}
			return wantedEffect{pipeline: p, jobs: map[string][]string{"rspec": {"failed", "failed", "pending"}}}
		}},
		{"a job waits for somebody", func(int) wantedEffect {
			p := e.pipeline("play", gitlabtest.Pipeline{}, gitlabtest.Job{Name: "test"}, gitlabtest.Job{Name: "deploy", Stage: "deploy", When: "manual"})
			e.gitlab.Run(e.gitlab.Latest(p, "test").ID)
			e.gitlab.Finish(e.gitlab.Latest(p, "test").ID, "success", "")
			e.post(e.gitlab.PipelineHookBody(p))
			return wantedEffect{pipeline: p, jobs: map[string][]string{"test": {"success"}, "deploy": {"pending"}}}
		}},
		{"another job has the id", func(int) wantedEffect {
			p := e.pipeline("another", gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			e.fail(p, "rspec", "script_failure")
			body := e.gitlab.JobHookBody(e.gitlab.Latest(p, "rspec").ID)
			e.post(bytes.NewBufferString(strings.NewReplacer(`"rspec"`, `"deploy"`, "script_failure", "stuck_or_timeout_failure").Replace(string(body))).Bytes())
			return wantedEffect{pipeline: p, jobs: map[string][]string{"rspec": {"failed"}}}
		}},
		{"an event of the restored GitLab", func(int) wantedEffect {
			p := e.pipeline("restored", gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			e.fail(p, "rspec", "script_failure")
			body := strings.ReplaceAll(string(e.gitlab.JobHookBody(e.gitlab.Latest(p, "rspec").ID)), e.gitlab.URL(), e.restored.URL())
			e.post([]byte(strings.ReplaceAll(body, "script_failure", "stuck_or_timeout_failure")))
			return wantedEffect{pipeline: p, jobs: map[string][]string{"rspec": {"failed"}}}
		}},
	}
	scenes = append(scenes, scene{"a project is archived", func(int) wantedEffect {
		p := e.pipeline("archived", gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		e.fail(p, "rspec", "stuck_or_timeout_failure")
		e.jobHook(p, "rspec")
		return wantedEffect{pipeline: p, jobs: map[string][]string{"rspec": {"failed"}}, reason: "403 Forbidden"}
	}})
	// What a newer pipeline outdates, and what it doesn't.
	sha := func(n int) string { return fmt.Sprintf("%040x", n) }
	for _, c := range []struct {
		name     string
		newer    gitlabtest.Pipeline
		same     bool // it is of the same commit
		canceled bool
	}{
		{name: "a push", canceled: true},
		{name: "a schedule on the same commit", newer: gitlabtest.Pipeline{Source: "schedule"}, same: true},
		{name: "a tag of the branch's name", newer: gitlabtest.Pipeline{Tag: true}},
		{name: "a trigger on the same commit", newer: gitlabtest.Pipeline{Source: "trigger"}, same: true},
	} {
		scenes = append(scenes, scene{c.name, func(n int) wantedEffect {
			old := gitlabtest.Pipeline{Ref: fmt.Sprintf("ref-%d", n), SHA: sha(2 * n)}
			p := e.pipeline("outdated", old, gitlabtest.Job{Name: "build"})
			e.gitlab.Run(e.gitlab.Latest(p, "build").ID)
			c.newer.Ref, c.newer.SHA = old.Ref, sha(2*n+1)
			if c.same {
				c.newer.SHA = old.SHA
			}
			newer := e.pipeline("outdated", c.newer, gitlabtest.Job{Name: "build"})
			e.post(e.gitlab.PipelineHookBody(newer))
			e.wanted = append(e.wanted, wantedEffect{scene: "the newer pipeline", pipeline: newer, jobs: map[string][]string{"build": {"pending"}}})
			if c.canceled {
				return wantedEffect{pipeline: p, jobs: map[string][]string{"build": {"canceled"}}}
			}
			return wantedEffect{pipeline: p, jobs: map[string][]string{"build": {"running"}}}
		}})
	}
	for i, s := range scenes {
		scenes[i].play = func(n int) wantedEffect {
			w := s.play(n)
			w.scene = fmt.Sprintf("%s (%d)", s.name, n)
			return w
		}
	}
	return scenes
}

// pipeline makes a pipeline on a ref of its own, unless one is given.
func (e *edges) pipeline(project string, p gitlabtest.Pipeline, jobs ...gitlabtest.Job) int64 {
	if _, known := e.projects[project]; !known {
		e.projects[project] = e.gitlab.AddProject(gitlabtest.Project{Path: "platform/" + project, Archived: project == "archived"})
	}
	if p.Ref == "" {
		p.Ref = fmt.Sprintf("ref-%d", len(e.wanted))
	}
	return e.gitlab.AddPipeline(e.projects[project].ID, p, jobs...).ID
}

func (e *edges) fail(pipeline int64, name, reason string) {
	job := e.gitlab.Latest(pipeline, name).ID
	e.gitlab.Run(job)
	e.gitlab.Finish(job, "failed", reason)
}

// jobHook sends the Job Hook of the job that failed last.
func (e *edges) jobHook(pipeline int64, name string) {
	for _, job := range e.gitlab.Jobs(pipeline) {
		if job.Name == name && job.Status == "failed" {
			e.post(e.gitlab.JobHookBody(job.ID))
		}
	}
}

// post sends a delivery twice, as an identical webhook of the group does, and
// again where a machine under load has it refused.
func (e *edges) post(body []byte) {
	for range 2 {
		e.p.eventually("the delivery is answered", func() bool { return e.p.post(body) < http.StatusInternalServerError })
	}
}

// check wants each effect once, and no other.
func (e *edges) check() {
	failed := map[int64]string{}
	for _, o := range e.p.outcomes() {
		if o.Result == event.ResultFailed {
			failed[o.Pipeline.ID] = o.Reason
		}
	}
	for _, w := range e.wanted {
		if reason, ok := failed[w.pipeline]; ok != (w.reason != "") || !strings.Contains(reason, w.reason) {
			e.Errorf("%s: failed outcome %q, want %q", w.scene, reason, w.reason)
		}
		got := map[string][]string{}
		for _, job := range e.gitlab.Jobs(w.pipeline) {
			got[job.Name] = append(got[job.Name], job.Status)
		}
		if fmt.Sprint(got) != fmt.Sprint(w.jobs) {
			e.Errorf("%s: the jobs of pipeline %d are %v, want %v", w.scene, w.pipeline, got, w.jobs)
		}
	}
	e.Logf("%d pipelines, %d requests to GitLab", len(e.wanted), len(e.gitlab.Requests()))
}
