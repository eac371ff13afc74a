package actions_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// TestCancelOutdated: a new pipeline cancels what still runs in the older ones
// that it makes redundant, and nothing else.
func TestCancelOutdated(t *testing.T) {
	t.Parallel()
	const sameSHA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	mr := &gitlabtest.MergeRequest{IID: 7, SourceBranch: "fast", TargetBranch: "main"}
	deploy := gitlabtest.Job{Name: "deploy", Stage: "deploy", Environment: gitlabtest.Environment{Name: "production", Action: "start"}}
	for _, test := range []struct {
		name     string
		force    bool
		old, new gitlabtest.Pipeline
		jobs     []gitlabtest.Job // of the old one; those of the stage build run
		fault    gitlabtest.Fault
		canceled []string // names of jobs
		result   string
		says     string
	}{
		{name: "a push after a push", canceled: []string{"build", "test"}, result: event.ResultDone, says: "pipeline 101 is canceled"},
		{name: "a job of it that waits for a person stays", jobs: []gitlabtest.Job{{Name: "gate", Stage: "build", When: "manual"}}, canceled: []string{"build", "test"}, result: event.ResultDone},
		{
			name: "a deployment that runs is left alone", jobs: []gitlabtest.Job{{Name: "deploy", Stage: "build", Environment: deploy.Environment}},
			canceled: []string{"build", "test"}, result: event.ResultDone, says: "the deployment to production is left",
		},
		{
			name: "a gateway's 404 does not say that nothing is deployed", jobs: []gitlabtest.Job{{Name: "deploy", Stage: "build", Environment: deploy.Environment}},
			fault:    gitlabtest.Fault{Path: "/deployments", Status: http.StatusNotFound, HTML: true, Times: 5},
			canceled: []string{"build", "test"}, result: event.ResultDone, says: "the deployment to production is left",
		},
		{
			name: "a deployment that runs, by force", force: true, jobs: []gitlabtest.Job{{Name: "deploy", Stage: "build", Environment: deploy.Environment}},
			canceled: []string{"build", "deploy", "test"}, result: event.ResultDone,
		},
		{name: "a deployment that has not begun", jobs: []gitlabtest.Job{deploy}, canceled: []string{"build", "deploy", "test"}, result: event.ResultDone},
		{name: "a schedule on the same commit", old: gitlabtest.Pipeline{SHA: sameSHA}, new: gitlabtest.Pipeline{SHA: sameSHA, Source: "schedule"}, result: event.ResultSkipped, says: "no older pipeline"},
		{name: "two triggers of one ref", old: gitlabtest.Pipeline{Source: "pipeline"}, new: gitlabtest.Pipeline{Source: "pipeline"}, result: event.ResultSkipped},
		{name: "a tag of the branch's name", old: gitlabtest.Pipeline{Ref: "v1"}, new: gitlabtest.Pipeline{Ref: "v1", Tag: true}, result: event.ResultSkipped},
		{
			name: "a manual run of a merge request in a train", old: gitlabtest.Pipeline{MergeRequest: mr, Ref: "refs/merge-requests/7/train"},
			new: gitlabtest.Pipeline{MergeRequest: mr, Ref: "refs/merge-requests/7/head"}, result: event.ResultSkipped,
		},
		{
			name: "merged results after head", old: gitlabtest.Pipeline{MergeRequest: mr, Ref: "refs/merge-requests/7/head"},
			new: gitlabtest.Pipeline{MergeRequest: mr, Ref: "refs/merge-requests/7/merge"}, canceled: []string{"build", "test"}, result: event.ResultDone,
		},
		{name: "a schedule goes on", old: gitlabtest.Pipeline{Source: "schedule"}, result: event.ResultSkipped},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf("version: 1\nrules:\n  - {name: r, on: pipeline, if: 'pipeline.status in [\"pending\", \"running\"]', actions: [cancel_outdated: {force: %t}]}\n", test.force))
			project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop", Role: gitlabtest.Maintainer})
			old := h.GitLab.AddPipeline(project.ID, test.old, append([]gitlabtest.Job{{Name: "build", Stage: "build"}, {Name: "test"}}, test.jobs...)...)
			for _, job := range h.GitLab.Jobs(old.ID) {
				if job.Stage == "build" && job.When != "manual" {
					h.GitLab.Run(job.ID)
				}
			}
			fresh := h.GitLab.AddPipeline(project.ID, test.new, gitlabtest.Job{Name: "build", Stage: "build"})
			h.Deliver(h.GitLab.PipelineHookBody(fresh.ID))
			h.GitLab.Run(h.GitLab.Latest(fresh.ID, "build").ID)
			h.Deliver(h.GitLab.PipelineHookBody(fresh.ID)) // its next status
			if test.fault.Path != "" {
				h.GitLab.Fail(test.fault)
			}
			h.WorkOff()

			var canceled []string
			for _, job := range h.GitLab.Jobs(old.ID) {
				if job.Status == "canceled" || job.Status == "skipped" { // since a job before it was canceled
					canceled = append(canceled, job.Name)
				}
			}
			slices.Sort(canceled)
			if diff := cmp.Diff(test.canceled, canceled); diff != "" {
				t.Errorf("jobs that do not run any more (-want +got):\n%s", diff)
			}
			if o := h.Only(); o.Result != test.result || !strings.Contains(o.Reason, test.says) {
				t.Errorf("outcome %s (%s), want %s: …%s…", o.Result, o.Reason, test.result, test.says)
			}
			if job := h.GitLab.Latest(fresh.ID, "build"); job.Status != "running" {
				t.Errorf("the new pipeline's job is %s", job.Status)
			}
		})
	}
}

