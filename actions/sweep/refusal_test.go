package sweep_test

import (
	"fmt"
	"net/http"
	"strconv"
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

// Sweeps and retries of one project go on at the same time under GitLab's own
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

// TestSweepErasesArchivedJobs: they are the oldest. GitLab erases them since
// 18.0; where it does not, that is one line, and the others go all the same.
func TestSweepErasesArchivedJobs(t *testing.T) {
	for version, want := range map[string]struct {
		erased   int
		problems int
	}{"19.1.0": {30, 0}, "17.11.0": {5, 1}} {
		t.Run(version, func(t *testing.T) {
			h := actionstest.NewOn(t, gitlabtest.Options{Version: version}, `
version: 1
rules:
  - name: old
    on: schedule
    schedule: {cron: "0 3 * * *", projects: ["platform/*"], scope: [success]}
    actions: [erase: {older_than: 30d}]
`)
			p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop", Role: gitlabtest.Maintainer})
			var jobs []gitlabtest.Job
			for i := range 30 {
				job := h.OldJob(fmt.Sprintf("job-%d", i), 100*actionstest.Day)
				job.Archived = i >= 5
				jobs = append(jobs, job)
			}
			h.GitLab.AddPipeline(p.ID, gitlabtest.Pipeline{}, jobs...)
			h.Sweep("old")
			h.WorkOff()
			if n := len(h.ErasedJobs(p)); n != want.erased {
				t.Errorf("%d jobs were erased, want %d", n, want.erased)
			}
			run := h.LastSweep()
			if n := len(run.Sweep.Problems); n != want.problems || run.Result != event.ResultDone {
				t.Errorf("outcome %s with problems %+v, want %d", run.Result, run.Sweep.Problems, want.problems)
			}
			if n := h.GitLab.Count(http.MethodPost, "/erase"); n > want.erased+16 {
				t.Errorf("%d calls of erase, want no more than those in flight when GitLab refused the first", n)
			}
		})
	}
}

// A sweep waits, however often its page was tried meanwhile.
func TestSweepWaitsForTheToken(t *testing.T) {
	h := actionstest.New(t, sweepRule)
	shop := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.GitLab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, h.OldJob("old", 100*actionstest.Day), h.OldJob("older", 100*actionstest.Day))
	h.GitLab.SetAccessToken(gitlabtest.AccessToken{Scopes: []string{"read_api"}})
	h.Sweep("erase-old-logs")
	h.Pass(actionstest.Day, time.Hour)
	h.GitLab.SetAccessToken(gitlabtest.AccessToken{Revoked: true})
	h.Pass(actionstest.Day, time.Hour)
	h.GitLab.SetAccessToken(gitlabtest.AccessToken{})
	h.Pass(time.Hour, time.Minute)
	if diff := cmp.Diff([]string{"old", "older"}, h.ErasedJobs(shop)); diff != "" {
		t.Errorf("erased (-want +got):\n%s", diff)
	}
	if o := h.LastSweep(); o.Result != event.ResultDone || len(o.Sweep.Problems) != 0 {
		t.Errorf("%s: %v", o.Reason, o.Sweep.Problems)
	}
}
