package steer_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/report/periodic"
	"github.com/pipesteward/pipesteward/actions/steer"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
)

// steerer returns a Steerer on a runner of the harness.
func steerer(h *actionstest.Harness, r *actions.Runner) *steer.Steerer {
	return &steer.Steerer{Store: h.DB, Maker: r, Now: h.Now, Log: slog.New(slog.DiscardHandler)}
}

// refusedRetry delivers a stuck job whose retry GitLab refuses, for want of rights, and
// returns the job.
func refusedRetry(h *actionstest.Harness) gitlabtest.Job {
	h.Helper()
	job := h.FailedJob(actionstest.Stuck)
	h.AddOther()
	h.GitLab.SetRole(job.ProjectID, gitlabtest.Reporter)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	h.WantResults(event.ResultFailed)
	return job
}

// wantState wants a *event.StateError that says something.
func wantState(t *testing.T, err error, says string) {
	t.Helper()
	var state *event.StateError
	if !errors.As(err, &state) || !strings.Contains(state.Reason, says) {
		t.Errorf("error %v, want that the state does not allow it: %s", err, says)
	}
}

// A decision that failed is made again, once for each failure, and is due at once whatever
// the delay of its rule.
func TestRequeueOfAFailedDecision(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	job := refusedRetry(h)
	first := h.Only().ID
	s := steerer(h, h.Runner)

	got, err := s.Requeue(t.Context(), first, event.Actor{By: "ann"})
	if err != nil || got.ID != first || got.Decision == "" || got.Decision == first {
		t.Fatalf("requeued %+v, %v", got, err)
	}
	_, err = s.Requeue(t.Context(), first, event.Actor{By: "ann"})
	wantState(t, err, "made again already")
	_, err = s.Requeue(t.Context(), got.Decision, event.Actor{By: "ann"})
	wantState(t, err, "waits in the queue")
	h.Work() // GitLab still refuses
	h.WantResults(event.ResultFailed, event.ResultFailed)

	h.Clock.Advance(time.Minute)
	h.GitLab.SetRole(job.ProjectID, gitlabtest.Developer)
	if _, err := s.Requeue(t.Context(), first, event.Actor{By: "ann"}); err != nil { // it has failed once more
		t.Fatal(err)
	}
	h.Work()
	h.WantResults(event.ResultFailed, event.ResultFailed, event.ResultDone)
	if n := len(h.GitLab.Jobs(job.PipelineID)); n != 3 { // rspec, its retry, and lint
		t.Errorf("%d jobs, want 3", n)
	}
	_, err = s.Requeue(t.Context(), first, event.Actor{By: "ann"})
	wantState(t, err, "made again already")
	_, err = s.Requeue(t.Context(), h.Outcomes()[2].ID, event.Actor{By: "ann"})
	wantState(t, err, "the outcome of the decision is done: only a decision that failed can be requeued")
	if _, err := s.Requeue(t.Context(), "no such id", event.Actor{By: "ann"}); !errors.Is(err, event.ErrNoRecord) {
		t.Errorf("an unknown id: %v", err)
	}
}

// A decision that is made again goes through all guards.
func TestRequeueOfAFailedDecisionIsGuarded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(h *actionstest.Harness, job gitlabtest.Job)
		result string
		says   string
	}{
		{"a person has retried the job", func(h *actionstest.Harness, job gitlabtest.Job) { h.MustRetry(job.ID) }, event.ResultSkipped, "already retried"},
		{"a newer pipeline", func(h *actionstest.Harness, job gitlabtest.Job) {
			h.GitLab.AddPipeline(job.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		}, event.ResultSkipped, "outdated"},
		{"the rule is gone", func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.Load(strings.ReplaceAll(actionstest.RetryRules, "retry-stuck", "another"), rulefile.Options{})
		}, event.ResultSkipped, "not in force any more"},
		{"a dry run", func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.Load(strings.Replace(actionstest.RetryRules, "on: job", "on: job\n    dry_run: true", 1), rulefile.Options{})
		}, event.ResultDryRun, ""},
		{"a pause", func(h *actionstest.Harness, _ gitlabtest.Job) {
			if _, err := h.Pauses().Pause(h.Context(), event.Pause{By: "ann"}, false, ""); err != nil {
				h.Fatal(err)
			}
		}, event.ResultDeferred, "by ann"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := actionstest.New(t, actionstest.RetryRules)
			job := refusedRetry(h)
			h.GitLab.SetRole(job.ProjectID, gitlabtest.Developer)
			c.change(h, job)
			calls := h.GitLab.Count("POST", "/retry")
			if _, err := steerer(h, h.Runner).Requeue(t.Context(), h.Only().ID, event.Actor{By: "ann"}); err != nil {
				t.Fatal(err)
			}
			h.Work()
			all := h.Outcomes()
			if len(all) != 2 || all[1].Result != c.result || !strings.Contains(all[1].Reason, c.says) {
				t.Errorf("outcomes %+v, want a second one, %s: %s", all, c.result, c.says)
			}
			if n := h.GitLab.Count("POST", "/retry"); n != calls {
				t.Errorf("%d calls, want none", n-calls)
			}
		})
	}
}

