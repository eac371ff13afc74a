package jobstate_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestAnotherJobUnderTheID: an instance that was restored from the backup of
// another one sends events about jobs that have the ids of jobs here. No verb
// touches those.
func TestAnotherJobUnderTheID(t *testing.T) {
	for _, test := range []struct {
		name   string
		rule   string
		job    gitlabtest.Job
		status string
		body   func(h *actionstest.Harness, job gitlabtest.Job) []byte
		swap   []string // what the event says instead: old, new, …
		says   string
	}{
		{
			name: "retry, of another name", rule: `{on: job, if: 'job.status == "failed"', actions: [retry]}`, status: "failed",
			swap: []string{`"rspec"`, `"deploy-production"`}, says: "is another job here: named rspec, and in the event deploy-production",
		},
		{
			name: "retry, of another commit", rule: `{on: job, if: 'job.status == "failed"', actions: [retry]}`, status: "failed",
			swap: []string{"SHA", strings.Repeat("a", 40)}, says: "is another job here: of commit ",
		},
		{
			name: "retry, of another pipeline", rule: `{on: job, if: 'job.status == "failed"', actions: [retry]}`, status: "failed",
			swap: []string{"PIPELINE", "77"}, says: "is another job here: of pipeline 101, and in the event 77",
		},
		{
			name: "cancel", rule: `{on: job, if: 'job.status == "running"', actions: [cancel]}`,
			swap: []string{`"rspec"`, `"deploy-production"`}, says: "is another job here",
		},
		{
			name: "erase", rule: `{on: job, if: 'job.status == "success"', actions: [erase: {older_than: 0s}]}`, status: "success",
			swap: []string{"SHA", strings.Repeat("a", 40)}, says: "is another job here",
		},
		{
			name: "play", rule: `{on: pipeline, if: 'pipeline.status == "manual"', actions: [play: {jobs: "pipeline.jobs"}]}`, job: gitlabtest.Job{When: "manual"},
			body: (*actionstest.Harness).PipelineBody, swap: []string{`"rspec"`, `"deploy-production"`}, says: "is another job here",
		},
		{
			name: "retry a trigger job, of another commit", rule: `{on: pipeline, if: 'pipeline.status == "failed"', actions: [retry: {jobs: "bridges()"}]}`, status: "failed",
			job:  gitlabtest.Job{Bridge: true},
			body: (*actionstest.Harness).PipelineBody, swap: []string{"SHA", strings.Repeat("a", 40)}, says: "is another job here: of commit ",
		},
		{
			name: "retry a pipeline", rule: `{on: pipeline, if: 'pipeline.status == "failed"', actions: [retry_pipeline]}`, status: "failed",
			body: (*actionstest.Harness).PipelineBody, swap: []string{"SHA", strings.Repeat("a", 40)}, says: "pipeline 101 is another pipeline here: of commit ",
		},
		{
			name: "cancel a pipeline", rule: `{on: pipeline, if: 'pipeline.status == "running"', actions: [cancel_pipeline]}`,
			body: (*actionstest.Harness).PipelineBody, swap: []string{"SHA", strings.Repeat("a", 40)}, says: "pipeline 101 is another pipeline here: of commit ",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := actionstest.New(t, "version: 1\nrules:\n  - {name: r, "+test.rule[1:]+"\n")
			test.job.Name, test.job.Log = "rspec", "a log\n"
			job := h.AddJob(test.job, test.status)
			body := h.GitLab.JobHookBody(job.ID)
			if test.body != nil {
				body = test.body(h, job)
			}
			for i, word := range test.swap {
				switch word {
				case "SHA":
					test.swap[i] = h.Pipeline.SHA
				case "PIPELINE": // of a Job Hook, in pipeline_id and in commit.id
					test.swap = []string{`"pipeline_id":101`, `"pipeline_id":77`, `"commit":{"id":101`, `"commit":{"id":77`}
				}
			}
			h.Deliver([]byte(strings.NewReplacer(test.swap...).Replace(string(body))))
			h.WorkOff()
			if o := h.Only(); o.Result != event.ResultSkipped || !strings.Contains(o.Reason, test.says) {
				t.Errorf("outcome %s (%s), want skipped: …%s…", o.Result, o.Reason, test.says)
			}
			if n := h.GitLab.Count(http.MethodPost, ""); n > 0 {
				t.Errorf("%d POSTs to GitLab, want none", n)
			}
		})
	}
}
