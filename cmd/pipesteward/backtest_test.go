package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
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
	code = run(ctx, p.args(args...), &out, &errs)
	return code, out.String(), errs.String()
}

// args returns the command line with the arguments that every test needs, and then the others.
func (p *pastGitLab) args(more ...string) []string {
	return append([]string{
		"pipesteward", "backtest", "--rules", filepath.Join(p.dir, "rules.yaml"), "--cache", filepath.Join(p.dir, "cache"),
		"--gitlab-url", p.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--gitlab-rate", "1000000/1m",
	}, more...)
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

// said checks that a text has all parts, wherever its lines end.
func (p *pastGitLab) said(text string, parts ...string) {
	p.Helper()
	flat := strings.Join(strings.Fields(text), " ")
	for _, part := range parts {
		if !strings.Contains(flat, part) {
			p.Errorf("lacks %q:\n%s", part, text)
		}
	}
}

func TestBacktest(t *testing.T) {
	t.Parallel()
	p := week(t)
	code, stdout, stderr := p.backtest(t.Context(), "--project", "platform/*")
	if code != 0 || stderr != "" {
		t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
	}
	p.said(stdout,
		"8 runs of jobs in 1 project ended from", "and 5 of them failed; pipelines ended 6 times.",
		"The rules would have made 4 retries.",
		"2 of 3 (67 %, 21-94 %) of such runs passed when they were really run again",
		"Nobody ran 1 of them again",
		"Saved: 1h4m of waiting, in 2 runs", "This assumes that a retry at the rule's time would have ended like the later one",
		"Wasted: 3m of runner time", "and about 1m for what nobody ran again",
		"No rule acts on 1 failed run; by class: 1 script.",
		"Rule nightly was not evaluated", "Rule hangs was not evaluated",
		// Between 58m54s and 59m, by the jitter of the retry's delay.
		"│ retry-stuck │ 3 │ 3 │ 1 of 2 (50 %, 9-91 %) │ 5", "│ retry-full-disk │ 1 │ 1 │ 1 of 1 (100 %, 21-100 %) │ 4m55s │ 0s │ 1 retry │", "│ red │ 4 │ │ │ │ │ 4 notify │",
		"│ 1 │ script (script_failure) │ │ lint │ 3b844e46 │ <path>: undefined: frobnicate │")
	if posts := p.gitlab.Count("POST", ""); posts > 0 {
		t.Errorf("a backtest posts %d times", posts)
	}

	code, stdout, _ = p.backtest(t.Context(), "--project", "platform/shop", "--json", "--until", "1h")
	var out struct {
		File  string
		Total struct {
			Would, Passed, Failed, Untried int
			Low, High                      float64
			SavedSeconds                   float64 `json:"saved_seconds"`
			WastedSeconds                  float64 `json:"wasted_seconds"`
		}
		Tries []struct {
			Job, Class string
			Passed     bool
			Delay      float64 `json:"delay_seconds"`
			Seconds    float64
			Rules      []string
		}
		Compare *struct{}
	}
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || code != 0 {
		t.Fatalf("exit status %d, %v\n%s", code, err, stdout)
	}
	// 1 h less twice 30 s and a jitter of at most a tenth of that, and 5 minutes less 5 s.
	if got := out.Total; got.Would != 4 || got.Passed != 2 || got.Failed != 1 || got.Untried != 1 || got.WastedSeconds != 180 || got.SavedSeconds < 3600-66+295 || got.SavedSeconds > 3600-60+295 {
		t.Errorf("the sums are %+v", got)
	}
	if len(out.Tries) != 3 || out.Tries[0].Delay != 600 || out.Tries[0].Passed || out.Tries[2].Class != "disk-full" || out.Tries[2].Delay != 300 || !out.Tries[2].Passed || out.Tries[2].Rules[0] != "retry-full-disk" || out.Compare != nil {
		t.Errorf("tries %+v, compared with %v", out.Tries, out.Compare)
	}
}

// TestBacktestCompares: another rule file is run over the same past.
func TestBacktestCompares(t *testing.T) {
	t.Parallel()
	p := week(t)
	other := p.file("other.yaml", `
version: 1
rules:
  - {name: retry-stuck, on: job, if: 'failed_with("stuck_or_timeout_failure") and job.attempt == 1', actions: [retry]}
  - {name: retry-all, on: job, if: 'failed_with("script_failure")', actions: [retry]}
`)
	code, stdout, stderr := p.backtest(t.Context(), "--project", "platform/shop", "--compare", other)
	if code != 0 {
		t.Fatalf("exit status %d\n%s", code, stderr)
	}
	p.said(stdout, "Each figure: with", "rules.yaml → with", "The rules would have made 4 retries.", "No rule acts on 1 failed run; by class: 1 stuck. The logs of 0 of these were read.",
		"│ retry-stuck │ 3 → 2 │ 3 → 2 │ 1 of 2 (50 %, 9-91 %) → 0 of 1 (0 %, 0-79 %) │", "│ retry-full-disk │ 1 → - │", "│ retry-all │ - → 2 │")
	listed := p.gitlab.Count("GET", "/jobs")
	code, stdout, _ = p.backtest(t.Context(), "--project", "platform/shop", "--compare", other, "--json")
	var out struct {
		Total   struct{ Would int }
		Compare struct {
			File  string
			Total struct{ Would int }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || code != 0 || out.Total.Would != 4 || out.Compare.Total.Would != 4 || out.Compare.File != other {
		t.Errorf("exit status %d, %v: %+v", code, err, out)
	}
	if n := p.gitlab.Count("GET", "/jobs") - listed; n != 1 {
		t.Errorf("a second backtest lists %d pages of jobs, want 1", n)
	}
	if n := p.gitlab.Count("GET", "/trace"); n != 5 {
		t.Errorf("%d logs are read in both, want those of the 5 failed jobs", n)
	}
}

// TestBacktestGoesOn: whatever stops it, a backtest goes on where it was stopped, with the
// same result as one that was not.
func TestBacktestGoesOn(t *testing.T) {
	t.Parallel()
	t.Run("after Ctrl-C", func(t *testing.T) { backtestGoesOn(t, false) })
	t.Run("after kill -9", func(t *testing.T) { backtestGoesOn(t, true) })
}

func backtestGoesOn(t *testing.T, killed bool) {
	p := newPast(t, backtestRules)
	shop := p.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	const jobs, each = 1000, 100
	began := p.now
	p.gitlab.AddOldJobs(shop.ID, gitlabtest.OldJobs{Count: jobs, PerPipeline: 2, Job: func(i int) gitlabtest.Job {
		at := began.Add(time.Duration(i/2) * time.Minute)
		j := gitlabtest.Job{Name: "rspec", Status: "failed", FailureReason: "stuck_pending_with_matching_runners", CreatedAt: at, StartedAt: at, FinishedAt: at.Add(time.Second), Retried: true}
		if i%2 == 1 {
			j.Status, j.FailureReason, j.Retried, j.CreatedAt, j.StartedAt, j.FinishedAt = "success", "", false, at.Add(30*time.Minute), at.Add(30*time.Minute), at.Add(31*time.Minute)
		}
		return j
	}})
	p.gitlab.Fail(gitlabtest.Fault{Path: "/jobs", Skip: 4, Times: -1, Until: make(chan struct{})})
	fourPages := func() {
		await.Until(t, "four pages are read", func() bool { return p.gitlab.Count("GET", "/jobs") > 4 })
	}
	if killed {
		cmd := exec.CommandContext(t.Context(), os.Args[0], p.args("--project", "platform/shop", "--json")[1:]...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		fourPages()
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	} else {
		ctx, interrupt := context.WithCancel(t.Context())
		go func() {
			fourPages()
			interrupt()
		}()
		code, stdout, stderr := p.backtest(ctx, "--project", "platform/shop", "--json")
		if code != 1 || stdout != "" || !strings.Contains(stderr, "stopped: what was read is kept, and the same command goes on from there") {
			t.Fatalf("exit status %d: %s%s", code, stdout, stderr)
		}
	}
	p.gitlab.ClearFaults()
	before := p.gitlab.Count("GET", "/jobs")
	code, resumed, stderr := p.backtest(t.Context(), "--project", "platform/shop", "--json", "--until", "1m")
	if n := p.gitlab.Count("GET", "/jobs") - before; code != 0 || n != jobs/each-4+1 {
		t.Errorf("exit status %d; %d pages are read, want the newest and the %d that were not: %s", code, n, jobs/each-4, stderr)
	}
	if err := os.RemoveAll(filepath.Join(p.dir, "cache")); err != nil {
		t.Fatal(err)
	}
	_, anew, _ := p.backtest(t.Context(), "--project", "platform/shop", "--json", "--until", "1m")
	same := func(text string) string { // but for the time of the call
		_, rest, _ := strings.Cut(text, `"projects"`)
		return rest
	}
	if same(resumed) != same(anew) || !strings.Contains(anew, `"saved": 500`) {
		t.Errorf("resumed:\n%.2000s\nanew:\n%.2000s", resumed, anew)
	}
}

// TestBacktestOfBadInput: each says what is wrong, and what to do.
func TestBacktestOfBadInput(t *testing.T) {
	t.Parallel()
	p := week(t)
	p.gitlab.AddProject(gitlabtest.Project{Path: "platform/empty"})
	secret := p.gitlab.AddProject(gitlabtest.Project{Path: "platform/secret"})
	p.gitlab.SetRole(secret.ID, gitlabtest.NoAccess)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no project", nil, 2, "--project: name at least one project, glob or group"},
		{"no times", []string{"--project", "platform/shop", "--since", "tomorrow", "--until", "x"}, 2, `--since: "tomorrow" is neither a duration like 24h nor a time like`},
		{"times the wrong way round", []string{"--project", "platform/shop", "--since", "1h", "--until", "2h"}, 2, "is not before"},
		{"an unknown project", []string{"--project", "platform/shopp"}, 1, "platform/shopp: there is no such project or group, or the token's user may not see it"},
		{"a hidden project", []string{"--project", "platform/secret"}, 1, "platform/secret: there is no such project or group"},
		{"one of two is unknown", []string{"--project", "platform/shop", "--project", "platform/shopp"}, 1, "platform/shopp: there is no such project"},
		{"no jobs at all", []string{"--project", "platform/empty"}, 1, "no job ended in this time in these projects"},
		{"no jobs in the span", []string{"--project", "platform/shop", "--since", "1h"}, 1, "choose another time with --since and --until"},
		{"a wrong token", []string{"--project", "platform/shop", "--gitlab-token", "glpat-wrong"}, 1, "401"},
		{"no rules to compare with", []string{"--project", "platform/shop", "--compare", "nothing.yaml"}, 1, "--compare: "},
		{"a cache that can't be written", []string{"--project", "platform/shop", "--cache", p.file("file", "")}, 1, "the cache can't be written"},
	} {
		code, stdout, stderr := p.backtest(t.Context(), c.args...)
		if code != c.code {
			t.Errorf("%s: exit status %d, want %d", c.name, code, c.code)
		}
		p.said(stdout+stderr, c.says)
	}
	p.gitlab.Fail(gitlabtest.Fault{Method: "GET", Path: "/projects/1/jobs", Times: -1, Status: 403, Message: "403 Forbidden"})
	code, stdout, stderr := p.backtest(t.Context(), "--project", "platform/shop")
	if code != 1 {
		t.Errorf("exit status %d", code)
	}
	p.said(stdout+stderr, "the jobs of platform/shop can't be read: the token's user needs the role Reporter there at least")
}

// TestBacktestWithFilesThatCanNotBeUsed says once how many there are, and reads them anew;
// what can't be replaced is one error.
func TestBacktestWithFilesThatCanNotBeUsed(t *testing.T) {
	t.Parallel()
	p := week(t)
	if code, _, stderr := p.backtest(t.Context(), "--project", "platform/shop"); code != 0 || stderr != "" {
		t.Fatal(stderr)
	}
	logs, err := filepath.Glob(filepath.Join(p.dir, "cache", "*", "*", "log-*"))
	if err != nil || len(logs) != 5 {
		t.Fatal(logs, err)
	}
	for _, name := range logs {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr := p.backtest(t.Context(), "--project", "platform/shop")
	p.said(stderr, "5 files of the cache could not be used")
	if lines := strings.Count(stderr, "\n"); code != 0 || lines != 1 || strings.Count(stderr, "is damaged") != 1 {
		t.Errorf("exit status %d, and in %d lines: %s", code, lines, stderr)
	}
	for _, name := range logs {
		if err := errors.Join(os.Remove(name), os.Mkdir(name, 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr := p.backtest(t.Context(), "--project", "platform/shop")
	p.said(stderr, "--cache: the cache can't be used: in "+filepath.Dir(logs[0])+", 5 directories are in the place of files, such as log-")
	if lines := strings.Count(stderr, "\n"); code != 1 || lines != 1 || stdout != "" {
		t.Errorf("exit status %d, and in %d lines: %s%s", code, lines, stdout, stderr)
	}
}

// TestBacktestCacheIsPrivate: what is kept is for its owner alone, and has no secrets of logs.
func TestBacktestCacheIsPrivate(t *testing.T) {
	t.Parallel()
	p := week(t)
	if code, _, stderr := p.backtest(t.Context(), "--project", "platform/shop"); code != 0 {
		t.Fatal(stderr)
	}
	files := 0
	err := filepath.WalkDir(filepath.Join(p.dir, "cache"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(name)
		info, statErr := entry.Info()
		if err != nil || statErr != nil {
			return errors.Join(err, statErr)
		}
		if info.Mode().Perm() != 0o600 || bytes.Contains(text, []byte("hunter2")) || bytes.Contains(text, []byte(gitlabtest.DefaultToken)) {
			t.Errorf("%s has the mode %v and the text %s", name, info.Mode(), text)
		}
		return nil
	})
	if err != nil || files != 6 {
		t.Errorf("%d files, want a page and 5 logs: %v", files, err)
	}
}
