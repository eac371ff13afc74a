package backtest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/backtest"
	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/cluster"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

var (
	start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	until = start.Add(7 * 24 * time.Hour)
)

const stuck = "stuck_pending_with_matching_runners"

// past is a project's past, to which jobs are added.
type past struct {
	testing.TB
	pipelines []*history.Pipeline
	job       int64
	logs      map[int64]string
	failing   error // of reading logs
}

func newPast(t testing.TB) *past { return &past{TB: t, job: 1000, logs: map[int64]string{}} }

// pipeline adds a pipeline that began so long after the start.
func (p *past) pipeline(after time.Duration, change ...func(*history.Pipeline)) *history.Pipeline {
	n := int64(len(p.pipelines) + 1)
	added := &history.Pipeline{Pipeline: event.Pipeline{ID: 100 + n, Ref: "main", SHA: fmt.Sprintf("%040d", n), Source: "push", Status: "failed", CreatedAt: start.Add(after)}}
	for _, c := range change {
		c(added)
	}
	p.pipelines = append(p.pipelines, added)
	return added
}

// run adds a run to a pipeline: created and begun so long after the start, it takes a time.
func (p *past) run(of *history.Pipeline, name, status, reason string, after, took time.Duration, change ...func(*history.Run)) *history.Run {
	p.job++
	attempt := 1
	for _, r := range of.Runs {
		if r.Name == name {
			attempt++
		}
	}
	at := start.Add(after)
	run := history.Run{Details: event.Details{Job: event.Job{
		ID: p.job, Name: name, Stage: "test", Status: status, Attempt: attempt, Ref: of.Ref, URL: fmt.Sprintf("https://gitlab.example.com/platform/shop/-/jobs/%d", p.job),
		CreatedAt: at, StartedAt: at, FinishedAt: at.Add(took), Duration: took.Seconds(),
	}}}
	if status == "failed" {
		run.FailureReason, run.FailureClass = reason, event.ClassOf(reason)
	}
	for _, c := range change {
		c(&run)
	}
	of.Runs = append(of.Runs, run)
	return &of.Runs[len(of.Runs)-1]
}

// Log implements backtest.Logs.
func (p *past) Log(_ context.Context, _, job int64, _ time.Time) (string, error) {
	return p.logs[job], p.failing
}

// backtest runs rules over the past.
func (p *past) backtest(source string, change ...func(*backtest.Config)) (backtest.Report, error) {
	p.Helper()
	loaded, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(source)})
	if err != nil {
		p.Fatal(err)
	}
	gl, err := gitlab.New(gitlab.Config{BaseURL: "https://gitlab.example.com", Anonymous: true, Now: func() time.Time { return until }})
	if err != nil {
		p.Fatal(err)
	}
	cfg := backtest.Config{
		Projects: []backtest.Project{{
			Project:   gitlab.Project{Project: event.Project{ID: 7, Path: "platform/shop", DefaultBranch: "main"}},
			Pipelines: p.pipelines, Read: start.Add(-backtest.Reach),
		}},
		Since: start, Until: until, Events: gl, Logs: p, NativeRetry: 5 * time.Second,
	}
	for _, c := range change {
		c(&cfg)
	}
	b, err := backtest.New(cfg)
	if err != nil {
		return backtest.Report{}, err
	}
	return b.Run(p.Context(), loaded)
}

// must runs rules over the past.
func (p *past) must(source string, change ...func(*backtest.Config)) backtest.Report {
	p.Helper()
	r, err := p.backtest(source, change...)
	if err != nil {
		p.Fatal(err)
	}
	return r
}

func rule(r backtest.Report, name string) backtest.RuleReport {
	i := slices.IndexFunc(r.Rules, func(rule backtest.RuleReport) bool { return rule.Name == name })
	return r.Rules[i]
}

const retryStuck = `
version: 1
rules:
  - {name: retry-stuck, on: job, if: 'failed_with("stuck_or_timeout_failure")', actions: [retry: {max_attempts: 3, allow_stale: true}]}
`

