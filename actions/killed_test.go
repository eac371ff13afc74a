package actions_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// A kill between any two steps of each action, and another kill soon after the
// start that follows: GitLab has seen one effect, and there is one outcome.
func TestEachActionKilledTwice(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	for _, c := range []struct {
		name  string
		rule  string
		scene func(h *actionstest.Harness)
		// effect counts what GitLab has seen of the action.
		effect func(h *actionstest.Harness) int
	}{
		{
			"retry", "{name: r, on: job, if: 'job.status == \"failed\"', actions: [retry: {delay: 30s}]}",
			func(h *actionstest.Harness) { h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID)) },
			func(h *actionstest.Harness) int { return len(h.RunsOf("rspec")) - 1 },
		},
		{
			"play", "{name: r, on: pipeline, actions: [play: {jobs: 'filter(pipeline.jobs, .status == \"manual\")', variables: {A: b}}]}",
			func(h *actionstest.Harness) {
				h.Deliver(h.GitLab.PipelineHookBody(h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "deploy", When: "manual"}).ID))
			},
			func(h *actionstest.Harness) int { return h.CountStatus("deploy", "pending") },
		},
		{
			"cancel", "{name: r, on: pipeline, actions: [cancel: {jobs: 'pipeline.jobs'}]}",
			func(h *actionstest.Harness) {
				h.Deliver(h.GitLab.PipelineHookBody(h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}).ID))
			},
			func(h *actionstest.Harness) int { return h.CountStatus("rspec", "canceled") },
		},
		{
			"erase", "{name: r, on: job, actions: [erase: {older_than: 0s}]}",
			func(h *actionstest.Harness) {
				job := h.FailedJob("script_failure")
				h.GitLab.SetLog(job.ID, "log\n")
				h.Deliver(h.GitLab.JobHookBody(job.ID))
			},
			func(h *actionstest.Harness) int {
				if h.RunsOf("rspec")[0].ErasedAt.IsZero() {
					return 0
				}
				return 1
			},
		},
		{
			"retry_pipeline", "{name: r, on: pipeline, if: 'pipeline.status == \"failed\"', actions: [retry_pipeline]}",
			func(h *actionstest.Harness) {
				pipeline := h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
				job := h.GitLab.Latest(pipeline.ID, "rspec")
				h.GitLab.Run(job.ID)
				h.GitLab.Finish(job.ID, "failed", actionstest.Stuck)
				h.Deliver(h.GitLab.PipelineHookBody(pipeline.ID))
			},
			func(h *actionstest.Harness) int { return len(h.RunsOf("rspec")) - 1 },
		},
		{
			"retry of a trigger job", "{name: r, on: pipeline, actions: [retry: {jobs: 'filter(bridges(), .status == \"failed\")'}]}",
			func(h *actionstest.Harness) {
				h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "docs", Bridge: true, Status: "failed"})
				h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
			},
			func(h *actionstest.Harness) int { return len(h.RunsOf("docs")) - 1 },
		},
		{
			"cancel_pipeline", "{name: r, on: pipeline, if: 'pipeline.status == \"pending\"', actions: [cancel_pipeline]}",
			func(h *actionstest.Harness) {
				h.Deliver(h.GitLab.PipelineHookBody(h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}).ID))
			},
			func(h *actionstest.Harness) int { return h.CountStatus("rspec", "canceled") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			actionstest.KilledTwice(t, c.scene, "version: 1\nrules:\n  - "+c.rule+"\n", func(h *actionstest.Harness, when string) {
				if n := c.effect(h); n != 1 {
					h.Errorf("%s: GitLab has seen %d effects, want 1", when, n)
				}
				if o := h.Only(); o.Result != event.ResultDone {
					h.Errorf("%s: outcome %s (%s), want done", when, o.Result, o.Reason)
				}
			})
		})
	}
}

// The same for actions that wait: for the job before them to pass, and for a
// budget to grant retries again.
func TestWaitingActionsKilledTwice(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	wantTwo := func(h *actionstest.Harness, when string, effects int) {
		if effects != 2 {
			h.Errorf("%s: GitLab has seen %d effects, want 2", when, effects)
		}
		for _, o := range h.Outcomes() {
			if o.Result != event.ResultDone {
				h.Errorf("%s: %s is %s (%s), want done", when, o.Job.Name, o.Result, o.Reason)
			}
		}
		if n := len(h.Outcomes()); n != 2 {
			h.Errorf("%s: %d outcomes, want 2", when, n)
		}
	}
	t.Run("play, wait: success", func(t *testing.T) {
		t.Parallel()
		actionstest.KilledTwice(t, func(h *actionstest.Harness) {
			pipeline := h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one", When: "manual"}, gitlabtest.Job{Name: "two", When: "manual"})
			h.Deliver(h.GitLab.PipelineHookBody(pipeline.ID))
			h.Meanwhile = func() {
				if h.CountStatus("one", "pending") == 0 {
					return
				}
				if h.CountStatus("two", "manual") != 1 {
					h.Error("two was played before one had passed")
				}
				h.End("one", "success", "")
			}
		}, `
version: 1
rules:
  - {name: r, on: pipeline, actions: [play: {jobs: 'sortBy(filter(pipeline.jobs, .status == "manual"), .id)', wait: success}]}
`, func(h *actionstest.Harness, when string) {
			wantTwo(h, when, h.CountStatus("one", "success")+h.CountStatus("two", "pending"))
		})
	})
	t.Run("retry, within a budget", func(t *testing.T) {
		t.Parallel()
		actionstest.KilledTwice(t, func(h *actionstest.Harness) {
			h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
			for _, name := range []string{"rspec", "lint"} {
				h.Deliver(h.GitLab.JobHookBody(h.End(name, "failed", actionstest.Stuck)))
			}
		}, `
version: 1
limits: {per_project: 1/5m}
rules:
  - {name: r, on: job, if: 'job.status == "failed"', actions: [retry]}
`, func(h *actionstest.Harness, when string) {
			wantTwo(h, when, len(h.RunsOf("rspec"))+len(h.RunsOf("lint"))-2)
		})
	})
}
