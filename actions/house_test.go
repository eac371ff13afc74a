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
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest"
)

const slackToken = "xoxb-secret-of-the-tests"

// house is the whole program but its ways in, with a simulated GitLab and
// Slack around it. Its clock is moved by hand, and it works when told to.
type house struct {
	*testing.T
	clock   *storetest.Clock
	gitlab  *gitlabtest.Server
	slack   *slacktest.Server
	path    string // of the bolt file
	db      *store.Bolt
	rules   *rules.Rules
	runner  *actions.Runner
	metrics *prometheus.Registry
	log     *bytes.Buffer
	fuse    *fuse
	events  int
}

func newHouse(t *testing.T, ruleFile string) *house {
	t.Helper()
	h := &house{T: t, clock: storetest.NewClock(), path: filepath.Join(t.TempDir(), "test.db"), log: &bytes.Buffer{}}
	h.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: h.clock.Now})
	var err error
	if h.slack, err = slacktest.New(slacktest.Options{Now: h.clock.Now, Token: slackToken}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.slack.Close() })
	if h.rules, err = rules.Load(rules.Options{}, rules.Source{Name: "rules.yaml", Data: []byte(ruleFile)}); err != nil {
		t.Fatal(err)
	}
	h.start(newFuse(-1))
	t.Cleanup(func() { _ = h.db.Close() })
	return h
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
	if h.db, err = store.OpenBolt(h.path, store.BoltOptions{Now: h.clock.Now}); err != nil {
		h.Fatal(err)
	}
	h.metrics = prometheus.NewRegistry()
	metrics := actions.NewMetrics(h.metrics)
	log := slog.New(slog.NewJSONHandler(h.log, nil))
	client := &http.Client{Transport: burning{f}}
	gl, err := gitlab.New(gitlab.Config{
		BaseURL: h.gitlab.URL(), Token: gitlabtest.DefaultToken, HTTPClient: client, Now: h.clock.Now, Observe: metrics.GitLabRequest,
		Sleep: func(context.Context, time.Duration) error { return nil },
	})
	if err != nil {
		h.Fatal(err)
	}
	teller, err := slack.New(slack.Config{Token: slackToken, APIURL: h.slack.URL(), HTTPClient: client, State: burningStore{h.db, f}, Now: h.clock.Now, Log: log})
	if err != nil {
		h.Fatal(err)
	}
	h.runner = actions.New(actions.Config{
		Queue: burningStore{h.db, f}, Journal: burningStore{h.db, f}, GitLab: gl, Teller: teller, Rules: func() *rules.Rules { return h.rules },
		Now: h.clock.Now, Log: log, Metrics: metrics, Workers: 2,
	})
}

// deliver puts a hook body into the queue, as the webhook does.
func (h *house) deliver(body []byte) {
	h.Helper()
	e, err := handlers.Decode(body, h.gitlab.URL())
	if err != nil {
		h.Fatal(err)
	}
	h.events++
	e.Meta.ID, e.Meta.Source, e.Meta.ReceivedAt = fmt.Sprintf("delivery-%d", h.events), rules.SourceWebhook, h.clock.Now()
	record, err := json.Marshal(e)
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.db.Put(h.Context(), store.Record{ID: "event:" + e.Meta.ID, Kind: rules.RecordEvent, Body: record}); err != nil {
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
		d, err := h.db.Depth(h.Context())
		if err != nil {
			h.Fatal(err)
		}
		if d.Due+d.Waiting+d.Leased == 0 {
			return
		}
		h.clock.Advance(time.Minute)
	}
	h.Fatalf("the queue does not get empty\n%s", h.log)
}

// outcomes lists the journal, oldest first.
func (h *house) outcomes() []rules.Outcome {
	h.Helper()
	entries, _, err := h.db.Entries(h.Context(), "", 1000)
	if err != nil {
		h.Fatal(err)
	}
	all := make([]rules.Outcome, len(entries))
	for i, e := range entries {
		if err := json.Unmarshal(e.Body, &all[len(entries)-1-i]); err != nil {
			h.Fatal(err)
		}
	}
	return all
}

// only gives the one outcome there is.
func (h *house) only() rules.Outcome {
	h.Helper()
	all := h.outcomes()
	if len(all) != 1 {
		h.Fatalf("%d outcomes, want 1: %+v\n%s", len(all), all, h.log)
	}
	return all[0]
}

// wantOutcome checks the one outcome there is, what its reason says, and how
// often GitLab was called for it; it gives the outcome.
func (h *house) wantOutcome(result, says, call string, calls int) rules.Outcome {
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
	project := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
	job := h.gitlab.Latest(pipeline.ID, "rspec")
	h.gitlab.Run(job.ID)
	h.gitlab.Finish(job.ID, "failed", reason)
	return h.gitlab.Job(job.ID)
}

// fuse blows after so many steps to the outside; then the program is dead:
// nothing that it does has an effect any more. A negative fuse never blows.
type fuse struct {
	mu   sync.Mutex
	left int
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

// burningStore is the way to the store.
type burningStore struct {
	*store.Bolt
	fuse *fuse
}

func (b burningStore) Put(ctx context.Context, records ...store.Record) (added []bool, err error) {
	err = b.fuse.step(func() error { added, err = b.Bolt.Put(ctx, records...); return err })
	return added, err
}

func (b burningStore) Queued(ctx context.Context, ids ...string) (queued bool, err error) {
	err = b.fuse.step(func() error { queued, err = b.Bolt.Queued(ctx, ids...); return err })
	return queued, err
}

func (b burningStore) Lease(ctx context.Context, n int, visibility time.Duration) (leases []store.Lease, err error) {
	err = b.fuse.step(func() error { leases, err = b.Bolt.Lease(ctx, n, visibility); return err })
	return leases, err
}

func (b burningStore) Extend(ctx context.Context, l *store.Lease, visibility time.Duration) error {
	return b.fuse.step(func() error { return b.Bolt.Extend(ctx, l, visibility) })
}

func (b burningStore) Done(ctx context.Context, l *store.Lease, next ...store.Record) error {
	return b.fuse.step(func() error { return b.Bolt.Done(ctx, l, next...) })
}

func (b burningStore) Defer(ctx context.Context, l *store.Lease, after time.Duration) error {
	return b.fuse.step(func() error { return b.Bolt.Defer(ctx, l, after) })
}

func (b burningStore) Bury(ctx context.Context, l *store.Lease, reason string) error {
	return b.fuse.step(func() error { return b.Bolt.Bury(ctx, l, reason) })
}

func (b burningStore) Note(ctx context.Context, id string, body []byte) error {
	return b.fuse.step(func() error { return b.Bolt.Note(ctx, id, body) })
}

func (b burningStore) Amend(ctx context.Context, id string, body []byte) error {
	return b.fuse.step(func() error { return b.Bolt.Amend(ctx, id, body) })
}

func (b burningStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return b.fuse.step(func() error { return b.Bolt.Set(ctx, key, value, ttl) })
}

func (b burningStore) Get(ctx context.Context, key string) (value []byte, err error) {
	err = b.fuse.step(func() error { value, err = b.Bolt.Get(ctx, key); return err })
	return value, err
}

func (b burningStore) Claim(ctx context.Context, key, owner string, ttl time.Duration) (held bool, err error) {
	err = b.fuse.step(func() error { held, err = b.Bolt.Claim(ctx, key, owner, ttl); return err })
	return held, err
}

func (b burningStore) Release(ctx context.Context, key, owner string) error {
	return b.fuse.step(func() error { return b.Bolt.Release(ctx, key, owner) })
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
