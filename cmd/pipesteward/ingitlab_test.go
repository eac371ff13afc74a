package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
)

const inGitLabRules = `
version: 1
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry: {allow_stale: true}]
    notify:
      - {merge_request: note, when: [done, dry_run], text: "{{ job.name }} runs again"}
      - {commit: status, when: [done, dry_run]}
`

// mergeRequestJobs adds a pipeline of a merge request with jobs that got stuck.
func (env *environment) mergeRequestJobs(names ...string) (pipeline gitlabtest.Pipeline, ids []int64) {
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	var jobs []gitlabtest.Job
	for _, name := range names {
		jobs = append(jobs, gitlabtest.Job{Name: name})
	}
	pipeline = env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 7, SourceBranch: "more", TargetBranch: "main"}}, jobs...)
	for _, name := range names {
		job := env.gitlab.Latest(pipeline.ID, name)
		env.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
		ids = append(ids, job.ID)
	}
	return pipeline, ids
}

// Two replicas that retry the jobs of a merge request at the same time write one note about
// all of them, and one commit status is shown; without a Slack token, too.
func TestReplicasNotifyInGitLab(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", inGitLabRules)
	redis := redistest.Start(t)
	replicas := []*program{env.run("--store", redis.URL()), env.run("--store", redis.URL())}
	pipeline, jobs := env.mergeRequestJobs("rspec", "lint", "jest", "docs")
	for i, job := range jobs {
		replicas[i%2].post(env.gitlab.JobHookBody(job))
	}
	replicas[0].workedOff()
	notes := env.gitlab.Notes(pipeline.ProjectID, 7)
	if len(notes) != 1 {
		t.Fatalf("there are %d notes, want 1: %+v", len(notes), notes)
	}
	for _, name := range []string{"rspec", "lint", "jest", "docs"} {
		if !strings.Contains(notes[0].Body, "| `"+name+"` runs again |") {
			t.Errorf("the note lacks %s:\n%s", name, notes[0].Body)
		}
	}
	shown := 0
	for _, s := range env.gitlab.CommitStatuses(pipeline.ID) {
		if !s.Retried {
			shown++
		}
		if s.State != "success" {
			t.Errorf("a status that blocks: %+v", s)
		}
	}
	if shown != 1 {
		t.Errorf("%d statuses are shown, want 1", shown)
	}
	for _, o := range replicas[1].outcomes() {
		for _, n := range o.Notifications {
			if n.Result != event.NotificationSent {
				t.Errorf("the journal says %+v", n)
			}
		}
	}
	if len(env.slack.Posts()) != 0 {
		t.Errorf("Slack got %+v", env.slack.Posts())
	}
}

// With --dry-run nothing is written to GitLab, whatever the rules want, and the journal says
// why.
func TestDryRunWritesNothingToGitLab(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", inGitLabRules)
	p := env.run("--dry-run")
	pipeline, jobs := env.mergeRequestJobs("rspec")
	p.post(env.gitlab.JobHookBody(jobs[0]))
	p.workedOff()
	if n := env.gitlab.Count("POST", ""); n != 0 || len(env.gitlab.Notes(pipeline.ProjectID, 7)) != 0 {
		t.Errorf("GitLab got %d POSTs", n)
	}
	all := p.outcomes()
	if len(all) != 1 || len(all[0].Notifications) != 2 || !strings.Contains(all[0].Notifications[0].Error, "--dry-run") {
		t.Errorf("the journal says %+v", all)
	}
	if strings.Contains(p.logged(), `"level":"ERROR"`) {
		t.Errorf("the log has errors:\n%s", p.logged())
	}
}

// The command for a CI job notifies in GitLab, too: it needs no Slack token.
func TestCINotifiesInGitLab(t *testing.T) {
	t.Parallel()
	rules := strings.Replace(inGitLabRules, `"stuck_or_timeout_failure"`, `"runner_system_failure"`, 1)
	env := newCIEnvironment(t, gitlabtest.Options{}, rules, "runner_system_failure")
	rspec := env.gitlab.Latest(env.pipeline.ID, "rspec")
	code, output := env.ci()
	env.wantCI(code, 0, output, nil, jobPath(rspec, "retry"), fmt.Sprintf("/projects/%d/statuses/%s", env.pipeline.ProjectID, env.pipeline.SHA))
	if got := env.gitlab.CommitStatuses(env.pipeline.ID); len(got) != 1 || !strings.Contains(got[0].Description, "Retried rspec") {
		t.Errorf("the statuses are %+v", got)
	}
}
