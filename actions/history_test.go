package actions_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// callsOf returns the calls of an outcome, each as "POST retry 201 words".
func callsOf(o event.Outcome) (all []string) {
	for _, c := range o.Calls {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %d %s", c.Method, c.Endpoint, c.Status, c.Error)))
	}
	return all
}

// An outcome has the calls that were sent for it, with GitLab's answers.
func TestCallsAreRecorded(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []gitlabtest.Fault
		want   []string
	}{
		{"done", nil, []string{"POST retry 201"}},
		{"a 503 first", []gitlabtest.Fault{{Path: "/retry", Status: 503}}, []string{"POST retry 503 503 Service Unavailable", "POST retry 201"}},
		{"no answer first", []gitlabtest.Fault{{Path: "/retry", Cut: true}}, []string{"POST retry 0 EOF", "POST retry 201"}},
		{"the state could not be read first", []gitlabtest.Fault{{Method: http.MethodGet, Path: "/jobs", Status: 500, Times: 3}}, []string{"GET pipeline_jobs 500 500 Internal Server Error", "POST retry 201"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, actionstest.RetryRules)
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
			h.Work() // decided
			for _, f := range c.faults {
				h.GitLab.Fail(f)
			}
			h.WorkOff()
			o := h.Only()
			if o.Result != event.ResultDone {
				t.Fatalf("outcome %s (%s)", o.Result, o.Reason)
			}
			if diff := cmp.Diff(c.want, callsOf(o)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			want := []event.Notification{{Address: event.Address{Receiver: "slack", Channel: "#ci"}, At: o.Notifications[0].At, Result: event.NotificationSent}}
			if diff := cmp.Diff(want, o.Notifications); diff != "" {
				t.Errorf("notifications (-want +got):\n%s", diff)
			}
		})
	}
}

// A decision has what deferred it, in order, and until when each was checked again.
func TestDeferralsAreRecorded(t *testing.T) {
	h := actionstest.New(t, `
version: 1
limits: {total: 1/1h}
rules:
  - {name: r, on: job, if: 'job.status == "failed"', actions: [retry]}
`)
	for range 2 {
		h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
		h.Work()
	}
	var deferred event.Outcome
	for _, o := range h.Outcomes() {
		if o.Result == event.ResultDeferred {
			deferred = o
		}
	}
	if len(deferred.Deferrals) != 1 {
		t.Fatalf("deferrals %+v, want one", deferred.Deferrals)
	}
	d := deferred.Deferrals[0]
	if !strings.Contains(d.Reason, "the budget of 1 retry") || d.Reason != deferred.Reason || !d.Since.Equal(h.Clock.Now()) || !d.Until.After(d.Since) {
		t.Errorf("the deferral is %+v", d)
	}
	h.Clock.Advance(2 * time.Hour)
	h.WorkOff()
	for _, o := range h.Outcomes() {
		if o.ID == deferred.ID && (o.Result != event.ResultDone || len(o.Deferrals) != 1 || len(o.Calls) != 1) {
			t.Errorf("in the end it is %s with %d deferrals and %d calls, want done with one of each", o.Result, len(o.Deferrals), len(o.Calls))
		}
	}
}
