package gitlabnotify_test

import (
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const toldRules = `
version: 1
rules:
  - name: r
    on: job
    if: job.status == "failed"
    actions: [retry]
    notify:
      - {merge_request: note, when: [done]}
      - {commit: status, when: [done]}
`

// A kill at any step, and a fresh start: there is one note with one line and one status, and
// the journal says that both were sent.
func TestKilledAtAnyStep(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	await.Unraced(t, "it handles record after record in one goroutine")
	t.Parallel()
	for steps := 1; ; steps += *actionstest.KillEach {
		h := actionstest.New(t, toldRules)
		h.AddPipeline(gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: iid, SourceBranch: "more", TargetBranch: "main"}}, gitlabtest.Job{Name: "rspec"})
		pipeline := h.Pipeline
		h.Deliver(h.GitLab.JobHookBody(h.End("rspec", "failed", actionstest.Stuck)))

		h.Start(actionstest.NewFuse(steps))
		h.Work()
		h.Clock.Advance(33 * time.Second)
		h.Work()
		killed := h.Fuse.Blown()

		h.Start(actionstest.NewFuse(-1))
		h.WorkOff()
		notes := h.GitLab.Notes(pipeline.ProjectID, iid)
		if len(notes) != 1 || len(rows(notes[0])) != 1 {
			t.Errorf("killed at step %d: %d notes: %+v", steps, len(notes), notes)
		}
		shown := 0
		for _, s := range h.GitLab.CommitStatuses(pipeline.ID) {
			if !s.Retried {
				shown++
			}
		}
		if shown != 1 {
			t.Errorf("killed at step %d: %d statuses", steps, shown)
		}
		sent := h.Only().Notifications
		if len(sent) != 2 || sent[0].Result != event.NotificationSent || sent[1].Result != event.NotificationSent {
			t.Errorf("killed at step %d: the journal says %+v", steps, sent)
		}
		if !killed {
			if steps < 20 {
				t.Errorf("all is done in %d steps: the fuse does not see them", steps)
			}
			return
		}
	}
}
