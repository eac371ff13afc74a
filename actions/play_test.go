package actions_test

import (
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

const inOrderRules = `
version: 1
rules:
  - name: deploy
    on: pipeline
    actions:
      - play: {jobs: 'sortBy(filter(pipeline.jobs, .status == "manual"), .id)', wait: success}
`

// With `wait: success`, each job is played when the one before has passed.
func TestPlayInOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		ends   string // of the first
		clones bool
		second string // outcome of the second
		says   string
	}{
		{"passes", "success", false, event.ResultDone, ""},
		{"passes as a clone", "success", true, event.ResultDone, ""},
		{"fails", "failed", false, event.ResultSkipped, "staging, which must pass before, is failed"},
		{"is canceled", "canceled", false, event.ResultSkipped, "staging, which must pass before, is canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.NewOn(t, gitlabtest.Options{PlayClones: c.clones}, inOrderRules)
			h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "staging", When: "manual"}, gitlabtest.Job{Name: "production", When: "manual"})
			h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
			h.PassTime()
			if n := h.GitLab.Count("POST", "/play"); n != 1 {
				t.Fatalf("%d plays before the first job has passed, want 1", n)
			}
			staging := h.GitLab.Latest(h.Pipeline.ID, "staging")
			if o := h.Outcomes()[0]; o.NewJobID != staging.ID {
				t.Errorf("played as job %d, want %d", o.NewJobID, staging.ID)
			}
			h.GitLab.Run(staging.ID)
			h.PassTime()
			if n := h.GitLab.Count("POST", "/play"); n != 1 {
				t.Errorf("%d plays while the first job runs, want 1", n)
			}
			reason := ""
			if c.ends == "failed" {
				reason = "script_failure"
			}
			h.GitLab.Finish(staging.ID, c.ends, reason)
			h.WorkOff()
			all := h.Outcomes()
			if len(all) != 2 || all[0].Result != event.ResultDone || all[1].Result != c.second {
				t.Fatalf("outcomes %+v, want done and %s", all, c.second)
			}
			actionstest.Has(t, all[1].Reason, c.says)
		})
	}
}

// A protected environment is named.
func TestPlayInAProtectedEnvironment(t *testing.T) {
	h := actionstest.New(t, "version: 1\nrules:\n  - {name: r, on: pipeline, actions: [play: {jobs: 'filter(pipeline.jobs, .status == \"manual\")'}]}\n")
	project := h.GitLab.AddProject(gitlabtest.Project{
		Path: "platform/shop", Role: gitlabtest.Developer,
		ProtectedEnvironments: map[string][]gitlabtest.Role{"production": {gitlabtest.Maintainer}},
	})
	pipeline := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{},
		gitlabtest.Job{Name: "deploy", When: "manual", Environment: gitlabtest.Environment{Name: "production", Action: "start"}})
	h.Deliver(h.GitLab.PipelineHookBody(pipeline.ID))
	h.WorkOff()
	h.WantOutcome(event.ResultFailed, "production", "/play", 1)
}

// What an erase frees is summed.
func TestEraseSumsWhatItFreed(t *testing.T) {
	h := actionstest.New(t, "version: 1\nrules:\n  - {name: r, on: job, actions: [erase: {older_than: 0s, artifacts: true}]}\n")
	job := h.FailedJob("script_failure")
	h.GitLab.SetLog(job.ID, "0123456789")
	h.GitLab.SetArtifacts(job.ID, gitlabtest.Archive)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	if o := h.WantOutcome(event.ResultDone, "", "/erase", 1); o.Freed != 10+gitlabtest.Archive.Size {
		t.Errorf("freed %d bytes, want %d", o.Freed, 10+gitlabtest.Archive.Size)
	}
}

