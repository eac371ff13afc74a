package main

import (
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// A rule that only stops, jobs by their names and the merge request of a job's
// pipeline, in the program as it runs.
func TestRulesPeopleAskedFor(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", `
version: 1
rules:
  - {name: sandboxes, on: job, if: 'glob(project.path, "sandbox/**")', stop: true}
  - name: retry-urgent
    on: job
    if: failed_with("stuck_or_timeout_failure") and "urgent" in merge_request_details().labels
    actions: [retry: {allow_stale: true}]
  - {name: deploy, on: pipeline, actions: [play: {jobs: ["deploy-*", no-such-job]}]}
`)
	p := env.serve("--native-retry-wait", "0s")
	urgent := &gitlabtest.MergeRequest{IID: 7, Title: "Mend the cart", SourceBranch: "cart", TargetBranch: "main", Labels: []string{"urgent"}}
	jobs := map[string]gitlabtest.Job{}
	for path, mr := range map[string]*gitlabtest.MergeRequest{"sandbox/ann": urgent, "platform/shop": urgent, "platform/docs": {IID: 7}, "platform/web": nil} {
		project := env.gitlab.AddProject(gitlabtest.Project{Path: path})
		pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{MergeRequest: mr}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "deploy-staging", When: "manual"})
		job := env.gitlab.Latest(pipeline.ID, "rspec")
		env.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
		p.post(env.gitlab.JobHookBody(job.ID))
		jobs[path] = job
	}
	p.post(env.gitlab.PipelineHookBody(jobs["platform/web"].PipelineID))
	p.workedOff()
	got := map[string]string{}
	for _, o := range p.outcomes() {
		got[o.Project.Path+" "+o.Action.Verb+" "+o.Job.Name] = o.Result
	}
	want := map[string]string{
		"platform/shop retry rspec":        event.ResultDone,
		"platform/web play deploy-staging": event.ResultDone,
		"platform/web play no-such-job":    event.ResultSkipped,
	}
	if len(got) != len(want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
	for key, result := range want {
		if got[key] != result {
			t.Errorf("%s: %q, want %s", key, got[key], result)
		}
	}
}
