package actionstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/pipesteward/pipesteward/actions/breaker"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// WantOnce checks that there are one retry, one message and one outcome, done. when
// describes the case.
func (h *Harness) WantOnce(when string) {
	h.Helper()
	if n := h.GitLab.Count("POST", "/retry"); n != 1 {
		h.Errorf("%s: %d retries, want 1", when, n)
	}
	if n := len(h.Slack.Posts()); n != 1 {
		h.Errorf("%s: %d messages, want 1", when, n)
	}
	if o := h.Only(); o.Result != event.ResultDone {
		h.Errorf("%s: outcome %q (%s), want done", when, o.Result, o.Reason)
	}
}

// Outcomes returns the journal, oldest first.
func (h *Harness) Outcomes() []event.Outcome {
	h.Helper()
	entries, _, err := h.DB.Entries(h.Context(), "", 10_000)
	if err != nil {
		h.Fatal(err)
	}
	all := make([]event.Outcome, len(entries))
	for i, e := range entries {
		if err := json.Unmarshal(e.Body, &all[len(entries)-1-i]); err != nil {
			h.Fatal(err)
		}
	}
	return all
}

// Only returns the only outcome.
func (h *Harness) Only() event.Outcome {
	h.Helper()
	all := h.Outcomes()
	if len(all) != 1 {
		h.Fatalf("%d outcomes, want 1: %+v\n%s", len(all), all, h.Logs)
	}
	return all[0]
}

// WantOutcome checks the result and the reason of the only outcome, and how often GitLab was
// called for it; it returns the outcome.
func (h *Harness) WantOutcome(result, says, call string, calls int) event.Outcome {
	h.Helper()
	o := h.Only()
	if o.Result != result {
		h.Errorf("outcome %s (%s), want %s", o.Result, o.Reason, result)
	}
	Has(h.T, o.Reason, says)
	if n := h.GitLab.Count("POST", call); n != calls {
		h.Errorf("%d calls to %s, want %d", n, call, calls)
	}
	return o
}

// WantResults checks the results of all outcomes, oldest first.
func (h *Harness) WantResults(want ...string) {
	h.Helper()
	var got, reasons []string
	for _, o := range h.Outcomes() {
		got, reasons = append(got, o.Result), append(reasons, o.Reason)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		h.Errorf("outcomes (-want +got):\n%s%q", diff, reasons)
	}
}

// CountStatus counts the runs of a name in a status.
func (h *Harness) CountStatus(name, status string) int {
	n := 0
	for _, job := range h.RunsOf(name) {
		if job.Status == status {
			n++
		}
	}
	return n
}

// RunsOf returns all runs of a name in the pipeline that was added last.
func (h *Harness) RunsOf(name string) []gitlabtest.Job {
	var runs []gitlabtest.Job
	for _, job := range h.GitLab.Jobs(h.Pipeline.ID) {
		if job.Name == name {
			runs = append(runs, job)
		}
	}
	return runs
}

// Retried returns the ids of the jobs whose retry was requested, in that order.
func (h *Harness) Retried() []int64 {
	var ids []int64
	for _, r := range h.GitLab.Requests() {
		var project, job int64
		if _, err := fmt.Sscanf(r.Path, "/projects/%d/jobs/%d/retry", &project, &job); err == nil && r.Method == http.MethodPost {
			ids = append(ids, job)
		}
	}
	return ids
}

// Died returns when a job ended.
func (h *Harness) Died(job int64) time.Time { return h.GitLab.Job(job).FinishedAt }

// WantStorm checks the metric of the circuit breaker of a class.
func (h *Harness) WantStorm(class string, active int) {
	h.Helper()
	text, err := testutil.CollectAndFormat(breaker.NewMetrics(h.Runner.Breakers), expfmt.TypeTextPlain, "pipesteward_storm_active")
	if err != nil {
		h.Fatal(err)
	}
	Has(h.T, string(text), fmt.Sprintf("pipesteward_storm_active{class=%q} %d\n", class, active))
}

// Has fails the test if text lacks a part.
func Has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}
