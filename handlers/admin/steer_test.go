package admin_test

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// noPauses has no pauses, and takes none.
type noPauses struct{}

func (noPauses) List(context.Context) ([]event.Pause, error) { return []event.Pause{}, nil }

func (noPauses) Pause(context.Context, event.Pause, bool, string) (*event.Pause, error) {
	return nil, errors.New("no pauses")
}

func (noPauses) Resume(context.Context, event.Pause, event.Actor) (*event.Pause, error) {
	return nil, nil
}

func (noPauses) ResumeAll(context.Context, event.Actor) ([]event.Pause, error) { return nil, nil }

// TestQueueLists: the records of the queue are listed with what they are about and wait for.
func TestQueueLists(t *testing.T) {
	r := newAdminRig(t)
	record := func(id, kind, body string, due, lease time.Duration, attempt int) store.QueuedRecord {
		q := store.QueuedRecord{ID: id, Kind: kind, Body: []byte(body), Due: now.Add(due), Attempt: attempt}
		if lease != 0 {
			q.Expires = now.Add(lease)
		}
		return q
	}
	const about = `"project":{"id":7,"path":"platform/shop"},"pipeline":{"id":70,"ref":"main"},"job":{"id":700,"name":"rspec","status":"failed","ref":"main"}`
	const decision = `{"event":{"kind":"job","id":"d"},` + about + `,"id":"k@1","key":"k","rule":"retry-stuck","action":{"verb":"retry"}`
	r.store.queue = []store.QueuedRecord{
		record("event:d", "event", `{"event":{"kind":"job","id":"d","received_at":"2026-03-04T11:30:00Z"},`+about+`,"waits":{"for":"error","reason":"500"}}`, -time.Minute, 0, 3),
		record("decision:leased", "decision", decision+`}`, -time.Hour, time.Second, 1),
		record("decision:budget", "decision", decision+`,"decided_at":"2026-03-04T12:00:00+00:00","waits":{"for":"budget","reason":"the budget is used up"}}`, time.Minute, 0, 2),
		record("storm:runner:1", "storm", `{"class":"runner","started":"2026-03-04T11:00:00Z","until":"2026-03-04T13:00:00Z"}`, time.Hour, 0, 1),
		record("other:1", "other", `{`, 2*time.Hour, 0, 0),
	}
	type item struct {
		ID, State, Reason, About, Project, Rule, Action string
		WaitsFor                                        string `json:"waits_for"`
		Until                                           time.Time
		Tries                                           int
		Job                                             int64
	}
	list := func(query string) (items []item) {
		t.Helper()
		code, answer := r.get(t, "/api/v1/queue?"+query)
		var page struct {
			Due     int
			Records []item
		}
		if err := stdjson.Unmarshal([]byte(answer), &page); err != nil || code != http.StatusOK || page.Due != 4 {
			t.Fatalf("%s: %d %s: %v", query, code, answer, err)
		}
		return page.Records
	}
	shop := item{Project: "platform/shop", Job: 700}
	with := func(i item, change func(*item)) item { change(&i); return i }
	want := []item{
		with(shop, func(i *item) {
			i.ID, i.State, i.Reason, i.About, i.Until, i.Tries = "event:d", "due", "500", "rspec failed", now.Add(-time.Minute), 3
		}),
		with(shop, func(i *item) {
			i.ID, i.State, i.About, i.Until, i.Tries, i.Rule, i.Action = "decision:leased", "leased", "retry of rspec", now.Add(time.Second), 1, "retry-stuck", "retry"
		}),
		with(shop, func(i *item) {
			i.ID, i.State, i.About, i.Until, i.Tries, i.Rule, i.Action = "decision:budget", "waiting", "retry of rspec", now.Add(time.Minute), 2, "retry-stuck", "retry"
			i.WaitsFor, i.Reason = "budget", "the budget is used up"
		}),
		{ID: "storm:runner:1", State: "waiting", About: "storm of runner failures", Until: now.Add(time.Hour), Tries: 1, WaitsFor: "storm", Reason: "its end, which is announced"},
		{ID: "other:1", State: "waiting", Until: now.Add(2 * time.Hour)},
	}
	if diff := cmp.Diff(want, list("")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	for query, ids := range map[string]string{
		"state=due": "event:d", "state=leased": "decision:leased", "state=waiting": "decision:budget storm:runner:1 other:1", "waits_for=budget": "decision:budget",
		"kind=storm": "storm:runner:1", "project=7": "event:d decision:leased decision:budget", "project=platform/shop&kind=event": "event:d",
		"rule=retry-stuck": "decision:leased decision:budget", "action=play": "", "pipeline=70&job=700&limit=2": "event:d decision:leased", "cursor=3": "storm:runner:1 other:1",
		"since=2026-03-04T11:30:00Z": "event:d decision:budget", "since=2026-03-04T11:00:00Z": "event:d decision:budget storm:runner:1",
	} {
		var got []string
		for _, i := range list(query) {
			got = append(got, i.ID)
		}
		if strings.Join(got, " ") != ids {
			t.Errorf("%s: records %q, want %q", query, got, ids)
		}
	}

	r.store.dead = []store.DeadRecord{{ID: "event:x", Kind: "event", Body: []byte(`{}`), Reason: "unreadable", At: now}}
	r.changes.all = []event.Change{{At: now, Action: event.ChangeReload}}
	code, answer := r.get(t, "/api/v1/status")
	for _, part := range []string{`"oldest_due_seconds":60`, `"waits_for":{"budget":1,"storm":1}`, `"dead_reasons":{"unreadable":1}`, `"action":"reload"`} {
		if code != http.StatusOK || !strings.Contains(answer, part) {
			t.Errorf("the status is %d %s, and lacks %s", code, answer, part)
		}
	}
}

// TestSteer changes records, by ids that have to be escaped.
func TestSteer(t *testing.T) {
	const id = "decision:retry:https://gitlab.example.com/x y:7:700:failed%2F@1?#é"
	const path = "/api/v1/queue/"
	for _, c := range []struct {
		name, path, body string
		err              error
		code             int
		says             string
		steered          string
	}{
		{"requeue", path + url.PathEscape(id) + "/requeue", `{"by":"ann","reason":"mended"}`, nil, 200, `"decision":"again"`, "requeue " + id + " by ann from 127.0.0.1"},
		{"drop", path + url.PathEscape(id) + "/drop", `{"by":"ann","reason":"INC-42"}`, nil, 200, `"id":"decision:retry:https://`, "drop " + id + " by ann from 127.0.0.1: INC-42"},
		{"a plain id, without a body", path + "event:1/requeue", "", nil, 200, `"id":"event:1"`, "requeue event:1 by  from 127.0.0.1"},
		{"an id that is escaped though it need not be", path + "event%3A1/drop", "", nil, 200, `"id":"event:1"`, "drop event:1 by  from 127.0.0.1"},
		{"an unknown id", path + "x/drop", "", event.ErrNoRecord, 404, "no record and no decision has this id", "drop x by  from 127.0.0.1"},
		{"leased", path + "x/drop", "", &event.StateError{Reason: "the record is leased"}, 409, "the record is leased", "drop x by  from 127.0.0.1"},
		{"a store that fails", path + "x/requeue", "", errors.New("disk full"), 503, "the store did not answer", "requeue x by  from 127.0.0.1"},
		{"an id that is too long", path + strings.Repeat("x", store.MaxID+1) + "/requeue", "", nil, 400, "1 to 1024 bytes", ""},
		{"a slash that is not escaped", path + "a/b/requeue", "", nil, 404, "nothing at this address", ""},
		{"a text that is too long", path + "x/drop", `{"by":"` + strings.Repeat("x", 501) + `"}`, nil, 400, "more than 500 characters", ""},
		{"an unknown member", path + "x/drop", `{"who":"ann"}`, nil, 400, `unknown field \"who\"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newAdminRig(t)
			r.steer = c.err
			code, answer := r.request(t, http.MethodPost, c.path, c.body)
			if code != c.code || !strings.Contains(answer, c.says) {
				t.Errorf("answer is %d %s, want %d with %s", code, answer, c.code, c.says)
			}
			if got := strings.Join(r.steered, ", "); got != c.steered {
				t.Errorf("steered %q, want %q", got, c.steered)
			}
			if len(r.changes.all) > 0 { // the Steerer records them
				t.Errorf("changes are recorded: %+v", r.changes.all)
			}
		})
	}
}

// TestChanges: what was changed is listed with who did it; a reload that can't be recorded
// stands, and is in the log.
func TestChanges(t *testing.T) {
	r := newAdminRig(t)
	r.request(t, http.MethodPost, "/-/reload", `{"by":"ann","reason":"mended"}`)
	r.request(t, http.MethodPost, "/-/reload", `{"by":"bob"}`)
	r.request(t, http.MethodPost, "/-/reload", "")
	want := []event.Change{
		{Action: "reload", From: "127.0.0.1"},
		{Action: "reload", By: "bob", From: "127.0.0.1"},
		{Action: "reload", By: "ann", Reason: "mended", From: "127.0.0.1"},
	}
	for query, want := range map[string][]event.Change{"": want, "?limit=1": want[:1]} {
		var page struct{ Changes []event.Change }
		if code, answer := r.get(t, "/api/v1/changes"+query); code != http.StatusOK || stdjson.Unmarshal([]byte(answer), &page) != nil {
			t.Fatalf("changes are %d %s", code, answer)
		}
		if diff := cmp.Diff(want, page.Changes); diff != "" {
			t.Errorf("changes%s (-want +got):\n%s", query, diff)
		}
	}
	if code, answer := r.request(t, http.MethodPost, "/-/reload", `[]`); code != http.StatusBadRequest {
		t.Errorf("a reload with a wrong body is answered with %d %s", code, answer)
	}
	r.changes.err = errors.New("disk full")
	if code, _ := r.request(t, http.MethodPost, "/-/reload", ""); code != http.StatusOK {
		t.Errorf("a reload that can't be recorded is answered with %d, want 200", code)
	}
	if !strings.Contains(r.log.String(), "could not be recorded") {
		t.Errorf("the log does not have the change: %s", r.log)
	}
	if code, _ := r.get(t, "/api/v1/changes"); code != http.StatusServiceUnavailable {
		t.Errorf("changes that can't be read are answered with %d, want 503", code)
	}
}

// TestDecisionsSince: a time, or a duration that ends now.
func TestDecisionsSince(t *testing.T) {
	r := newAdminRig(t)
	for i := range 5 {
		r.store.note(outcome(i))
		r.store.journal[0].At = now.Add(time.Duration(i-5) * time.Hour)
	}
	for since, want := range map[string][]string{
		"2h": {"decision-4", "decision-3"}, "30m": {}, now.Add(-61 * time.Minute).Format(time.RFC3339): {"decision-4"},
	} {
		p := r.page(t, url.Values{"since": {since}, "limit": {"500"}})
		if diff := cmp.Diff(want, p.ids()); diff != "" || p.Next != "" {
			t.Errorf("since %q: next %q, decisions (-want +got):\n%s", since, p.Next, diff)
		}
	}
	got := r.page(t, url.Values{"id": {"decision-1", "none", "decision-3"}}).ids()
	if !slices.Equal(got, []string{"decision-1", "decision-3"}) {
		t.Errorf("decisions by id are %q", got)
	}
}
