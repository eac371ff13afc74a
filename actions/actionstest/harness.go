// Package actionstest is the environment of the tests of packages in actions: the whole
// program but handlers and commands, with a simulated GitLab and Slack, a store on a clock
// that is moved by hand, and a fuse that kills the program at any step.
package actionstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/gitlabnotify"
	"github.com/pipesteward/pipesteward/actions/health"
	"github.com/pipesteward/pipesteward/actions/metrics"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/requests"
	"github.com/pipesteward/pipesteward/actions/rights"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// SlackToken is the token that the simulated Slack accepts.
const SlackToken = "xoxb-secret-of-the-tests"

// Harness is the program in that environment. It works only when a method says so.
type Harness struct {
	*testing.T
	Clock       *storetest.Clock // moved by hand; nil: time is real
	Now         func() time.Time
	GitLab      *gitlabtest.Server
	Slack       *slacktest.Server
	open        func() (store.Store, error)
	DB          store.Store
	Rules       atomic.Pointer[rules.Rules] // those in force
	Runner      *actions.Runner
	Metrics     *prometheus.Registry
	Logs        *bytes.Buffer
	log         *slog.Logger // writes Logs, of all replicas
	Fuse        *Fuse
	events      int
	Pipeline    gitlabtest.Pipeline // that was made last
	Rate        store.Rate          // of requests to GitLab; zero: as many as there are
	Grants      *Grants             // of requests to GitLab, where they have a rate
	Workers     int
	NativeRetry time.Duration // how long GitLab is given to retry a job by itself
	Own         actions.Own   // the CI job that the program runs in

	Rights    requests.Rights            // says what people may request from Slack; nil: there is no Slack app
	Receiver  notify.Receiver            // in place of Slack; nil: Slack
	Receivers map[string]notify.Receiver // besides Slack and GitLab
	Patience  time.Duration              // of the client with Slack, in real time; 0: production's
	DryRun    bool                       // of the process, for what it writes to GitLab beside actions
	Meanwhile func()                     // called whenever the program has no work
}

// New returns a Harness on bolt, with a clock that is moved by hand.
func New(t *testing.T, ruleFile string) *Harness {
	t.Helper()
	return NewOn(t, gitlabtest.Options{}, ruleFile)
}

// NewOn is New with a GitLab of the given kind.
func NewOn(t *testing.T, o gitlabtest.Options, ruleFile string) *Harness {
	t.Helper()
	clock, path := storetest.NewClock(), filepath.Join(t.TempDir(), "test.db")
	h := &Harness{T: t, Clock: clock, Now: clock.Now, open: func() (store.Store, error) {
		return bolt.Open(path, bolt.Options{Now: clock.Now})
	}}
	h.build(o, ruleFile)
	return h
}

// NewOnRedis returns a Harness on its own keys of a Redis, in real time.
func NewOnRedis(t *testing.T, url, prefix, ruleFile string) *Harness {
	t.Helper()
	h := &Harness{T: t, Now: time.Now, open: func() (store.Store, error) {
		return redis.Open(t.Context(), url, redis.Options{Prefix: prefix, CallTimeout: redistest.CallTimeout})
	}}
	h.build(gitlabtest.Options{}, ruleFile)
	return h
}

func (h *Harness) build(o gitlabtest.Options, ruleFile string) {
	h.Helper()
	h.Logs = &bytes.Buffer{}
	h.log = slog.New(slog.NewJSONHandler(h.Logs, nil))
	o.Now = h.Now
	h.GitLab = gitlabtest.Start(h.T, o)
	var err error
	if h.Slack, err = slacktest.New(slacktest.Options{Now: h.Now, Token: SlackToken}); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = h.Slack.Close() })
	h.Load(ruleFile, rulefile.Options{})
	h.Start(NewFuse(-1))
	h.Cleanup(func() { _ = h.DB.Close() })
}

// Start starts the program anew on the same store, as after a crash; it dies
// when the fuse blows.
func (h *Harness) Start(f *Fuse) {
	h.Helper()
	if h.DB != nil {
		_ = h.DB.Close()
	}
	h.Fuse = f
	var err error
	if h.DB, err = h.open(); err != nil {
		h.Fatal(err)
	}
	h.Runner = h.Replica(f)
}

