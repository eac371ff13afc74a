package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const sweepRules = `
version: 1
rules:
  - name: erase-old-logs
    on: schedule
    schedule: {cron: "0 3 * * *", projects: [platform, tools/gone]}
    actions: [erase: {older_than: 30d}]
  - name: cancel-what-hangs
    on: schedule
    schedule: {cron: "0 0 30 2 *", projects: ["platform/*"], scope: [pending]}
    actions: [cancel]
`

// broom is the command, with a GitLab that holds old jobs.
type broom struct {
	*testing.T
	gitlab *gitlabtest.Server
	dir    string
}

func newBroom(t *testing.T, o gitlabtest.Options, jobs int) *broom {
	t.Helper()
	o.Now = time.Now
	b := &broom{t, gitlabtest.Start(t, o), t.TempDir()}
	if err := os.WriteFile(filepath.Join(b.dir, "rules.yaml"), []byte(sweepRules), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"platform/shop", "platform/web/site"} {
		b.fill(b.gitlab.AddProject(gitlabtest.Project{Path: path, CreatedAt: time.Now().Add(-80 * 24 * time.Hour)}), jobs)
	}
	return b
}

// fill adds jobs that ended long ago, each with a log of 2,000 bytes.
func (b *broom) fill(p gitlabtest.Project, jobs int) {
	at := time.Now().Add(-40 * 24 * time.Hour)
	b.gitlab.AddOldJobs(p.ID, gitlabtest.OldJobs{Count: jobs, PerPipeline: 10, Job: func(int) gitlabtest.Job {
		return gitlabtest.Job{Name: "rspec", Status: "success", CreatedAt: at, StartedAt: at, FinishedAt: at, LogSize: 2000}
	}})
}

func (b *broom) sweep(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	b.Helper()
	var out, errs bytes.Buffer
	code = run(ctx, append([]string{
		"pipesteward", "sweep", "--rules", filepath.Join(b.dir, "rules.yaml"), "--store", "bolt:" + filepath.Join(b.dir, "sweep.db"),
		"--gitlab-url", b.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--gitlab-rate", "1000000/1m",
	}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func (b *broom) says(what, text string, parts ...string) {
	b.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			b.Errorf("%s lacks %q:\n%s", what, part, text)
		}
	}
}

func TestSweep(t *testing.T) {
	b := newBroom(t, gitlabtest.Options{}, 50)
	hangs := b.gitlab.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "hangs"})

	code, stdout, stderr := b.sweep(t.Context(), "--dry-run")
	if code != 0 {
		t.Fatalf("exit status %d\n%s", code, stderr)
	}
	b.says("the dry run", stdout,
		"erase-old-logs: would erase 100 of 100 jobs in 2 projects, 200 kB",
		"would erase", "platform/shop", "platform/web/site", "all projects", "100 kB",
		"! tools/gone: there is no such project or group",
		"cancel-what-hangs: would queue cancel for 1 of 1 job in 1 project",
		`the cron "0 0 30 2 *" never comes`)
	b.says("stderr", stderr, "erase-old-logs: project 2 of 2 (platform/web/site), 100 jobs, ")
	if n := b.gitlab.Count("POST", ""); n != 0 {
		t.Fatalf("the dry run posts %d times", n)
	}

	code, stdout, _ = b.sweep(t.Context(), "--json")
	var runs []event.Sweep
	if err := json.Unmarshal([]byte(stdout), &runs); err != nil || code != 0 || len(runs) != 2 {
		t.Fatalf("exit status %d, %v\n%s", code, err, stdout)
	}
	want := event.SweepCounts{Jobs: 100, Erased: 100, Freed: 200_000}
	if diff := cmp.Diff(want, runs[0].SweepCounts); diff != "" {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
	if n := b.gitlab.Count("POST", "/erase"); n != 100 {
		t.Errorf("%d jobs erased, want 100", n)
	}
	if job := b.gitlab.Latest(hangs.ID, "hangs"); runs[1].Queued != 1 || job.Status != "pending" {
		t.Errorf("%d decisions are queued, and the job is %s", runs[1].Queued, job.Status)
	}

	_, stdout, _ = b.sweep(t.Context(), "--rule", "erase-old-logs")
	b.says("the second sweep", stdout, "erased 0 of 100 jobs")
	if n := b.gitlab.Count("POST", "/erase"); n != 100 {
		t.Errorf("%d jobs erased in both, want 100", n)
	}
}

// Ctrl-C ends a sweep, and the same command goes on. GitLab answers no erase
// after the first 40 until Ctrl-C has come.
func TestSweepGoesOnAfterCtrlC(t *testing.T) {
	t.Parallel()
	const first, all = 40, 180
	b := newBroom(t, gitlabtest.Options{}, all/2) // as many as a sweep erases at once in a project
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	b.gitlab.Fail(gitlabtest.Fault{Path: "/erase", Skip: first, Times: -1, Until: make(chan struct{})})
	erased := func() int { return b.gitlab.Answered(http.StatusCreated) }
	go func() {
		await.Until(t, "the first are erased", func() bool { return erased() == first || ctx.Err() != nil })
		interrupt()
	}()
	code, _, stderr := b.sweep(ctx, "--rule", "erase-old-logs")
	if n := erased(); code != 1 || n != first {
		t.Fatalf("exit status %d, %d jobs erased, want %d\n%s", code, n, first, stderr)
	}
	b.says("stderr", stderr, "stopped: the same command goes on from here")
	listed := b.gitlab.Count("GET", "/jobs")

	b.gitlab.ClearFaults()
	code, stdout, stderr := b.sweep(t.Context(), "--rule", "erase-old-logs")
	b.says("stderr", stderr, "goes on with the sweep that began")
	b.says("stdout", stdout, "in 2 projects")
	if n := erased(); n != all || code != 0 {
		t.Errorf("exit status %d, %d jobs erased, want %d", code, n, all)
	}
	if n := b.gitlab.Count("GET", "/jobs"); n-listed > 2-listed+2 {
		t.Errorf("%d pages were listed after %d: it began anew", n-listed, listed)
	}
}

