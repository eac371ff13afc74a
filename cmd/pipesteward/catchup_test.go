package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/metrics"
	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const catchUpRules = `
version: 1
limits: {per_job: 10, per_pipeline: 1000, per_project: 10000/1h, total: 10000/1h}
storm: {failures: 10000}
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure") and project.default_branch == "main"
    actions: [retry: {allow_stale: true}]
  - name: retry-trigger-jobs
    on: job
    if: job.bridge and job.status == "failed"
    actions: [retry: {allow_stale: true}]
  - name: deploy-when-green
    on: pipeline
    if: pipeline.ref == "main" and all(pipeline.jobs, .stage != "test" or .status == "success")
    actions: [play: {jobs: 'filter(pipeline.jobs, .name == "deploy" and .status == "manual")', allow_stale: true}]
  - name: cancel-review
    on: job
    if: job.name == "review" and job.status == "manual"
    actions: [play: {allow_stale: true}]
`

// outage is the program but its commands, which can be off while GitLab goes
// on. Its time is moved by hand.
type outage struct {
	*testing.T
	clock  *storetest.Clock
	gitlab *gitlabtest.Server
	db     store.Store
	rules  *rules.Rules
	client *gitlab.Client
	known  *handlers.Known
	since  time.Time // of the command
	// ruleSince is since when a rule is in force in serve; nil: since its start.
	ruleSince func(identity string) time.Time
	off       atomic.Bool
	project   gitlabtest.Project
	url       string // of the webhook
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	o := &outage{T: t, clock: storetest.NewClock()}
	o.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: o.clock.Now})
	var err error
	if o.db, err = store.OpenBolt(filepath.Join(t.TempDir(), "test.db"), store.BoltOptions{Now: o.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.db.Close() })
	if o.rules, err = rules.Load(rules.Options{}, rules.Source{Name: "rules.yaml", Data: []byte(catchUpRules)}); err != nil {
		t.Fatal(err)
	}
	o.client, err = gitlab.New(gitlab.Config{
		BaseURL: o.gitlab.URL(), Token: gitlabtest.DefaultToken, Now: o.clock.Now, Sleep: func(context.Context, time.Duration) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	o.known = handlers.NewKnown(o.db, slog.New(slog.DiscardHandler))
	stop := inBackground(t.Context(), o.known.Run)
	t.Cleanup(func() { _ = stop() })
	webhook, err := handlers.NewWebhook(handlers.WebhookConfig{
		Credentials: handlers.Credentials{Tokens: []string{testSecret}}, Queue: o.db, Rules: o.rules, GitLab: o.client,
		Now: o.clock.Now, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Known: o.known,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.off.Load() {
			http.Error(w, "nobody is here", http.StatusBadGateway)
			return
		}
		webhook.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	o.url = server.URL + handlers.WebhookPath
	o.project = o.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	o.gitlab.AddHook(gitlabtest.Hook{ProjectID: o.project.ID, URL: o.url, Token: testSecret, JobEvents: true, PipelineEvents: true})
	return o
}

// catchUp makes a round, as a process that has just started.
func (o *outage) catchUp() handlers.CatchUpResult {
	o.Helper()
	return o.catchUpWith(newHistory(o.client))
}

// catchUpWith is catchUp with another way to look at projects; nil: there is
// nothing in them.
func (o *outage) catchUpWith(history gitlabHistory) handlers.CatchUpResult {
	o.Helper()
	result, err := o.newCatchUp(history).Round(o.Context(), false)
	if err != nil {
		o.Fatal(err)
	}
	for _, p := range result.Problems {
		if !strings.Contains(p.Reason, "GitLab kept no body") {
			o.Errorf("problem: %s", p)
		}
	}
	return result
}

func (o *outage) newCatchUp(history gitlabHistory) *handlers.CatchUp {
	return o.newCatchUpOn(o.db, history)
}

func (o *outage) newCatchUpOn(db handlers.CatchUpStore, history gitlabHistory) *handlers.CatchUp {
	if history == nil {
		history = emptyHistory{newHistory(o.client)}
	}
	return handlers.NewCatchUp(handlers.CatchUpConfig{
		Store: db, History: history, Hooks: history, Known: o.known.Projects, Rules: func() *rules.Rules { return o.rules },
		Named: func(context.Context) ([]event.Project, []event.SweepProblem, error) { return nil, nil, nil },
		Since: o.since, RuleSince: o.ruleSince, GitLab: o.client, Every: time.Minute, MaxAge: 24 * time.Hour, Now: o.clock.Now, Log: slog.New(slog.DiscardHandler),
	})
}

type gitlabHistory interface {
	handlers.History
	handlers.Hooks
}

// emptyHistory is a GitLab in whose projects nothing happened.
type emptyHistory struct{ *history }

func (emptyHistory) Jobs(context.Context, int64, []string) iter.Seq2[event.Event, error] {
	return func(func(event.Event, error) bool) {}
}

func (emptyHistory) Changed(context.Context, int64, time.Time) ([]handlers.ChangedPipeline, error) {
	return nil, nil
}

// work carries out what is queued.
func (o *outage) work() {
	o.Helper()
	runner := actions.New(actions.Config{
		Queue: o.db, Journal: o.db, Guard: o.db, GitLab: o.client, Rules: func() *rules.Rules { return o.rules }, Now: o.clock.Now,
		Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(prometheus.NewRegistry()), Workers: 4, RuleSince: o.ruleSince, SeenTTL: 48 * time.Hour,
	})
	var lines strings.Builder
	if err := workOff(o.Context(), runner, o.db, &lines); err != nil {
		o.Fatal(err)
	}
	if lines.Len() > 0 {
		o.Fatal(lines.String())
	}
}

// waitKnown waits until it is noted that the project sent events.
func (o *outage) waitKnown() {
	o.Helper()
	for known := 0; known == 0; {
		projects, err := o.known.Projects(o.Context())
		if err != nil {
			o.Fatal(err)
		}
		known = len(projects)
	}
}

// traffic is some minutes of a project's day: a job that gets stuck, one that
// fails of itself, a pipeline that goes green before a manual job, and a
// trigger job that fails. It gives the pipelines.
func (o *outage) traffic() (stuck, green, triggers gitlabtest.Pipeline) {
	o.Helper()
	stuck = o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
	green = o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{},
		gitlabtest.Job{Name: "test"}, gitlabtest.Job{Name: "deploy", Stage: "deploy", When: "manual", AllowFailure: true},
		gitlabtest.Job{Name: "review", Stage: "review", When: "manual", AllowFailure: true})
	triggers = o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "trigger", Bridge: true})
	o.gitlab.Flush()
	o.waitKnown()
	o.clock.Advance(5 * time.Minute)
	for name, reason := range map[string]string{"rspec": "stuck_or_timeout_failure", "lint": "script_failure"} {
		job := o.gitlab.Latest(stuck.ID, name).ID
		o.gitlab.Run(job)
		o.gitlab.Finish(job, "failed", reason)
	}
	test := o.gitlab.Latest(green.ID, "test").ID
	o.gitlab.Run(test)
	o.gitlab.Finish(test, "success", "")
	o.gitlab.Finish(o.gitlab.Latest(triggers.ID, "trigger").ID, "failed", "api_failure")
	o.clock.Advance(5 * time.Minute)
	o.gitlab.Flush()
	return stuck, green, triggers
}