// Two replicas requeue the same at the same time: it is made again once.
func TestRequeueByTwoReplicas(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	job := refusedRetry(h)
	h.GitLab.SetRole(job.ProjectID, gitlabtest.Developer)
	id := h.Only().ID
	replicas := []*steer.Steerer{steerer(h, h.Runner), steerer(h, h.Replica(actionstest.NewFuse(-1)))}
	var mu sync.Mutex
	var requeued int
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			_, err := replicas[i%2].Requeue(t.Context(), id, event.Actor{By: "ann"})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				requeued++
			} else if state := (*event.StateError)(nil); !errors.As(err, &state) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if requeued != 1 {
		t.Errorf("requeued %d times, want once", requeued)
	}
	h.WorkOff()
	if n := len(h.RunsOf("rspec")); n != 2 {
		t.Errorf("%d runs, want 2", n)
	}
}

// A record whose handler panicked is carried out once it is requeued, and only once.
func TestRequeueOfADeadRecord(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	job := h.FailedJob(actionstest.Stuck)
	h.Receiver = panicking{} // of an outcome whose notification panics
	h.Start(actionstest.NewFuse(-1))
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	dead, _, err := h.DB.Dead(t.Context(), "", 10)
	if err != nil || len(dead) != 1 || !strings.Contains(dead[0].Reason, "panic") {
		t.Fatalf("dead records %+v, %v", dead, err)
	}
	h.Receiver = nil
	h.Start(actionstest.NewFuse(-1))
	s := steerer(h, h.Runner)
	if _, err := s.Requeue(t.Context(), dead[0].ID, event.Actor{By: "ann"}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Requeue(t.Context(), dead[0].ID, event.Actor{By: "ann"})
	wantState(t, err, "in the queue already")
	h.WorkOff()
	h.WantOnce("after a requeue")
	if _, err := s.Requeue(t.Context(), dead[0].ID, event.Actor{By: "ann"}); !errors.Is(err, event.ErrNoRecord) {
		t.Errorf("a record that is done: %v", err)
	}
}

// panicking is a receiver with a bug.
type panicking struct{}

func (panicking) Notify(context.Context, event.Outcome, event.Notice) error { panic("oops") }
func (panicking) Message(context.Context, event.Outcome, event.Notice) (string, bool, error) {
	panic("oops")
}
func (panicking) Announce(context.Context, string, string, string) error { panic("oops") }

// An event that was buried because it killed the program is evaluated when it is requeued.
func TestRequeueOfAnEventThatKilled(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	for range 5 {
		h.Start(actionstest.NewFuse(5))
		h.Work()
		h.Clock.Advance(2 * time.Minute)
	}
	h.Start(actionstest.NewFuse(-1))
	h.Work()
	if n := h.DeadRecords(); n != 1 {
		t.Fatalf("%d dead records, want 1", n)
	}
	if _, err := steerer(h, h.Runner).Requeue(t.Context(), "event:delivery-1", event.Actor{By: "ann"}); err != nil {
		t.Fatal(err)
	}
	h.WorkOff()
	h.WantOnce("after a requeue")
}

// A decision that is dropped is not carried out, also if its event is delivered again.
func TestDrop(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	body := h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID)
	h.Deliver(body)
	h.Work()
	records, _, err := h.DB.Records(t.Context(), "", 10)
	if err != nil || len(records) != 1 {
		t.Fatalf("records %+v, %v", records, err)
	}
	s := steerer(h, h.Runner)
	if err := s.Drop(t.Context(), "no such id", event.Actor{By: "ann", Reason: "INC-42"}); !errors.Is(err, event.ErrNoRecord) {
		t.Errorf("an unknown id: %v", err)
	}
	if err := s.Drop(t.Context(), records[0].ID, event.Actor{By: "ann", Reason: "INC-42"}); err != nil {
		t.Fatal(err)
	}
	h.Deliver(body)
	h.WorkOff()
	h.WantOutcome(event.ResultSkipped, "dropped from the queue by ann: INC-42", "/retry", 0)

	// A record in flight can't be dropped.
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	leases, err := h.DB.Lease(t.Context(), 1, time.Minute)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	wantState(t, s.Drop(t.Context(), leases[0].ID, event.Actor{By: "ann", Reason: "INC-42"}), "is leased")
}

