package gitlab_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

func TestPipeline(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{Name: "Nightly", Ref: "v1", Tag: true, Source: "schedule", CreatedAt: noon},
		gitlabtest.Job{Name: "rspec", Status: "failed", StartedAt: noon.Add(time.Second), FinishedAt: noon.Add(time.Minute)})
	got, err := w.client.Pipeline(t.Context(), w.project.ID, p.ID)
	want := event.Pipeline{
		ID: p.ID, IID: 1, Ref: "v1", Tag: true, SHA: p.SHA, Status: "failed", Source: "schedule", Name: "Nightly", URL: p.WebURL,
		CreatedAt: noon, FinishedAt: noon.Add(time.Minute), Duration: 59, QueuedDuration: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestNewestPipelines(t *testing.T) {
	job := gitlabtest.Job{Name: "rspec", Status: "success"}
	mr := &gitlabtest.MergeRequest{IID: 1, SourceBranch: "fast", TargetBranch: "main"}
	for _, version := range []string{"17.0.0", "19.1.0"} {
		w := newFixture(t, gitlabtest.Options{Version: version})
		add := func(p gitlabtest.Pipeline) int64 { return w.AddPipeline(w.project.ID, p, job).ID }
		of := map[string][]int64{}
		for range 30 {
			for _, p := range []gitlabtest.Pipeline{
				{Ref: "main"}, {Ref: "fast"}, {MergeRequest: mr, Ref: "refs/merge-requests/1/head"}, {MergeRequest: mr, Ref: "refs/merge-requests/1/merge"},
			} {
				of[p.Ref] = append([]int64{add(p)}, of[p.Ref]...)
			}
		}
		add(gitlabtest.Pipeline{Ref: "main", Source: "parent_pipeline"})
		for ref, all := range of {
			for n, want := range map[int][]int64{0: nil, 1: all[:1], 25: all[:25], 30: all, 200: all} {
				got, err := w.client.NewestPipelines(t.Context(), w.project.ID, ref, n)
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%s: %d of %s: %v, -want +got:\n%s", version, n, ref, err, diff)
				}
			}
		}
		if got, err := w.client.NewestPipelines(t.Context(), w.project.ID, "gone", 3); len(got) != 0 || err != nil {
			t.Errorf("of no ref: %v: %v", got, err)
		}
	}
}

// A merge request that the token can't see, or that is in another project,
// leaves the ref.
func TestNewestPipelinesOfHiddenMergeRequest(t *testing.T) {
	for _, status := range []int{403, 404} {
		w := newFixture(t, gitlabtest.Options{})
		p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 1, SourceBranch: "fast"}}, gitlabtest.Job{Name: "rspec"})
		w.Fail(gitlabtest.Fault{Path: "/merge_requests/", Status: status})
		got, err := w.client.NewestPipelines(t.Context(), w.project.ID, p.Ref, 3)
		if diff := cmp.Diff([]int64{p.ID}, got); diff != "" || err != nil {
			t.Errorf("%d: %v, -want +got:\n%s", status, err, diff)
		}
	}
}

// updates is a GitLab that lists pipelines by the time of their last change.
type updates struct {
	at       map[int64]time.Time // by pipeline
	requests []string
	between  func() // after each page
}

