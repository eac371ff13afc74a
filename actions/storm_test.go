package actions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
	h := newHouse(t, stormRules)
	h.native = 5 * time.Second
	h.start(newFuse(-1))
	broken := gitlabtest.Runner{ID: 7, Description: "shared-7", Type: "instance_type"}
	var jobs []gitlabtest.Job
	for i := range pipelines {
		project := h.gitlab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("platform/shop-%d", i)})
		var add []gitlabtest.Job
		for j := range each {
			add = append(add, gitlabtest.Job{Name: fmt.Sprintf("test-%d", j), Runner: broken, Log: "ERROR: Job failed (system failure): no space on 10.0.0.4\n"})
		}
		pipeline := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, add...)
		for j := range each {
			jobs = append(jobs, h.gitlab.Latest(pipeline.ID, fmt.Sprintf("test-%d", j)))
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
		h.gitlab.Run(id)
		h.gitlab.Finish(id, "failed", "runner_system_failure")
		h.deliver(h.gitlab.JobHookBody(id))
	}
	for second := range seconds {
		for _, job := range order[second*len(order)/seconds : (second+1)*len(order)/seconds] {
			fail(job.ID)
		}
		h.work()
		for _, job := range jobs { // what was retried dies, too
			if again := h.gitlab.Latest(job.PipelineID, job.Name); again.ID != job.ID && again.Status == "pending" {
				fail(again.ID)
			}
		}
		h.clock.Advance(time.Second)
	}
	h.clock.Advance(h.native)
	h.work()
	during := h.gitlab.Count("POST", "/retry")
	if during >= 60 {
		t.Errorf("%d retries during the outage, want less than 60", during)
	}
	h.wantStorm("runner", 1)
	posts := h.slack.Posts()
	if len(posts) != 1 {
		t.Fatalf("%d messages during the outage, want 1: %v", len(posts), posts)
	}
	has(t, posts[0].Plain(), "Storm of", "runner", "shared-7 (", "Job failed (system failure): no space on", "5 of 5")

	// Some of what waits is of no interest any more when the storm is over.
	const superseded, retried = 10, 8
	gone := map[int64]bool{}
	for i, job := range jobs {
		switch n := i / each; {
		case n < superseded:
			gone[job.ID] = true
			if i%each == 0 {
				h.gitlab.AddPipeline(job.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "test-0"})
			}
		case n < superseded+retried && i%each == 0:
			gone[h.gitlab.Latest(job.PipelineID, job.Name).ID] = true
			if _, err := h.gitlab.Retry(h.gitlab.Latest(job.PipelineID, job.Name).ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	retriesBefore := len(h.retried())
	h.clock.Advance(14*time.Minute + 50*time.Second)
	h.work()
	if n := h.gitlab.Count("POST", "/retry"); n != during {
		t.Errorf("%d retries before the storm was over for its pause, want none", n-during)
	}
	for range 2 * len(jobs) {
		h.work()
		if h.idle() {
			break
		}
		h.clock.Advance(time.Second)
	}
	if !h.idle() {
		t.Error("the queue does not get empty")
	}
	for _, job := range jobs {
		latest := h.gitlab.Latest(job.PipelineID, job.Name)
		if relevant := !gone[job.ID] && !gone[latest.ID]; relevant && latest.Status == "failed" {
			t.Errorf("job %d of pipeline %d was not retried after the storm", latest.ID, job.PipelineID)
		}
	}
	calls := h.retried()[retriesBefore:]
	for i, job := range calls {
		if gone[job] {
			t.Errorf("job %d was retried, although it was of no interest any more", job)
		}
		if i > 0 && h.died(job).Before(h.died(calls[i-1]).Add(-time.Second)) {
			t.Errorf("job %d was retried after job %d, which died later", job, calls[i-1])
		}
	}
	posts = h.slack.Posts()
	if len(posts) != 2 {
		t.Fatalf("%d messages in all, want one at the start and one at the end", len(posts))
	}
	has(t, posts[1].Plain(), "is over", "waited", "oldest first", "shared-7 (")
	h.wantStorm("runner", 0)
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
		{"two classes", 40, 1, func(i int) string { return []string{"runner_system_failure", stuck}[i%2] }, 0},
		{"one after the other", 40, 1, func(int) string { return "runner_system_failure" }, 15 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, strings.Replace(strings.Replace(stormRules, "total: 10000/1h", "total: 10000/1h, per_pipeline: 1000", 1),
				`"runner_system_failure"`, `"runner_system_failure", "stuck_or_timeout_failure"`, 1))
			for i := range c.projects {
				project := h.gitlab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("platform/shop-%d", i)})
				var add []gitlabtest.Job
				for j := range c.perPipe {
					add = append(add, gitlabtest.Job{Name: fmt.Sprintf("test-%d", j)})
				}
				pipeline := h.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, add...)
				for j := range c.perPipe {
					job := h.gitlab.Latest(pipeline.ID, fmt.Sprintf("test-%d", j))
					h.gitlab.Run(job.ID)
					h.gitlab.Finish(job.ID, "failed", c.reason(i))
					h.deliver(h.gitlab.JobHookBody(job.ID))
				}
				h.work()
				h.clock.Advance(c.apart)
			}
			if n := h.gitlab.Count("POST", "/retry"); n != 40 {
				t.Errorf("%d retries, want 40", n)
			}
			if n := len(h.slack.Posts()); n != 0 {
				t.Errorf("%d messages, want none", n)
			}
		})
	}
}

