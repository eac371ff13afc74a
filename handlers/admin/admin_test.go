package admin_test

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/index"
	"github.com/pipesteward/pipesteward/actions/steer"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryStore has the data that the admin API shows. The oldest entry of its journal has the
// place 1.
type memoryStore struct {
	journal  []store.Entry        // newest first
	returned int                  // journal entries returned
	queue    []store.QueuedRecord // soonest due first
	dead     []store.DeadRecord
	err      error
}

var _ admin.Store = (*memoryStore)(nil)

func (m *memoryStore) Ping(context.Context) error { return m.err }

func (m *memoryStore) Depth(context.Context) (store.Depth, error) {
	return store.Depth{Due: 4, Waiting: 3, Leased: 2, Dead: len(m.dead)}, m.err
}

func (m *memoryStore) Records(_ context.Context, cursor string, n int) ([]store.QueuedRecord, string, error) {
	return pageOf(m.queue, cursor, n, m.err)
}

func (m *memoryStore) Dead(_ context.Context, cursor string, n int) ([]store.DeadRecord, string, error) {
	return pageOf(m.dead, cursor, n, m.err)
}

// pageOf returns a page of a list. The cursor is the index of its first item.
func pageOf[T any](all []T, cursor string, n int, err error) (page []T, next string, _ error) {
	from := 0
	if cursor != "" {
		if from, err = strconv.Atoi(cursor); err != nil {
			return nil, "", store.ErrBadCursor
		}
	}
	to := min(from+n, len(all))
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next, err
}

func (m *memoryStore) EntriesOf(_ context.Context, ids ...string) (entries []store.Entry, err error) {
	for _, id := range ids {
		if i := slices.IndexFunc(m.journal, func(e store.Entry) bool { return e.ID == id }); i >= 0 {
			entries = append(entries, m.journal[i])
		}
	}
	return entries, m.err
}

func (m *memoryStore) Amended(context.Context, string, int) (ids []string, next string, err error) {
	return nil, "", m.err
}

func (m *memoryStore) Entries(_ context.Context, cursor string, n int) (entries []store.Entry, next string, err error) {
	before, err := store.ParseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	from := 0
	if before != 0 {
		from = len(m.journal) - int(before) + 1
	}
	for i, e := range m.journal[from:min(from+n, len(m.journal))] {
		e.Seq = uint64(len(m.journal) - from - i)
		entries = append(entries, e)
	}
	m.returned += len(entries)
	if from+n < len(m.journal) {
		next = entries[n-1].Cursor()
	}
	return entries, next, m.err
}

// note adds an outcome to the journal, the newest.
func (m *memoryStore) note(o event.Outcome) {
	body, err := stdjson.Marshal(o)
	if err != nil {
		panic(err)
	}
	m.journal = slices.Insert(m.journal, 0, store.Entry{ID: o.ID, Body: body})
}

// outcome makes a decision that differs from its neighbours in every field
// that one can filter by.
func outcome(i int) event.Outcome {
	results := []string{"", event.ResultDone, event.ResultSkipped, event.ResultGaveUp}
	verbs := []string{event.VerbRetry, event.VerbPlay, event.VerbErase}
	var o event.Outcome
	o.ID = "decision-" + strconv.Itoa(i)
	o.Meta.Kind = event.KindJob
	o.Rule = "rule-" + strconv.Itoa(i%5)
	o.Action.Verb = verbs[i%3]
	o.Result = results[i%4]
	o.Project = event.Project{ID: int64(200 + i%7), Path: "platform/p" + strconv.Itoa(i%7)}
	o.Pipeline.ID = int64(1000 + i%11)
	o.Job = event.Job{ID: int64(90000 + i), Ref: "branch-" + strconv.Itoa(i%13)}
	return o
}

// state is a state of the rules that does not change.
type state admin.RulesState

func (s state) State() admin.RulesState { return admin.RulesState(s) }

