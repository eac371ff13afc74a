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
		"one would start by itself":  {jobs: []gitlabtest.Job{test, job("deploy", "skipped", "delayed", production)}, want: in(ofProduction)},
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
				if to.Ref == "" { // what nothing but the project protects
					return "", nil
				}
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

// TestRetryOfAJobDeploys: who retries or plays a job needs the rights to deploy to where the
// skipped jobs deploy that GitLab runs after it, in its pipeline and in the one that has
// triggered that. Job Hooks do not tell where.
func TestRetryOfAJobDeploys(t *testing.T) {
	t.Parallel()
	const ofJobs = `{name: told, on: job, notify: [{when: [done]}]}`
	const ofPipelines = `{name: again, on: pipeline, if: 'pipeline.status == "failed"', actions: [retry: {jobs: [test]}], notify: [{when: [failed]}]}`
	production := gitlabtest.Environment{Name: "production", Action: "start", Tier: "production"}
	test := gitlabtest.Job{Name: "test", Stage: "test", Status: "failed", FailureReason: "script_failure"}
	deploy := func(status, when string) gitlabtest.Job {
		return gitlabtest.Job{Name: "deploy", Stage: "deploy", Status: status, When: when, Environment: production}
	}
	nowhere := chatops.Target{AllEnvironments: true}
	toProduction := chatops.Target{Environments: []event.Environment{{Name: "production", Tier: "production"}}, AllEnvironments: true}
	anywhere := chatops.Target{}
	for name, c := range map[string]struct {
		rule      string
		jobs      []gitlabtest.Job
		source    string            // of the event
		upstream  []gitlabtest.Job  // of the pipeline that has triggered this one, after its trigger job
		elsewhere bool              // that is in another project
		version   string            // of GitLab
		fault     *gitlabtest.Fault // of the press
		does      string
		want      chatops.Target
		above     bool // the rights upstream are needed, too
	}{
		"nothing follows":                            {rule: ofJobs, jobs: []gitlabtest.Job{test, deploy("success", "")}, want: nowhere},
		"a deployment is skipped":                    {rule: ofJobs, jobs: []gitlabtest.Job{test, deploy("skipped", "")}, want: anywhere},
		"a played job's followers":                   {rule: ofJobs, jobs: []gitlabtest.Job{{Name: "test", Stage: "test", Status: "manual", When: "manual"}, deploy("skipped", "")}, does: chatops.ButtonPlay, want: anywhere},
		"a trigger job is skipped":                   {rule: ofJobs, jobs: []gitlabtest.Job{test, {Name: "child", Stage: "deploy", Bridge: true, Status: "skipped"}}, want: anywhere},
		"a cancel runs nothing":                      {rule: ofJobs, jobs: []gitlabtest.Job{{Name: "test", Stage: "test", Status: "running"}, {Name: "late", Stage: "test", Status: "skipped"}}, does: chatops.ButtonCancel, want: nowhere},
		"GitLab does not show them":                  {rule: ofJobs, jobs: []gitlabtest.Job{test}, fault: &gitlabtest.Fault{Path: "/jobs", Status: http.StatusForbidden, Times: 1}, want: anywhere},
		"the hook of the pipeline tells where":       {rule: ofPipelines, jobs: []gitlabtest.Job{test, deploy("skipped", "")}, want: toProduction},
		"one that somebody must play":                {rule: ofPipelines, jobs: []gitlabtest.Job{test, deploy("skipped", "manual")}, want: nowhere},
		"one that starts by itself":                  {rule: ofPipelines, jobs: []gitlabtest.Job{test, deploy("skipped", "delayed")}, want: toProduction},
		"the API does not tell":                      {rule: ofPipelines, jobs: []gitlabtest.Job{test}, source: event.SourceCatchUp, want: anywhere},
		"nothing follows in the parent":              {rule: ofJobs, jobs: []gitlabtest.Job{test}, upstream: []gitlabtest.Job{deploy("success", "")}, want: nowhere},
		"a deployment of the parent":                 {rule: ofJobs, jobs: []gitlabtest.Job{test}, upstream: []gitlabtest.Job{deploy("skipped", "")}, want: anywhere},
		"the parent, which an old GitLab hides":      {rule: ofJobs, jobs: []gitlabtest.Job{test}, upstream: []gitlabtest.Job{deploy("success", "")}, version: "16.11.0", want: anywhere},
		"nothing follows upstream":                   {rule: ofJobs, jobs: []gitlabtest.Job{test}, upstream: []gitlabtest.Job{deploy("success", "")}, elsewhere: true, want: nowhere},
		"a deployment upstream":                      {rule: ofJobs, jobs: []gitlabtest.Job{test}, upstream: []gitlabtest.Job{deploy("skipped", "")}, elsewhere: true, want: nowhere, above: true},
		"a deployment upstream of a pipeline's hook": {rule: ofPipelines, jobs: []gitlabtest.Job{test, deploy("skipped", "")}, upstream: []gitlabtest.Job{deploy("skipped", "")}, elsewhere: true, want: toProduction, above: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			does := c.does
			if does == "" {
				does = chatops.ButtonRetry
			}
			var got []chatops.Target
			h := actionstest.NewOn(t, gitlabtest.Options{Version: c.version}, "version: 1\ndefaults: {channel: \"#ci\", group: false}\nrules:\n  - "+c.rule+"\n")
			h.Rights = actionstest.Rights(func(_ chatops.Person, to chatops.Target, d string) (string, error) {
				if to.Ref == "" { // what nothing but the project protects
					return "", nil
				}
				if d == does {
					got = append(got, to)
				}
				return "No.", nil
			})
			h.Start(actionstest.NewFuse(-1))
			project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			above := project
			if c.elsewhere {
				above = h.GitLab.AddProject(gitlabtest.Project{Path: "platform/app"})
			}
			triggered := gitlabtest.Pipeline{Ref: "feature"}
			if c.upstream != nil {
				up := h.GitLab.AddPipeline(above.ID, gitlabtest.Pipeline{Ref: "next"}, append([]gitlabtest.Job{{Name: "trigger", Stage: "test", Bridge: true, Status: "failed"}}, c.upstream...)...)
				triggered.TriggeredBy = h.GitLab.Latest(up.ID, "trigger").ID
			}
			p := h.GitLab.AddPipeline(project.ID, triggered, c.jobs...)
			body, source := h.GitLab.JobHookBody(h.GitLab.Latest(p.ID, "test").ID), event.SourceWebhook
			if c.rule == ofPipelines {
				body = h.GitLab.PipelineHookBody(p.ID)
			}
			if c.source != "" {
				source = c.source
			}
			h.GitLab.Fail(gitlabtest.Fault{Method: http.MethodPost, Status: http.StatusForbidden, Times: 1})
			h.Enqueue(body, source, time.Time{})
			h.WorkOff()
			if c.fault != nil {
				h.GitLab.Fail(*c.fault)
			}
			r := h.Press(actionstest.Ada, does)
			h.WorkOff()
			h.WantReplies(r, "No.")
			c.want.Project, c.want.Ref = p.ProjectID, p.Ref
			if c.above {
				c.want.Upstream = &chatops.Target{Project: above.ID, Ref: "next"}
			}
			for i := range got {
				got[i].Owner = 0
			}
			if diff := cmp.Diff([]chatops.Target{c.want}, got); diff != "" {
				t.Errorf("rights were checked on (-want +got):\n%s", diff)
			}
		})
	}
}
