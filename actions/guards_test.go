package actions_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

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
			h := actionstest.New(t, fmt.Sprintf(actionstest.FailedRules, c.limits))
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
			h := actionstest.New(t, fmt.Sprintf(actionstest.FailedRules, ""))
			c.project.Path, c.job.Name, c.job.Status, c.job.FailureReason = "platform/shop", "rspec", "failed", actionstest.Stuck
			pipeline := h.GitLab.AddPipeline(h.GitLab.AddProject(c.project).ID, gitlabtest.Pipeline{}, c.job)
			h.Deliver(h.GitLab.JobHookBody(h.GitLab.Latest(pipeline.ID, "rspec").ID))
			h.WorkOff()
			h.WantOutcome(c.result, c.says, "/retry", c.calls)
		})
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
			h := actionstest.New(t, fmt.Sprintf(actionstest.FailedRules, ""))
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
			h := actionstest.New(t, fmt.Sprintf(actionstest.FailedRules, ""))
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