// TestSumsOfRandomPasts: the sums equal those of a plain reckoning over all pairs of runs.
func TestSumsOfRandomPasts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // no secret
		p := newPast(t)
		for range 30 {
			at := time.Duration(random.IntN(6*24*3600)) * time.Second
			of := p.pipeline(at)
			for n := range 1 + random.IntN(5) {
				began := at + time.Duration(random.IntN(600))*time.Second
				for runs := 1 + random.IntN(4); runs > 0; runs-- {
					took := time.Duration(1+random.IntN(900)) * time.Second
					status, reason := "failed", []string{stuck, "script_failure"}[random.IntN(2)]
					if runs == 1 && random.IntN(3) > 0 {
						status, reason = []string{"success", "canceled", "running"}[random.IntN(3)], ""
					}
					p.run(of, fmt.Sprintf("job-%d", n), status, reason, began, took, func(r *history.Run) {
						if status == "running" {
							r.FinishedAt, r.Duration = time.Time{}, 0
						}
					})
					began += took + []time.Duration{time.Second, time.Minute, 3 * time.Hour}[random.IntN(3)]
				}
			}
		}
		want := reckoned(p)
		r := p.must(retryStuck)
		got := r.Total
		got.Rate, got.Low, got.High, got.MedianWait, got.UntriedWaste = nil, nil, nil, 0, 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("seed %d: sums (-reckoned +got):\n%s", seed, diff)
		}
		if diff := cmp.Diff(r.Total, r.Rules[0].Retries); diff != "" {
			t.Errorf("seed %d: the only rule has not the sums of all:\n%s", seed, diff)
		}
		failed := 0
		for _, g := range r.Uncaught.Groups {
			failed += g.Count
		}
		if failed != r.Uncaught.Failures || r.Uncaught.Failures+r.Rules[0].Fired != r.Failed {
			t.Errorf("seed %d: %d failures in groups of %d uncaught, %d caught, %d in all", seed, failed, r.Uncaught.Failures, r.Rules[0].Fired, r.Failed)
		}
	}
}

// reckoned reckons the sums of retryStuck, run by run.
func reckoned(p *past) backtest.Retries {
	sums := backtest.Retries{Held: map[string]int{}}
	for _, of := range p.pipelines {
		for _, run := range of.Runs {
			if run.Status != "failed" || run.FailureReason != stuck {
				continue
			}
			var next *history.Run
			for i, other := range of.Runs {
				if other.Name == run.Name && other.ID > run.ID && (next == nil || other.ID < next.ID) {
					next = &of.Runs[i]
				}
			}
			wait := 5 * time.Second
			if run.Attempt >= 3 {
				wait = 0
			}
			made := false
			switch {
			case next != nil && next.CreatedAt.Sub(run.FinishedAt) <= wait:
				sums.Held["already run again"]++
			case run.Attempt >= 3:
				sums.Held["attempts used up"]++
				continue
			default:
				made = true
				sums.Would++
			}
			switch {
			case next == nil:
				sums.Untried++
			case next.Status == "success":
				sums.Passed++
				if made {
					sums.Saved++
					sums.SavedSeconds += (next.CreatedAt.Sub(run.FinishedAt) - wait).Seconds()
				}
			case next.Status == "failed":
				sums.Failed++
				if made {
					sums.WastedSeconds += next.Duration
				}
			case next.Status == "canceled":
				sums.Canceled++
			default:
				sums.Open++
			}
		}
	}
	return sums
}

