package sweep_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// TestPauseStopsASweep: a sweep that runs obeys pauses, and a rule that
// is put in dry run, before each erase.
func TestPauseStopsASweep(t *testing.T) {
	t.Parallel()
	const file = `
version: 1
rules:
  - name: old
    on: schedule
    schedule: {cron: "0 3 * * *", projects: ["platform/*"], scope: [success]}
    dry_run: %t
    actions: [erase: {older_than: 1d}]
`
	for _, test := range []struct {
		name   string
		pull   func(h *actionstest.Harness)
		lift   func(h *actionstest.Harness)
		before int // erases until it is stopped; those in flight come on top
		all    bool
	}{
		{
			name: "a pause",
			pull: func(h *actionstest.Harness) {
				_, _ = h.Pauses().Pause(context.Background(), event.Pause{Rule: "old"}, false, "")
			},
			lift: func(h *actionstest.Harness) {
				_, _ = h.Pauses().Resume(context.Background(), event.Pause{Rule: "old"}, event.Actor{})
			},
			all: true,
		},
		{
			name: "dry run",
			pull: func(h *actionstest.Harness) { h.Load(fmt.Sprintf(file, true), rulefile.Options{}) },
			lift: func(h *actionstest.Harness) { h.Load(fmt.Sprintf(file, false), rulefile.Options{}) },
		},
		{
			name: "no rule",
			pull: func(h *actionstest.Harness) { h.Load("version: 1\nrules: []\n", rulefile.Options{}) },
			lift: func(h *actionstest.Harness) { h.Load(fmt.Sprintf(file, false), rulefile.Options{}) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			const jobs, atOnce = 60, 16
			h := actionstest.New(t, fmt.Sprintf(file, false))
			p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop", Role: gitlabtest.Maintainer})
			h.GitLab.AddOldJobs(p.ID, gitlabtest.OldJobs{Count: jobs, PerPipeline: 10, Job: func(int) gitlabtest.Job { return h.OldJob("rspec", 100*actionstest.Day) }})
			erases := func() int { return h.GitLab.Count(http.MethodPost, "/erase") }
			var pull sync.Once // by one of several workers
			pulled := false
			h.Fuse.Before = func(what string) {
				if what == http.MethodPost && erases() >= 5 {
					pull.Do(func() {
						test.pull(h)
						pulled = true
					})
				}
			}
			h.Sweep("old")
			for range 3 {
				h.Work()
				h.Clock.Advance(time.Minute)
			}
			if n := erases(); !pulled || n < 5 || n > 5+2*atOnce {
				t.Errorf("%d erases after it was stopped after 5, want few; %+v", n, h.Outcomes())
			}
			test.lift(h)
			h.WorkOff()
			if n := erases(); test.all && n != jobs || !test.all && n > 5+2*atOnce {
				t.Errorf("%d erases of %d jobs after the stop ended", n, jobs)
			}
		})
	}
}
