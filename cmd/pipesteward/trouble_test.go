package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

const troubleRules = `
version: 1
defaults: {channel: "#ci"}
rules:
  - {name: retry-stuck, on: job, if: 'failed_with("stuck_or_timeout_failure")', actions: [retry: {max_attempts: 3}]}
  - {name: retry-full-disk, on: job, if: 'failed_with("script_failure") and log() contains "No space left"', actions: [retry: {max_attempts: 3}]}
`

// A token that GitLab refuses is an error in the log at the start, before anything
// happens.
func TestWrongTokenAtTheStart(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run("--gitlab-token", "wrong", "--catch-up-every", "0")
	p.eventually("the log says it", func() bool {
		return strings.Contains(p.logged(), `"level":"ERROR","msg":"GitLab can't be used: all work waits until it can","trouble":"token"`)
	})
	if log := p.logged(); !strings.Contains(log, `"advice":"check that the access token is right`) || strings.Contains(log, "the access token is good") {
		t.Errorf("the log does not say what to do:\n%s", log)
	}
}

// While the token is refused, deliveries are stored and all work waits; people
// are notified once, and the API says what to do. When it is mended, everything that
// was wanted happens once.
func TestServeWithoutAGoodToken(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", troubleRules)
	stuck := env.stuckJob()
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/disk"})
	full := env.gitlab.Latest(env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", Log: "No space left on device\n"}).ID, "rspec")
	env.gitlab.Run(full.ID)
	env.gitlab.Finish(full.ID, "failed", "script_failure")
	env.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})

	p := env.run()
	for _, job := range []gitlabtest.Job{stuck, full} {
		if code := p.post(env.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
			t.Errorf("a delivery is answered with %d, want 202", code)
		}
	}
	says := func(path string, parts ...string) bool {
		_, body := p.get(path)
		for _, part := range parts {
			if !strings.Contains(body, part) {
				return false
			}
		}
		return true
	}
	p.eventually("the status says it", func() bool {
		return says("/api/v1/status", `"trouble":"token"`, "401 Unauthorized", "check that the access token is right") && says("/metrics", "pipesteward_gitlab_up 0")
	})
	p.eventually("people are notified", func() bool { return len(env.slack.Posts()) == 1 })
	if code, _ := p.get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz answers %d, want 200", code)
	}
	before := env.gitlab.Count("", "")
	p.eventually("requests are sent to GitLab again", func() bool { return env.gitlab.Count("", "") > before })
	for _, o := range p.outcomes() {
		if o.Result != "" {
			t.Errorf("%s ended %s: %s", o.Rule, o.Result, o.Reason)
		}
	}

	env.gitlab.SetAccessToken(gitlabtest.AccessToken{ExpiresAt: time.Now().Add(5 * 24 * time.Hour)})
	env.gitlab.ClearFaults()
	p.eventually("both jobs are retried", func() bool { return env.gitlab.Answered(http.StatusCreated) == 2 })
	p.eventually("people are notified that it is over", func() bool { return len(env.slack.Posts()) == 2 })
	p.eventually("the token's expiry is warned of", func() bool { return strings.Contains(p.logged(), "the access token expires in") })
	p.workedOff()
	if !says("/metrics", "pipesteward_gitlab_up 1") || !says("/api/v1/status", `"up":true`) {
		t.Error("GitLab is not said to be up again")
	}
	if n := env.gitlab.Count("POST", "/retry"); n != 2 {
		t.Errorf("%d retries, want 2", n)
	}
	if n := strings.Count(p.logged(), `"level":"ERROR"`); n != 1 {
		t.Errorf("%d errors are logged, want 1\n%s", n, p.tail())
	}
	posts := env.slack.Posts()
	if !strings.Contains(posts[0].Plain(), "can't use GitLab") || !strings.Contains(posts[1].Plain(), "can use GitLab again") {
		t.Errorf("posted %v", posts)
	}
}
