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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/audit"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/steer"
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
	changes audit.Log
	handler http.Handler
}

// ruleState has one rule.
type ruleState struct{}

func (ruleState) State() admin.RulesState {
	return admin.RulesState{Rules: []rules.Summary{{Name: "retry-stuck"}}}
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

func newRig(tb testing.TB, db store.Store) *rig {
	tb.Helper()
	log := slog.New(slog.DiscardHandler)
	authorizer, err := auth.New(auth.Config{
		Kind: auth.KindProxyHeader, Proxy: auth.ProxyConfig{UserHeader: "X-User"}, Roles: auth.Roles{Readers: []string{"rita"}, Operators: []string{"ann"}}, Now: time.Now, Log: log,
	})
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{TB: tb, store: db, changes: audit.Log{Store: db, Now: time.Now}}
	r.handler = admin.New(admin.Config{
		Addr: &net.TCPAddr{IP: net.ParseIP("0.0.0.0")}, Auth: authorizer, Store: db, Deliveries: nothing{}, Projects: nothing{}, CatchUps: nothing{}, Rules: ruleState{}, Changes: r.changes,
		Pauses: pause.Pauses{Store: db, Now: time.Now, Log: log}, Mutes: pause.Mutes{Store: db, Now: time.Now, Log: log},
		Steerer: &steer.Steerer{Store: db, Now: time.Now, Log: log}, Kinds: steer.Kinds, Describe: steer.Describe,
		Page: page.New(time.Now, log), Metrics: prometheus.NewRegistry(), Now: time.Now, Log: log,
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
				o.Job = event.Job{ID: int64(i), Name: "rspec <script>alert(1)</script>", Status: "failed", FailureReason: "stuck_or_timeout_failure", Ref: "main", URL: "javascript:alert(1)"}
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

// TestEscaped: what comes from GitLab is text on the page, and a link only to the web.
func TestEscaped(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	r.decide(3)
	for _, address := range []string{"/", "/decisions", "/decision?id=decision-0", "/decisions?text=needle"} {
		w := r.send(http.MethodGet, address, "rita", nil)
		text := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(text, "rspec &lt;script&gt;") || strings.Contains(text, "<script>alert") || strings.Contains(text, `="javascript:`) {
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
		for _, c := range []struct{ name, address string }{
			{"newest", "/decisions"}, {"one in seven", "/decisions?outcome=done"}, {"one in 500", "/decisions?project=group/project-7"}, {"the oldest of all", "/decisions?text=needle"},
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
