package follow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/follow"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// What becomes of a retried job is an outcome of its own.
func TestFollowed(t *testing.T) {
	for _, c := range []struct {
		name   string
		ends   string
		reason string
		want   []string
		says   string
	}{
		{"passes", "success", "", []string{event.ResultDone, event.ResultRecovered}, "attempt 2 passed, after stuck_or_timeout_failure"},
		{"fails for another reason that no rule retries", "failed", "script_failure", []string{event.ResultDone, event.ResultGaveUp}, "attempt 2 failed for another reason: script_failure, before it was stuck_or_timeout_failure"},
		{"fails for another reason that a rule retries", "failed", "runner_system_failure", []string{event.ResultDone, event.ResultDone}, "attempt 3 of 3; it failed with runner_system_failure, and before with stuck_or_timeout_failure"},
		{"fails again", "failed", actionstest.Stuck, []string{event.ResultDone, event.ResultDone}, "attempt 3 of 3"},
		{"is canceled", "canceled", "", []string{event.ResultDone}, "attempt 2 of 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, actionstest.RetryRules)
			job := h.FailedJob(actionstest.Stuck)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
			again := h.GitLab.Latest(job.PipelineID, "rspec")
			h.GitLab.Run(again.ID)
			h.GitLab.Finish(again.ID, c.ends, c.reason)
			for range 2 { // of a group's hook, too
				h.Deliver(h.GitLab.JobHookBody(again.ID))
			}
			h.WorkOff()
			var got []string
			var last event.Outcome
			for _, o := range h.Outcomes() {
				got, last = append(got, o.Result), o
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("outcomes %v, want %v", got, c.want)
			}
			actionstest.Has(t, last.Reason, c.says)
		})
	}
}

// The outcome of an ended retry has why the run before failed and how long both took, also
// where the attempts are used up.
func TestRetriedRunInOutcomes(t *testing.T) {
	for _, c := range []struct{ ends, reason, result string }{
		{"success", "", event.ResultRecovered},
		{"failed", "script_failure", event.ResultGaveUp},        // no rule retries it
		{"failed", "runner_system_failure", event.ResultGaveUp}, // the rule allows no more attempts
	} {
		h := actionstest.New(t, strings.Replace(actionstest.RetryRules, "max_attempts: 3", "max_attempts: 2", 1))
		h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		run := func(seconds int, status, reason string) {
			h.GitLab.Run(h.GitLab.Latest(h.Pipeline.ID, "rspec").ID)
			h.Clock.Advance(time.Duration(seconds) * time.Second)
			h.GitLab.Finish(h.GitLab.Latest(h.Pipeline.ID, "rspec").ID, status, reason)
			h.Deliver(h.GitLab.JobHookBody(h.GitLab.Latest(h.Pipeline.ID, "rspec").ID))
			h.WorkOff()
		}
		run(90, "failed", actionstest.Stuck)
		failed := h.GitLab.Jobs(h.Pipeline.ID)
		run(30, c.ends, c.reason)
		all := h.Outcomes()
		last := all[len(all)-1]
		started := h.GitLab.Latest(h.Pipeline.ID, "rspec").StartedAt
		want := event.Retried{FailureReason: actionstest.Stuck, FailureClass: "stuck", FailedSeconds: 90, NewSeconds: 30, DelaySeconds: started.Sub(failed[0].FinishedAt).Seconds()}
		if last.Result != c.result || last.Retried != want || want.DelaySeconds <= 0 {
			t.Errorf("%s with %q: %s (%s) of %+v, want %s of %+v", c.ends, c.reason, last.Result, last.Reason, last.Retried, c.result, want)
		}
	}
}

// The result of a retry whose job has ended already, as after a crash, has the times of that
// job, not those of the run before.
func TestTimesOfAnEndedRun(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, status := range []string{"success", "failed"} {
		var o event.Outcome
		o.Action.Verb, o.Result, o.NewJobID = event.VerbRetry, event.ResultDone, 8
		o.Job = event.Job{ID: 7, Name: "rspec", Status: "failed", Duration: 600, FinishedAt: now.Add(-time.Hour)}
		c, err := follow.Retries{Now: func() time.Time { return now }}.Retried(o, event.Job{ID: 8, Status: status, Duration: 5, FinishedAt: now})
		if err != nil || len(c.Next) != 1 {
			t.Fatalf("%s: %+v, %v", status, c, err)
		}
		var result event.Outcome
		if err := json.Unmarshal(c.Next[0].Body, &result); err != nil || result.Job.ID != 8 || result.Job.Duration != 5 || !result.Job.FinishedAt.Equal(now) {
			t.Errorf("%s: the result is of job %+v: %v", status, result.Job, err)
		}
	}
}