// Whole pipelines are retried and canceled, with the same guards.
func TestWholePipelines(t *testing.T) {
	const text = `
version: 1
limits: {per_job: 2}
rules:
  - {name: again, on: pipeline, if: 'pipeline.status == "failed"', actions: [retry_pipeline]}
  - {name: stop, on: pipeline, if: 'pipeline.status == "running"', actions: [cancel_pipeline]}
`
	fail := func(h *actionstest.Harness, reason string) {
		job := h.GitLab.Latest(h.Pipeline.ID, "rspec")
		h.GitLab.Run(job.ID)
		h.GitLab.Finish(job.ID, "failed", reason)
	}
	for _, c := range []struct {
		name    string
		arrange func(h *actionstest.Harness)
		then    func(h *actionstest.Harness) // after the hook
		call    string
		calls   int
		result  string
		says    string
	}{
		{"failed", func(h *actionstest.Harness) { fail(h, actionstest.Stuck) }, nil, "/retry", 1, event.ResultDone, ""},
		{"hopeless", func(h *actionstest.Harness) { fail(h, "ci_quota_exceeded") }, nil, "/retry", 0, event.ResultSkipped, "no retry mends"},
		{"attempts used up", func(h *actionstest.Harness) {
			fail(h, actionstest.Stuck)
			h.MustRetry(h.GitLab.Latest(h.Pipeline.ID, "rspec").ID)
			fail(h, actionstest.Stuck)
		}, nil, "/retry", 0, event.ResultGaveUp, "2 attempts, as many as `limits.per_job` allows"},
		{"running again", func(h *actionstest.Harness) { fail(h, actionstest.Stuck) }, func(h *actionstest.Harness) { h.MustRetry(h.GitLab.Latest(h.Pipeline.ID, "rspec").ID) }, "/retry", 0, event.ResultSkipped, "neither failed nor canceled"},
		{"newer pipeline", func(h *actionstest.Harness) { fail(h, actionstest.Stuck) }, func(h *actionstest.Harness) {
			h.GitLab.AddPipeline(h.Pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		}, "/retry", 0, event.ResultSkipped, "the pipeline is outdated by pipeline 102"},
		{"running", func(h *actionstest.Harness) { h.GitLab.Run(h.GitLab.Latest(h.Pipeline.ID, "rspec").ID) }, nil, "/cancel", 1, event.ResultDone, "canceled"},
		{"ended meanwhile", func(h *actionstest.Harness) { h.GitLab.Run(h.GitLab.Latest(h.Pipeline.ID, "rspec").ID) }, func(h *actionstest.Harness) {
			h.GitLab.Finish(h.GitLab.Latest(h.Pipeline.ID, "rspec").ID, "success", "")
		}, "/cancel", 0, event.ResultSkipped, "the pipeline has ended: success"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, text)
			h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			c.arrange(h)
			h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
			if c.then != nil {
				c.then(h)
			}
			h.WorkOff()
			h.WantOutcome(c.result, c.says, c.call, c.calls)
		})
	}
}

// A play that was refused is made when the job before it passes after all.
func TestPlayedWhenMended(t *testing.T) {
	h := actionstest.New(t, inOrderRules)
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "staging", When: "manual"}, gitlabtest.Job{Name: "production", When: "manual"})
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	h.PassTime()
	h.End("staging", "failed", "runner_system_failure")
	h.WorkOff()
	h.MustRetry(h.GitLab.Latest(h.Pipeline.ID, "staging").ID)
	h.End("staging", "success", "")
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	h.WorkOff()
	h.WantResults(event.ResultDone, event.ResultSkipped, event.ResultDone)
	if n := h.GitLab.Count("POST", "/play"); n != 2 {
		t.Errorf("%d plays, want 2", n)
	}
}

// A play waits for the job before also while a rule retries that.
func TestPlayWaitsForARetry(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, inOrderRules+"  - {name: again, on: job, if: 'failed_with(\"runner_system_failure\")', actions: [retry]}\n")
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "staging", When: "manual"}, gitlabtest.Job{Name: "production", When: "manual"})
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	h.PassTime()
	h.Deliver(h.GitLab.JobHookBody(h.End("staging", "failed", "runner_system_failure")))
	h.PassTime()
	h.Deliver(h.GitLab.JobHookBody(h.End("staging", "success", "")))
	h.WorkOff()
	if n := h.GitLab.Count("POST", "/play"); n != 2 {
		t.Errorf("%d plays, want 2: %+v", n, h.Outcomes())
	}
}

// TestPlayAfterALongPause: the time of a pause is not the time that a job has to
// pass in.
func TestPlayAfterALongPause(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, inOrderRules)
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "staging", When: "manual"}, gitlabtest.Job{Name: "production", When: "manual"})
	if _, err := h.Pauses().Pause(t.Context(), event.Pause{}, false, ""); err != nil {
		t.Fatal(err)
	}
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	for range 26 * 60 {
		h.Work()
		h.Clock.Advance(time.Minute)
	}
	if _, err := h.Pauses().ResumeAll(t.Context(), event.Actor{By: "the test"}); err != nil {
		t.Fatal(err)
	}
	h.PassTime()
	h.End("staging", "success", "")
	h.WorkOff()
	h.WantResults(event.ResultDone, event.ResultDone)
}
