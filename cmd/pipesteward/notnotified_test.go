package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
// if nobody got the notification; the decision, its table, the log and a metric say so.
func TestDecisionSaysWhoWasNotNotified(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		token  []string
		refuse string // Slack's answer
		want   []event.Notification
		metric string
	}{
		{
			name: "Slack refuses it", token: []string{"--slack-token", testSlack}, refuse: "channel_not_found", metric: "failed",
			want: []event.Notification{{Receiver: "slack", Channel: "#gone", Error: "channel_not_found"}},
		},
		{
			name: "there is no token", metric: "no_token",
			want: []event.Notification{{Receiver: "slack", Channel: "#gone", Error: "there is no Slack token, see --slack-token"}},
		},
		{
			name: "it is sent", token: []string{"--slack-token", testSlack}, metric: "sent",
			want: []event.Notification{{Receiver: "slack", Channel: "#gone"}},
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
			p.eventually("the outcome is logged", func() bool { return strings.Contains(p.logged(), `"msg":"outcome"`) })

			got := p.outcomes()
			if len(got) != 1 || got[0].Result != event.ResultDone {
				t.Fatalf("outcomes %+v, want one that is done", got)
			}
			sameError := cmp.FilterPath(func(path cmp.Path) bool { return path.Last().String() == ".Error" }, cmp.Comparer(func(a, b string) bool {
				return strings.Contains(a, b) || strings.Contains(b, a)
			}))
			if diff := cmp.Diff(tt.want, got[0].Notifications, cmpopts.IgnoreFields(event.Notification{}, "At"), sameError); diff != "" {
				t.Errorf("notifications of the decision, -want +got:\n%s", diff)
			}
			failed := tt.want[0].Error
			warned := false
			for line := range strings.Lines(p.logged()) {
				warned = warned || strings.Contains(line, `"level":"WARN","msg":"outcome"`) && strings.Contains(line, `"not_notified":"#gone"`)
			}
			if warned != (failed != "") {
				t.Errorf("the log warns of the outcome: %t\n%s", warned, p.logged())
			}
			if _, table, _ := p.output("decisions"); strings.Contains(table, "#gone not notified: ") != (failed != "") || !strings.Contains(table, failed) {
				t.Errorf("the table does not fit %q:\n%s", failed, table)
			}
			if _, metrics := p.get("/metrics"); !strings.Contains(metrics, `pipesteward_notifications_total{receiver="slack",result="`+tt.metric+`"} 1`) {
				t.Errorf("the metric does not count %s", tt.metric)
			}
		})
	}
}