// TestRateAndItsInterval: Wilson's interval has the values of the literature.
func TestRateAndItsInterval(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	for n := range 10 {
		of := p.pipeline(time.Duration(n) * time.Hour)
		p.run(of, "rspec", "failed", stuck, time.Duration(n)*time.Hour, time.Minute)
		status := "success"
		if n >= 8 {
			status = "failed"
		}
		p.run(of, "rspec", status, "script_failure", time.Duration(n)*time.Hour+time.Minute+time.Duration(10+n)*time.Minute, time.Duration(n)*time.Minute)
	}
	p.run(p.pipeline(20*time.Hour), "rspec", "failed", stuck, 20*time.Hour, time.Minute)
	r := p.must(retryStuck).Total
	near := func(got *float64, want float64) bool { return got != nil && math.Abs(*got-want) < 0.0001 }
	if !near(r.Rate, 0.8) || !near(r.Low, 0.4902) || !near(r.High, 0.9433) {
		t.Errorf("rate %v from %v to %v, want 0.8 from 0.4902 to 0.9433", *r.Rate, *r.Low, *r.High)
	}
	// 8 passed after 10 to 17 minutes, each less 5 seconds; 2 failed after 8 and 9 minutes of work;
	// of one that nobody ran again, a fifth of the mean of these is expected.
	want := backtest.Retries{Would: 11, Passed: 8, Failed: 2, Untried: 1, Saved: 8, SavedSeconds: 108*60 - 8*5, MedianWait: 13.5*60 - 5, WastedSeconds: 17 * 60, UntriedWaste: 0.2 * 8.5 * 60, Held: map[string]int{}}
	r.Rate, r.Low, r.High, r.UntriedWaste = nil, nil, nil, math.Round(r.UntriedWaste*1000)/1000
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
}

// TestNewRunsWithoutAVerdict: that new runs were canceled, or have not ended, is said.
func TestNewRunsWithoutAVerdict(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	for n, status := range []string{"canceled", "canceled", "running"} {
		at := time.Duration(n) * time.Hour
		of := p.pipeline(at)
		p.run(of, "rspec", "failed", stuck, at, time.Minute)
		p.run(of, "rspec", status, "", at+10*time.Minute, time.Minute)
	}
	r := p.must(retryStuck)
	if r.Total.Canceled != 2 || r.Total.Open != 1 || r.Total.Rate != nil {
		t.Errorf("%+v, want 2 canceled and 1 open, which are no evidence", r.Total)
	}
	if text := backtest.Text(r); !strings.Contains(text, "2 new runs were canceled, which says nothing for or against a retry.\n1 new run has not ended yet.\n") {
		t.Errorf("says:\n%s", text)
	}
}

// TestHeldBack: a retry that a guard would refuse is counted by the reason.
func TestHeldBack(t *testing.T) {
	t.Parallel()
	const rules = `
version: 1
limits: {per_job: 2}
rules:
  - {name: r, on: job, if: 'job.status == "failed"', actions: [retry: {max_attempts: 5}]}
`
	newer := func(after time.Duration, change ...func(*history.Pipeline)) func(p *past, of *history.Pipeline) {
		return func(p *past, _ *history.Pipeline) {
			next := p.pipeline(after, change...)
			p.run(next, "other", "success", "", after, time.Minute)
		}
	}
	for _, c := range []struct {
		name   string
		reason string
		add    func(p *past, of *history.Pipeline)
		want   map[string]int
	}{
		{"nothing", stuck, nil, nil},
		{"hopeless", "ci_quota_exceeded", nil, map[string]int{backtest.HeldHopeless: 1}},
		{"attempts", stuck, func(p *past, of *history.Pipeline) {
			p.run(of, "rspec", "failed", stuck, 12*time.Minute, time.Minute)
		}, map[string]int{backtest.HeldAttempts: 1}},
		{"GitLab was faster", stuck, func(p *past, of *history.Pipeline) {
			p.run(of, "rspec", "success", "", 11*time.Minute+2*time.Second, time.Minute)
		}, map[string]int{backtest.HeldBefore: 1}},
		{"outdated", stuck, newer(10 * time.Minute), map[string]int{backtest.HeldOutdated: 1}},
		{"outdated too late", stuck, newer(12 * time.Minute), nil},
		{"another ref", stuck, newer(10*time.Minute, func(p *history.Pipeline) { p.Ref = "other" }), nil},
		{"the same commit", stuck, newer(10*time.Minute, func(p *history.Pipeline) { p.SHA = fmt.Sprintf("%040d", 1) }), nil},
	} {
		p := newPast(t)
		of := p.pipeline(0)
		p.run(of, "rspec", "failed", c.reason, 10*time.Minute, time.Minute)
		if c.add != nil {
			c.add(p, of)
		}
		r := p.must(rules)
		want := c.want
		if want == nil {
			want = map[string]int{}
		}
		if diff := cmp.Diff(want, r.Total.Held); diff != "" {
			t.Errorf("%s: held back (-want +got):\n%s", c.name, diff)
		}
		if made := len(c.want) == 0; made && r.Total.Would != 1 {
			t.Errorf("%s: %d retries, want 1", c.name, r.Total.Would)
		}
	}
}

