package actions_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// A job that a rule names and the pipeline does not have is an outcome, once for the
// pipeline, which calls nothing; the other jobs of the list are acted on.
func TestJobsByName(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, `
version: 1
rules:
  - {name: deploy, on: pipeline, actions: [play: {jobs: [no-such-job, "deploy-*"]}]}
  - {name: tidy, on: pipeline, actions: [cancel: {jobs: [trigger-docs]}]}
`)
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "deploy-staging", When: "manual"}, gitlabtest.Job{Name: "trigger-docs", Bridge: true})
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	h.WorkOff()
	h.GitLab.Finish(h.GitLab.Latest(h.Pipeline.ID, "deploy-staging").ID, "success", "")
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	h.WorkOff()
	reasons := map[string]string{}
	for _, o := range h.Outcomes() {
		if reasons[o.Job.Name] != "" {
			t.Errorf("%s has two outcomes", o.Job.Name)
		}
		reasons[o.Job.Name] = o.Result + ": " + o.Reason
	}
	for name, want := range map[string]string{
		"no-such-job":  event.ResultSkipped + `: the pipeline has no job "no-such-job"`,
		"trigger-docs": event.ResultSkipped + `: the pipeline has no job "trigger-docs", trigger jobs aside, because GitLab can't cancel those`,
	} {
		if reasons[name] != want {
			t.Errorf("%s: %q, want %q", name, reasons[name], want)
		}
	}
	actionstest.Has(t, reasons["deploy-staging"], event.ResultDone)
	if n := h.GitLab.Count("POST", ""); n != 1 {
		t.Errorf("%d POSTs, want the one play", n)
	}
}
