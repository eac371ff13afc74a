package actions_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
		arrange func(h *house, job gitlabtest.Job)
		calls   int
		result  string
		says    string
	}{
		{"superseded by a retry", "", stuck, func(h *house, job gitlabtest.Job) { h.mustRetry(job.ID) }, 0, event.ResultSkipped, "already retried as job"},
		{"newer pipeline", "", stuck, func(h *house, job gitlabtest.Job) {
			h.gitlab.AddPipeline(job.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		}, 0, event.ResultSkipped, "outdated by pipeline 102: `allow_stale: true` lifts this"},
		{"newer pipeline of another ref", "", stuck, func(h *house, job gitlabtest.Job) {
			h.gitlab.AddPipeline(job.ProjectID, gitlabtest.Pipeline{Ref: "other"}, gitlabtest.Job{Name: "rspec"})
		}, 1, event.ResultDone, ""},
		{"no retry mends it", "", "ci_quota_exceeded", nil, 0, event.ResultSkipped, "no retry mends ci_quota_exceeded"},
		{"budget of the job", "limits: {per_job: 1}", stuck, nil, 0, event.ResultGaveUp, "1 attempt failed, as many as `limits.per_job` allows"},
		{"budget of the pipeline", "limits: {per_pipeline: 1}", stuck, func(h *house, job gitlabtest.Job) {
			lint := h.gitlab.Latest(job.PipelineID, "lint")
			h.gitlab.Run(lint.ID)
			h.gitlab.Finish(lint.ID, "failed", stuck)
			h.mustRetry(lint.ID) // by a person: it counts
		}, 0, event.ResultSkipped, "the pipeline has had 1 retry, as many as `limits.per_pipeline` allows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, fmt.Sprintf(failedRules, c.limits))
			job := h.failedJob(c.reason)
			body := h.gitlab.JobHookBody(job.ID)
			if c.arrange != nil {
				c.arrange(h, job)
			}
			h.deliver(body)
			h.workOff()
			h.wantOutcome(c.result, c.says, "/retry", c.calls)
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
			h := newHouse(t, fmt.Sprintf(failedRules, ""))
			c.project.Path, c.job.Name, c.job.Status, c.job.FailureReason = "platform/shop", "rspec", "failed", stuck
			pipeline := h.gitlab.AddPipeline(h.gitlab.AddProject(c.project).ID, gitlabtest.Pipeline{}, c.job)
			h.deliver(h.gitlab.JobHookBody(h.gitlab.Latest(pipeline.ID, "rspec").ID))
			h.workOff()
			h.wantOutcome(c.result, c.says, "/retry", c.calls)
		})
	}
}

func (h *house) mustRetry(job int64) gitlabtest.Job {
	h.Helper()
	again, err := h.gitlab.Retry(job)
	if err != nil {
		h.Fatal(err)
	}
	return again
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
			h := newHouse(t, fmt.Sprintf(failedRules, c.limits))
			h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "a"}, gitlabtest.Job{Name: "b"}, gitlabtest.Job{Name: "c"}, gitlabtest.Job{Name: "d"})
			for _, name := range []string{"a", "b", "c", "d"} {
				job := h.gitlab.Latest(h.pipeline.ID, name)
				h.gitlab.Run(job.ID)
				h.gitlab.Finish(job.ID, "failed", stuck)
				h.deliver(h.gitlab.JobHookBody(job.ID))
			}
			h.work()
			if n := h.gitlab.Count("POST", "/retry"); n != 2 {
				t.Errorf("%d retries at once, want 2", n)
			}
			waiting := 0
			for _, o := range h.outcomes() {
				if o.Result == event.ResultDeferred {
					waiting++
					has(t, o.Reason, c.says)
				}
			}
			if waiting != 2 {
				t.Errorf("%d decisions wait, want 2", waiting)
			}
			// A person retries d: nobody is left who wants that.
			h.mustRetry(h.gitlab.Latest(h.pipeline.ID, "d").ID)
			for _, want := range []int{2, 3} {
				h.clock.Advance(29 * time.Minute)
				h.work()
				if n := h.gitlab.Count("POST", "/retry"); n != want {
					t.Errorf("%d retries, want %d", n, want)
				}
				h.clock.Advance(2 * time.Minute)
				h.work()
			}
			h.workOff()
			if n := h.gitlab.Count("POST", "/retry"); n != 3 {
				t.Errorf("%d retries in all, want 3", n)
			}
		})
	}
}

