package actions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const resourceLock = "409 Conflict: Resource lock"

// A lock passes on every endpoint, and the words of a refusal are GitLab's.
func TestRefusalsOfRetries(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   gitlabtest.Fault
		result  string
		says    string
		retries int // POST …/retry
	}{
		{"a lock at the retry", gitlabtest.Fault{Path: "/retry", Times: 2, Status: 409, Message: resourceLock}, event.ResultDone, "attempt 2 of 3", 3},
		{"a lock at every read", gitlabtest.Fault{Method: "GET", Times: 7, Status: 409, Message: resourceLock}, event.ResultDone, "attempt 2 of 3", 1},
		{"not retryable", gitlabtest.Fault{Path: "/retry", Times: -1, Status: 403, Message: "403 Forbidden - Job is not retryable"}, event.ResultFailed, "GitLab refused: 403 Forbidden - Job is not retryable: it was retried already", 1},
		{"no right", gitlabtest.Fault{Path: "/retry", Times: -1, Status: 403, Message: "403 Forbidden"}, event.ResultFailed, "GitLab refused: 403 Forbidden (403): check the token", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, actionstest.RetryRules)
			job := h.FailedJob(actionstest.Stuck)
			h.GitLab.Fail(c.fault)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
			h.WantOutcome(c.result, c.says, "/retry", c.retries)
		})
	}
}

// A 429 about one project's endpoint delays no other project: its retry waits in the
// queue, and another project's goes at once.
func TestLimitOfOneProjectHoldsNoOther(t *testing.T) {
	h := actionstest.New(t, strings.Replace(actionstest.RetryRules, ", delay: 30s", "", 1))
	h.Rate = store.Rate{Limit: 300, Per: time.Minute}
	h.Workers = 1
	h.Start(actionstest.NewFuse(-1))
	var jobs []gitlabtest.Job
	for range 2 {
		jobs = append(jobs, h.FailedJob(actionstest.Stuck)) // each in a project of its own
		h.Deliver(h.GitLab.JobHookBody(jobs[len(jobs)-1].ID))
		h.Clock.Advance(time.Second)
	}
	h.GitLab.Fail(gitlabtest.Fault{Path: fmt.Sprintf("/projects/%d/jobs/%d/retry", jobs[0].ProjectID, jobs[0].ID), Status: 429, RetryAfter: 20 * time.Second, Message: "This endpoint has been requested too many times. Try again later."})
	begin := h.Now()

	h.Work()
	refused := jobs[0].ID
	if diff := cmp.Diff([]int64{refused, jobs[1].ID}, h.Retried()); diff != "" || h.Now().Sub(begin) >= 20*time.Second {
		t.Errorf("after %s, called retry of (-want +got):\n%s", h.Now().Sub(begin), diff)
	}
	h.Clock.Advance(20 * time.Second)
	h.Work()
	if diff := cmp.Diff([]int64{refused, jobs[1].ID, jobs[0].ID}, h.Retried()); diff != "" {
		t.Errorf("then, called retry of (-want +got):\n%s", diff)
	}
}
