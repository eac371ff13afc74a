package actions_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const retryRules = `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure", "runner_system_failure")
    actions:
      - retry: {max_attempts: 3, delay: 30s}
    notify:
      - when: [done, gave_up, failed, skipped]
        text: "{{ job.name }}, attempt {{ job.attempt }}"
`

const stuck = "stuck_or_timeout_failure"

// What was promised in one line: an event leads to one retry and one message.
func TestRetry(t *testing.T) {
	h := newHouse(t, retryRules)
	job := h.failedJob(stuck)
	h.deliver(h.gitlab.JobHookBody(job.ID))

	h.work()
	if n := h.gitlab.Count("POST", "/retry"); n != 0 {
		t.Errorf("%d retries before the delay is over, want none", n)
	}
	if o := h.only(); o.Result != "" || o.Rule != "retry-stuck" {
		t.Errorf("the waiting decision has outcome %q of rule %q", o.Result, o.Rule)
	}

	h.clock.Advance(33 * time.Second) // a tenth more at most
	h.work()
	if n := h.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	o := h.only()
	if next := h.gitlab.Latest(job.PipelineID, "rspec"); o.Result != event.ResultDone || o.NewJobID != next.ID || next.ID == job.ID {
		t.Errorf("outcome %q with job %d (%s), want done with job %d", o.Result, o.NewJobID, o.Reason, next.ID)
	}
	if posts := h.slack.Posts(); len(posts) != 1 || !strings.Contains(posts[0].Plain(), "rspec, attempt 1") {
		t.Errorf("posts %v, want one that tells of rspec", posts)
	}
	if got := testutil.CollectAndCount(h.metrics, "pipesteward_decisions_total"); got != 1 {
		t.Errorf("%d series of decisions, want 1", got)
	}
	has(t, h.log.String(), `"outcome":"done"`, `"rule":"retry-stuck"`, `"project":"platform/shop"`)
}

// Between the decision and the call, the world moves on: the job's real
// state decides.
func TestRetryIsHeldAgainstTheRealState(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		reason  string // of the failure
		arrange func(h *house, job gitlabtest.Job)
		retries int // POST …/retry
		result  string
		says    string
	}{
		{"retried by somebody", stuck, func(h *house, job gitlabtest.Job) { _, _ = h.gitlab.Retry(job.ID) }, 0, event.ResultSkipped, "already retried as job"},
		{"retried by somebody and passed", stuck, func(h *house, job gitlabtest.Job) {
			again, _ := h.gitlab.Retry(job.ID)
			h.gitlab.Run(again.ID)
			h.gitlab.Finish(again.ID, "success", "")
		}, 0, event.ResultSkipped, "which is success"},
		{"project gone", stuck, func(h *house, job gitlabtest.Job) {
			h.addOther()
			h.gitlab.SetRole(job.ProjectID, gitlabtest.NoAccess)
		}, 0, event.ResultFailed, "gone, or hidden"},
		{"no rights", stuck, func(h *house, job gitlabtest.Job) {
			h.addOther()
			h.gitlab.SetRole(job.ProjectID, gitlabtest.Reporter)
		}, 1, event.ResultFailed, "check the token"},
		{"GitLab slow to answer", stuck, func(h *house, _ gitlabtest.Job) {
			h.gitlab.Fail(gitlabtest.Fault{Path: "/retry", Status: 429, RetryAfter: 7 * time.Second})
		}, 2, event.ResultDone, "attempt 2 of 3"},
		{"500 before the effect", stuck, func(h *house, _ gitlabtest.Job) { h.gitlab.Fail(gitlabtest.Fault{Path: "/retry", Status: 500}) }, 2, event.ResultDone, "attempt 2 of 3"},
		{"502 after the effect", stuck, func(h *house, _ gitlabtest.Job) {
			h.gitlab.Fail(gitlabtest.Fault{Path: "/retry", Status: 502, HTML: true, After: true})
		}, 1, event.ResultDone, "seen after the call was cut short"},
		{"cut before the effect", stuck, func(h *house, _ gitlabtest.Job) { h.gitlab.Fail(gitlabtest.Fault{Path: "/retry", Cut: true}) }, 2, event.ResultDone, "attempt 2 of 3"},
		{"cut after the effect", stuck, func(h *house, _ gitlabtest.Job) {
			h.gitlab.Fail(gitlabtest.Fault{Path: "/retry", Cut: true, After: true})
		}, 1, event.ResultDone, "seen after the call was cut short"},
		{"retried by somebody during the call", stuck, func(h *house, _ gitlabtest.Job) {
			h.gitlab.Fail(gitlabtest.Fault{Path: "/retry", Status: 403, After: true})
		}, 1, event.ResultSkipped, "already retried"},
		{"GitLab down for an hour", stuck, func(h *house, _ gitlabtest.Job) { h.gitlab.Fail(gitlabtest.Fault{Status: 503, Times: 30}) }, 1, event.ResultDone, "attempt 2 of 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, retryRules)
			job := h.failedJob(c.reason)
			h.deliver(h.gitlab.JobHookBody(job.ID))
			h.work() // decided
			c.arrange(h, job)
			for range 2000 {
				h.clock.Advance(time.Minute)
				h.work()
				if h.only().Result != "" {
					break
				}
			}
			h.workOff()
			h.wantOutcome(c.result, c.says, "/retry", c.retries)
			if n := len(h.slack.Posts()); n != 1 {
				t.Errorf("%d messages, want 1", n)
			}
		})
	}
}

