package actions_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store"
)

// TestBacklogAtFullRate: a backlog of retries takes as long as its requests take
// at the rate. Retries share what they read first, so there are few requests
// besides the retries themselves, no more are granted in a minute than GitLab
// allows, and it never answers 429. How many are shared depends on which records
// come together, so the bound is wide. The simulated GitLab allows as many more
// as there are workers: the clock moves while requests are on their way, by as
// much as the machine is busy.
func TestBacklogAtFullRate(t *testing.T) {
	t.Parallel()
	const pipelines, each = 3, 100
	const perMinute, workers, most = 300, 298, pipelines * each * 3 / 2
	h := actionstest.NewOn(t, gitlabtest.Options{RateLimit: perMinute + workers}, fmt.Sprintf(actionstest.FailedRules, "limits: {per_pipeline: 1000, per_project: 1000/1h}\nstorm: {failures: 10000}"))
	// As `serve` makes them of `--gitlab-rate 300/1m`.
	h.Rate, h.Workers = store.Rate{Limit: 298, Per: time.Minute, Burst: 3}, workers
	h.Start(actionstest.NewFuse(-1))
	for range pipelines {
		var jobs []gitlabtest.Job
		for i := range each {
			jobs = append(jobs, gitlabtest.Job{Name: fmt.Sprintf("test-%d", i)})
		}
		h.AddPipeline(gitlabtest.Pipeline{}, jobs...)
		for _, job := range h.GitLab.Jobs(h.Pipeline.ID) {
			h.GitLab.Run(job.ID)
			h.GitLab.Finish(job.ID, "failed", actionstest.Stuck)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
		}
	}
	begin := h.Now()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		defer stop()
		for {
			d, err := h.DB.Depth(t.Context())
			if err != nil || d.Due+d.Waiting+d.Leased == 0 {
				return
			}
			if d.Due+d.Leased == 0 {
				h.Clock.Advance(time.Second) // nobody waits for GitLab, who would move it
			}
			if err := h.DB.Wait(t.Context(), 20*time.Millisecond); err != nil {
				return
			}
		}
	}()
	h.Runner.Run(ctx, time.Minute)
	took := h.Grants.Last().Sub(begin) // Slack is notified later
	if n := h.GitLab.Count("POST", "/retry"); n != pipelines*each {
		t.Errorf("%d retries, want %d", n, pipelines*each)
	}
	refused := 0
	for _, r := range h.GitLab.Requests() {
		if r.Status == 429 {
			refused++
		}
	}
	if refused > 0 {
		t.Errorf("GitLab answered 429 %d times, want never", refused)
	}
	h.Grants.WantAtMost(h, perMinute)
	requests := len(h.GitLab.Requests())
	if requests > most {
		t.Errorf("%d requests for %d retries, want at most %d", requests, pipelines*each, most)
	}
	if atRate := time.Duration(requests) * time.Minute / perMinute; took > atRate+atRate/20 {
		t.Errorf("%d requests took %s of simulated time, want at most a twentieth more than %s", requests, took, atRate)
	}
}

// WorkOff ends when there is nothing more that it could do: what another
// replica has in flight does not count.
func TestWorkOff(t *testing.T) {
	h := actionstest.New(t, fmt.Sprintf(actionstest.FailedRules, ""))
	if _, err := h.DB.Put(t.Context(), store.Record{ID: "another's", Kind: "event", Body: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if others, err := h.DB.Lease(t.Context(), 1, time.Hour); err != nil || len(others) != 1 {
		t.Fatalf("%v, %v", others, err)
	}
	job := h.FailedJob(actionstest.Stuck)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.Runner.WorkOff(t.Context(), time.Minute)
	if n := h.GitLab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1\n%s", n, h.Logs)
	}
	if d, err := h.DB.Depth(t.Context()); err != nil || d != (store.Depth{Leased: 1}) {
		t.Errorf("left in the queue: %+v, %v", d, err)
	}
}

// What waited often on purpose is tried again soon after GitLab has failed once.
func TestFailuresAfterWaits(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - {name: r, on: pipeline, actions: [play: {jobs: 'sortBy(filter(pipeline.jobs, .status == "manual"), .id)', wait: success}]}
`)
	pipeline := h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one", When: "manual"}, gitlabtest.Job{Name: "two", When: "manual"})
	h.Deliver(h.GitLab.PipelineHookBody(pipeline.ID))
	h.Work()
	h.GitLab.Run(h.GitLab.Latest(pipeline.ID, "one").ID)
	for range 30 { // it checks whether one has passed
		h.Clock.Advance(time.Minute)
		h.Work()
	}
	h.GitLab.Finish(h.GitLab.Latest(pipeline.ID, "one").ID, "success", "")
	h.GitLab.Fail(gitlabtest.Fault{Method: "POST", Path: "/play", Status: 502, Times: 1})
	played := func(times int) time.Time {
		for h.GitLab.Count("POST", "/play") < times {
			h.Clock.Advance(time.Second)
			h.Work()
		}
		return h.Now()
	}
	failed := played(2)
	if took := played(3).Sub(failed); took > 10*time.Second {
		t.Errorf("tried again %s after GitLab failed", took)
	}
}