// Replica returns a runner on the open store.
func (h *Harness) Replica(f *Fuse) *actions.Runner {
	h.Helper()
	h.Metrics = prometheus.NewRegistry()
	counters := metrics.New(h.Metrics)
	log := h.log
	client := &http.Client{Transport: fusedTransport{f}, Timeout: h.Patience}
	config := gitlab.Config{
		BaseURL: h.GitLab.URL(), Token: gitlabtest.DefaultToken, Transport: client.Transport, Now: h.Now, Observe: counters.GitLabRequest,
		Sleep: func(context.Context, time.Duration) error { return nil },
	}
	if h.Rate.Limit > 0 { // then time passes while the next request waits
		h.Grants = &Grants{Limiter: h.DB, rate: h.Rate, clock: h.Clock}
		config.Limiter, config.Rate, config.Sleep = h.Grants, h.Rate, h.Grants.sleep
	}
	gl, err := gitlab.New(config)
	if err != nil {
		h.Fatal(err)
	}
	teller, err := slack.New(slack.Config{Token: SlackToken, Buttons: h.Rights != nil, APIURL: h.Slack.URL(), HTTPClient: client, State: fusedStore{Store: h.DB, fuse: f}, Now: h.Now, Log: log})
	if err != nil {
		h.Fatal(err)
	}
	queue := fusedStore{Store: h.DB, fuse: f}
	if h.Rate.Limit > 0 {
		queue.lasts = 100 // leases are renewed in real time, which is slower
	}
	var tell notify.Receiver = teller
	if h.Receiver != nil {
		tell = h.Receiver
	}
	h.Metrics.MustRegister(health.NewMetrics(gl))
	guard := fusedStore{Store: h.DB, fuse: f}
	receivers := map[string]notify.Receiver{event.ReceiverSlack: tell, event.ReceiverGitLab: gitlabnotify.New(gitlabnotify.Config{
		GitLab: gl, State: guard, Pauses: pause.Pauses{Store: guard, Now: h.Now, Log: log}, DryRun: h.DryRun, Log: log,
	})}
	maps.Copy(receivers, h.Receivers)
	var may actions.Rights = Rights(Everybody)
	if h.Rights != nil {
		may = rights.Acting{Rights: h.Rights, GitLab: gl}
	}
	runner := actions.New(actions.Config{
		Rights: may,
		Queue:  queue, Journal: fusedStore{Store: h.DB, fuse: f}, Guard: guard, GitLab: gl, Receivers: notify.Named(receivers), Rules: h.Rules.Load,
		Now: h.Now, Log: log, Metrics: counters, Workers: max(h.Workers, 2), NativeRetry: h.NativeRetry, Own: h.Own, Unknown: &unknown.Log{Store: guard},
	})
	if h.Rights != nil {
		h.handleRequests(runner, guard, teller)
	}
	return runner
}

// Deliver puts a hook body into the queue, as the webhook does.
func (h *Harness) Deliver(body []byte) { h.Helper(); h.Enqueue(body, event.SourceWebhook, time.Time{}) }

// Enqueue puts the event of a hook body into the queue; again is when a person
// requested that failed decisions are made again, zero for never.
func (h *Harness) Enqueue(body []byte, source string, again time.Time) {
	h.Helper()
	e, err := webhook.Decode(body, h.GitLab.URL())
	if err != nil {
		h.Fatal(err)
	}
	h.events++
	e.Meta.ID, e.Meta.Source, e.Meta.ReceivedAt = fmt.Sprintf("delivery-%d", h.events), source, h.Now()
	record, err := json.Marshal(event.Record{Event: e, Again: again})
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.DB.Put(h.Context(), store.Record{ID: "event:" + e.Meta.ID, Kind: event.RecordEvent, Body: record}); err != nil {
		h.Fatal(err)
	}
}

// Drain has a runner work on the records that are due now, one after the other, and
// returns how many those were.
func (h *Harness) Drain(r *actions.Runner) (n int, err error) {
	for ; ; n++ {
		leases, err := r.Queue.Lease(h.Context(), 1, worker.Visibility)
		if err != nil || len(leases) == 0 {
			return n, err
		}
		r.Pool.Work(h.Context(), leases[0])
	}
}

// Work works on the records that are due now.
func (h *Harness) Work() {
	h.Helper()
	if _, err := h.Drain(h.Runner); err != nil && !errors.Is(err, ErrKilled) {
		h.Fatal(err)
	}
}

// WorkOff lets time pass until the queue is empty.
func (h *Harness) WorkOff() {
	h.Helper()
	for range 100 {
		h.Work()
		h.rest()
		if h.Idle() {
			return
		}
		h.Clock.Advance(time.Minute)
	}
	h.Fatalf("the queue does not get empty\n%s", h.Logs)
}

// rest calls Meanwhile.
func (h *Harness) rest() {
	if h.Meanwhile != nil {
		h.Meanwhile()
	}
}

// Idle reports whether the queue is empty.
func (h *Harness) Idle() bool {
	h.Helper()
	d, err := h.DB.Depth(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return d.Due+d.Waiting+d.Leased == 0
}

// FailedJob adds a pipeline with a job that has failed, and returns that.
func (h *Harness) FailedJob(reason string) gitlabtest.Job {
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
	return h.GitLab.Job(h.End("rspec", "failed", reason))
}

// AddJob adds a pipeline of one job, which has ended in the status; if that is "", the job
// runs, or waits if it is manual.
func (h *Harness) AddJob(job gitlabtest.Job, status string) gitlabtest.Job {
	h.AddPipeline(gitlabtest.Pipeline{}, job)
	added := h.GitLab.Latest(h.Pipeline.ID, job.Name)
	switch {
	case status != "":
		h.End(job.Name, status, "script_failure")
	case job.When == "":
		h.GitLab.Run(added.ID)
	}
	return h.GitLab.Job(added.ID)
}

// End ends the latest run of a name in the status, and returns its id.
func (h *Harness) End(name, status, reason string) int64 {
	job := h.GitLab.Latest(h.Pipeline.ID, name)
	h.GitLab.Run(job.ID)
	h.GitLab.Finish(job.ID, status, reason)
	return job.ID
}

// AddPipeline adds a pipeline in a project of its own.
func (h *Harness) AddPipeline(p gitlabtest.Pipeline, jobs ...gitlabtest.Job) gitlabtest.Pipeline {
	project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.Pipeline = h.GitLab.AddPipeline(project.ID, p, jobs...)
	return h.Pipeline
}

// AddOther adds a project without pipelines, so that the bot keeps rights in one project
// whatever it loses in others.
func (h *Harness) AddOther() { h.GitLab.AddProject(gitlabtest.Project{Path: "platform/other"}) }
