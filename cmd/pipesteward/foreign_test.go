package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// A staging GitLab that was restored from production's backup has production's
// webhook, secret and ids. Its events cause nothing, also those that came
// while nobody knew yet whether the two addresses are of one GitLab; and those of
// production, whose own address is not --gitlab-url, all count.
func TestDeliveriesOfARestoredGitLab(t *testing.T) {
	t.Parallel()
	const external = "https://gitlab.example.com"
	env := newEnvironment(t)
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, ExternalURL: external})
	staging := *env
	staging.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	env.gitlab.Fail(gitlabtest.Fault{Path: "/user", Status: http.StatusBadGateway, Times: -1})
	p := env.run()

	theirs, ours := staging.stuckJob(), env.stuckJob()
	if theirs.ID != ours.ID {
		t.Fatalf("the jobs are %d and %d, want the same id", theirs.ID, ours.ID)
	}
	if code := p.post(staging.gitlab.JobHookBody(theirs.ID)); code != http.StatusAccepted {
		t.Errorf("while GitLab can't be reached, staging's delivery is answered with %d, want 202", code)
	}
	second := env.stuckJobOf("platform/other")
	for _, job := range []gitlabtest.Job{ours, second} {
		if code := p.post(env.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
			t.Errorf("while GitLab can't be reached, production's delivery is answered with %d, want 202", code)
		}
	}
	if n := env.gitlab.Count("POST", "/retry"); n != 0 {
		t.Errorf("%d retries for events that may be another GitLab's", n)
	}

	env.gitlab.ClearFaults()
	p.workedOff()
	if all := p.outcomes(); len(all) != 2 {
		t.Errorf("%d outcomes, want one for each of production's two events", len(all))
	} else {
		for _, o := range all {
			if o.Result != event.ResultDone || o.Meta.Instance != env.gitlab.URL() {
				t.Errorf("outcome %s of an event of %s, want one that is done, of %s", o.Result, o.Meta.Instance, env.gitlab.URL())
			}
		}
	}

	third := staging.stuckJob()
	for range 2 {
		if code := p.post(staging.gitlab.JobHookBody(third.ID)); code != http.StatusForbidden {
			t.Errorf("staging's delivery is answered with %d, want 403", code)
		}
	}
	p.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 2 {
		t.Errorf("%d retries, want 2", n)
	}
	if _, metrics := p.get("/metrics"); !strings.Contains(metrics, `pipesteward_deliveries_total{kind="job",result="foreign"} 2`) {
		t.Error("the refused deliveries are not counted")
	}
	if n := strings.Count(p.logged(), "--gitlab-alias"); n != 1 {
		t.Errorf("staging's address is logged %d times, want once:\n%s", n, p.tail())
	}
}

// What an alias names is the same GitLab.
func TestGitLabAlias(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	alias := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	env.gitlab.Fail(gitlabtest.Fault{Path: "/user", Status: http.StatusForbidden, Times: -1})
	job := env.stuckJob()
	body := strings.ReplaceAll(string(env.gitlab.JobHookBody(job.ID)), env.gitlab.URL(), alias.URL())
	p := env.run("--gitlab-alias", alias.URL()+"/")
	if code := p.post([]byte(body)); code != http.StatusAccepted {
		t.Errorf("a delivery of the alias is answered with %d, want 202", code)
	}
	p.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
}

// The same holds for what waits in the queue: a store that belonged to another
// GitLab's Pipesteward causes nothing in this one.
func TestQueueOfAnotherGitLab(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.gitlab.Fail(gitlabtest.Fault{Method: "GET", Path: "/jobs", Status: http.StatusBadGateway, Times: -1})
	job := env.stuckJob()
	env.gitlab.Fail(gitlabtest.Fault{Method: "GET", Path: "/jobs/" + strconv.FormatInt(job.ID, 10), Status: http.StatusBadGateway, Times: -1})
	p := env.run()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.eventually("the event is decided on", func() bool { return len(p.outcomes()) == 1 })
	p.stop()

	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	if same := env.stuckJob(); same.ID != job.ID {
		t.Fatalf("the jobs are %d and %d, want the same id", job.ID, same.ID)
	}
	p = env.run()
	p.workedOff()
	if all := p.outcomes(); len(all) != 1 || all[0].Result != event.ResultSkipped || !strings.Contains(all[0].Reason, "--gitlab-alias") {
		t.Errorf("outcomes %+v, want one skipped with the setting to change", all)
	}
	if n := env.gitlab.Count("POST", "/retry"); n != 0 {
		t.Errorf("%d retries for an event of another GitLab", n)
	}
}
