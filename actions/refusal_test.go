package actions_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const (
	notErasable  = "403 Forbidden - Job is not erasable!"
	resourceLock = "409 Conflict: Resource lock"
)

// A job that can't be erased says nothing about the token's rights: however many
// of them come first, a sweep reaches those behind them.
func TestSweepPassesJobsThatAreNotErasable(t *testing.T) {
	const refused, good = 130, 30
	h := actionstest.New(t, sweepRule)
	shop := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	old := h.GitLab.AddOldJobs(shop.ID, gitlabtest.OldJobs{Count: good + refused, Job: func(i int) gitlabtest.Job {
		return h.OldJob("job-"+strconv.Itoa(i), 100*actionstest.Day)
	}})
	for i := range refused { // a sweep begins with the newest
		id := old.FirstJob + good + int64(i)
		h.GitLab.Fail(gitlabtest.Fault{Path: "/jobs/" + strconv.FormatInt(id, 10) + "/erase", Times: -1, Status: http.StatusForbidden, Message: notErasable})
	}

	h.Sweep("erase-old-logs")
	h.WorkOff()

	o := h.LastSweep()
	want := event.SweepCounts{Jobs: good + refused, Erased: good, Failed: refused, Freed: good * 1000}
	if diff := cmp.Diff(want, o.Sweep.SweepCounts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if len(o.Sweep.Problems) != 1 || o.Sweep.Problems[0].Reason != "GitLab refused: "+notErasable+" (403)" || o.Sweep.Problems[0].Times != refused {
		t.Errorf("problems: %v", o.Sweep.Problems)
	}
}

// A lock on a job is gone a moment later: a sweep tries again.
func TestSweepWaitsForLocks(t *testing.T) {
	h := actionstest.New(t, sweepRule)
	shop := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.GitLab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, h.OldJob("old", 100*actionstest.Day))
	h.GitLab.Fail(gitlabtest.Fault{Path: "/erase", Times: 2, Status: http.StatusConflict, Message: resourceLock})

	h.Sweep("erase-old-logs")
	h.WorkOff()

	if diff := cmp.Diff([]string{"old"}, h.ErasedJobs(shop)); diff != "" {
		t.Errorf("erased (-want +got):\n%s", diff)
	}
	if o := h.LastSweep(); o.Result != event.ResultDone || len(o.Sweep.Problems) != 0 {
		t.Errorf("%s, problems: %v", o.Result, o.Sweep.Problems)
	}
}

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
			h := actionstest.New(t, retryRules)
			job := h.FailedJob(actionstest.Stuck)
			h.GitLab.Fail(c.fault)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
			h.WantOutcome(c.result, c.says, "/retry", c.retries)
		})
	}
}

// A 429 about one project's endpoint holds nobody else: its retry waits in the
// queue, and another project's goes at once.
func TestLimitOfOneProjectHoldsNoOther(t *testing.T) {
	h := actionstest.New(t, strings.Replace(retryRules, ", delay: 30s", "", 1))
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

// Sweeps and retries of one project go on side by side under GitLab's own
// limits, which nothing runs into.
func TestSweepUnderApplicationLimits(t *testing.T) {
	t.Parallel()
	const jobs = 1000
	h := actionstest.NewOn(t, gitlabtest.Options{ApplicationLimits: true}, sweepRule)
	h.Rate = store.Rate{Limit: 5800, Per: time.Minute, Burst: 200}
	h.Start(actionstest.NewFuse(-1))
	p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.GitLab.AddOldJobs(p.ID, gitlabtest.OldJobs{Count: jobs, PerPipeline: 10, Job: func(int) gitlabtest.Job { return h.OldJob("rspec", 100*actionstest.Day) }})
	h.Sweep("erase-old-logs")
	h.WorkOff()
	if n := h.GitLab.Count("POST", "/erase"); n != jobs {
		t.Errorf("%d erases, want %d", n, jobs)
	}
	if n := h.GitLab.Answered(429); n != 0 {
		t.Errorf("GitLab answered 429 %d times", n)
	}
	if o := h.LastSweep(); o.Sweep.Erased != jobs || len(o.Sweep.Problems) != 0 {
		t.Errorf("%s", o.Reason)
	}
}
