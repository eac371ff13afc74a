package actions_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// One rule decides by the event alone, one asks GitLab for the log.
const troubleRules = `
version: 1
defaults: {channel: "#ci"}
rules:
  - {name: retry-stuck, on: job, if: 'failed_with("stuck_or_timeout_failure")', actions: [retry: {max_attempts: 3}]}
  - {name: retry-full-disk, on: job, if: 'failed_with("script_failure") and log() contains "No space left"', actions: [retry: {max_attempts: 3}]}
`

// pass lets time pass in steps, in which the runners work and look at GitLab.
func (h *house) pass(span, step time.Duration, runners ...*actions.Runner) {
	h.Helper()
	if runners == nil {
		runners = []*actions.Runner{h.runner}
	}
	for end := h.now().Add(span); h.now().Before(end); {
		for _, r := range runners {
			if err := r.Health.Check(h.Context()); err != nil {
				h.Fatal(err)
			}
			if _, err := r.Drain(h.Context()); err != nil {
				h.Fatal(err)
			}
		}
		h.clock.Advance(step)
	}
}

// posts are the texts that were posted, in order.
func (h *house) posts() []string {
	var texts []string
	for _, p := range h.slack.Posts() {
		texts = append(texts, p.Plain())
	}
	return texts
}

// wantTold checks that people were told of the trouble once, and of its end once.
func (h *house) wantTold(reason string) {
	h.Helper()
	posts := h.posts()
	if len(posts) != 2 || !strings.Contains(posts[0], "Pipesteward can't use GitLab") || !strings.Contains(posts[0], reason) ||
		!strings.Contains(posts[1], "Pipesteward can use GitLab again") {
		h.Errorf("told %q, want that GitLab can't be used (%s), and that it can again", posts, reason)
	}
	if n := strings.Count(h.log.String(), `"level":"ERROR"`); n != 1 {
		h.Errorf("%d errors are logged, want 1:\n%s", n, h.log)
	}
}

func (h *house) wantUp(up float64) {
	h.Helper()
	text := fmt.Sprintf("# HELP pipesteward_gitlab_up 1 while GitLab can be used; 0 while its token is refused, something else answers, or nothing does.\n# TYPE pipesteward_gitlab_up gauge\npipesteward_gitlab_up %v\n", up)
	if err := testutil.GatherAndCompare(h.metrics, strings.NewReader(text), "pipesteward_gitlab_up"); err != nil {
		h.Error(err)
	}
}

// What is wrong with the bot is never held against a job. Whatever lasts for
// three days ends in no verdict; when it is mended, every wanted effect happens
// once.
func TestTroubleIsNoVerdict(t *testing.T) {
	everything := func(f gitlabtest.Fault) func(*house) {
		return func(h *house) { h.gitlab.Fail(f) }
	}
	token := func(t gitlabtest.AccessToken) func(*house) {
		return func(h *house) { h.gitlab.SetAccessToken(t) }
	}
	for _, c := range []struct {
		name    string
		arrange func(*house)
		reason  string
	}{
		{"401", everything(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized}), "401 Unauthorized"},
		{"revoked token", token(gitlabtest.AccessToken{Revoked: true}), "Token was revoked"},
		{"no scope to change anything", token(gitlabtest.AccessToken{Scopes: []string{"read_api"}}), "insufficient_scope"},
		{"no scope to read", token(gitlabtest.AccessToken{Scopes: []string{"read_user"}}), "insufficient_scope"},
		{"blocked user", everything(gitlabtest.Fault{Times: -1, Status: http.StatusForbidden, Message: "403 Forbidden - Your account has been blocked."}), "account has been blocked"},
		{"rights lost everywhere", func(h *house) {
			for id := int64(1); id <= 2; id++ {
				h.gitlab.SetRole(id, gitlabtest.Reporter)
			}
		}, "member of no project"},
		{"no member anywhere", func(h *house) {
			for id := int64(1); id <= 2; id++ {
				h.gitlab.SetRole(id, gitlabtest.NoAccess)
			}
		}, "member of no project"},
		{"redirect to a login page", everything(gitlabtest.LoginRedirect), "GitLab redirects to https://login.example.com"},
		{"login page", everything(gitlabtest.LoginPage), "web page"},
		{"423", everything(gitlabtest.Fault{Times: -1, Status: http.StatusLocked}), "423"},
		{"499", everything(gitlabtest.Fault{Times: -1, Status: 499}), "499"},
		{"503", everything(gitlabtest.Fault{Times: -1, Status: http.StatusServiceUnavailable, HTML: true}), "503"},
		{"no answer", everything(gitlabtest.Fault{Times: -1, Cut: true}), "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, troubleRules)
			stuckJob, fullDisk := h.failedJob(stuck), h.failedJob("script_failure")
			h.gitlab.SetLog(fullDisk.ID, "No space left on device\n")
			c.arrange(h)
			for _, job := range []gitlabtest.Job{stuckJob, fullDisk} {
				h.deliver(h.gitlab.JobHookBody(job.ID))
			}
			h.pass(3*time.Minute, 5*time.Second)
			h.wantUp(0)
			before := len(h.gitlab.Requests())
			h.pass(3*day, 2*time.Hour)
			for _, o := range h.outcomes() {
				if o.Result != "" {
					t.Errorf("%s ended %s: %s", o.Rule, o.Result, o.Reason)
				}
			}
			// One probe each time that anything looks, however much waits; before a
			// request that is tried instead of one, a job's state is read.
			if n, most := len(h.gitlab.Requests())-before, 4*3*12; n > most {
				t.Errorf("%d requests in three days, want %d at most", n, most)
			}

			h.gitlab.ClearFaults()
			h.gitlab.SetAccessToken(gitlabtest.AccessToken{})
			for id := int64(1); id <= 2; id++ {
				h.gitlab.SetRole(id, gitlabtest.Maintainer)
			}
			h.pass(10*time.Minute, 20*time.Second)
			h.wantUp(1)
			effects := h.effects()
			if diff := cmp.Diff(map[int64]int{stuckJob.ID: 1, fullDisk.ID: 1}, effects); diff != "" {
				t.Errorf("retries that took effect (-want +got):\n%s", diff)
			}
			h.wantResults(event.ResultDone, event.ResultDone)
			if !h.idle() {
				t.Error("the queue is not empty")
			}
			h.wantTold(c.reason)
		})
	}
}

