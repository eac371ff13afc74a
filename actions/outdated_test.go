package actions_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
			h := newHouse(t, fmt.Sprintf("version: 1\nrules:\n  - {name: r, on: pipeline, if: 'pipeline.status in [\"pending\", \"running\"]', actions: [cancel_outdated: {force: %t}]}\n", test.force))
			project := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop", Role: gitlabtest.Maintainer})
			old := h.gitlab.AddPipeline(project.ID, test.old, append([]gitlabtest.Job{{Name: "build", Stage: "build"}, {Name: "test"}}, test.jobs...)...)
			for _, job := range h.gitlab.Jobs(old.ID) {
				if job.Stage == "build" && job.When != "manual" {
					h.gitlab.Run(job.ID)
				}
			}
			fresh := h.gitlab.AddPipeline(project.ID, test.new, gitlabtest.Job{Name: "build", Stage: "build"})
			h.deliver(h.gitlab.PipelineHookBody(fresh.ID))
			h.gitlab.Run(h.gitlab.Latest(fresh.ID, "build").ID)
			h.deliver(h.gitlab.PipelineHookBody(fresh.ID)) // its next status
			if test.fault.Path != "" {
				h.gitlab.Fail(test.fault)
			}
			h.workOff()

			var canceled []string
			for _, job := range h.gitlab.Jobs(old.ID) {
				if job.Status == "canceled" || job.Status == "skipped" { // since a job before it was canceled
					canceled = append(canceled, job.Name)
				}
			}
			slices.Sort(canceled)
			if diff := cmp.Diff(test.canceled, canceled); diff != "" {
				t.Errorf("jobs that do not run any more (-want +got):\n%s", diff)
			}
			if o := h.only(); o.Result != test.result || !strings.Contains(o.Reason, test.says) {
				t.Errorf("outcome %s (%s), want %s: …%s…", o.Result, o.Reason, test.result, test.says)
			}
			if job := h.gitlab.Latest(fresh.ID, "build"); job.Status != "running" {
				t.Errorf("the new pipeline's job is %s", job.Status)
			}
		})
	}
}

// TestCancelOutdatedLeavesTheNewestAlone: an old event that comes late cancels
// nothing.
func TestCancelOutdatedLeavesTheNewestAlone(t *testing.T) {
	h := newHouse(t, "version: 1\nrules:\n  - {name: r, on: pipeline, actions: [cancel_outdated]}\n")
	project := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	middle := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	newest := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	h.deliver(h.gitlab.PipelineHookBody(middle.ID))
	h.workOff()
	h.wantOutcome(event.ResultSkipped, fmt.Sprintf("the pipeline is outdated by pipeline %d", newest.ID), "/cancel", 0)
}

// TestChildOfAnOutdatedPipeline: what the child of an old commit's pipeline
// deploys is not deployed again.
func TestChildOfAnOutdatedPipeline(t *testing.T) {
	h := newHouse(t, "version: 1\nrules:\n  - {name: r, on: job, if: 'job.status == \"failed\"', actions: [retry]}\n")
	project := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	parent := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "children", Bridge: true})
	newer := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	child := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{TriggeredBy: h.gitlab.Latest(parent.ID, "children").ID, SHA: parent.SHA},
		gitlabtest.Job{Name: "deploy", Environment: gitlabtest.Environment{Name: "production"}})
	job := h.gitlab.Latest(child.ID, "deploy")
	h.gitlab.Run(job.ID)
	h.gitlab.Finish(job.ID, "failed", stuck)
	h.deliver(h.gitlab.JobHookBody(job.ID))
	h.workOff()
	h.wantOutcome(event.ResultSkipped, fmt.Sprintf("the pipeline is outdated by pipeline %d", newer.ID), "/retry", 0)
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
			h := newHouseOn(t, o, "version: 1\nrules:\n  - {name: r, on: pipeline, if: 'pipeline.status == \"running\"', actions: [cancel_pipeline]}\n")
			pipeline := h.addPipeline(gitlabtest.Pipeline{}, test.jobs...)
			h.gitlab.Run(h.gitlab.Latest(pipeline.ID, "build").ID)
			h.deliver(h.gitlab.PipelineHookBody(pipeline.ID))
			h.workOff()
			h.wantOutcome(test.result, test.says, "/cancel", 1)
		})
	}
}

