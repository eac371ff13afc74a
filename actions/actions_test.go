package actions_test

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
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// What was promised in one line: an event leads to one retry and one message.
func TestRetry(t *testing.T) {
	h := actionstest.New(t, actionstest.RetryRules)
	job := h.FailedJob(actionstest.Stuck)
	h.Deliver(h.GitLab.JobHookBody(job.ID))

	h.Work()
	if n := h.GitLab.Count("POST", "/retry"); n != 0 {
		t.Errorf("%d retries before the delay is over, want none", n)
	}
	if o := h.Only(); o.Result != "" || o.Rule != "retry-stuck" {
		t.Errorf("the waiting decision has outcome %q of rule %q", o.Result, o.Rule)
	}

	h.Clock.Advance(33 * time.Second) // a tenth more at most
	h.Work()
	if n := h.GitLab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	o := h.Only()
	if next := h.GitLab.Latest(job.PipelineID, "rspec"); o.Result != event.ResultDone || o.NewJobID != next.ID || next.ID == job.ID {
		t.Errorf("outcome %q with job %d (%s), want done with job %d", o.Result, o.NewJobID, o.Reason, next.ID)
	}
	if posts := h.Slack.Posts(); len(posts) != 1 || !strings.Contains(posts[0].Plain(), "rspec, attempt 1") {
		t.Errorf("posts %v, want one about rspec", posts)
	}
	if got := testutil.CollectAndCount(h.Metrics, "pipesteward_decisions_total"); got != 1 {
		t.Errorf("%d series of decisions, want 1", got)
	}
	actionstest.Has(t, h.Logs.String(), `"outcome":"done"`, `"rule":"retry-stuck"`, `"project":"platform/shop"`)
}

// Between the decision and the call, others act: the job's real
// state decides.
func TestRetryIsHeldAgainstTheRealState(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		reason  string // of the failure
		arrange func(h *actionstest.Harness, job gitlabtest.Job)
		retries int // POST …/retry
		result  string
		says    string
	}{
		{"retried by somebody", actionstest.Stuck, func(h *actionstest.Harness, job gitlabtest.Job) { _, _ = h.GitLab.Retry(job.ID) }, 0, event.ResultSkipped, "already retried as job"},
		{"retried by somebody and passed", actionstest.Stuck, func(h *actionstest.Harness, job gitlabtest.Job) {
			again, _ := h.GitLab.Retry(job.ID)
			h.GitLab.Run(again.ID)
			h.GitLab.Finish(again.ID, "success", "")
		}, 0, event.ResultSkipped, "which is success"},
		{"project gone", actionstest.Stuck, func(h *actionstest.Harness, job gitlabtest.Job) {
			h.AddOther()
			h.GitLab.SetRole(job.ProjectID, gitlabtest.NoAccess)
		}, 0, event.ResultFailed, "gone, or hidden"},
		{"no rights", actionstest.Stuck, func(h *actionstest.Harness, job gitlabtest.Job) {
			h.AddOther()
			h.GitLab.SetRole(job.ProjectID, gitlabtest.Reporter)
		}, 1, event.ResultFailed, "check the token"},
		{"GitLab slow to answer", actionstest.Stuck, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/retry", Status: 429, RetryAfter: 7 * time.Second})
		}, 2, event.ResultDone, "attempt 2 of 3"},
		{"500 before the effect", actionstest.Stuck, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/retry", Status: 500})
		}, 2, event.ResultDone, "attempt 2 of 3"},
		{"502 after the effect", actionstest.Stuck, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/retry", Status: 502, HTML: true, After: true})
		}, 1, event.ResultDone, "seen after the call was cut short"},
		{"cut before the effect", actionstest.Stuck, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/retry", Cut: true})
		}, 2, event.ResultDone, "attempt 2 of 3"},
		{"cut after the effect", actionstest.Stuck, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/retry", Cut: true, After: true})
		}, 1, event.ResultDone, "seen after the call was cut short"},
		{"retried by somebody during the call", actionstest.Stuck, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/retry", Status: 403, After: true})
		}, 1, event.ResultSkipped, "already retried"},
		{"GitLab down for an hour", actionstest.Stuck, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Status: 503, Times: 30})
		}, 1, event.ResultDone, "attempt 2 of 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, actionstest.RetryRules)
			job := h.FailedJob(c.reason)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.Work() // decided
			c.arrange(h, job)
			for range 2000 {
				h.Clock.Advance(time.Minute)
				h.Work()
				if h.Only().Result != "" {
					break
				}
			}
			h.WorkOff()
			h.WantOutcome(c.result, c.says, "/retry", c.retries)
			if n := len(h.Slack.Posts()); n != 1 {
				t.Errorf("%d messages, want 1", n)
			}
		})
	}
}

