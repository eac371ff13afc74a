package gitlabtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// long is when the old jobs of these tests ended.
var long = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// oldJob fails every third time, is skipped every seventh, and has a log.
func oldJob(i int) gitlabtest.Job {
	at := long.Add(time.Duration(i) * time.Minute)
	j := gitlabtest.Job{Name: "rspec", Status: "success", CreatedAt: at, StartedAt: at, FinishedAt: at.Add(time.Minute), LogSize: 1000 + int64(i)}
	switch {
	case i%7 == 0:
		return gitlabtest.Job{Name: "rspec", Status: "skipped", CreatedAt: at}
	case i%3 == 0:
		j.Status = "failed"
	case i%2 == 0:
		j.Artifacts = []gitlabtest.Artifact{gitlabtest.Archive}
	}
	return j
}

// oldPipeline is of a tag every second time.
func oldPipeline(i int) gitlabtest.Pipeline {
	if i%2 == 0 {
		return gitlabtest.Pipeline{Ref: fmt.Sprintf("v%d", i), Tag: true, SHA: fmt.Sprintf("%040d", i)}
	}
	return gitlabtest.Pipeline{Ref: "main"}
}

// withOldJobs has two kept jobs (1001 and 1002), then old ones from 1003 on,
// then one more kept job.
func withOldJobs(t testing.TB, n, perPipeline int, change ...func(*gitlabtest.Options)) (*gitlabtest.Server, gitlabtest.OldJobs) {
	o := gitlabtest.Options{Now: func() time.Time { return long.AddDate(1, 0, 0) }}
	for _, f := range change {
		f(&o)
	}
	gl := gitlabtest.Start(t, o)
	gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	gl.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "a", Status: "failed"}, gitlabtest.Job{Name: "b", Status: "success"})
	old := gl.AddOldJobs(1, gitlabtest.OldJobs{Count: n, PerPipeline: perPipeline, Job: oldJob, Pipeline: oldPipeline})
	gl.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "a", Status: "success"})
	return gl, old
}

// Old jobs and kept ones are one list, whatever the page's size and the scope.
func TestOldJobsAreListed(t *testing.T) {
	t.Parallel()
	const n = 50
	gl, old := withOldJobs(t, n, 4)
	if old.FirstJob != 1003 || old.FirstPipeline != 102 {
		t.Fatalf("%+v", old)
	}
	all := []int64{1003 + n}
	var failed []int64
	for id := int64(1003 + n - 1); id > 1002; id-- {
		all = append(all, id)
		if gl.Job(id).Status == "failed" {
			failed = append(failed, id)
		}
	}
	all, failed = append(all, 1002, 1001), append(failed, 1001)
	for _, perPage := range []int{1, 3, 20, 100} {
		for query, want := range map[string][]int64{"": all, "&scope[]=failed": failed} {
			for _, paging := range []string{"", "&pagination=keyset&order_by=id&sort=desc"} {
				var got []int64
				for url := fmt.Sprintf("/projects/1/jobs?per_page=%d%s%s", perPage, query, paging); url != ""; {
					r := ask(t, gl, "GET", url, "")
					got = append(got, r.ids(t)...)
					url = next(r.header)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("by %d%s%s: -want +got:\n%s", perPage, query, paging, diff)
				}
			}
		}
	}
}

