package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
)

const mutedRules = `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry]
    notify: [{}]
`

// TestMuteOverReplicas mutes a channel through one replica by the command line: no other one
// notifies it, retries go on, and `why` says who muted it.
func TestMuteOverReplicas(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", mutedRules)
	redis := redistest.Start(t)
	first, second := env.run("--store", redis.URL()), env.run("--store", redis.URL())
	first.wants([]string{"mute", "--channel", "#ci", "--by", "ann", "--reason", "noise"}, "muted (channel:ci) by ann: noise, since 2")
	second.wants([]string{"status"}, "muted (channel:ci) by ann: noise", "Z  mute channel:ci by ann: noise")
	if _, metrics := second.get("/metrics"); !strings.Contains(metrics, `pipesteward_muted{scope="channel:ci"} 1`) {
		t.Error("/metrics lacks pipesteward_muted")
	}
	job := env.stuckJob()
	if code := second.post(env.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
		t.Fatalf("a stuck job is answered with %d, want 202", code)
	}
	first.workedOff()
	all := first.outcomes()
	if len(all) != 1 || all[0].Result != event.ResultDone || len(all[0].Notifications) != 1 || all[0].Notifications[0].Result != event.NotificationMuted {
		t.Errorf("outcomes %+v, want one that is done, and a notification that is muted", all)
	}
	if posts := env.slack.Posts(); len(posts) > 0 {
		t.Errorf("posted while muted: %+v", posts)
	}
	second.wants([]string{"why", env.page(job), "--all"}, "did not notify #ci in Slack: muted (channel:ci) by ann: noise")
	second.wants([]string{"unmute", "--channel", "ci"}, "nothing is muted")
	first.refuses([]string{"unmute"}, "`pipesteward status` lists those that are")
	job = env.stuckJob()
	second.post(env.gitlab.JobHookBody(job.ID))
	first.workedOff()
	if posts := env.slack.Posts(); len(posts) != 1 {
		t.Errorf("posted after the mute: %+v, want one message", posts)
	}
	first.wants([]string{"mute", "--channel", "ci", "--by", "ann"}, "muted (channel:ci) by ann")
	again := env.gitlab.Latest(job.PipelineID, job.Name)
	env.gitlab.Run(again.ID)
	env.gitlab.Finish(again.ID, "success", "")
	second.post(env.gitlab.JobHookBody(again.ID))
	first.workedOff()
	if messages := env.slack.Messages("ci"); len(messages) != 1 || !strings.Contains(messages[0].Plain(), "recovered") {
		t.Errorf("#ci has %+v, want its one message which says that rspec recovered while it was muted", messages)
	}
}
