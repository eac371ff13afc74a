package actions_test

import (
	"bytes"
	"regexp"
	"slices"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// Hooks of GitLab 8 to 11 name the project by its path: its id is looked up
// once. Of a project that is gone nothing is done.
func TestProjectIsFoundByPath(t *testing.T) {
	h := newHouse(t, "version: 1\nrules: [{name: r, on: pipeline, if: 'pipeline.status == \"failed\"', actions: [{retry_pipeline: {}}]}]\n")
	h.start(newFuse(-1))
	h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	withoutID := func(path string) []byte {
		h.pipeline = h.gitlab.AddPipeline(h.pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		h.end("rspec", "failed", "script_failure")
		body := h.gitlab.PipelineHookBody(h.pipeline.ID)
		before, project, _ := bytes.Cut(body, []byte(`"project":{`))
		id := regexp.MustCompile(`"id":\d+,`).FindIndex(project)
		project = slices.Concat(project[:id[0]], project[id[1]:])
		project = bytes.Replace(project, []byte(`"path_with_namespace":"platform/shop"`), []byte(`"path_with_namespace":"`+path+`"`), 1)
		return bytes.Join([][]byte{before, project}, []byte(`"project":{`))
	}
	for range 2 {
		h.deliver(withoutID("platform/shop"))
		h.workOff()
	}
	h.deliver(withoutID("platform/gone"))
	h.workOff()
	if n := h.gitlab.Count("GET", "/projects/platform/shop"); n != 1 {
		t.Errorf("%d look-ups of the path, want 1", n)
	}
	if n := h.gitlab.Count("POST", "/retry"); n != 2 {
		t.Errorf("%d pipelines retried, want 2; the log:\n%s", n, h.log)
	}
}
