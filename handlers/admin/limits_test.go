package admin_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Limits implements admin.LimitsReader: each project that it is given has a budget.
func (r *adminRig) Limits(_ context.Context, of []event.Decision) (admin.Limits, error) {
	limits := admin.Limits{
		Breakers: []admin.Breaker{{Class: "runner", Open: true, Started: now, Until: now.Add(time.Hour)}},
		Budgets:  []admin.Budget{{Scope: "total", Count: 100, Per: event.Duration(time.Hour), Left: 40}},
	}
	for _, d := range of {
		limits.Budgets = append(limits.Budgets, admin.Budget{Scope: "project", Name: d.Project.Path, Count: 20, Per: event.Duration(time.Hour), Left: 1})
	}
	return limits, r.store.err
}

// Activity implements admin.ActivityReader.
func (r *adminRig) Activity(context.Context) (admin.Activity, error) {
	return admin.Activity{Since: now, Events: 3, Rules: []admin.RuleActivity{{Rule: "retry-stuck", Matched: 2, Failed: 1, LastMatch: now, LastFailed: now, Error: "if: no"}}}, r.store.err
}

// TestLimits: the budgets are those of the projects whose jobs were retried lately, each once.
func TestLimits(t *testing.T) {
	t.Parallel()
	r := newAdminRig(t)
	for i := range 6 {
		o := outcome(i)
		o.Action.Verb, o.Project.ID, o.Project.Path = event.VerbRetry, 7, "platform/shop"
		if i == 5 {
			o.Action.Verb, o.Project.ID, o.Project.Path = event.VerbErase, 8, "platform/logs"
		}
		r.store.note(o)
	}
	code, answer := r.get(t, "/api/v1/limits")
	if code != http.StatusOK || strings.Count(answer, `"scope":"project"`) != 1 || !strings.Contains(answer, `"name":"platform/shop","count":20,"per":"1h","left":1`) {
		t.Errorf("the limits are %d %s", code, answer)
	}
	if code, answer := r.get(t, "/api/v1/rules/activity"); code != http.StatusOK || !strings.Contains(answer, `"rule":"retry-stuck","matched":2,"failed":1`) {
		t.Errorf("the activity is %d %s", code, answer)
	}
	r.store.err = context.DeadlineExceeded
	for _, path := range []string{"/api/v1/limits", "/api/v1/rules/activity"} {
		if code, _ := r.get(t, path); code != http.StatusServiceUnavailable {
			t.Errorf("%s without a store is answered %d", path, code)
		}
	}
}
