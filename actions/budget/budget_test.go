package budget_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/budget"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// A budget that is used up defers a retry until it has filled up again.
func TestBudgetsThatFillUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, limits, says string }{
		{"per project", "limits: {per_project: 2/1h}", "the budget of 2 retries in 1h for project platform/shop"},
		{"total", "limits: {total: 2/1h}", "the budget of 2 retries in 1h for all projects"},
		{"per class", "limits: {per_class: {stuck: 2/1h}}", "the budget of 2 retries in 1h for failures of class stuck"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf(actionstest.FailedRules, c.limits))
			h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "a"}, gitlabtest.Job{Name: "b"}, gitlabtest.Job{Name: "c"}, gitlabtest.Job{Name: "d"})
			for _, name := range []string{"a", "b", "c", "d"} {
				job := h.GitLab.Latest(h.Pipeline.ID, name)
				h.GitLab.Run(job.ID)
				h.GitLab.Finish(job.ID, "failed", actionstest.Stuck)
				h.Deliver(h.GitLab.JobHookBody(job.ID))
			}
			h.Work()
			if n := h.GitLab.Count("POST", "/retry"); n != 2 {
				t.Errorf("%d retries at once, want 2", n)
			}
			waiting := 0
			for _, o := range h.Outcomes() {
				if o.Result == event.ResultDeferred {
					waiting++
					actionstest.Has(t, o.Reason, c.says)
				}
			}
			if waiting != 2 {
				t.Errorf("%d decisions wait, want 2", waiting)
			}
			levels, err := h.Runner.Budgets.Levels(t.Context(), []event.Decision{h.Outcomes()[0].Decision})
			if err != nil {
				t.Fatal(err)
			}
			if i := slices.IndexFunc(levels, func(l budget.Level) bool { return l.Count == 2 }); i < 0 || levels[i].Left != 0 {
				t.Errorf("the levels are %+v, want one of 2 that is used up", levels)
			}
			// A person retries d: nobody is left who wants that.
			h.MustRetry(h.GitLab.Latest(h.Pipeline.ID, "d").ID)
			for _, want := range []int{2, 3} {
				h.Clock.Advance(29 * time.Minute)
				h.Work()
				if n := h.GitLab.Count("POST", "/retry"); n != want {
					t.Errorf("%d retries, want %d", n, want)
				}
				h.Clock.Advance(2 * time.Minute)
				h.Work()
			}
			h.WorkOff()
			if n := h.GitLab.Count("POST", "/retry"); n != 3 {
				t.Errorf("%d retries in all, want 3", n)
			}
		})
	}
}

// The pipeline's budget limits retries also when all its jobs fail together.
func TestPipelineBudgetHolds(t *testing.T) {
	h := actionstest.New(t, fmt.Sprintf(actionstest.FailedRules, "limits: {per_pipeline: 5}"))
	var jobs []gitlabtest.Job
	for i := range 12 {
		jobs = append(jobs, gitlabtest.Job{Name: fmt.Sprintf("test-%d", i)})
	}
	h.AddPipeline(gitlabtest.Pipeline{}, jobs...)
	for i := range 12 {
		h.Deliver(h.GitLab.JobHookBody(h.End(fmt.Sprintf("test-%d", i), "failed", actionstest.Stuck)))
	}
	h.WorkOff()
	if n := h.GitLab.Count("POST", "/retry"); n != 5 {
		t.Errorf("%d retries, want 5", n)
	}
}

// A budget that fills up again is granted oldest first, each who waits for it
// looking for it about once.
func TestBudgetIsGrantedOldestFirst(t *testing.T) {
	t.Parallel()
	const jobs, atOnce = 40, 5
	h := actionstest.New(t, fmt.Sprintf(actionstest.FailedRules, "limits: {per_project: 5/5m}\nstorm: {failures: 1000}"))
	project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	var died []int64
	for i := range jobs {
		h.Pipeline = h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: fmt.Sprint("branch-", i)}, gitlabtest.Job{Name: "rspec"})
		died = append(died, h.End("rspec", "failed", actionstest.Stuck))
	}
	slices.Reverse(died)
	for _, job := range died {
		h.Deliver(h.GitLab.JobHookBody(job))
		h.Work()
		h.Clock.Advance(time.Millisecond)
	}
	steps := 0
	for !h.Idle() {
		n, err := h.Drain(h.Runner)
		if err != nil {
			t.Fatal(err)
		}
		steps += n
		h.Clock.Advance(time.Second)
	}
	if diff := cmp.Diff(died, h.Retried()); diff != "" {
		t.Errorf("retried in another order than died (-want +got):\n%s", diff)
	}
	if most := 4 * (jobs - atOnce); steps > most {
		t.Errorf("%d steps for %d that waited, want %d at most", steps, jobs-atOnce, most)
	}
}

// Failure classes have their budgets whichever action retries, and where the
// hook lacks the failure reason.
func TestClassBudgetsOfPipelineRules(t *testing.T) {
	for _, c := range []struct{ name, action, without string }{
		{"whole pipelines", "retry_pipeline", ""},
		{"their failed jobs", `retry: {jobs: 'filter(pipeline.jobs, .status == "failed")'}`, ""},
		{"hooks without failure_reason", `retry: {jobs: 'filter(pipeline.jobs, .status == "failed")'}`, `"failure_reason":"runner_system_failure"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, "version: 1\nlimits: {per_class: {runner: 1/1h}}\nrules:\n  - {name: r, on: pipeline, if: 'pipeline.status == \"failed\"', actions: ["+c.action+"]}\n")
			for range 3 {
				h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
				h.End("rspec", "failed", "runner_system_failure")
				body := string(h.GitLab.PipelineHookBody(h.Pipeline.ID))
				if !strings.Contains(body, c.without) {
					t.Fatalf("the hook has no %s:\n%s", c.without, body)
				}
				h.Deliver([]byte(withoutReason(body, c.without)))
			}
			h.Work()
			if n := h.GitLab.Count("POST", "/retry"); n != 1 {
				t.Errorf("%d retries, want 1", n)
			}
		})
	}
}

func withoutReason(body, reason string) string {
	if reason == "" {
		return body
	}
	return strings.ReplaceAll(body, reason, `"failure_reason":null`)
}
