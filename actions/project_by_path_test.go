package actions_test

import (
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

const retryFailedPipelines = `
version: 1
rules: [{name: r, on: pipeline, if: 'pipeline.status == "failed"', actions: [{retry_pipeline: {}}]}]
`

// failedWithoutID is the hook of a new pipeline that failed, in the form of
// GitLab 8 to 11: it names its project by the path only.
func failedWithoutID(h *actionstest.Harness, path string) []byte {
	h.Pipeline = h.GitLab.AddPipeline(h.Pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	h.End("rspec", "failed", "script_failure")
	body := h.GitLab.PipelineHookBody(h.Pipeline.ID)
	before, project, _ := bytes.Cut(body, []byte(`"project":{`))
	id := regexp.MustCompile(`"id":\d+,`).FindIndex(project)
	project = slices.Concat(project[:id[0]], project[id[1]:])
	project = bytes.Replace(project, []byte(`"path_with_namespace":"platform/shop"`), []byte(`"path_with_namespace":"`+path+`"`), 1)
	return bytes.Join([][]byte{before, project}, []byte(`"project":{`))
}

// Hooks of GitLab 8 to 11 name the project by its path: its id is looked up
// once. Of a project that is gone nothing is done.
func TestProjectIsFoundByPath(t *testing.T) {
	h := actionstest.New(t, retryFailedPipelines)
	h.Start(actionstest.NewFuse(-1))
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	for range 2 {
		h.Deliver(failedWithoutID(h, "platform/shop"))
		h.WorkOff()
	}
	h.Deliver(failedWithoutID(h, "platform/gone"))
	h.WorkOff()
	if n := h.GitLab.Count("GET", "/projects/platform/shop"); n != 1 {
		t.Errorf("%d look-ups of the path, want 1", n)
	}
	if n := h.GitLab.Count("POST", "/retry"); n != 2 {
		t.Errorf("%d pipelines retried, want 2; the log:\n%s", n, h.Logs)
	}
}

// However long GitLab can't be used, the look-up waits for that.
func TestProjectIsFoundByPathAfterTrouble(t *testing.T) {
	h := actionstest.New(t, retryFailedPipelines)
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	h.GitLab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})
	h.Deliver(failedWithoutID(h, "platform/shop"))
	h.Pass(3*actionstest.Day, 2*time.Hour)
	h.GitLab.ClearFaults()
	h.Pass(10*time.Minute, 20*time.Second)
	if n := h.GitLab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d pipelines retried, want 1; the log:\n%s", n, h.Logs)
	}
}