// TestEndsOfPipelines: a pipeline ends, as hooks reported, before each time at which failed
// jobs were run again, and in the end.
func TestEndsOfPipelines(t *testing.T) {
	t.Parallel()
	const rules = `
version: 1
rules:
  - {name: failed, on: pipeline, if: 'pipeline.status == "failed"', actions: [retry: {allow_stale: true, jobs: 'filter(pipeline.jobs, .status == "failed")'}]}
  - {name: skipped, on: pipeline, if: 'any(pipeline.jobs, .status == "skipped")', notify: [{channel: ci}]}
  - {name: whole, on: pipeline, if: 'len(pipeline.jobs) == 3', notify: [{channel: ci}]}
`
	later := func(r *history.Run) { r.CreatedAt = start } // created with the pipeline, and run in its turn
	for _, c := range []struct {
		name                  string
		again                 time.Duration // after the failure; 0: never
		fails                 string
		ends, failed, skipped int
	}{
		{"passes", 0, "success", 1, 0, 0},
		{"fails", 0, "failed", 1, 1, 0},
		{"fails, is run again and passes", time.Hour, "failed", 2, 1, 1},
		{"is retried by GitLab at once", time.Second, "failed", 1, 0, 0},
		{"was canceled and run again", time.Hour, "canceled", 2, 0, 1},
	} {
		p := newPast(t)
		of := p.pipeline(0, func(p *history.Pipeline) { p.Status = "success" })
		p.run(of, "build", "success", "", 0, time.Minute)
		p.run(of, "rspec", c.fails, stuck, time.Minute, 3*time.Minute, later)
		if c.again > 0 {
			p.run(of, "rspec", "success", "", 4*time.Minute+c.again, time.Minute)
		}
		if c.again > 0 || c.fails == "success" {
			p.run(of, "deploy", "success", "", 5*time.Minute+c.again, time.Minute, later)
		} else {
			p.run(of, "deploy", "skipped", "", 0, 0, func(r *history.Run) { r.StartedAt, r.FinishedAt = time.Time{}, time.Time{} })
			of.Status = c.fails
			c.skipped++
		}
		r := p.must(rules)
		if r.Ends != c.ends || rule(r, "failed").Fired != c.failed || rule(r, "skipped").Fired != c.skipped || rule(r, "whole").Fired != c.ends {
			t.Errorf("%s: %d ends, %d failed, %d with skipped jobs, %d whole; want %d, %d, %d and all", c.name,
				r.Ends, rule(r, "failed").Fired, rule(r, "skipped").Fired, rule(r, "whole").Fired, c.ends, c.failed, c.skipped)
		}
		if r.Total.Would != c.failed {
			t.Errorf("%s: %d retries, want %d", c.name, r.Total.Would, c.failed)
		}
	}
}