// All runs of the name in the pipeline count, whoever started them, and
// whatever the hook says.
func TestRetryGivesUp(t *testing.T) {
	h := actionstest.New(t, actionstest.RetryRules)
	job := h.FailedJob(actionstest.Stuck)
	for range 2 {
		again, err := h.GitLab.Retry(job.ID)
		if err != nil {
			t.Fatal(err)
		}
		h.GitLab.Run(again.ID)
		h.GitLab.Finish(again.ID, "failed", "runner_system_failure")
		job = h.GitLab.Job(again.ID)
	}
	body := strings.ReplaceAll(string(h.GitLab.JobHookBody(job.ID)), `"retries_count"`, `"retries_count_of_old"`)
	h.Deliver([]byte(body))
	h.WorkOff()
	o := h.Only()
	if o.Result != event.ResultGaveUp || o.Job.Attempt != 3 {
		t.Errorf("outcome %s (%s) in attempt %d, want gave_up in attempt 3", o.Result, o.Reason, o.Job.Attempt)
	}
	if n := h.GitLab.Count("POST", "/retry"); n != 0 {
		t.Errorf("%d calls to retry, want none", n)
	}
	actionstest.Has(t, h.Slack.Posts()[0].Plain(), "rspec, attempt 3")
}

func TestRetryOfAHopelessFailureIsSkipped(t *testing.T) {
	h := actionstest.New(t, strings.Replace(actionstest.RetryRules, `failed_with("stuck_or_timeout_failure", "runner_system_failure")`, `job.status == "failed"`, 1))
	job := h.FailedJob("user_blocked")
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	if o := h.Only(); o.Result != event.ResultSkipped || o.Reason != "no retry mends user_blocked" {
		t.Errorf("outcome %s (%s)", o.Result, o.Reason)
	}
}

// A pipeline hook lacks the attempt: the delay grows with the real one.
func TestRetryWaitsForTheRealAttempt(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - {name: r, on: pipeline, actions: [retry: {delay: 60s, jobs: 'filter(pipeline.jobs, .status == "failed")'}]}
`)
	job := h.FailedJob(actionstest.Stuck)
	again, err := h.GitLab.Retry(job.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.GitLab.Run(again.ID)
	h.GitLab.Finish(again.ID, "failed", actionstest.Stuck)
	h.Deliver(h.GitLab.PipelineHookBody(job.PipelineID))
	h.Work()
	for _, c := range []struct {
		wait    time.Duration
		retries int
	}{{67 * time.Second, 0}, {52 * time.Second, 0}, {25 * time.Second, 1}} {
		h.Clock.Advance(c.wait)
		h.Work()
		if n := h.GitLab.Count("POST", "/retry"); n != c.retries {
			t.Errorf("%d retries, want %d", n, c.retries)
		}
	}
	actionstest.Has(t, h.Only().Reason, "attempt 3 of 3")
}

// A delay longer than the patience with a failing GitLab is no failure.
func TestPatienceCountsFromTheFirstFailure(t *testing.T) {
	h := actionstest.New(t, strings.Replace(actionstest.RetryRules, "delay: 30s", "delay: 2d, max_delay: 2d", 1))
	job := h.FailedJob(actionstest.Stuck)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.Work()
	h.Clock.Advance(53 * time.Hour)
	h.GitLab.Fail(gitlabtest.Fault{Path: "/retry", Status: 503})
	h.WorkOff()
	if o := h.Only(); o.Result != event.ResultDone {
		t.Errorf("outcome %s (%s), want done", o.Result, o.Reason)
	}
}

// GitLab that answered in between did not fail all the time.
func TestPatienceBeginsAnewWhenGitLabAnswers(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - {name: r, on: pipeline, actions: [retry: {delay: 1d, max_delay: 9d, jobs: 'filter(pipeline.jobs, .status == "failed")'}]}
`)
	job := h.FailedJob(actionstest.Stuck)
	again, err := h.GitLab.Retry(job.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.GitLab.Run(again.ID)
	h.GitLab.Finish(again.ID, "failed", actionstest.Stuck)
	h.Deliver(h.GitLab.PipelineHookBody(job.PipelineID))
	h.Work()
	h.Clock.Advance(27 * time.Hour)
	h.GitLab.Fail(gitlabtest.Fault{Status: 503, Times: 3})
	h.Work() // GitLab fails
	h.Clock.Advance(time.Minute)
	h.Work() // it answers: the second attempt waits another day
	h.Clock.Advance(27 * time.Hour)
	h.GitLab.Fail(gitlabtest.Fault{Status: 503, Times: 3})
	h.WorkOff()
	if o := h.Only(); o.Result != event.ResultDone {
		t.Errorf("outcome %s (%s), want done", o.Result, o.Reason)
	}
}