// calls counts what was done in GitLab.
func (o *outage) calls() map[string]int {
	done := map[string]int{}
	for _, r := range o.gitlab.Requests() {
		var project, job int64
		var verb string
		if n, _ := fmt.Sscanf(strings.ReplaceAll(r.Path, "/", " "), " projects %d jobs %d %s", &project, &job, &verb); n == 3 && r.Method == http.MethodPost {
			done[verb+" "+o.gitlab.Job(job).Name]++
		}
	}
	return done
}

func (o *outage) want(when string, want map[string]int) {
	o.Helper()
	if diff := cmp.Diff(want, o.calls()); diff != "" {
		o.Errorf("%s: calls (-want +got):\n%s", when, diff)
	}
}

// An hour in which nobody is there: everything that rules want is done after
// it, once.
func TestCatchUpAfterAnHour(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	o.want("by webhook", map[string]int{"retry rspec": 1, "play deploy": 1})

	o.off.Store(true)
	for range 6 {
		o.traffic()
	}
	o.off.Store(false)
	o.want("while nobody is there", map[string]int{"retry rspec": 1, "play deploy": 1})
	result := o.catchUp()
	o.work()
	// Manual and trigger jobs, of which no hook tells, also of the time before.
	after := map[string]int{"retry rspec": 7, "play deploy": 7, "play review": 7, "retry trigger": 7}
	o.want("after a round", after)
	if result.Found() < 6+6+7+7 {
		t.Errorf("found %+v", result)
	}

	if result := o.catchUp(); result.Found() != 0 {
		t.Errorf("another round finds %+v", result)
	}
	o.clock.Advance(5 * time.Minute)
	o.catchUp()
	for _, d := range o.gitlab.Deliveries() {
		o.gitlab.Resend(d.ID)
	}
	o.gitlab.Flush()
	o.work()
	o.want("after another round, and all deliveries once more", after)
}

