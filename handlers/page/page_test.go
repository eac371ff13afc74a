package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/audit"
	"github.com/pipesteward/pipesteward/actions/index"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/report"
	reportpage "github.com/pipesteward/pipesteward/actions/report/page"
	"github.com/pipesteward/pipesteward/actions/steer"
	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/handlers/page"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// rig is the admin address with the page, on a real store.
type rig struct {
	testing.TB
	store   store.Store
	index   *index.Index // empty until it is built
	changes audit.Log
	handler http.Handler
	parts   map[string]func(context.Context) any // of the status
}

// ruleState has one rule.
type ruleState struct{}

func (ruleState) State() admin.RulesState {
	return admin.RulesState{Rules: []rules.Summary{{Name: "retry-stuck"}, {Name: "erase-logs", On: "schedule", Cron: "0 3 * * *", NextRun: time.Date(2026, 12, 24, 3, 0, 0, 0, time.UTC)}}}
}

func (ruleState) MayNotify(string) bool { return true }

// nothing is a GitLab without projects, whose deliveries are none, and of which nobody
// requested a catch-up.
type nothing struct{}

func (nothing) HasProject(context.Context, string) (bool, error) { return false, nil }

func (nothing) Deliveries(context.Context, func(*event.Delivery) bool, time.Time, string, int) ([]event.Delivery, string, error) {
	return nil, "", nil
}

func (nothing) Start(context.Context, event.CatchUp) (event.CatchUp, error) {
	return event.CatchUp{}, nil
}

func (nothing) Last(context.Context) (*event.CatchUp, error) { return nil, nil } //nolint:nilnil // there is none

func (nothing) Unknown(_ context.Context, _ time.Time, _, id string) (admin.UnknownPage, error) {
	if id == "none" {
		return admin.UnknownPage{Clusters: []unknown.Cluster{}}, nil
	}
	return admin.UnknownPage{NotRead: 7, Clusters: []unknown.Cluster{{
		ID: "3f2a", Text: "no route to <host> <script>alert(1)</script>", Example: "no route to db1", Failed: 12, Retried: 3, Passed: 2, First: time.Now(), Last: time.Now(),
		Reasons: []string{"script_failure"}, Jobs: []unknown.Job{{ID: 7, URL: "https://gitlab.example.com/group/project/-/jobs/7"}, {ID: 8, URL: "javascript:alert(1)"}},
		Names: []string{"rspec"}, Projects: []string{"group/project"}, Runners: []string{"shared-7"},
	}}}, nil
}

func (nothing) Propose(_ context.Context, id string) (*admin.Proposal, error) {
	if id == "generic" {
		return nil, &event.StateError{Reason: "it says too little"}
	}
	return &admin.Proposal{Class: "no-route-3f2a", Rules: "version: 1\nclasses: []\n", Test: "tests: []\n", Shipped: 40}, nil
}

func (nothing) Limits(_ context.Context, of []event.Decision) (l admin.Limits, err error) {
	l.Storm, l.PerJob, l.PerPipeline = admin.Storm{Failures: 30, Pipelines: 10, Within: event.Duration(5 * time.Minute), Pause: event.Duration(15 * time.Minute)}, 3, 20
	l.Breakers = []admin.Breaker{{Class: "runner", Open: true, Started: time.Now(), Until: time.Now().Add(time.Hour)}, {Class: "network", Started: time.Now(), Until: time.Now()}}
	l.Budgets = []admin.Budget{{Scope: "total", Count: 100, Per: event.Duration(time.Hour), Left: 40}}
	for _, d := range of {
		l.Budgets = append(l.Budgets, admin.Budget{Scope: "project", Name: d.Project.Path, Count: 20, Per: event.Duration(time.Hour)})
	}
	return l, nil
}

func (nothing) Activity(context.Context) (admin.Activity, error) {
	return admin.Activity{Since: time.Now(), Events: 40, Rules: []admin.RuleActivity{{Rule: "retry-stuck", Matched: 17, Failed: 2, LastMatch: time.Now(), LastFailed: time.Now(), Error: "if: no such job"}}}, nil
}

// reports sums the journal.
type reports struct{ report.Reader }

func (r reports) Report(ctx context.Context, q admin.ReportQuery) (any, error) {
	return r.Reader.Report(ctx, report.Query(q))
}

func (r reports) Page(ctx context.Context, q admin.ReportQuery) (any, error) {
	sums, err := r.Reader.Report(ctx, report.Query(q))
	if err != nil {
		return nil, err
	}
	return reportpage.Of(sums)
}

