package admin_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
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
	"github.com/pipesteward/pipesteward/store/storetest"
)

// noMutes are the mutes where a test needs none.
type noMutes struct{ admin.Muter }

func (noMutes) List(context.Context) ([]event.Mute, error) { return []event.Mute{}, nil }

// TestMuteAndUnmute goes through the API with one request after the other.
func TestMuteAndUnmute(t *testing.T) {
	clock := storetest.NewClock()
	db := openStore(t, clock)
	var log bytes.Buffer
	made := audit.Log{Store: db, Now: clock.Now}
	server := described(t, admin.New(admin.Config{
		Changes: made, Describe: steer.Describe, Deliveries: &delivered{}, Projects: inGitLab{"platform/shop"},
		Addr: &net.TCPAddr{IP: net.IPv4zero}, Store: db, Metrics: prometheus.NewRegistry(), Version: "v1", Now: clock.Now, Log: slog.New(slog.DiscardHandler),
		Rules:  state{Hash: "abc", Rules: []rules.Summary{{Name: "retry-stuck", On: "job"}}},
		Pauses: noPauses{}, Mutes: pause.Mutes{Store: db, Now: clock.Now, Log: slog.New(slog.NewTextHandler(&log, nil))},
	}))
	until := clock.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)
	for _, step := range []struct {
		path, body string
		code       int
		says       []string
		lacks      string
	}{
		{path: "/api/v1/status", code: 200, says: []string{`"muted":[]`}},
		{path: "/api/v1/unmute", body: `{}`, code: 404, says: []string{`no mute with the scope \"all\" is in force`}},
		{path: "/api/v1/mute", body: `{"by": "ann", "reason": "noise"}`, code: 200, says: []string{`"by":"ann"`, `"reason":"noise"`}, lacks: `"until"`},
		{path: "/api/v1/mute", body: `{"by": "bob", "for": "1h"}`, code: 409, says: []string{`muted (all) by ann: noise, since 2`, "would end earlier", `unmute it first, or give parameter \"replace\"`}},
		{path: "/api/v1/mute", body: `{"by": "bob", "for": "1h", "replace": true}`, code: 200, says: []string{`"replaced":{"by":"ann","reason":"noise"`}},
		{path: "/api/v1/mute", body: `{"by": "ann", "reason": "noise"}`, code: 200, says: []string{`"replaced":{"by":"bob"`}},
		{path: "/api/v1/mute", body: `{"rule": "retry-stuck", "channel": "#ci", "for": "2h"}`, code: 200, says: []string{`"channel":"#ci"`, `"until":"` + until}},
		{path: "/api/v1/mute", body: `{"project": "platform", "for": "2h"}`, code: 200, says: []string{"the mute stops nothing now", `mute \"platform/**\"`}},
		{path: "/api/v1/mute", body: `{"channel": "#typo", "for": "2h"}`, code: 200, says: []string{"the mute stops nothing now: no rule notifies"}},
		{path: "/api/v1/unmute", body: `{"channel": "#TYPO"}`, code: 200, says: []string{`"ended":[{"channel":"#typo"`}},
		{path: "/api/v1/status", code: 200, says: []string{`"by":"ann"`, `"rule":"retry-stuck","channel":"#ci"`}},
		{path: "/api/v1/unmute", body: `{"channel": "#ci"}`, code: 404, says: []string{`\"channel:ci\"`}},
		{path: "/api/v1/unmute", body: `{"rule": "retry-stuck", "channel": "ci"}`, code: 200, says: []string{`"project":"platform"`, `"ended":[{"rule":"retry-stuck","channel":"#ci"`}, lacks: `"muted":[{"rule"`},
		{path: "/api/v1/unmute", body: `{"every": true, "by": "bob"}`, code: 200, says: []string{`"muted":[]`, `"ended":[{"by":"ann","reason":"noise"`}},

		{path: "/api/v1/mute", body: `{"channels": "x"}`, code: 400, says: []string{`unknown field \"channels\"`}},
		{path: "/api/v1/mute", body: `{"rule": "retry-stuk"}`, code: 400, says: []string{`there is no rule \"retry-stuk\": there are retry-stuck`}},
		{path: "/api/v1/mute", body: `{"channel": ""}`, code: 400, says: []string{`\"channel\" is empty: give a value, or leave it out for everything`}},
		{path: "/api/v1/mute", body: `{"for": "2h", "until": "2999-01-01T00:00:00Z"}`, code: 400, says: []string{"the mute ends: give one"}},
		{path: "/api/v1/unmute", body: `{"every": true, "channel": "ci"}`, code: 400, says: []string{`without parameter \"rule\"`}},
	} {
		method := http.MethodPost
		if step.path == "/api/v1/status" {
			method = http.MethodGet
		}
		r := httptest.NewRequest(method, step.path, strings.NewReader(step.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		text := w.Body.String()
		if w.Code != step.code {
			t.Errorf("%s %s: %d %s, want %d", step.path, step.body, w.Code, text, step.code)
		}
		for _, part := range step.says {
			if !strings.Contains(text, part) {
				t.Errorf("%s %s: %s lacks %s", step.path, step.body, text, part)
			}
		}
		if step.lacks != "" && strings.Contains(text, step.lacks) {
			t.Errorf("%s %s: %s has %s", step.path, step.body, text, step.lacks)
		}
	}
	var recorded []string
	for _, c := range recordedIn(t, made) {
		recorded = append(recorded, fmt.Sprint(c.Action, " ", c.Target, " ", c.By))
	}
	if diff := cmp.Diff([]string{"unmute every mute bob", "unmute rule:retry-stuck, channel:ci ", "unmute channel:typo ", "mute channel:typo ", "mute project:platform ", "mute rule:retry-stuck, channel:ci ", "mute all ann", "mute all bob", "mute all ann"}, recorded); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	for _, line := range []string{`msg=muted scope=all by=ann reason=noise`, `replaced="muted (all) by ann: noise" scope=all by=bob`, `msg=unmuted scope="every mute" by=bob mutes=2`} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %s:\n%s", line, log.String())
		}
	}
}

// TestMutesAreBounded: there are 1,000 mutes at most, and unreadable ones say how to end them.
func TestMutesAreBounded(t *testing.T) {
	clock := storetest.NewClock()
	db := openStore(t, clock)
	var all []string
	for i := range event.MaxMutes {
		all = append(all, fmt.Sprintf(`{"project": "team-%d/*"}`, i))
	}
	server := described(t, admin.New(admin.Config{
		Changes: &changes{}, Deliveries: &delivered{}, Projects: inGitLab{},
		Addr: &net.TCPAddr{IP: net.IPv4zero}, Store: db, Metrics: prometheus.NewRegistry(), Now: clock.Now, Log: slog.New(slog.DiscardHandler), Rules: state{},
		Pauses: noPauses{}, Mutes: pause.Mutes{Store: db, Now: clock.Now, Log: slog.New(slog.DiscardHandler)},
	}))
	for _, step := range []struct {
		stored string
		code   int
		says   string
	}{
		{"[" + strings.Join(all, ",") + "]", 409, "there are 1000 mutes, as many as can be: unmute some"},
		{"{}", 500, "end all with `unmute --every`"},
	} {
		if err := db.Set(t.Context(), "mutes", []byte(step.stored), time.Hour); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/api/v1/mute", strings.NewReader(`{"channel": "ci"}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if text := w.Body.String(); w.Code != step.code || !strings.Contains(text, step.says) {
			t.Errorf("%.20s: %d %.200s, want %d …%s…", step.stored, w.Code, text, step.code, step.says)
		}
	}
}