// TestCancelOutdatedLeavesTheNewestAlone: an old event that comes late cancels
// nothing.
func TestCancelOutdatedLeavesTheNewestAlone(t *testing.T) {
	h := actionstest.New(t, "version: 1\nrules:\n  - {name: r, on: pipeline, actions: [cancel_outdated]}\n")
	project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	middle := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	newest := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	h.Deliver(h.GitLab.PipelineHookBody(middle.ID))
	h.WorkOff()
	h.WantOutcome(event.ResultSkipped, fmt.Sprintf("the pipeline is outdated by pipeline %d", newest.ID), "/cancel", 0)
}

// TestChildOfAnOutdatedPipeline: what the child of an old commit's pipeline
// deploys is not deployed again.
func TestChildOfAnOutdatedPipeline(t *testing.T) {
	h := actionstest.New(t, "version: 1\nrules:\n  - {name: r, on: job, if: 'job.status == \"failed\"', actions: [retry]}\n")
	project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	parent := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "children", Bridge: true})
	newer := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	child := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{TriggeredBy: h.GitLab.Latest(parent.ID, "children").ID, SHA: parent.SHA},
		gitlabtest.Job{Name: "deploy", Environment: gitlabtest.Environment{Name: "production"}})
	job := h.GitLab.Latest(child.ID, "deploy")
	h.GitLab.Run(job.ID)
	h.GitLab.Finish(job.ID, "failed", actionstest.Stuck)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	h.WantOutcome(event.ResultSkipped, fmt.Sprintf("the pipeline is outdated by pipeline %d", newer.ID), "/retry", 0)
}

