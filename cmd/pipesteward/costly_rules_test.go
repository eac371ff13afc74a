package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// TestCostlyRulesDelayNoOtherTeam has the rules of one team read logs of 1 MB
// with all the work and memory that they are allowed, for event after event:
// all at once, when GitLab gives the logs. Another team's job, whose event came
// after them, is retried before half of them are evaluated, as the order of the
// log's lines shows; and the process stays within the memory that
// deploy/compose.yaml gives it. Then the costly rules are removed, lest the rest
// takes minutes on a slow machine.
func TestCostlyRulesDelayNoOtherTeam(t *testing.T) {
	await.Long(t, "rules do all the work that they may")
	await.Unraced(t, "that work takes more than ten times as long")
	t.Parallel()
	const events, memory = 40, 512 << 20
	const cheap = `
version: 1
rules:
  - {name: retry, on: job, if: 'failed_with("stuck_or_timeout_failure")', actions: [retry]}
`
	const costly = `
  - {name: memory, on: job, if: 'glob(project.path, "costly/**") and len(groupBy(split(log(), ""), #)) > 99990', actions: [erase]}
  - {name: work, on: job, if: 'glob(project.path, "costly/**") and log()[:250000] matches ".{0,33}y"', actions: [erase]}
  - {name: more work, on: job, if: 'glob(project.path, "costly/**") and log()[:250001] matches ".{0,33}y"', actions: [erase]}`
	env := newEnvironment(t)
	env.write("rules.yaml", cheap+costly[1:])
	p := env.serve("--gitlab-rate", "100000/1m")
	team := env.gitlab.AddProject(gitlabtest.Project{Path: "costly/batch"})
	logs := make(chan struct{})
	env.gitlab.Fail(gitlabtest.Fault{Path: "/trace", Times: -1, Until: logs})
	log := strings.Repeat("a", 1<<20)
	for range events {
		pipeline := env.gitlab.AddPipeline(team.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "batch", Log: log})
		job := env.gitlab.Latest(pipeline.ID, "batch")
		env.gitlab.Finish(job.ID, "failed", "script_failure")
		if code := p.post(env.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
			t.Fatalf("a job of the costly project is answered with %d, want 202", code)
		}
	}
	job := env.stuckJob()
	close(logs)
	if code := p.post(env.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
		t.Fatalf("a stuck job is answered with %d, want 202", code)
	}
	var before string
	p.eventually("the job of the other team is retried", func() (retried bool) {
		before, _, retried = strings.Cut(p.logged(), `"msg":"outcome"`)
		return retried
	})
	if n := strings.Count(before, `"msg":"a rule could not be evaluated and did not fire"`) / 3; n > events/2 {
		t.Errorf("the other team's job was retried after %d of %d costly events, want it to be among the first", n, events)
	}
	env.write("rules.yaml", cheap)
	p.reload()
	p.workedOff()
	if peak := p.peak(); peak > memory {
		t.Errorf("the process used %d MB at its peak, want at most %d MB", peak>>20, memory>>20)
	}
	if all := p.outcomes(); len(all) != 1 || all[0].Result != event.ResultDone {
		t.Errorf("outcomes %+v, want one retry that is done", all)
	}
}
