package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

const backtestRules = `
version: 1
classes: [{name: disk-full, log: "No space left on device"}]
rules:
  - {name: leave-sandboxes, on: job, if: 'glob(project.path, "sandbox/**")', stop: true}
  - {name: retry-stuck, on: job, if: 'failed_with("stuck_or_timeout_failure")', actions: [retry: {max_attempts: 3, delay: 30s}]}
  - {name: retry-full-disk, on: job, if: 'job.failure_class == "disk-full"', actions: [retry: {max_attempts: 2}]}
  - {name: red, on: pipeline, if: 'pipeline.status == "failed"', notify: [{channel: ci}]}
  - {name: labels, on: job, if: 'job.status == "failed" and "urgent" in merge_request_details().labels', actions: [retry]}
  - {name: nightly, on: schedule, schedule: {cron: "0 3 * * *", projects: [platform]}, actions: [erase: {older_than: 30d}]}
  - {name: hangs, on: job, if: 'job.status == "pending"', actions: [cancel]}
`

// pastGitLab is a GitLab whose clock a test sets, some days back.
type pastGitLab struct {
	*testing.T
	gitlab *gitlabtest.Server
	now    time.Time
	dir    string
}

func newPast(t *testing.T, rules string) *pastGitLab {
	t.Helper()
	p := &pastGitLab{T: t, now: time.Now().Add(-72 * time.Hour).Truncate(time.Second), dir: t.TempDir()}
	p.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: func() time.Time { return p.now }})
	p.file("rules.yaml", rules)
	return p
}

func (p *pastGitLab) file(name, text string) string {
	p.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
	return path
}

// pass lets time pass.
func (p *pastGitLab) pass(d time.Duration) { p.now = p.now.Add(d) }

// end runs the latest run of a job for so long, and ends it.
func (p *pastGitLab) end(pipeline int64, name, status, reason string, took time.Duration) int64 {
	id := p.gitlab.Latest(pipeline, name).ID
	p.gitlab.Run(id)
	p.pass(took)
	p.gitlab.Finish(id, status, reason)
	return id
}

// again has a person retry a job some time after.
func (p *pastGitLab) again(job int64, after time.Duration) {
	p.Helper()
	p.pass(after)
	if _, err := p.gitlab.Retry(job); err != nil {
		p.Fatal(err)
	}
}

func (p *pastGitLab) backtest(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	p.Helper()
	var out, errs bytes.Buffer
	code = run(ctx, append([]string{
		"pipesteward", "backtest", "--rules", filepath.Join(p.dir, "rules.yaml"), "--cache", filepath.Join(p.dir, "cache"),
		"--gitlab-url", p.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--gitlab-rate", "1000000/1m",
	}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// week plays a week in the past: five failed runs, of which four were run again.
func week(t *testing.T) *pastGitLab {
	const stuck = "stuck_pending_with_matching_runners"
	p := newPast(t, backtestRules)
	shop := p.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	one := p.gitlab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "build"})
	p.end(one.ID, "build", "success", "", time.Minute)
	// Stuck twice, passes when a person runs it again for the second time.
	failed := p.end(one.ID, "rspec", "failed", stuck, 2*time.Minute)
	p.again(failed, 10*time.Minute)
	failed = p.end(one.ID, "rspec", "failed", stuck, 3*time.Minute)
	p.again(failed, time.Hour)
	p.end(one.ID, "rspec", "success", "", 4*time.Minute)
	// A full disk, run again 5 minutes later and passed.
	p.pass(time.Hour)
	two := p.gitlab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", Log: "tar: No space left on device\nERROR: Job failed: exit code 2\n"})
	failed = p.end(two.ID, "rspec", "failed", "script_failure", time.Minute)
	p.again(failed, 5*time.Minute)
	p.end(two.ID, "rspec", "success", "", time.Minute)
	// Stuck once, and nobody cared. Another failure that no rule wants.
	p.pass(time.Hour)
	three := p.gitlab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "deploy"}, gitlabtest.Job{Name: "lint", Log: "password=hunter2hunter2\nlint.go:7: undefined: frobnicate\nERROR: Job failed: exit code 1\n"})
	p.end(three.ID, "deploy", "failed", stuck, time.Minute)
	p.end(three.ID, "lint", "failed", "script_failure", time.Minute)
	return p
}

func TestBacktest(t *testing.T) {
	t.Parallel()
	p := week(t)
	code, stdout, stderr := p.backtest(t.Context(), "--project", "platform/*")
	if code != 0 {
		t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
	}
	t.Log(stdout, stderr)
}

var _ = json.Marshal
var _ = errors.New
var _ fs.FileMode
var _ = fmt.Sprint
var _ = strings.Contains
