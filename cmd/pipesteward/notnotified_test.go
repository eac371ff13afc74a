package main

import (
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
)

const notifyOnlyRules = `
version: 1
rules:
  - {name: tell, on: job, if: 'job.status == "failed"', notify: [{channel: "#gone"}]}
`

// TestDecisionSaysWhoWasNotNotified: the outcome of a rule that only notifies is done also
// if nobody got the notification; the decision, the table, the log and a metric say so.
func TestDecisionSaysWhoWasNotNotified(t *testing.T) {
	t.Parallel()
	gone := event.Address{Receiver: event.ReceiverSlack, Channel: "#gone"}
	for _, tt := range []struct {
		name   string
		token  []string
		refuse string // Slack's answer
		want   event.Notification
		level  string // of the line in the log; "": none
		metric string
	}{
		{
			name: "Slack refuses it", token: []string{"--slack-token", testSlack}, refuse: "invalid_blocks", metric: "failed",
			want: event.Notification{Address: gone, Result: event.NotificationFailed, Error: "invalid_blocks"}, level: "ERROR",
		},
		{
			name: "there is no token", metric: "no_receiver",
			want: event.Notification{Address: gone, Result: event.NotificationFailed, Error: "there is no Slack token, see --slack-token"}, level: "WARN",
		},
		{
			name: "it is sent", token: []string{"--slack-token", testSlack}, metric: "sent",
			want: event.Notification{Address: gone, Result: event.NotificationSent},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t)
			env.write("rules.yaml", notifyOnlyRules)
			if tt.refuse != "" {
				env.slack.Fail(slacktest.Fault{Method: "chat.postMessage", Error: tt.refuse, Times: 100})
			}
			job := env.stuckJob()
			p := env.runFromEnv(append([]string{"--gitlab-token", gitlabtest.DefaultToken, "--webhook-token", testSecret}, tt.token...)...)
			p.post(env.gitlab.JobHookBody(job.ID))
			var o event.Outcome
			p.eventually("the notification has ended", func() bool {
				all := p.outcomes()
				if len(all) != 1 || len(all[0].Notifications) != 1 {
					return false
				}
				o = all[0]
				return o.Notifications[0].Result != event.NotificationWaiting
			})
			got := o.Notifications[0]
			if o.Result != event.ResultDone || got.Address != gone || got.Result != tt.want.Result || !strings.Contains(got.Error, tt.want.Error) {
				t.Errorf("the outcome is %s, and the notification %+v, want %+v", o.Result, got, tt.want)
			}
			failed := tt.want.Error
			for _, level := range []string{"WARN", "ERROR"} {
				if logged := strings.Contains(p.logged(), `"level":"`+level+`","msg":"an address could not be notified"`); logged != (level == tt.level) {
					t.Errorf("the log has a line of level %s: %t\n%s", level, logged, p.logged())
				}
			}
			if _, table, _ := p.output("decisions"); strings.Contains(table, "#gone in Slack not notified: ") != (failed != "") || !strings.Contains(table, failed) {
				t.Errorf("the table does not fit %q:\n%s", failed, table)
			}
			if _, metrics := p.get("/metrics"); !strings.Contains(metrics, `pipesteward_notifications_total{receiver="slack",result="`+tt.metric+`"} 1`) {
				t.Errorf("the metric does not count %s", tt.metric)
			}
		})
	}
}