// All runs of the name in the pipeline count, whoever started them, and
// whatever the hook says.
func TestRetryGivesUp(t *testing.T) {
	h := newHouse(t, retryRules)
	job := h.failedJob(stuck)
	for range 2 {
		again, err := h.gitlab.Retry(job.ID)
		if err != nil {
			t.Fatal(err)
		}
		h.gitlab.Run(again.ID)
		h.gitlab.Finish(again.ID, "failed", "runner_system_failure")
		job = h.gitlab.Job(again.ID)
	}
	body := strings.ReplaceAll(string(h.gitlab.JobHookBody(job.ID)), `"retries_count"`, `"retries_count_of_old"`)
	h.deliver([]byte(body))
	h.workOff()
	o := h.only()
	if o.Result != event.ResultGaveUp || o.Job.Attempt != 3 {
		t.Errorf("outcome %s (%s) in attempt %d, want gave_up in attempt 3", o.Result, o.Reason, o.Job.Attempt)
	}
	if n := h.gitlab.Count("POST", "/retry"); n != 0 {
		t.Errorf("%d calls to retry, want none", n)
	}
	has(t, h.slack.Posts()[0].Plain(), "rspec, attempt 3")
}

func TestRetryOfAHopelessFailureIsSkipped(t *testing.T) {
	h := newHouse(t, strings.Replace(retryRules, `failed_with("stuck_or_timeout_failure", "runner_system_failure")`, `job.status == "failed"`, 1))
	job := h.failedJob("user_blocked")
	h.deliver(h.gitlab.JobHookBody(job.ID))
	h.workOff()
	if o := h.only(); o.Result != event.ResultSkipped || o.Reason != "no retry mends user_blocked" {
		t.Errorf("outcome %s (%s)", o.Result, o.Reason)
	}
}