func (nothing) Checkup(context.Context) (admin.Checkup, error) {
	return admin.Checkup{
		Running: &admin.Running{Began: time.Now(), By: "ada", Done: 2, Of: 5}, Last: &admin.Ended{Began: time.Now(), Ended: time.Now(), Error: "it was stopped"},
		Findings: []admin.Finding{
			{Check: "store-open", Subject: "store", Severity: "ok", Seen: "bbolt", At: time.Now()},
			{Check: "token-scopes", Subject: "access token", Severity: "problem", Seen: "it lacks <script>", Advice: "make another one", Projects: []string{"a/b"}, At: time.Now()},
		},
	}, nil
}

func (nothing) Check(_ context.Context, all bool, _ string) error {
	if all {
		return &event.StateError{Reason: "checks are under way"}
	}
	return nil
}

func (nothing) Hooks(context.Context) (admin.HooksPage, error) {
	return admin.HooksPage{Ensures: true, More: 3, Notes: []string{"a note"}, Webhooks: []admin.Webhook{
		{Owner: "platform", Kind: "group", Verdict: "disabled", Wrong: true, Findings: []string{"GitLab has disabled it"}, Todo: []string{"enable it"}, Held: "paused (all)", Hook: &admin.Hook{
			URL: "https://p.example.com/webhooks/gitlab", Events: []string{"job", "pipeline"}, State: "disabled", Failed: 10, More: true, LastFailed: "500",
		}},
		{Owner: "group/project", Kind: "project", Verdict: "missing", Wrong: true},
		{Owner: "mobile/app", Kind: "project", Verdict: "covered"},
	}}, nil
}

func (nothing) Read(_ context.Context, ensure bool, _ string) error {
	if ensure {
		return nil
	}
	return &event.StateError{Reason: "they are being read"}
}

// byProxy authenticates people by a header.
var byProxy = auth.Config{Kind: auth.KindProxyHeader, Proxy: auth.ProxyConfig{UserHeader: "X-User"}, Roles: auth.Roles{Readers: []string{"rita"}, Operators: []string{"ann"}}}

func newRig(tb testing.TB, db store.Store) *rig {
	tb.Helper()
	return newRigWith(tb, db, byProxy)
}

func newRigWith(tb testing.TB, db store.Store, cfg auth.Config) *rig {
	tb.Helper()
	log := slog.New(slog.DiscardHandler)
	found := index.New(index.Config{Journal: db, Kept: store.DefaultJournalTTL, MaxHeads: index.MaxHeads, Now: time.Now, Log: log})
	cfg.Now, cfg.Log = time.Now, log
	authorizer, err := auth.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{TB: tb, store: db, index: found, changes: audit.Log{Store: db, Now: time.Now}, parts: map[string]func(context.Context) any{}}
	r.handler = admin.New(admin.Config{
		Addr: &net.TCPAddr{IP: net.ParseIP("0.0.0.0")}, Auth: authorizer, Store: db, Decisions: found, Deliveries: nothing{}, Projects: nothing{}, CatchUpEvery: 5 * time.Minute, CatchUps: nothing{}, Rules: ruleState{}, Changes: r.changes,
		Pauses: pause.Pauses{Store: db, Now: time.Now, Log: log}, Mutes: pause.Mutes{Store: db, Now: time.Now, Log: log},
		Steerer: &steer.Steerer{Store: db, Now: time.Now, Log: log}, Kinds: steer.Kinds, Describe: steer.Describe,
		Doctor: nothing{}, Hooks: nothing{}, Unknown: nothing{}, Limits: nothing{}, Activity: nothing{}, Reports: reports{report.Reader{Journal: db, Deliveries: nothing{}, Now: time.Now, Prices: func() rules.Prices { return rules.Prices{} }, MaxEntries: report.DefaultMaxEntries, Kept: store.DefaultJournalTTL}},
		Parts: r.parts, Page: page.New(time.Now, log), Metrics: prometheus.NewRegistry(), Now: time.Now, Log: log,
	})
	return r
}

