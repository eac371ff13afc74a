package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/audit"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/steer"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// recordedIn returns the list of changes.
func recordedIn(t *testing.T, l audit.Log) []event.Change {
	t.Helper()
	all, err := l.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// openStore opens an empty store that ends with the test.
func openStore(t *testing.T, clock *storetest.Clock) *bolt.Store {
	t.Helper()
	db, err := bolt.Open(t.TempDir()+"/test.db", bolt.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestPauseAndResume goes through the API with one request after the other.
func TestPauseAndResume(t *testing.T) {
	clock := storetest.NewClock()
	db := openStore(t, clock)
	var log bytes.Buffer
	made := audit.Log{Store: db, Now: clock.Now}
	admin := described(t, admin.New(admin.Config{
		Changes: made, Describe: steer.Describe, Deliveries: &delivered{}, Projects: inGitLab{"platform/shop"},
		Addr: &net.TCPAddr{IP: net.IPv4zero}, Store: db, Metrics: prometheus.NewRegistry(), Version: "v1", Now: clock.Now, Log: slog.New(slog.DiscardHandler),
		Rules:  state{Hash: "abc", Rules: []rules.Summary{{Name: "retry-stuck", On: "job"}}},
		Pauses: pause.Pauses{Store: db, Now: clock.Now, Log: slog.New(slog.NewTextHandler(&log, nil))}, Mutes: pause.Mutes{Store: db, Now: clock.Now, Log: slog.New(slog.NewTextHandler(&log, nil))},
	}))
	until := clock.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)
	for _, step := range []struct {
		path, body string
		kind       string // Content-Type; default: JSON
		code       int
		says       []string
		lacks      string
	}{
		{path: "/api/v1/status", code: 200, says: []string{`"version":"v1"`, `"count":1`, `"paused":[]`, `"due":0`}},
		{path: "/api/v1/resume", body: `{}`, code: 404, says: []string{`no pause with the scope \"all\" is in force`}},
		{path: "/api/v1/pause", body: `{"by": "ann", "reason": "the cluster moves"}`, code: 200, says: []string{`"by":"ann"`, `"reason":"the cluster moves"`}, lacks: `"until"`},
		{path: "/api/v1/pause", body: `{"project": "platform/*", "for": "2h"}`, code: 200, says: []string{`"project":"platform/*"`, `"until":"` + until}},
		{path: "/api/v1/pause", body: `{"rule": "retry-stuck", "until": "2999-01-01T00:00:00Z"}`, code: 200, says: []string{`"rule":"retry-stuck"`}},
		{path: "/api/v1/status", code: 200, says: []string{`"by":"ann"`, `"project":"platform/*"`, `"rule":"retry-stuck"`}},
		{path: "/api/v1/resume", body: `{"by": "ann"}`, code: 200, says: []string{`"paused":[{"project":"platform/*"`, `"ended":[{"by":"ann","reason":"the cluster moves"`}},
		{path: "/api/v1/resume", body: `{"project": "mobile/*"}`, code: 404, says: []string{"`pipesteward status` lists those that are"}},
		{path: "/api/v1/resume", body: `{"project": "Platform/*"}`, code: 200, says: []string{`"ended":[{"project":"platform/*"`}},
		{path: "/api/v1/resume", body: `{"every": true}`, code: 200, says: []string{`"paused":[]`, `"ended":[{"rule":"retry-stuck"`}},

		{path: "/api/v1/pause", body: `{"by": "ann", "reason": "a leak", "for": "8h"}`, code: 200, lacks: `"replaced"`},
		{path: "/api/v1/pause", body: `{"by": "bob", "for": "1h"}`, code: 409, says: []string{`paused (all) by ann: a leak, until 2026-11-01T20:00:00Z, since 2026-11-01T12:00:00Z`, "would end earlier", `parameter \"replace\"`}},
		{path: "/api/v1/status", code: 200, says: []string{`"by":"ann"`}, lacks: `"by":"bob"`},
		{path: "/api/v1/pause", body: `{"by": "ann", "for": "4h"}`, code: 200, says: []string{`"replaced":{"by":"ann","reason":"a leak","since":"2026-11-01T12:00:00Z","until":"2026-11-01T20:00:00Z"}`}},
		{path: "/api/v1/pause", body: `{"by": "bob"}`, code: 200, says: []string{`"replaced":{"by":"ann"`}},
		{path: "/api/v1/pause", body: `{"by": "ann", "for": "9h"}`, code: 409, says: []string{"paused (all) by bob"}},
		{path: "/api/v1/pause", body: `{"by": "ann", "for": "9h", "replace": true}`, code: 200, says: []string{`"replaced":{"by":"bob"`}},
		{path: "/api/v1/pause", body: `{"by": "ann", "project": "platform/*"}`, code: 200, lacks: `"replaced"`},
		{path: "/api/v1/pause", body: `{"by": "bob", "project": "PLATFORM/*", "for": "1h"}`, code: 409, says: []string{"paused (project:platform/*) by ann"}},
		{path: "/api/v1/resume", body: `{"every": true}`, code: 200, says: []string{`"paused":[]`}},

		{path: "/api/v1/pause", body: `{"project": "a/b", "project": "c/d"}`, code: 400, says: []string{`parameter \"project\" is given twice`}},
		{path: "/api/v1/resume", body: `{"every": true, "by": "ann", "Every": false}`, code: 400, says: []string{`parameter \"Every\" is given twice`}},
		{path: "/api/v1/pause", body: `{"reason": "` + strings.Repeat("x", 16<<10) + `"}`, code: 413, says: []string{"the body is too large: it has more than 16384 bytes"}},
		{path: "/api/v1/pause?project=a/b", body: `{}`, code: 400, says: []string{`parameter \"project\" is unknown: this address takes none`}},
		{path: "/api/v1/pause", body: `{"projects": "x"}`, code: 400, says: []string{`unknown field \"projects\"`}},
		{path: "/api/v1/pause", body: `{"rule": "retry-stuk"}`, code: 400, says: []string{`there is no rule \"retry-stuk\": there are retry-stuck`}},
		{path: "/api/v1/pause", body: `{"rule": "retry-stuck", "project": "x"}`, code: 400, says: []string{"make two"}},
		{path: "/api/v1/pause", body: `{"project": "{a"}`, code: 400, says: []string{"is not a glob pattern"}},
		{path: "/api/v1/pause", body: `{"for": "two hours"}`, code: 400, says: []string{"write for instance 30m, 2h or 1d"}},
		{path: "/api/v1/pause", body: `{"for": "2h", "until": "2999-01-01T00:00:00Z"}`, code: 400, says: []string{"give one"}},
		{path: "/api/v1/pause", body: `{"until": "2001-01-01T00:00:00Z"}`, code: 400, says: []string{"which is past"}},
		{path: "/api/v1/pause", body: `{"reason": "` + strings.Repeat("x", 501) + `"}`, code: 400, says: []string{"more than 500 characters"}},
		{path: "/api/v1/pause", body: `{"reason": "a\u001b[31mred"}`, code: 400, says: []string{`\"reason\" has line breaks or other control characters`}},
		{path: "/api/v1/pause", body: `{"by": "ann\nnothing is paused"}`, code: 400, says: []string{`\"by\" has line breaks`}},
		{path: "/api/v1/pause", body: `{"reason": "a\u202eb"}`, code: 400, says: []string{`\"reason\" has line breaks`}},
		{path: "/api/v1/pause", body: `{"project": "a\u001b/*"}`, code: 400, says: []string{"control characters"}},
		{path: "/api/v1/resume", body: `{"by": "ann\u0007"}`, code: 400, says: []string{`\"by\" has line breaks`}},
		{path: "/api/v1/pause", body: `{"project": ""}`, code: 400, says: []string{`\"project\" is empty: give a value, or leave it out for everything`}},
		{path: "/api/v1/resume", body: `{"rule": ""}`, code: 400, says: []string{`\"rule\" is empty`}},
		{path: "/api/v1/resume", body: `null`, code: 400, says: []string{"must be a JSON object"}},
		{path: "/api/v1/pause", body: `{} {}`, code: 400, says: []string{"more than one value"}},
		{path: "/api/v1/pause", body: ``, code: 400, says: []string{"the body is empty: send a JSON object"}},
		{path: "/api/v1/pause", body: `{"project": 7}`, code: 400, says: []string{`\"project\" must be a text, not number`}},
		{path: "/api/v1/resume", body: `{"every": "yes"}`, code: 400, says: []string{`\"every\" must be true or false, not string`}},
		{path: "/api/v1/pause", body: `{"until": "yesterday"}`, code: 400, says: []string{"is not a time: write for instance 2026-12-24T18:00:00Z"}},
		{path: "/api/v1/pause", body: `{}`, kind: "text/plain", code: 400, says: []string{"Content-Type: application/json"}},
		{path: "/api/v1/resume", body: `{"every": true, "rule": "retry-stuck"}`, code: 400, says: []string{`without parameter \"project\" and parameter \"rule\"`}},
		{path: "/api/v1/status", code: 200, says: []string{`"paused":[]`}},
	} {
		method := http.MethodPost
		if step.path == "/api/v1/status" {
			method = http.MethodGet
		}
		r := httptest.NewRequest(method, step.path, strings.NewReader(step.body))
		r.Header.Set("Content-Type", "application/json")
		if step.kind != "" {
			r.Header.Set("Content-Type", step.kind)
		}
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, r)
		text := w.Body.String()
		if w.Code != step.code {
			t.Errorf("%s %.80s: %d %s, want %d", step.path, step.body, w.Code, text, step.code)
		}
		for _, part := range step.says {
			if !strings.Contains(text, part) {
				t.Errorf("%s %.80s: %s lacks %s", step.path, step.body, text, part)
			}
		}
		if step.lacks != "" && strings.Contains(text, step.lacks) {
			t.Errorf("%s %.80s: %s has %s", step.path, step.body, text, step.lacks)
		}
	}
	var recorded []string
	for _, c := range recordedIn(t, made) {
		recorded = append(recorded, strings.TrimSpace(strings.Join([]string{c.Action, c.Target, c.By, c.Reason, untilText(c)}, " ")))
	}
	if diff := cmp.Diff([]string{
		"resume every pause", "pause project:platform/* ann", "pause all ann  2026-11-01T21:00:00Z", "pause all bob", "pause all ann  2026-11-01T16:00:00Z", "pause all ann a leak 2026-11-01T20:00:00Z",
		"resume every pause", "resume project:platform/*", "resume all ann", "pause rule:retry-stuck   2999-01-01T00:00:00Z", "pause project:platform/*   " + until, "pause all ann the cluster moves",
	}, recorded); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	for _, line := range []string{`msg=paused scope=all by=ann reason="the cluster moves"`, `msg=resumed scope=all by=ann`} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %s:\n%s", line, log.String())
		}
	}
}