// What GitLab could not deliver is replayed from its own list. A delivery that
// arrived is not replayed.
func TestCatchUpReplaysFailedDeliveries(t *testing.T) {
	o := newOutage(t)
	o.gitlab.AddHook(gitlabtest.Hook{Group: "platform", URL: o.url, Token: testSecret, PipelineEvents: true})
	o.traffic()
	o.work()
	o.catchUp()
	o.work()

	o.off.Store(true)
	stuck, _, _ := o.traffic()
	o.off.Store(false)
	before := o.calls()["retry rspec"]

	result := o.catchUpWith(nil) // looks at no project's jobs
	if result.Replayed == 0 || result.Unkept+result.Jobs+result.Pipelines > 0 {
		t.Errorf("found %+v", result)
	}
	o.work()
	if got := o.calls()["retry rspec"]; got != before+1 {
		t.Errorf("%d retries of rspec, want %d (pipeline %d)", got, before+1, stuck.ID)
	}
	o.clock.Advance(2 * time.Minute)
	if result := o.catchUpWith(nil); result.Replayed > 0 {
		t.Errorf("once more: %+v", result)
	}
}

// An event that catch-up makes counts the runs of its job as a hook would.
func TestCatchUpCountsAttempts(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	var err error
	if o.rules, err = rules.Load(rules.Options{}, rules.Source{Name: "rules.yaml", Data: []byte(`
version: 1
rules:
  - name: third-time
    on: job
    if: job.status == "failed" and job.attempt == 2
    actions: [retry: {allow_stale: true}]
`)}); err != nil {
		t.Fatal(err)
	}
	o.catchUp() // notes the rules
	o.off.Store(true)
	pipeline := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
	fail := func(name string) int64 {
		id := o.gitlab.Latest(pipeline.ID, name).ID
		o.gitlab.Run(id)
		o.gitlab.Finish(id, "failed", "script_failure")
		return id
	}
	fail("lint")
	if _, err := o.gitlab.Retry(fail("rspec")); err != nil {
		t.Fatal(err)
	}
	fail("rspec")
	o.clock.Advance(5 * time.Minute)
	o.off.Store(false)
	before := o.calls()["retry rspec"]
	o.catchUp()
	o.work()
	if got := o.calls(); got["retry rspec"] != before+1 || got["retry lint"] != 0 {
		t.Errorf("calls: %v", got)
	}
}

// killEach thins out the test that cuts a round short at every step: `make soak`
// does so at each.
var killEach = flag.Int("kill-each", 4, "cut a round of catch-up short at every n-th step")