// TestAsOfTheEvent: what conditions read is as it was when the event happened.
func TestAsOfTheEvent(t *testing.T) {
	t.Parallel()
	const rules = `
version: 1
rules:
  - {name: attempts, on: job, if: 'job.status == "failed" and job.attempt == 2', notify: [{channel: ci}]}
  - {name: at-night, on: job, if: 'job.status == "failed" and now().Hour() == 13 and age(job.finished_at) == duration("0s")', notify: [{channel: ci}]}
  - {name: one-runs, on: job, if: 'job.status == "failed" and any(jobs(), .name == "slow" and .status == "running" and .failure_reason == "" and .duration == 0)', notify: [{channel: ci}]}
  - {name: one-waits, on: job, if: 'job.status == "failed" and any(jobs(), .name == "deploy" and .status == "created" and .runner.id == 0)', notify: [{channel: ci}]}
  - {name: same-job-failed, on: job, if: 'job.status == "failed" and any(jobs(), .name == "rspec" and .status == "failed")', notify: [{channel: ci}]}
  - {name: details, on: job, if: 'job.status == "failed" and "docker" in details().tag_list', notify: [{channel: ci}]}
  - {name: superseded, on: job, if: 'job.status == "failed" and superseded()', notify: [{channel: ci}]}
  - {name: default-branch, on: job, if: 'job.status == "failed" and pipeline.ref == project.default_branch', notify: [{channel: ci}]}
  - {name: no-merge-request, on: job, if: 'job.status == "failed" and merge_request_details().iid == 0', notify: [{channel: ci}]}
`
	p := newPast(t)
	of := p.pipeline(time.Hour)
	p.run(of, "rspec", "failed", stuck, time.Hour, time.Minute, func(r *history.Run) { r.TagList = []string{"docker"} }) // 13:01
	p.run(of, "slow", "failed", "script_failure", time.Hour, time.Hour)                                                  // 14:00
	p.run(of, "deploy", "failed", "script_failure", 2*time.Hour, time.Minute, func(r *history.Run) { r.CreatedAt, r.Runner.ID = start.Add(time.Hour), 9 })
	p.run(of, "rspec", "failed", stuck, time.Hour+5*time.Minute, time.Minute) // 13:06
	newer := p.pipeline(time.Hour + 3*time.Minute)
	p.run(newer, "rspec", "success", "", time.Hour+3*time.Minute, time.Minute)
	r := p.must(rules)
	for name, want := range map[string]int{
		"attempts": 1, "at-night": 2, "one-runs": 2, "one-waits": 2, "same-job-failed": 4, "details": 1, "superseded": 3, "default-branch": 4, "no-merge-request": 4,
	} {
		if got := rule(r, name); got.Fired != want || len(got.Unknown)+len(got.Errors) > 0 {
			t.Errorf("%s fired %d times, want %d: %v %v", name, got.Fired, want, got.Unknown, got.Errors)
		}
	}
}

