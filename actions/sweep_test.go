package actions_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules"
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

// oldJob ended so long ago, with a log of 1,000 bytes.
func (h *house) oldJob(name string, ago time.Duration) gitlabtest.Job {
	at := h.now().Add(-ago)
	return gitlabtest.Job{Name: name, Status: "success", CreatedAt: at, StartedAt: at, FinishedAt: at, Log: strings.Repeat("x", 1000)}
}

const day = 24 * time.Hour

// sweep makes a run of the rule, as the queue brings it.
func (h *house) sweep(rule string) {
	h.Helper()
	run := rules.Sweep{ID: fmt.Sprintf("sweep:%s:%d", rule, h.now().UnixNano()), Rule: rule, Due: h.now()}
	body, err := json.Marshal(run)
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.db.Put(h.Context(), store.Record{ID: run.ID, Kind: rules.RecordSweep, Body: body}); err != nil {
		h.Fatal(err)
	}
}

// erasedJobs lists the jobs of a project whose erase GitLab carried out, by
// name.
func (h *house) erasedJobs(project gitlabtest.Project) []string {
	var names []string
	for _, r := range h.gitlab.Requests() {
		var in, job int64
		_, err := fmt.Sscanf(r.Path, "/projects/%d/jobs/%d/erase", &in, &job)
		if err == nil && in == project.ID && r.Status == http.StatusCreated {
			names = append(names, h.gitlab.Job(job).Name)
		}
	}
	slices.Sort(names)
	return names
}

// lastSweep is the newest run in the journal.
func (h *house) lastSweep() rules.Outcome {
	h.Helper()
	for _, o := range h.outcomes() {
		if o.Sweep.ID != "" {
			return o
		}
	}
	h.Fatal("no run of a schedule rule is in the journal")
	return rules.Outcome{}
}