// TestCancelPipelineSaysWhatIsLeft: GitLab answers 200 also where it cancelled
// nothing, and jobs that wait for a person remain.
func TestCancelPipelineSaysWhatIsLeft(t *testing.T) {
	for _, test := range []struct {
		name   string
		jobs   []gitlabtest.Job
		result string
		says   string
	}{
		{"all of it, later", []gitlabtest.Job{{Name: "build"}}, event.ResultDone, "the pipeline is canceled"},
		{"all of it", []gitlabtest.Job{{Name: "build"}}, event.ResultDone, "the pipeline is canceled"},
		{"but for an optional manual job", []gitlabtest.Job{{Name: "build"}, {Name: "gate", When: "manual", AllowFailure: true}}, event.ResultDone, "what waits to be played remains: gate"},
		{"but for a manual job that it waits for", []gitlabtest.Job{{Name: "build"}, {Name: "gate", When: "manual"}}, event.ResultFailed, "GitLab left the pipeline manual; what waits to be played remains: gate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := gitlabtest.Options{PipelinesFollow: strings.HasSuffix(test.name, "later")}
			h := actionstest.NewOn(t, o, "version: 1\nrules:\n  - {name: r, on: pipeline, if: 'pipeline.status == \"running\"', actions: [cancel_pipeline]}\n")
			pipeline := h.AddPipeline(gitlabtest.Pipeline{}, test.jobs...)
			h.GitLab.Run(h.GitLab.Latest(pipeline.ID, "build").ID)
			h.Deliver(h.GitLab.PipelineHookBody(pipeline.ID))
			h.WorkOff()
			h.WantOutcome(test.result, test.says, "/cancel", 1)
		})
	}
}

// TestRetryThatFailsAtOnce: the answer to a retry may be a job that has failed
// already, of which no event comes.
func TestRetryThatFailsAtOnce(t *testing.T) {
	h := actionstest.NewOn(t, gitlabtest.Options{RetriesFail: "ci_quota_exceeded"}, "version: 1\nrules:\n  - {name: r, on: job, if: 'failed_with(\"stuck_or_timeout_failure\")', actions: [retry]}\n")
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	h.WorkOff()
	h.WantResults(event.ResultDone, event.ResultGaveUp)
	for _, o := range h.Outcomes() {
		if o.Result == event.ResultGaveUp {
			actionstest.Has(t, o.Reason, "attempt 2 failed for another reason: ci_quota_exceeded")
		}
	}
}

// TestRefusalsSayWhatToDo: the reason after GitLab's bare 403 depends on the request.
func TestRefusalsSayWhatToDo(t *testing.T) {
	production := gitlabtest.Environment{Name: "production"}
	for _, test := range []struct {
		name   string
		rule   string
		job    gitlabtest.Job
		status int
		says   string
	}{
		{
			"play with variables", `{on: pipeline, if: 'pipeline.status == "manual"', actions: [play: {jobs: "pipeline.jobs", variables: {A: "1"}}]}`,
			gitlabtest.Job{When: "manual"},
			http.StatusForbidden, "minimum role to use pipeline variables",
		},
		{
			"play of a deployment", `{on: pipeline, if: 'pipeline.status == "manual"', actions: [play: {jobs: "pipeline.jobs"}]}`,
			gitlabtest.Job{When: "manual", Environment: production},
			http.StatusForbidden, "GitLab refuses this outdated one",
		},
		{
			"retry of a deployment", `{on: job, if: 'job.status == "failed"', actions: [retry]}`,
			gitlabtest.Job{Environment: production},
			http.StatusForbidden, "GitLab refuses this outdated one",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := actionstest.New(t, "version: 1\nrules:\n  - {name: r, "+test.rule[1:]+"\n")
			test.job.Name = "deploy"
			pipeline := h.AddPipeline(gitlabtest.Pipeline{}, test.job)
			job := h.GitLab.Latest(pipeline.ID, "deploy")
			if test.job.When == "" {
				h.GitLab.Run(job.ID)
				h.GitLab.Finish(job.ID, "failed", actionstest.Stuck)
			}
			h.GitLab.Fail(gitlabtest.Fault{Method: http.MethodPost, Times: -1, Status: test.status})
			h.Deliver(h.GitLab.PipelineHookBody(pipeline.ID))
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
			if o := h.Only(); o.Result != event.ResultFailed || !strings.Contains(o.Reason, test.says) {
				t.Errorf("outcome %s (%s), want failed: …%s…", o.Result, o.Reason, test.says)
			}
		})
	}
}