// Wherever a round is cut short, the next one finds what is left, and all is
// done once.
func TestCatchUpCutShort(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	for steps := 1; ; steps += *killEach {
		o := newOutage(t)
		o.traffic()
		o.work()
		o.off.Store(true)
		o.traffic()
		o.off.Store(false)
		db := &dyingStore{Store: o.db, steps: steps}
		_, err := o.newCatchUpOn(db, newHistory(o.client)).Round(t.Context(), false)
		if (err != nil) != (db.steps < 0) {
			t.Fatalf("after %d steps: %v", steps, err)
		}
		o.clock.Advance(3 * time.Minute) // its claim runs out
		o.catchUp()
		o.work()
		o.want(fmt.Sprintf("cut short after %d steps", steps), map[string]int{"retry rspec": 2, "play deploy": 2, "play review": 2, "retry trigger": 2})
		if err == nil || t.Failed() {
			if steps < 20 {
				t.Errorf("a round has %d steps: the store does not see them", steps)
			}
			return
		}
	}
}

// dyingStore can't be reached any more after so many calls.
type dyingStore struct {
	store.Store
	steps int
}

func (d *dyingStore) dead() error {
	if d.steps--; d.steps < 0 {
		return errors.New("the process was killed")
	}
	return nil
}

func (d *dyingStore) Put(ctx context.Context, records ...store.Record) ([]bool, error) {
	if err := d.dead(); err != nil {
		return nil, err
	}
	return d.Store.Put(ctx, records...)
}

func (d *dyingStore) Get(ctx context.Context, key string) ([]byte, error) {
	if err := d.dead(); err != nil {
		return nil, err
	}
	return d.Store.Get(ctx, key)
}

func (d *dyingStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := d.dead(); err != nil {
		return err
	}
	return d.Store.Set(ctx, key, value, ttl)
}

func (d *dyingStore) Release(ctx context.Context, key, owner string) error {
	if d.steps < 0 {
		return errors.New("the process was killed")
	}
	return d.Store.Release(ctx, key, owner)
}

// A delivery that is replayed tells of its own time: that the pipeline ended
// once more after it is found as well.
func TestCatchUpFindsWhatCameAfterAReplay(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	o.catchUp()
	var err error
	if o.rules, err = rules.Load(rules.Options{}, rules.Source{Name: "rules.yaml", Data: []byte(
		"version: 1\nrules: [{name: tell, on: pipeline, if: 'pipeline.status == \"failed\"', notify: [{channel: ci}]}]")}); err != nil {
		t.Fatal(err)
	}
	o.catchUp() // notes the rules
	o.off.Store(true)
	pipeline := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	fail := func() int64 {
		job := o.gitlab.Latest(pipeline.ID, "rspec").ID
		o.gitlab.Run(job)
		o.gitlab.Finish(job, "failed", "script_failure")
		o.clock.Advance(5 * time.Minute)
		o.gitlab.Flush()
		return job
	}
	job := fail()
	sent := len(o.gitlab.Deliveries())
	if _, err := o.gitlab.Retry(job); err != nil {
		t.Fatal(err)
	}
	o.clock.Advance(10 * time.Minute)
	fail()
	o.off.Store(false)
	result := o.catchUpWith(forgetful{newHistory(o.client), o.gitlab.Deliveries()[sent-1].Key})
	o.work()
	if again := o.catchUpWith(forgetful{newHistory(o.client), ""}); result.Replayed != 1 || result.Pipelines+again.Pipelines != 1 {
		t.Errorf("found %+v, and then %+v", result, again)
	}
}

// forgetful is a GitLab that does not list deliveries after the one with the
// key.
type forgetful struct {
	*history
	last string
}

func (f forgetful) Hooks(ctx context.Context, p event.Project) ([]handlers.Hook, error) {
	hooks, err := f.history.Hooks(ctx, p)
	for i, hook := range hooks {
		hooks[i].Failed = func(ctx context.Context) iter.Seq2[handlers.FailedDelivery, error] {
			return func(yield func(handlers.FailedDelivery, error) bool) {
				found := false
				for d, err := range hook.Failed(ctx) {
					found = found || d.Key == f.last
					if found && !yield(d, err) {
						return
					}
				}
			}
		}
	}
	return hooks, err
}

