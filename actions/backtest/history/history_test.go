package history_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// listed is a GitLab whose project has jobs with the ids from 1 up, one an hour, the newest
// now, two in each pipeline.
type listed struct {
	mu      sync.Mutex
	jobs    int
	perPage int
	offset  bool // it pages by offset, as GitLab before 15.9
	status  func(id int64) string
	of      func(job int64) (pipeline int64, status string)
	logs    map[int64]string
	pages   []int64 // the first id of each page that was read
	logged  int
	fail    func() error
}

func (l *listed) Instance() string { return "https://gitlab.example.com:8443/gitlab" }

func (l *listed) JobsPage(_ context.Context, project int64, cursor string, _ ...string) (jobs []gitlab.Job, next string, err error) {
	if l.fail != nil {
		if err := l.fail(); err != nil {
			return nil, "", err
		}
	}
	from := int64(l.jobs)
	if cursor != "" {
		if _, err := fmt.Sscan(cursor, &from); err != nil {
			return nil, "", err
		}
		if l.offset {
			from = int64(l.jobs) - from
		}
	}
	l.pages = append(l.pages, from)
	for id := from; id > max(0, from-int64(l.perPage)); id-- {
		job := gitlab.Job{ProjectID: project, Pipeline: event.Pipeline{ID: 100 + (id+1)/2, Ref: "main", Status: "success"}}
		job.ID, job.Name, job.Status, job.CreatedAt = id, "rspec", "success", now.Add(-time.Duration(int64(l.jobs)-id)*time.Hour)
		if l.status != nil {
			job.Status = l.status(id)
		}
		if l.of != nil {
			job.Pipeline.ID, job.Pipeline.Status = l.of(id)
		}
		jobs = append(jobs, job)
	}
	if rest := from - int64(l.perPage); rest > 0 {
		next = strconv.FormatInt(rest, 10)
		if l.offset {
			next = strconv.FormatInt(int64(l.jobs)-rest, 10)
		}
	}
	return jobs, next, nil
}

func (l *listed) Log(_ context.Context, _, job int64) (gitlab.Log, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logged++
	return gitlab.Log{Text: l.logs[job]}, nil
}

// reading reads the jobs of a listed GitLab, with a cache of its own.
type reading struct {
	*testing.T
	gitlab *listed
	reader history.Reader
	said   []string
}

func newReading(t *testing.T, jobs int) *reading {
	r := &reading{T: t, gitlab: &listed{jobs: jobs, perPage: 10}}
	r.reader = history.Reader{
		GitLab: r.gitlab, Dir: t.TempDir(), Window: 1000, Now: func() time.Time { return now },
		Sleep: func(context.Context, time.Duration) error { return nil }, Say: func(line string) { r.said = append(r.said, line) },
		Unusable: func(file string, why error) { r.said = append(r.said, fmt.Sprintf("%s %v", file, why)) },
	}
	return r
}

// ids reads the jobs since a time, and returns their ids and how many pages GitLab was
// asked for.
func (r *reading) ids(from time.Time) (ids []int64, pages int) {
	r.Helper()
	r.gitlab.pages = nil
	for _, p := range r.pipelines(from) {
		for i, run := range p.Runs {
			ids = append(ids, run.ID)
			if run.Attempt != i+1 || run.Name != "rspec" {
				r.Errorf("job %d is attempt %d of %q, want %d", run.ID, run.Attempt, run.Name, i+1)
			}
		}
	}
	return ids, len(r.gitlab.pages)
}

// pipelines reads the pipelines with jobs since a time.
func (r *reading) pipelines(from time.Time) []*history.Pipeline {
	r.Helper()
	all, err := r.reader.Pipelines(r.Context(), gitlab.Project{Project: event.Project{ID: 7, Path: "platform/shop"}}, from, func(time.Time, int) {})
	if err != nil {
		r.Fatal(err)
	}
	return all
}

