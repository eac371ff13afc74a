package actions_test

import (
	"testing"
	"time"

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
			h := newHouseOn(t, gitlabtest.Options{PlayClones: c.clones}, inOrderRules)
			h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "staging", When: "manual"}, gitlabtest.Job{Name: "production", When: "manual"})
			h.deliver(h.gitlab.PipelineHookBody(h.pipeline.ID))
			h.passTime()
			if n := h.gitlab.Count("POST", "/play"); n != 1 {
				t.Fatalf("%d plays before the first job has passed, want 1", n)
			}
			staging := h.gitlab.Latest(h.pipeline.ID, "staging")
			if o := h.outcomes()[0]; o.NewJobID != staging.ID {
				t.Errorf("played as job %d, want %d", o.NewJobID, staging.ID)
			}
			h.gitlab.Run(staging.ID)
			h.passTime()
			if n := h.gitlab.Count("POST", "/play"); n != 1 {
				t.Errorf("%d plays while the first job runs, want 1", n)
			}
			reason := ""
			if c.ends == "failed" {
				reason = "script_failure"
			}
			h.gitlab.Finish(staging.ID, c.ends, reason)
			h.workOff()
			all := h.outcomes()
			if len(all) != 2 || all[0].Result != event.ResultDone || all[1].Result != c.second {
				t.Fatalf("outcomes %+v, want done and %s", all, c.second)
			}
			has(t, all[1].Reason, c.says)
		})
	}
}

// A protected environment is named.
func TestPlayInAProtectedEnvironment(t *testing.T) {
	h := newHouse(t, "version: 1\nrules:\n  - {name: r, on: pipeline, actions: [play: {jobs: 'filter(pipeline.jobs, .status == \"manual\")'}]}\n")
	project := h.gitlab.AddProject(gitlabtest.Project{
		Path: "platform/shop", Role: gitlabtest.Developer,
		ProtectedEnvironments: map[string][]gitlabtest.Role{"production": {gitlabtest.Maintainer}},
	})
	pipeline := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{},
		gitlabtest.Job{Name: "deploy", When: "manual", Environment: gitlabtest.Environment{Name: "production", Action: "start"}})
	h.deliver(h.gitlab.PipelineHookBody(pipeline.ID))
	h.workOff()
	h.wantOutcome(event.ResultFailed, "production", "/play", 1)
}

// What an erase frees is summed.
func TestEraseSumsWhatItFreed(t *testing.T) {
	h := newHouse(t, "version: 1\nrules:\n  - {name: r, on: job, actions: [erase: {older_than: 0s, artifacts: true}]}\n")
	job := h.failedJob("script_failure")
	h.gitlab.SetLog(job.ID, "0123456789")
	h.gitlab.SetArtifacts(job.ID, gitlabtest.Archive)
	h.deliver(h.gitlab.JobHookBody(job.ID))
	h.workOff()
	if o := h.wantOutcome(event.ResultDone, "", "/erase", 1); o.Freed != 10+gitlabtest.Archive.Size {
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
	fail := func(h *house, reason string) {
		job := h.gitlab.Latest(h.pipeline.ID, "rspec")
		h.gitlab.Run(job.ID)
		h.gitlab.Finish(job.ID, "failed", reason)
	}
	for _, c := range []struct {
		name    string
		arrange func(h *house)
		then    func(h *house) // after the hook
		call    string
		calls   int
		result  string
		says    string
	}{
		{"failed", func(h *house) { fail(h, stuck) }, nil, "/retry", 1, event.ResultDone, ""},
		{"hopeless", func(h *house) { fail(h, "ci_quota_exceeded") }, nil, "/retry", 0, event.ResultSkipped, "no retry mends"},
		{"attempts used up", func(h *house) {
			fail(h, stuck)
			h.mustRetry(h.gitlab.Latest(h.pipeline.ID, "rspec").ID)
			fail(h, stuck)
		}, nil, "/retry", 0, event.ResultGaveUp, "2 attempts, as many as `limits.per_job` allows"},
		{"running again", func(h *house) { fail(h, stuck) }, func(h *house) { h.mustRetry(h.gitlab.Latest(h.pipeline.ID, "rspec").ID) }, "/retry", 0, event.ResultSkipped, "neither failed nor canceled"},
		{"newer pipeline", func(h *house) { fail(h, stuck) }, func(h *house) {
			h.gitlab.AddPipeline(h.pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		}, "/retry", 0, event.ResultSkipped, "the pipeline is outdated by pipeline 102"},
		{"running", func(h *house) { h.gitlab.Run(h.gitlab.Latest(h.pipeline.ID, "rspec").ID) }, nil, "/cancel", 1, event.ResultDone, "canceled"},
		{"ended meanwhile", func(h *house) { h.gitlab.Run(h.gitlab.Latest(h.pipeline.ID, "rspec").ID) }, func(h *house) {
			h.gitlab.Finish(h.gitlab.Latest(h.pipeline.ID, "rspec").ID, "success", "")
		}, "/cancel", 0, event.ResultSkipped, "the pipeline has ended: success"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, text)
			h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			c.arrange(h)
			h.deliver(h.gitlab.PipelineHookBody(h.pipeline.ID))
			if c.then != nil {
				c.then(h)
			}
			h.workOff()
			h.wantOutcome(c.result, c.says, c.call, c.calls)
		})
	}
}

