package pause_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

const gateRules = `
version: 1
defaults: {channel: "#ci", dry_run: %t}
rules:
  - name: first
    on: job
    if: job.status == "failed"
    actions: [%s]
    notify: [{}]
`

// TestStopOfQueuedDecisions: a decision that was made before the stop is stopped when it is
// due, and is not carried out when the stop ends.
func TestStopOfQueuedDecisions(t *testing.T) {
	t.Parallel()
	running := fmt.Sprintf(gateRules, false, "retry: {delay: 10m}")
	_, rule, _ := strings.Cut(running, "rules:\n")
	second := strings.ReplaceAll(rule, "first", "second")
	for _, test := range []struct {
		name   string
		before string // the rule file; default: running
		after  string // the rule file when the retry is due; default: before
		o      rulefile.Options
		result string
		says   string
		calls  int
	}{
		{name: "nothing has changed", result: event.ResultDone, calls: 1},
		{name: "the process is restarted with --dry-run", o: rulefile.Options{DryRun: true}, result: event.ResultDryRun},
		{name: "defaults.dry_run is loaded", after: fmt.Sprintf(gateRules, true, "retry: {delay: 10m}"), result: event.ResultDryRun},
		{name: "the rule is put in dry run", after: strings.Replace(running, "on: job", "on: job\n    dry_run: true", 1), result: event.ResultDryRun},
		{name: "the rule is removed", after: strings.ReplaceAll(running, "first", "another"), result: event.ResultSkipped, says: `rule "first" is not in force any more`},
		{name: "the rule is for other events now", after: strings.NewReplacer("on: job", "on: pipeline", "job.status", "pipeline.status", "retry: {delay: 10m}", "retry_pipeline").Replace(running), result: event.ResultSkipped, says: `rule "first" is not in force any more`},
		{name: "the action is removed", after: fmt.Sprintf(gateRules, false, "cancel"), result: event.ResultSkipped, says: `rule "first" has no action retry any more`},
		{name: "the action has other parameters now", after: fmt.Sprintf(gateRules, false, "retry: {delay: 1m, max_attempts: 5}"), result: event.ResultDone, calls: 1},
		{name: "another rule wants the same still", before: running + second, after: strings.ReplaceAll(running, "first", "second"), result: event.ResultDone, calls: 1},
		{name: "the rules that want it are in dry run now", before: running + second, after: fmt.Sprintf(gateRules, true, "retry: {delay: 10m}") + second, result: event.ResultDryRun},
		{name: "it was in dry run when it was decided", before: fmt.Sprintf(gateRules, true, "retry: {delay: 10m}"), after: running, result: event.ResultDryRun},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := test.before
			if before == "" {
				before = running
			}
			h := actionstest.New(t, before)
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
			h.Work()
			if after := test.after; after == "" {
				h.Load(before, test.o)
			} else {
				h.Load(after, test.o)
			}
			h.WorkOff()
			h.WantOutcome(test.result, test.says, "/retry", test.calls)

			h.Load(before, rulefile.Options{}) // the stop ends
			h.Clock.Advance(time.Hour)
			h.Work()
			h.WantOutcome(test.result, test.says, "/retry", test.calls)
			if test.calls == 0 && h.GitLab.Count("POST", "") > 0 {
				t.Errorf("a request that changes something was sent to GitLab")
			}
		})
	}
}

// TestStopWhileARequestWaits: the gate is checked once more when the request has
// waited for the rate limit.
func TestStopWhileARequestWaits(t *testing.T) {
	running := fmt.Sprintf(gateRules, false, "retry")
	for _, test := range []struct {
		name   string
		pull   func(h *actionstest.Harness)
		result string
	}{
		{"dry run", func(h *actionstest.Harness) { h.Load(running, rulefile.Options{DryRun: true}) }, event.ResultDryRun},
		{"a pause", func(h *actionstest.Harness) { _, _ = h.Pauses().Pause(context.Background(), event.Pause{}, false, "") }, event.ResultDeferred},
		{"the rule is removed", func(h *actionstest.Harness) {
			h.Load(strings.ReplaceAll(running, "first", "another"), rulefile.Options{})
		}, event.ResultSkipped},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := actionstest.New(t, running)
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
			var pulled atomic.Bool
			h.Fuse.Before = func(what string) {
				if what == "GET" && pulled.CompareAndSwap(false, true) { // the job's state is read: the action was not stopped before
					test.pull(h)
				}
			}
			h.Work()
			h.WantOutcome(test.result, "", "/retry", 0)
		})
	}
}

// TestPause: what comes in while paused is decided and waits, and is checked
// against the job's real state afterwards.
func TestPause(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		pause event.Pause
		stops bool
	}{
		{"everything", event.Pause{}, true},
		{"the project", event.Pause{Project: "platform/*"}, true},
		{"another project", event.Pause{Project: "mobile/*"}, false},
		{"the rule", event.Pause{Rule: "first"}, true},
		{"another rule", event.Pause{Rule: "second"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf(gateRules, false, "retry"))
			test.pause.By, test.pause.Reason = "ann", "the cluster moves"
			if _, err := h.Pauses().Pause(t.Context(), test.pause, false, ""); err != nil {
				t.Fatal(err)
			}
			h.Start(actionstest.NewFuse(-1)) // it survives a restart
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
			for range 30 {
				h.Work()
				h.Clock.Advance(time.Minute)
			}
			if !test.stops {
				h.WantOutcome(event.ResultDone, "", "/retry", 1)
				return
			}
			h.WantOutcome(event.ResultDeferred, "by ann: the cluster moves", "/retry", 0)
			if ended, err := h.Pauses().Resume(t.Context(), test.pause, event.Actor{By: "ann"}); ended == nil || err != nil {
				t.Fatalf("resume: %v, %v", ended, err)
			}
			h.WorkOff()
			h.WantOutcome(event.ResultDone, "", "/retry", 1)
		})
	}
}

