package catchup_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/metrics"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(storetest.InMemory(m)) }

const testSecret = "the webhook's secret token"

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

// outage is the service, which can be down while GitLab works. The tests advance its
// clock.
type outage struct {
	*testing.T
	clock  *storetest.Clock
	gitlab *gitlabtest.Server
	db     store.Store
	rules  *rules.Rules
	client *gitlab.Client
	known  *catchup.Known
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
	if o.db, err = bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: o.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.db.Close() })
	if o.rules, err = rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(catchUpRules)}); err != nil {
		t.Fatal(err)
	}
	o.client, err = gitlab.New(gitlab.Config{
		BaseURL: o.gitlab.URL(), Token: gitlabtest.DefaultToken, Now: o.clock.Now, Sleep: func(context.Context, time.Duration) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	o.known = catchup.NewKnown(o.db, slog.New(slog.DiscardHandler))
	t.Cleanup(inBackground(o.known.Run))
	handler, err := webhook.New(webhook.Config{
		Credentials: webhook.Credentials{Tokens: []string{testSecret}}, Queue: o.db, Rules: o.rules, GitLab: o.client,
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
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	o.url = server.URL + webhook.Path
	o.project = o.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	o.gitlab.AddHook(gitlabtest.Hook{ProjectID: o.project.ID, URL: o.url, Token: testSecret, JobEvents: true, PipelineEvents: true})
	return o
}

// catchUp makes a round, as a process that has just started.
func (o *outage) catchUp() catchup.Result {
	o.Helper()
	return o.catchUpWith(o.client)
}

// catchUpWith is catchUp with another GitLab; nil: one in whose projects nothing
// happened.
func (o *outage) catchUpWith(history catchup.GitLab) catchup.Result {
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

func (o *outage) newCatchUp(history catchup.GitLab) *catchup.Finder {
	return o.newCatchUpOn(o.db, history)
}

func (o *outage) newCatchUpOn(db catchup.Store, history catchup.GitLab) *catchup.Finder {
	if history == nil {
		history = emptyHistory{o.client}
	}
	return catchup.New(catchup.Config{
		Store: db, GitLab: history, WebhookPath: webhook.Path, Known: o.known.Projects, Rules: func() *rules.Rules { return o.rules },
		Named: func(context.Context) ([]event.Project, []event.SweepProblem, error) { return nil, nil, nil },
		Since: o.since, RuleSince: o.ruleSince, Decode: o.decode, Every: time.Minute, MaxAge: 24 * time.Hour, Now: o.clock.Now, Log: slog.New(slog.DiscardHandler),
	})
}

// decode makes the event of a delivery as cmd does.
func (o *outage) decode(d gitlab.HookDelivery) (event.Event, error) {
	return webhook.Replay(d.Body, d.Key, o.client)
}

// emptyHistory is a GitLab in whose projects nothing happened.
type emptyHistory struct{ *gitlab.Client }

func (emptyHistory) ProjectJobs(context.Context, int64, ...string) iter.Seq2[gitlab.Job, error] {
	return func(func(gitlab.Job, error) bool) {}
}

func (emptyHistory) PipelinesSince(context.Context, int64, time.Time, ...string) ([]gitlab.UpdatedPipeline, error) {
	return nil, nil
}

// work processes the queue.
func (o *outage) work() {
	o.Helper()
	runner := actions.New(actions.Config{
		Queue: o.db, Journal: o.db, Guard: o.db, GitLab: o.client, Rules: func() *rules.Rules { return o.rules }, Now: o.clock.Now,
		Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(prometheus.NewRegistry()), Workers: 4, RuleSince: o.ruleSince, SeenTTL: 48 * time.Hour,
	})
	runner.WorkOff(o.Context(), 3*time.Second)
	if depth, err := o.db.Depth(o.Context()); err != nil || depth.Waiting > 0 {
		o.Fatalf("%d records are in the queue for later, want none: %v", depth.Waiting, err)
	}
}

// waitKnown waits until the project is known.
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
// trigger job that fails. It returns the pipelines.
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

// calls counts the actions in GitLab.
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

// inBackground runs something until the returned function is called, which waits
// for its end.
func inBackground(do func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { do(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}