// What was refused is played when the job before has been mended.
func TestPlayedWhenMended(t *testing.T) {
	h := newHouse(t, inOrderRules)
	h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "staging", When: "manual"}, gitlabtest.Job{Name: "production", When: "manual"})
	h.deliver(h.gitlab.PipelineHookBody(h.pipeline.ID))
	h.passTime()
	h.end("staging", "failed", "runner_system_failure")
	h.workOff()
	h.mustRetry(h.gitlab.Latest(h.pipeline.ID, "staging").ID)
	h.end("staging", "success", "")
	h.deliver(h.gitlab.PipelineHookBody(h.pipeline.ID))
	h.workOff()
	h.wantResults(event.ResultDone, event.ResultSkipped, event.ResultDone)
	if n := h.gitlab.Count("POST", "/play"); n != 2 {
		t.Errorf("%d plays, want 2", n)
	}
}

// A play waits for the job before also while a rule retries that.
func TestPlayWaitsForARetry(t *testing.T) {
	t.Parallel()
	h := newHouse(t, inOrderRules+"  - {name: again, on: job, if: 'failed_with(\"runner_system_failure\")', actions: [retry]}\n")
	h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "staging", When: "manual"}, gitlabtest.Job{Name: "production", When: "manual"})
	h.deliver(h.gitlab.PipelineHookBody(h.pipeline.ID))
	h.passTime()
	h.deliver(h.gitlab.JobHookBody(h.end("staging", "failed", "runner_system_failure")))
	h.passTime()
	h.deliver(h.gitlab.JobHookBody(h.end("staging", "success", "")))
	h.workOff()
	if n := h.gitlab.Count("POST", "/play"); n != 2 {
		t.Errorf("%d plays, want 2: %+v", n, h.outcomes())
	}
}

// TestPlayAfterALongPause: the time of a pause is not the time that a job has to
// pass in.
func TestPlayAfterALongPause(t *testing.T) {
	t.Parallel()
	h := newHouse(t, inOrderRules)
	h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "staging", When: "manual"}, gitlabtest.Job{Name: "production", When: "manual"})
	if err := h.pauses().Pause(t.Context(), event.Pause{}); err != nil {
		t.Fatal(err)
	}
	h.deliver(h.gitlab.PipelineHookBody(h.pipeline.ID))
	for range 26 * 60 {
		h.work()
		h.clock.Advance(time.Minute)
	}
	if _, err := h.pauses().ResumeAll(t.Context(), "the test"); err != nil {
		t.Fatal(err)
	}
	h.passTime()
	h.end("staging", "success", "")
	h.workOff()
	h.wantResults(event.ResultDone, event.ResultDone)
}