// A trigger job that failed long before its pipeline ended is found when that
// has ended, and a pipeline that can't be read keeps none of the others back.
func TestCatchUpFindsTriggerJobsOfLongPipelines(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	o.catchUp()
	o.work()
	before := o.calls()["retry trigger"]
	broken := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "trigger", Bridge: true})
	long := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "trigger", Bridge: true}, gitlabtest.Job{Name: "rspec"})
	o.gitlab.Finish(o.gitlab.Latest(broken.ID, "trigger").ID, "failed", "api_failure")
	o.gitlab.Finish(o.gitlab.Latest(long.ID, "trigger").ID, "failed", "api_failure")
	o.gitlab.Run(o.gitlab.Latest(long.ID, "rspec").ID)
	o.clock.Advance(40 * time.Minute)
	o.catchUpWith(nil) // a round in which the pipelines are not listed
	o.clock.Advance(40 * time.Minute)
	o.gitlab.Finish(o.gitlab.Latest(long.ID, "rspec").ID, "success", "")
	o.clock.Advance(5 * time.Minute)
	o.gitlab.Flush()
	o.gitlab.Fail(gitlabtest.Fault{Method: "GET", Path: fmt.Sprintf("/pipelines/%d/bridges", broken.ID), Status: http.StatusNotFound, Times: -1})
	if _, err := o.newCatchUp(newHistory(o.client)).Round(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	o.work()
	if got := o.calls()["retry trigger"]; got != before+1 {
		t.Errorf("%d retries of trigger jobs, want %d", got, before+1)
	}
}

// Of two replicas, one catches up at a time.
func TestCatchUpOneAtATime(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	history := &pausedHistory{history: newHistory(o.client), arrived: make(chan struct{}), goOn: make(chan struct{})}
	first := make(chan error)
	go func() {
		_, err := o.newCatchUp(history).Round(t.Context(), true)
		first <- err
	}()
	<-history.arrived
	if _, err := o.newCatchUp(newHistory(o.client)).Round(t.Context(), true); !errors.Is(err, handlers.ErrCatchingUp) {
		t.Errorf("the second replica: %v", err)
	}
	close(history.goOn)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := o.newCatchUp(newHistory(o.client)).Round(t.Context(), true); err != nil {
		t.Errorf("after the first: %v", err)
	}
}

// pausedHistory waits before it lists a project's jobs.
type pausedHistory struct {
	*history
	arrived, goOn chan struct{}
}

func (p *pausedHistory) Jobs(ctx context.Context, project int64, statuses []string) iter.Seq2[event.Event, error] {
	close(p.arrived)
	<-p.goOn
	return p.history.Jobs(ctx, project, statuses)
}