func (s state) MayNotify(channel string) bool { return strings.HasSuffix(channel, "ci") }

func TestRulesState(t *testing.T) {
	code, text := newAdminRig(t).get(t, "/api/v1/rules")
	var got admin.RulesState
	if err := stdjson.Unmarshal([]byte(text), &got); err != nil || code != http.StatusOK {
		t.Fatalf("%d %s: %v", code, text, err)
	}
	if got.Hash != "abc" || got.Error == "" || len(got.Rules) != 1 || got.Rules[0].Name != "retry-stuck" {
		t.Errorf("answer is %s", text)
	}
}

type adminRig struct {
	*httptest.Server
	store      *memoryStore
	deliveries *delivered
	metrics    *prometheus.Registry
	log        *bytes.Buffer
	changes    *changes
	catchUps   *catchUps
	unknown    *unknowns
	seeder     *seeder
	checks     *checks
	// steered are the records that were changed, each as action, id and who did it.
	steered []string
	steer   error // what changing a record returns
}

// now is the time of the server.
var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// changes is a list of changes in memory.
type changes struct {
	all []event.Change
	err error
}

func (c *changes) Record(_ context.Context, change event.Change) error {
	if c.err == nil {
		c.all = slices.Insert(c.all, 0, change)
	}
	return c.err
}

func (c *changes) List(context.Context) ([]event.Change, error) {
	return append([]event.Change{}, c.all...), c.err
}

// Requeue implements admin.Steerer.
func (r *adminRig) Requeue(_ context.Context, id string, by event.Actor) (event.Requeued, error) {
	r.steered = append(r.steered, "requeue "+id+" by "+by.By+" from "+by.From)
	return event.Requeued{ID: id, Decision: "again"}, r.steer
}

// Drop implements admin.Steerer.
func (r *adminRig) Drop(_ context.Context, id string, by event.Actor) error {
	r.steered = append(r.steered, strings.TrimSuffix("drop "+id+" by "+by.By+" from "+by.From+": "+by.Reason, ": "))
	return r.steer
}

func newAdminRig(tb testing.TB) *adminRig {
	tb.Helper()
	r := &adminRig{store: &memoryStore{}, deliveries: &delivered{}, metrics: prometheus.NewRegistry(), log: &bytes.Buffer{}, changes: &changes{}, catchUps: &catchUps{}, unknown: &unknowns{}, seeder: &seeder{}, checks: &checks{}}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.Server = httptest.NewServer(described(tb, admin.New(admin.Config{
		Decisions: index.New(index.Config{Journal: r.store, Now: func() time.Time { return now }, Log: log}),
		Steerer:   r, Doctor: r.checks, Hooks: r.checks, Changes: r.changes, CatchUpEvery: 5 * time.Minute, CatchUps: r.catchUps, Kinds: steer.Kinds, Describe: steer.Describe, Reports: reports{r}, Unknown: r.unknown, Limits: r, Activity: r, Seeder: r.seeder, Instance: instance, Pauses: noPauses{}, Mutes: noMutes{}, Now: func() time.Time { return now },
		Addr:       &net.TCPAddr{IP: net.IPv4zero},
		Reload:     func() error { return nil },
		Store:      r.store,
		Deliveries: r.deliveries,
		Rules:      state{Hash: "abc", Error: "rules.yaml:1:1: no", Rules: []rules.Summary{{Name: "retry-stuck", On: "job"}}},
		Metrics:    r.metrics,
		Log:        log,
	})))
	tb.Cleanup(r.Close)
	return r
}

func (r *adminRig) get(tb testing.TB, path string) (code int, answer string) {
	tb.Helper()
	return r.request(tb, http.MethodGet, path, "")
}

