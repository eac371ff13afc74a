package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/keys"
)

const catchUpRules = `
version: 1
limits: {per_job: 10, per_pipeline: 1000, per_project: 10000/1h, total: 10000/1h}
storm: {failures: 10000}
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure") and project.default_branch == "main"
    actions: [retry: {allow_stale: true}]
`

// The command finds events that no webhook delivered, and carries out what rules want.
func TestCatchUpCommand(t *testing.T) {
	gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	shop := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	ended := time.Now().Add(-10 * time.Minute)
	pipeline := gl.AddPipeline(shop.ID, gitlabtest.Pipeline{}, gitlabtest.Job{
		Name: "rspec", Status: "failed", FailureReason: "stuck_or_timeout_failure", CreatedAt: ended.Add(-time.Minute), StartedAt: ended, FinishedAt: ended,
	})
	dir := t.TempDir()
	file := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(file, []byte(catchUpRules), 0o600); err != nil {
		t.Fatal(err)
	}
	catchUp := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = run(t.Context(), append([]string{
			"pipesteward", "catch-up", "--rules", file, "--store", "bolt:" + filepath.Join(dir, "catch-up.db"), "--native-retry-wait", "0s",
			"--gitlab-url", gl.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--gitlab-rate", "1000000/1m",
		}, args...), &out, &errs)
		return code, out.String(), errs.String()
	}
	for _, c := range []struct {
		name    string
		args    []string
		code    int
		stdout  []string
		stderr  []string
		retries int
	}{
		{name: "without --since", args: []string{"--projects", "platform"}, stdout: []string{"in 1 project ", "jobs that no event reported      │                  0"}},
		{name: "a dry run", args: []string{"--projects", "platform", "--since", "1h", "--dry-run"}, stdout: []string{"in 1 project ", "jobs that no event reported      │      1"}},
		{name: "the first", args: []string{"--projects", "platform", "--since", "1h"}, stdout: []string{"missed, and queued", "jobs that no event reported      │                  1"}, retries: 1},
		{name: "the second", args: []string{"--projects", "platform/shop", "--since", "1h", "--json"}, stdout: []string{`"jobs": 0`}, retries: 1},
		{name: "no such project beside another", args: []string{"--projects", "platform/shop", "--projects", "tools/gone"}, stdout: []string{"! tools/gone: there is no such project"}, retries: 1},
		{name: "no such project", args: []string{"--projects", "tools/gone"}, code: 1, stdout: []string{"! tools/gone: there is no such project"}, retries: 1},
		{name: "two in one", args: []string{"--projects", "platform/shop,tools"}, code: 2, stderr: []string{`"platform/shop,tools" is no project: no path has a comma`}, retries: 1},
		{name: "further back than what was done is remembered", args: []string{"--since", "2d"}, code: 2, stderr: []string{"--since: 2d is before", "--catch-up-max-age (24h0m0s)", "72h at most"}, retries: 1},
		{name: "the zero time", args: []string{"--since", "0001-01-01T00:00:00Z"}, code: 2, stderr: []string{"--since: 0001-01-01T00:00:00Z is before", "--catch-up-max-age (24h0m0s)"}, retries: 1},
		{name: "no duration", args: []string{"--since", "yesterday"}, code: 2, stderr: []string{`--since: "yesterday" is neither a duration like 24h nor a time like 20`}, retries: 1},
		{name: "an argument", args: []string{"platform"}, code: 2, stderr: []string{"name projects with --projects"}, retries: 1},
	} {
		code, stdout, stderr := catchUp(c.args...)
		if code != c.code {
			t.Errorf("%s: exit status %d, want %d\n%s%s", c.name, code, c.code, stdout, stderr)
		}
		for text, parts := range map[*string][]string{&stdout: c.stdout, &stderr: c.stderr} {
			for _, part := range parts {
				if !strings.Contains(*text, part) {
					t.Errorf("%s: the output lacks %q:\n%s", c.name, part, *text)
				}
			}
		}
		if n := gl.Count("POST", "/retry"); n != c.retries {
			t.Errorf("%s: %d retries, want %d\n%s", c.name, n, c.retries, stderr)
		}
	}
	if job := gl.Latest(pipeline.ID, "rspec"); job.Status != "pending" {
		t.Errorf("rspec is %s, want pending", job.Status)
	}
}

// Projects become known also where serve does not catch up: the command does.
func TestProjectsBecomeKnownWithoutCatchUp(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run("--catch-up-every", "0")
	p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
	p.workedOff()
	p.stop()
	db, err := bolt.Open(filepath.Join(env.dir, "pipesteward.db"), bolt.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	projects, err := catchup.NewKnown(db, slog.New(slog.DiscardHandler)).Projects(t.Context())
	if err != nil || len(projects) != 1 {
		t.Errorf("known projects: %+v, %v, want the one that sent an event", projects, err)
	}
}

// serve wires catch-up: a delivery to a known project's webhook that failed while
// the service was down is replayed when it starts.
func TestServeReplaysFailedDeliveries(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	// Hooks have whole seconds: GitLab's clock is ahead, so that the job's times are
	// after the project became known.
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: func() time.Time { return time.Now().Add(2 * time.Second) }})
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	db, err := bolt.Open(filepath.Join(env.dir, "pipesteward.db"), bolt.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Tally(t.Context(), keys.KnownProjects, store.Seen{ID: strconv.FormatInt(project.ID, 10)}, time.Hour)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	env.gitlab.AddHook(gitlabtest.Hook{ProjectID: project.ID, URL: "http://127.0.0.1:1" + webhook.Path, Token: testSecret, JobEvents: true})
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	env.gitlab.Finish(env.gitlab.Latest(pipeline.ID, "rspec").ID, "failed", "stuck_or_timeout_failure")
	env.gitlab.Flush()

	p := env.run()
	p.eventually("the delivery is replayed", func() bool {
		_, metrics := p.get("/metrics")
		return strings.Contains(metrics, `pipesteward_catch_up_events_total{found="replayed"} 1`)
	})
	p.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1\n%s", n, p.tail())
	}
}
