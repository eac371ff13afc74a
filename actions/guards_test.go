package actions_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

const failedRules = `
version: 1
%s
rules:
  - {name: r, on: job, if: 'job.status == "failed"', actions: [retry: {max_attempts: 9, backoff: constant}]}
`

// Each guard refuses for a reason of its own.
func TestGuards(t *testing.T) {
	for _, c := range []struct {
		name    string
		limits  string
		reason  string
		arrange func(h *actionstest.Harness, job gitlabtest.Job)
		calls   int
		result  string
		says    string
	}{
		{"superseded by a retry", "", actionstest.Stuck, func(h *actionstest.Harness, job gitlabtest.Job) { h.MustRetry(job.ID) }, 0, event.ResultSkipped, "already retried as job"},
		{"newer pipeline", "", actionstest.Stuck, func(h *actionstest.Harness, job gitlabtest.Job) {
			h.GitLab.AddPipeline(job.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		}, 0, event.ResultSkipped, "outdated by pipeline 102: `allow_stale: true` lifts this"},
		{"newer pipeline of another ref", "", actionstest.Stuck, func(h *actionstest.Harness, job gitlabtest.Job) {
			h.GitLab.AddPipeline(job.ProjectID, gitlabtest.Pipeline{Ref: "other"}, gitlabtest.Job{Name: "rspec"})
		}, 1, event.ResultDone, ""},
		{"no retry mends it", "", "ci_quota_exceeded", nil, 0, event.ResultSkipped, "no retry mends ci_quota_exceeded"},
		{"budget of the job", "limits: {per_job: 1}", actionstest.Stuck, nil, 0, event.ResultGaveUp, "1 attempt failed, as many as `limits.per_job` allows"},
		{"budget of the pipeline", "limits: {per_pipeline: 1}", actionstest.Stuck, func(h *actionstest.Harness, job gitlabtest.Job) {
			lint := h.GitLab.Latest(job.PipelineID, "lint")
			h.GitLab.Run(lint.ID)
			h.GitLab.Finish(lint.ID, "failed", actionstest.Stuck)
			h.MustRetry(lint.ID) // by a person: it counts
		}, 0, event.ResultSkipped, "the pipeline has had 1 retry, as many as `limits.per_pipeline` allows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf(failedRules, c.limits))
			job := h.FailedJob(c.reason)
			body := h.GitLab.JobHookBody(job.ID)
			if c.arrange != nil {
				c.arrange(h, job)
			}
			h.Deliver(body)
			h.WorkOff()
			h.WantOutcome(c.result, c.says, "/retry", c.calls)
		})
	}
}

// A job that is archived, or whose ref is protected, is named as such.
func TestGuardsOfOldAndProtectedJobs(t *testing.T) {
	for _, c := range []struct {
		name    string
		project gitlabtest.Project
		job     gitlabtest.Job
		calls   int
		result  string
		says    string
	}{
		{"archived", gitlabtest.Project{}, gitlabtest.Job{Archived: true}, 0, event.ResultSkipped, "the job is archived"},
		{"in an archived project", gitlabtest.Project{Archived: true}, gitlabtest.Job{}, 1, event.ResultFailed, "GitLab refused"},
		{
			"on a protected ref",
			gitlabtest.Project{Role: gitlabtest.Developer, ProtectedRefs: []string{"main"}},
			gitlabtest.Job{},
			1, event.ResultFailed, "if the ref main is protected, to push or merge there",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf(failedRules, ""))
			c.project.Path, c.job.Name, c.job.Status, c.job.FailureReason = "platform/shop", "rspec", "failed", actionstest.Stuck
			pipeline := h.GitLab.AddPipeline(h.GitLab.AddProject(c.project).ID, gitlabtest.Pipeline{}, c.job)
			h.Deliver(h.GitLab.JobHookBody(h.GitLab.Latest(pipeline.ID, "rspec").ID))
			h.WorkOff()
			h.WantOutcome(c.result, c.says, "/retry", c.calls)
		})
	}
}

// Budgets that fill up again make a retry wait; it is made when there is room.
func TestBudgetsThatFillUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, limits, says string }{
		{"per project", "limits: {per_project: 2/1h}", "the budget of 2 retries in 1h for project platform/shop"},
		{"total", "limits: {total: 2/1h}", "the budget of 2 retries in 1h for all projects"},
		{"per class", "limits: {per_class: {stuck: 2/1h}}", "the budget of 2 retries in 1h for failures of class stuck"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf(failedRules, c.limits))
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

// The pipeline's budget holds when all its jobs fail together.
func TestPipelineBudgetHolds(t *testing.T) {
	h := actionstest.New(t, fmt.Sprintf(failedRules, "limits: {per_pipeline: 5}"))
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

// GitLab's own `retry:` comes first, and then ours is not needed.
func TestNativeRetryComesFirst(t *testing.T) {
	for _, c := range []struct {
		name    string
		auto    int
		retries int
		result  string
	}{
		{"with GitLab's retry", 1, 0, event.ResultSkipped},
		{"without", 0, 1, event.ResultDone},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf(failedRules, ""))
			h.NativeRetry = 5 * time.Second
			h.Start(actionstest.NewFuse(-1))
			h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", AutoRetry: c.auto, AutoRetryAfter: 2 * time.Second})
			job := h.GitLab.Latest(h.Pipeline.ID, "rspec")
			h.GitLab.Run(job.ID)
			h.GitLab.Finish(job.ID, "failed", actionstest.Stuck)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.Work()
			if n := h.GitLab.Count("POST", "/retry"); n != 0 {
				t.Errorf("%d retries before GitLab had its time, want none", n)
			}
			h.Clock.Advance(5 * time.Second)
			h.WorkOff()
			if n := h.GitLab.Count("POST", "/retry"); n != c.retries {
				t.Errorf("%d retries, want %d", n, c.retries)
			}
			if o := h.Only(); o.Result != c.result {
				t.Errorf("outcome %s (%s), want %s", o.Result, o.Reason, c.result)
			}
			if n := len(h.RunsOf("rspec")); n != 2 {
				t.Errorf("%d runs, want 2: one retry, by whomever", n)
			}
		})
	}
}