// files returns the names of the files whose names match.
func (r *reading) files(pattern string) []string {
	r.Helper()
	names, err := filepath.Glob(filepath.Join(r.reader.Dir, "gitlab.example.com_8443_gitlab", "7", pattern))
	if err != nil {
		r.Fatal(err)
	}
	return names
}

func (r *reading) says(part string) {
	r.Helper()
	if !strings.Contains(strings.Join(r.said, "\n"), part) {
		r.Errorf("nothing says %q: %q", part, r.said)
	}
}

func want(t *testing.T, ids []int64, from, to int64) {
	t.Helper()
	var all []int64
	for id := from; id <= to; id++ {
		all = append(all, id)
	}
	if !slices.Equal(ids, all) {
		t.Errorf("jobs %v, want %d to %d", ids, from, to)
	}
}

// TestSecondReading: what was read is not read again, but the newest page, and what was not
// read is, whatever jobs came meanwhile and however far back was read before.
func TestSecondReading(t *testing.T) {
	for _, offset := range []bool{false, true} {
		t.Run(fmt.Sprintf("by offset %t", offset), func(t *testing.T) {
			r := newReading(t, 200)
			r.gitlab.offset = offset
			ids, pages := r.ids(now.Add(-55 * time.Hour))
			want(t, ids, 145, 200)
			if pages != 6 {
				t.Errorf("%d pages, want 6", pages)
			}
			if ids, pages = r.ids(now.Add(-55 * time.Hour)); pages != 1 {
				t.Errorf("%d pages are read again, want 1", pages)
			}
			want(t, ids, 145, 200)
			r.gitlab.jobs = 223
			ids, pages = r.ids(now.Add(-95 * time.Hour)) // further back, after 23 new jobs
			want(t, ids, 127, 223)
			if pages > 7 {
				t.Errorf("%d pages, want the 3 with new jobs and those further back", pages)
			}
			if ids, pages = r.ids(now.Add(-9999 * time.Hour)); pages > 15 {
				t.Errorf("%d pages", pages)
			}
			want(t, ids, 1, 223)
			if ids, _ = r.ids(now.Add(-9999 * time.Hour)); len(r.said) > 0 {
				t.Errorf("says %q", r.said)
			}
			want(t, ids, 1, 223)
		})
	}
}

// TestGoesOnAfterAnError: whatever ends a reading, the pages before that are kept.
func TestGoesOnAfterAnError(t *testing.T) {
	r := newReading(t, 100)
	errStop := errors.New("killed")
	r.gitlab.fail = func() error {
		if len(r.gitlab.pages) == 7 {
			return errStop
		}
		return nil
	}
	_, err := r.reader.Pipelines(t.Context(), gitlab.Project{Project: event.Project{ID: 7, Path: "platform/shop"}}, time.Time{}, func(time.Time, int) {})
	if !errors.Is(err, errStop) || !strings.Contains(err.Error(), "the jobs of platform/shop can't be read") {
		t.Fatalf("ends with %v", err)
	}
	r.gitlab.fail = nil
	ids, pages := r.ids(time.Time{})
	want(t, ids, 1, 100)
	if pages != 1+3 {
		t.Errorf("%d pages are read, want the newest and the 3 that lack", pages)
	}
}

// again is a transient error.
type again struct{}

func (again) Error() string                         { return "502 Bad Gateway" }
func (again) Again() (after time.Duration, ok bool) { return time.Second, true }

// TestTransientErrors: a request is sent again for a while.
func TestTransientErrors(t *testing.T) {
	r := newReading(t, 10)
	left := 3
	r.gitlab.fail = func() error {
		if left--; left >= 0 {
			return again{}
		}
		return nil
	}
	ids, _ := r.ids(time.Time{})
	want(t, ids, 1, 10)
	r.says("goes on in ")
	left = 100
	_, err := r.reader.Pipelines(t.Context(), gitlab.Project{}, time.Time{}, func(time.Time, int) {})
	if !event.Transient(err) || left != 95 {
		t.Errorf("ends with %v after %d requests", err, 100-left)
	}
}

