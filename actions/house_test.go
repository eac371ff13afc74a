package actions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/breaker"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/actions/health"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.InMemory(m).Run()) }

const slackToken = "xoxb-secret-of-the-tests"

// house is the whole program but its ways in, with a simulated GitLab and
// Slack around it. It works when told to.
type house struct {
	*testing.T
	clock    *storetest.Clock // moved by hand; nil: time is real
	now      func() time.Time
	gitlab   *gitlabtest.Server
	slack    *slacktest.Server
	open     func() (store.Store, error)
	db       store.Store
	rules    atomic.Pointer[rules.Rules] // those in force
	runner   *actions.Runner
	metrics  *prometheus.Registry
	log      *bytes.Buffer
	fuse     *fuse
	events   int
	pipeline gitlabtest.Pipeline // that was made last
	rate     store.Rate          // of requests to GitLab; zero: as many as there are
	grants   *grants             // of requests to GitLab, where they have a rate
	workers  int
	native   time.Duration // how long GitLab is given to retry a job by itself

	teller    notify.Receiver // nil: Slack
	meanwhile func()          // what happens in GitLab whenever the program rests
}

// newHouse makes a house on bolt, with a clock that is moved by hand.
func newHouse(t *testing.T, ruleFile string) *house {
	t.Helper()
	return newHouseOn(t, gitlabtest.Options{}, ruleFile)
}

// newHouseOn is newHouse with a GitLab of the given kind.
func newHouseOn(t *testing.T, o gitlabtest.Options, ruleFile string) *house {
	t.Helper()
	clock, path := storetest.NewClock(), filepath.Join(t.TempDir(), "test.db")
	h := &house{T: t, clock: clock, now: clock.Now, open: func() (store.Store, error) {
		return bolt.Open(path, bolt.Options{Now: clock.Now})
	}}
	h.build(o, ruleFile)
	return h
}

// newRedisHouse makes a house on its own keys of a Redis, in real time.
func newRedisHouse(t *testing.T, url, prefix, ruleFile string) *house {
	t.Helper()
	h := &house{T: t, now: time.Now, open: func() (store.Store, error) {
		return redis.Open(t.Context(), url, redis.Options{Prefix: prefix})
	}}
	h.build(gitlabtest.Options{}, ruleFile)
	return h
}

func (h *house) build(o gitlabtest.Options, ruleFile string) {
	h.Helper()
	h.log = &bytes.Buffer{}
	o.Now = h.now
	h.gitlab = gitlabtest.Start(h.T, o)
	var err error
	if h.slack, err = slacktest.New(slacktest.Options{Now: h.now, Token: slackToken}); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = h.slack.Close() })
	h.load(ruleFile, rulefile.Options{})
	h.start(newFuse(-1))
	h.Cleanup(func() { _ = h.db.Close() })
}

// start starts the program anew on the same store, as after a crash; it dies
// when the fuse blows.
func (h *house) start(f *fuse) {
	h.Helper()
	if h.db != nil {
		_ = h.db.Close()
	}
	h.fuse = f
	var err error
	if h.db, err = h.open(); err != nil {
		h.Fatal(err)
	}
	h.runner = h.replica(f)
}

// replica makes a runner on the open store.
func (h *house) replica(f *fuse) *actions.Runner {
	h.Helper()
	h.metrics = prometheus.NewRegistry()
	metrics := actions.NewMetrics(h.metrics)
	log := slog.New(slog.NewJSONHandler(h.log, nil))
	client := &http.Client{Transport: burning{f}}
	config := gitlab.Config{
		BaseURL: h.gitlab.URL(), Token: gitlabtest.DefaultToken, Transport: client.Transport, Now: h.now, Observe: metrics.GitLabRequest,
		Sleep: func(context.Context, time.Duration) error { return nil },
	}
	if h.rate.Limit > 0 { // then time passes while the next request waits
		h.grants = &grants{Limiter: h.db, rate: h.rate, clock: h.clock}
		config.Limiter, config.Rate, config.Sleep = h.grants, h.rate, h.grants.sleep
	}
	gl, err := gitlab.New(config)
	if err != nil {
		h.Fatal(err)
	}
	teller, err := slack.New(slack.Config{Token: slackToken, APIURL: h.slack.URL(), HTTPClient: client, State: burningStore{Store: h.db, fuse: f}, Now: h.now, Log: log})
	if err != nil {
		h.Fatal(err)
	}
	queue := burningStore{Store: h.db, fuse: f}
	if h.rate.Limit > 0 {
		queue.lasts = 100 // leases are renewed in real time, which is slower
	}
	var tell notify.Receiver = teller
	if h.teller != nil {
		tell = h.teller
	}
	h.metrics.MustRegister(health.NewMetrics(gl))
	return actions.New(actions.Config{
		Queue: queue, Journal: burningStore{Store: h.db, fuse: f}, Guard: burningStore{Store: h.db, fuse: f}, GitLab: gl, Receiver: tell, Rules: h.rules.Load,
		Now: h.now, Log: log, Metrics: metrics, Workers: max(h.workers, 2), NativeRetry: h.native,
	})
}