// effects counts the retries that took effect, by job.
func (h *house) effects() map[int64]int {
	done := map[int64]int{}
	for _, r := range h.gitlab.Requests() {
		var project, job int64
		if _, err := fmt.Sscanf(r.Path, "/projects/%d/jobs/%d/retry", &project, &job); err == nil && r.Status == http.StatusCreated {
			done[job]++
		}
	}
	return done
}

// What fails for one job alone ends one day, as long as GitLab answers others.
func TestOneJobsTroubleEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault gitlabtest.Fault
		says  string
	}{
		{"500", gitlabtest.Fault{Times: -1, Status: http.StatusInternalServerError}, "given up after 1d"},
		{"a firewall's page", gitlabtest.Fault{Times: -1, Status: http.StatusForbidden, HTML: true}, "given up after 1d"},
		{"401", gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized}, "given up after 1d"},
		{"redirect", gitlabtest.Fault{Times: -1, Status: http.StatusFound, Location: "https://login.example.com/"}, "given up after 1d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, troubleRules)
			job := h.failedJob(stuck)
			c.fault.Path = fmt.Sprintf("/jobs/%d/retry", job.ID)
			h.gitlab.Fail(c.fault)
			h.deliver(h.gitlab.JobHookBody(job.ID))
			h.pass(26*time.Hour, 20*time.Minute)
			o := h.only()
			if o.Result != event.ResultFailed {
				t.Errorf("%s: %s, want failed", o.Result, o.Reason)
			}
			has(t, o.Reason, c.says)
			h.wantUp(1)
			if posts := h.posts(); len(posts) != 0 {
				t.Errorf("told %q, want nothing", posts)
			}
		})
	}
}

// However many replicas see the trouble, and whenever they start, people are told
// once.
func TestTroubleIsToldOnceByAllReplicas(t *testing.T) {
	h := newHouse(t, troubleRules)
	first, second := h.runner, h.replica(newFuse(-1))
	var jobs []gitlabtest.Job
	deliver := func(n int) {
		for range n {
			job := h.failedJob(stuck)
			jobs = append(jobs, job)
			h.deliver(h.gitlab.JobHookBody(job.ID))
		}
	}
	h.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})
	deliver(4)
	h.pass(time.Hour, 20*time.Second, first, second)
	third := h.replica(newFuse(-1)) // started while it lasts, in place of the first
	deliver(2)
	h.pass(time.Hour, 20*time.Second, second, third)
	h.gitlab.ClearFaults()
	h.pass(10*time.Minute, 20*time.Second, second, third)

	posts := h.posts()
	if len(posts) != 2 || !strings.Contains(posts[0], "can't use GitLab") || !strings.Contains(posts[1], "can use GitLab again, after 2h") {
		t.Errorf("told %q", posts)
	}
	want := map[int64]int{}
	for _, job := range jobs {
		want[job.ID] = 1
	}
	if diff := cmp.Diff(want, h.effects()); diff != "" {
		t.Errorf("retries that took effect (-want +got):\n%s", diff)
	}
}

// Trouble that was over before anybody restarted the process is said to be over.
func TestTroubleEndsAfterRestart(t *testing.T) {
	h := newHouse(t, troubleRules)
	h.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})
	h.deliver(h.gitlab.JobHookBody(h.failedJob(stuck).ID))
	h.pass(time.Minute, time.Second)
	h.start(newFuse(-1)) // with the trouble
	h.pass(5*time.Minute, 20*time.Second)
	if posts := h.posts(); len(posts) != 1 {
		t.Errorf("told %q, want that GitLab can't be used", posts)
	}
	h.gitlab.ClearFaults()
	h.start(newFuse(-1)) // with a good token
	h.pass(5*time.Minute, 20*time.Second)
	if posts := h.posts(); len(posts) != 2 || !strings.Contains(posts[1], "can use GitLab again") {
		t.Errorf("told %q, want that it can again", posts)
	}
	if n := h.gitlab.Answered(http.StatusCreated); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
}

// A sweep waits, however often its page was tried meanwhile.
func TestSweepWaitsForTheToken(t *testing.T) {
	h := newHouse(t, sweepRule)
	shop := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.gitlab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, h.oldJob("old", 100*day), h.oldJob("older", 100*day))
	h.gitlab.SetAccessToken(gitlabtest.AccessToken{Scopes: []string{"read_api"}})
	h.sweep("erase-old-logs")
	h.pass(day, time.Hour)
	h.gitlab.SetAccessToken(gitlabtest.AccessToken{Revoked: true})
	h.pass(day, time.Hour)
	h.gitlab.SetAccessToken(gitlabtest.AccessToken{})
	h.pass(time.Hour, time.Minute)
	if diff := cmp.Diff([]string{"old", "older"}, h.erasedJobs(shop)); diff != "" {
		t.Errorf("erased (-want +got):\n%s", diff)
	}
	if o := h.lastSweep(); o.Result != event.ResultDone || len(o.Sweep.Problems) != 0 {
		t.Errorf("%s: %v", o.Reason, o.Sweep.Problems)
	}
}
