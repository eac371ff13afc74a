package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// notices returns the status of the notifications that wait.
func (p *program) notices() (s notify.Status) {
	p.Helper()
	var status struct {
		Parts struct{ Notices notify.Status }
	}
	if _, body := p.get("/api/v1/status"); json.Unmarshal([]byte(body), &status) != nil {
		p.Fatalf("status: %s", body)
	}
	return status.Parts.Notices
}

// The bot is not in the channel: `why`, the status and the journal say so, and what to do.
// When it was invited, people are notified of each failure once.
func TestBotIsInvitedLater(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", retryRules(stuckOrSystem, "    notify: [{when: [done]}]\n"))
	env.slack.AddChannel(slacktest.Channel{Name: "ci", NotMember: true})
	p := env.run("--catch-up-every", "0")
	var jobs []gitlabtest.Job
	for range 3 {
		job := env.stuckJob()
		jobs = append(jobs, job)
		p.post(env.gitlab.JobHookBody(job.ID))
	}
	const advice = "not_in_channel: invite the bot: /invite @pipesteward in #ci"
	p.eventually("three notifications wait", func() bool { return p.notices().Waiting == 3 })
	if s := p.notices(); len(s.Addresses) != 1 || !strings.Contains(s.Addresses[0].Error, advice) {
		t.Errorf("status %+v", s)
	}
	p.eventually("the journal says why", func() bool {
		all := p.outcomes()
		for _, o := range all {
			if len(o.Notifications) != 1 || o.Notifications[0].Result != event.NotificationWaiting || !strings.Contains(o.Notifications[0].Error, advice) {
				return false
			}
		}
		return len(all) == 3
	})
	for _, job := range jobs {
		if _, out, _ := p.why(env.page(job)); !strings.Contains(unwrapped(out), advice) || !strings.Contains(unwrapped(out), "has not been sent yet") {
			t.Errorf("why lacks the reason:\n%s", out)
		}
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"pipesteward", "status", "--admin-url", p.admin}, &out, &out); code != 0 || !strings.Contains(out.String(), "3 notifications wait: ") {
		t.Errorf("status exits with %d:\n%s", code, out.String())
	}
	if _, body := p.get("/metrics"); !strings.Contains(body, `pipesteward_notifications_total{receiver="slack",result="waiting"} 3`) {
		t.Error("the metrics do not count those that wait")
	}

	env.slack.AddChannel(slacktest.Channel{Name: "ci"})
	p.stop() // a restart tries at once
	p = env.run("--catch-up-every", "0")
	p.workedOff()
	if n := len(env.slack.Messages("ci")); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
	for _, o := range p.outcomes() {
		if n := o.Notifications[0]; n.Result != event.NotificationSent || n.Error != "" {
			t.Errorf("in the journal: %+v", n)
		}
	}
	if s := p.notices(); s.Waiting != 0 || len(s.Addresses) != 0 {
		t.Errorf("status %+v after all were sent", s)
	}
}

// TestProxyAnswersInPlaceOfSlack: a portal's redirect and a proxy's page lose no notification,
// whichever of two replicas gets them. All are sent once when Slack answers again.
func TestProxyAnswersInPlaceOfSlack(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", retryRules(stuckOrSystem, "    notify: [{when: [done]}]\n"))
	env.slack.Fail(slacktest.Fault{Redirect: "https://portal.example.com/login", Times: 500})
	env.slack.Fail(slacktest.Fault{Status: http.StatusForbidden, Skip: 1, Times: 500})
	redis := redistest.Start(t)
	replicas := []*program{env.run("--store", redis.URL()), env.run("--store", redis.URL())}
	for i := range 4 {
		replicas[i%2].post(env.gitlab.JobHookBody(env.stuckJob().ID))
	}
	replicas[0].eventually("four notifications wait", func() bool { return replicas[0].notices().Waiting == 4 })
	if s := replicas[1].notices(); len(s.Addresses) != 1 || !strings.Contains(s.Addresses[0].Error, "this is not Slack's API: check --slack-api-url and the proxy") {
		t.Errorf("status %+v", s)
	}
	env.slack.ClearFaults()
	for _, p := range replicas {
		p.stop()
	}
	p := env.run("--store", redis.URL()) // tries at once
	p.workedOffAtOnce(redis)
	if n := len(env.slack.Messages("ci")); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
	for _, o := range p.outcomes() {
		if n := o.Notifications[0]; n.Result != event.NotificationSent || n.Error != "" {
			t.Errorf("in the journal: %+v", n)
		}
	}
}

// The commit's author and a user group are mentioned once, in what is posted, and the author
// gets a direct message.
func TestPeopleAreMentioned(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	author, group := env.slack.AddUser("sidney@example.com"), env.slack.AddGroup("oncall")
	env.write("rules.yaml", `
version: 1
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry]
    notify: [{when: [done], channel: "#ci", mention: [author, triggerer, "@oncall"]}, {when: [done], channel: author}]
`)
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{User: gitlabtest.User{ID: 7, Username: "sidney", Name: "Sidney Jones", Email: "sidney@example.com"}}, gitlabtest.Job{Name: "rspec"})
	job := env.gitlab.Latest(pipeline.ID, "rspec")
	env.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
	p := env.run("--catch-up-every", "0")
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()
	inChannel, direct := env.slack.Messages("ci"), env.slack.Direct(author)
	if len(inChannel) != 1 || len(direct) != 1 {
		t.Fatalf("%d messages in the channel and %d to the author, want 1 each", len(inChannel), len(direct))
	}
	if want := "<@" + author + "> <!subteam^" + group + ">"; !strings.HasSuffix(inChannel[0].Text, want) || strings.Contains(direct[0].Text, "<@") {
		t.Errorf("the channel gets %q and the author %q", inChannel[0].Text, direct[0].Text)
	}
}

// unwrapped returns a text without its line breaks.
func unwrapped(text string) string { return strings.Join(strings.Fields(text), " ") }