// The pipeline's budget holds when all its jobs fail together.
func TestPipelineBudgetHolds(t *testing.T) {
	h := newHouse(t, fmt.Sprintf(failedRules, "limits: {per_pipeline: 5}"))
	var jobs []gitlabtest.Job
	for i := range 12 {
		jobs = append(jobs, gitlabtest.Job{Name: fmt.Sprintf("test-%d", i)})
	}
	h.addPipeline(gitlabtest.Pipeline{}, jobs...)
	for i := range 12 {
		h.deliver(h.gitlab.JobHookBody(h.end(fmt.Sprintf("test-%d", i), "failed", stuck)))
	}
	h.workOff()
	if n := h.gitlab.Count("POST", "/retry"); n != 5 {
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
			h := newHouse(t, fmt.Sprintf(failedRules, ""))
			h.native = 5 * time.Second
			h.start(newFuse(-1))
			h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", AutoRetry: c.auto, AutoRetryAfter: 2 * time.Second})
			job := h.gitlab.Latest(h.pipeline.ID, "rspec")
			h.gitlab.Run(job.ID)
			h.gitlab.Finish(job.ID, "failed", stuck)
			h.deliver(h.gitlab.JobHookBody(job.ID))
			h.work()
			if n := h.gitlab.Count("POST", "/retry"); n != 0 {
				t.Errorf("%d retries before GitLab had its time, want none", n)
			}
			h.clock.Advance(5 * time.Second)
			h.workOff()
			if n := h.gitlab.Count("POST", "/retry"); n != c.retries {
				t.Errorf("%d retries, want %d", n, c.retries)
			}
			if o := h.only(); o.Result != c.result {
				t.Errorf("outcome %s (%s), want %s", o.Result, o.Reason, c.result)
			}
			if n := len(h.runsOf("rspec")); n != 2 {
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
		{"fails again", "failed", stuck, []string{event.ResultDone, event.ResultDone}, "attempt 3 of 3"},
		{"is canceled", "canceled", "", []string{event.ResultDone}, "attempt 2 of 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, retryRules)
			job := h.failedJob(stuck)
			h.deliver(h.gitlab.JobHookBody(job.ID))
			h.workOff()
			again := h.gitlab.Latest(job.PipelineID, "rspec")
			h.gitlab.Run(again.ID)
			h.gitlab.Finish(again.ID, c.ends, c.reason)
			for range 2 { // of a group's hook, too
				h.deliver(h.gitlab.JobHookBody(again.ID))
			}
			h.workOff()
			var got []string
			var last event.Outcome
			for _, o := range h.outcomes() {
				got, last = append(got, o.Result), o
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("outcomes %v, want %v", got, c.want)
			}
			has(t, last.Reason, c.says)
		})
	}
}

// The last attempt that fails is told once, and once only.
func TestGaveUpOnce(t *testing.T) {
	h := newHouse(t, retryRules)
	job := h.failedJob(stuck)
	for range 3 {
		for range 2 {
			h.deliver(h.gitlab.JobHookBody(job.ID))
			h.workOff()
		}
		if latest := h.gitlab.Latest(job.PipelineID, "rspec"); latest.ID != job.ID {
			job = latest
			h.gitlab.Run(job.ID)
			h.gitlab.Finish(job.ID, "failed", stuck)
		}
	}
	gaveUp := 0
	for _, o := range h.outcomes() {
		if o.Result == event.ResultGaveUp {
			gaveUp++
			has(t, o.Reason, "3 attempts failed, as many as the rule allows")
		}
	}
	if n := h.gitlab.Count("POST", "/retry"); n != 2 || gaveUp != 1 {
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
			h := newHouse(t, fmt.Sprintf(failedRules, ""))
			h.addPipeline(gitlabtest.Pipeline{MergeRequest: mr}, gitlabtest.Job{Name: "rspec"})
			job := h.gitlab.Latest(h.pipeline.ID, "rspec")
			h.gitlab.Run(job.ID)
			h.gitlab.Finish(job.ID, "failed", stuck)
			h.gitlab.AddPipeline(job.ProjectID, c.newer, gitlabtest.Job{Name: "rspec"})
			h.deliver(h.gitlab.JobHookBody(job.ID))
			h.workOff()
			if o := h.only(); o.Result != c.result {
				t.Errorf("outcome %s (%s), want %s", o.Result, o.Reason, c.result)
			}
		})
	}
}

// A rule for pipelines retries what the job's own event knows no rule for:
// that it gave up is told when it has, and once.
func TestGaveUpOnceByARuleForPipelines(t *testing.T) {
	h := newHouse(t, `
version: 1
rules:
  - {name: r, on: pipeline, if: 'pipeline.status == "failed"', actions: [retry: {jobs: 'filter(pipeline.jobs, .status == "failed")'}]}
`)
	h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	for range 3 {
		h.deliver(h.gitlab.JobHookBody(h.end("rspec", "failed", stuck)))
		h.deliver(h.gitlab.PipelineHookBody(h.pipeline.ID))
		h.workOff()
	}
	h.wantResults(event.ResultDone, event.ResultDone, event.ResultGaveUp)
}

// A budget that fills up again is granted oldest first, each who waits for it
// looking for it about once.
func TestBudgetIsGrantedOldestFirst(t *testing.T) {
	t.Parallel()
	const jobs, atOnce = 40, 5
	h := newHouse(t, fmt.Sprintf(failedRules, "limits: {per_project: 5/5m}\nstorm: {failures: 1000}"))
	project := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	var died []int64
	for i := range jobs {
		h.pipeline = h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: fmt.Sprint("branch-", i)}, gitlabtest.Job{Name: "rspec"})
		died = append(died, h.end("rspec", "failed", stuck))
	}
	slices.Reverse(died)
	for _, job := range died {
		h.deliver(h.gitlab.JobHookBody(job))
		h.work()
		h.clock.Advance(time.Millisecond)
	}
	steps := 0
	for !h.idle() {
		n, err := h.runner.Drain(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		steps += n
		h.clock.Advance(time.Second)
	}
	if diff := cmp.Diff(died, h.retried()); diff != "" {
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
			h := newHouse(t, "version: 1\nlimits: {per_class: {runner: 1/1h}}\nrules:\n  - {name: r, on: pipeline, if: 'pipeline.status == \"failed\"', actions: ["+c.action+"]}\n")
			for range 3 {
				h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
				h.end("rspec", "failed", "runner_system_failure")
				body := string(h.gitlab.PipelineHookBody(h.pipeline.ID))
				if !strings.Contains(body, c.without) {
					t.Fatalf("the hook has no %s:\n%s", c.without, body)
				}
				h.deliver([]byte(withoutReason(body, c.without)))
			}
			h.work()
			if n := h.gitlab.Count("POST", "/retry"); n != 1 {
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