func TestSweepErasesOldLogs(t *testing.T) {
	h := newHouse(t, sweepRule)
	shop := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	other := h.gitlab.AddProject(gitlabtest.Project{Path: "tools/other"})
	h.gitlab.AddOldJobs(shop.ID, gitlabtest.OldJobs{Count: 1, Job: func(int) gitlabtest.Job {
		unfinished := h.oldJob("unfinished", 100*day)
		unfinished.FinishedAt = time.Time{}
		return unfinished
	}})
	noLog := h.oldJob("no-log", 100*day)
	noLog.Log = ""
	h.gitlab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, h.oldJob("old", 100*day), h.oldJob("young", 80*day), noLog)
	h.gitlab.AddPipeline(other.ID, gitlabtest.Pipeline{}, h.oldJob("elsewhere", 100*day))

	h.sweep("erase-old-logs")
	h.work()

	if diff := cmp.Diff([]string{"old"}, h.erasedJobs(shop)); diff != "" {
		t.Errorf("erased (-want +got):\n%s", diff)
	}
	if erased := h.erasedJobs(other); erased != nil {
		t.Errorf("erased elsewhere: %v", erased)
	}
	o := h.lastSweep()
	want := rules.SweepCounts{Jobs: 4, Erased: 1, Kept: 3, Freed: 1000}
	if diff := cmp.Diff(want, o.Sweep.SweepCounts); diff != "" || o.Result != rules.ResultDone {
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
	large := func(h *house, name string) gitlabtest.Job {
		j := h.oldJob(name, 40*day)
		j.Log, j.LogSize = "", 5_000_000
		return j
	}
	for _, c := range []struct {
		name string
		with string
		fill func(h *house, project int64)
		want []string
	}{
		{"the last pipelines of each ref", "keep_pipelines: 2", func(h *house, project int64) {
			for i := range 4 {
				h.gitlab.AddPipeline(project, gitlabtest.Pipeline{Ref: "main"}, h.oldJob(fmt.Sprintf("main-%d", i), 40*day))
				h.gitlab.AddPipeline(project, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 7, SourceBranch: "topic", TargetBranch: "main"}}, h.oldJob(fmt.Sprintf("mr-%d", i), 40*day))
			}
			h.gitlab.AddPipeline(project, gitlabtest.Pipeline{Ref: "topic"}, h.oldJob("topic", 40*day))
		}, []string{"main-0", "main-1", "mr-0", "mr-1"}},
		{"tags", "keep_tags: true", func(h *house, project int64) {
			h.gitlab.AddPipeline(project, gitlabtest.Pipeline{Ref: "v1", Tag: true}, h.oldJob("tag", 40*day))
			h.gitlab.AddPipeline(project, gitlabtest.Pipeline{Ref: "main"}, h.oldJob("branch", 40*day))
		}, []string{"branch"}},
		{"protected refs", "keep_protected: true", func(h *house, project int64) {
			h.gitlab.AddPipeline(project, gitlabtest.Pipeline{Ref: "main"}, h.oldJob("main", 40*day))
			h.gitlab.AddPipeline(project, gitlabtest.Pipeline{Ref: "release/1"}, h.oldJob("release", 40*day))
			h.gitlab.AddPipeline(project, gitlabtest.Pipeline{Ref: "topic"}, h.oldJob("topic", 40*day))
		}, []string{"topic"}},
		{"small logs", "larger_than: 1MB", func(h *house, project int64) {
			h.gitlab.AddPipeline(project, gitlabtest.Pipeline{}, h.oldJob("small", 40*day), large(h, "large"))
		}, []string{"large"}},
		{"artifacts", "artifacts: false", func(h *house, project int64) {
			artifacts := h.oldJob("artifacts", 40*day)
			artifacts.Artifacts = []gitlabtest.Artifact{gitlabtest.Archive}
			h.gitlab.AddPipeline(project, gitlabtest.Pipeline{}, h.oldJob("log", 40*day), artifacts)
		}, []string{"log"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, fmt.Sprintf(rule, c.with))
			p := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/tools/shop", ProtectedRefs: []string{"main", "release/*"}})
			c.fill(h, p.ID)
			h.sweep("erase")
			h.work()
			if diff := cmp.Diff(c.want, h.erasedJobs(p)); diff != "" {
				t.Errorf("erased (-want +got):\n%s\n%v", diff, h.lastSweep().Reason)
			}
		})
	}
}

// What does not work is a line each, and the sweep goes on.
func TestSweepGoesOn(t *testing.T) {
	h := newHouse(t, `
version: 1
rules:
  - name: erase
    on: schedule
    schedule: {cron: "0 0 30 2 *", projects: [platform/gone, hidden, 4711, "nothing/*", platform/poor, platform/busy, platform/shop]}
    if: job.name != "odd" or details().artifacts[7].size > 0
    actions: [erase: {older_than: 30d}]
`)
	h.gitlab.AddGroup(gitlabtest.Group{Path: "hidden", Role: gitlabtest.NoAccess})
	poor := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/poor", Role: gitlabtest.Developer})
	busy := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/busy"})
	shop := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	var inBusy gitlabtest.Pipeline
	for _, p := range []gitlabtest.Project{poor, busy, shop} {
		pipeline := h.gitlab.AddPipeline(p.ID, gitlabtest.Pipeline{}, h.oldJob("a", 40*day), h.oldJob("odd", 40*day), h.oldJob("b", 40*day))
		if p.ID == busy.ID {
			inBusy = pipeline
		}
	}
	h.gitlab.Fail(gitlabtest.Fault{Method: "POST", Path: fmt.Sprintf("/projects/%d/jobs/%d/erase", busy.ID, h.gitlab.Latest(inBusy.ID, "a").ID), Status: http.StatusConflict, Times: 1})

	h.sweep("erase")
	h.work()

	o := h.lastSweep()
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
	if diff := cmp.Diff([]string{"a", "b"}, h.erasedJobs(shop)); diff != "" {
		t.Errorf("erased in shop (-want +got):\n%s", diff)
	}
	if n := len(h.erasedJobs(busy)); n != 1 {
		t.Errorf("%d jobs erased in busy, want 1", n)
	}
}

// A dry run totals what would go.
func TestSweepDryRun(t *testing.T) {
	h := newHouse(t, strings.Replace(sweepRule, "on: schedule", "on: schedule\n    dry_run: true", 1))
	for _, path := range []string{"platform/a", "platform/b"} {
		p := h.gitlab.AddProject(gitlabtest.Project{Path: path})
		h.gitlab.AddPipeline(p.ID, gitlabtest.Pipeline{}, h.oldJob("one", 100*day), h.oldJob("two", 100*day))
	}
	h.sweep("erase-old-logs")
	h.work()
	if n := h.gitlab.Count("POST", "/erase"); n != 0 {
		t.Errorf("%d erases were called", n)
	}
	o := h.lastSweep()
	if o.Result != rules.ResultDryRun || o.Sweep.Erased != 4 || o.Sweep.Freed != 4000 {
		t.Errorf("%s: %+v", o.Result, o.Sweep)
	}
	want := []rules.SweepProject{
		{ID: 1, Path: "platform/a", SweepCounts: rules.SweepCounts{Jobs: 2, Erased: 2, Freed: 2000}},
		{ID: 2, Path: "platform/b", SweepCounts: rules.SweepCounts{Jobs: 2, Erased: 2, Freed: 2000}},
	}
	if diff := cmp.Diff(want, o.Sweep.Projects); diff != "" {
		t.Errorf("projects (-want +got):\n%s", diff)
	}
}

// Other actions than erase go through the queue, with all that guards them.
func TestSweepQueuesOtherActions(t *testing.T) {
	h := newHouse(t, `
version: 1
rules:
  - name: cancel-what-hangs
    on: schedule
    schedule: {cron: "@hourly", projects: [platform], scope: [pending]}
    if: age(job.created_at) > duration("2h")
    actions: [cancel]
`)
	p := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := h.gitlab.AddPipeline(p.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "hangs"})
	h.clock.Advance(3 * time.Hour)
	h.gitlab.AddPipeline(p.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "young"})
	h.sweep("cancel-what-hangs")
	h.work()
	if status := h.gitlab.Latest(pipeline.ID, "hangs").Status; status != "canceled" {
		t.Errorf("the job that hangs is %s", status)
	}
	if n := h.gitlab.Count("POST", "/cancel"); n != 1 {
		t.Errorf("%d jobs were cancelled", n)
	}
}

// Wherever a sweep is cut short, twice, it goes on: each log is erased once.
func TestSweepKilledTwice(t *testing.T) {
	var shop, web gitlabtest.Project
	killedTwice(t, func(h *house) {
		shop = h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
		web = h.gitlab.AddProject(gitlabtest.Project{Path: "platform/web"})
		for _, p := range []gitlabtest.Project{shop, web} {
			h.gitlab.AddPipeline(p.ID, gitlabtest.Pipeline{}, h.oldJob("a", 100*day), h.oldJob("b", 100*day), h.oldJob("c", 100*day))
		}
		h.sweep("erase-old-logs")
	}, sweepRule, func(h *house, when string) {
		for _, p := range []gitlabtest.Project{shop, web} {
			if diff := cmp.Diff([]string{"a", "b", "c"}, h.erasedJobs(p)); diff != "" {
				h.Errorf("%s: erased in %s (-want +got):\n%s", when, p.Path, diff)
			}
		}
		if n := h.gitlab.Answered(http.StatusForbidden); n != 0 {
			h.Errorf("%s: GitLab refused %d erases", when, n)
		}
		if o := h.lastSweep(); o.Sweep.Finished != 2 || o.Sweep.Erased+o.Sweep.Before != 6 || len(h.slack.Posts()) != 1 {
			h.Errorf("%s: %d messages, %+v", when, len(h.slack.Posts()), o.Sweep)
		}
	})
}

// While another run of the rule is under way, a run waits.
func TestSweepOneAtATime(t *testing.T) {
	h := newHouse(t, sweepRule)
	p := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.gitlab.AddPipeline(p.ID, gitlabtest.Pipeline{}, h.oldJob("old", 100*day))
	release, err := actions.HoldSweep(t.Context(), h.db, rules.Sweep{ID: "another's", Rule: "erase-old-logs"})
	if err != nil || release == nil {
		t.Fatalf("no claim: %v", err)
	}
	if again, err := actions.HoldSweep(t.Context(), h.db, rules.Sweep{ID: "a third", Rule: "erase-old-logs"}); err != nil || again != nil {
		t.Errorf("two runs hold the claim (%v)", err)
	}
	h.sweep("erase-old-logs")
	h.work()
	if erased := h.erasedJobs(p); erased != nil {
		t.Errorf("erased beside the other run: %v", erased)
	}
	release()
	h.workOff()
	if erased := h.erasedJobs(p); len(erased) != 1 {
		t.Errorf("erased after the other run: %v", erased)
	}
}

// The rule of a run that waited may be gone.
func TestSweepOfNoRule(t *testing.T) {
	h := newHouse(t, sweepRule)
	h.sweep("erase-artifacts")
	h.work()
	if o := h.lastSweep(); o.Result != rules.ResultFailed || !strings.Contains(o.Reason, "no schedule rule of this name any more") {
		t.Errorf("%s: %s", o.Result, o.Reason)
	}
}

// A sweep uses the rate that is allowed, and GitLab never has to say no.
func TestSweepAtFullRate(t *testing.T) {
	const jobs = 3000
	h := newHouseOn(t, gitlabtest.Options{RateLimit: 600}, sweepRule)
	// As `serve` makes them of `--gitlab-rate 600/1m`.
	h.rate = store.Rate{Limit: 581, Per: time.Minute, Burst: 20}
	h.start(newFuse(-1))
	p := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.gitlab.AddOldJobs(p.ID, gitlabtest.OldJobs{Count: jobs, PerPipeline: 10, Job: func(int) gitlabtest.Job { return h.oldJob("rspec", 100*day) }})
	begin := h.now()
	h.sweep("erase-old-logs")
	h.work()
	took := h.now().Sub(begin)
	if n := h.gitlab.Count("POST", "/erase"); n != jobs {
		t.Errorf("%d jobs erased, want %d", n, jobs)
	}
	if n := h.gitlab.Answered(http.StatusTooManyRequests); n != 0 {
		t.Errorf("GitLab answered 429 %d times", n)
	}
	used := float64(len(h.gitlab.Requests())) / took.Minutes() / 600
	if used < 0.95 {
		t.Errorf("%.3f of the rate was used, want at least 0.95", used)
	}
	t.Logf("%d requests in %s, %.3f of the rate", len(h.gitlab.Requests()), took, used)
}
