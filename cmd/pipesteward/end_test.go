package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/chatops"
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

// TestNewestOutcomeAtTheEnd: the message at the end of a pipeline says of each job what came
// last, though a person requested it in Slack and no rule notifies the receiver of it.
func TestNewestOutcomeAtTheEnd(t *testing.T) {
	t.Parallel()
	env := newReceiversEnvironment(t)
	env.write("rules.yaml", env.receivers()+`
rules:
  - name: retry
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry: {max_attempts: 2}]
    notify: [{receiver: ops}, {channel: "#ci"}]
`)
	ada := env.slack.AddUser("ada@example.com")
	env.slack.AddGroup("ci-ops", ada)
	redis := redistest.Start(t)
	p := env.run("--store", redis.URL(), "--slack-signing-secret", testSlackSecret, "--slack-operators", "@ci-ops")
	job := env.stuckJob()
	ended := func(status string) {
		t.Helper()
		latest := env.gitlab.Latest(job.PipelineID, "rspec")
		env.gitlab.Run(latest.ID)
		env.gitlab.Finish(latest.ID, status, "stuck_or_timeout_failure")
		p.post(env.gitlab.JobHookBody(latest.ID))
	}
	p.post(env.gitlab.JobHookBody(job.ID))
	p.eventually("the job is retried", func() bool { return env.gitlab.Latest(job.PipelineID, "rspec").ID != job.ID })
	again := env.gitlab.Latest(job.PipelineID, "rspec").ID
	ended("failed")
	p.eventually("both read that the rule gave up", func() bool {
		return len(env.bots.Messages("feishu")) == 1 && strings.Contains(env.slack.Messages("ci")[0].Plain(), "Gave up on rspec")
	})
	slackPerson{env.environment, p, testSlackSecret, ada}.presses(chatops.ButtonRetry)
	p.eventually("the person's retry is made", func() bool { return env.gitlab.Latest(job.PipelineID, "rspec").ID != again })
	ended("success")
	p.eventually("Slack says that it recovered", func() bool { return strings.Contains(env.slack.Messages("ci")[0].Plain(), "Recovered: rspec") })
	p.post(env.gitlab.PipelineHookBody(job.PipelineID))
	p.eventually("the end is known", func() bool {
		return !strings.Contains(p.wants([]string{"queue", "list", "--kind", "event", "--json"}), `"kind": "event"`)
	})
	p.workedOffAtOnce(redis)
	bot := env.bots.Messages("feishu")
	if len(bot) != 2 || !strings.Contains(bot[1].Text, "The pipeline passed.\n• Recovered: rspec") || strings.Contains(bot[1].Text, "Gave up") {
		t.Errorf("messages of the bot %+v, want one more, with what came last", bot)
	}
}