// TestPagesThatMayChange are read again: soon while their jobs are young, and each day after
// that, until the jobs and their pipelines have ended.
func TestPagesThatMayChange(t *testing.T) {
	for _, c := range []struct {
		name           string
		job, pipelines string // the statuses that they have at first
	}{
		{"a manual job", "manual", "success"},
		{"a skipped job, which runs if one before it is retried", "skipped", "failed"},
		{"a job of a pipeline that runs", "failed", "running"},
		{"a job of a pipeline that waits for a manual job", "failed", "manual"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReading(t, 100)
			may := func(id int64) bool { return id == 85 || id == 35 } // created 15 and 65 hours ago
			ended := false
			r.gitlab.status = func(id int64) string {
				if may(id) && !ended {
					return c.job
				}
				return "success"
			}
			r.gitlab.of = func(id int64) (int64, string) {
				if may(id) && !ended {
					return id, c.pipelines
				}
				return id, "success"
			}
			r.ids(time.Time{})
			for _, step := range []struct {
				after time.Duration
				pages int
			}{ // the newest page, and:
				{0, 1},
				{time.Hour, 1 + 1},
				{23 * time.Hour, 1 + 1}, // the younger job is more than a day old now, too
				{25 * time.Hour, 1 + 1}, // that of the older one
				{48 * time.Hour, 1 + 1}, // that of the younger one
				{99 * time.Hour, 1},
			} {
				ended = step.after >= 25*time.Hour
				r.reader.Now = func() time.Time { return now.Add(step.after) }
				if _, pages := r.ids(time.Time{}); pages != step.pages {
					t.Errorf("after %s, %d pages are read again, want %d", step.after, pages, step.pages)
				}
			}
			for _, p := range r.pipelines(time.Time{}) {
				if p.Status != "success" || p.Runs[0].Status != "success" {
					t.Errorf("job %d is %s, and its pipeline %s", p.Runs[0].ID, p.Runs[0].Status, p.Status)
				}
			}
		})
	}
}

// TestStatusOfAPipeline: it is the one that was read last, on whatever page.
func TestStatusOfAPipeline(t *testing.T) {
	r := newReading(t, 100)
	status := "running"
	r.gitlab.of = func(id int64) (int64, string) {
		if id == 65 || id == 55 { // created 35 and 45 hours ago
			return 900, status
		}
		return id, "success"
	}
	for _, c := range []struct {
		status string
		after  time.Duration
		from   time.Duration // before now
	}{
		{"running", 0, 38 * time.Hour},
		{"failed", time.Minute, 9999 * time.Hour}, // the page of 65 is not read again
		{"failed", time.Hour, 9999 * time.Hour},
	} {
		status = c.status
		r.reader.Now = func() time.Time { return now.Add(c.after) }
		for _, p := range r.pipelines(now.Add(-c.from)) {
			if p.ID == 900 && p.Status != c.status {
				t.Errorf("after %s, it is %s, want %s", c.after, p.Status, c.status)
			}
		}
	}
}

