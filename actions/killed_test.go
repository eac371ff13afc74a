package actions_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// killEach thins out the tests that kill the program at every step to the
// outside: `make soak` kills it at each.
var killEach = flag.Int("kill-each", 4, "kill the program at every n-th step to the outside")

// killedTwice runs a scene again and again, killing the program at each of its
// steps to the outside, and once more some steps after it was started anew,
// sooner or later, and checks what came of it.
func killedTwice(t *testing.T, scene func(h *house), ruleFile string, check func(h *house, when string)) {
	t.Helper()
	for steps := 1; ; steps += *killEach {
		h := newHouse(t, ruleFile)
		scene(h)
		h.start(newFuse(steps))
		h.passTime()
		killed := h.fuse.blown()
		second := 1 + 7*steps%13
		if killed {
			h.start(newFuse(second))
			h.passTime()
		}
		h.start(newFuse(-1))
		h.workOff()
		check(h, fmt.Sprintf("killed at step %d, and %d after that", steps, second))
		h.gitlab.Close()
		_ = h.slack.Close()
		if !killed {
			if steps < 15 {
				t.Errorf("all is done in %d steps: the fuse does not see them", steps)
			}
			return
		}
		if t.Failed() {
			return
		}
	}
}

// passTime works, while some minutes pass, until the program dies or is done.
func (h *house) passTime() {
	h.Helper()
	for range 40 {
		h.work()
		h.rest()
		if h.fuse.blown() || h.idle() {
			return
		}
		h.clock.Advance(30 * time.Second)
	}
}

// A kill between any two steps of each action, and another kill soon after the
// start that follows: GitLab has seen one effect, and there is one outcome.
func TestEachActionKilledTwice(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	for _, c := range []struct {
		name  string
		rule  string
		scene func(h *house)
		// effect counts what GitLab has seen of the action.
		effect func(h *house) int
	}{
		{
			"retry", "{name: r, on: job, if: 'job.status == \"failed\"', actions: [retry: {delay: 30s}]}",
			func(h *house) { h.deliver(h.gitlab.JobHookBody(h.failedJob(stuck).ID)) },
			func(h *house) int { return len(h.runsOf("rspec")) - 1 },
		},
		{
			"play", "{name: r, on: pipeline, actions: [play: {jobs: 'filter(pipeline.jobs, .status == \"manual\")', variables: {A: b}}]}",
			func(h *house) {
				h.deliver(h.gitlab.PipelineHookBody(h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "deploy", When: "manual"}).ID))
			},
			func(h *house) int { return h.countStatus("deploy", "pending") },
		},
		{
			"cancel", "{name: r, on: pipeline, actions: [cancel: {jobs: 'pipeline.jobs'}]}",
			func(h *house) {
				h.deliver(h.gitlab.PipelineHookBody(h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}).ID))
			},
			func(h *house) int { return h.countStatus("rspec", "canceled") },
		},
		{
			"erase", "{name: r, on: job, actions: [erase: {older_than: 0s}]}",
			func(h *house) {
				job := h.failedJob("script_failure")
				h.gitlab.SetLog(job.ID, "log\n")
				h.deliver(h.gitlab.JobHookBody(job.ID))
			},
			func(h *house) int {
				if h.runsOf("rspec")[0].ErasedAt.IsZero() {
					return 0
				}
				return 1
			},
		},
		{
			"retry_pipeline", "{name: r, on: pipeline, if: 'pipeline.status == \"failed\"', actions: [retry_pipeline]}",
			func(h *house) {
				pipeline := h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
				job := h.gitlab.Latest(pipeline.ID, "rspec")
				h.gitlab.Run(job.ID)
				h.gitlab.Finish(job.ID, "failed", stuck)
				h.deliver(h.gitlab.PipelineHookBody(pipeline.ID))
			},
			func(h *house) int { return len(h.runsOf("rspec")) - 1 },
		},
		{
			"retry of a trigger job", "{name: r, on: pipeline, actions: [retry: {jobs: 'filter(bridges(), .status == \"failed\")'}]}",
			func(h *house) {
				h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "docs", Bridge: true, Status: "failed"})
				h.deliver(h.gitlab.PipelineHookBody(h.pipeline.ID))
			},
			func(h *house) int { return len(h.runsOf("docs")) - 1 },
		},
		{
			"cancel_pipeline", "{name: r, on: pipeline, if: 'pipeline.status == \"pending\"', actions: [cancel_pipeline]}",
			func(h *house) {
				h.deliver(h.gitlab.PipelineHookBody(h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}).ID))
			},
			func(h *house) int { return h.countStatus("rspec", "canceled") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			killedTwice(t, c.scene, "version: 1\nrules:\n  - "+c.rule+"\n", func(h *house, when string) {
				if n := c.effect(h); n != 1 {
					h.Errorf("%s: GitLab has seen %d effects, want 1", when, n)
				}
				if o := h.only(); o.Result != event.ResultDone {
					h.Errorf("%s: outcome %s (%s), want done", when, o.Result, o.Reason)
				}
			})
		})
	}
}

// The same for actions that wait: for the job before them to pass, and for a
// budget to have room again.
func TestWaitingActionsKilledTwice(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	wantTwo := func(h *house, when string, effects int) {
		if effects != 2 {
			h.Errorf("%s: GitLab has seen %d effects, want 2", when, effects)
		}
		for _, o := range h.outcomes() {
			if o.Result != event.ResultDone {
				h.Errorf("%s: %s is %s (%s), want done", when, o.Job.Name, o.Result, o.Reason)
			}
		}
		if n := len(h.outcomes()); n != 2 {
			h.Errorf("%s: %d outcomes, want 2", when, n)
		}
	}
	t.Run("play, wait: success", func(t *testing.T) {
		t.Parallel()
		killedTwice(t, func(h *house) {
			pipeline := h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one", When: "manual"}, gitlabtest.Job{Name: "two", When: "manual"})
			h.deliver(h.gitlab.PipelineHookBody(pipeline.ID))
			h.meanwhile = func() {
				if h.countStatus("one", "pending") == 0 {
					return
				}
				if h.countStatus("two", "manual") != 1 {
					h.Error("two was played before one had passed")
				}
				h.end("one", "success", "")
			}
		}, `
version: 1
rules:
  - {name: r, on: pipeline, actions: [play: {jobs: 'sortBy(filter(pipeline.jobs, .status == "manual"), .id)', wait: success}]}
`, func(h *house, when string) {
			wantTwo(h, when, h.countStatus("one", "success")+h.countStatus("two", "pending"))
		})
	})
	t.Run("retry, within a budget", func(t *testing.T) {
		t.Parallel()
		killedTwice(t, func(h *house) {
			h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
			for _, name := range []string{"rspec", "lint"} {
				h.deliver(h.gitlab.JobHookBody(h.end(name, "failed", stuck)))
			}
		}, `
version: 1
limits: {per_project: 1/5m}
rules:
  - {name: r, on: job, if: 'job.status == "failed"', actions: [retry]}
`, func(h *house, when string) {
			wantTwo(h, when, len(h.runsOf("rspec"))+len(h.runsOf("lint"))-2)
		})
	})
}