// request sends a request with a JSON body, or none if that is "".
func (r *adminRig) request(tb testing.TB, method, path, body string) (code int, answer string) {
	tb.Helper()
	req, err := http.NewRequest(method, r.URL+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.Client().Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

// page is the part of a response of /api/v1/decisions that the tests check.
type page struct {
	Decisions []struct {
		ID string `json:"id"`
	} `json:"decisions"`
	Next string `json:"next"`
}

func (p page) ids() []string {
	list := []string{}
	for _, d := range p.Decisions {
		list = append(list, d.ID)
	}
	return list
}

func (r *adminRig) page(tb testing.TB, query url.Values) page {
	tb.Helper()
	code, answer := r.get(tb, "/api/v1/decisions?"+query.Encode())
	if code != 200 {
		tb.Fatalf("%s: answer is %d %s", query.Encode(), code, answer)
	}
	var p page
	if err := stdjson.Unmarshal([]byte(answer), &p); err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestAdminHealth(t *testing.T) {
	cases := []struct {
		name   string
		store  error
		code   int
		answer string
	}{
		{"ready", nil, 200, `{"status":"ready"}`},
		{"store down", errors.New("disk full"), 503, `{"error":"store unreachable: disk full"}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newAdminRig(t)
			r.store.err = c.store
			for _, path := range []string{"/readyz", "/-/ready"} {
				if code, answer := r.get(t, path); code != c.code || answer != c.answer {
					t.Errorf("%s is %d %s, want %d %s", path, code, answer, c.code, c.answer)
				}
			}
			for _, path := range []string{"/healthz", "/-/healthy"} {
				if code, answer := r.get(t, path); code != 200 || answer != `{"status":"ok"}` {
					t.Errorf("%s is %d %s, want 200", path, code, answer)
				}
			}
		})
	}
}

// TestClientLeft: a client that goes away is no outage of the store.
func TestClientLeft(t *testing.T) {
	for _, c := range []struct {
		name         string
		left, logged bool
	}{
		{"the store is down", false, true},
		{"the client has left", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newAdminRig(t)
			r.store.err = errors.New("disk full")
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			if c.left {
				leave()
			}
			r.Config.Handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/status", http.NoBody))
			if got := strings.Contains(r.log.String(), "store did not answer"); got != c.logged {
				t.Errorf("the log is %q, want a line of an outage: %t", r.log, c.logged)
			}
		})
	}
}

func TestAdminMetrics(t *testing.T) {
	r := newAdminRig(t)
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	r.metrics.MustRegister(counter)
	counter.Add(3)
	if code, answer := r.get(t, "/metrics"); code != 200 || !strings.Contains(answer, "\nthings_total 3") {
		t.Errorf("/metrics is %d %s", code, answer)
	}
	r.metrics.MustRegister(unreadable{})
	if code, answer := r.get(t, "/metrics"); code != 200 || !strings.Contains(answer, "\nthings_total 3") {
		t.Errorf("/metrics is %d %s while the store is away", code, answer)
	}
}

// unreadable is a metric that can't be read.
type unreadable struct{}

var waiting = prometheus.NewDesc("waiting", "What waits.", nil, nil)

func (unreadable) Describe(all chan<- *prometheus.Desc) { all <- waiting }

func (unreadable) Collect(all chan<- prometheus.Metric) {
	all <- prometheus.NewInvalidMetric(waiting, errors.New("the store is away"))
}

func TestAdminAnswersErrors(t *testing.T) {
	cases := []struct {
		path   string
		store  error
		code   int
		answer string
	}{
		{"/api/v1/decisions?limit=0", nil, 400, `parameter "limit": it must be a whole number from 1 to 500`},
		{"/api/v1/decisions?limit=501", nil, 400, `parameter "limit": it must be a whole number from 1 to 500`},
		{"/api/v1/decisions?limit=ten", nil, 400, `parameter "limit": it must be a whole number from 1 to 500`},
		{"/api/v1/decisions?job=lint", nil, 400, `parameter "job": it must be an id, a whole number from 1`},
		{"/api/v1/decisions?pipeline=-1", nil, 400, `parameter "pipeline": it must be an id, a whole number from 1`},
		{"/api/v1/decisions?outcome=fine", nil, 400, `parameter "outcome": it must be one of done, dry_run, skipped, deferred, failed, gave_up, recovered, waiting`},
		{"/api/v1/decisions?action=repair", nil, 400, `parameter "action": it must be one of retry, play, cancel, erase, retry_pipeline, cancel_pipeline, cancel_outdated, notify`},
		{
			"/api/v1/decisions?action=repair&limit=0", nil, 400,
			"parameter \"action\": it must be one of retry, play, cancel, erase, retry_pipeline, cancel_pipeline, cancel_outdated, notify\nparameter \"limit\": it must be a whole number from 1 to 500",
		},
		{"/api/v1/decisions?rules=a", nil, 400, `parameter "rules" is unknown: there are rule, action, outcome, project, pipeline, job, ref, since, text, limit, cursor, id`},
		{"/api/v1/decisions?rule=a&rule=b", nil, 400, `parameter "rule" is given 2 times: give it once`},
		{"/api/v1/decisions?cursor=none", nil, 400, `parameter "cursor": it must be the "next" of an earlier answer`},
		{"/api/v1/decisions", errors.New("disk full"), 503, `the store did not answer: see /readyz and the log`},
		{"/api/v1/queue", errors.New("disk full"), 503, `the store did not answer: see /readyz and the log`},
		{"/api/v1/dead", errors.New("disk full"), 503, `the store did not answer: see /readyz and the log`},
		{"/api/v1/dead?limit=1000", nil, 400, `parameter "limit": it must be a whole number from 1 to 500`},
		{"/api/v1/dead?state=due", nil, 400, `parameter "state" is unknown: there are kind, project, rule, action, pipeline, job, since, limit, cursor`},
		{"/api/v1/dead?cursor=none", nil, 400, `parameter "cursor": it must be the "next" of an earlier answer`},
		{"/api/v1/queue?cursor=none", nil, 400, `parameter "cursor": it must be the "next" of an earlier answer`},
		{"/api/v1/queue?waits_for=godot", nil, 400, `parameter "waits_for": it must be one of delay, turn, pause, storm, budget, confirm, gitlab, receiver, quiet, digest, mute, schedule, error`},
		{"/api/v1/queue?kind=nonsense", nil, 400, `parameter "kind": it must be one of event, decision, outcome, notice, digest, sweep, follow, storm, answer, trouble, webhooks, request, report, try, pass_rate`},
		{"/api/v1/dead?kind=nonsense", nil, 400, `parameter "kind": it must be one of event, decision, outcome, notice, digest, sweep, follow, storm, answer, trouble, webhooks, request, report, try, pass_rate`},
		{"/api/v1/queue?state=dead", nil, 400, `parameter "state": it must be one of due, waiting, leased`},
		{"/api/v1/decisions?since=yesterday", nil, 400, `parameter "since": it must be a duration like 2h or 7d, or a time like 2026-12-24T18:00:00Z`},
		{"/api/v1/decisions?id=a&rule=b", nil, 400, `parameter "id": give the ids of 1 to 50 decisions, and no other parameter`},
		{"/api/v1/decisions?id=", nil, 400, `parameter "id": give the ids of 1 to 50 decisions, and no other parameter`},
		{"/api/v1/decisions?id=a", errors.New("disk full"), 503, `the store did not answer: see /readyz and the log`},
		{"/api/v1/status", errors.New("disk full"), 503, `the store did not answer: see /readyz and the log`},
		{"/api/v1/changes?limit=0", nil, 400, `parameter "limit": it must be a whole number from 1 to 500`},
		{"/api/v1/decisions?outcome=failed;since=2h", nil, 400, "the query can't be read: invalid semicolon separator in query: write & between parameters, and %25 and %3B for the characters % and ;"},
		{"/api/v1/queue?rule=%zz", nil, 400, `the query can't be read: invalid URL escape "%zz": write & between parameters, and %25 and %3B for the characters % and ;`},
		{"/api/v1/status?%zz", nil, 400, `the query can't be read: invalid URL escape "%zz": write & between parameters, and %25 and %3B for the characters % and ;`},
		{"/api/v1/decisions?job=", nil, 400, `parameter "job" is empty: give a value, or leave it out`},
		{"/api/v1/decisions?outcome", nil, 400, `parameter "outcome" is empty: give a value, or leave it out`},
		{"/api/v1/deliveries?since=", nil, 400, `parameter "since" is empty: give a value, or leave it out`},
		{"/api/v1/dead?project=", nil, 400, `parameter "project" is empty: give a value, or leave it out`},
		{"/api/v1/changes?limit=", nil, 400, `parameter "limit" is empty: give a value, or leave it out`},
		{"/api/v1/why?url=", nil, 400, `parameter "url" is empty: give a value, or leave it out`},
		{"/api/v1/why", nil, 400, `parameter "url" is missing: give the address of a job or a pipeline in GitLab, percent-encoded`},
		{"/api/v1/status?x=1", nil, 400, `parameter "x" is unknown: this address takes none`},
		{"/api/v1/rules?x=1", nil, 400, `parameter "x" is unknown: this address takes none`},
		{"/api/v1/catch-up?x=1", nil, 400, `parameter "x" is unknown: this address takes none`},
		{"/api/v1/openapi.yaml?x=1", nil, 400, `parameter "x" is unknown: this address takes none`},
		{"/api/v1/decisions?project=%7Ba", nil, 400, "parameter \"project\": \"{a\" is not a glob pattern: `*` matches within a path part, `**` over parts, `{a,b}` either"},
		{"/api/v2", nil, 404, `there is nothing at this address`},
	}
	for _, c := range cases {
		t.Run(c.path, func(t *testing.T) {
			r := newAdminRig(t)
			r.store.err = c.store
			code, answer := r.get(t, c.path)
			var got struct{ Error string }
			if err := stdjson.Unmarshal([]byte(answer), &got); err != nil {
				t.Fatal(err)
			}
			if code != c.code || got.Error != c.answer {
				t.Errorf("answer is %d %s, want %d %s", code, got.Error, c.code, c.answer)
			}
		})
	}
}

func TestAdminDecisionsFilters(t *testing.T) {
	r := newAdminRig(t)
	var journal []event.Outcome
	for i := range 300 {
		o := outcome(i)
		if i == 7 {
			o.AlsoWantedBy = []string{"rule-late"}
		}
		r.store.note(o)
		journal = append([]event.Outcome{o}, journal...)
	}
	cases := []struct {
		query string
		match func(event.Outcome) bool
	}{
		{"", func(event.Outcome) bool { return true }},
		{"rule=rule-3", func(o event.Outcome) bool { return o.Rule == "rule-3" }},
		{"rule=rule-late", func(o event.Outcome) bool { return o.ID == "decision-7" }},
		{"action=play", func(o event.Outcome) bool { return o.Action.Verb == "play" }},
		{"outcome=gave_up", func(o event.Outcome) bool { return o.Result == "gave_up" }},
		{"outcome=waiting", func(o event.Outcome) bool { return o.Result == "" }},
		{"project=platform/p3", func(o event.Outcome) bool { return o.Project.Path == "platform/p3" }},
		{"project=203", func(o event.Outcome) bool { return o.Project.ID == 203 }},
		{"pipeline=1004", func(o event.Outcome) bool { return o.Pipeline.ID == 1004 }},
		{"job=90077", func(o event.Outcome) bool { return o.Job.ID == 90077 }},
		{"ref=branch-5", func(o event.Outcome) bool { return o.Job.Ref == "branch-5" }},
		{"rule=rule-1&action=retry&outcome=done", func(o event.Outcome) bool {
			return o.Rule == "rule-1" && o.Action.Verb == "retry" && o.Result == "done"
		}},
		{"rule=none", func(event.Outcome) bool { return false }},
		{"project=Platform/P3", func(o event.Outcome) bool { return o.Project.ID == 203 }},
		{"project=platform/p%7B3,5%7D", func(o event.Outcome) bool { return o.Project.ID == 203 || o.Project.ID == 205 }},
		{"project=PLATFORM/**", func(event.Outcome) bool { return true }},
		{"project=platform", func(event.Outcome) bool { return false }},
	}
	for _, c := range cases {
		t.Run(c.query, func(t *testing.T) {
			query, err := url.ParseQuery(c.query)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{}
			for _, o := range journal {
				if c.match(o) {
					want = append(want, o.ID)
				}
			}
			query.Set("limit", "500")
			p := r.page(t, query)
			if diff := cmp.Diff(want, p.ids()); diff != "" || p.Next != "" {
				t.Errorf("next is %q, and decisions differ (- want, + got):\n%s", p.Next, diff)
			}
			query.Del("limit")
			if diff := cmp.Diff(want[:min(50, len(want))], r.page(t, query).ids()); diff != "" {
				t.Errorf("decisions of the default page differ (- want, + got):\n%s", diff)
			}
		})
	}
}

// TestAdminDecisionsPages: whatever the page's size and the filter, and
// although the journal grows meanwhile, the pages together have each decision
// that matched when the first one was requested, once and in order.
func TestAdminDecisionsPages(t *testing.T) {
	r := newAdminRig(t)
	rapid.Check(t, func(rt *rapid.T) {
		r.store.journal = nil
		newest, want := 0, []string{}
		grow := func(n int) {
			for range n {
				r.store.note(outcome(newest))
				newest++
			}
		}
		grow(rapid.IntRange(0, 700).Draw(rt, "entries"))
		query := url.Values{"limit": {strconv.Itoa(rapid.IntRange(1, 500).Draw(rt, "limit"))}}
		rule := rapid.SampledFrom([]string{"", "rule-2"}).Draw(rt, "rule")
		if rule != "" {
			query.Set("rule", rule)
		}
		for i := newest - 1; i >= 0; i-- {
			if o := outcome(i); rule == "" || o.Rule == rule {
				want = append(want, o.ID)
			}
		}
		var got []string
		for {
			p := r.page(t, query)
			got = append(got, p.ids()...)
			if p.Next == "" {
				break
			}
			query.Set("cursor", p.Next)
			grow(rapid.IntRange(0, 30).Draw(rt, "meanwhile"))
		}
		if diff := cmp.Diff(strings.Join(want, " "), strings.Join(got, " ")); diff != "" {
			rt.Fatalf("pages differ from the journal (- want, + got):\n%s", diff)
		}
	})
}

// TestAdminDecisionsBound: a filter that matches little costs no more than a
// bounded walk, after which the caller goes on.
func TestAdminDecisionsBound(t *testing.T) {
	r := newAdminRig(t)
	const entries = 11_000
	r.store.journal = make([]store.Entry, entries)
	for i := range r.store.journal {
		o := outcome(i)
		body, err := stdjson.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		r.store.journal[i] = store.Entry{ID: o.ID, Body: body}
	}
	query, requests := url.Values{"job": {strconv.Itoa(90000 + entries - 1)}}, 0
	for {
		r.store.returned = 0
		p := r.page(t, query)
		requests++
		if r.store.returned > 6000 {
			t.Fatalf("one request read %d entries", r.store.returned)
		}
		if p.Next == "" {
			if len(p.Decisions) != 1 {
				t.Errorf("the last page has %d decisions, want 1", len(p.Decisions))
			}
			break
		}
		query.Set("cursor", p.Next)
	}
	if requests < 3 {
		t.Errorf("%d requests were enough for %d entries", requests, entries)
	}
}

func TestAdminDecisionsUnreadableEntry(t *testing.T) {
	r := newAdminRig(t)
	r.store.note(outcome(1))
	r.store.journal = append(r.store.journal, store.Entry{ID: "broken", Body: []byte("{")}, store.Entry{ID: "other", Body: []byte(`{"event":7}`)})
	if got := r.page(t, nil).ids(); len(got) != 1 {
		t.Errorf("decisions are %v", got)
	}
	for _, id := range []string{"broken", "other"} {
		if !strings.Contains(r.log.String(), "decision="+id) {
			t.Errorf("the log does not name the entry %s: %s", id, r.log)
		}
	}
}

// TestAdminHidesVariables: variables may be passwords, whoever set them.
func TestAdminHidesVariables(t *testing.T) {
	r := newAdminRig(t)
	o := outcome(1)
	o.Pipeline.Variables = map[string]string{"DB_PASSWORD": "hunter2"}
	o.Action.Variables = map[string]string{"TOKEN": "hunter2"}
	o.Action.Inputs = map[string]stdjson.RawMessage{"key": []byte(`"hunter2"`)}
	r.store.note(o)
	for _, kind := range []string{event.RecordEvent, event.RecordDecision, event.RecordOutcome} {
		r.store.dead = append(r.store.dead, store.DeadRecord{ID: kind, Kind: kind, Body: r.store.journal[0].Body})
	}
	for _, path := range []string{"/api/v1/decisions", "/api/v1/dead"} {
		code, answer := r.get(t, path)
		if code != 200 || strings.Contains(answer, "hunter2") || !strings.Contains(answer, `"DB_PASSWORD":"[hidden]"`) {
			t.Errorf("%s is %d %s", path, code, answer)
		}
	}
}

func TestAdminQueueAndDead(t *testing.T) {
	r := newAdminRig(t)
	at := time.Date(2026, 3, 4, 10, 0, 0, 0, time.FixedZone("", 3600))
	r.store.dead = []store.DeadRecord{
		{ID: "event:1", Kind: event.RecordEvent, Body: []byte(`{"event":{"kind":"job","id":"1"},"job":{"id":90412,"name":"rspec","status":"failed"}}`), Reason: "no rights", At: at},
		{ID: "event:2", Kind: event.RecordEvent, Body: []byte(`{`), Reason: "not readable", At: at},
		{ID: "other:3", Kind: "webhooks", Body: []byte(`{}`), Reason: "unknown kind", At: at},
	}
	const first = `{"id":"event:1","kind":"event","reason":"no rights","at":"2026-03-04T09:00:00Z","about":"rspec failed","job":90412,"job_name":"rspec","record":{"event":{"kind":"job","id":"1"},"job":{"id":90412,"name":"rspec","status":"failed"}}}`
	const second = `{"id":"event:2","kind":"event","reason":"not readable","at":"2026-03-04T09:00:00Z"}`
	const third = `{"id":"other:3","kind":"webhooks","reason":"unknown kind","at":"2026-03-04T09:00:00Z"}`
	for path, want := range map[string]string{
		"/api/v1/queue":              `{"due":4,"waiting":3,"leased":2,"dead":3,"records":[],"next":""}`,
		"/api/v1/dead":               fmt.Sprintf(`{"dead":[%s,%s,%s],"next":""}`, first, second, third),
		"/api/v1/dead?limit=1":       fmt.Sprintf(`{"dead":[%s],"next":"1"}`, first),
		"/api/v1/dead?cursor=2":      fmt.Sprintf(`{"dead":[%s],"next":""}`, third),
		"/api/v1/dead?kind=webhooks": fmt.Sprintf(`{"dead":[%s],"next":""}`, third),
		"/api/v1/dead?job=90412":     fmt.Sprintf(`{"dead":[%s],"next":""}`, first),
	} {
		if code, answer := r.get(t, path); code != 200 || answer != want {
			t.Errorf("%s is %d\n%s\nwant\n%s", path, code, answer, want)
		}
	}
}