// A made job looks like a kept one wherever it is looked at.
func TestOldJobIsAJob(t *testing.T) {
	t.Parallel()
	gl, _ := withOldJobs(t, 10, 4)
	const job, pipeline = "/projects/1/jobs/1005", "/projects/1/pipelines/102" // oldJob(2)
	o := ask(t, gl, "GET", job, "").object(t)
	if o["status"] != "success" || o["tag"] != true || o["ref"] != "v0" || o["finished_at"] != "2026-01-01T00:03:00.000Z" ||
		o["web_url"] != gl.URL()+"/platform/shop/-/jobs/1005" || o["erased_at"] != nil {
		t.Errorf("%v", o)
	}
	wantArtifacts := []any{
		map[string]any{"file_type": "archive", "size": 1000., "filename": "artifacts.zip", "file_format": "zip"},
		map[string]any{"file_type": "trace", "size": 1002., "filename": "job.log", "file_format": "raw"},
	}
	if diff := cmp.Diff(wantArtifacts, o["artifacts"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	wantPipeline := map[string]any{
		"id": 102., "iid": 2., "project_id": 1., "sha": fmt.Sprintf("%040d", 0), "ref": "v0", "status": "failed", "source": "push",
		"created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:04:00.000Z", "web_url": gl.URL() + "/platform/shop/-/pipelines/102",
	}
	if diff := cmp.Diff(wantPipeline, o["pipeline"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if log := ask(t, gl, "GET", job+"/trace", ""); len(log.body) != 1002 {
		t.Errorf("the log has %d bytes: %s", len(log.body), log.body)
	}
	if o := ask(t, gl, "GET", "/projects/1/jobs/1003", "").object(t); o["status"] != "skipped" || o["finished_at"] != nil || len(o["artifacts"].([]any)) != 0 {
		t.Errorf("a job that never ran: %v", o)
	}
	if got := ask(t, gl, "GET", pipeline, "").object(t); got["status"] != "failed" || got["tag"] != true {
		t.Errorf("%v", got)
	}
	for path, want := range map[string][]int64{
		pipeline + "/jobs":                         {1006, 1005, 1004, 1003},
		"/projects/1/pipelines/104/jobs":           {1012, 1011}, // the last of them has the rest
		"/projects/1/pipelines":                    {105, 104, 103, 102, 101},
		"/projects/1/pipelines?sort=asc":           {101, 102, 103, 104, 105},
		"/projects/1/pipelines?ref=v2":             {104},
		"/projects/1/pipelines?ref=main":           {105, 103, 101},
		"/projects/1/pipelines?status=success":     {105},
		"/projects/1/pipelines?per_page=2&page=2":  {103, 102},
		"/projects/1/pipelines?per_page=2&page=10": {},
	} {
		if diff := cmp.Diff(want, ask(t, gl, "GET", path, "").ids(t)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", path, diff)
		}
	}
	for _, path := range []string{"/projects/1/jobs/1014", "/projects/1/pipelines/106", "/projects/1/pipelines/106/jobs"} {
		if r := ask(t, gl, "GET", path, ""); r.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	for _, url := range []string{gl.Job(1005).WebURL, gl.Pipeline(102).WebURL, gl.Project(1).WebURL} {
		if r := ask(t, gl, "GET", url, ""); r.status != http.StatusOK {
			t.Errorf("%s: %d", url, r.status)
		}
	}
}

// Old jobs can be erased, and are erased from then on; that is all.
func TestOldJobIsErased(t *testing.T) {
	t.Parallel()
	gl, _ := withOldJobs(t, 10, 4)
	for _, want := range []int{http.StatusCreated, http.StatusForbidden} { // there is nothing left
		if r := ask(t, gl, "POST", "/projects/1/jobs/1005/erase", ""); r.status != want {
			t.Errorf("%d %s, want %d", r.status, r.body, want)
		}
	}
	gl.Job(1012) // of another pipeline
	o := ask(t, gl, "GET", "/projects/1/jobs/1005", "").object(t)
	if o["erased_at"] != "2027-01-01T00:00:00.000Z" || len(o["artifacts"].([]any)) != 0 || o["artifacts_file"] != nil {
		t.Errorf("%v", o)
	}
	if j := gl.Job(1004); !j.ErasedAt.IsZero() || j.LogSize != 1001 {
		t.Errorf("another job: %+v", j)
	}
	if err := gl.Erase(1003); err == nil {
		t.Error("a job without a log was erased")
	}
	for path, want := range map[string]int{
		"/jobs/1006/retry": 403, "/jobs/1006/play": 400, "/jobs/1006/cancel": 201, "/pipelines/102/retry": 201, "/pipelines/102/cancel": 200,
	} {
		if r := ask(t, gl, "POST", "/projects/1"+path, ""); r.status != want {
			t.Errorf("%s: %d %s, want %d", path, r.status, r.body, want)
		}
	}
	if diff := cmp.Diff([]string{"rspec skipped", "rspec success", "rspec success", "rspec failed"}, runs(gl, 102)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Long lists have no totals.
func TestNoTotalsOfLongLists(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{9998: "10000", 9999: ""} {
		gl, _ := withOldJobs(t, n, 1)
		r := ask(t, gl, "GET", "/projects/1/pipelines?per_page=1&page=7", "")
		if got := r.header.Get("X-Total"); got != want || r.header.Get("X-Next-Page") != "8" {
			t.Errorf("%d pipelines: %v", n+2, r.header)
		}
	}
}

// Old jobs cost no memory, but for those that are erased.
func TestOldJobsAreNotKept(t *testing.T) {
	gl, old := withOldJobs(t, 1_000_000, 10)
	before := heap()
	for id := old.FirstJob; id < old.FirstJob+1_000_000; id += 1_000 {
		if gl.Job(id).ID != id {
			t.Fatalf("job %d is another one", id)
		}
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes were kept", grown)
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // no machine has so much
}

// BenchmarkKeysetPages pages through a million jobs, again and again.
func BenchmarkKeysetPages(b *testing.B) {
	for _, perPage := range []int{20, 100} {
		b.Run(strconv.Itoa(perPage), func(b *testing.B) {
			gl, _ := withOldJobs(b, 1_000_000, 10, func(o *gitlabtest.Options) { o.ForgetRequests = true })
			first := fmt.Sprintf("/api/v4/projects/1/jobs?pagination=keyset&order_by=id&sort=desc&per_page=%d", perPage)
			jobs := 0
			b.ReportAllocs()
			for url := first; b.Loop(); {
				w := answered{header: http.Header{}}
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, url, http.NoBody)
				r.Header.Set("Private-Token", gitlabtest.DefaultToken)
				gl.ServeHTTP(&w, r)
				jobs += perPage
				if url = next(w.header); url == "" {
					url = first
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(jobs), "ns/job")
		})
	}
}

// answered is an answer of which only the headers matter.
type answered struct{ header http.Header }

var _ http.ResponseWriter = (*answered)(nil)

func (a *answered) Header() http.Header         { return a.header }
func (a *answered) WriteHeader(int)             {}
func (a *answered) Write(b []byte) (int, error) { return len(b), nil }