// A rule that another process runs is left out, and the others are run.
func TestSweepLeavesOutWhatAnotherRuns(t *testing.T) {
	b := newBroom(t, gitlabtest.Options{}, 5)
	db, err := bolt.Open(filepath.Join(b.dir, "sweep.db"), bolt.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, release, err := sweep.Claim(t.Context(), db, "cancel-what-hangs", "another")
	if err != nil || release == nil {
		t.Fatalf("no claim: %v", err)
	}
	if _, err := db.Claim(t.Context(), "sweep:cancel-what-hangs", "another", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil { // before the claim is released
		t.Fatal(err)
	}
	release()
	code, stdout, stderr := b.sweep(t.Context())
	if code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	b.says("stdout", stdout, "erase-old-logs: erased 10 of 10 jobs in 2 projects")
	b.says("stderr", stderr, "cancel-what-hangs: a run of it is under way, by `serve` or by hand")
}

func TestSweepOfNothing(t *testing.T) {
	b := newBroom(t, gitlabtest.Options{}, 1)
	code, _, stderr := b.sweep(t.Context(), "--gitlab-token", "revoked")
	if code != 1 {
		t.Errorf("exit status %d with a wrong token: %s", code, stderr)
	}
	b.says("stderr", stderr, "erase-old-logs: gitlab: GET /groups/platform/projects: 401 Unauthorized: the access token is wrong, expired or revoked")
	if code, _, stderr := b.sweep(t.Context(), "--rule", "nightly"); code != 2 || !strings.Contains(stderr, `no schedule rule "nightly"`) {
		t.Errorf("exit status %d: %s", code, stderr)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "rules.yaml"), []byte(testRules), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := b.sweep(t.Context()); code != 1 || !strings.Contains(stderr, "no rule `on: schedule`") {
		t.Errorf("exit status %d: %s", code, stderr)
	}
}

// BenchmarkSweep erases the logs of 100,000 jobs of a GitLab that takes 20 ms
// for each answer, as fast as it goes, and for half a minute at 600 requests a
// minute; and it looks at a million jobs.
func BenchmarkSweep(b *testing.B) {
	for _, c := range []struct {
		name    string
		rate    string
		jobs    int
		span    time.Duration
		latency time.Duration
		dryRun  bool
	}{
		{"unlimited", "", 100_000, time.Hour, 20 * time.Millisecond, false},
		{"300 a minute", "300/1m", 100_000, 30 * time.Second, 20 * time.Millisecond, false},
		{"a million, dry run", "", 1_000_000, time.Hour, 0, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				o := gitlabtest.Options{Now: time.Now, Latency: c.latency, ForgetRequests: true}
				if c.span < time.Hour {
					o.RateLimit = 300
				}
				server := gitlabtest.Start(b, o)
				at := time.Now().Add(-40 * 24 * time.Hour)
				p := server.AddProject(gitlabtest.Project{Path: "platform/shop"})
				server.AddOldJobs(p.ID, gitlabtest.OldJobs{Count: c.jobs, PerPipeline: 10, Job: func(int) gitlabtest.Job {
					return gitlabtest.Job{Name: "rspec", Status: "success", CreatedAt: at, StartedAt: at, FinishedAt: at, LogSize: 2000}
				}})
				s, closeStore := benchSweeper(b, server, c.rate, c.dryRun)
				ctx, stop := context.WithTimeout(b.Context(), c.span)
				run := event.Sweep{ID: "bench", Rule: "erase-old-logs"}
				before, began := heap(), time.Now()
				err := s.Run(ctx, &run)
				took := time.Since(began)
				if err != nil && ctx.Err() == nil {
					b.Fatal(err)
				}
				stop()
				b.ReportMetric(float64(run.Jobs)/took.Seconds(), "jobs/s")
				b.ReportMetric(float64(server.Answered(429)), "429s")
				b.ReportMetric((heap()-before)/1e6, "MB_more")
				if c.span < time.Hour {
					b.ReportMetric(float64(server.Count("", ""))/took.Minutes()/300, "of_the_rate")
				}
				closeStore()
				server.Close()
			}
		})
	}
}

// heap is what is in use of the heap, in bytes.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// benchSweeper is a sweeper as the command makes it; with no rate, nothing limits
// it.
func benchSweeper(b *testing.B, server *gitlabtest.Server, rate string, dryRun bool) (s sweep.Sweeper, closeStore func()) {
	b.Helper()
	db, err := bolt.Open(filepath.Join(b.TempDir(), "bench.db"), bolt.Options{Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	config := gitlab.Config{BaseURL: server.URL(), Token: gitlabtest.DefaultToken, Now: time.Now}
	if rate != "" {
		config.Limiter = db
		if config.Rate, err = parseRate(rate); err != nil {
			b.Fatal(err)
		}
	}
	client, err := gitlab.New(config)
	if err != nil {
		b.Fatal(err)
	}
	loaded, err := rulefile.Load(rulefile.Options{DryRun: dryRun}, rulefile.Source{Name: "rules.yaml", Data: []byte(sweepRules)})
	if err != nil {
		b.Fatal(err)
	}
	save := func(context.Context, event.Sweep) error { return nil }
	return sweep.Sweeper{GitLab: client, Rules: func() *rules.Rules { return loaded }, Now: time.Now, Pauses: pause.Pauses{Store: db, Now: time.Now}, Save: save}, func() { _ = db.Close() }
}
