package admin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// checks are those of doctor, and the webhooks: what was requested, and what is found.
type checks struct {
	requested []string
	err       error
}

func (c *checks) Checkup(context.Context) (admin.Checkup, error) {
	return admin.Checkup{
		Running: &admin.Running{Began: now, By: "ada", Done: 2, Of: 5}, Last: &admin.Ended{Began: now, Ended: now.Add(time.Minute), Error: "stopped"},
		Findings: []admin.Finding{{Check: "token-scopes", Subject: "access token", Severity: "problem", Seen: "it lacks api", Advice: "make another one", Projects: []string{"a/b"}, At: now}},
	}, nil
}

func (c *checks) Check(_ context.Context, all bool, by string) error {
	c.requested = append(c.requested, map[bool]string{true: "all by ", false: "cheap by "}[all]+by)
	return c.err
}

func (c *checks) Hooks(context.Context) (admin.HooksPage, error) {
	return admin.HooksPage{
		Last: &admin.Ended{Began: now, Ended: now, By: "ada"}, Ensures: true, More: 3, Notes: []string{"a note"}, Problems: []string{"gone: no such project"},
		Webhooks: []admin.Webhook{
			{Owner: "a", Kind: "group", Verdict: "disabled", Wrong: true, Findings: []string{"GitLab has disabled it"}, Todo: []string{"enable it"}, Held: "paused (all)", Hook: &admin.Hook{
				ID: 1, URL: "https://p.example.com/webhooks/gitlab", Events: []string{"job"}, State: "disabled", Failed: 4, More: true, LastFailed: "500", LastFailedAt: now,
			}},
			{Owner: "b/c", Kind: "project", Verdict: "unreadable", Wrong: true, Error: "403"},
		},
	}, nil
}

func (c *checks) Read(_ context.Context, ensure bool, by string) error {
	c.requested = append(c.requested, map[bool]string{true: "ensure by ", false: "read by "}[ensure]+by)
	return c.err
}

// TestBackground: checks and webhooks are read by anybody who may read, and begun by requests.
// Only a repair of webhooks is a change.
func TestBackground(t *testing.T) {
	for _, tt := range []struct {
		name, path, body string
		err              error
		code             int
		requested, says  string
		changed          bool
	}{
		{name: "checks", path: "doctor", code: http.StatusOK, requested: "cheap by ", says: `"running":{"began":"2026-03-04T12:00:00Z","by":"ada","done":2,"of":5}`},
		{name: "all checks", path: "doctor", body: `{"all":true,"by":"bob"}`, code: http.StatusOK, requested: "all by bob", says: `"advice":"make another one"`},
		{name: "an unknown member", path: "doctor", body: `{"each":true}`, code: http.StatusBadRequest, says: "unknown field"},
		{name: "more than a line", path: "doctor", body: `{"by":"a\nb"}`, code: http.StatusBadRequest, says: "line breaks"},
		{name: "other checks", path: "doctor", err: &event.StateError{Reason: "under way"}, code: http.StatusConflict, requested: "cheap by ", says: "under way"},
		{name: "no store", path: "doctor", err: errors.New("redis: secret"), code: http.StatusServiceUnavailable, requested: "cheap by ", says: "the store did not answer"},
		{name: "webhooks", path: "hooks", code: http.StatusOK, requested: "read by ", says: `"held":"paused (all)"`},
		{name: "a repair", path: "hooks", body: `{"ensure":true,"by":"bob","reason":"why"}`, code: http.StatusOK, requested: "ensure by bob", says: `"ensures":true`, changed: true},
		{name: "no repair", path: "hooks", body: `{"ensure":true}`, err: &event.StateError{Reason: "not here"}, code: http.StatusConflict, requested: "ensure by ", says: "not here"},
		{name: "a number", path: "hooks", body: `{"ensure":1}`, code: http.StatusBadRequest, says: "must be true or false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newAdminRig(t)
			if code, answer := r.get(t, "/api/v1/"+tt.path); code != http.StatusOK {
				t.Errorf("it is read with %d %s", code, answer)
			}
			r.checks.err = tt.err
			code, answer := r.request(t, http.MethodPost, "/api/v1/"+tt.path, tt.body)
			if code != tt.code || !strings.Contains(answer, tt.says) || strings.Join(r.checks.requested, ";") != tt.requested {
				t.Errorf("%d %s with %q, want %d with %s and %q", code, answer, r.checks.requested, tt.code, tt.says, tt.requested)
			}
			if changed := len(r.changes.all) == 1 && r.changes.all[0].Action == event.ChangeHooks && r.changes.all[0].By == "bob"; changed != tt.changed || !changed && len(r.changes.all) > 0 {
				t.Errorf("the changes are %+v", r.changes.all)
			}
		})
	}
}
