package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
)

const sweepRule = `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: erase-old-logs
    on: schedule
    schedule: {cron: "0 3 * * *", projects: ["platform/*"]}
    actions:
      - erase: {older_than: 90d, artifacts: true}
    notify: [{}]
`

func TestSweepErasesOldLogs(t *testing.T) {
	h := actionstest.New(t, sweepRule)
	shop := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	other := h.GitLab.AddProject(gitlabtest.Project{Path: "tools/other"})
	h.GitLab.AddOldJobs(shop.ID, gitlabtest.OldJobs{Count: 1, Job: func(int) gitlabtest.Job {
		unfinished := h.OldJob("unfinished", 100*actionstest.Day)
		unfinished.FinishedAt = time.Time{}
		return unfinished
	}})
	noLog := h.OldJob("no-log", 100*actionstest.Day)
	noLog.Log = ""
	h.GitLab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, h.OldJob("old", 100*actionstest.Day), h.OldJob("young", 80*actionstest.Day), noLog)
	h.GitLab.AddPipeline(other.ID, gitlabtest.Pipeline{}, h.OldJob("elsewhere", 100*actionstest.Day))

	h.Sweep("erase-old-logs")
	h.Work()

	if diff := cmp.Diff([]string{"old"}, h.ErasedJobs(shop)); diff != "" {
		t.Errorf("erased (-want +got):\n%s", diff)
	}
	if erased := h.ErasedJobs(other); erased != nil {
		t.Errorf("erased elsewhere: %v", erased)
	}
	o := h.LastSweep()
	want := event.SweepCounts{Jobs: 4, Erased: 1, Kept: 3, Freed: 1000}
	if diff := cmp.Diff(want, o.Sweep.SweepCounts); diff != "" || o.Result != event.ResultDone {
		t.Errorf("%s, counts (-want +got):\n%s", o.Result, diff)
	}
	if len(o.Sweep.Problems) != 1 || !strings.Contains(o.Sweep.Problems[0].Reason, "does not say when the job finished") {
		t.Errorf("problems: %v", o.Sweep.Problems)
	}
}