// TestDeletedPipeline: a pipeline that was deleted meanwhile is no failure.
func TestDeletedPipeline(t *testing.T) {
	h := actionstest.New(t, "version: 1\nrules:\n  - {name: r, on: pipeline, if: 'pipeline.status == \"failed\"', actions: [retry_pipeline]}\n")
	job := h.FailedJob(actionstest.Stuck)
	h.GitLab.Finish(h.GitLab.Latest(job.PipelineID, "lint").ID, "success", "")
	h.Deliver(h.GitLab.PipelineHookBody(job.PipelineID))
	h.GitLab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusNotFound})
	h.WorkOff()
	h.WantOutcome(event.ResultSkipped, "was deleted", "/retry", 0)
}

// TestCancelOutdatedStoppedHalfway: the outcome names the pipelines that were
// canceled before dry run or a pause stopped it, and those canceled after a pause.
func TestCancelOutdatedStoppedHalfway(t *testing.T) {
	const text = "version: 1\nrules:\n  - {name: r, on: pipeline, actions: [cancel_outdated]}\n"
	for _, test := range []struct {
		name   string
		pull   func(h *actionstest.Harness)
		lift   func(h *actionstest.Harness)
		result string
		says   string
		calls  int
	}{
		{
			"by dry run", func(h *actionstest.Harness) { h.Load(text, rulefile.Options{DryRun: true}) }, func(*actionstest.Harness) {},
			event.ResultFailed, "pipeline 102 is canceled; stopped halfway by dry run", 1,
		},
		{
			"by a pause", func(h *actionstest.Harness) { _, _ = h.Pauses().Pause(h.Context(), event.Pause{}, false, "") }, func(h *actionstest.Harness) { _, _ = h.Pauses().ResumeAll(h.Context(), event.Actor{By: "the test"}) },
			event.ResultDone, "pipeline 102 is canceled; pipeline 101 is canceled", 2,
		},
		{
			"by a pause, after which another pipeline is the newest", func(h *actionstest.Harness) { _, _ = h.Pauses().Pause(h.Context(), event.Pause{}, false, "") },
			func(h *actionstest.Harness) {
				h.GitLab.AddPipeline(h.Pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
				_, _ = h.Pauses().ResumeAll(h.Context(), event.Actor{By: "the test"})
			},
			event.ResultDone, "pipeline 102 is canceled; the pipeline is outdated by pipeline 104", 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := actionstest.New(t, text)
			h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
			h.GitLab.AddPipeline(h.Pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
			newest := h.GitLab.AddPipeline(h.Pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
			h.Deliver(h.GitLab.PipelineHookBody(newest.ID))
			h.Fuse.Before = func(what string) {
				if what == http.MethodPost { // the first request has passed the gate
					h.Fuse.Before = nil
					test.pull(h)
				}
			}
			h.Work()
			test.lift(h)
			h.WorkOff()
			h.WantOutcome(test.result, test.says, "/cancel", test.calls)
		})
	}
}

// TestCancelOutdatedSaysItOnce: the effect of an earlier attempt is reported once, however
// often it is tried again.
func TestCancelOutdatedSaysItOnce(t *testing.T) {
	h := actionstest.New(t, "version: 1\nrules:\n  - {name: r, on: pipeline, actions: [cancel_outdated]}\n")
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	deploying := h.GitLab.AddPipeline(h.Pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"},
		gitlabtest.Job{Name: "deploy", Environment: gitlabtest.Environment{Name: "production", Action: "start"}})
	h.GitLab.Run(h.GitLab.Latest(deploying.ID, "deploy").ID)
	newest := h.GitLab.AddPipeline(h.Pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	h.GitLab.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: fmt.Sprintf("/pipelines/%d/cancel", h.Pipeline.ID), Times: 6, Status: http.StatusConflict})
	h.Deliver(h.GitLab.PipelineHookBody(newest.ID))
	h.WorkOff()
	o := h.Only()
	want := fmt.Sprintf("of pipeline %d, 1 job canceled and the deployment to production is left: `force: true` lifts this; pipeline %d is canceled", deploying.ID, h.Pipeline.ID)
	if o.Result != event.ResultDone || o.Reason != want {
		t.Errorf("outcome %s (%s), want done (%s)", o.Result, o.Reason, want)
	}
}