// untilText returns when the pause of a change ends; "": it has no end.
func untilText(c event.Change) string {
	if c.Until.IsZero() {
		return ""
	}
	return c.Until.UTC().Format(time.RFC3339)
}

// TestPausesAreBounded: one pause too many is the caller's to mend, and no
// trouble of the store.
func TestPausesAreBounded(t *testing.T) {
	clock := storetest.NewClock()
	db := openStore(t, clock)
	all := make([]event.Pause, event.MaxPauses)
	for i := range all {
		all[i].Project = fmt.Sprintf("team-%d/*", i)
	}
	value, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set(t.Context(), "pauses", value, time.Hour); err != nil {
		t.Fatal(err)
	}
	admin := described(t, admin.New(admin.Config{
		Changes: &changes{}, Deliveries: &delivered{}, Projects: inGitLab{},
		Addr: &net.TCPAddr{IP: net.IPv4zero}, Store: db, Metrics: prometheus.NewRegistry(), Now: clock.Now, Log: slog.New(slog.DiscardHandler), Rules: state{},
		Pauses: pause.Pauses{Store: db, Now: clock.Now, Log: slog.New(slog.DiscardHandler)}, Mutes: pause.Mutes{Store: db, Now: clock.Now, Log: slog.New(slog.DiscardHandler)},
	}))
	for _, step := range []struct {
		project string
		code    int
		says    string
	}{
		{"team-7/*", 200, "team-7/*"}, // in place of the one of this scope
		{"one/more", 409, "there are 1000 pauses, as many as can be: resume some"},
		{"unreadable", 500, "end all with `resume --every`"},
	} {
		if step.project == "unreadable" {
			if err := db.Set(t.Context(), "pauses", []byte("{}"), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		r := httptest.NewRequest(http.MethodPost, "/api/v1/pause", strings.NewReader(`{"project": "`+step.project+`"}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, r)
		if text := w.Body.String(); w.Code != step.code || !strings.Contains(text, step.says) {
			t.Errorf("%s: %d %.200s, want %d …%s…", step.project, w.Code, text, step.code, step.says)
		}
	}
}

// inGitLab are the paths of the projects that GitLab has; nil: it does not answer.
type inGitLab []string

func (all inGitLab) HasProject(_ context.Context, glob string) (bool, error) {
	if all == nil {
		return false, errors.New("GitLab does not answer")
	}
	return slices.ContainsFunc(all, event.Pause{Project: glob}.Covers), nil
}

// TestPauseOfNothing: a pause of projects that nobody has seen is in force, with a warning.
func TestPauseOfNothing(t *testing.T) {
	clock := storetest.NewClock()
	const doubt = "the pause stops nothing now"
	for _, c := range []struct {
		name    string
		body    string
		gitlab  inGitLab
		warning []string
	}{
		{name: "everything", body: `{}`, gitlab: inGitLab{}},
		{name: "a rule", body: `{"rule": "retry-stuck"}`, gitlab: inGitLab{}},
		{name: "a project that has sent an event", body: `{"project": "platform/shop"}`, gitlab: inGitLab{}},
		{name: "a glob of it", body: `{"project": "platform/*"}`, gitlab: inGitLab{}},
		{name: "a glob of it in another case", body: `{"project": "PLATFORM/*"}`, gitlab: inGitLab{}},
		{name: "a project that GitLab has", body: `{"project": "mobile/app"}`, gitlab: inGitLab{"mobile/app"}},
		{name: "a glob of it", body: `{"project": "mobile/*"}`, gitlab: inGitLab{"mobile/app"}},
		{name: "GitLab does not answer", body: `{"project": "mobile/app"}`},
		{name: "no such project", body: `{"project": "platform/shpo"}`, gitlab: inGitLab{"mobile/app"}, warning: []string{doubt, `\"platform/shpo\"`, `pause \"platform/shpo/**\"`}},
		{name: "a group", body: `{"project": "platform"}`, gitlab: inGitLab{"mobile/app"}, warning: []string{doubt, `if it is a group, pause \"platform/**\"`}},
		{name: "no such glob", body: `{"project": "mobil/**"}`, gitlab: inGitLab{"mobile/app"}, warning: []string{doubt, `\"mobil/**\"`}},
	} {
		db := openStore(t, clock)
		admin := described(t, admin.New(admin.Config{
			Changes: &changes{}, Deliveries: &delivered{list: []event.Delivery{{Project: "platform/shop"}, {}}}, Projects: c.gitlab,
			Addr: &net.TCPAddr{IP: net.IPv4zero}, Store: db, Metrics: prometheus.NewRegistry(), Now: clock.Now, Log: slog.New(slog.DiscardHandler),
			Rules:  state{Rules: []rules.Summary{{Name: "retry-stuck", On: "job"}}},
			Pauses: pause.Pauses{Store: db, Now: clock.Now, Log: slog.New(slog.DiscardHandler)}, Mutes: pause.Mutes{Store: db, Now: clock.Now, Log: slog.New(slog.DiscardHandler)},
		}))
		r := httptest.NewRequest(http.MethodPost, "/api/v1/pause", strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, r)
		text := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(text, `"paused":[{`) {
			t.Errorf("%s: %d %s", c.name, w.Code, text)
		}
		if warned := strings.Contains(text, `"warnings"`); warned != (c.warning != nil) {
			t.Errorf("%s: %s", c.name, text)
		}
		for _, part := range c.warning {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %s lacks %s", c.name, text, part)
			}
		}
	}
}