// The actions of a rule run in the order written, also when the first is delayed
// up.
func TestActionsRunInOrder(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - name: clear
    on: pipeline
    actions:
      - cancel: {jobs: 'filter(pipeline.jobs, .name == "lint")'}
      - erase: {jobs: 'filter(pipeline.jobs, .name == "lint")', older_than: 0s}
`)
	job := h.FailedJob("script_failure")
	lint := h.GitLab.Latest(job.PipelineID, "lint")
	h.GitLab.Run(lint.ID)
	h.GitLab.SetLog(lint.ID, "linting\n")
	h.GitLab.Fail(gitlabtest.Fault{Path: "/cancel", Status: 503, Times: 3})
	h.Deliver(h.GitLab.PipelineHookBody(job.PipelineID))
	h.WorkOff()
	for _, o := range h.Outcomes() {
		if o.Result != event.ResultDone {
			t.Errorf("%s: %s (%s), want done", o.Action.Verb, o.Result, o.Reason)
		}
	}
	if h.GitLab.Job(lint.ID).ErasedAt.IsZero() {
		t.Error("the log is still there")
	}
}

// What was refused because the job was not there yet is done when it is.
func TestPlayIsWantedAgainWhenTheJobMovesOn(t *testing.T) {
	h := actionstest.New(t, "version: 1\nrules:\n  - {name: deploy, on: pipeline, actions: [play: {jobs: 'filter(pipeline.jobs, .name == \"deploy\")'}]}\n")
	project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Stage: "test", Name: "rspec"},
		gitlabtest.Job{Stage: "deploy", Name: "deploy", When: "manual"})
	h.Deliver(h.GitLab.PipelineHookBody(pipeline.ID))
	h.WorkOff()
	rspec := h.GitLab.Latest(pipeline.ID, "rspec")
	h.GitLab.Run(rspec.ID)
	h.GitLab.Finish(rspec.ID, "success", "")
	h.Deliver(h.GitLab.PipelineHookBody(pipeline.ID))
	h.WorkOff()
	var got []string
	for _, o := range h.Outcomes() {
		got = append(got, o.Result)
	}
	if diff := cmp.Diff([]string{event.ResultSkipped, event.ResultDone}, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// A decision made again, when the first is forgotten, has an outcome of its
// own.
func TestDecidedAgainMuchLater(t *testing.T) {
	h := actionstest.New(t, "version: 1\nrules:\n  - {name: erase, on: job, actions: [erase: {older_than: 1h}]}\n")
	job := h.FailedJob("script_failure")
	h.GitLab.SetLog(job.ID, "log\n")
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	h.Clock.Advance(store.DefaultDedupeTTL)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	all := h.Outcomes()
	if len(all) != 2 || all[0].Result != event.ResultSkipped || all[1].Result != event.ResultDone {
		t.Errorf("outcomes %+v, want skipped, then done", all)
	}
}

// The same job through several hooks, rules and deliveries is one action.
func TestTheSameActionIsCarriedOutOnce(t *testing.T) {
	h := actionstest.New(t, actionstest.RetryRules+`
  - {name: another, on: job, if: 'job.status == "failed"', actions: [retry: {delay: 30s}]}
  - {name: by-pipeline, on: pipeline, actions: [retry: {jobs: 'filter(pipeline.jobs, .status == "failed")'}]}
`)
	job := h.FailedJob(actionstest.Stuck)
	for range 3 {
		h.Deliver(h.GitLab.JobHookBody(job.ID))
		h.Deliver(h.GitLab.PipelineHookBody(job.PipelineID))
	}
	h.WorkOff()
	if n := h.GitLab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	if diff := cmp.Diff([]string{"another"}, h.Only().AlsoWantedBy); diff != "" {
		t.Errorf("also wanted by (-want +got):\n%s", diff)
	}
	if n := len(h.Slack.Posts()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// A kill at any step, and a fresh start: one retry, one message, one outcome.
func TestKilledAtAnyStep(t *testing.T) {
	t.Parallel()
	for steps := 1; ; steps += *actionstest.KillEach {
		h := actionstest.New(t, actionstest.RetryRules)
		job := h.FailedJob(actionstest.Stuck)
		h.Deliver(h.GitLab.JobHookBody(job.ID))

		h.Start(actionstest.NewFuse(steps))
		h.Work()
		h.Clock.Advance(33 * time.Second)
		h.Work()
		killed := h.Fuse.Blown()

		h.Start(actionstest.NewFuse(-1))
		h.WorkOff()
		h.WantOnce(fmt.Sprintf("killed at step %d", steps))
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
		h := actionstest.New(t, actionstest.RetryRules)
		h.Now = func() time.Time { return h.Clock.Now().Add(apart) }
		h.Start(actionstest.NewFuse(-1))
		job := h.FailedJob(actionstest.Stuck)
		h.Deliver(h.GitLab.JobHookBody(job.ID))
		h.Work()

		h.Now = h.Clock.Now
		h.Start(actionstest.NewFuse(-1))
		h.Clock.Advance(29 * time.Second)
		h.Work()
		if n := h.GitLab.Count("POST", "/retry"); n != 0 {
			t.Errorf("%s apart: retried too early", apart)
		}
		h.Clock.Advance(4 * time.Second)
		h.Work()
		h.WantOnce(apart.String() + " apart")
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
		arrange func(h *actionstest.Harness, deploy gitlabtest.Job)
		plays   int
		result  string
		says    string
	}{
		{"green", nil, nil, 1, event.ResultDone, ""},
		{"played by somebody", nil, func(h *actionstest.Harness, d gitlabtest.Job) { _, _ = h.GitLab.Play(d.ID) }, 0, event.ResultSkipped, "does not wait to be played"},
		{"cut after the effect", nil, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/play", Cut: true, After: true})
		}, 1, event.ResultDone, "seen after the call was cut short"},
		{"cut before the effect", nil, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/play", Cut: true})
		}, 2, event.ResultDone, ""},
		{"canceled", nil, func(h *actionstest.Harness, d gitlabtest.Job) { h.GitLab.Cancel(d.ID) }, 0, event.ResultSkipped, "the job is canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, text)
			project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			pipeline := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Stage: "test", Name: "rspec"},
				gitlabtest.Job{Stage: "deploy", Name: "deploy", When: "manual"})
			rspec := h.GitLab.Latest(pipeline.ID, "rspec")
			h.GitLab.Run(rspec.ID)
			h.Deliver(h.GitLab.PipelineHookBody(pipeline.ID)) // not green yet
			h.WorkOff()
			if n := len(h.Outcomes()); n != 0 {
				t.Fatalf("%d decisions before the pipeline is green", n)
			}
			h.GitLab.Finish(rspec.ID, "success", "")
			deploy := h.GitLab.Latest(pipeline.ID, "deploy")
			h.Deliver(h.GitLab.PipelineHookBody(pipeline.ID))
			if c.arrange != nil {
				c.arrange(h, deploy)
			}
			h.WorkOff()
			o := h.WantOutcome(c.result, c.says, "/play", c.plays)
			if c.result != event.ResultDone {
				return
			}
			played := h.GitLab.Latest(pipeline.ID, "deploy")
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
		arrange func(h *actionstest.Harness, lint gitlabtest.Job)
		cancels int
		result  string
		says    string
	}{
		{"pending", nil, 1, event.ResultDone, "canceled"},
		{"running", func(h *actionstest.Harness, lint gitlabtest.Job) { h.GitLab.Run(lint.ID) }, 1, event.ResultDone, "canceled"},
		{"canceled by somebody", func(h *actionstest.Harness, lint gitlabtest.Job) { h.GitLab.Cancel(lint.ID) }, 0, event.ResultSkipped, "canceled already"},
		{"passed meanwhile", func(h *actionstest.Harness, lint gitlabtest.Job) {
			h.GitLab.Run(lint.ID)
			h.GitLab.Finish(lint.ID, "success", "")
		}, 0, event.ResultSkipped, "has ended: success"},
		{"500 after the effect", func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/cancel", Status: http.StatusInternalServerError, After: true})
		}, 1, event.ResultDone, "seen after the call was cut short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, text)
			job := h.FailedJob("script_failure")
			lint := h.GitLab.Latest(job.PipelineID, "lint")
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			if c.arrange != nil {
				c.arrange(h, lint)
			}
			h.WorkOff()
			if o := h.WantOutcome(c.result, c.says, "/cancel", c.cancels); o.Job.ID != lint.ID {
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
		arrange    func(h *actionstest.Harness, job gitlabtest.Job)
		erases     int
		result     string
		says       string
	}{
		{"old enough", "older_than: 1h", 2 * time.Hour, nil, 1, event.ResultDone, ""},
		{"too young", "older_than: 1h", time.Minute, nil, 0, event.ResultSkipped, "finished 1m ago, and the rule erases after 1h"},
		{"too young by default", "", 23 * time.Hour, nil, 0, event.ResultSkipped, "finished 23h ago, and the rule erases after 1d"},
		{"erased by somebody", "older_than: 1h", 2 * time.Hour, func(h *actionstest.Harness, job gitlabtest.Job) { _ = h.GitLab.Erase(job.ID) }, 0, event.ResultSkipped, "already erased"},
		{"holds artifacts", "older_than: 1h", 2 * time.Hour, func(h *actionstest.Harness, job gitlabtest.Job) { h.GitLab.SetArtifacts(job.ID, artifact) }, 0, event.ResultSkipped, "holds artifacts"},
		{"artifacts too", "older_than: 1h, artifacts: true", 2 * time.Hour, func(h *actionstest.Harness, job gitlabtest.Job) { h.GitLab.SetArtifacts(job.ID, artifact) }, 1, event.ResultDone, ""},
		{"no rights", "older_than: 1h", 2 * time.Hour, func(h *actionstest.Harness, job gitlabtest.Job) {
			h.GitLab.SetRole(job.ProjectID, gitlabtest.Developer)
		}, 1, event.ResultFailed, "check the token"},
		{"cut after the effect", "older_than: 1h", 2 * time.Hour, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/erase", Cut: true, After: true})
		}, 1, event.ResultDone, "seen after the call was cut short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, rule(c.parameters))
			project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			pipeline := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			job := h.GitLab.Latest(pipeline.ID, "rspec")
			h.GitLab.Run(job.ID)
			h.GitLab.SetLog(job.ID, "some log\n")
			h.GitLab.Finish(job.ID, "success", "")
			h.Clock.Advance(c.age)
			if c.arrange != nil {
				c.arrange(h, job)
			}
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
			h.WantOutcome(c.result, c.says, "/erase", c.erases)
		})
	}
}

// A dry run reads, decides, records and notifies; it posts nothing to GitLab.
func TestDryRun(t *testing.T) {
	h := actionstest.New(t, strings.Replace(strings.Replace(actionstest.RetryRules, "[done, gave_up, failed, skipped]", "[dry_run]", 1), "defaults: {", "defaults: {dry_run: true, ", 1))
	job := h.FailedJob(actionstest.Stuck)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	if o := h.Only(); o.Result != event.ResultDryRun {
		t.Errorf("outcome %s (%s), want dry_run", o.Result, o.Reason)
	}
	if n := h.GitLab.Count("POST", ""); n != 0 {
		t.Errorf("%d POSTs to GitLab, want none", n)
	}
	if n := len(h.Slack.Posts()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// A rule with notify alone notifies that it matched, once for the same match.
func TestNotifyOnly(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - name: red
    on: pipeline
    if: pipeline.status == "failed"
    notify: [{channel: "#dev", text: "red: {{ project.path }}"}]
`)
	job := h.FailedJob("script_failure")
	h.GitLab.Cancel(h.GitLab.Latest(job.PipelineID, "lint").ID)
	for range 2 {
		h.Deliver(h.GitLab.PipelineHookBody(job.PipelineID))
	}
	h.WorkOff()
	if posts := h.Slack.Posts(); len(posts) != 1 || posts[0].Channel != "dev" || !strings.Contains(posts[0].Plain(), "red: platform/shop") {
		t.Errorf("posts %+v, want one in #dev", posts)
	}
}

