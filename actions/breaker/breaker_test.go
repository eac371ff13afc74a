package breaker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const stormRules = `
version: 1
defaults: {channel: "#ci"}
limits: {per_project: 10000/1h, total: 10000/1h}
storm: {failures: 30, pipelines: 10, within: 5m, pause: 15m, channel: "#ops"}
rules:
  - name: retry-runner
    on: job
    if: failed_with("runner_system_failure")
    actions: [retry]
    notify: [{when: [failed]}]
`

// A runner outage: 300 jobs of 60 pipelines die within a minute.
func TestStorm(t *testing.T) {
	t.Parallel()
	const (
		pipelines, each = 60, 5
		seconds         = 60
	)
	h := actionstest.New(t, stormRules)
	h.NativeRetry = 5 * time.Second
	h.Start(actionstest.NewFuse(-1))
	broken := gitlabtest.Runner{ID: 7, Description: "shared-7", Type: "instance_type"}
	var jobs []gitlabtest.Job
	for i := range pipelines {
		project := h.GitLab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("platform/shop-%d", i)})
		var add []gitlabtest.Job
		for j := range each {
			add = append(add, gitlabtest.Job{Name: fmt.Sprintf("test-%d", j), Runner: broken, Log: "ERROR: Job failed (system failure): no space on 10.0.0.4\n"})
		}
		pipeline := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, add...)
		for j := range each {
			jobs = append(jobs, h.GitLab.Latest(pipeline.ID, fmt.Sprintf("test-%d", j)))
		}
	}
	// The jobs die in an order that goes from pipeline to pipeline.
	order := make([]gitlabtest.Job, 0, len(jobs))
	for j := range each {
		for i := range pipelines {
			order = append(order, jobs[i*each+j])
		}
	}
	fail := func(id int64) {
		h.GitLab.Run(id)
		h.GitLab.Finish(id, "failed", "runner_system_failure")
		h.Deliver(h.GitLab.JobHookBody(id))
	}
	for second := range seconds {
		for _, job := range order[second*len(order)/seconds : (second+1)*len(order)/seconds] {
			fail(job.ID)
		}
		h.Work()
		for _, job := range jobs { // what was retried dies, too
			if again := h.GitLab.Latest(job.PipelineID, job.Name); again.ID != job.ID && again.Status == "pending" {
				fail(again.ID)
			}
		}
		h.Clock.Advance(time.Second)
	}
	h.Clock.Advance(h.NativeRetry)
	h.Work()
	during := h.GitLab.Count("POST", "/retry")
	if during >= 60 {
		t.Errorf("%d retries during the outage, want less than 60", during)
	}
	h.WantStorm("runner", 1)
	posts := h.Slack.Posts()
	if len(posts) != 1 {
		t.Fatalf("%d messages during the outage, want 1: %v", len(posts), posts)
	}
	actionstest.Has(t, posts[0].Plain(), "Storm of", "runner", "shared-7 (", "Job failed (system failure): no space on", "5 of 5")

	// Some of what waits is of no interest any more when the storm is over.
	const superseded, retried = 10, 8
	gone := map[int64]bool{}
	for i, job := range jobs {
		switch n := i / each; {
		case n < superseded:
			gone[job.ID] = true
			if i%each == 0 {
				h.GitLab.AddPipeline(job.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "test-0"})
			}
		case n < superseded+retried && i%each == 0:
			gone[h.GitLab.Latest(job.PipelineID, job.Name).ID] = true
			if _, err := h.GitLab.Retry(h.GitLab.Latest(job.PipelineID, job.Name).ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	retriesBefore := len(h.Retried())
	h.Clock.Advance(14*time.Minute + 50*time.Second)
	h.Work()
	if n := h.GitLab.Count("POST", "/retry"); n != during {
		t.Errorf("%d retries before the storm was over for its pause, want none", n-during)
	}
	for range 2 * len(jobs) {
		h.Work()
		if h.Idle() {
			break
		}
		h.Clock.Advance(time.Second)
	}
	if !h.Idle() {
		t.Error("the queue does not get empty")
	}
	for _, job := range jobs {
		latest := h.GitLab.Latest(job.PipelineID, job.Name)
		if relevant := !gone[job.ID] && !gone[latest.ID]; relevant && latest.Status == "failed" {
			t.Errorf("job %d of pipeline %d was not retried after the storm", latest.ID, job.PipelineID)
		}
	}
	calls := h.Retried()[retriesBefore:]
	for i, job := range calls {
		if gone[job] {
			t.Errorf("job %d was retried, although it was of no interest any more", job)
		}
		if i > 0 && h.Died(job).Before(h.Died(calls[i-1]).Add(-time.Second)) {
			t.Errorf("job %d was retried after job %d, which died later", job, calls[i-1])
		}
	}
	posts = h.Slack.Posts()
	if len(posts) != 2 {
		t.Fatalf("%d messages in all, want one at the start and one at the end", len(posts))
	}
	actionstest.Has(t, posts[1].Plain(), "is over", "waited", "oldest first", "shared-7 (")
	h.WantStorm("runner", 0)
	h.Logf("%d retries during the outage, %d after it", during, len(calls))
}

// Each kind of failure is counted for itself, and a storm needs failures in
// many pipelines.
func TestNoStorm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name              string
		projects, perPipe int
		reason            func(i int) string
		apart             time.Duration
	}{
		{"one pipeline", 1, 40, func(int) string { return "runner_system_failure" }, 0},
		{"two classes", 40, 1, func(i int) string { return []string{"runner_system_failure", actionstest.Stuck}[i%2] }, 0},
		{"one after the other", 40, 1, func(int) string { return "runner_system_failure" }, 15 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := actionstest.New(t, strings.Replace(strings.Replace(stormRules, "total: 10000/1h", "total: 10000/1h, per_pipeline: 1000", 1),
				`"runner_system_failure"`, `"runner_system_failure", "stuck_or_timeout_failure"`, 1))
			for i := range c.projects {
				project := h.GitLab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("platform/shop-%d", i)})
				var add []gitlabtest.Job
				for j := range c.perPipe {
					add = append(add, gitlabtest.Job{Name: fmt.Sprintf("test-%d", j)})
				}
				pipeline := h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, add...)
				for j := range c.perPipe {
					job := h.GitLab.Latest(pipeline.ID, fmt.Sprintf("test-%d", j))
					h.GitLab.Run(job.ID)
					h.GitLab.Finish(job.ID, "failed", c.reason(i))
					h.Deliver(h.GitLab.JobHookBody(job.ID))
				}
				h.Work()
				h.Clock.Advance(c.apart)
			}
			if n := h.GitLab.Count("POST", "/retry"); n != 40 {
				t.Errorf("%d retries, want 40", n)
			}
			if n := len(h.Slack.Posts()); n != 0 {
				t.Errorf("%d messages, want none", n)
			}
		})
	}
}