func TestSweepKeeps(t *testing.T) {
	const rule = `
version: 1
rules:
  - name: erase
    on: schedule
    schedule: {cron: "@daily", projects: [platform]}
    actions:
      - erase: {older_than: 30d, %s}
`
	large := func(h *actionstest.Harness, name string) gitlabtest.Job {
		j := h.OldJob(name, 40*actionstest.Day)
		j.Log, j.LogSize = "", 5_000_000
		return j
	}
	for _, c := range []struct {
		name string
		with string
		fill func(h *actionstest.Harness, project int64)
		want []string
	}{
		{"the last pipelines of each ref", "keep_pipelines: 2", func(h *actionstest.Harness, project int64) {
			for i := range 4 {
				h.GitLab.AddPipeline(project, gitlabtest.Pipeline{Ref: "main"}, h.OldJob(fmt.Sprintf("main-%d", i), 40*actionstest.Day))
				h.GitLab.AddPipeline(project, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 7, SourceBranch: "topic", TargetBranch: "main"}}, h.OldJob(fmt.Sprintf("mr-%d", i), 40*actionstest.Day))
			}
			h.GitLab.AddPipeline(project, gitlabtest.Pipeline{Ref: "topic"}, h.OldJob("topic", 40*actionstest.Day))
		}, []string{"main-0", "main-1", "mr-0", "mr-1"}},
		{"tags", "keep_tags: true", func(h *actionstest.Harness, project int64) {
			h.GitLab.AddPipeline(project, gitlabtest.Pipeline{Ref: "v1", Tag: true}, h.OldJob("tag", 40*actionstest.Day))
			h.GitLab.AddPipeline(project, gitlabtest.Pipeline{Ref: "main"}, h.OldJob("branch", 40*actionstest.Day))
		}, []string{"branch"}},
		{"protected refs", "keep_protected: true", func(h *actionstest.Harness, project int64) {
			h.GitLab.AddPipeline(project, gitlabtest.Pipeline{Ref: "main"}, h.OldJob("main", 40*actionstest.Day))
			h.GitLab.AddPipeline(project, gitlabtest.Pipeline{Ref: "release/1"}, h.OldJob("release", 40*actionstest.Day))
			h.GitLab.AddPipeline(project, gitlabtest.Pipeline{Ref: "topic"}, h.OldJob("topic", 40*actionstest.Day))
		}, []string{"topic"}},
		{"small logs", "larger_than: 1MB", func(h *actionstest.Harness, project int64) {
			h.GitLab.AddPipeline(project, gitlabtest.Pipeline{}, h.OldJob("small", 40*actionstest.Day), large(h, "large"))
		}, []string{"large"}},
		{"artifacts", "artifacts: false", func(h *actionstest.Harness, project int64) {
			artifacts := h.OldJob("artifacts", 40*actionstest.Day)
			artifacts.Artifacts = []gitlabtest.Artifact{gitlabtest.Archive}
			h.GitLab.AddPipeline(project, gitlabtest.Pipeline{}, h.OldJob("log", 40*actionstest.Day), artifacts)
		}, []string{"log"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf(rule, c.with))
			p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/tools/shop", ProtectedRefs: []string{"main", "release/*"}})
			c.fill(h, p.ID)
			h.Sweep("erase")
			h.Work()
			if diff := cmp.Diff(c.want, h.ErasedJobs(p)); diff != "" {
				t.Errorf("erased (-want +got):\n%s\n%v", diff, h.LastSweep().Reason)
			}
		})
	}
}

// What does not work is a line each, and the sweep goes on.
func TestSweepGoesOn(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - name: erase
    on: schedule
    schedule: {cron: "0 0 30 2 *", projects: [platform/gone, hidden, 4711, "nothing/*", platform/poor, platform/busy, platform/shop]}
    if: job.name != "odd" or details().artifacts[7].size > 0
    actions: [erase: {older_than: 30d}]
`)
	h.GitLab.AddGroup(gitlabtest.Group{Path: "hidden", Role: gitlabtest.NoAccess})
	poor := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/poor", Role: gitlabtest.Developer})
	busy := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/busy"})
	shop := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	var inBusy gitlabtest.Pipeline
	for _, p := range []gitlabtest.Project{poor, busy, shop} {
		pipeline := h.GitLab.AddPipeline(p.ID, gitlabtest.Pipeline{}, h.OldJob("a", 40*actionstest.Day), h.OldJob("odd", 40*actionstest.Day), h.OldJob("b", 40*actionstest.Day))
		if p.ID == busy.ID {
			inBusy = pipeline
		}
	}
	h.GitLab.Fail(gitlabtest.Fault{Method: "POST", Path: fmt.Sprintf("/projects/%d/jobs/%d/erase", busy.ID, h.GitLab.Latest(inBusy.ID, "a").ID), Status: http.StatusConflict, Times: 1})

	h.Sweep("erase")
	h.Work()

	o := h.LastSweep()
	var lines []string
	for _, p := range o.Sweep.Problems {
		p.Job = 0
		lines = append(lines, p.String())
	}
	slices.Sort(lines)
	for _, want := range []string{
		"4711: there is no such project or group, or the token's user may not see it",
		"hidden: there is no such project or group, or the token's user may not see it",
		"nothing/*: no project fits, of those that the token's user is a member of",
		"platform/gone: there is no such project or group, or the token's user may not see it",
		"platform/poor: GitLab refused: 403 Forbidden (403) (2 times)",
		"platform/busy: GitLab refused for now",
		"platform/shop: the rule could not be evaluated",
	} {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("no line begins with %q:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if diff := cmp.Diff([]string{"a", "b"}, h.ErasedJobs(shop)); diff != "" {
		t.Errorf("erased in shop (-want +got):\n%s", diff)
	}
	if n := len(h.ErasedJobs(busy)); n != 1 {
		t.Errorf("%d jobs erased in busy, want 1", n)
	}
}

// A dry run totals what would go.
func TestSweepDryRun(t *testing.T) {
	h := actionstest.New(t, strings.Replace(sweepRule, "on: schedule", "on: schedule\n    dry_run: true", 1))
	for _, path := range []string{"platform/a", "platform/b"} {
		p := h.GitLab.AddProject(gitlabtest.Project{Path: path})
		h.GitLab.AddPipeline(p.ID, gitlabtest.Pipeline{}, h.OldJob("one", 100*actionstest.Day), h.OldJob("two", 100*actionstest.Day))
	}
	h.Sweep("erase-old-logs")
	h.Work()
	if n := h.GitLab.Count("POST", "/erase"); n != 0 {
		t.Errorf("%d erases were called", n)
	}
	o := h.LastSweep()
	if o.Result != event.ResultDryRun || o.Sweep.Erased != 4 || o.Sweep.Freed != 4000 {
		t.Errorf("%s: %+v", o.Result, o.Sweep)
	}
	want := []event.SweepProject{
		{ID: 1, Path: "platform/a", SweepCounts: event.SweepCounts{Jobs: 2, Erased: 2, Freed: 2000}},
		{ID: 2, Path: "platform/b", SweepCounts: event.SweepCounts{Jobs: 2, Erased: 2, Freed: 2000}},
	}
	if diff := cmp.Diff(want, o.Sweep.Projects); diff != "" {
		t.Errorf("projects (-want +got):\n%s", diff)
	}
}

// Other actions than erase go through the queue, with all that guards them.
func TestSweepQueuesOtherActions(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - name: cancel-what-hangs
    on: schedule
    schedule: {cron: "@hourly", projects: [platform], scope: [pending]}
    if: age(job.created_at) > duration("2h")
    actions: [cancel]
`)
	p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := h.GitLab.AddPipeline(p.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "hangs"})
	h.Clock.Advance(3 * time.Hour)
	h.GitLab.AddPipeline(p.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "young"})
	h.Sweep("cancel-what-hangs")
	h.Work()
	if status := h.GitLab.Latest(pipeline.ID, "hangs").Status; status != "canceled" {
		t.Errorf("the job that hangs is %s", status)
	}
	if n := h.GitLab.Count("POST", "/cancel"); n != 1 {
		t.Errorf("%d jobs were cancelled", n)
	}
}

// Wherever a sweep is cut short, twice, it goes on: each log is erased once.
func TestSweepKilledTwice(t *testing.T) {
	t.Parallel()
	var shop, web gitlabtest.Project
	actionstest.KilledTwice(t, func(h *actionstest.Harness) {
		shop = h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
		web = h.GitLab.AddProject(gitlabtest.Project{Path: "platform/web"})
		for _, p := range []gitlabtest.Project{shop, web} {
			h.GitLab.AddPipeline(p.ID, gitlabtest.Pipeline{}, h.OldJob("a", 100*actionstest.Day), h.OldJob("b", 100*actionstest.Day), h.OldJob("c", 100*actionstest.Day))
		}
		h.Sweep("erase-old-logs")
	}, sweepRule, func(h *actionstest.Harness, when string) {
		for _, p := range []gitlabtest.Project{shop, web} {
			if diff := cmp.Diff([]string{"a", "b", "c"}, h.ErasedJobs(p)); diff != "" {
				h.Errorf("%s: erased in %s (-want +got):\n%s", when, p.Path, diff)
			}
		}
		if n := h.GitLab.Answered(http.StatusForbidden); n != 0 {
			h.Errorf("%s: GitLab refused %d erases", when, n)
		}
		if o := h.LastSweep(); o.Sweep.Finished != 2 || o.Sweep.Erased+o.Sweep.Before != 6 || len(h.Slack.Posts()) != 1 {
			h.Errorf("%s: %d messages, %+v", when, len(h.Slack.Posts()), o.Sweep)
		}
	})
}

// While another run of the rule is under way, a run waits.
func TestSweepOneAtATime(t *testing.T) {
	h := actionstest.New(t, sweepRule)
	p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.GitLab.AddPipeline(p.ID, gitlabtest.Pipeline{}, h.OldJob("old", 100*actionstest.Day))
	_, release, err := sweep.Claim(t.Context(), h.DB, "erase-old-logs", "another")
	if err != nil || release == nil {
		t.Fatalf("no claim: %v", err)
	}
	if _, again, err := sweep.Claim(t.Context(), h.DB, "erase-old-logs", "a third"); err != nil || again != nil {
		t.Errorf("two runs hold the claim (%v)", err)
	}
	h.Sweep("erase-old-logs")
	h.Work()
	if erased := h.ErasedJobs(p); erased != nil {
		t.Errorf("erased beside the other run: %v", erased)
	}
	release()
	h.WorkOff()
	if erased := h.ErasedJobs(p); len(erased) != 1 {
		t.Errorf("erased after the other run: %v", erased)
	}
}

// The rule of a run that waited may be gone.
func TestSweepOfNoRule(t *testing.T) {
	h := actionstest.New(t, sweepRule)
	h.Sweep("erase-artifacts")
	h.Work()
	if o := h.LastSweep(); o.Result != event.ResultFailed || !strings.Contains(o.Reason, "no schedule rule of this name any more") {
		t.Errorf("%s: %s", o.Result, o.Reason)
	}
}

// What GitLab fails to do again and again is a line in the sum, and the sweep
// goes on.
func TestSweepGivesUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  func(h *actionstest.Harness, bad gitlabtest.Job) gitlabtest.Fault
		want   []string // erased in the project
		reason string
	}{
		{
			"a job", func(_ *actionstest.Harness, bad gitlabtest.Job) gitlabtest.Fault {
				return gitlabtest.Fault{Method: "POST", Path: fmt.Sprintf("/jobs/%d/erase", bad.ID), Status: 500, Times: -1}
			},
			[]string{"a", "c"},
			"given up after 5 tries: gitlab: POST",
		},
		{
			"a project's list", func(_ *actionstest.Harness, bad gitlabtest.Job) gitlabtest.Fault {
				return gitlabtest.Fault{Method: "GET", Path: fmt.Sprintf("/projects/%d/jobs", bad.ProjectID), Status: 502, Times: -1}
			},
			nil, "the rest of its jobs can't be listed: gitlab: GET",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, sweepRule)
			shop := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			web := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/web"})
			pipeline := h.GitLab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, h.OldJob("a", 100*actionstest.Day), h.OldJob("bad", 100*actionstest.Day), h.OldJob("c", 100*actionstest.Day))
			h.GitLab.AddPipeline(web.ID, gitlabtest.Pipeline{}, h.OldJob("d", 100*actionstest.Day))
			h.GitLab.Fail(c.fault(h, h.GitLab.Latest(pipeline.ID, "bad")))
			h.Sweep("erase-old-logs")
			h.WorkOff()
			if diff := cmp.Diff(c.want, h.ErasedJobs(shop)); diff != "" {
				t.Errorf("erased in the project (-want +got):\n%s", diff)
			}
			if erased := h.ErasedJobs(web); len(erased) != 1 {
				t.Errorf("erased in the next project: %v", erased)
			}
			if o := h.LastSweep(); len(o.Sweep.Problems) != 1 || !strings.Contains(o.Reason, c.reason) {
				t.Errorf("the sum lacks %q: %s", c.reason, o.Reason)
			}
		})
	}
}

// Refusals for want of rights, one after the other, make a sweep leave a
// project; those that speak of the job do not.
func TestSweepLeavesProjects(t *testing.T) {
	for _, c := range []struct {
		message string
		erased  int
	}{
		{"403 Forbidden - Job is not erasable!", 200},
		{"403 Forbidden", 0},
	} {
		t.Run(c.message, func(t *testing.T) {
			h := actionstest.New(t, sweepRule)
			p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			h.GitLab.AddOldJobs(p.ID, gitlabtest.OldJobs{Count: 200, PerPipeline: 10, Job: func(int) gitlabtest.Job { return h.OldJob("rspec", 100*actionstest.Day) }})
			for range 10 {
				newer := h.GitLab.AddPipeline(p.ID, gitlabtest.Pipeline{}, append(slices.Repeat([]gitlabtest.Job{h.OldJob("young", actionstest.Day)}, 9), h.OldJob("odd", 100*actionstest.Day))...)
				odd := h.GitLab.Latest(newer.ID, "odd").ID
				h.GitLab.Fail(gitlabtest.Fault{Method: "POST", Path: fmt.Sprintf("/jobs/%d/erase", odd), Status: 403, Message: c.message, Times: -1})
			}
			h.Sweep("erase-old-logs")
			h.Work()
			if erased := len(h.ErasedJobs(p)); erased != c.erased {
				t.Errorf("%d jobs erased, want %d: %s", erased, c.erased, h.LastSweep().Reason)
			}
		})
	}
}

// GitLab lists the pipelines of a ref by its name alone.
func TestSweepKeepsWhatABranchAndATagAreBothCalled(t *testing.T) {
	h := actionstest.New(t, strings.Replace(sweepRule, "older_than: 90d", "older_than: 90d, keep_pipelines: 1", 1))
	p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	for _, ref := range []gitlabtest.Pipeline{{Ref: "v1"}, {Ref: "v1", Tag: true}, {Ref: "v2"}, {Ref: "v2"}} {
		h.GitLab.AddPipeline(p.ID, ref, h.OldJob(ref.Ref, 100*actionstest.Day))
	}
	h.Sweep("erase-old-logs")
	h.Work()
	if diff := cmp.Diff([]string{"v2"}, h.ErasedJobs(p)); diff != "" {
		t.Errorf("erased (-want +got):\n%s", diff)
	}
}

// An erase comes after what precedes it in the rule.
func TestSweepKeepsTheOrderOfActions(t *testing.T) {
	h := actionstest.New(t, strings.Replace(sweepRule, "actions:", "actions:\n      - retry: {allow_stale: true}", 1))
	p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	job := h.OldJob("rspec", 100*actionstest.Day)
	job.Status, job.FailureReason = "failed", "runner_system_failure"
	h.GitLab.AddPipeline(p.ID, gitlabtest.Pipeline{}, job)
	h.Sweep("erase-old-logs")
	h.WorkOff()
	var calls []string
	for _, r := range h.GitLab.Requests() {
		if r.Method == http.MethodPost {
			calls = append(calls, path.Base(r.Path))
		}
	}
	if diff := cmp.Diff([]string{"retry", "erase"}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// A store that fails is no project's problem: the run stops, and goes on.
func TestSweepStopsWhenTheStoreFails(t *testing.T) {
	h := actionstest.New(t, sweepRule)
	h.OldJobs(300)
	run := event.Sweep{ID: "run", Rule: "erase-old-logs"}
	s, broken := h.Sweeper(), errors.New("connection reset by peer")
	s.Save = func(context.Context, event.Sweep) error { return broken }
	if err := s.Run(t.Context(), &run); !errors.Is(err, broken) {
		t.Fatalf("%v, want that the store fails", err)
	}
	if err := h.Sweeper().Run(t.Context(), &run); err != nil {
		t.Fatal(err)
	}
	if want := (event.SweepCounts{Jobs: 300, Erased: 200, Kept: 100, Freed: 200_000}); run.SweepCounts != want || len(run.Problems) > 0 {
		t.Errorf("%+v, want %+v", run.SweepCounts, want)
	}
}

// A run that is stopped again and again gets on each time.
func TestSweepGetsOnWhenInterrupted(t *testing.T) {
	h := actionstest.New(t, sweepRule)
	h.OldJobs(300)
	run := event.Sweep{ID: "run", Rule: "erase-old-logs"}
	s := h.Sweeper()
	times := 0
	for err := errors.New("not begun"); err != nil; times++ {
		if times > 100 {
			t.Fatalf("it does not end: %+v", run)
		}
		ctx, stop := context.WithCancel(t.Context())
		var steps atomic.Int64
		s.Watch = func(sweep.Step) {
			if steps.Add(1) > 17 {
				stop()
			}
		}
		err = s.Run(ctx, &run)
		stop()
	}
	if want := (event.SweepCounts{Jobs: 300, Erased: 200, Kept: 100, Freed: 200_000}); run.SweepCounts != want {
		t.Errorf("%d interruptions: %+v, want %+v", times, run.SweepCounts, want)
	}
	if n := h.GitLab.Count("POST", "/erase"); n != 200 {
		t.Errorf("%d erases were called, want 200", n)
	}
}

// A run obeys the rules that are in force now.
func TestSweepObeysNewRules(t *testing.T) {
	load := func(o rulefile.Options, text string) *rules.Rules {
		rs, err := rulefile.Load(o, rulefile.Source{Name: "rules.yaml", Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}
	for _, c := range []struct {
		name   string
		next   *rules.Rules
		erased int
		reason string
	}{
		{"the rule is gone", load(rulefile.Options{}, "version: 1\nrules: [{name: other, on: job, if: job.tag, actions: [cancel]}]"), 67, "no schedule rule of this name any more"},
		{"a dry run", load(rulefile.Options{DryRun: true}, sweepRule), 67, "`dry_run` was changed"},
		{"older", load(rulefile.Options{}, strings.Replace(sweepRule, "90d", "101d", 1)), 67, ""},
		{"the same", load(rulefile.Options{}, sweepRule), 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, sweepRule)
			h.OldJobs(300)
			s := h.Sweeper()
			s.Save = func(context.Context, event.Sweep) error { h.Rules.Store(c.next); return nil }
			run := event.Sweep{ID: "run", Rule: "erase-old-logs"}
			if err := s.Run(t.Context(), &run); err != nil {
				t.Fatal(err)
			}
			if n := h.GitLab.Count("POST", "/erase"); n != c.erased || run.Erased != n || !strings.Contains(run.String(), c.reason) {
				t.Errorf("%d jobs erased, want %d: %s", n, c.erased, run)
			}
		})
	}
}

// Who has lost the claim stops.
func TestSweepLosesItsClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &fickleGuard{}
		held, release, err := sweep.Claim(t.Context(), g, "erase-old-logs", "me")
		if err != nil || release == nil {
			t.Fatalf("no claim: %v", err)
		}
		<-time.After(time.Minute + time.Second)
		if held.Err() != nil {
			t.Error("stopped after an error of the store, while the claim lasts")
		}
		<-time.After(time.Minute)
		if held.Err() == nil {
			t.Error("goes on, although another one has the claim")
		}
		release()
	})
}

// fickleGuard gives a claim, then errors, then the claim to somebody else.
type fickleGuard struct {
	actions.Guard
	claims int
}

func (g *fickleGuard) Claim(context.Context, string, string, time.Duration) (bool, error) {
	switch g.claims++; g.claims {
	case 1:
		return true, nil
	case 2, 3:
		return false, errors.New("connection reset by peer")
	}
	return false, nil
}

func (*fickleGuard) Release(context.Context, string, string) error { return nil }

// The dates of jobs show how much of a project is done.
func TestSweepTellsHowFarItIs(t *testing.T) {
	h := actionstest.New(t, sweepRule)
	p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop", CreatedAt: h.Now().Add(-200 * actionstest.Day)})
	h.GitLab.AddOldJobs(p.ID, gitlabtest.OldJobs{Count: 300, PerPipeline: 1, Job: func(i int) gitlabtest.Job {
		return h.OldJob("rspec", time.Duration(150-i/2)*actionstest.Day)
	}})
	s := h.Sweeper()
	var through []float64
	s.Watch = func(step sweep.Step) {
		if n := len(through); n == 0 || through[n-1] != step.Through {
			through = append(through, step.Through)
		}
	}
	if err := s.Run(t.Context(), &event.Sweep{ID: "run", Rule: "erase-old-logs"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{0, 0.25, 0.5, 0.75}, through, cmpopts.EquateApprox(0, 0.01)); diff != "" {
		t.Errorf("how much is behind (-want +got):\n%s", diff)
	}
}

// A sweep uses the rate that is allowed, and no more, and GitLab never has to
// say no. The simulated one allows some more: the clock moves while requests are
// on their way, by as much as the machine is busy.
func TestSweepAtFullRate(t *testing.T) {
	t.Parallel()
	const jobs, rate, underWay = 1500, 300, 20
	h := actionstest.NewOn(t, gitlabtest.Options{RateLimit: rate + underWay, ApplicationLimits: true}, sweepRule)
	// As `serve` makes them of `--gitlab-rate 300/1m`.
	h.Rate = store.Rate{Limit: rate - 2, Per: time.Minute, Burst: 3}
	h.Start(actionstest.NewFuse(-1))
	p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.GitLab.AddOldJobs(p.ID, gitlabtest.OldJobs{Count: jobs, PerPipeline: 10, Job: func(int) gitlabtest.Job { return h.OldJob("rspec", 100*actionstest.Day) }})
	begin := h.Now()
	h.Sweep("erase-old-logs")
	h.Work()
	took := h.Now().Sub(begin)
	if n := h.GitLab.Count("POST", "/erase"); n != jobs {
		t.Errorf("%d jobs erased, want %d", n, jobs)
	}
	if n := h.GitLab.Answered(http.StatusTooManyRequests); n != 0 {
		t.Errorf("GitLab answered 429 %d times", n)
	}
	h.Grants.WantAtMost(h, rate)
	used := float64(len(h.GitLab.Requests())) / took.Minutes() / rate
	if used < 0.95 {
		t.Errorf("%.3f of the rate was used, want at least 0.95", used)
	}
	t.Logf("%d requests in %s, %.3f of the rate", len(h.GitLab.Requests()), took, used)
}

// An erase goes by GitLab's clock where the local one is ahead: nothing younger
// than the rule says is erased.
func TestEraseByGitLabsClock(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - name: old
    on: schedule
    schedule: {cron: "0 3 * * *", projects: ["platform/*"], scope: [success]}
    actions: [erase: {older_than: 30d}]
`)
	p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop", Role: gitlabtest.Maintainer})
	h.GitLab.AddPipeline(p.ID, gitlabtest.Pipeline{}, h.OldJob("young", 20*actionstest.Day), h.OldJob("old", 40*actionstest.Day))
	h.Now = func() time.Time { return h.Clock.Now().Add(15 * actionstest.Day) } // the local clock
	h.Start(actionstest.NewFuse(-1))
	h.Sweep("old")
	h.WorkOff()
	if diff := cmp.Diff([]string{"old"}, h.ErasedJobs(p)); diff != "" {
		t.Errorf("erased jobs (-want +got):\n%s", diff)
	}
}
