package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

const instance = "https://gitlab.example.com"

// seeder adds what it gets.
type seeder struct {
	got []event.PastTry
	err error
}

var _ admin.Seeder = &seeder{}

func (s *seeder) Seed(_ context.Context, found []event.PastTry) (event.Seeded, error) {
	s.got = append(s.got, found...)
	return event.Seeded{Added: len(found)}, s.err
}

// TestTries: tries are added and recorded as a change; what can't be true is refused.
func TestTries(t *testing.T) {
	t.Parallel()
	good := event.PastTry{Project: "platform/shop", ProjectID: 7, PipelineID: 70, Job: "rspec", NewID: 700, Class: "runner", Delay: 4, Seconds: 60, Passed: true, At: now.Add(-time.Hour)}
	with := func(change func(*event.PastTry)) []event.PastTry {
		one := good
		change(&one)
		return []event.PastTry{good, one}
	}
	for _, test := range []struct {
		name     string
		tries    []event.PastTry
		instance string
		seed     error
		code     int
		says     string
	}{
		{"two", []event.PastTry{good, good}, instance + "/", nil, http.StatusOK, `"added":2`},
		{"none", nil, instance, nil, http.StatusBadRequest, "1 to 1000 items, not 0"},
		{"too many", make([]event.PastTry, 1001), instance, nil, http.StatusBadRequest, "not 1001"},
		{"without an id", with(func(p *event.PastTry) { p.NewID = 0 }), instance, nil, http.StatusBadRequest, "item 2: it needs the ids"},
		{"without a job", with(func(p *event.PastTry) { p.Job = "" }), instance, nil, http.StatusBadRequest, "item 2: it needs the name of its job"},
		{"before the failure", with(func(p *event.PastTry) { p.Delay = -1 }), instance, nil, http.StatusBadRequest, "item 2: -1 is no number of seconds"},
		{"in the future", with(func(p *event.PastTry) { p.At = now.Add(time.Hour) }), instance, nil, http.StatusBadRequest, "item 2: 2026-03-04T13:00:00Z is not when a run has ended"},
		{"control characters", with(func(p *event.PastTry) { p.Class = "a\x1b[31m" }), instance, nil, http.StatusBadRequest, "control characters"},
		{"another GitLab", []event.PastTry{good}, "https://other.example.com", nil, http.StatusConflict, "this server works with " + instance},
		{"nothing is remembered", []event.PastTry{good}, instance, &event.StateError{Reason: "learning is off"}, http.StatusConflict, "learning is off"},
		{"no store", []event.PastTry{good}, instance, errors.New("away"), http.StatusServiceUnavailable, "the store did not answer"},
	} {
		r := newAdminRig(t)
		r.seeder.err = test.seed
		body, err := json.Marshal(admin.TriesRequest{Instance: test.instance, Tries: test.tries, By: "ann", Reason: "first day"})
		if err != nil {
			t.Fatal(err)
		}
		code, answer := r.request(t, http.MethodPost, "/api/v1/tries", string(body))
		if code != test.code || !strings.Contains(answer, test.says) {
			t.Errorf("%s: it is answered %d %s, want %d with %q", test.name, code, answer, test.code, test.says)
		}
		if ok := code == http.StatusOK; ok != (len(r.changes.all) == 1) {
			t.Errorf("%s: changes %+v", test.name, r.changes.all)
		} else if ok && (r.changes.all[0].Action != event.ChangeSeed || r.changes.all[0].Target != "2 tries" || r.changes.all[0].By != "ann" || r.changes.all[0].Reason != "first day") {
			t.Errorf("%s: the change is %+v", test.name, r.changes.all[0])
		}
	}
}