// TestPauseEnds: a pause with an end needs nobody to end it; what changed
// meanwhile counts.
func TestPauseEnds(t *testing.T) {
	h := actionstest.New(t, fmt.Sprintf(gateRules, false, "retry"))
	if _, err := h.Pauses().Pause(t.Context(), event.Pause{Until: h.Now().Add(2 * time.Hour)}, false, ""); err != nil {
		t.Fatal(err)
	}
	mended, job := h.FailedJob(actionstest.Stuck), h.FailedJob(actionstest.Stuck)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.Deliver(h.GitLab.JobHookBody(mended.ID))
	h.Work()
	again := h.MustRetry(mended.ID) // a person was faster
	h.Clock.Advance(time.Hour)
	h.Work()
	h.WantResults(event.ResultDeferred, event.ResultDeferred)
	h.Clock.Advance(time.Hour)
	h.WorkOff()
	h.WantResults(event.ResultDone, event.ResultSkipped)
	for _, o := range h.Outcomes() {
		if o.Job.ID == mended.ID && !strings.Contains(o.Reason, fmt.Sprintf("already retried as job %d", again.ID)) {
			t.Errorf("the outcome on the job that a person retried is %s (%s)", o.Result, o.Reason)
		}
	}
}

// TestPauseTakesNoBudget: what waits in a pause has used nothing of what others
// need after it.
func TestPauseTakesNoBudget(t *testing.T) {
	h := actionstest.New(t, "version: 1\nlimits: {total: 1/1h}\nrules:\n  - {name: first, on: job, if: 'job.status == \"failed\"', actions: [retry]}\n")
	if _, err := h.Pauses().Pause(t.Context(), event.Pause{Project: "platform/*"}, false, ""); err != nil {
		t.Fatal(err)
	}
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	h.Work()
	h.Pipeline = h.GitLab.AddPipeline(h.GitLab.AddProject(gitlabtest.Project{Path: "mobile/app"}).ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	h.Deliver(h.GitLab.JobHookBody(h.End("rspec", "failed", actionstest.Stuck)))
	h.Work()
	if n := h.GitLab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries of the project that is not paused, want 1", n)
	}
}

// TestPausesByManyReplicas: they change the pauses at the same time, and none
// is lost.
func TestPausesByManyReplicas(t *testing.T) {
	h := actionstest.New(t, fmt.Sprintf(gateRules, false, "retry"))
	failed := make(chan error, 10)
	for i := range cap(failed) {
		go func() {
			_, err := h.Pauses().Pause(t.Context(), event.Pause{Project: fmt.Sprintf("team-%d/**", i)}, false, "")
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	all, err := h.Pauses().List(t.Context())
	if err != nil || len(all) != cap(failed) {
		t.Errorf("%d pauses, %v, want %d", len(all), err, cap(failed))
	}
	again := event.Pause{Project: "team-3/**", Reason: "again"}
	if _, err := h.Pauses().Pause(t.Context(), again, false, ""); err != nil {
		t.Error(err)
	}
	if all, _ := h.Pauses().List(t.Context()); len(all) != cap(failed) || all[len(all)-1].Reason != "again" {
		t.Errorf("pauses %v, want the same ones, one of them anew", all)
	}
	if ended, err := h.Pauses().ResumeAll(t.Context(), event.Actor{By: "ann"}); len(ended) != cap(failed) || err != nil {
		t.Errorf("resumed %v, %v", ended, err)
	}
	if all, err := h.Pauses().List(t.Context()); len(all) != 0 || err != nil {
		t.Errorf("pauses %v, %v, want none", all, err)
	}
}

// TestResumeAllWhatCannotBeRead: pauses that can't be read stop all actions
// until somebody resumes all.
func TestResumeAllWhatCannotBeRead(t *testing.T) {
	for _, value := range []string{"not JSON", `{"a": 1}`, `[{"since": "yesterday"}]`} {
		h := actionstest.New(t, fmt.Sprintf(gateRules, false, "retry"))
		if err := h.DB.Set(t.Context(), "pauses", []byte(value), time.Hour); err != nil {
			t.Fatal(err)
		}
		h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
		h.Work()
		if n := h.GitLab.Count(http.MethodPost, "/retry"); n != 0 {
			t.Errorf("%s: %d retries, want none while nobody knows what is paused", value, n)
		}
		if _, err := h.Pauses().List(t.Context()); err == nil || !strings.Contains(err.Error(), "resume --every") {
			t.Errorf("%s: list: %v", value, err)
		}
		if _, err := h.Pauses().ResumeAll(t.Context(), event.Actor{By: "ann"}); err != nil {
			t.Errorf("%s: resume all: %v", value, err)
		}
		h.WorkOff()
		h.WantOutcome(event.ResultDone, "", "/retry", 1)
	}
}