// What a record waits for can be read from it.
func TestWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		rules string
		do    func(h *actionstest.Harness)
		kind  string // of the record
		about string
		want  event.Wait
	}{
		{"its delay", "", func(*actionstest.Harness) {}, "decision", "retry of rspec", event.Wait{For: event.WaitDelay}},
		{"a pause", "", func(h *actionstest.Harness) {
			if _, err := h.Pauses().Pause(h.Context(), event.Pause{By: "ann", Reason: "the cluster moves"}, false, ""); err != nil {
				h.Fatal(err)
			}
			h.Clock.Advance(time.Minute)
		}, "decision", "retry of rspec", event.Wait{For: event.WaitPause, Reason: "paused (all) by ann: the cluster moves"}},
		{"a budget", "limits: {total: 1/1h}", func(h *actionstest.Harness) {
			h.Clock.Advance(time.Minute)
			h.Work()
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
			h.Work()
			h.Clock.Advance(time.Minute)
		}, "decision", "retry of rspec", event.Wait{For: event.WaitBudget, Reason: "the budget of 1 retry in 1h for all projects is used up"}},
		{"an error", "", func(h *actionstest.Harness) {
			h.GitLab.Fail(gitlabtest.Fault{Status: 409, Times: -1})
			h.Clock.Advance(time.Minute)
		}, "decision", "retry of rspec", event.Wait{For: event.WaitError, Reason: "409"}},
		{"GitLab", "", func(h *actionstest.Harness) {
			h.GitLab.SetToken("another")
			h.Clock.Advance(time.Minute)
		}, "decision", "retry of rspec", event.Wait{For: event.WaitGitLab, Reason: "401"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := actionstest.New(t, strings.Replace(actionstest.RetryRules, "defaults:", c.rules+"\ndefaults:", 1))
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
			h.Work()
			c.do(h)
			h.Work()
			var kinds []string
			records, _, err := h.DB.Records(t.Context(), "", 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				kinds = append(kinds, r.Kind)
				if r.Kind != c.kind {
					continue
				}
				s := steer.Describe(r.Kind, r.Body)
				if s.About != c.about || s.Wait.For != c.want.For || !strings.Contains(s.Wait.Reason, c.want.Reason) {
					t.Errorf("record about %q waits for %+v, want %q and %+v", s.About, s.Wait, c.about, c.want)
				}
				if s.Rule != "retry-stuck" || s.Action != "retry" || s.Project != "platform/shop" || s.JobName != "rspec" || s.Pipeline != h.Pipeline.ID || s.Decision == "" {
					t.Errorf("subject %+v", s)
				}
				return
			}
			t.Errorf("no %s waits, but %q\n%s", c.kind, kinds, h.Logs)
		})
	}
}

// withSlackApp returns a harness whose runner handles what people request from Slack.
func withSlackApp(t *testing.T) *actionstest.Harness {
	t.Helper()
	h := actionstest.New(t, actionstest.RetryRules)
	h.Rights = actionstest.Rights(actionstest.Everybody)
	h.Start(actionstest.NewFuse(-1))
	return h
}