// What waits for a storm's end says so, and is told to those who ask for it.
func TestStormDefers(t *testing.T) {
	h := newHouse(t, strings.Replace(strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1),
		"when: [failed]", `when: [deferred, done], text: "{{ job.name }} waits"`, 1))
	for range 2 {
		h.deliver(h.gitlab.JobHookBody(h.failedJob("runner_system_failure").ID))
	}
	h.work()
	waiting := 0
	for _, o := range h.outcomes() {
		if o.Result == event.ResultDeferred {
			waiting++
			has(t, o.Reason, "a storm", "class runner")
		}
	}
	if waiting == 0 {
		t.Errorf("no decision is deferred: %+v", h.outcomes())
	}
	has(t, h.log.String(), `"outcome":"deferred"`)
	h.clock.Advance(16 * time.Minute)
	h.workOff()
	for _, o := range h.outcomes() {
		if o.Result != event.ResultDone {
			t.Errorf("outcome %s (%s), want done", o.Result, o.Reason)
		}
	}
}

// Killed at any step, twice, a storm is told once at its start and once at
// its end, and what waited is retried once.
func TestStormKilledAtAnyStep(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	text := strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1)
	killedTwice(t, func(h *house) {
		for range 2 {
			h.deliver(h.gitlab.JobHookBody(h.failedJob("runner_system_failure").ID))
		}
	}, text, func(h *house, when string) {
		if n := h.gitlab.Count("POST", "/retry"); n != 2 {
			h.Errorf("%s: %d retries, want 2", when, n)
		}
		var starts, ends int
		for _, post := range h.slack.Posts() {
			if strings.Contains(post.Plain(), "is over after") {
				ends++
			} else {
				starts++
			}
		}
		if starts != 1 || ends != 1 {
			h.Errorf("%s: the storm's start was told %d times and its end %d times, want once each", when, starts, ends)
		}
	})
}

// Rules for pipelines make no exception.
func TestStormOfPipelineRules(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"retry_pipeline", `retry: {jobs: 'filter(pipeline.jobs, .status == "failed")'}`} {
		t.Run(action, func(t *testing.T) {
			h := newHouse(t, "version: 1\nstorm: {failures: 10, pipelines: 10}\nrules:\n  - {name: r, on: pipeline, if: 'pipeline.status == \"failed\"', actions: ["+action+"]}\n")
			for range 60 {
				h.addPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
				h.end("rspec", "failed", "runner_system_failure")
				h.deliver(h.gitlab.PipelineHookBody(h.pipeline.ID))
				h.work()
				h.clock.Advance(time.Second / 2)
			}
			if n := h.gitlab.Count("POST", "/retry"); n >= 10 {
				t.Errorf("%d retries in an outage of 60 pipelines, want less than 10", n)
			}
		})
	}
}

// A storm is over for all replicas when one has said so, whatever their
// clocks show; failures that come then are a storm of their own.
func TestStormIsOverForAllClocks(t *testing.T) {
	h := newHouse(t, strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1))
	fail := func() {
		for range 2 {
			h.deliver(h.gitlab.JobHookBody(h.failedJob("runner_system_failure").ID))
		}
		h.work()
	}
	fail()
	ahead := func(d time.Duration) {
		h.now = func() time.Time { return h.clock.Now().Add(d) }
		h.start(newFuse(-1))
	}
	ahead(time.Minute)
	h.clock.Advance(15 * time.Minute)
	h.work()
	ahead(-time.Minute)
	h.wantStorm("runner", 0)
	h.work()
	fail()
	h.wantStorm("runner", 1)
	h.clock.Advance(17 * time.Minute)
	h.workOff()
	if n := len(h.slack.Posts()); n != 4 {
		t.Errorf("%d messages for two storms, want 4", n)
	}
}

// Killed at any step of its start, a second storm is told like the first.
func TestSecondStormKilledAtAnyStep(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	text := strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1)
	fail := func(h *house) {
		for range 2 {
			h.deliver(h.gitlab.JobHookBody(h.failedJob("runner_system_failure").ID))
		}
	}
	for steps := 1; ; steps += *killEach {
		h := newHouse(t, text)
		fail(h)
		h.workOff()
		h.clock.Advance(time.Hour)
		fail(h)
		h.start(newFuse(steps))
		h.work()
		killed := h.fuse.blown()
		h.start(newFuse(-1))
		h.workOff()
		if n := len(h.slack.Posts()); n != 4 {
			t.Fatalf("killed at step %d: %d messages for two storms, want 4", steps, n)
		}
		h.gitlab.Close()
		_ = h.slack.Close()
		if !killed {
			return
		}
	}
}

// That a retry waits is told once, also when the program is killed.
func TestDeferredIsToldOnce(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	text := strings.Replace(strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 2, pipelines: 2", 1), "when: [failed]", "when: [deferred]", 1)
	for steps, want := 0, 0; ; steps += *killEach {
		h := newHouse(t, text)
		for range 2 {
			h.deliver(h.gitlab.JobHookBody(h.failedJob("runner_system_failure").ID))
		}
		h.start(newFuse(steps - 1)) // first without a kill
		h.work()
		killed := h.fuse.blown()
		h.start(newFuse(-1))
		h.workOff()
		told := strings.Count(h.log.String(), `"outcome":"deferred"`)
		switch {
		case steps == 0:
			want = told
		case told > want || want == 0:
			t.Fatalf("killed at step %d: %d waits are told, want %d", steps-1, told, want)
		}
		h.gitlab.Close()
		_ = h.slack.Close()
		if steps > 1 && !killed {
			return
		}
	}
}
