package ownpipeline_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/actions/ownpipeline"
	"github.com/pipesteward/pipesteward/rules/event"
)

// The status is that of the worst that happened.
func TestStatus(t *testing.T) {
	t.Parallel()
	entries := func(results ...string) (all []ownpipeline.Entry) {
		for _, result := range results {
			all = append(all, ownpipeline.Entry{Outcome: event.Outcome{Result: result}})
		}
		return all
	}
	notice := entries(event.ResultDryRun)
	notice[0].Action.Verb = event.VerbNotify
	for _, c := range []struct {
		name   string
		result ownpipeline.Result
		want   int
	}{
		{"nothing", ownpipeline.Result{}, ownpipeline.StatusDone},
		{"done and skipped", ownpipeline.Result{Entries: entries(event.ResultDone, event.ResultSkipped)}, ownpipeline.StatusDone},
		{"a dry run", ownpipeline.Result{Entries: entries(event.ResultDone, event.ResultDryRun)}, ownpipeline.StatusLeft},
		{"a dry run of a notification alone", ownpipeline.Result{Entries: notice}, ownpipeline.StatusDone},
		{"left before its delay", ownpipeline.Result{Entries: entries("")}, ownpipeline.StatusLeft},
		{"deferred", ownpipeline.Result{Entries: entries(event.ResultDeferred)}, ownpipeline.StatusLeft},
		{"gave up, and left", ownpipeline.Result{Entries: entries("", event.ResultGaveUp)}, ownpipeline.StatusGaveUp},
		{"failed, and gave up", ownpipeline.Result{Entries: entries(event.ResultGaveUp, event.ResultFailed)}, ownpipeline.StatusFailed},
		{"a rule that could not be evaluated", ownpipeline.Result{Entries: entries(event.ResultGaveUp), Errors: 1}, ownpipeline.StatusFailed},
		{"an event without a verdict", ownpipeline.Result{Unevaluated: 1}, ownpipeline.StatusFailed},
		{"GitLab can't be used", ownpipeline.Result{Trouble: "down"}, ownpipeline.StatusFailed},
		{"Slack can't be used", ownpipeline.Result{Entries: entries(event.ResultDone), Unnotified: 1}, ownpipeline.StatusDone},
	} {
		if got := c.result.Status(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
