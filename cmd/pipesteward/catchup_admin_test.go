package main

import (
	"bytes"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// missedJob makes a job that failed an hour ago, before serve knew its project.
func (env *environment) missedJob() gitlabtest.Job {
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	ended := time.Now().Add(-time.Hour)
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{
		Name: "rspec", Status: "failed", FailureReason: "stuck_or_timeout_failure", CreatedAt: ended.Add(-time.Minute), StartedAt: ended, FinishedAt: ended,
	})
	return env.gitlab.Latest(pipeline.ID, "rspec")
}

// TestCatchUpByTheServer: `why` names a command that works beside a `serve` that has the
// file of its store open; that command has serve catch up.
func TestCatchUpByTheServer(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	job := env.missedJob()
	p := env.run("--projects", "platform", "--catch-up-every", "0", "--catch-up-max-age", "3h")

	// Without the server's address, the command can't open the file, and says what to do.
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{
		"pipesteward", "catch-up", "--rules", filepath.Join(env.dir, "rules.yaml"), "--store", "bolt:" + filepath.Join(env.dir, "pipesteward.db"),
		"--gitlab-url", env.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--since", "3h",
	}, &out, &errs)
	if code != 1 || !strings.Contains(errs.String(), "give its --admin-listen as --admin-url") {
		t.Errorf("beside serve: exit status %d, %s", code, &errs)
	}

	_, story, _ := p.why(env.page(job))
	found := regexp.MustCompile(`pipesteward (catch-up --admin-url \S+ --since \S+)`).FindStringSubmatch(story)
	if found == nil {
		t.Fatalf("why names no command that catches up:\n%s", story)
	}
	advised := strings.Fields(found[1])
	catchUp := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), append(append([]string{"pipesteward"}, advised...), args...), &out, &errs)
		return code, out.String(), errs.String()
	}
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"a dry run", []string{"--dry-run"}, 0, "jobs that no event reported      │      1", ""},
		{"the first", []string{"--by", "ada"}, 0, "jobs that no event reported      │                  1", ""},
		{"the second, as JSON", []string{"--json"}, 0, `"jobs": 0`, ""},
		{"too far back", []string{"--since", "4h"}, 2, "", "--since: 4h is before "},
		{"the zero time", []string{"--since", "0001-01-01T00:00:00Z"}, 2, "", "--since: 0001-01-01T00:00:00Z is too long ago"},
		{"no time", []string{"--since", "yesterday"}, 2, "", "--since: it must be a duration"},
		{"no server", []string{"--admin-url", "http://127.0.0.1:1"}, 1, "", "no server answers at http://127.0.0.1:1"},
	} {
		code, stdout, stderr := catchUp(c.args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: exit status %d, want %d with %q%q\n%s%s", c.name, code, c.code, c.stdout, c.stderr, stdout, stderr)
		}
		if c.name == "a dry run" && env.gitlab.Count("POST", "") != 0 {
			t.Error("the dry run changes something in GitLab")
		}
	}
	p.eventually("the job is retried", func() bool { return env.gitlab.Answered(http.StatusCreated) == 1 })
	if _, changes := p.get("/api/v1/changes"); strings.Count(changes, `"action":"catch_up"`) != 3 || !strings.Contains(changes, `"by":"ada"`) || !strings.Contains(changes, ", dry run") {
		t.Errorf("the list of changes is %s", changes)
	}
}

// TestCatchUpFindsAnUnreadableProject: the command fails as it does without a server.
func TestCatchUpFindsAnUnreadableProject(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.missedJob()
	p := env.run("--projects", "tools/gone", "--catch-up-every", "0")
	code, out, errs := p.output("catch-up")
	if code != 1 || !strings.Contains(out, "! tools/gone: there is no such project") {
		t.Errorf("exit status %d:\n%s%s", code, out, errs)
	}
}