// TestFilesThatCanNotBeUsed are read anew, and each says why.
func TestFilesThatCanNotBeUsed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(text string) string
		says   string
	}{
		{"of another version", func(text string) string { return strings.Replace(text, `"version":2`, `"version":3`, 1) }, "is of another version of Pipesteward (its format is 3, this one's is 2)"},
		{"no header", func(string) string { return "\x00\x00" }, "is damaged"},
		{"empty", func(string) string { return "" }, "is damaged"},
		{"cut short", func(text string) string { return text[:len(text)-30] }, "is damaged"},
		{"lacks a line", func(text string) string { return text[:strings.LastIndex(text[:len(text)-1], "\n")+1] }, "is damaged"},
		{"of another project", func(text string) string { return strings.Replace(text, `"project":7`, `"project":8`, 1) }, "is about project 8 of https://gitlab.example.com:8443/gitlab"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReading(t, 60)
			r.ids(time.Time{})
			for _, name := range r.files("jobs-*") {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(c.change(string(text))), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ids, pages := r.ids(time.Time{})
			want(t, ids, 1, 60)
			if pages != 6 {
				t.Errorf("%d pages are read anew, want 6", pages)
			}
			r.says(c.says)
			r.said = nil
			if ids, pages = r.ids(time.Time{}); pages != 1 || len(r.said) > 0 {
				t.Errorf("%d pages are read again, and it says %q", pages, r.said)
			}
			want(t, ids, 1, 60)
		})
	}
}

