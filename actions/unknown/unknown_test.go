package unknown_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
	"github.com/pipesteward/pipesteward/rules/lint"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.InMemory(m).Run()) }

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// failure returns the event of a failed job.
func failure(job int64, project string) event.Event {
	var e event.Event
	e.Meta.Kind, e.Meta.Instance = event.KindJob, "https://gitlab.example.com"
	e.Project.Path, e.Project.ID = project, 7
	e.Job = event.Job{ID: job, Name: "build", Status: "failed", FailureReason: "script_failure", FailureClass: event.ClassScript, FinishedAt: noon.Add(time.Duration(job) * time.Minute)}
	e.Job.URL = fmt.Sprintf("https://gitlab.example.com/%s/-/jobs/%d", project, job)
	e.Job.Runner.ID, e.Job.Runner.Description = job%2+1, fmt.Sprint("runner-", job%2)
	return e
}

func newLog(t *testing.T) *unknown.Log {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: storetest.NewClock().Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &unknown.Log{Store: db}
}

func clusters(t *testing.T, l *unknown.Log, q unknown.Query) []unknown.Cluster {
	t.Helper()
	all, err := l.Clusters(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestClusters checks that jobs whose lines differ in ids are one group, that each is counted
// once, and that what came of their retries is counted.
func TestClusters(t *testing.T) {
	l := newLog(t)
	add := func(job int64, project, line string) {
		t.Helper()
		if err := l.Failed(t.Context(), failure(job, project), line); err != nil {
			t.Fatal(err)
		}
	}
	for job := int64(1); job <= 7; job++ {
		add(job, "platform/shop", fmt.Sprintf("license server lic-%d refused job 88%02d", job%2, job))
		add(job, "platform/shop", fmt.Sprintf("license server lic-%d refused job 88%02d", job%2, job)) // a group's hook, too
	}
	add(8, "platform/docs", "spelling: no dictionary for en")
	retried := func(job int64, class, status string) {
		t.Helper()
		o := event.Outcome{}
		o.Event = failure(job, "platform/shop")
		o.Job.FailureClass = class
		e := failure(job+100, "platform/shop")
		e.Job.Status = status
		if err := l.Retried(t.Context(), e, &o); err != nil {
			t.Fatal(err)
		}
	}
	retried(1, event.ClassScript, "success")
	retried(2, event.ClassScript, "failed")
	retried(3, "disk-full", "success") // a class covers it
	if err := l.Retried(t.Context(), failure(200, "platform/shop"), nil); err != nil {
		t.Fatal(err)
	}

	all := clusters(t, l, unknown.Query{})
	if len(all) != 2 || all[0].ID == all[1].ID || !regexp.MustCompile(all[0].Pattern).MatchString("x\nlicense server lic-9 refused job 1\n") {
		t.Fatalf("clusters %+v", all)
	}
	licenses := all[0]
	var jobs []int64
	for _, j := range licenses.Jobs {
		jobs = append(jobs, j.ID)
	}
	licenses.ID, licenses.Pattern, licenses.Jobs = "", "", nil
	want := unknown.Cluster{
		Text: "license server lic-<n> refused job <n>", Example: "license server lic-1 refused job 8807", Failed: 7, First: noon.Add(time.Minute), Last: noon.Add(7 * time.Minute),
		Retried: 2, Passed: 1, Reasons: []string{"script_failure"}, Names: []string{"build"}, Projects: []string{"platform/shop"}, Runners: []string{"runner-0", "runner-1"},
	}
	if diff := cmp.Diff(want, licenses); diff != "" {
		t.Errorf("cluster (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{7, 6, 5, 4, 3}, jobs); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}

	for name, c := range map[string]struct {
		query unknown.Query
		want  string // how many jobs of each cluster
	}{
		"a project":              {unknown.Query{Project: "*/docs"}, "[1]"},
		"the project's id":       {unknown.Query{Project: "7"}, "[7 1]"},
		"another project's id":   {unknown.Query{Project: "8"}, "[]"},
		"since":                  {unknown.Query{Since: noon.Add(6 * time.Minute)}, "[2 1]"},
		"an id":                  {unknown.Query{ID: all[1].ID}, "[1]"},
		"the id of a later line": {unknown.Query{ID: all[0].ID, Since: noon.Add(6 * time.Minute)}, "[2]"},
		"no such id":             {unknown.Query{ID: "none"}, "[]"},
	} {
		got := []int{}
		for _, c := range clusters(t, l, c.query) {
			got = append(got, c.Failed)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: jobs %v, want %s", name, got, c.want)
		}
	}
}

// TestClustersAgain checks that jobs that failed since somebody looked are there, too, and that
// many may look at the same time.
func TestClustersAgain(t *testing.T) {
	l := newLog(t)
	for job := int64(1); job <= 3; job++ {
		for _, line := range []string{"license server refused job 8801", "spelling: no dictionary for en"} {
			if err := l.Failed(t.Context(), failure(10*job+int64(len(line)), "a/b"), line); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				all, err := l.Clusters(t.Context(), unknown.Query{})
				if err != nil || len(all) != 2 || all[0].Failed != int(job) || all[1].Failed != int(job) {
					t.Errorf("after %d jobs each, %+v, %v", job, all, err)
				}
			})
		}
		wg.Wait()
	}
}

// leaving is a store whose reader goes away.
type leaving struct {
	unknown.Store
	leave context.CancelFunc
}

func (l leaving) Appended(ctx context.Context, key, cursor string, n int) ([]store.Entry, string, error) {
	defer l.leave()
	return l.Store.Appended(ctx, key, cursor, n)
}

// TestClustersForNobody checks that no groups are made once nobody waits for them.
func TestClustersForNobody(t *testing.T) {
	l := newLog(t)
	if err := l.Failed(t.Context(), failure(1, "a/b"), "it broke"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.Store = leaving{l.Store, cancel}
	if all, err := l.Clusters(ctx, unknown.Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%d clusters, error %v", len(all), err)
	}
}

// passing are logs by their names.
type passing map[string]string

func (p passing) Each(visit func(name, log string) error) error {
	for name, log := range p {
		if err := visit(name, log); err != nil {
			return err
		}
	}
	return nil
}

// TestPropose checks that a proposal is a rule file that loads without warnings, whatever the
// lines have in them, and that it says how many passing logs it matches.
func TestPropose(t *testing.T) {
	for _, line := range []string{
		"license server lic-1 refused job 8807", "it's \"quoted\" & {weird}: #7 [x] *y* <nil> \\d+ $HOME %", "größer als 1,5 µs", "- alpha: beta", "license server " + strings.Repeat("word7a8b9c ", 60),
		"许可证服务器拒绝了请求", strings.Repeat("größer(als)", 100), "npm error code EBADENGINE",
	} {
		c := clusterOf(t, line)
		p, err := unknown.Propose(c, passing{"good.log": "$ make\nfine\n", "bad.log": "\x1b[31m" + line + "\x1b[0m\n"})
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		if p.Logs != 2 || fmt.Sprint(p.Matched) != "[bad.log]" || !strings.Contains(p.Rules, "matches 1 of 2 logs") {
			t.Errorf("%q: it matches %q of %d logs:\n%s", line, p.Matched, p.Logs, p.Rules)
		}
		rules, found := lint.Load(rulefile.Options{}, nil, rulefile.Source{Name: "rules.yaml", Data: []byte(p.Rules)})
		if rules == nil || len(found) > 0 {
			t.Errorf("%q: %v\n%s", line, found, p.Rules)
		}
		if p, err := unknown.Propose(c, passing{}); err != nil || !strings.Contains(p.Rules, "# WARNING: ") {
			t.Errorf("%q: without logs: %v\n%s", line, err, p.Rules)
		}
	}
	failed := errors.New("no such file")
	if _, err := unknown.Propose(clusterOf(t, "license server refused"), broken{failed}); !errors.Is(err, failed) {
		t.Errorf("error %v, want %v", err, failed)
	}
}

// clusterOf returns the cluster of a job whose log has a telling line.
func clusterOf(t *testing.T, line string) unknown.Cluster {
	t.Helper()
	l := newLog(t)
	if err := l.Failed(t.Context(), failure(1, "platform/shop"), joblog.Telling(line)); err != nil {
		t.Fatal(err)
	}
	return clusters(t, l, unknown.Query{})[0]
}

// TestProposeNothingGeneric checks that no class is proposed for what logs of many failures, or
// of jobs that passed, say.
func TestProposeNothingGeneric(t *testing.T) {
	for line, why := range map[string]string{
		"x":                                     "no word is left",
		"error:":                                "no word is left",
		"12 34 56":                              "no word is left",
		"ERROR: Job failed: exit code 1":        "no word is left",
		"exit status 3":                         "no word is left",
		"Error: build failed with exit code 1":  "no word is left",
		"make: *** [Makefile:7: check] Error 1": "no word is left",
		"error: module 7":                       `only the word "module" is left`,
		"module: module x1 is a module":         `only the word "module" is left`,
		"错误":                                    "no word is left",
		"ssh: connect to host 10.0.0.1 port 22: Connection refused":                                                          `that of "ssh waits for a machine"`,
		"error during connect: Get \"http://docker:2375/v1.48/info\": dial tcp: lookup docker on 10.0.0.11:53: no such host": `that of "Docker in Docker starts"`,
	} {
		_, err := unknown.Propose(clusterOf(t, line), passing{})
		generic, ok := errors.AsType[*unknown.GenericError](err)
		if !ok || !strings.Contains(generic.Why, why) || !strings.Contains(err.Error(), "https://gitlab.example.com/platform/shop/-/jobs/1") {
			t.Errorf("%q: %v, want: %s", line, err, why)
		}
	}
}

// TestProposedPatterns checks that the pattern of each class that is proposed matches the logs
// of its group, and none of the logs of jobs that passed which ship with Pipesteward.
func TestProposedPatterns(t *testing.T) {
	shipped, err := failureclass.PassingLogs()
	if err != nil {
		t.Fatal(err)
	}
	passed, lines := map[string]string{}, []string(nil) // their texts, and all lines of them
	for _, log := range shipped {
		text := redact.Secrets(joblog.Clean(log.Log))
		passed[log.Name] = text
		for line := range strings.Lines(text) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	proposed := 0
	rapid.Check(t, func(r *rapid.T) {
		l := &unknown.Log{Store: &memory{}}
		logs := map[string]string{} // by the telling line
		for job := range int64(rapid.IntRange(1, 12).Draw(r, "jobs")) {
			line := rapid.SampledFrom(lines).Draw(r, "line")
			if rapid.Bool().Draw(r, "another") {
				line = strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
					"error:", "Error", "failed", "license", "server", "cache", "lic-7.example.com", "12", "/a/b/c.go:1:2:", "2026-11-22 12:00:00", "<nil>", "[::1]:80", `C:\a\b`, "größer", "…", "connect", "npm",
				}), 1, 6).Draw(r, "words"), " ")
			}
			log := redact.Secrets(joblog.Clean("$ make\n" + line + "\nERROR: Job failed: exit code 1\n"))
			telling := joblog.Telling(strings.Join(joblog.Ending(log), ""))
			logs[telling] = log
			if err := l.Failed(t.Context(), failure(job, "a/b"), telling); err != nil {
				r.Fatal(err)
			}
		}
		all, err := l.Clusters(t.Context(), unknown.Query{})
		if err != nil {
			r.Fatal(err)
		}
		for _, c := range all {
			if _, err := unknown.Propose(c, passing{}); err != nil {
				if _, ok := errors.AsType[*unknown.GenericError](err); !ok {
					r.Fatal(err)
				}
				continue
			}
			proposed++
			re := regexp.MustCompile(c.Pattern)
			for _, job := range c.Jobs {
				if !re.MatchString(logs[job.Line]) {
					r.Errorf("%s does not match %q", re, logs[job.Line])
				}
			}
			for name, log := range passed {
				if re.MatchString(log) {
					r.Errorf("%s matches the log of %q", re, name)
				}
			}
		}
	})
	if proposed == 0 {
		t.Error("nothing was proposed")
	}
}