// A fact that GitLab can't give for now is requested again later; one that it
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
			h := actionstest.New(t, text)
			job := h.FailedJob("script_failure")
			h.GitLab.SetLog(job.ID, "No space left on device\n")
			h.GitLab.Fail(c.fault)
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.Work()
			if n := h.GitLab.Count("POST", "/cancel"); n != 1 {
				t.Errorf("the other rule canceled %d jobs at once, want 1", n)
			}
			for range 25 {
				h.Clock.Advance(time.Hour)
				h.Work()
			}
			h.WorkOff()
			if n := h.GitLab.Count("POST", "/retry"); n != c.retries {
				t.Errorf("%d retries, want %d", n, c.retries)
			}
			want := ""
			if c.errors > 0 {
				want = fmt.Sprintf("# HELP pipesteward_rule_errors_total Expressions that failed on an event, so that their rule did not fire.\n"+
					"# TYPE pipesteward_rule_errors_total counter\npipesteward_rule_errors_total{rule=\"full-disk\"} %d\n", c.errors)
				actionstest.Has(t, h.Logs.String(), "did not fire")
			}
			if err := testutil.GatherAndCompare(h.Metrics, strings.NewReader(want), "pipesteward_rule_errors_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A failure of Slack delays the message, not the retry, and the message comes once.
func TestSlackThatFails(t *testing.T) {
	h := actionstest.New(t, actionstest.RetryRules)
	job := h.FailedJob(actionstest.Stuck)
	h.Slack.Fail(slacktest.Fault{Status: http.StatusServiceUnavailable, Times: 5})
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	if n := h.GitLab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	if n := len(h.Slack.Posts()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// A record that can't be read is buried, and the rest is worked on.
func TestUnworkableRecordsAreBuried(t *testing.T) {
	h := actionstest.New(t, actionstest.RetryRules)
	for _, r := range []store.Record{
		{ID: "1", Kind: event.RecordEvent, Body: []byte("{")},
		{ID: "2", Kind: "unheard of", Body: []byte("{}")},
		{ID: "3", Kind: event.RecordDecision, Body: []byte(`{"action": {"verb": "dance"}}`)},
	} {
		if _, err := h.DB.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	job := h.FailedJob(actionstest.Stuck)
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.WorkOff()
	dead, _, err := h.DB.Dead(t.Context(), "", 10)
	if err != nil || len(dead) != 3 {
		t.Fatalf("%d dead records (%v), want 3", len(dead), err)
	}
	if n := h.GitLab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
}

// No log line, outcome or message contains a token.
func TestSecretsStayInside(t *testing.T) {
	h := actionstest.New(t, actionstest.RetryRules)
	job := h.FailedJob(actionstest.Stuck)
	h.GitLab.Fail(gitlabtest.Fault{Status: 503, Times: 10})
	h.Slack.Fail(slacktest.Fault{Status: http.StatusServiceUnavailable, Times: 5})
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.Work()
	h.AddOther()
	h.GitLab.SetRole(job.ProjectID, gitlabtest.Reporter)
	h.WorkOff()
	seen := h.Logs.String() + fmt.Sprint(h.Outcomes(), h.Slack.Posts())
	for _, secret := range []string{gitlabtest.DefaultToken, actionstest.SlackToken} {
		if strings.Contains(seen, secret) {
			t.Errorf("a token was shown:\n%s", seen)
		}
	}
}

// An event that brings the process down each time is buried, and one that only
// waits for GitLab is not, however often.
func TestEventThatKillsIsBuried(t *testing.T) {
	h := actionstest.New(t, actionstest.RetryRules)
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	for range 5 {
		if n := h.DeadRecords(); n > 0 {
			t.Fatalf("%d dead records before five kills", n)
		}
		h.Start(actionstest.NewFuse(5)) // it dies when it has leased the event and begins to work on it
		h.Work()
		h.Clock.Advance(2 * time.Minute) // its lease runs out
	}
	h.Start(actionstest.NewFuse(-1))
	h.Work()
	dead, _, err := h.DB.Dead(t.Context(), "", 10)
	if err != nil || len(dead) != 1 {
		t.Fatalf("%d dead records after five kills, %v", len(dead), err)
	}
	actionstest.Has(t, dead[0].Reason, "was cut short 5 times in a row")
	if n := h.GitLab.Count("POST", ""); n != 0 {
		t.Errorf("%d calls", n)
	}
	if err := h.DB.Requeue(t.Context(), dead[0].ID, store.Changes{}); err != nil {
		t.Fatal(err)
	}
	h.Start(actionstest.NewFuse(5))
	h.Work()
	h.Clock.Advance(2 * time.Minute)
	h.Start(actionstest.NewFuse(-1))
	h.WorkOff()
	h.WantOnce("requeued, after one more kill")

	other := actionstest.New(t, strings.Replace(actionstest.RetryRules, "if: ", "if: not superseded() and ", 1))
	other.GitLab.Fail(gitlabtest.Fault{Times: 40, Status: 409})
	other.Deliver(other.GitLab.JobHookBody(other.FailedJob(actionstest.Stuck).ID))
	other.WorkOff()
	other.WantOnce("after many refusals that pass")
}

// TestEventThatKillsAfterAnOrderlyEnd: kills are counted from the last orderly end
// on.
func TestEventThatKillsAfterAnOrderlyEnd(t *testing.T) {
	h := actionstest.New(t, strings.Replace(actionstest.RetryRules, "if: ", "if: not superseded() and ", 1))
	h.GitLab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusConflict})
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	h.Work() // it is deferred
	h.GitLab.ClearFaults()
	h.Clock.Advance(10 * time.Minute)
	for range 5 {
		if n := h.DeadRecords(); n > 0 {
			t.Fatalf("%d dead records before five kills", n)
		}
		h.Start(actionstest.NewFuse(5))
		h.Work()
		h.Clock.Advance(2 * time.Minute)
	}
	h.Start(actionstest.NewFuse(-1))
	h.Work()
	if n := h.DeadRecords(); n != 1 {
		t.Errorf("%d dead records after five kills", n)
	}
}

// TestAgainOnceForEachTimeItIsWanted: what fails again is not made again by the
// same event, however often that is evaluated.
func TestAgainOnceForEachTimeItIsWanted(t *testing.T) {
	h := actionstest.New(t, `
version: 1
rules:
  - {name: a, on: job, if: 'job.status == "failed"', actions: [retry: {max_attempts: 9}]}
  - {name: b, on: job, if: 'job.status == "failed" and superseded()', notify: [{channel: ci}]}
`)
	body := h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID)
	refuse := gitlabtest.Fault{Method: http.MethodPost, Path: "/retry", Times: -1, Status: http.StatusBadRequest}
	h.GitLab.Fail(refuse)
	h.Deliver(body)
	h.WorkOff()
	h.Clock.Advance(time.Minute)
	h.GitLab.Fail(gitlabtest.Fault{Method: http.MethodGet, Path: "/pipelines", Times: 8, Status: http.StatusBadGateway}) // rule b waits
	h.DeliverAgain(body)
	h.WorkOff()
	h.WantResults(event.ResultFailed, event.ResultFailed)
	if n := h.GitLab.Count(http.MethodPost, "/retry"); n != 2 {
		t.Errorf("%d retries, want 2", n)
	}
}

// TestAgainPlaysTheRestOfAChain: a play that was skipped because the one before it
// was refused is made when that one is made again.
func TestAgainPlaysTheRestOfAChain(t *testing.T) {
	h := actionstest.New(t, inOrderRules)
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "staging", When: "manual"}, gitlabtest.Job{Name: "production", When: "manual"})
	body := h.GitLab.PipelineHookBody(h.Pipeline.ID)
	h.GitLab.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: "/play", Status: http.StatusBadRequest})
	h.Deliver(body)
	h.WorkOff()
	h.WantResults(event.ResultFailed, event.ResultSkipped)
	h.Clock.Advance(time.Minute)
	h.DeliverAgain(body)
	h.PassTime()
	h.End("staging", "success", "")
	h.WorkOff()
	h.WantResults(event.ResultFailed, event.ResultSkipped, event.ResultDone, event.ResultDone)
}
