package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestDeliveriesOfServe: what GitLab's Test button sends can be looked at, also what was
// refused, and never a secret.
func TestDeliveriesOfServe(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run()
	body := env.gitlab.JobHookBody(env.stuckJob().ID)
	p.postWith("a wrong token", body)
	p.post(body)
	p.post(body)
	p.post([]byte(`{"object_kind":"push"}`))
	code, text := p.get("/api/v1/deliveries")
	var page admin.DeliveriesPage
	if err := json.Unmarshal([]byte(text), &page); err != nil || code != http.StatusOK {
		t.Fatalf("deliveries: %d %s", code, text)
	}
	var results []string
	for _, d := range page.Deliveries {
		results = append(results, d.Result)
	}
	if got, want := strings.Join(results, " "), "ignored duplicate stored unauthorized"; got != want {
		t.Errorf("deliveries are %s, want %s", got, want)
	}
	if d := page.Deliveries[2]; d.Project != "platform/shop" || d.Kind != event.KindJob || d.Status != "failed" || d.Code != http.StatusAccepted || d.JobName != "rspec" {
		t.Errorf("the stored delivery is %+v", d)
	}
	if n := strings.Count(p.logged(), "the first delivery of a project"); n != 1 {
		t.Errorf("%d first deliveries are logged, want 1:\n%s", n, p.tail())
	}
	for _, secret := range []string{"a wrong token", testSecret} {
		if strings.Contains(text+p.logged(), secret) {
			t.Errorf("%q is shown", secret)
		}
	}
}
