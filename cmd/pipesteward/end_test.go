package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// TestEndOfPipelineOverReplicas: a bot that can't edit messages gets one at the end of the
// pipeline, whichever replica gathers it, and a program gets each outcome; `queue` and `why`
// say what waits.
func TestEndOfPipelineOverReplicas(t *testing.T) {
	t.Parallel()
	env := newReceiversEnvironment(t)
	env.write("rules.yaml", env.receivers()+`
rules:
  - name: retry
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry]
    notify: [{receiver: ops}, {receiver: audit}]
`)
	redis := redistest.Start(t)
	first, second := env.run("--store", redis.URL()), env.run("--store", redis.URL())
	waits := func(p *program, n int) {
		t.Helper()
		p.eventually(fmt.Sprintf("%d notices wait for the end", n), func() bool {
			return strings.Count(p.wants([]string{"queue", "list", "--waits-for", "digest", "--kind", "notice", "--json"}), `"waits_for": "digest"`) == n
		})
	}
	job := env.stuckJob()
	first.post(env.gitlab.JobHookBody(job.ID))
	waits(second, 1)
	again := env.gitlab.Latest(job.PipelineID, "rspec")
	env.gitlab.Run(again.ID)
	env.gitlab.Finish(again.ID, "success", "")
	second.post(env.gitlab.JobHookBody(again.ID))
	waits(first, 2)
	first.wants([]string{"queue", "list", "--kind", "digest", "--json"}, fmt.Sprintf("message at the end of pipeline %d to ops", job.PipelineID), "the end of the pipeline")
	first.wants([]string{"why", env.page(job)}, "its notification to ops has not been sent yet")
	if n := len(env.bots.Messages("feishu")); n > 0 {
		t.Errorf("%d messages before the end", n)
	}
	if code := first.post(env.gitlab.PipelineHookBody(job.PipelineID)); code != http.StatusAccepted {
		t.Fatalf("the end of the pipeline is answered %d, want 202", code)
	}
	second.eventually("the end is known", func() bool {
		return !strings.Contains(second.wants([]string{"queue", "list", "--kind", "event", "--json"}), `"kind": "event"`)
	})
	second.workedOffAtOnce(redis)
	bot := env.bots.Messages("feishu")
	if len(bot) != 1 || !strings.Contains(bot[0].Text, "The pipeline passed.\n• Recovered: rspec") || !strings.Contains(bot[0].Text, fmt.Sprintf("pipeline #%d", job.PipelineID)) {
		t.Errorf("messages of the bot %+v, want one about the end", bot)
	}
	if n := len(env.bots.Messages("webhook")); n != 2 {
		t.Errorf("the program got %d messages, want 2", n)
	}
	for _, o := range second.outcomes() {
		if n := o.Notifications; len(n) != 2 || n[0].Result != event.NotificationSent || n[0].Digest == "" || n[1].Result != event.NotificationSent || n[1].Digest != "" {
			t.Errorf("notifications %+v of %s", n, o.ID)
		}
	}
	second.wants([]string{"why", env.page(job), "--all"}, "notified ops, in a digest")
}
