package sweep_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// A run of a rule that does not erase is journalled and logged under the rule's own
// action, with what it queued, and a run that found nothing is skipped.
func TestRunsAreNamedForTheirActions(t *testing.T) {
	h := actionstest.New(t, `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: cancel-what-hangs
    on: schedule
    schedule: {cron: "0 * * * *", projects: ["platform/*"], scope: [pending]}
    if: job.name == "hangs"
    actions: [cancel]
    notify: [{}]
  - {name: tell, on: schedule, schedule: {cron: "0 * * * *", projects: ["platform/*"], scope: [pending]}, if: 'job.name == "hangs"', notify: [{}]}
  - {name: try-it, on: schedule, schedule: {cron: "0 * * * *", projects: ["platform/*"], scope: [pending]}, if: 'job.name == "hangs"', actions: [cancel, play], dry_run: true}
  - {name: finds-nothing, on: schedule, schedule: {cron: "0 * * * *", projects: ["platform/*"], scope: [failed]}, actions: [retry]}
`)
	shop := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.GitLab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "hangs"}, gitlabtest.Job{Name: "rspec"})
	want := map[string]string{
		"cancel-what-hangs": "cancel done: queued cancel for 1 of 2 jobs in 1 project",
		"tell":              "notify done: queued notify for 1 of 2 jobs in 1 project",
		"try-it":            "cancel dry_run: would queue cancel and play for 1 of 2 jobs in 1 project",
		"finds-nothing":     "retry skipped: queued retry for 0 of 0 jobs in 1 project",
	}
	got := map[string]string{}
	for _, rule := range []string{"tell", "try-it", "cancel-what-hangs", "finds-nothing"} {
		h.Sweep(rule)
		h.WorkOff()
	}
	for _, o := range h.Outcomes() {
		if o.Sweep.ID != "" {
			got[o.Rule] = o.Action.Verb + " " + o.Result + ": " + o.Reason
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if logs := h.Logs.String(); strings.Contains(logs, event.VerbErase) {
		t.Errorf("the log speaks of an erase:\n%s", logs)
	}
}