// TestRetryThatFailsAtOnce: the answer to a retry may be a job that has failed
// already, of which no event comes.
func TestRetryThatFailsAtOnce(t *testing.T) {
	h := newHouseOn(t, gitlabtest.Options{RetriesFail: "ci_quota_exceeded"}, "version: 1\nrules:\n  - {name: r, on: job, if: 'failed_with(\"stuck_or_timeout_failure\")', actions: [retry]}\n")
	h.deliver(h.gitlab.JobHookBody(h.failedJob(stuck).ID))
	h.workOff()
	h.wantResults(event.ResultDone, event.ResultGaveUp)
	for _, o := range h.outcomes() {
		if o.Result == event.ResultGaveUp {
			has(t, o.Reason, "attempt 2 failed for another reason: ci_quota_exceeded")
		}
	}
}

// TestRefusalsSayWhatToDo: GitLab's bare 403 is worded by what was asked of it.
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
			h := newHouse(t, "version: 1\nrules:\n  - {name: r, "+test.rule[1:]+"\n")
			test.job.Name = "deploy"
			pipeline := h.addPipeline(gitlabtest.Pipeline{}, test.job)
			job := h.gitlab.Latest(pipeline.ID, "deploy")
			if test.job.When == "" {
				h.gitlab.Run(job.ID)
				h.gitlab.Finish(job.ID, "failed", stuck)
			}
			h.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Times: -1, Status: test.status})
			h.deliver(h.gitlab.PipelineHookBody(pipeline.ID))
			h.deliver(h.gitlab.JobHookBody(job.ID))
			h.workOff()
			if o := h.only(); o.Result != event.ResultFailed || !strings.Contains(o.Reason, test.says) {
				t.Errorf("outcome %s (%s), want failed: …%s…", o.Result, o.Reason, test.says)
			}
		})
	}
}

// TestDeletedPipeline: a pipeline that was deleted meanwhile is no failure.
func TestDeletedPipeline(t *testing.T) {
	h := newHouse(t, "version: 1\nrules:\n  - {name: r, on: pipeline, if: 'pipeline.status == \"failed\"', actions: [retry_pipeline]}\n")
	job := h.failedJob(stuck)
	h.gitlab.Finish(h.gitlab.Latest(job.PipelineID, "lint").ID, "success", "")
	h.deliver(h.gitlab.PipelineHookBody(job.PipelineID))
	h.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusNotFound})
	h.workOff()
	h.wantOutcome(event.ResultSkipped, "was deleted", "/retry", 0)
}

// TestSweepErasesArchivedJobs: they are the oldest. GitLab erases them since
// 18.0; where it does not, that is one line, and the others go all the same.
func TestSweepErasesArchivedJobs(t *testing.T) {
	for version, want := range map[string]struct {
		erased   int
		problems int
	}{"19.1.0": {30, 0}, "17.11.0": {5, 1}} {
		t.Run(version, func(t *testing.T) {
			h := newHouseOn(t, gitlabtest.Options{Version: version}, `
version: 1
rules:
  - name: old
    on: schedule
    schedule: {cron: "0 3 * * *", projects: ["platform/*"], scope: [success]}
    actions: [erase: {older_than: 30d}]
`)
			p := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop", Role: gitlabtest.Maintainer})
			var jobs []gitlabtest.Job
			for i := range 30 {
				job := h.oldJob(fmt.Sprintf("job-%d", i), 100*day)
				job.Archived = i >= 5
				jobs = append(jobs, job)
			}
			h.gitlab.AddPipeline(p.ID, gitlabtest.Pipeline{}, jobs...)
			h.sweep("old")
			h.workOff()
			if n := len(h.erasedJobs(p)); n != want.erased {
				t.Errorf("%d jobs were erased, want %d", n, want.erased)
			}
			run := h.lastSweep()
			if n := len(run.Sweep.Problems); n != want.problems || run.Result != event.ResultDone {
				t.Errorf("outcome %s with problems %+v, want %d", run.Result, run.Sweep.Problems, want.problems)
			}
			if n := h.gitlab.Count(http.MethodPost, "/erase"); n > want.erased+16 {
				t.Errorf("%d calls of erase, want no more than those in flight when GitLab refused the first", n)
			}
		})
	}
}