// The last attempt that fails is reported once, and once only.
func TestGaveUpOnce(t *testing.T) {
	h := actionstest.New(t, actionstest.RetryRules)
	job := h.FailedJob(actionstest.Stuck)
	for range 3 {
		for range 2 {
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
		}
		if latest := h.GitLab.Latest(job.PipelineID, "rspec"); latest.ID != job.ID {
			job = latest
			h.GitLab.Run(job.ID)
			h.GitLab.Finish(job.ID, "failed", actionstest.Stuck)
		}
	}
	gaveUp := 0
	for _, o := range h.Outcomes() {
		if o.Result == event.ResultGaveUp {
			gaveUp++
			actionstest.Has(t, o.Reason, "3 attempts failed, as many as the rule allows")
		}
	}
	if n := h.GitLab.Count("POST", "/retry"); n != 2 || gaveUp != 1 {
		t.Errorf("%d retries and gave up %d times, want 2 and once", n, gaveUp)
	}
}

// A rule for pipelines retries what the job's own event knows no rule for:
// that it gave up is reported when it has, and once.
func TestGaveUpOnceByARuleForPipelines(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - {name: r, on: pipeline, if: 'pipeline.status == "failed"', actions: [retry: {jobs: 'filter(pipeline.jobs, .status == "failed")'}]}
`)
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	for range 3 {
		h.Deliver(h.GitLab.JobHookBody(h.End("rspec", "failed", actionstest.Stuck)))
		h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
		h.WorkOff()
	}
	h.WantResults(event.ResultDone, event.ResultDone, event.ResultGaveUp)
}

// killedAfterRetry returns a scene in which a job has failed, and the program died right after
// its request to retry it. The new run has failed meanwhile.
func killedAfterRetry(t *testing.T) (h *actionstest.Harness, again gitlabtest.Job) {
	t.Helper()
	for steps := 1; ; steps++ {
		h = actionstest.New(t, actionstest.RetryRules)
		job := h.FailedJob(actionstest.Stuck)
		h.Deliver(h.GitLab.JobHookBody(job.ID))
		h.Start(actionstest.NewFuse(steps))
		h.PassTime()
		if h.GitLab.Count("POST", "/retry") == 0 {
			continue
		}
		again = h.GitLab.Latest(job.PipelineID, "rspec")
		h.GitLab.Run(again.ID)
		h.Clock.Advance(90 * time.Second)
		h.GitLab.Finish(again.ID, "failed", "runner_system_failure")
		return h, again
	}
}

// A run that failed while the program was down is retried by its rule, which nobody is told
// that it does not, whether its event comes before that of the retry is found, or later. If
// none comes, the outcome is that of the new run.
func TestRunFailsWhileKilled(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, 2 * time.Minute, 40 * time.Minute} {
		t.Run(late.String(), func(t *testing.T) {
			t.Parallel()
			h, again := killedAfterRetry(t)
			if late == 0 {
				h.Deliver(h.GitLab.JobHookBody(again.ID))
			}
			h.Start(actionstest.NewFuse(-1))
			h.Pass(late, 30*time.Second)
			if late > 0 {
				h.Deliver(h.GitLab.JobHookBody(again.ID))
			}
			h.WorkOff()
			h.WantResults(event.ResultDone, event.ResultDone)
			last := h.GitLab.Latest(again.PipelineID, "rspec")
			h.GitLab.Run(last.ID)
			h.GitLab.Finish(last.ID, "success", "")
			h.Deliver(h.GitLab.JobHookBody(last.ID))
			h.WorkOff()
			h.WantResults(event.ResultDone, event.ResultDone, event.ResultRecovered)
		})
	}
	t.Run("no event", func(t *testing.T) {
		t.Parallel()
		h, again := killedAfterRetry(t)
		h.Start(actionstest.NewFuse(-1))
		h.WorkOff()
		h.WantResults(event.ResultDone, event.ResultGaveUp)
		job := h.Outcomes()[1].Job
		if job.ID != again.ID || !strings.HasSuffix(job.URL, fmt.Sprintf("/jobs/%d", again.ID)) || job.FailureClass != "runner" || job.Duration != 90 {
			t.Errorf("the outcome is of %+v, want job %d", job, again.ID)
		}
	})
}

// The same wherever it is killed.
func TestRunFailsKilledTwice(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	actionstest.KilledTwice(t, func(h *actionstest.Harness) {
		job := h.FailedJob(actionstest.Stuck)
		h.Deliver(h.GitLab.JobHookBody(job.ID))
		seen := map[int64]bool{job.ID: true}
		h.Meanwhile = func() {
			again := h.GitLab.Latest(job.PipelineID, "rspec")
			if seen[again.ID] {
				return
			}
			seen[again.ID] = true
			status, reason := "failed", actionstest.Stuck
			if len(seen) == 3 {
				status, reason = "success", ""
			}
			h.GitLab.Run(again.ID)
			h.GitLab.Finish(again.ID, status, reason)
			h.Deliver(h.GitLab.JobHookBody(again.ID))
		}
	}, actionstest.RetryRules, func(h *actionstest.Harness, when string) {
		var got []string
		for _, o := range h.Outcomes() {
			got = append(got, o.Result)
		}
		if want := []string{event.ResultDone, event.ResultDone, event.ResultRecovered}; fmt.Sprint(got) != fmt.Sprint(want) {
			h.Errorf("%s: outcomes %v, want %v", when, got, want)
		}
	})
}

// How a run of ours ended that others ran again at once is with the outcome of its retry:
// nothing else says it.
func TestEndOfARunThatOthersRetry(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	job := h.FailedJob(actionstest.Stuck)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	again := h.GitLab.Latest(job.PipelineID, "rspec")
	h.GitLab.Run(again.ID)
	h.Clock.Advance(90 * time.Second)
	h.GitLab.Finish(again.ID, "failed", "script_failure") // which no rule wants
	h.Deliver(h.GitLab.JobHookBody(again.ID))
	h.Work()
	h.MustRetry(again.ID)
	h.WorkOff()
	o := h.Only()
	if o.Result != event.ResultDone || o.NewRun.ID != again.ID || o.NewRun.Status != "failed" || o.NewRun.Duration != 90 {
		t.Errorf("%s: the new run is %+v, want job %d", o.Result, o.NewRun, again.ID)
	}
	r, err := report.Reader{Journal: h.DB, Now: h.Now, Prices: h.Rules.Load().Prices, MaxEntries: report.DefaultMaxEntries, Kept: store.DefaultJournalTTL}.Report(t.Context(), report.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Total.Retries; got.Started != 1 || got.Failed != 1 || got.Open != 0 || got.FailedAgain.Seconds != 90 {
		t.Errorf("the report has %+v, want 90 s of a failed run", got)
	}
}

// The result of a retry is queued once, also where the end of its run is evaluated again when
// the store has forgotten the result's record.
func TestResultOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ ends, reason, result string }{
		{"success", "", event.ResultRecovered},
		{"failed", "script_failure", event.ResultGaveUp},
	} {
		h := actionstest.New(t, actionstest.RetryRules)
		job := h.FailedJob(actionstest.Stuck)
		h.Deliver(h.GitLab.JobHookBody(job.ID))
		h.WorkOff()
		again := h.GitLab.Latest(job.PipelineID, "rspec")
		h.GitLab.Run(again.ID)
		h.GitLab.Finish(again.ID, c.ends, c.reason)
		h.Deliver(h.GitLab.JobHookBody(again.ID))
		h.WorkOff()
		h.WantResults(event.ResultDone, c.result)
		before := h.Outcomes()[1]
		h.Clock.Advance(store.DefaultDedupeTTL + time.Hour)
		h.Deliver(h.GitLab.JobHookBody(again.ID))
		h.WorkOff()
		h.WantResults(event.ResultDone, c.result)
		if after := h.Outcomes()[1]; !after.At.Equal(before.At) {
			t.Errorf("%s: the result of %s is queued again at %s", c.ends, before.At, after.At)
		}
	}
}

// A run of ours that was canceled has ended: it says nothing for or against retries.
func TestCanceledRun(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	job := h.FailedJob(actionstest.Stuck)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	again := h.GitLab.Latest(job.PipelineID, "rspec")
	h.GitLab.Run(again.ID)
	h.Clock.Advance(90 * time.Second)
	h.GitLab.Finish(again.ID, "canceled", "")
	for range 2 {
		h.Deliver(h.GitLab.JobHookBody(again.ID))
		h.WorkOff()
	}
	o := h.Only()
	if o.Result != event.ResultDone || o.NewRun.ID != again.ID || o.NewRun.Status != "canceled" {
		t.Errorf("%s: the new run is %+v, want job %d, canceled", o.Result, o.NewRun, again.ID)
	}
	r, err := report.Reader{Journal: h.DB, Now: h.Now, Prices: h.Rules.Load().Prices, MaxEntries: report.DefaultMaxEntries, Kept: store.DefaultJournalTTL}.Report(t.Context(), report.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Total.Retries; got.Started != 1 || got.Canceled != 1 || got.Open != 0 || got.Passed+got.Failed != 0 || got.PassRate != nil {
		t.Errorf("the report has %+v, want one canceled run", got)
	}
	counted, err := h.DB.Get(t.Context(), keys.Counted(o.Meta.Instance, again.ID))
	if err != nil || counted != nil {
		t.Errorf("the ledger counts the canceled run: %q, %v", counted, err)
	}
}
