package requests_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// pipelines are rules that retry failed pipelines, which GitLab refuses here.
const pipelines = `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - {name: again, on: pipeline, if: 'pipeline.status == "failed"', actions: [retry_pipeline], notify: [{when: [failed]}]}
`

// TestRetryOfAPipelineDeploys: who retries a pipeline needs the rights to deploy to where the
// jobs deploy that run then: those that failed or were canceled, and those after them that
// were skipped. What cannot be known may deploy to any environment.
func TestRetryOfAPipelineDeploys(t *testing.T) {
	t.Parallel()
	production := gitlabtest.Environment{Name: "production", Action: "start", Tier: "production"}
	review := gitlabtest.Environment{Name: "review/1", Action: "start", Tier: "development"}
	test := gitlabtest.Job{Name: "test", Stage: "test", Status: "failed", FailureReason: "script_failure"}
	job := func(name, status, when string, in gitlabtest.Environment) gitlabtest.Job {
		return gitlabtest.Job{Name: name, Stage: "deploy", Status: status, When: when, Environment: in}
	}
	in := func(all ...event.Environment) chatops.Target {
		return chatops.Target{Environments: all, AllEnvironments: true}
	}
	ofProduction, ofReview := event.Environment{Name: "production", Tier: "production"}, event.Environment{Name: "review/1", Tier: "development"}
	for name, c := range map[string]struct {
		jobs      []gitlabtest.Job
		rules     string
		source    string
		meanwhile func(h *actionstest.Harness)
		does      string
		want      chatops.Target
	}{
		"nothing deploys":            {jobs: []gitlabtest.Job{test}, want: in()},
		"a deployment failed":        {jobs: []gitlabtest.Job{test, job("deploy", "failed", "", production)}, want: in(ofProduction)},
		"one was canceled":           {jobs: []gitlabtest.Job{test, job("deploy", "canceled", "", production), job("review", "failed", "", review)}, want: in(ofReview, ofProduction)},
		"one was skipped":            {jobs: []gitlabtest.Job{test, job("deploy", "skipped", "", production)}, want: in(ofProduction)},
		"one would wait":             {jobs: []gitlabtest.Job{test, job("deploy", "skipped", "manual", production)}, want: in()},
		"one waits":                  {jobs: []gitlabtest.Job{test, {Name: "deploy", Stage: "deploy", Status: "manual", When: "manual", AllowFailure: true, Environment: production}}, want: in()},
		"one was played, and failed": {jobs: []gitlabtest.Job{test, job("deploy", "failed", "manual", production)}, want: in(ofProduction)},
		"one is done":                {jobs: []gitlabtest.Job{test, job("deploy", "success", "", production), job("review", "failed", "", review)}, want: in(ofReview)},
		"a trigger job is done":      {jobs: []gitlabtest.Job{test, {Name: "child", Stage: "deploy", Bridge: true, Status: "success"}}, want: in()},
		"a trigger job was skipped":  {jobs: []gitlabtest.Job{test, {Name: "child", Stage: "deploy", Bridge: true, Status: "skipped"}}},
		"the status since the message": {
			jobs: []gitlabtest.Job{test, {Name: "deploy", Stage: "test", Status: "failed", Environment: production}},
			meanwhile: func(h *actionstest.Harness) {
				again := h.MustRetry(h.GitLab.Latest(h.Pipeline.ID, "deploy").ID)
				h.GitLab.Run(again.ID)
				h.GitLab.Finish(again.ID, "success", "")
			},
			want: in(),
		},
		"GitLab does not show the jobs": {
			jobs: []gitlabtest.Job{test},
			meanwhile: func(h *actionstest.Harness) {
				h.GitLab.Fail(gitlabtest.Fault{Path: "/jobs", Status: http.StatusForbidden, Times: 1})
			},
		},
		"GitLab was asked for the pipeline": {jobs: []gitlabtest.Job{test}, source: event.SourceCatchUp},
		"a rule for jobs": {
			jobs:  []gitlabtest.Job{test},
			rules: `{name: again, on: job, if: 'job.status == "failed"', actions: [retry_pipeline], notify: [{when: [failed]}]}`,
		},
		"a pipeline is canceled": {
			jobs: []gitlabtest.Job{{Name: "test", Status: "running"}}, does: chatops.ButtonCancel,
			rules: `{name: end, on: pipeline, if: 'pipeline.status == "running"', actions: [cancel_pipeline], notify: [{when: [failed]}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			does, file := c.does, pipelines
			if does == "" {
				does = chatops.ButtonRetry
			}
			if c.rules != "" {
				file = "version: 1\ndefaults: {channel: \"#ci\", group: false}\nrules:\n  - " + c.rules + "\n"
			}
			var got []chatops.Target
			h := open(t, file, func(_ chatops.Person, to chatops.Target, d string) (string, error) {
				if d == does {
					got = append(got, to)
				}
				return "No.", nil
			})
			p := h.AddPipeline(gitlabtest.Pipeline{}, c.jobs...)
			body, source := h.GitLab.PipelineHookBody(p.ID), event.SourceWebhook
			if c.rules != "" && does == chatops.ButtonRetry {
				body = h.GitLab.JobHookBody(h.GitLab.Latest(p.ID, "test").ID)
			}
			if c.source != "" {
				source = c.source
			}
			h.GitLab.Fail(gitlabtest.Fault{Method: http.MethodPost, Status: http.StatusForbidden, Times: 1})
			h.Enqueue(body, source, time.Time{})
			h.WorkOff()
			if c.meanwhile != nil {
				c.meanwhile(h)
			}
			r := h.Press(actionstest.Ada, does)
			h.WorkOff()
			h.WantReplies(r, "No.")
			c.want.Project, c.want.Ref = p.ProjectID, p.Ref
			if diff := cmp.Diff([]chatops.Target{c.want}, got); diff != "" {
				t.Errorf("rights were checked on (-want +got):\n%s", diff)
			}
		})
	}
}