func openBolt(tb testing.TB) store.Store {
	tb.Helper()
	db, err := bolt.Open(filepath.Join(tb.TempDir(), "page.db"), bolt.Options{Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// decide adds decisions to the journal, of which every one has another job, and the first the
// reason "needle".
func (r *rig) decide(n int) {
	r.Helper()
	var all sync.WaitGroup
	work := make(chan int)
	for range 64 {
		all.Go(func() {
			for i := range work {
				o := event.Outcome{Result: event.Results[i%len(event.Results)], Reason: "attempt 2 of 3", At: time.Now()}
				if i == 0 {
					o.Reason = "needle"
				}
				o.ID, o.Rule, o.Action.Verb = fmt.Sprintf("decision-%d", i), "retry-stuck", event.VerbRetry
				o.Project = event.Project{ID: int64(i % 500), Path: fmt.Sprintf("group/project-%d", i%500), URL: "https://gitlab.example.com/group/project"}
				o.Job = event.Job{ID: int64(i), Name: "rspec <script>alert(1)</script>\u202e", Status: "failed", FailureReason: "stuck_or_timeout_failure", Ref: "main", URL: "javascript:alert(1)"}
				o.Pipeline = event.Pipeline{ID: int64(i), Ref: "main", SHA: strings.Repeat("a", 40), URL: "https://gitlab.example.com/group/project/-/pipelines/1"}
				o.Commit = event.Commit{Title: "Mend the flaky test", Message: strings.Repeat("A message of a commit. ", 20)}
				o.Explanation.If = event.Part{Text: `failed_with("stuck_or_timeout_failure")`, Result: event.PartTrue, Decided: true, Seen: []event.Seen{{Text: "job.failure_reason", Value: `"stuck_or_timeout_failure"`}}}
				body, err := json.Marshal(o)
				if err == nil {
					err = r.store.Note(context.Background(), o.ID, body)
				}
				if err != nil {
					r.Error(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	all.Wait()
}

// send sends a request of a user's browser.
func (r *rig) send(method, address, user string, form url.Values, header ...string) *httptest.ResponseRecorder {
	r.Helper()
	req := httptest.NewRequestWithContext(r.Context(), method, "http://pipesteward"+address, strings.NewReader(form.Encode()))
	req.RemoteAddr = "127.0.0.1:4000"
	req.Header.Set("X-User", user)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w
}

// TestRoles: who may only read sees no forms that change, and is refused when sending one. The
// name of the change is that of the person, whatever the form says.
func TestRoles(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	const form = `<button name="do" value="pause">`
	for user, sees := range map[string]bool{"rita": false, "ann": true} {
		if w := r.send(http.MethodGet, "/pauses", user, nil); w.Code != http.StatusOK || strings.Contains(w.Body.String(), form) != sees {
			t.Errorf("%s: %d, want a form to pause: %v", user, w.Code, sees)
		}
	}
	pause := url.Values{"do": {"pause"}, "scope": {"rule"}, "rule": {"retry-stuck"}, "by": {"somebody else"}}
	for _, c := range []struct {
		name, user string
		form       url.Values
		header     []string
		code       int
	}{
		{"nobody", "", pause, nil, http.StatusUnauthorized},
		{"a reader", "rita", pause, nil, http.StatusForbidden},
		{"another web page", "ann", pause, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"no scope", "ann", url.Values{"do": {"pause"}}, nil, http.StatusBadRequest},
		{"an unknown rule", "ann", url.Values{"do": {"pause"}, "scope": {"rule"}, "rule": {"retry-stuk"}}, nil, http.StatusBadRequest},
		{"no change", "ann", url.Values{}, nil, http.StatusBadRequest},
		{"an operator", "ann", pause, []string{"Sec-Fetch-Site", "same-origin"}, http.StatusSeeOther},
	} {
		if w := r.send(http.MethodPost, "/pauses", c.user, c.form, c.header...); w.Code != c.code {
			t.Errorf("%s: %d, want %d\n%s", c.name, w.Code, c.code, w.Body)
		}
	}
	all, err := r.changes.List(t.Context())
	if err != nil || len(all) != 1 || all[0].By != "ann" || all[0].Target != "rule:retry-stuck" || all[0].From != "127.0.0.1" {
		t.Errorf("changes %+v, %v, want the pause by ann", all, err)
	}
}

// TestViews: what the views say, and no script of a text.
func TestViews(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	r.decide(14)
	for address, says := range map[string][]string{
		"/rules":               {"has an error", "17", "if: no such job", `href="/decisions?rule=retry-stuck"`, "the 40 events", "on schedule 0 3 * * *, runs next", `<time datetime="2026-12-24T03:00:00Z">`},
		"/":                    {"each 5m by itself; none requested", "<code>pipesteward backup FILE</code>"},
		"/limits":              {"open", "closed", "if no more jobs fail", "40 of 100", `href="/decisions?project=group%2Fproject-0"`, "used up", "Used of the budget: 20 of 20"},
		"/unknown":             {"no route to &lt;host&gt; &lt;script&gt;", "2 of 3", `href="/proposal?id=3f2a"`, "every_failure: true", "project%2F-%2Fjobs%2F7"},
		"/proposal?id=3f2a":    {"no-route-3f2a", "classes: []", "tests: []", "Story of job 7", "Job 8"},
		"/proposal?id=generic": {"it says too little"},
		"/report":              {"14 outcomes", "retry-stuck", "/api/v1/report?since=7d"},
		"/report?since=1d":     {`value="1d" selected`},
		"/report?dry_run=true": {"Passed anyway"},
		"/deliveries":          {"No delivery yet"},
		"/changes":             {"Nobody has changed anything"},
		"/mutes":               {"Nothing is muted"},
		"/doctor":              {"under way since", "requested by ada; 2 of 5 done", "It ended early: it was stopped", "1 problem and 1 in order.", "it lacks &lt;script&gt;", "make another one", "a/b"},
		"/webhooks":            {"2 of 3 projects and groups need attention. 3 more are not listed.", "group platform", "10 or more failed in a day, the last one with 500", "To do: enable it", "Not done: paused (all)", "No webhook sends its job", "a group’s", "a note"},
		"/report?since=3d":     {`value="3d" selected`},
	} {
		w := r.send(http.MethodGet, address, "rita", nil)
		text := w.Body.String()
		if w.Code != http.StatusOK || strings.Contains(text, "<script>") || strings.Contains(text, `"javascript:`) || strings.Contains(text, `method="post"`) {
			t.Errorf("%s: %d, or a script, or a change that a reader may not make\n%s", address, w.Code, text)
		}
		for _, part := range says {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q:\n%s", address, part, text)
			}
		}
	}
	failed := fmt.Sprintf("/decision?id=decision-%d", slices.Index(event.Results, event.ResultFailed))
	for user, may := range map[string]bool{"rita": false, "ann": true} {
		if w := r.send(http.MethodGet, failed, user, nil); strings.Contains(w.Body.String(), "Make it again") != may {
			t.Errorf("a failed decision, for %s: %d\n%s", user, w.Code, w.Body)
		}
	}
	if w := r.send(http.MethodGet, "/decision", "ann", nil); w.Code != http.StatusBadRequest {
		t.Errorf("a decision without an id is %d %s", w.Code, w.Body)
	}
	if w := r.send(http.MethodPost, "/decision", "ann", url.Values{"do": {"requeue"}, "id": {"nothing"}}); w.Code != http.StatusNotFound {
		t.Errorf("making no decision again: %d", w.Code)
	}
	if w := r.send(http.MethodGet, "/proposal?id=none", "rita", nil); w.Code != http.StatusNotFound {
		t.Errorf("a proposal for no group: %d", w.Code)
	}
}

// TestFullStore: each view says that nothing can be written, and the overview says why.
func TestFullStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	const says = "the store can’t be written to"
	for _, writable := range []bool{true, false} {
		r.parts["store"] = func(context.Context) any { return map[string]any{"writable": writable, "summary": "no space left"} }
		for _, address := range []string{"/", "/decisions"} {
			if text := r.send(http.MethodGet, address, "rita", nil).Body.String(); strings.Contains(text, says) == writable || address == "/" && !strings.Contains(text, "<dd>no space left") {
				t.Errorf("%s, writable %t:\n%s", address, writable, text)
			}
		}
	}
}

// TestMutes: a form mutes and unmutes, as its person.
func TestMutes(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	scope := url.Values{"rule": {"retry-stuck"}, "channel": {"#ci"}}
	for _, do := range []string{"mute", "unmute"} {
		scope.Set("do", do)
		if w := r.send(http.MethodPost, "/mutes", "rita", scope); w.Code != http.StatusForbidden {
			t.Errorf("%s by a reader: %d", do, w.Code)
		}
		if w := r.send(http.MethodPost, "/mutes", "ann", scope); w.Code/100 == 4 {
			t.Errorf("%s: %d\n%s", do, w.Code, w.Body)
		}
	}
	all, err := r.changes.List(t.Context())
	if err != nil || len(all) != 2 || all[0].Action != event.ChangeUnmute || all[1].Target != "rule:retry-stuck, channel:ci" || all[1].By != "ann" {
		t.Errorf("changes %+v, %v", all, err)
	}
	if w := r.send(http.MethodGet, "/changes", "rita", nil); !strings.Contains(w.Body.String(), "rule:retry-stuck, channel:ci") {
		t.Errorf("the view of changes:\n%s", w.Body)
	}
}

// TestEscaped: what comes from GitLab is text on the page, in the order in which it was
// written, and a link only to the web.
func TestEscaped(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	r.decide(3)
	for _, address := range []string{"/", "/decisions", "/decision?id=decision-0", "/decisions?text=needle"} {
		w := r.send(http.MethodGet, address, "rita", nil)
		text := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(text, "rspec &lt;script&gt;") || strings.Contains(text, "<script>alert") || strings.Contains(text, `="javascript:`) || strings.Contains(text, "\u202e") {
			t.Errorf("%s: %d\n%s", address, w.Code, text)
		}
		if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s has the headers %v", address, w.Header())
		}
	}
	if n := strings.Count(r.send(http.MethodGet, "/decisions?text=NEEDLE", "rita", nil).Body.String(), `class="row"`); n != 1 {
		t.Errorf("a search finds %d decisions, want 1", n)
	}
}

// TestAssets: browsers keep assets, and ask for them again once they differ.
func TestAssets(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	_, rest, _ := strings.Cut(r.send(http.MethodGet, "/", "rita", nil).Body.String(), `<link rel="stylesheet" href="`)
	address, _, _ := strings.Cut(rest, `"`)
	w := r.send(http.MethodGet, address, "rita", nil)
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("%s: %d %v", address, w.Code, w.Header())
	}
	if again := r.send(http.MethodGet, "/assets/page.css", "rita", nil, "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("the same again: %d %v", again.Code, again.Header())
	}
	if other := r.send(http.MethodGet, "/assets/page.go", "rita", nil); other.Code != http.StatusNotFound {
		t.Errorf("another file: %d", other.Code)
	}
}

// TestFollowed: the address of a view, asked for events, sends its parts, and not again what a
// browser has that comes back. A story, which costs requests to GitLab, is not followed.
func TestFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	r.decide(1)
	server := httptest.NewServer(r.handler)
	t.Cleanup(server.Close)
	follow := func(path, last, until string) string {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-User", "rita")
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Last-Event-ID", last)
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var text strings.Builder
		for lines := bufio.NewScanner(resp.Body); !strings.Contains(text.String(), until) && lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
		}
		return text.String()
	}
	first := follow("/decisions", "", "</table>")
	if !strings.Contains(first, "event: state\n") || !strings.Contains(first, "event: live\ndata: ") || !strings.Contains(first, "data: <tr") {
		t.Errorf("the first events are\n%s", first)
	}
	_, rest, _ := strings.Cut(first, "id: ")
	id, _, _ := strings.Cut(rest, "\n")
	if again := follow("/decisions", id, "\n"); !strings.HasPrefix(again, ": unchanged") {
		t.Errorf("who comes back gets\n%s", again)
	}
	if story := follow("/story", "", "<html"); !strings.HasPrefix(story, "<!DOCTYPE html>") {
		t.Errorf("a story is followed:\n%s", story)
	}
}

// BenchmarkDecisions shows pages of a journal of 100,000 decisions.
func BenchmarkDecisions(b *testing.B) {
	stores := map[string]func(*testing.B) store.Store{
		"bolt": func(b *testing.B) store.Store { b.Helper(); return openBolt(b) },
		"redis": func(b *testing.B) store.Store {
			b.Helper()
			db, err := redis.Open(b.Context(), redistest.Start(b).URL(), redis.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = db.Close() })
			return db
		},
	}
	for name, open := range stores {
		r := newRig(b, open(b))
		r.decide(100_000)
		if err := r.index.Build(b.Context()); err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct{ name, address string }{
			{"newest", "/decisions"},
			{"one in seven", "/decisions?outcome=done"},
			{"one in 500", "/decisions?project=group/project-7"},
			{"the oldest of all", "/decisions?text=needle"},
			{"limits", "/limits"},
			{"rules, with sums of all", "/rules"},
			{"report of all", "/report"},
		} {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				for b.Loop() {
					if w := r.send(http.MethodGet, c.address, "rita", nil); w.Code != http.StatusOK {
						b.Fatal(w.Code, w.Body)
					}
				}
			})
		}
	}
}
