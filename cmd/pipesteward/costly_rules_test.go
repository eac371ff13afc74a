package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules"
)

// TestCostlyRulesDelayNoOtherTeam has the rules of one team read logs of 1 MB
// with all the work and memory that they are allowed. Another team's job is
// retried while those are still evaluated, and the process stays within the
// memory that deploy/compose.yaml gives it.
func TestCostlyRulesDelayNoOtherTeam(t *testing.T) {
	const events, memory = 6, 512 << 20
	const file = `
version: 1
rules:
  - {name: memory, on: job, if: 'glob(project.path, "costly/**") and len(groupBy(split(log(), ""), #)) > 99990', actions: [erase]}
  - {name: work, on: job, if: 'glob(project.path, "costly/**") and log()[:250000] matches ".{0,33}y"', actions: [erase]}
  - {name: more work, on: job, if: 'glob(project.path, "costly/**") and log()[:250001] matches ".{0,33}y"', actions: [erase]}
  - {name: retry, on: job, if: 'failed_with("stuck_or_timeout_failure")', actions: [retry]}
`
	w := newWorld(t)
	w.write("rules.yaml", file)
	p := w.serve("--gitlab-rate", "100000/1m")
	costly := w.gitlab.AddProject(gitlabtest.Project{Path: "costly/batch"})
	log := strings.Repeat("a", 1<<20)
	for range events {
		pipeline := w.gitlab.AddPipeline(costly.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "batch", Log: log})
		job := w.gitlab.Latest(pipeline.ID, "batch")
		w.gitlab.Finish(job.ID, "failed", "script_failure")
		if code := p.post(w.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
			t.Fatalf("a job of the costly project is answered with %d, want 202", code)
		}
	}
	job := w.stuckJob()
	if code := p.post(w.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
		t.Fatalf("a stuck job is answered with %d, want 202", code)
	}
	evaluated := -1 // costly events, when the other team's job is retried
	p.eventually("the job of the other team is retried", func() bool {
		evaluated = strings.Count(p.logged(), `"rule":"memory"`)
		return w.gitlab.Count("POST", "/retry") == 1
	})
	if evaluated > events/2 {
		t.Errorf("the other team's job was retried after %d of %d costly events, want it to be among the first", evaluated, events)
	}
	p.workedOff()
	if peak := p.peak(); peak > memory {
		t.Errorf("the process used %d MB at its peak, want at most %d MB", peak>>20, memory>>20)
	}
	if all := p.outcomes(); len(all) != 1 || all[0].Result != rules.ResultDone {
		t.Errorf("outcomes %+v, want one retry that is done", all)
	}
}