// Every kind of record that the runner handles is described.
func TestDescribeEveryKind(t *testing.T) {
	t.Parallel()
	const when = "2026-11-30T12:00:00Z"
	const ofJob = `"job": {"id": 7, "name": "rspec", "status": "failed"}, "action": {"verb": "retry"}, "outcome": "done"`
	described := map[string]struct{ body, about string }{
		"event":     {`{"event": {"received_at": "` + when + `"}, ` + ofJob + "}", "rspec failed"},
		"decision":  {`{"decided_at": "` + when + `", ` + ofJob + "}", "retry of rspec"},
		"outcome":   {`{"at": "` + when + `", ` + ofJob + "}", "retry of rspec: done"},
		"notice":    {`{"at": "` + when + `", ` + ofJob + `, "notice": {"receiver": "slack", "channel": "#ci"}}`, "retry of rspec: done, to #ci in Slack"},
		"answer":    {`{"answer": {"confirmed": true, "at": "` + when + `"}, ` + ofJob + "}", "answer to the question about the retry of rspec"},
		"digest":    {`{"began": "` + when + `", "receiver": "slack", "channel": "#ci"}`, "digest to #ci in Slack"},
		"try":       {`{"at": "` + when + `", ` + ofJob + "}", "result of a retry of rspec: failed"},
		"pass_rate": {`{"at": "` + when + `", ` + ofJob + "}", "announcement that the retries of rspec are skipped from now on, or made again"},
		"follow":    {`{"at": "` + when + `", ` + ofJob + "}", "is rspec, which failed again, retried once more?"},
		"sweep":     {`{"rule": "tidy", "began": "` + when + `"}`, "run of the schedule rule tidy"},
		"storm":     {`{"class": "stuck_or_timeout_failure", "started": "` + when + `"}`, "storm of stuck_or_timeout_failure failures"},
		"trouble":   {`{"reason": "401", "started": "` + when + `"}`, "GitLab can't be used"},
		"request":   {`{"by": {"user_id": "U123", "name": "Ada"}, "button": {"does": "retry", "of": "d"}, "received_at": "` + when + `"}`, "button retry, pressed by Ada"},
		"webhooks":  {`{"found": {"count": 2, "first": ["a", "b"]}, "recovered": {"count": 1, "first": ["c"]}, "since": "` + when + `"}`, "2 webhooks disabled, 1 webhook working again"},
	}
	for kind := range withSlackApp(t).Runner.Pool.Handlers {
		want, ok := described[kind]
		if !ok {
			t.Errorf("the runner handles records of kind %q: is it described?", kind)
		}
		got := steer.Describe(kind, []byte(want.body))
		if got.About != want.about || got.About == "" || got.At.Format(time.RFC3339) != when {
			t.Errorf("a record of kind %q is about %q at %v, want %q at %s", kind, got.About, got.At, want.about, when)
		}
	}
}

// A body that can't be read is about nothing.
// Each kind that can be selected has a handler.
func TestKinds(t *testing.T) {
	t.Parallel()
	h := withSlackApp(t)
	h.Runner.Handle(periodic.RecordKind, worker.JSON((&periodic.Sender{}).Handle)) // as the service does
	for _, kind := range append(slices.Clone(steer.Kinds), "unheard-of") {
		if _, err := h.DB.Put(t.Context(), store.Record{ID: kind, Kind: kind, Body: []byte("nonsense")}); err != nil {
			t.Fatal(err)
		}
	}
	h.Work()
	dead, _, err := h.DB.Dead(t.Context(), "", 20)
	if err != nil {
		t.Fatal(err)
	}
	unknown := []string{}
	for _, d := range dead {
		if strings.HasPrefix(d.Reason, "unknown kind") {
			unknown = append(unknown, d.Kind)
		}
	}
	if len(dead) != len(steer.Kinds)+1 || !slices.Equal(unknown, []string{"unheard-of"}) {
		t.Errorf("of %d dead records, these are of unknown kinds: %q", len(dead), unknown)
	}
}

func TestDescribeUnreadable(t *testing.T) {
	for _, kind := range []string{"event", "decision", "outcome", "sweep", "follow", "storm", "trouble", "webhooks", "other", ""} {
		for _, body := range []string{"", "{", "null", "[]", "7"} {
			if diff := cmp.Diff(event.Subject{}, steer.Describe(kind, []byte(body))); body != "null" && diff != "" {
				t.Errorf("%s %q: %s", kind, body, diff)
			}
		}
	}
}

var _ steer.Store = store.Store(nil)
