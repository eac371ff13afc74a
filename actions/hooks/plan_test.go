package hooks_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/hooks"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

const (
	path    = "/webhooks/gitlab"
	address = "https://bot.example.com" + path
)

// good is a webhook as it should be; change changes it.
func good(id int64, change ...func(*gitlab.Hook)) gitlab.Hook {
	h := gitlab.Hook{
		ID: id, Project: 22, URL: address, JobEvents: true, PipelineEvents: true, Events: []string{"job", "pipeline"}, VerifiesTLS: true,
		HasToken: gitlab.Present, HasSigningToken: gitlab.Absent, AlertStatus: gitlab.StatusExecutable,
	}
	for _, c := range change {
		c(&h)
	}
	return h
}

func TestPlan(t *testing.T) {
	t.Parallel()
	at := func(url string) func(*gitlab.Hook) { return func(h *gitlab.Hook) { h.URL = url } }
	paused := func(h *gitlab.Hook) { h.AlertStatus, h.DisabledUntil = gitlab.StatusPaused, noon.Add(time.Hour) }
	ofGroup := gitlab.Hook{ID: 3, Group: "platform", URL: address, JobEvents: true, AlertStatus: gitlab.StatusExecutable}
	failing := func(status string) map[int64]hooks.Deliveries {
		return map[int64]hooks.Deliveries{7: {Failed: 2, LastStatus: status, LastAt: noon.Add(-time.Hour), Failing: true}}
	}
	for _, c := range []struct {
		name     string
		wanted   func(*hooks.Wanted)
		found    hooks.Found
		verdict  hooks.Verdict
		todo     []string
		findings []string // parts of them, in their order
	}{
		{name: "none", verdict: hooks.Missing, todo: []string{"create the webhook"}},
		{name: "none, and none is created", wanted: func(w *hooks.Wanted) { w.KeepOnly = true }, verdict: hooks.Missing},
		{name: "somebody else's", found: hooks.Found{Hooks: []gitlab.Hook{good(7, at("https://ci.example.com/trigger"))}}, verdict: hooks.Missing, todo: []string{"create the webhook"}},
		{name: "right", found: hooks.Found{Hooks: []gitlab.Hook{good(7)}}, verdict: hooks.OK},
		{name: "the same URL otherwise written", found: hooks.Found{Hooks: []gitlab.Hook{good(7, at("https://ci:pw@BOT.example.com:443/webhooks/gitlab/?a=b"))}}, verdict: hooks.OK},
		{
			name:  "everything wrong",
			found: hooks.Found{Hooks: []gitlab.Hook{{ID: 7, URL: "http://bot.example.com/webhooks/gitlab/", Template: true, FiltersBranches: true, HasToken: gitlab.Absent, AlertStatus: gitlab.StatusDisabled}}},
			todo: []string{
				"set of webhook 7: URL, job events on, pipeline events on, TLS verification on, secret token, custom template off, branch filter off",
				"enable webhook 7 by a test delivery",
			},
			verdict:  hooks.Disabled,
			findings: []string{"webhook 7 after failed deliveries: it is disabled for good", "webhook 7 needs: URL, job events"},
		},
		{name: "a branch filter that somebody uses for push events", found: hooks.Found{Hooks: []gitlab.Hook{good(7, func(h *gitlab.Hook) { h.FiltersBranches, h.PushEvents = true, true })}}, verdict: hooks.OK},
		{
			name:   "an http URL has no certificate",
			wanted: func(w *hooks.Wanted) { w.URL = "http://bot:8080" + path },
			found:  hooks.Found{Hooks: []gitlab.Hook{good(7, at("http://bot:8080"+path), func(h *gitlab.Hook) { h.VerifiesTLS = false })}}, verdict: hooks.OK,
		},
		{
			name: "disabled, nobody knows why", found: hooks.Found{Hooks: []gitlab.Hook{good(7, paused)}}, verdict: hooks.Disabled,
			todo:     []string{"set of webhook 7: secret token", "enable webhook 7 by a test delivery"},
			findings: []string{"temporarily disabled, until 2026-11-30T13:00:00Z", "needs: secret token"},
		},
		{
			name: "disabled for another reason than a secret", found: hooks.Found{Hooks: []gitlab.Hook{good(7, paused)}, Deliveries: failing("502")}, verdict: hooks.Disabled,
			todo: []string{"enable webhook 7 by a test delivery"}, findings: []string{"temporarily disabled", "failed 1h ago: 502"},
		},
		{
			name: "a wrong secret", found: hooks.Found{Hooks: []gitlab.Hook{good(7)}, Deliveries: failing("401")}, verdict: hooks.Wrong,
			todo:     []string{"set of webhook 7: secret token", "try webhook 7 by a test delivery"},
			findings: []string{"webhook 7 needs: secret token", "failed 1h ago: 401, the secret of the webhook is not one of this service's"},
		},
		{
			name: "a service that is down", found: hooks.Found{Hooks: []gitlab.Hook{good(7)}, Deliveries: failing("internal error")}, verdict: hooks.Failing,
			todo: []string{"try webhook 7 by a test delivery"}, findings: []string{"no answer (is this service reachable from GitLab?)"},
		},
		{
			name: "failures before a success", verdict: hooks.OK,
			found: hooks.Found{Hooks: []gitlab.Hook{good(7)}, Deliveries: map[int64]hooks.Deliveries{7: {Failed: 2, LastStatus: "401"}}},
		},
		{name: "rotation", wanted: func(w *hooks.Wanted) { w.Rotate = true }, found: hooks.Found{Hooks: []gitlab.Hook{good(7)}}, verdict: hooks.Wrong, todo: []string{"set of webhook 7: secret token"}, findings: []string{"needs: secret token"}},
		{
			name: "a signing token is to be set", wanted: func(w *hooks.Wanted) { w.SigningToken = "whsec_x" },
			found: hooks.Found{Hooks: []gitlab.Hook{good(7)}}, verdict: hooks.Wrong, todo: []string{"set of webhook 7: signing token"}, findings: []string{"needs: signing token"},
		},
		{
			name: "a GitLab that signs nothing, beside a secret token", wanted: func(w *hooks.Wanted) { w.SigningToken = "whsec_x" },
			found: hooks.Found{Hooks: []gitlab.Hook{good(7, func(h *gitlab.Hook) { h.HasToken, h.HasSigningToken = "", "" })}}, verdict: hooks.OK,
		},
		{
			name: "a GitLab that signs nothing", wanted: func(w *hooks.Wanted) { w.Token, w.SigningToken = "", "whsec_x" },
			found:   hooks.Found{Hooks: []gitlab.Hook{good(7, func(h *gitlab.Hook) { h.HasToken, h.HasSigningToken = "", "" })}},
			verdict: hooks.Wrong, findings: []string{"--webhook-token"},
		},
		{
			name: "two at the same address", found: hooks.Found{Hooks: []gitlab.Hook{good(7, paused), good(9)}}, verdict: hooks.Doubled,
			findings: []string{"webhooks 9 and 7 have the same address, so that all events come twice: delete webhook 7"},
		},
		{name: "the group has one", found: hooks.Found{Above: &ofGroup}, verdict: hooks.Covered},
		{name: "the group has one to rotate", wanted: func(w *hooks.Wanted) { w.Rotate = true }, found: hooks.Found{Above: &ofGroup}, verdict: hooks.Covered, findings: []string{"group platform, webhook 3, which sends its events, keeps its secrets: name the group to rotate them"}},
		{name: "the group is named", wanted: func(w *hooks.Wanted) { w.Rotate = true }, found: hooks.Found{Above: &ofGroup, AboveReported: true}, verdict: hooks.Covered},
		{
			name: "the group has one that is disabled", found: hooks.Found{Above: &gitlab.Hook{ID: 3, Group: "platform", AlertStatus: gitlab.StatusDisabled}}, verdict: hooks.Covered,
			findings: []string{"group platform, webhook 3, which sends its events, is disabled for good: name the group"},
		},
		{
			name: "the group has one, and the project too", found: hooks.Found{Hooks: []gitlab.Hook{good(7, paused)}, Above: &ofGroup}, verdict: hooks.Doubled,
			findings: []string{"group platform, webhook 3 sends the same events, so that all come twice: delete webhook 7 here"},
		},
		{
			name: "one at another address", found: hooks.Found{Hooks: []gitlab.Hook{good(7, at("https://me:hush@staging.example.com"+path))}}, verdict: hooks.Missing,
			todo: []string{"create the webhook"}, findings: []string{"another address, https://[masked]@staging.example.com/webhooks/gitlab: if that is an earlier one"},
		},
		{
			name: "one at an earlier address", wanted: func(w *hooks.Wanted) { w.Replaces = []string{"https://old.example.com" + path} },
			found: hooks.Found{Hooks: []gitlab.Hook{good(7, at("https://old.example.com"+path))}}, verdict: hooks.Wrong,
			todo: []string{"set of webhook 7: URL"}, findings: []string{"needs: URL"},
		},
		{
			name: "no address is wanted", wanted: func(w *hooks.Wanted) { w.URL = "" },
			found: hooks.Found{Hooks: []gitlab.Hook{good(7, at("https://anywhere.example.com/x"+path))}}, verdict: hooks.OK,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := hooks.Wanted{URL: address, Path: path, Token: "hush"}
			if c.wanted != nil {
				c.wanted(&w)
			}
			c.found.Owner = hooks.Owner{Path: "platform/shop", Project: 22}
			r := w.Plan(c.found).Report(noon)
			if r.Verdict != c.verdict {
				t.Errorf("verdict %s, want %s", r.Verdict, c.verdict)
			}
			if diff := cmp.Diff(c.todo, r.Todo); diff != "" {
				t.Errorf("to do (-want +got):\n%s", diff)
			}
			if len(r.Findings) != len(c.findings) {
				t.Fatalf("findings %q, want %d", r.Findings, len(c.findings))
			}
			for i, part := range c.findings {
				if !strings.Contains(r.Findings[i], part) {
					t.Errorf("finding %q lacks %q", r.Findings[i], part)
				}
			}
			shown, err := json.Marshal(r)
			if err != nil || strings.Contains(string(shown), "hush") || strings.Contains(string(shown), "pw@") {
				t.Errorf("a secret is shown: %s, %v", shown, err)
			}
		})
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		address:                                 "",
		"http://10.0.0.1:8080/bot" + path + "/": "",
		"bot.example.com" + path:                "no scheme",
		"ftp://bot.example.com" + path:          "no scheme",
		"https://bot.example.com":               "write for instance https://bot.example.com" + path,
		"https://me:hush@bot.example.com/x":     "https://[masked]@bot.example.com/x does not end in",
		"https://me:hu%sh@bot":                  "it is no URL",
		address + "#x":                          "fragment",
	} {
		err := hooks.CheckURL(text, path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) || err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
