package health_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// One rule decides by the event alone, one needs the log from GitLab.
const healthRules = `
version: 1
defaults: {channel: "#ci"}
rules:
  - {name: retry-stuck, on: job, if: 'failed_with("stuck_or_timeout_failure")', actions: [retry: {max_attempts: 3}]}
  - {name: retry-full-disk, on: job, if: 'failed_with("script_failure") and log() contains "No space left"', actions: [retry: {max_attempts: 3}]}
`

// wantAnnounced checks that the outage was announced once, and its end once.
func wantAnnounced(h *actionstest.Harness, reason string) {
	h.Helper()
	posts := h.Posts()
	if len(posts) != 2 || !strings.Contains(posts[0], "Pipesteward can't use GitLab") || !strings.Contains(posts[0], reason) ||
		!strings.Contains(posts[1], "Pipesteward can use GitLab again") {
		h.Errorf("posted %q, want that GitLab can't be used (%s), and that it can again", posts, reason)
	}
	if n := strings.Count(h.Logs.String(), `"level":"ERROR"`); n != 1 {
		h.Errorf("%d errors are logged, want 1:\n%s", n, h.Logs)
	}
}

func wantUp(h *actionstest.Harness, up float64) {
	h.Helper()
	text := fmt.Sprintf("# HELP pipesteward_gitlab_up 1 while GitLab can be used; 0 while its token is refused, something else answers, or nothing does.\n# TYPE pipesteward_gitlab_up gauge\npipesteward_gitlab_up %v\n", up)
	if err := testutil.GatherAndCompare(h.Metrics, strings.NewReader(text), "pipesteward_gitlab_up"); err != nil {
		h.Error(err)
	}
}

// No job is given up because of a failure of the bot itself. A failure of three days
// ends in no verdict; when it is over, every wanted effect happens
// once.
func TestOutageIsNoVerdict(t *testing.T) {
	everything := func(f gitlabtest.Fault) func(*actionstest.Harness) {
		return func(h *actionstest.Harness) { h.GitLab.Fail(f) }
	}
	token := func(t gitlabtest.AccessToken) func(*actionstest.Harness) {
		return func(h *actionstest.Harness) { h.GitLab.SetAccessToken(t) }
	}
	for _, c := range []struct {
		name    string
		arrange func(*actionstest.Harness)
		reason  string
	}{
		{"401", everything(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized}), "401 Unauthorized"},
		{"revoked token", token(gitlabtest.AccessToken{Revoked: true}), "Token was revoked"},
		{"no scope to change anything", token(gitlabtest.AccessToken{Scopes: []string{"read_api"}}), "insufficient_scope"},
		{"no scope to read", token(gitlabtest.AccessToken{Scopes: []string{"read_user"}}), "insufficient_scope"},
		{"blocked user", everything(gitlabtest.Fault{Times: -1, Status: http.StatusForbidden, Message: "403 Forbidden - Your account has been blocked."}), "account has been blocked"},
		{"rights lost everywhere", func(h *actionstest.Harness) {
			for id := int64(1); id <= 2; id++ {
				h.GitLab.SetRole(id, gitlabtest.Reporter)
			}
		}, "member of no project"},
		{"no member anywhere", func(h *actionstest.Harness) {
			for id := int64(1); id <= 2; id++ {
				h.GitLab.SetRole(id, gitlabtest.NoAccess)
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
			h := actionstest.New(t, healthRules)
			stuckJob, fullDisk := h.FailedJob(actionstest.Stuck), h.FailedJob("script_failure")
			h.GitLab.SetLog(fullDisk.ID, "No space left on device\n")
			c.arrange(h)
			for _, job := range []gitlabtest.Job{stuckJob, fullDisk} {
				h.Deliver(h.GitLab.JobHookBody(job.ID))
			}
			h.Pass(3*time.Minute, 5*time.Second)
			wantUp(h, 0)
			before := len(h.GitLab.Requests())
			h.Pass(3*actionstest.Day, 2*time.Hour)
			for _, o := range h.Outcomes() {
				if o.Result != "" {
					t.Errorf("%s ended %s: %s", o.Rule, o.Result, o.Reason)
				}
			}
			// One probe each time that something checks, however much waits; before a
			// request that is tried instead of one, a job's state is read.
			if n, most := len(h.GitLab.Requests())-before, 4*3*12; n > most {
				t.Errorf("%d requests in three days, want %d at most", n, most)
			}

			h.GitLab.ClearFaults()
			h.GitLab.SetAccessToken(gitlabtest.AccessToken{})
			for id := int64(1); id <= 2; id++ {
				h.GitLab.SetRole(id, gitlabtest.Maintainer)
			}
			h.Pass(10*time.Minute, 20*time.Second)
			wantUp(h, 1)
			effects := effects(h)
			if diff := cmp.Diff(map[int64]int{stuckJob.ID: 1, fullDisk.ID: 1}, effects); diff != "" {
				t.Errorf("retries that took effect (-want +got):\n%s", diff)
			}
			h.WantResults(event.ResultDone, event.ResultDone)
			if !h.Idle() {
				t.Error("the queue is not empty")
			}
			wantAnnounced(h, c.reason)
		})
	}
}