// What becomes of a retried job is an outcome of its own.
func TestFollowed(t *testing.T) {
	for _, c := range []struct {
		name   string
		ends   string
		reason string
		want   []string
		says   string
	}{
		{"passes", "success", "", []string{event.ResultDone, event.ResultRecovered}, "attempt 2 passed, after stuck_or_timeout_failure"},
		{"fails for another reason that no rule retries", "failed", "script_failure", []string{event.ResultDone, event.ResultGaveUp}, "attempt 2 failed for another reason: script_failure, before it was stuck_or_timeout_failure"},
		{"fails for another reason that a rule retries", "failed", "runner_system_failure", []string{event.ResultDone, event.ResultDone}, "attempt 3 of 3; it failed with runner_system_failure, and before with stuck_or_timeout_failure"},
		{"fails again", "failed", actionstest.Stuck, []string{event.ResultDone, event.ResultDone}, "attempt 3 of 3"},
		{"is canceled", "canceled", "", []string{event.ResultDone}, "attempt 2 of 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, retryRules)
			job := h.FailedJob(actionstest.Stuck)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
			again := h.GitLab.Latest(job.PipelineID, "rspec")
			h.GitLab.Run(again.ID)
			h.GitLab.Finish(again.ID, c.ends, c.reason)
			for range 2 { // of a group's hook, too
				h.Deliver(h.GitLab.JobHookBody(again.ID))
			}
			h.WorkOff()
			var got []string
			var last event.Outcome
			for _, o := range h.Outcomes() {
				got, last = append(got, o.Result), o
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("outcomes %v, want %v", got, c.want)
			}
			actionstest.Has(t, last.Reason, c.says)
		})
	}
}

// The last attempt that fails is told once, and once only.
func TestGaveUpOnce(t *testing.T) {
	h := actionstest.New(t, retryRules)
	job := h.FailedJob(actionstest.Stuck)
	for range 3 {
		for range 2 {
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
		}
		if latest := h.GitLab.Latest(job.PipelineID, "rspec"); latest.ID != job.ID {
			job = latest
			h.GitLab.Run(job.ID)
			h.GitLab.Finish(job.ID, "failed", actionstest.Stuck)
		}
	}
	gaveUp := 0
	for _, o := range h.Outcomes() {
		if o.Result == event.ResultGaveUp {
			gaveUp++
			actionstest.Has(t, o.Reason, "3 attempts failed, as many as the rule allows")
		}
	}
	if n := h.GitLab.Count("POST", "/retry"); n != 2 || gaveUp != 1 {
		t.Errorf("%d retries and gave up %d times, want 2 and once", n, gaveUp)
	}
}

// A merge request's pipelines run for refs that no branch has: the newest of
// the merge request counts, not those of its branch.
func TestNewestPipelineOfAMergeRequest(t *testing.T) {
	mr := &gitlabtest.MergeRequest{IID: 1, Title: "Sell more", SourceBranch: "more", TargetBranch: "main"}
	for _, c := range []struct {
		name   string
		newer  gitlabtest.Pipeline
		result string
	}{
		{"of the merge request", gitlabtest.Pipeline{MergeRequest: mr}, event.ResultSkipped},
		{"of its branch", gitlabtest.Pipeline{Ref: "more"}, event.ResultDone},
		{"of another merge request", gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 2, SourceBranch: "other", TargetBranch: "main"}}, event.ResultDone},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf(failedRules, ""))
			h.AddPipeline(gitlabtest.Pipeline{MergeRequest: mr}, gitlabtest.Job{Name: "rspec"})
			job := h.GitLab.Latest(h.Pipeline.ID, "rspec")
			h.GitLab.Run(job.ID)
			h.GitLab.Finish(job.ID, "failed", actionstest.Stuck)
			h.GitLab.AddPipeline(job.ProjectID, c.newer, gitlabtest.Job{Name: "rspec"})
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
			if o := h.Only(); o.Result != c.result {
				t.Errorf("outcome %s (%s), want %s", o.Result, o.Reason, c.result)
			}
		})
	}
}

// A rule for pipelines retries what the job's own event knows no rule for:
// that it gave up is told when it has, and once.
func TestGaveUpOnceByARuleForPipelines(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - {name: r, on: pipeline, if: 'pipeline.status == "failed"', actions: [retry: {jobs: 'filter(pipeline.jobs, .status == "failed")'}]}
`)
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	for range 3 {
		h.Deliver(h.GitLab.JobHookBody(h.End("rspec", "failed", actionstest.Stuck)))
		h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
		h.WorkOff()
	}
	h.WantResults(event.ResultDone, event.ResultDone, event.ResultGaveUp)
}

// A budget that fills up again is granted oldest first, each who waits for it
// looking for it about once.
func TestBudgetIsGrantedOldestFirst(t *testing.T) {
	t.Parallel()
	const jobs, atOnce = 40, 5
	h := actionstest.New(t, fmt.Sprintf(failedRules, "limits: {per_project: 5/5m}\nstorm: {failures: 1000}"))
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
// hook does not tell why a job failed.
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
