package actions_test

import (
	"fmt"
	"testing"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// A program that runs in a CI job neither ends nor changes that job, whatever rules say;
// other jobs of the pipeline are not spared.
func TestOwnJobIsSpared(t *testing.T) {
	for _, c := range []struct {
		name   string
		action string
		result string
		says   string
		calls  map[string]int // by the end of their path
	}{
		{"cancel", `cancel: {jobs: 'filter(pipeline.jobs, .name == "steward")'}`, event.ResultSkipped, "the one that this command runs in", nil},
		{"cancel with force", `cancel: {jobs: 'filter(pipeline.jobs, .name == "steward")', force: true}`, event.ResultSkipped, "the one that this command runs in", nil},
		{"erase", `erase: {jobs: 'filter(pipeline.jobs, .name == "steward")', older_than: 0s}`, event.ResultSkipped, "the one that this command runs in", nil},
		{"cancel_pipeline", "cancel_pipeline", event.ResultSkipped, "would be canceled with its pipeline", nil},
		{"another job", `cancel: {jobs: 'filter(pipeline.jobs, .name == "rspec")'}`, event.ResultDone, "", map[string]int{"/cancel": 1}},
		{"retry_pipeline", "retry_pipeline", event.ResultSkipped, "running", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf("version: 1\nrules:\n  - name: r\n    on: pipeline\n    if: pipeline.status == \"running\"\n    actions: [%s]\n", c.action))
			h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "steward"})
			own := h.GitLab.Latest(h.Pipeline.ID, "steward")
			h.GitLab.Run(own.ID)
			h.Own = actions.Own{Job: own.ID, Pipeline: h.Pipeline.ID}
			h.Start(actionstest.NewFuse(-1))
			h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
			h.WorkOff()
			h.WantOutcome(c.result, c.says, "/cancel", c.calls["/cancel"])
			if status := h.GitLab.Job(own.ID).Status; status != "running" {
				t.Errorf("the own job is %s", status)
			}
		})
	}
}