// memory is a store of entries, newest first.
type memory struct{ entries []store.Entry }

func (m *memory) Append(_ context.Context, _, id string, body []byte, _ int) error {
	m.entries = append([]store.Entry{{ID: id, Body: body}}, m.entries...)
	return nil
}

func (m *memory) Appended(context.Context, string, string, int) ([]store.Entry, string, error) {
	return m.entries, "", nil
}

type broken struct{ error }

func (b broken) Each(func(name, log string) error) error { return b.error }

// BenchmarkClusters makes the groups of as many failures as are kept, as somebody looks for the
// first time after a start.
func BenchmarkClusters(b *testing.B) {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "test.db"), bolt.Options{Now: storetest.NewClock().Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	filled := &unknown.Log{Store: db}
	for job := range int64(10_000) {
		line := fmt.Sprintf("module m%c%c: license server lic-%d.example.com:%d refused job 88%02d of /builds/a/b/c.go:%d after %d.5s", 'a'+rune(job%26), 'a'+rune(job/26%26), job%7, job, job, job%90, job%60)
		if err := filled.Failed(b.Context(), failure(job, "platform/shop"), line); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		l := &unknown.Log{Store: db}
		if all, err := l.Clusters(b.Context(), unknown.Query{}); err != nil || len(all) == 0 {
			b.Fatal(len(all), err)
		}
	}
}