// A pipeline hook does not tell the attempt: the wait grows with the real one.
func TestRetryWaitsForTheRealAttempt(t *testing.T) {
	h := newHouse(t, `
version: 1
rules:
  - {name: r, on: pipeline, actions: [retry: {delay: 60s, jobs: 'filter(pipeline.jobs, .status == "failed")'}]}
`)
	job := h.failedJob(stuck)
	again, err := h.gitlab.Retry(job.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.gitlab.Run(again.ID)
	h.gitlab.Finish(again.ID, "failed", stuck)
	h.deliver(h.gitlab.PipelineHookBody(job.PipelineID))
	h.work()
	for _, c := range []struct {
		wait    time.Duration
		retries int
	}{{67 * time.Second, 0}, {52 * time.Second, 0}, {25 * time.Second, 1}} {
		h.clock.Advance(c.wait)
		h.work()
		if n := h.gitlab.Count("POST", "/retry"); n != c.retries {
			t.Errorf("%d retries, want %d", n, c.retries)
		}
	}
	has(t, h.only().Reason, "attempt 3 of 3")
}

// A delay longer than the patience with a failing GitLab is no failure.
func TestPatienceCountsFromTheFirstFailure(t *testing.T) {
	h := newHouse(t, strings.Replace(retryRules, "delay: 30s", "delay: 2d, max_delay: 2d", 1))
	job := h.failedJob(stuck)
	h.deliver(h.gitlab.JobHookBody(job.ID))
	h.work()
	h.clock.Advance(53 * time.Hour)
	h.gitlab.Fail(gitlabtest.Fault{Path: "/retry", Status: 503})
	h.workOff()
	if o := h.only(); o.Result != event.ResultDone {
		t.Errorf("outcome %s (%s), want done", o.Result, o.Reason)
	}
}

// GitLab that answered in between did not fail all the time.
func TestPatienceBeginsAnewWhenGitLabAnswers(t *testing.T) {
	h := newHouse(t, `
version: 1
rules:
  - {name: r, on: pipeline, actions: [retry: {delay: 1d, max_delay: 9d, jobs: 'filter(pipeline.jobs, .status == "failed")'}]}
`)
	job := h.failedJob(stuck)
	again, err := h.gitlab.Retry(job.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.gitlab.Run(again.ID)
	h.gitlab.Finish(again.ID, "failed", stuck)
	h.deliver(h.gitlab.PipelineHookBody(job.PipelineID))
	h.work()
	h.clock.Advance(27 * time.Hour)
	h.gitlab.Fail(gitlabtest.Fault{Status: 503, Times: 3})
	h.work() // GitLab fails
	h.clock.Advance(time.Minute)
	h.work() // it answers: the second attempt waits another day
	h.clock.Advance(27 * time.Hour)
	h.gitlab.Fail(gitlabtest.Fault{Status: 503, Times: 3})
	h.workOff()
	if o := h.only(); o.Result != event.ResultDone {
		t.Errorf("outcome %s (%s), want done", o.Result, o.Reason)
	}
}

// The actions of a rule run in the order written, also when the first is held
// up.
func TestActionsRunInOrder(t *testing.T) {
	h := newHouse(t, `
version: 1
rules:
  - name: clear
    on: pipeline
    actions:
      - cancel: {jobs: 'filter(pipeline.jobs, .name == "lint")'}
      - erase: {jobs: 'filter(pipeline.jobs, .name == "lint")', older_than: 0s}
`)
	job := h.failedJob("script_failure")
	lint := h.gitlab.Latest(job.PipelineID, "lint")
	h.gitlab.Run(lint.ID)
	h.gitlab.SetLog(lint.ID, "linting\n")
	h.gitlab.Fail(gitlabtest.Fault{Path: "/cancel", Status: 503, Times: 3})
	h.deliver(h.gitlab.PipelineHookBody(job.PipelineID))
	h.workOff()
	for _, o := range h.outcomes() {
		if o.Result != event.ResultDone {
			t.Errorf("%s: %s (%s), want done", o.Action.Verb, o.Result, o.Reason)
		}
	}
	if h.gitlab.Job(lint.ID).ErasedAt.IsZero() {
		t.Error("the log is still there")
	}
}

// What was refused because the job was not there yet is done when it is.
func TestPlayIsWantedAgainWhenTheJobMovesOn(t *testing.T) {
	h := newHouse(t, "version: 1\nrules:\n  - {name: deploy, on: pipeline, actions: [play: {jobs: 'filter(pipeline.jobs, .name == \"deploy\")'}]}\n")
	project := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Stage: "test", Name: "rspec"},
		gitlabtest.Job{Stage: "deploy", Name: "deploy", When: "manual"})
	h.deliver(h.gitlab.PipelineHookBody(pipeline.ID))
	h.workOff()
	rspec := h.gitlab.Latest(pipeline.ID, "rspec")
	h.gitlab.Run(rspec.ID)
	h.gitlab.Finish(rspec.ID, "success", "")
	h.deliver(h.gitlab.PipelineHookBody(pipeline.ID))
	h.workOff()
	var got []string
	for _, o := range h.outcomes() {
		got = append(got, o.Result)
	}
	if diff := cmp.Diff([]string{event.ResultSkipped, event.ResultDone}, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// A decision made again, when the first is forgotten, has an outcome of its
// own.
func TestDecidedAgainMuchLater(t *testing.T) {
	h := newHouse(t, "version: 1\nrules:\n  - {name: erase, on: job, actions: [erase: {older_than: 1h}]}\n")
	job := h.failedJob("script_failure")
	h.gitlab.SetLog(job.ID, "log\n")
	h.deliver(h.gitlab.JobHookBody(job.ID))
	h.workOff()
	h.clock.Advance(store.DefaultDedupeTTL)
	h.deliver(h.gitlab.JobHookBody(job.ID))
	h.workOff()
	all := h.outcomes()
	if len(all) != 2 || all[0].Result != event.ResultSkipped || all[1].Result != event.ResultDone {
		t.Errorf("outcomes %+v, want skipped, then done", all)
	}
}

// The same job through several hooks, rules and deliveries is one action.
func TestTheSameActionIsCarriedOutOnce(t *testing.T) {
	h := newHouse(t, retryRules+`
  - {name: another, on: job, if: 'job.status == "failed"', actions: [retry: {delay: 30s}]}
  - {name: by-pipeline, on: pipeline, actions: [retry: {jobs: 'filter(pipeline.jobs, .status == "failed")'}]}
`)
	job := h.failedJob(stuck)
	for range 3 {
		h.deliver(h.gitlab.JobHookBody(job.ID))
		h.deliver(h.gitlab.PipelineHookBody(job.PipelineID))
	}
	h.workOff()
	if n := h.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	if diff := cmp.Diff([]string{"another"}, h.only().AlsoWantedBy); diff != "" {
		t.Errorf("also wanted by (-want +got):\n%s", diff)
	}
	if n := len(h.slack.Posts()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// A kill at any step, and a fresh start: one retry, one message, one outcome.
func TestKilledAtAnyStep(t *testing.T) {
	t.Parallel()
	for steps := 1; ; steps += *killEach {
		h := newHouse(t, retryRules)
		job := h.failedJob(stuck)
		h.deliver(h.gitlab.JobHookBody(job.ID))

		h.start(newFuse(steps))
		h.work()
		h.clock.Advance(33 * time.Second)
		h.work()
		killed := h.fuse.blown()

		h.start(newFuse(-1))
		h.workOff()
		h.wantOnce(fmt.Sprintf("killed at step %d", steps))
		if !killed {
			if steps < 20 {
				t.Errorf("all is done in %d steps: the fuse does not see them", steps)
			}
			return
		}
	}
}

// A delay is as long as it should be when the replica that decided has a
// clock that is 5 minutes ahead, or behind.
func TestDelayWithClocksApart(t *testing.T) {
	for _, apart := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		h := newHouse(t, retryRules)
		h.now = func() time.Time { return h.clock.Now().Add(apart) }
		h.start(newFuse(-1))
		job := h.failedJob(stuck)
		h.deliver(h.gitlab.JobHookBody(job.ID))
		h.work()

		h.now = h.clock.Now
		h.start(newFuse(-1))
		h.clock.Advance(29 * time.Second)
		h.work()
		if n := h.gitlab.Count("POST", "/retry"); n != 0 {
			t.Errorf("%s apart: retried too early", apart)
		}
		h.clock.Advance(4 * time.Second)
		h.work()
		h.wantOnce(apart.String() + " apart")
	}
}

func TestPlay(t *testing.T) {
	const text = `
version: 1
rules:
  - name: deploy
    on: pipeline
    if: all(pipeline.jobs, .stage != "test" or .status == "success")
    actions:
      - play:
          jobs: filter(pipeline.jobs, .name == "deploy" and .status == "manual")
          variables: {RELEASE: "{{ pipeline.sha }}", JOB: "{{ job.name }}"}
`
	for _, c := range []struct {
		name    string
		options func(*gitlabtest.Options)
		arrange func(h *house, deploy gitlabtest.Job)
		plays   int
		result  string
		says    string
	}{
		{"green", nil, nil, 1, event.ResultDone, ""},
		{"played by somebody", nil, func(h *house, d gitlabtest.Job) { _, _ = h.gitlab.Play(d.ID) }, 0, event.ResultSkipped, "does not wait to be played"},
		{"cut after the effect", nil, func(h *house, _ gitlabtest.Job) {
			h.gitlab.Fail(gitlabtest.Fault{Path: "/play", Cut: true, After: true})
		}, 1, event.ResultDone, "seen after the call was cut short"},
		{"cut before the effect", nil, func(h *house, _ gitlabtest.Job) { h.gitlab.Fail(gitlabtest.Fault{Path: "/play", Cut: true}) }, 2, event.ResultDone, ""},
		{"canceled", nil, func(h *house, d gitlabtest.Job) { h.gitlab.Cancel(d.ID) }, 0, event.ResultSkipped, "the job is canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, text)
			project := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			pipeline := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Stage: "test", Name: "rspec"},
				gitlabtest.Job{Stage: "deploy", Name: "deploy", When: "manual"})
			rspec := h.gitlab.Latest(pipeline.ID, "rspec")
			h.gitlab.Run(rspec.ID)
			h.deliver(h.gitlab.PipelineHookBody(pipeline.ID)) // not green yet
			h.workOff()
			if n := len(h.outcomes()); n != 0 {
				t.Fatalf("%d decisions before the pipeline is green", n)
			}
			h.gitlab.Finish(rspec.ID, "success", "")
			deploy := h.gitlab.Latest(pipeline.ID, "deploy")
			h.deliver(h.gitlab.PipelineHookBody(pipeline.ID))
			if c.arrange != nil {
				c.arrange(h, deploy)
			}
			h.workOff()
			o := h.wantOutcome(c.result, c.says, "/play", c.plays)
			if c.result != event.ResultDone {
				return
			}
			played := h.gitlab.Latest(pipeline.ID, "deploy")
			if o.NewJobID != played.ID {
				t.Errorf("the outcome names job %d, and job %d runs", o.NewJobID, played.ID)
			}
			want := map[string]string{"RELEASE": pipeline.SHA, "JOB": "deploy"}
			got := map[string]string{}
			for _, v := range played.Variables {
				got[v.Key] = v.Value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("variables (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	const text = `
version: 1
rules:
  - name: cancel-rest
    on: job
    if: job.name == "rspec" and job.status == "failed"
    actions:
      - cancel: {jobs: 'filter(jobs(), .name == "lint")'}
`
	for _, c := range []struct {
		name    string
		arrange func(h *house, lint gitlabtest.Job)
		cancels int
		result  string
		says    string
	}{
		{"pending", nil, 1, event.ResultDone, "canceled"},
		{"running", func(h *house, lint gitlabtest.Job) { h.gitlab.Run(lint.ID) }, 1, event.ResultDone, "canceled"},
		{"canceled by somebody", func(h *house, lint gitlabtest.Job) { h.gitlab.Cancel(lint.ID) }, 0, event.ResultSkipped, "canceled already"},
		{"passed meanwhile", func(h *house, lint gitlabtest.Job) { h.gitlab.Run(lint.ID); h.gitlab.Finish(lint.ID, "success", "") }, 0, event.ResultSkipped, "has ended: success"},
		{"500 after the effect", func(h *house, _ gitlabtest.Job) {
			h.gitlab.Fail(gitlabtest.Fault{Path: "/cancel", Status: http.StatusInternalServerError, After: true})
		}, 1, event.ResultDone, "seen after the call was cut short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, text)
			job := h.failedJob("script_failure")
			lint := h.gitlab.Latest(job.PipelineID, "lint")
			h.deliver(h.gitlab.JobHookBody(job.ID))
			if c.arrange != nil {
				c.arrange(h, lint)
			}
			h.workOff()
			if o := h.wantOutcome(c.result, c.says, "/cancel", c.cancels); o.Job.ID != lint.ID {
				t.Errorf("outcome of job %d, want of job %d", o.Job.ID, lint.ID)
			}
		})
	}
}

func TestErase(t *testing.T) {
	rule := func(parameters string) string {
		return fmt.Sprintf("version: 1\nrules:\n  - {name: erase, on: job, if: 'job.status == \"success\"', actions: [erase: {%s}]}\n", parameters)
	}
	artifact := gitlabtest.Artifact{FileType: "archive", Filename: "artifacts.zip", Size: 1000}
	for _, c := range []struct {
		name       string
		parameters string
		age        time.Duration
		arrange    func(h *house, job gitlabtest.Job)
		erases     int
		result     string
		says       string
	}{
		{"old enough", "older_than: 1h", 2 * time.Hour, nil, 1, event.ResultDone, ""},
		{"too young", "older_than: 1h", time.Minute, nil, 0, event.ResultSkipped, "finished 1m ago, and the rule erases after 1h"},
		{"too young by default", "", 23 * time.Hour, nil, 0, event.ResultSkipped, "finished 23h ago, and the rule erases after 1d"},
		{"erased by somebody", "older_than: 1h", 2 * time.Hour, func(h *house, job gitlabtest.Job) { _ = h.gitlab.Erase(job.ID) }, 0, event.ResultSkipped, "already erased"},
		{"holds artifacts", "older_than: 1h", 2 * time.Hour, func(h *house, job gitlabtest.Job) { h.gitlab.SetArtifacts(job.ID, artifact) }, 0, event.ResultSkipped, "holds artifacts"},
		{"artifacts too", "older_than: 1h, artifacts: true", 2 * time.Hour, func(h *house, job gitlabtest.Job) { h.gitlab.SetArtifacts(job.ID, artifact) }, 1, event.ResultDone, ""},
		{"no rights", "older_than: 1h", 2 * time.Hour, func(h *house, job gitlabtest.Job) { h.gitlab.SetRole(job.ProjectID, gitlabtest.Developer) }, 1, event.ResultFailed, "check the token"},
		{"cut after the effect", "older_than: 1h", 2 * time.Hour, func(h *house, _ gitlabtest.Job) {
			h.gitlab.Fail(gitlabtest.Fault{Path: "/erase", Cut: true, After: true})
		}, 1, event.ResultDone, "seen after the call was cut short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, rule(c.parameters))
			project := h.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			pipeline := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			job := h.gitlab.Latest(pipeline.ID, "rspec")
			h.gitlab.Run(job.ID)
			h.gitlab.SetLog(job.ID, "some log\n")
			h.gitlab.Finish(job.ID, "success", "")
			h.clock.Advance(c.age)
			if c.arrange != nil {
				c.arrange(h, job)
			}
			h.deliver(h.gitlab.JobHookBody(job.ID))
			h.workOff()
			h.wantOutcome(c.result, c.says, "/erase", c.erases)
		})
	}
}

// A dry run reads, decides, records and tells; it posts nothing to GitLab.
func TestDryRun(t *testing.T) {
	h := newHouse(t, strings.Replace(strings.Replace(retryRules, "[done, gave_up, failed, skipped]", "[dry_run]", 1), "defaults: {", "defaults: {dry_run: true, ", 1))
	job := h.failedJob(stuck)
	h.deliver(h.gitlab.JobHookBody(job.ID))
	h.workOff()
	if o := h.only(); o.Result != event.ResultDryRun {
		t.Errorf("outcome %s (%s), want dry_run", o.Result, o.Reason)
	}
	if n := h.gitlab.Count("POST", ""); n != 0 {
		t.Errorf("%d POSTs to GitLab, want none", n)
	}
	if n := len(h.slack.Posts()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// A rule with notify alone tells that it matched, the same news once.
func TestNotifyOnly(t *testing.T) {
	h := newHouse(t, `
version: 1
rules:
  - name: red
    on: pipeline
    if: pipeline.status == "failed"
    notify: [{channel: "#dev", text: "red: {{ project.path }}"}]
`)
	job := h.failedJob("script_failure")
	h.gitlab.Cancel(h.gitlab.Latest(job.PipelineID, "lint").ID)
	for range 2 {
		h.deliver(h.gitlab.PipelineHookBody(job.PipelineID))
	}
	h.workOff()
	if posts := h.slack.Posts(); len(posts) != 1 || posts[0].Channel != "dev" || !strings.Contains(posts[0].Plain(), "red: platform/shop") {
		t.Errorf("posts %+v, want one in #dev", posts)
	}
}

// A fact that GitLab can't tell for now is asked again later; one that it
// refuses for good is a rule error. Neither keeps other rules from firing.
func TestFactsThatFail(t *testing.T) {
	const text = `
version: 1
rules:
  - {name: full-disk, on: job, if: 'job.status == "failed" and log() contains "No space left"', actions: [retry]}
  - {name: cancel-lint, on: job, if: 'job.status == "failed"', actions: [cancel: {jobs: 'filter(jobs(), .name == "lint")'}]}
`
	for _, c := range []struct {
		name    string
		fault   gitlabtest.Fault
		retries int
		errors  int
	}{
		{"down for a while", gitlabtest.Fault{Path: "/trace", Status: 503, Times: 12}, 1, 0},
		{"refused", gitlabtest.Fault{Path: "/trace", Status: 403, Times: -1}, 0, 1},
		{"down for days", gitlabtest.Fault{Path: "/trace", Status: 500, Times: -1}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, text)
			job := h.failedJob("script_failure")
			h.gitlab.SetLog(job.ID, "No space left on device\n")
			h.gitlab.Fail(c.fault)
			h.deliver(h.gitlab.JobHookBody(job.ID))
			h.work()
			if n := h.gitlab.Count("POST", "/cancel"); n != 1 {
				t.Errorf("the other rule canceled %d jobs at once, want 1", n)
			}
			for range 25 {
				h.clock.Advance(time.Hour)
				h.work()
			}
			h.workOff()
			if n := h.gitlab.Count("POST", "/retry"); n != c.retries {
				t.Errorf("%d retries, want %d", n, c.retries)
			}
			want := ""
			if c.errors > 0 {
				want = fmt.Sprintf("# HELP pipesteward_rule_errors_total Expressions that failed on an event, so that their rule did not fire.\n"+
					"# TYPE pipesteward_rule_errors_total counter\npipesteward_rule_errors_total{rule=\"full-disk\"} %d\n", c.errors)
				has(t, h.log.String(), "did not fire")
			}
			if err := testutil.GatherAndCompare(h.metrics, strings.NewReader(want), "pipesteward_rule_errors_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// Slack that fails holds up the message, not the retry, and tells once.
func TestSlackThatFails(t *testing.T) {
	h := newHouse(t, retryRules)
	job := h.failedJob(stuck)
	h.slack.Fail(slacktest.Fault{Status: http.StatusServiceUnavailable, Times: 5})
	h.deliver(h.gitlab.JobHookBody(job.ID))
	h.workOff()
	if n := h.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	if n := len(h.slack.Posts()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// A record that can't be read is buried, and the rest is worked on.
func TestUnworkableRecordsAreBuried(t *testing.T) {
	h := newHouse(t, retryRules)
	for _, r := range []store.Record{
		{ID: "1", Kind: event.RecordEvent, Body: []byte("{")},
		{ID: "2", Kind: "unheard of", Body: []byte("{}")},
		{ID: "3", Kind: event.RecordDecision, Body: []byte(`{"action": {"verb": "dance"}}`)},
	} {
		if _, err := h.db.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	job := h.failedJob(stuck)
	h.deliver(h.gitlab.JobHookBody(job.ID))
	h.workOff()
	dead, err := h.db.Dead(t.Context(), 10)
	if err != nil || len(dead) != 3 {
		t.Fatalf("%d dead records (%v), want 3", len(dead), err)
	}
	if n := h.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
}

// No log line, outcome or message holds a token.
func TestSecretsStayInside(t *testing.T) {
	h := newHouse(t, retryRules)
	job := h.failedJob(stuck)
	h.gitlab.Fail(gitlabtest.Fault{Status: 503, Times: 10})
	h.slack.Fail(slacktest.Fault{Status: http.StatusServiceUnavailable, Times: 5})
	h.deliver(h.gitlab.JobHookBody(job.ID))
	h.work()
	h.addOther()
	h.gitlab.SetRole(job.ProjectID, gitlabtest.Reporter)
	h.workOff()
	seen := h.log.String() + fmt.Sprint(h.outcomes(), h.slack.Posts())
	for _, secret := range []string{gitlabtest.DefaultToken, slackToken} {
		if strings.Contains(seen, secret) {
			t.Errorf("a token was told:\n%s", seen)
		}
	}
}

// An event that brings the process down each time is buried, and one that only
// waits for GitLab is not, however often.
func TestEventThatKillsIsBuried(t *testing.T) {
	h := newHouse(t, retryRules)
	h.deliver(h.gitlab.JobHookBody(h.failedJob(stuck).ID))
	for range 5 {
		if n := h.deadRecords(); n > 0 {
			t.Fatalf("%d dead records before five kills", n)
		}
		h.start(newFuse(5)) // it dies when it has leased the event and begins to work on it
		h.work()
		h.clock.Advance(2 * time.Minute) // its lease runs out
	}
	h.start(newFuse(-1))
	h.work()
	dead, err := h.db.Dead(t.Context(), 10)
	if err != nil || len(dead) != 1 {
		t.Fatalf("%d dead records after five kills, %v", len(dead), err)
	}
	has(t, dead[0].Reason, "was cut short 5 times in a row")
	if n := h.gitlab.Count("POST", ""); n != 0 {
		t.Errorf("%d calls", n)
	}

	other := newHouse(t, strings.Replace(retryRules, "if: ", "if: not superseded() and ", 1))
	other.gitlab.Fail(gitlabtest.Fault{Times: 40, Status: 409})
	other.deliver(other.gitlab.JobHookBody(other.failedJob(stuck).ID))
	other.workOff()
	other.wantOnce("after many refusals that pass")
}

// TestEventThatKillsAfterAnOrderlyEnd: kills are counted from the last orderly end
// on.
func TestEventThatKillsAfterAnOrderlyEnd(t *testing.T) {
	h := newHouse(t, strings.Replace(retryRules, "if: ", "if: not superseded() and ", 1))
	h.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusConflict})
	h.deliver(h.gitlab.JobHookBody(h.failedJob(stuck).ID))
	h.work() // it is deferred
	h.gitlab.ClearFaults()
	h.clock.Advance(10 * time.Minute)
	for range 5 {
		if n := h.deadRecords(); n > 0 {
			t.Fatalf("%d dead records before five kills", n)
		}
		h.start(newFuse(5))
		h.work()
		h.clock.Advance(2 * time.Minute)
	}
	h.start(newFuse(-1))
	h.work()
	if n := h.deadRecords(); n != 1 {
		t.Errorf("%d dead records after five kills", n)
	}
}

// deliverAgain puts an event into the queue as catch-up --since does.
func (h *house) deliverAgain(body []byte) { h.Helper(); h.enqueue(body, event.SourceCatchUp, h.now()) }

// TestAgainOnceForEachTimeItIsWanted: what fails again is not made again by the
// same event, however often that is evaluated.
func TestAgainOnceForEachTimeItIsWanted(t *testing.T) {
	h := newHouse(t, `
version: 1
rules:
  - {name: a, on: job, if: 'job.status == "failed"', actions: [retry: {max_attempts: 9}]}
  - {name: b, on: job, if: 'job.status == "failed" and superseded()', notify: [{channel: ci}]}
`)
	body := h.gitlab.JobHookBody(h.failedJob(stuck).ID)
	refuse := gitlabtest.Fault{Method: http.MethodPost, Path: "/retry", Times: -1, Status: http.StatusBadRequest}
	h.gitlab.Fail(refuse)
	h.deliver(body)
	h.workOff()
	h.clock.Advance(time.Minute)
	h.gitlab.Fail(gitlabtest.Fault{Method: http.MethodGet, Path: "/pipelines", Times: 8, Status: http.StatusBadGateway}) // rule b waits
	h.deliverAgain(body)
	h.workOff()
	h.wantResults(event.ResultFailed, event.ResultFailed)
	if n := h.gitlab.Count(http.MethodPost, "/retry"); n != 2 {
		t.Errorf("%d retries, want 2", n)
	}
}

// TestAgainPlaysTheRestOfAChain: a play that was skipped because the one before it
// was refused is made when that one is made again.
func TestAgainPlaysTheRestOfAChain(t *testing.T) {
	h := newHouse(t, inOrderRules)
	h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "staging", When: "manual"}, gitlabtest.Job{Name: "production", When: "manual"})
	body := h.gitlab.PipelineHookBody(h.pipeline.ID)
	h.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: "/play", Status: http.StatusBadRequest})
	h.deliver(body)
	h.workOff()
	h.wantResults(event.ResultFailed, event.ResultSkipped)
	h.clock.Advance(time.Minute)
	h.deliverAgain(body)
	h.passTime()
	h.end("staging", "success", "")
	h.workOff()
	h.wantResults(event.ResultFailed, event.ResultSkipped, event.ResultDone, event.ResultDone)
}

// deadRecords counts the records that were buried.
func (h *house) deadRecords() int {
	d, err := h.db.Depth(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return d.Dead
}