// TestNotKnown: what the past does not tell is counted, and never guessed.
func TestNotKnown(t *testing.T) {
	t.Parallel()
	const rules = `
version: 1
classes: [{name: disk-full, log: "No space left"}]
rules:
  - {name: by-class, on: job, if: 'job.failure_class == "disk-full"', actions: [retry]}
  - {name: by-log, on: job, if: 'job.status in ["failed", "success"] and log() contains "No space"', actions: [retry]}
  - {name: by-bridges, on: job, if: 'job.status == "failed" and len(bridges()) == 0', notify: [{channel: ci}]}
  - {name: by-approval, on: job, if: 'job.status == "failed" and merge_request_details().approved', notify: [{channel: ci}]}
  - {name: by-environment, on: job, if: 'job.status == "failed" and job.environment.name == "" and pipeline.status != ""', notify: [{channel: ci}]}
  - {name: by-branch, on: pipeline, if: 'pipeline.status == "failed" and pipeline.ref != "" and merge_request.title == ""', notify: [{channel: ci}]}
  - {name: nightly, on: schedule, schedule: {cron: "0 3 * * *", projects: [platform]}, actions: [erase: {older_than: 30d}]}
  - {name: hangs, on: job, if: 'job.status == "pending"', actions: [cancel]}
`
	p := newPast(t)
	of := p.pipeline(time.Hour, func(p *history.Pipeline) { p.Ref = "refs/merge-requests/9/head" })
	full := p.run(of, "rspec", "failed", "script_failure", time.Hour, time.Minute).ID
	p.run(of, "lint", "failed", "script_failure", time.Hour, time.Minute)
	p.run(of, "build", "success", "", time.Hour, time.Minute)
	p.logs[full] = "tar: No space left on device\n"
	r := p.must(rules)
	for name, want := range map[string]map[string]int{
		"by-class":       {"log() is not known in a backtest: the log is gone": 1},
		"by-log":         {"log() is not known in a backtest: the log is gone": 1, "log() is not known in a backtest: only the logs of failed jobs are read": 1},
		"by-bridges":     {"bridges() is not known in a backtest: GitLab's list of jobs has no trigger jobs": 2},
		"by-approval":    {"merge_request_details() is not known in a backtest: GitLab tells labels and approvals as they are now": 2},
		"by-environment": {},
	} {
		if diff := cmp.Diff(want, rule(r, name).Unknown); diff != "" {
			t.Errorf("%s: not known (-want +got):\n%s", name, diff)
		}
	}
	if rule(r, "by-class").Fired != 1 || rule(r, "by-log").Fired != 1 || !rule(r, "nightly").NotEvaluated || !rule(r, "hangs").NotEvaluated || rule(r, "by-class").NotEvaluated {
		t.Errorf("rules %+v", r.Rules)
	}
	fields := map[string]string{}
	for _, f := range r.Unknown {
		fields[f.Field] = strings.Join(f.Rules, ",")
	}
	if diff := cmp.Diff(map[string]string{"job.environment": "by-environment", "pipeline.status": "by-environment", "pipeline.ref": "by-branch", "merge_request.title": "by-branch"}, fields); diff != "" {
		t.Errorf("fields that are not known (-want +got):\n%s", diff)
	}
	text := backtest.Text(r)
	for _, want := range []string{"Rule nightly was not evaluated", "does not know the field job.environment, which by-environment read", "could not be evaluated on 2 events: bridges() is not known", "The logs of 0 of these were read."} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	// Without logs, nothing is guessed from the failure reason.
	r = p.must(rules, func(cfg *backtest.Config) { cfg.Logs = nil })
	if by := rule(r, "by-class"); by.Fired != 0 || by.Unknown["log() is not known in a backtest: --no-logs is given"] != 2 {
		t.Errorf("without logs, by-class fired %d times: %v", by.Fired, by.Unknown)
	}
}

// TestUncaught: failures that no rule acts on are grouped by what their logs say.
func TestUncaught(t *testing.T) {
	t.Parallel()
	const rules = `
version: 1
classes: [{name: network, log: "Could not resolve host"}]
rules:
  - {name: sandbox, on: job, if: 'job.name == "sandbox"', stop: true}
  - {name: stuck, on: job, if: 'failed_with("stuck_or_timeout_failure")', actions: [retry]}
  - {name: all, on: job, if: 'job.status == "failed"', notify: [{channel: ci}]}
`
	p := newPast(t)
	for n := range 6 {
		at := time.Duration(n+1) * time.Hour
		of := p.pipeline(at)
		p.logs[p.run(of, "fetch", "failed", "script_failure", at, time.Minute).ID] = fmt.Sprintf("$ curl x\ncurl: (6) Could not resolve host: db-1234567%d\nERROR: Job failed: exit code 6\n", n)
		p.logs[p.run(of, "lint", "failed", "script_failure", at, time.Minute).ID] = fmt.Sprintf("$ lint\nerror: %d problems in main.go\nERROR: Job failed: exit code 1\n", n+10)
		p.run(of, "sandbox", "failed", "script_failure", at, time.Minute)
		p.run(of, "build", "failed", stuck, at, time.Minute)
		if n < 3 {
			p.run(of, "lint", []string{"success", "failed", "canceled"}[n], "unknown_failure", at+time.Hour, time.Minute)
		}
	}
	u := p.must(rules).Uncaught
	if u.Failures != 13 || u.LogsRead != 12 || len(u.Groups) != 3 {
		t.Fatalf("%+v", u)
	}
	lint := u.Groups[slices.IndexFunc(u.Groups, func(g backtest.Group) bool { return g.Class == "script" })]
	if lint.Count != 6 || lint.Passed != 1 || lint.Failed != 1 || lint.Text != "error: <n> problems in <path>" || lint.Line != "error: 15 problems in main.go" ||
		lint.Cluster != cluster.ID(cluster.Words("error: 10 problems in main.go")) || !slices.Equal(lint.Jobs, []string{"lint"}) ||
		!lint.First.Equal(start.Add(time.Hour+time.Minute)) || !lint.Last.Equal(start.Add(6*time.Hour+time.Minute)) {
		t.Errorf("the group of lint is %+v", lint)
	}
	if i := slices.IndexFunc(u.Groups, func(g backtest.Group) bool { return g.Class == "network" && g.Count == 6 }); i < 0 {
		t.Errorf("no group has the class by the log: %+v", u.Groups)
	}
}