// effects counts the retries that took effect, by job.
func effects(h *actionstest.Harness) map[int64]int {
	done := map[int64]int{}
	for _, r := range h.GitLab.Requests() {
		var project, job int64
		if _, err := fmt.Sscanf(r.Path, "/projects/%d/jobs/%d/retry", &project, &job); err == nil && r.Status == http.StatusCreated {
			done[job]++
		}
	}
	return done
}

// What fails for one job alone ends one day, as long as GitLab answers others.
func TestFailureOfOneJobEnds(t *testing.T) {
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
			h := actionstest.New(t, healthRules)
			job := h.FailedJob(actionstest.Stuck)
			c.fault.Path = fmt.Sprintf("/jobs/%d/retry", job.ID)
			h.GitLab.Fail(c.fault)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.Pass(26*time.Hour, 20*time.Minute)
			o := h.Only()
			if o.Result != event.ResultFailed {
				t.Errorf("%s: %s, want failed", o.Result, o.Reason)
			}
			actionstest.Has(t, o.Reason, c.says)
			wantUp(h, 1)
			if posts := h.Posts(); len(posts) != 0 {
				t.Errorf("posted %q, want nothing", posts)
			}
		})
	}
}

// However many replicas see the outage, and whenever they start, it is announced
// once.
func TestOutageIsAnnouncedOnceByAllReplicas(t *testing.T) {
	h := actionstest.New(t, healthRules)
	first, second := h.Runner, h.Replica(actionstest.NewFuse(-1))
	var jobs []gitlabtest.Job
	deliver := func(n int) {
		for range n {
			job := h.FailedJob(actionstest.Stuck)
			jobs = append(jobs, job)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
		}
	}
	h.GitLab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})
	deliver(4)
	h.Pass(time.Hour, 20*time.Second, first, second)
	third := h.Replica(actionstest.NewFuse(-1)) // started while it lasts, in place of the first
	deliver(2)
	h.Pass(time.Hour, 20*time.Second, second, third)
	h.GitLab.ClearFaults()
	h.Pass(10*time.Minute, 20*time.Second, second, third)

	posts := h.Posts()
	if len(posts) != 2 || !strings.Contains(posts[0], "can't use GitLab") || !strings.Contains(posts[1], "can use GitLab again, after 2h") {
		t.Errorf("posted %q", posts)
	}
	want := map[int64]int{}
	for _, job := range jobs {
		want[job.ID] = 1
	}
	if diff := cmp.Diff(want, effects(h)); diff != "" {
		t.Errorf("retries that took effect (-want +got):\n%s", diff)
	}
}

// TestOutageThatEndsWhileMuted: people who read that GitLab can't be used read that it can be
// used again once a mute ends.
func TestOutageThatEndsWhileMuted(t *testing.T) {
	h := actionstest.New(t, healthRules)
	h.GitLab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	h.Pass(time.Minute, time.Second)
	if _, err := h.Mutes().Mute(t.Context(), event.Mute{By: "ann"}, false, ""); err != nil {
		t.Fatal(err)
	}
	h.GitLab.ClearFaults()
	h.Pass(20*time.Minute, 20*time.Second)
	if posts := h.Posts(); len(posts) != 1 {
		t.Errorf("posted %q while muted, want nothing after the first", posts)
	}
	if _, err := h.Mutes().Unmute(t.Context(), event.Mute{}, event.Actor{By: "ann"}); err != nil {
		t.Fatal(err)
	}
	h.Pass(2*time.Minute, 20*time.Second)
	if posts := h.Posts(); len(posts) != 2 || !strings.Contains(posts[1], "can use GitLab again") {
		t.Errorf("posted %q, want that it can be used again", posts)
	}
}

// Trouble that was over before anybody restarted the process is said to be over.
func TestOutageEndsAfterRestart(t *testing.T) {
	h := actionstest.New(t, healthRules)
	h.GitLab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	h.Pass(time.Minute, time.Second)
	h.Start(actionstest.NewFuse(-1)) // during the outage
	h.Pass(5*time.Minute, 20*time.Second)
	if posts := h.Posts(); len(posts) != 1 {
		t.Errorf("posted %q, want that GitLab can't be used", posts)
	}
	h.GitLab.ClearFaults()
	h.Start(actionstest.NewFuse(-1)) // with a good token
	h.Pass(5*time.Minute, 20*time.Second)
	if posts := h.Posts(); len(posts) != 2 || !strings.Contains(posts[1], "can use GitLab again") {
		t.Errorf("posted %q, want that it can again", posts)
	}
	if n := h.GitLab.Answered(http.StatusCreated); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
}