// Where GitLab kept no body of a failed delivery, the projects that it may have
// been about are read at once, long jobs included, and again until that has
// succeeded in all of them.
func TestCatchUpReadsWhatGitLabKeptNoBodyOf(t *testing.T) {
	for _, test := range []struct {
		name  string
		group bool // the webhook is that of the group, to which another project belongs
		fault string
	}{
		{name: "of a project"},
		{name: "of a project that can't be read at first", fault: "/projects/1/jobs"},
		{name: "of a group", group: true},
		{name: "of a group, whose other project can't be read at first", group: true, fault: "/projects/2/jobs"},
		{name: "of a group, whose project can't be read at first", group: true, fault: "/projects/1/jobs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOutage(t)
			if test.group {
				o.gitlab.AddHook(gitlabtest.Hook{Group: "platform", URL: o.url, Token: testSecret, JobEvents: true, PipelineEvents: true})
				other := o.gitlab.AddProject(gitlabtest.Project{Path: "platform/other"})
				o.gitlab.AddPipeline(other.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "lint"})
			}
			o.traffic()
			long := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{Message: strings.Repeat("long ", 30_000)}, gitlabtest.Job{Name: "rspec"})
			o.gitlab.Run(o.gitlab.Latest(long.ID, "rspec").ID)
			o.gitlab.Flush()
			o.clock.Advance(6 * time.Hour)
			o.catchUp() // finds long jobs, as the next rounds do not
			o.work()
			before := o.calls()["retry rspec"]

			o.clock.Advance(5 * time.Minute)
			o.off.Store(true)
			o.gitlab.Finish(o.gitlab.Latest(long.ID, "rspec").ID, "failed", "stuck_or_timeout_failure")
			o.gitlab.Flush()
			o.off.Store(false)
			o.clock.Advance(2 * time.Minute)
			if test.fault != "" {
				o.gitlab.Fail(gitlabtest.Fault{Path: test.fault, Status: http.StatusBadGateway, Times: 20})
				_, _ = o.newCatchUp(newHistory(o.client)).Round(t.Context(), false)
				o.gitlab.ClearFaults()
				o.clock.Advance(2 * time.Minute)
			}
			if result := o.catchUp(); result.Unkept == 0 || len(result.Problems) == 0 || !strings.Contains(result.Problems[0].Reason, "GitLab kept no body of ") {
				t.Errorf("the round does not say what GitLab did not keep: %+v", result)
			}
			o.work()
			if got := o.calls()["retry rspec"]; got != before+1 {
				t.Errorf("%d retries of rspec, want %d", got, before+1)
			}
			o.clock.Advance(2 * time.Minute)
			if result := o.catchUp(); result.Unkept > 0 {
				t.Errorf("another round reads the same deliveries: %+v", result)
			}
			if n := o.gitlab.Count(http.MethodPost, "/resend"); n > 0 {
				t.Errorf("GitLab was asked %d times to send a delivery once more", n)
			}
		})
	}
}