// deliver puts a hook body into the queue, as the webhook does.
func (h *house) deliver(body []byte) { h.Helper(); h.enqueue(body, event.SourceWebhook, time.Time{}) }

// enqueue puts the event of a hook body into the queue; again is when a person
// wanted failed decisions to be made again, zero for never.
func (h *house) enqueue(body []byte, source string, again time.Time) {
	h.Helper()
	e, err := webhook.Decode(body, h.gitlab.URL())
	if err != nil {
		h.Fatal(err)
	}
	h.events++
	e.Meta.ID, e.Meta.Source, e.Meta.ReceivedAt = fmt.Sprintf("delivery-%d", h.events), source, h.now()
	record, err := json.Marshal(event.Record{Event: e, Again: again})
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.db.Put(h.Context(), store.Record{ID: "event:" + e.Meta.ID, Kind: event.RecordEvent, Body: record}); err != nil {
		h.Fatal(err)
	}
}

// work does what is due now.
func (h *house) work() {
	h.Helper()
	if _, err := h.runner.Drain(h.Context()); err != nil && !errors.Is(err, errDead) {
		h.Fatal(err)
	}
}

// workOff lets time pass until the queue is empty.
func (h *house) workOff() {
	h.Helper()
	for range 100 {
		h.work()
		h.rest()
		if h.idle() {
			return
		}
		h.clock.Advance(time.Minute)
	}
	h.Fatalf("the queue does not get empty\n%s", h.log)
}

// rest lets happen what happens meanwhile.
func (h *house) rest() {
	if h.meanwhile != nil {
		h.meanwhile()
	}
}