// TestCancelOutdatedStoppedHalfway: the outcome names the pipelines that were
// canceled before dry run or a pause stopped it, and those canceled after a pause.
func TestCancelOutdatedStoppedHalfway(t *testing.T) {
	const text = "version: 1\nrules:\n  - {name: r, on: pipeline, actions: [cancel_outdated]}\n"
	for _, test := range []struct {
		name   string
		pull   func(h *house)
		lift   func(h *house)
		result string
		says   string
		calls  int
	}{
		{
			"by dry run", func(h *house) { h.load(text, rulefile.Options{DryRun: true}) }, func(*house) {},
			event.ResultFailed, "pipeline 102 is canceled; stopped halfway by dry run", 1,
		},
		{
			"by a pause", func(h *house) { _ = h.pauses().Pause(h.Context(), event.Pause{}) }, func(h *house) { _, _ = h.pauses().ResumeAll(h.Context(), "the test") },
			event.ResultDone, "pipeline 102 is canceled; pipeline 101 is canceled", 2,
		},
		{
			"by a pause, after which another pipeline is the newest", func(h *house) { _ = h.pauses().Pause(h.Context(), event.Pause{}) },
			func(h *house) {
				h.gitlab.AddPipeline(h.pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
				_, _ = h.pauses().ResumeAll(h.Context(), "the test")
			},
			event.ResultDone, "pipeline 102 is canceled; the pipeline is outdated by pipeline 104", 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, text)
			h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
			h.gitlab.AddPipeline(h.pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
			newest := h.gitlab.AddPipeline(h.pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
			h.deliver(h.gitlab.PipelineHookBody(newest.ID))
			h.fuse.before = func(what string) {
				if what == http.MethodPost { // the first call has passed the brake
					h.fuse.before = nil
					test.pull(h)
				}
			}
			h.work()
			test.lift(h)
			h.workOff()
			h.wantOutcome(test.result, test.says, "/cancel", test.calls)
		})
	}
}

// TestCancelOutdatedSaysItOnce: what an earlier attempt did is told once, however
// often it is tried again.
func TestCancelOutdatedSaysItOnce(t *testing.T) {
	h := newHouse(t, "version: 1\nrules:\n  - {name: r, on: pipeline, actions: [cancel_outdated]}\n")
	h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	deploying := h.gitlab.AddPipeline(h.pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"},
		gitlabtest.Job{Name: "deploy", Environment: gitlabtest.Environment{Name: "production", Action: "start"}})
	h.gitlab.Run(h.gitlab.Latest(deploying.ID, "deploy").ID)
	newest := h.gitlab.AddPipeline(h.pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build"})
	h.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: fmt.Sprintf("/pipelines/%d/cancel", h.pipeline.ID), Times: 6, Status: http.StatusConflict})
	h.deliver(h.gitlab.PipelineHookBody(newest.ID))
	h.workOff()
	o := h.only()
	want := fmt.Sprintf("of pipeline %d, 1 job canceled and the deployment to production is left: `force: true` lifts this; pipeline %d is canceled", deploying.ID, h.pipeline.ID)
	if o.Result != event.ResultDone || o.Reason != want {
		t.Errorf("outcome %s (%s), want done (%s)", o.Result, o.Reason, want)
	}
}