// A retry that waits for a breaker to close is reported with the reason, if its rule
// notifies of deferred decisions.
func TestStormDefers(t *testing.T) {
	h := actionstest.New(t, strings.Replace(strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1),
		"when: [failed]", `when: [deferred, done], text: "{{ job.name }} waits"`, 1))
	for range 2 {
		h.Deliver(h.GitLab.JobHookBody(h.FailedJob("runner_system_failure").ID))
	}
	h.Work()
	waiting := 0
	for _, o := range h.Outcomes() {
		if o.Result == event.ResultDeferred {
			waiting++
			actionstest.Has(t, o.Reason, "a storm", "class runner")
		}
	}
	if waiting == 0 {
		t.Errorf("no decision is deferred: %+v", h.Outcomes())
	}
	actionstest.Has(t, h.Logs.String(), `"outcome":"deferred"`)
	h.Clock.Advance(16 * time.Minute)
	h.WorkOff()
	for _, o := range h.Outcomes() {
		if o.Result != event.ResultDone {
			t.Errorf("outcome %s (%s), want done", o.Result, o.Reason)
		}
	}
}

// Killed at any step, twice, a storm is announced once at its start and once at
// its end, and what waited is retried once.
func TestStormKilledAtAnyStep(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	text := strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1)
	actionstest.KilledTwice(t, func(h *actionstest.Harness) {
		for range 2 {
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob("runner_system_failure").ID))
		}
	}, text, func(h *actionstest.Harness, when string) {
		if n := h.GitLab.Count("POST", "/retry"); n != 2 {
			h.Errorf("%s: %d retries, want 2", when, n)
		}
		var starts, ends int
		for _, post := range h.Slack.Posts() {
			if strings.Contains(post.Plain(), "is over after") {
				ends++
			} else {
				starts++
			}
		}
		if starts != 1 || ends != 1 {
			h.Errorf("%s: the storm's start was notified %d times and its end %d times, want once each", when, starts, ends)
		}
	})
}

// Rules for pipelines make no exception.
func TestStormOfPipelineRules(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"retry_pipeline", `retry: {jobs: 'filter(pipeline.jobs, .status == "failed")'}`} {
		t.Run(action, func(t *testing.T) {
			h := actionstest.New(t, "version: 1\nstorm: {failures: 10, pipelines: 10}\nrules:\n  - {name: r, on: pipeline, if: 'pipeline.status == \"failed\"', actions: ["+action+"]}\n")
			for range 60 {
				h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
				h.End("rspec", "failed", "runner_system_failure")
				h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
				h.Work()
				h.Clock.Advance(time.Second / 2)
			}
			if n := h.GitLab.Count("POST", "/retry"); n >= 10 {
				t.Errorf("%d retries in an outage of 60 pipelines, want less than 10", n)
			}
		})
	}
}

