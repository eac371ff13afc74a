package actions_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

const attemptRules = `
version: 1
rules:
  - name: first
    on: job
    if: job.status == "failed" and job.attempt == 1
    notify: [{channel: first}]
  - name: third
    on: job
    if: job.status == "failed" and job.attempt == 3
    notify: [{channel: third}]
`

// A job that GitLab's own `retry: 2` runs three times sends a retries_count of
// 1, 2 and 2. Its attempts are 1, 2 and 3.
func TestAttemptsOfGitLabsOwnRetry(t *testing.T) {
	h := actionstest.New(t, attemptRules)
	h.Start(actionstest.NewFuse(-1))
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", AutoRetry: 2})
	hook := h.GitLab.AddHook(gitlabtest.Hook{URL: "http://127.0.0.1:1/", JobEvents: true}) // keeps what would be sent
	var counts []string
	for range 3 {
		job := h.GitLab.Latest(h.Pipeline.ID, "rspec")
		h.GitLab.Run(job.ID)
		h.GitLab.Finish(job.ID, "failed", "script_failure")
		deliveries := h.GitLab.Deliveries()
		for i := len(deliveries) - 1; ; i-- {
			if body := string(deliveries[i].Body); deliveries[i].HookID == hook.ID && strings.Contains(body, `"build_status":"failed"`) {
				_, count, _ := strings.Cut(body, `"retries_count":`)
				counts = append(counts, count[:1])
				h.Deliver(deliveries[i].Body)
				break
			}
		}
		h.Clock.Advance(time.Minute)
		h.WorkOff()
	}
	if diff := cmp.Diff([]string{"1", "2", "2"}, counts); diff != "" {
		t.Errorf("retries_count (-want +got):\n%s", diff)
	}
	fired := map[string][]int{}
	for _, o := range h.Outcomes() {
		fired[o.Rule] = append(fired[o.Rule], o.Job.Attempt)
	}
	if diff := cmp.Diff(map[string][]int{"first": {1}, "third": {3}}, fired); diff != "" {
		t.Errorf("attempts by rule that matched (-want +got):\n%s", diff)
	}
}

// The runs are requested only where something depends on them.
func TestAttemptsAreCountedOnDemand(t *testing.T) {
	for _, c := range []struct {
		name, rule, status string
		requests           int
	}{
		{"a rule for another status", `if: job.status == "failed" and job.attempt == 2, notify: [{channel: ci}]`, "success", 0},
		{"a rule that does not ask", `if: job.status == "success", notify: [{channel: ci}]`, "success", 0},
		{"a condition", `if: job.status == "success" and job.attempt == 2, notify: [{channel: ci}]`, "success", 1},
		{"a text", `if: job.status == "success", notify: [{channel: ci, text: "after {{ job.attempt }}"}]`, "success", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, "version: 1\nrules: [{name: r, on: job, "+c.rule+"}]\n")
			h.Start(actionstest.NewFuse(-1))
			h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", AutoRetry: 1})
			h.Deliver(h.GitLab.JobHookBody(h.End("rspec", "failed", "script_failure")))
			h.WorkOff()
			before := h.GitLab.Count("GET", "/jobs")
			h.Deliver(h.GitLab.JobHookBody(h.End("rspec", c.status, "")))
			h.WorkOff()
			if n := h.GitLab.Count("GET", "/jobs") - before; n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
		})
	}
}