// idle reports whether the queue is empty.
func (h *house) idle() bool {
	h.Helper()
	d, err := h.db.Depth(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return d.Due+d.Waiting+d.Leased == 0
}

// wantOnce wants one retry, one message and one outcome, done; when says what
// was done to the program.
func (h *house) wantOnce(when string) {
	h.Helper()
	if n := h.gitlab.Count("POST", "/retry"); n != 1 {
		h.Errorf("%s: %d retries, want 1", when, n)
	}
	if n := len(h.slack.Posts()); n != 1 {
		h.Errorf("%s: %d messages, want 1", when, n)
	}
	if o := h.only(); o.Result != event.ResultDone {
		h.Errorf("%s: outcome %q (%s), want done", when, o.Result, o.Reason)
	}
}

// outcomes lists the journal, oldest first.
func (h *house) outcomes() []event.Outcome {
	h.Helper()
	entries, _, err := h.db.Entries(h.Context(), "", 1000)
	if err != nil {
		h.Fatal(err)
	}
	all := make([]event.Outcome, len(entries))
	for i, e := range entries {
		if err := json.Unmarshal(e.Body, &all[len(entries)-1-i]); err != nil {
			h.Fatal(err)
		}
	}
	return all
}

// only gives the one outcome there is.
func (h *house) only() event.Outcome {
	h.Helper()
	all := h.outcomes()
	if len(all) != 1 {
		h.Fatalf("%d outcomes, want 1: %+v\n%s", len(all), all, h.log)
	}
	return all[0]
}

// wantOutcome checks the one outcome there is, what its reason says, and how
// often GitLab was called for it; it gives the outcome.
func (h *house) wantOutcome(result, says, call string, calls int) event.Outcome {
	h.Helper()
	o := h.only()
	if o.Result != result {
		h.Errorf("outcome %s (%s), want %s", o.Result, o.Reason, result)
	}
	has(h.T, o.Reason, says)
	if n := h.gitlab.Count("POST", call); n != calls {
		h.Errorf("%d calls to %s, want %d", n, call, calls)
	}
	return o
}

// failedJob makes a pipeline whose job has failed.
func (h *house) failedJob(reason string) gitlabtest.Job {
	h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
	return h.gitlab.Job(h.end("rspec", "failed", reason))
}

// addJob makes a pipeline of one job, which has ended in the status; where that
// is "", the job runs, or waits if it is manual.
func (h *house) addJob(job gitlabtest.Job, status string) gitlabtest.Job {
	h.addPipeline(gitlabtest.Pipeline{}, job)
	added := h.gitlab.Latest(h.pipeline.ID, job.Name)
	switch {
	case status != "":
		h.end(job.Name, status, "script_failure")
	case job.When == "":
		h.gitlab.Run(added.ID)
	}
	return h.gitlab.Job(added.ID)
}

// end runs the latest run of a name to its end, and gives its id.
func (h *house) end(name, status, reason string) int64 {
	job := h.gitlab.Latest(h.pipeline.ID, name)
	h.gitlab.Run(job.ID)
	h.gitlab.Finish(job.ID, status, reason)
	return job.ID
}

// wantResults checks what came of all decisions, oldest first.
func (h *house) wantResults(want ...string) {
	h.Helper()
	var got, reasons []string
	for _, o := range h.outcomes() {
		got, reasons = append(got, o.Result), append(reasons, o.Reason)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		h.Errorf("outcomes (-want +got):\n%s%q", diff, reasons)
	}
}

// runsOf lists all runs of a name in the pipeline that was made last.
func (h *house) runsOf(name string) []gitlabtest.Job {
	var runs []gitlabtest.Job
	for _, job := range h.gitlab.Jobs(h.pipeline.ID) {
		if job.Name == name {
			runs = append(runs, job)
		}
	}
	return runs
}

// addPipeline makes a pipeline in a project of its own.
func (h *house) addPipeline(p gitlabtest.Pipeline, jobs ...gitlabtest.Job) gitlabtest.Pipeline {
	project := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.pipeline = h.gitlab.AddPipeline(project.ID, p, jobs...)
	return h.pipeline
}

// addOther adds a project that nothing is done in, so that the bot has rights
// somewhere whatever it loses.
func (h *house) addOther() { h.gitlab.AddProject(gitlabtest.Project{Path: "platform/other"}) }

// countStatus counts the runs of a name in a status.
func (h *house) countStatus(name, status string) int {
	n := 0
	for _, job := range h.runsOf(name) {
		if job.Status == status {
			n++
		}
	}
	return n
}

// retried lists the jobs that GitLab was asked to retry, in that order.
func (h *house) retried() []int64 {
	var ids []int64
	for _, r := range h.gitlab.Requests() {
		var project, job int64
		if _, err := fmt.Sscanf(r.Path, "/projects/%d/jobs/%d/retry", &project, &job); err == nil && r.Method == http.MethodPost {
			ids = append(ids, job)
		}
	}
	return ids
}

// died tells when a job ended.
func (h *house) died(job int64) time.Time { return h.gitlab.Job(job).FinishedAt }

// wantStorm checks the metric of storms.
func (h *house) wantStorm(class string, active int) {
	h.Helper()
	text, err := testutil.CollectAndFormat(breaker.NewMetrics(h.runner.Breakers), expfmt.TypeTextPlain, "pipesteward_storm_active")
	if err != nil {
		h.Fatal(err)
	}
	has(h.T, string(text), fmt.Sprintf("pipesteward_storm_active{class=%q} %d\n", class, active))
}

// fuse blows after so many steps to the outside; then the program is dead:
// nothing that it does has an effect any more. A negative fuse never blows.
type fuse struct {
	mu    sync.Mutex
	left  int
	burnt int // steps so far
	// before is called before each request and each renewal of a lease, with its
	// method; nil: nothing is.
	before func(step string)
}

func (f *fuse) announce(step string) {
	if f.before != nil {
		f.before(step)
	}
}

var errDead = errors.New("the process was killed")

func newFuse(steps int) *fuse { return &fuse{left: steps} }

// step does something to the outside, unless the program died before it. A
// program that dies right after it does not learn what came of it.
func (f *fuse) step(do func() error) error {
	if f.burn() {
		return errDead
	}
	err := do()
	if f.burn() {
		return errDead
	}
	return err
}

func (f *fuse) burn() (dead bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.burnt++
	if f.left > 0 {
		f.left--
	}
	return f.left == 0
}

func (f *fuse) blown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left == 0
}

// burning is the way to GitLab and Slack.
type burning struct{ fuse *fuse }

func (b burning) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	b.fuse.announce(r.Method)
	err = b.fuse.step(func() error {
		resp, err = http.DefaultTransport.RoundTrip(r)
		return err
	})
	if err != nil && resp != nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		resp = nil
	}
	return resp, err
}

// grants notes when requests to GitLab are granted, by a clock that moves while
// they wait. On a busy machine they may reach GitLab much later by that clock.
type grants struct {
	ratelimit.Limiter
	rate  store.Rate // of all requests; some have others besides
	clock *storetest.Clock
	time  sync.RWMutex // held for writing while time passes
	mu    sync.Mutex
	at    []time.Time
}

func (g *grants) Take(ctx context.Context, key string, rate store.Rate) (time.Duration, error) {
	g.time.RLock()
	defer g.time.RUnlock()
	wait, err := g.Limiter.Take(ctx, key, rate)
	if err == nil && wait <= 0 && rate == g.rate {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.at = append(g.at, g.clock.Now())
	}
	return wait, err
}