// TestDirectoriesInThePlaceOfFiles are one error, which says how many there are, before
// GitLab is read; one that comes later is an error, too.
func TestDirectoriesInThePlaceOfFiles(t *testing.T) {
	r := newReading(t, 60)
	r.ids(time.Time{})
	pages := r.files("jobs-*")
	blocked := []string{pages[0], pages[1], filepath.Join(filepath.Dir(pages[0]), "log-3.jsonl")}
	for _, name := range blocked {
		if err := errors.Join(os.RemoveAll(name), os.MkdirAll(filepath.Join(name, "full"), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	r.gitlab.pages, r.said = nil, nil
	_, err := r.reader.Pipelines(t.Context(), gitlab.Project{Project: event.Project{ID: 7, Path: "platform/shop"}}, time.Time{}, func(time.Time, int) {})
	if !history.IsGeneral(t.Context(), err) || !strings.Contains(err.Error(), "3 directories are in the place of files, such as jobs-") || len(r.gitlab.pages)+len(r.said) > 0 {
		t.Errorf("%v, after %d pages and %q", err, len(r.gitlab.pages), r.said)
	}
	r.gitlab.logs = map[int64]string{3: "ERROR: Job failed\n"}
	if _, err := r.reader.Log(t.Context(), 7, 3, now.Add(-48*time.Hour)); !history.IsGeneral(t.Context(), err) || !strings.Contains(err.Error(), "the cache can't be written: ") {
		t.Error(err)
	}
}

// TestPartsOfFiles: what a process did not live to write is removed later.
func TestPartsOfFiles(t *testing.T) {
	r := newReading(t, 10)
	r.ids(time.Time{})
	part := filepath.Join(filepath.Dir(r.files("jobs-*")[0]), "part-123")
	for _, c := range []struct {
		age  time.Duration
		left int
	}{{time.Minute, 1}, {2 * time.Hour, 0}} {
		if err := os.WriteFile(part, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(part, now, now.Add(-c.age)); err != nil {
			t.Fatal(err)
		}
		if r.ids(time.Time{}); len(r.files("part-*")) != c.left {
			t.Errorf("after %s, %d parts are left, want %d", c.age, len(r.files("part-*")), c.left)
		}
	}
}

// TestPassingLogs: they are kept apart from those of jobs that failed, and found again by the
// page of a job in the same GitLab.
func TestPassingLogs(t *testing.T) {
	longAgo := now.Add(-48 * time.Hour)
	r := newReading(t, 10)
	r.gitlab.logs = map[int64]string{3: "$ make\nfine\n", 4: "$ make\nbroken\n"}
	for range 2 {
		if text, err := r.reader.PassingLog(t.Context(), 7, 3, longAgo); text == "" || err != nil {
			t.Errorf("the log is %q, %v", text, err)
		}
		if _, err := r.reader.PassingLog(t.Context(), 7, 5, longAgo); err != nil { // it has no log
			t.Error(err)
		}
		if _, err := r.reader.Log(t.Context(), 7, 4, longAgo); err != nil {
			t.Error(err)
		}
	}
	if r.gitlab.logged != 3 {
		t.Errorf("%d logs are read, want 3", r.gitlab.logged)
	}
	for url, want := range map[string]int{
		"https://gitlab.example.com:8443/gitlab/platform/shop/-/jobs/9": 1,
		"https://gitlab.example.com/platform/shop/-/jobs/9":             0,
		"https://gitlab.example.com:8443/gitlab2/shop/-/jobs/9":         0,
	} {
		var found []string
		err := history.Passing{Dir: r.reader.Dir, URL: url}.Each(func(_, log string) error {
			found = append(found, log)
			return nil
		})
		if err != nil || len(found) != want || want == 1 && !strings.Contains(found[0], "fine") {
			t.Errorf("of %s the logs are %q, %v, want %d", url, found, err, want)
		}
	}
	if err := os.WriteFile(r.files("passing-3*")[0], []byte("{}\nx"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (history.Passing{Dir: r.reader.Dir, URL: "https://gitlab.example.com:8443/gitlab/x"}).Each(func(string, string) error { return errors.New("a damaged one is read") }); err != nil {
		t.Error(err)
	}
}

// TestLogs are read once, stored without secrets, and for their owner alone.
func TestLogs(t *testing.T) {
	longAgo := now.Add(-48 * time.Hour)
	r := newReading(t, 10)
	r.gitlab.logs = map[int64]string{3: "\x1b[31mpassword=hunter2hunter2\x1b[0m\nERROR: Job failed\n"}
	for range 2 {
		text, err := r.reader.Log(t.Context(), 7, 3, longAgo)
		if err != nil || strings.Contains(text, "hunter2") || strings.Contains(text, "\x1b") || !strings.Contains(text, "ERROR: Job failed") {
			t.Errorf("the log is %q, %v", text, err)
		}
		if text, err = r.reader.Log(t.Context(), 7, 4, longAgo); text != "" || err != nil {
			t.Errorf("no log is %q, %v", text, err)
		}
	}
	if r.gitlab.logged != 2 {
		t.Errorf("%d logs are read, want 2", r.gitlab.logged)
	}
	r.ids(time.Time{})
	err := filepath.WalkDir(r.reader.Dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil || entry.IsDir() {
			if info != nil && name != r.reader.Dir && info.Mode().Perm() != 0o700 {
				t.Errorf("%s has the mode %v", name, info.Mode())
			}
			return err
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
		text, err := os.ReadFile(name)
		if strings.Contains(string(text), "hunter2") {
			t.Errorf("%s has a secret", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r.reader.Window = 2000 // a rule may see more of them now
	if _, err := r.reader.Log(t.Context(), 7, 3, longAgo); err != nil || r.gitlab.logged != 3 {
		t.Errorf("%d logs are read, want 3: %v", r.gitlab.logged, err)
	}
	name := r.files("log-3*")[0]
	if err := os.WriteFile(name, []byte("{}\nx"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := r.reader.Log(t.Context(), 7, 3, longAgo); err != nil || r.gitlab.logged != 4 || text == "x" {
		t.Errorf("%d logs are read, want 4: %q %v", r.gitlab.logged, text, err)
	}
	r.says("is damaged")
}

// TestLogThatComesLate: that a job has no log is kept only if it ended long ago.
func TestLogThatComesLate(t *testing.T) {
	r := newReading(t, 10)
	r.gitlab.logs = map[int64]string{}
	read := func() string {
		t.Helper()
		text, err := r.reader.Log(t.Context(), 7, 3, now.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if text := read(); text != "" {
		t.Errorf("the log is %q", text)
	}
	r.gitlab.logs[3] = "ERROR: Job failed\n"
	for range 2 {
		if text := read(); text != "ERROR: Job failed\n" || r.gitlab.logged != 2 {
			t.Errorf("after %d requests, the log is %q", r.gitlab.logged, text)
		}
	}
}
