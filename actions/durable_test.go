package actions_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// What waits for the store's disk, between the Put of the webhook and the end of all
// work on a failed job that is retried: the package comment of store draws it.
func TestDurableCallsOfARetriedEvent(t *testing.T) {
	const rule = "version: 1\nrules:\n  - {name: r, on: job, if: 'job.status == \"failed\"', actions: [retry]"
	for _, c := range []struct {
		name, rules string
		want        []string
	}{
		{"nobody is notified", rule + "}\n", []string{
			"DoneWith", // the event; its decision is next
			"Extend",   // "called"
			"DoneWith", // the decision, its outcome in the journal, and the retry
		}},
		{"one channel is notified", rule + ", notify: [{channel: ci}]}\n", []string{
			"DoneWith", "Extend", "DoneWith",
			"DoneWith",   // the outcome; its notice is next
			"Set", "Set", // before and after the post
			"DoneWith", // the notice
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, c.rules)
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
			h.WorkOff()
			if h.Only(); len(h.Retried()) != 1 {
				t.Errorf("%d retries, want 1", len(h.Retried()))
			}
			if diff := cmp.Diff(c.want, h.Fuse.Durable); diff != "" {
				t.Errorf("calls that wait for the disk (-want +got):\n%s", diff)
			}
		})
	}
}

// The same of the end of the job that the retry made.
func TestDurableCallsOfTheEndOfARetry(t *testing.T) {
	const rule = "version: 1\n%srules:\n  - {name: r, on: job, if: 'job.status == \"failed\"', actions: [retry: {max_attempts: 2}]}\n"
	for _, c := range []struct {
		name, learning string
		want           []string
	}{
		{"learning", "", []string{
			"DoneWith",          // the event; its try and its outcome are next
			"Amend", "DoneWith", // the outcome
			"DoneWith", // the try, and the statistics
		}},
		{"not learning", "learning: off\n", []string{"DoneWith", "Amend", "DoneWith"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, fmt.Sprintf(rule, c.learning))
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
			h.WorkOff()
			h.Fuse.Durable = nil
			h.Deliver(h.GitLab.JobHookBody(h.End("rspec", "success", "")))
			h.WorkOff()
			h.WantResults(event.ResultDone, event.ResultRecovered)
			if diff := cmp.Diff(c.want, h.Fuse.Durable); diff != "" {
				t.Errorf("calls that wait for the disk (-want +got):\n%s", diff)
			}
		})
	}
}