// sleep has time pass until d from now; who sleeps meanwhile sleeps in it.
func (g *grants) sleep(_ context.Context, d time.Duration) error {
	until := g.clock.Now().Add(d)
	g.time.Lock()
	defer g.time.Unlock()
	if left := until.Sub(g.clock.Now()); left > 0 {
		g.clock.Advance(left)
	}
	return nil
}

// last is when the last one was granted.
func (g *grants) last() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.MaxFunc(g.at, time.Time.Compare)
}

// wantAtMost wants no more grants than that in any minute, and of all requests
// that GitLab saw.
func (g *grants) wantAtMost(h *house, perMinute int) {
	h.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if requests := len(h.gitlab.Requests()); requests > len(g.at) {
		h.Errorf("GitLab saw %d requests, and %d were granted", requests, len(g.at))
	}
	slices.SortFunc(g.at, time.Time.Compare)
	first := 0
	for i, at := range g.at {
		for at.Sub(g.at[first]) >= time.Minute {
			first++
		}
		if n := i - first + 1; n > perMinute {
			h.Errorf("%d requests were granted in the minute before %v, want %d at most", n, at, perMinute)
			return
		}
	}
}

// burningStore is the way to the store.
type burningStore struct {
	store.Store
	fuse  *fuse
	lasts int // how many times longer leases last; 0: as long as they are wanted
}

func (b burningStore) lasting(visibility time.Duration) time.Duration {
	return time.Duration(max(b.lasts, 1)) * visibility
}

func (b burningStore) Put(ctx context.Context, records ...store.Record) (added []bool, err error) {
	err = b.fuse.step(func() error { added, err = b.Store.Put(ctx, records...); return err })
	return added, err
}

func (b burningStore) Queued(ctx context.Context, ids ...string) (queued bool, err error) {
	err = b.fuse.step(func() error { queued, err = b.Store.Queued(ctx, ids...); return err })
	return queued, err
}

func (b burningStore) Lease(ctx context.Context, n int, visibility time.Duration) (leases []store.Lease, err error) {
	err = b.fuse.step(func() error { leases, err = b.Store.Lease(ctx, n, b.lasting(visibility)); return err })
	return leases, err
}

func (b burningStore) Extend(ctx context.Context, l *store.Lease, visibility time.Duration) error {
	b.fuse.announce("extend")
	return b.fuse.step(func() error { return b.Store.Extend(ctx, l, b.lasting(visibility)) })
}

func (b burningStore) Done(ctx context.Context, l *store.Lease, next ...store.Record) error {
	return b.fuse.step(func() error { return b.Store.Done(ctx, l, next...) })
}

func (b burningStore) Defer(ctx context.Context, l *store.Lease, after time.Duration) error {
	return b.fuse.step(func() error { return b.Store.Defer(ctx, l, after) })
}

func (b burningStore) Bury(ctx context.Context, l *store.Lease, reason string) error {
	return b.fuse.step(func() error { return b.Store.Bury(ctx, l, reason) })
}

func (b burningStore) Note(ctx context.Context, id string, body []byte) error {
	return b.fuse.step(func() error { return b.Store.Note(ctx, id, body) })
}

func (b burningStore) Amend(ctx context.Context, id string, body []byte) error {
	return b.fuse.step(func() error { return b.Store.Amend(ctx, id, body) })
}

func (b burningStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return b.fuse.step(func() error { return b.Store.Set(ctx, key, value, ttl) })
}

func (b burningStore) Get(ctx context.Context, key string) (value []byte, err error) {
	err = b.fuse.step(func() error { value, err = b.Store.Get(ctx, key); return err })
	return value, err
}

func (b burningStore) Claim(ctx context.Context, key, owner string, ttl time.Duration) (held bool, err error) {
	err = b.fuse.step(func() error { held, err = b.Store.Claim(ctx, key, owner, ttl); return err })
	return held, err
}

func (b burningStore) Release(ctx context.Context, key, owner string) error {
	return b.fuse.step(func() error { return b.Store.Release(ctx, key, owner) })
}

func (b burningStore) Take(ctx context.Context, key string, rate store.Rate) (wait time.Duration, err error) {
	err = b.fuse.step(func() error { wait, err = b.Store.Take(ctx, key, rate); return err })
	return wait, err
}

func (b burningStore) Tally(ctx context.Context, key string, s store.Seen, within time.Duration) (count store.Count, err error) {
	err = b.fuse.step(func() error { count, err = b.Store.Tally(ctx, key, s, within); return err })
	return count, err
}

func (b burningStore) Tallied(ctx context.Context, key string, within time.Duration) (all []store.Seen, err error) {
	err = b.fuse.step(func() error { all, err = b.Store.Tallied(ctx, key, within); return err })
	return all, err
}

// has fails the test if text lacks a part.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}
