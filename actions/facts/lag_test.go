package facts_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestGitLabBehindItsHook has an API that shows what was there two seconds ago,
// as GitLab's does now and then: each verb and each function is believed only
// when it does not contradict the event, and every wanted effect happens once.
func TestGitLabBehindItsHook(t *testing.T) {
	t.Parallel()
	const lag = 2 * time.Second
	for _, test := range []struct {
		name   string
		rule   string
		job    gitlabtest.Job
		status string // in which the job ends; "" for one that waits or runs
		wait   time.Duration
		posts  string // the end of the path of the one POST
	}{
		{name: "retry", rule: `{on: job, if: 'job.status == "failed"', actions: [retry]}`, status: "failed", posts: "/retry"},
		{name: "retry with jobs()", rule: `{on: job, if: 'job.status == "failed" and any(jobs(), .status == "failed")', actions: [retry]}`, status: "failed", posts: "/retry"},
		{name: "retry with details()", rule: `{on: job, if: 'job.status == "failed" and "docker" in details().tag_list', actions: [retry]}`, status: "failed", posts: "/retry"},
		{name: "retry with log()", rule: `{on: job, if: 'job.status == "failed" and log() contains "No space"', actions: [retry]}`, status: "failed", posts: "/retry"},
		{name: "retry with superseded()", rule: `{on: job, if: 'job.status == "failed" and not superseded()', actions: [retry]}`, status: "failed", posts: "/retry"},
		{name: "retry a pipeline", rule: `{on: pipeline, if: 'pipeline.status == "failed"', actions: [retry_pipeline]}`, status: "failed", posts: "/retry"},
		{name: "cancel", rule: `{on: job, if: 'job.status == "running"', actions: [cancel]}`, posts: "/cancel"},
		{name: "cancel a pipeline", rule: `{on: pipeline, if: 'pipeline.status == "running"', actions: [cancel_pipeline]}`, posts: "/cancel"},
		{name: "play", rule: `{on: pipeline, if: 'pipeline.status == "manual"', actions: [play: {jobs: "pipeline.jobs"}]}`, job: gitlabtest.Job{When: "manual"}, posts: "/play"},
		{name: "erase", rule: `{on: job, if: 'job.status == "success"', actions: [erase: {older_than: 0s}]}`, status: "success", posts: "/erase"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := actionstest.NewOn(t, gitlabtest.Options{Lag: lag}, "version: 1\nrules:\n  - {name: r, "+test.rule[1:]+"\n")
			test.job.Name, test.job.Log, test.job.TagList = "rspec", "No space left on device\n", []string{"docker"}
			job := h.AddJob(test.job, test.status)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.Deliver(h.GitLab.PipelineHookBody(job.PipelineID))
			for range 20 {
				h.Work()
				if h.Idle() {
					break
				}
				h.Clock.Advance(time.Second)
			}
			if n := h.GitLab.Count(http.MethodPost, test.posts); n != 1 {
				t.Errorf("%d POSTs to …%s, want 1; outcomes %+v\n%s", n, test.posts, h.Outcomes(), h.Logs)
			}
			if o := h.Only(); o.Result != event.ResultDone {
				t.Errorf("outcome %s (%s), want done", o.Result, o.Reason)
			}
		})
	}
}

// TestGitLabThatStaysBehind: what still contradicts an event when that is no
// longer fresh is believed. A job that was deleted is requested a few times.
func TestGitLabThatStaysBehind(t *testing.T) {
	h := actionstest.New(t, "version: 1\nrules:\n  - {name: r, on: job, if: 'job.status == \"failed\"', actions: [retry]}\n")
	job := h.FailedJob("script_failure")
	body := h.GitLab.JobHookBody(job.ID)
	h.GitLab.Fail(gitlabtest.Fault{Method: http.MethodGet, Times: -1, Status: http.StatusNotFound})
	h.Deliver(body)
	for range 30 {
		h.Work()
		h.Clock.Advance(time.Second)
	}
	if o := h.Only(); o.Result == event.ResultDone || o.Result == "" {
		t.Errorf("outcome %q (%s), want a final one", o.Result, o.Reason)
	}
	if n := len(h.GitLab.Requests()); n > 40 {
		t.Errorf("%d requests for a job that is gone, want few", n)
	}
}