// A job that ran for long is found too, within an hour, and other rounds look
// at the newest jobs only.
func TestCatchUpFindsLongJobs(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	begin := o.clock.Now()
	long := o.gitlab.AddPipeline(o.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	o.gitlab.Run(o.gitlab.Latest(long.ID, "rspec").ID)
	o.clock.Advance(6 * time.Hour)
	failed := o.clock.Now().Add(-7 * time.Hour)
	o.gitlab.AddOldJobs(o.project.ID, gitlabtest.OldJobs{Count: 1000, PerPipeline: 100, Job: func(int) gitlabtest.Job {
		return gitlabtest.Job{Name: "lint", Status: "failed", FailureReason: "script_failure", CreatedAt: failed, StartedAt: failed, FinishedAt: failed}
	}})
	o.catchUp()
	o.work()
	before := o.calls()["retry rspec"]
	o.off.Store(true)
	o.gitlab.Finish(o.gitlab.Latest(long.ID, "rspec").ID, "failed", "stuck_or_timeout_failure")
	o.gitlab.Flush()
	o.off.Store(false)
	for minutes := 5; o.calls()["retry rspec"] == before; minutes += 5 {
		if minutes > 70 {
			t.Fatalf("not found in an hour, from %s on", begin)
		}
		o.clock.Advance(5 * time.Minute)
		asked := o.gitlab.Count("GET", "/jobs")
		o.catchUpWith(looking{newHistory(o.client)})
		o.work()
		if asked = o.gitlab.Count("GET", "/jobs") - asked; asked > 2 && minutes < 55 {
			t.Errorf("after %d minutes, a round asks for %d pages of jobs", minutes, asked)
		}
	}
}

// looking is a GitLab whose pipelines and webhooks tell nothing.
type looking struct{ *history }

func (looking) Hooks(context.Context, event.Project) ([]handlers.Hook, error) { return nil, nil }

func (looking) Changed(context.Context, int64, time.Time) ([]handlers.ChangedPipeline, error) {
	return nil, nil
}

// What is too old is left alone.
func TestCatchUpLeavesWhatIsOld(t *testing.T) {
	o := newOutage(t)
	o.traffic()
	o.work()
	o.catchUp()
	o.work()
	before := o.calls()
	o.off.Store(true)
	o.traffic()
	o.clock.Advance(25 * time.Hour)
	o.off.Store(false)
	if result := o.catchUp(); result.Found() != 0 {
		t.Errorf("found %+v", result)
	}
	o.work()
	o.want("after a day", before)
}

// The command finds what nobody was told of, and carries out what rules want.
func TestCatchUpCommand(t *testing.T) {
	gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	shop := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	ended := time.Now().Add(-10 * time.Minute)
	pipeline := gl.AddPipeline(shop.ID, gitlabtest.Pipeline{}, gitlabtest.Job{
		Name: "rspec", Status: "failed", FailureReason: "stuck_or_timeout_failure", CreatedAt: ended.Add(-time.Minute), StartedAt: ended, FinishedAt: ended,
	})
	dir := t.TempDir()
	file := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(file, []byte(catchUpRules), 0o600); err != nil {
		t.Fatal(err)
	}
	catchUp := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = run(t.Context(), append([]string{
			"pipesteward", "catch-up", "--rules", file, "--store", "bolt:" + filepath.Join(dir, "catch-up.db"), "--native-retry-wait", "0s",
			"--gitlab-url", gl.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--gitlab-rate", "1000000/1m",
		}, args...), &out, &errs)
		return code, out.String(), errs.String()
	}
	for _, c := range []struct {
		name    string
		args    []string
		code    int
		stdout  []string
		stderr  []string
		retries int
	}{
		{name: "without --since", args: []string{"--projects", "platform"}, stdout: []string{"in 1 project ", "jobs that no event told of       │                  0"}},
		{name: "a dry run", args: []string{"--projects", "platform", "--since", "1h", "--dry-run"}, stdout: []string{"in 1 project ", "jobs that no event told of       │      1"}},
		{name: "the first", args: []string{"--projects", "platform", "--since", "1h"}, stdout: []string{"missed, and queued", "jobs that no event told of       │                  1"}, retries: 1},
		{name: "the second", args: []string{"--projects", "platform/shop", "--since", "1h", "--json"}, stdout: []string{`"jobs": 0`}, retries: 1},
		{name: "no such project beside another", args: []string{"--projects", "platform/shop", "--projects", "tools/gone"}, stdout: []string{"! tools/gone: there is no such project"}, retries: 1},
		{name: "no such project", args: []string{"--projects", "tools/gone"}, code: 1, stdout: []string{"! tools/gone: there is no such project"}, retries: 1},
		{name: "two in one", args: []string{"--projects", "platform/shop,tools"}, code: 1, stderr: []string{`"platform/shop,tools" is no project: no path has a comma`}, retries: 1},
		{name: "further back than what was done is remembered", args: []string{"--since", "2d"}, code: 2, stderr: []string{"--since: 2d is before", "--catch-up-max-age (24h0m0s)", "72h at most"}, retries: 1},
		{name: "no duration", args: []string{"--since", "yesterday"}, code: 2, stderr: []string{`--since: "yesterday" is neither a duration like 24h nor a time like 20`}, retries: 1},
		{name: "an argument", args: []string{"platform"}, code: 2, stderr: []string{"name projects with --projects"}, retries: 1},
	} {
		code, stdout, stderr := catchUp(c.args...)
		if code != c.code {
			t.Errorf("%s: exit status %d, want %d\n%s%s", c.name, code, c.code, stdout, stderr)
		}
		for text, parts := range map[*string][]string{&stdout: c.stdout, &stderr: c.stderr} {
			for _, part := range parts {
				if !strings.Contains(*text, part) {
					t.Errorf("%s: the output lacks %q:\n%s", c.name, part, *text)
				}
			}
		}
		if n := gl.Count("POST", "/retry"); n != c.retries {
			t.Errorf("%s: %d retries, want %d\n%s", c.name, n, c.retries, stderr)
		}
	}
	if job := gl.Latest(pipeline.ID, "rspec"); job.Status != "pending" {
		t.Errorf("rspec is %s, want pending", job.Status)
	}
}