// TestOddJobs: what can't be placed in time, or counted, is said.
func TestOddJobs(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	early := p.pipeline(-30 * time.Hour)
	p.run(early, "rspec", "failed", stuck, time.Hour, time.Minute)
	of := p.pipeline(time.Hour)
	p.run(of, "no-end", "failed", stuck, time.Hour, 0, func(r *history.Run) { r.FinishedAt = time.Time{} })
	p.run(of, "backwards", "failed", stuck, time.Hour, time.Minute, func(r *history.Run) { r.FinishedAt, r.Duration = r.StartedAt.Add(-time.Minute), 0 })
	p.run(of, "never-ran", "failed", stuck, time.Hour, time.Minute, func(r *history.Run) { r.StartedAt, r.Duration = time.Time{}, 0 })
	p.run(of, "too-late", "failed", stuck, 8*24*time.Hour, time.Minute)
	r := p.must(retryStuck)
	if r.Runs != 3 || r.Total.Would != 3 {
		t.Errorf("%d runs and %d retries, want 3", r.Runs, r.Total.Would)
	}
	for i, want := range []string{"1 run left out: GitLab does not say when", "1 run ended before they began", "1 run in pipelines that began more than 24h", "1 run without a duration"} {
		if i >= len(r.Problems) || !strings.HasPrefix(r.Problems[i], want) {
			t.Errorf("problems %q lack %q", r.Problems, want)
		}
	}
	if _, err := newPast(t).backtest(retryStuck); err == nil || !strings.Contains(err.Error(), "no job ended in this time") {
		t.Errorf("without jobs: %v", err)
	}
}

type again struct{}

func (again) Error() string                         { return "502 Bad Gateway" }
func (again) Again() (after time.Duration, ok bool) { return time.Second, true }

// TestErrorsOfLogs: a transient one ends the backtest, a final one is what is not known.
func TestErrorsOfLogs(t *testing.T) {
	t.Parallel()
	const rules = "version: 1\nrules:\n  - {name: by-log, on: job, if: 'job.status == \"failed\" and log() contains \"x\"', actions: [retry]}\n"
	p := newPast(t)
	p.run(p.pipeline(0), "rspec", "failed", "script_failure", time.Minute, time.Minute)
	p.failing = again{}
	if _, err := p.backtest(rules); !errors.Is(err, again{}) {
		t.Errorf("a transient error: %v", err)
	}
	p.failing = errors.New("403 Forbidden")
	r := p.must(rules)
	if n := rule(r, "by-log").Unknown["log() is not known in a backtest: 403 Forbidden"]; n != 1 {
		t.Errorf("a final error: %+v", rule(r, "by-log"))
	}
}