func (u *updates) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	u.requests = append(u.requests, q.Get("updated_after")+" "+q.Get("page"))
	after, err := time.Parse(time.RFC3339, q.Get("updated_after"))
	page, _ := strconv.Atoi(q.Get("page"))
	if err != nil || q.Get("order_by") != "updated_at" || q.Get("sort") != "asc" || q.Get("per_page") != "100" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var found []int64
	for id, at := range u.at {
		if !at.Before(after) {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	slices.SortStableFunc(found, func(a, b int64) int { return u.at[a].Compare(u.at[b]) })
	from := min((page-1)*100, len(found))
	to := min(from+100, len(found))
	if to < len(found) {
		w.Header().Set("X-Next-Page", strconv.Itoa(page+1))
	}
	var bodies []string
	for _, id := range found[from:to] {
		status := []string{"failed", "success"}[id%2]
		bodies = append(bodies, fmt.Sprintf(`{"id": %d, "status": %q, "updated_at": %q}`, id, status, u.at[id].Format("2006-01-02T15:04:05.000Z")))
	}
	_, _ = w.Write([]byte("[" + strings.Join(bodies, ",") + "]"))
	if u.between != nil {
		u.between()
	}
}

func TestPipelinesSince(t *testing.T) {
	at := map[int64]time.Time{}
	for id := range int64(450) { // 3 a second, but 250 in one
		at[id+1] = noon.Add(time.Duration(min(id, 100)+max(id-350, 0)) * time.Second / 3)
	}
	u := &updates{at: at}
	c, _ := newClient(t, serve(t, u.ServeHTTP))
	u.between = func() { // an old one changes: it goes to the end
		if id := int64(len(u.requests)); id < 4 {
			at[id*7] = noon.Add(time.Hour + time.Duration(id)*time.Second)
		}
	}
	zone := time.FixedZone("", 3600)
	got, err := c.PipelinesSince(t.Context(), 22, noon.Add(1900*time.Millisecond).In(zone))
	if err != nil {
		t.Fatal(err)
	}
	var want, ids []int64
	for id := int64(4); id <= 450; id++ {
		if id > 21 || id%7 != 0 {
			want = append(want, id)
		}
	}
	want = append(want, 7, 14, 21)
	for _, p := range got {
		ids = append(ids, p.ID)
		if !p.UpdatedAt.Equal(at[p.ID].Truncate(time.Millisecond)) {
			t.Errorf("pipeline %d changed at %s, want %s", p.ID, p.UpdatedAt, at[p.ID])
		}
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if u.requests[0] != "2026-11-22T12:00:01Z 1" || len(u.requests) > 8 {
		t.Errorf("requested %q", u.requests)
	}

	got, err = c.PipelinesSince(t.Context(), 22, noon.Add(time.Hour), "failed", "canceled")
	if err != nil || len(got) != 1 || got[0].ID != 14 || got[0].Status != "failed" {
		t.Errorf("failed ones: %v: %v", got, err)
	}
}

// However many there are, the first are given, and the reading ends.
func TestPipelinesSinceIsBounded(t *testing.T) {
	u := &updates{at: map[int64]time.Time{}}
	for id := range int64(10_500) {
		u.at[id+1] = noon.Add(time.Duration(id) * time.Second)
	}
	c, _ := newClient(t, serve(t, u.ServeHTTP))
	since, seen := noon, map[int64]bool{}
	for range 2 {
		got, err := c.PipelinesSince(t.Context(), 22, since)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range got {
			seen[p.ID] = true
		}
		since = got[len(got)-1].UpdatedAt
	}
	if len(seen) != 10_500 || len(u.requests) > 110 {
		t.Errorf("%d pipelines by %d requests", len(seen), len(u.requests))
	}
}

func TestRetryPipeline(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.push("build:success", "rspec:failed", "lint:canceled")
	got, err := w.client.RetryPipeline(t.Context(), w.project.ID, p.ID)
	if err != nil || got.ID != p.ID || got.Status != "running" {
		t.Errorf("pipeline %d is %s: %v", got.ID, got.Status, err)
	}
	for name, runs := range map[string]int{"build": 1, "rspec": 2, "lint": 2} {
		n := 0
		for _, j := range w.Jobs(p.ID) {
			if j.Name == name {
				n++
			}
		}
		if n != runs {
			t.Errorf("%s has %d runs, want %d", name, n, runs)
		}
	}
	w.AddProject(gitlabtest.Project{Path: "platform/other"}) // it keeps its rights elsewhere
	w.SetRole(w.project.ID, gitlabtest.Reporter)
	if _, err = w.client.RetryPipeline(t.Context(), w.project.ID, p.ID); !failureOf(t, err).Rights() {
		t.Errorf("as reporter: %v", err)
	}
}

func TestCancelPipeline(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Stage: "deploy", Name: "deploy"})
	for range 2 { // the second time there is nothing to cancel
		got, err := w.client.CancelPipeline(t.Context(), w.project.ID, p.ID)
		if err != nil || got.Status != "canceled" {
			t.Errorf("pipeline is %s: %v", got.Status, err)
		}
	}
}

func TestArchivedJob(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", Status: "failed", Archived: true})
	job, err := w.client.Job(t.Context(), w.project.ID, w.Latest(p.ID, "rspec").ID)
	if err != nil || !job.Archived {
		t.Errorf("archived %v: %v", job.Archived, err)
	}
}

// Trigger jobs are retried by the same call, where GitLab can.
func TestRetryBridge(t *testing.T) {
	for version, able := range map[string]bool{"16.11.0": false, "17.0.0": true} {
		w := newFixture(t, gitlabtest.Options{Version: version})
		p := w.AddPipeline(w.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "downstream", Bridge: true, Status: "failed"})
		old := w.Latest(p.ID, "downstream")
		run, err := w.client.Retry(t.Context(), w.project.ID, old.ID)
		switch {
		case able && (err != nil || run.ID == old.ID):
			t.Errorf("%s: run %d: %v", version, run.ID, err)
		case !able && failureOf(t, err).Message != "404 Not found (before 17.0, GitLab retries no trigger job through its API)":
			t.Errorf("%s: %v", version, err)
		}
	}
}