// A storm is over for all replicas when one has said so, whatever their
// clocks show; failures that come then are a storm of their own.
func TestStormIsOverForAllClocks(t *testing.T) {
	h := actionstest.New(t, strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1))
	fail := func() {
		for range 2 {
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob("runner_system_failure").ID))
		}
		h.Work()
	}
	fail()
	ahead := func(d time.Duration) {
		h.Now = func() time.Time { return h.Clock.Now().Add(d) }
		h.Start(actionstest.NewFuse(-1))
	}
	ahead(time.Minute)
	h.Clock.Advance(15 * time.Minute)
	h.Work()
	ahead(-time.Minute)
	h.WantStorm("runner", 0)
	h.Work()
	fail()
	h.WantStorm("runner", 1)
	h.Clock.Advance(17 * time.Minute)
	h.WorkOff()
	if n := len(h.Slack.Posts()); n != 4 {
		t.Errorf("%d messages for two storms, want 4", n)
	}
}

// A storm is announced in the language of the defaults, and logged in English.
func TestStormInChinese(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, strings.NewReplacer("failures: 30, pipelines: 10", "failures: 2, pipelines: 2", `"#ci"}`, `"#ci", language: zh}`).Replace(stormRules))
	for range 2 {
		h.Deliver(h.GitLab.JobHookBody(h.FailedJob("runner_system_failure").ID))
	}
	h.Work()
	h.Clock.Advance(16 * time.Minute)
	h.WorkOff()
	posts := h.Posts()
	if len(posts) != 2 || !strings.Contains(posts[0], "类失败形成故障风暴：5 分钟内 2 条流水线中有 2 个作业失败") || !strings.Contains(posts[1], "类失败的故障风暴已结束，持续了 16 分钟") {
		t.Errorf("posts %q", posts)
	}
	if logs := h.Logs.String(); !strings.Contains(logs, "Storm of `runner` failures") || strings.Contains(logs, "故障风暴") {
		t.Errorf("the log is not in English:\n%s", logs)
	}
}

// TestKilledStormWhileMuted: people who read that a storm has begun read that it is over once a mute
// ends; those from whom a mute kept its beginning read nothing of its end.
func TestKilledStormWhileMuted(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	text := strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1)
	for name, seen := range map[string]bool{"after its beginning": true, "before": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			actionstest.KilledTwice(t, func(h *actionstest.Harness) {
				mute := func() {
					if _, err := h.Mutes().Mute(h.Context(), event.Mute{Channel: "ops", By: "ann", Until: h.Now().Add(17 * time.Minute)}, false, ""); err != nil {
						h.Fatal(err)
					}
				}
				if !seen {
					mute()
				}
				for range 2 {
					h.Deliver(h.GitLab.JobHookBody(h.FailedJob("runner_system_failure").ID))
				}
				if seen {
					h.Work()
					mute()
				}
			}, text, func(h *actionstest.Harness, when string) {
				var posts []string
				for _, post := range h.Posts() {
					if strings.Contains(strings.ToLower(post), "storm") {
						posts = append(posts, post)
					}
				}
				if seen && (len(posts) != 2 || !strings.Contains(posts[1], "is over after")) || !seen && len(posts) > 0 {
					h.Errorf("%s: posts %q", when, posts)
				}
			})
		})
	}
}

// Killed at any step of its start, a second storm is announced like the first.
func TestSecondStormKilledAtAnyStep(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	await.Unraced(t, "it handles record after record in one goroutine")
	t.Parallel()
	text := strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1)
	fail := func(h *actionstest.Harness) {
		for range 2 {
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob("runner_system_failure").ID))
		}
	}
	for steps := 1; ; steps += *actionstest.KillEach {
		h := actionstest.New(t, text)
		fail(h)
		h.WorkOff()
		h.Clock.Advance(time.Hour)
		fail(h)
		h.Start(actionstest.NewFuse(steps))
		h.Work()
		killed := h.Fuse.Blown()
		h.Start(actionstest.NewFuse(-1))
		h.WorkOff()
		if n := len(h.Slack.Posts()); n != 4 {
			t.Fatalf("killed at step %d: %d messages for two storms, want 4", steps, n)
		}
		h.GitLab.Close()
		_ = h.Slack.Close()
		if !killed {
			return
		}
	}
}

// A retry that waits is reported once, also when the program is killed.
func TestDeferredIsToldOnce(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	text := strings.Replace(strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1), "when: [failed]", "when: [deferred]", 1)
	for steps, want := 0, 0; ; steps += *actionstest.KillEach {
		h := actionstest.New(t, text)
		for range 2 {
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob("runner_system_failure").ID))
		}
		h.Start(actionstest.NewFuse(steps - 1)) // first without a kill
		h.Work()
		killed := h.Fuse.Blown()
		h.Start(actionstest.NewFuse(-1))
		h.WorkOff()
		told := strings.Count(h.Logs.String(), `"outcome":"deferred"`)
		switch {
		case steps == 0:
			want = told
		case told > want || want == 0:
			t.Fatalf("killed at step %d: %d waits are announced, want %d", steps-1, told, want)
		}
		h.GitLab.Close()
		_ = h.Slack.Close()
		if steps > 1 && !killed {
			return
		}
	}
}
