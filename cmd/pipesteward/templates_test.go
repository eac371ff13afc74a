package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// A team reads Chinese in Feishu beside a Slack in English; a template of the rule file
// stands in place of a default text, and one that fails leaves the default and is counted
// with the rule.
func TestTemplatesAndLanguages(t *testing.T) {
	t.Parallel()
	env := newReceiversEnvironment(t)
	env.write("rules.yaml", fmt.Sprintf(`
version: 1
defaults: {channel: "#ci"}
receivers: [{name: ops, language: zh, feishu: {url_file: %q, secret_file: %q}}]
templates:
  done: {en: "{{ outcome.rule }} saw {{ job.name }} of {{ project.path }}"}
  header: "{{ project.path }}: {{ job.status }}"
  details: "{{ pipeline.stages[1000] }}"
rules:
  - {name: tell, on: job, if: job.status == "failed", notify: [{}, {receiver: ops}]}
`, env.path("feishu"), env.path("secret")))
	job := env.stuckJob()
	p := env.run()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.eventually("both are notified", func() bool {
		return len(env.bots.Messages("feishu")) == 1 && len(env.slack.Messages("#ci")) == 1
	})
	inSlack, inFeishu := env.slack.Messages("#ci")[0].Plain(), env.bots.Messages("feishu")[0].Text
	for _, part := range []string{"platform/shop: failed\n", "tell saw rspec of platform/shop"} {
		if !strings.Contains(inSlack, part) {
			t.Errorf("the message in Slack lacks %q:\n%s", part, inSlack)
		}
	}
	for _, part := range []string{"platform/shop: failed\n", "规则 tell 匹配作业 rspec", "失败原因"} {
		if !strings.Contains(inFeishu, part) {
			t.Errorf("the message in Feishu lacks %q:\n%s", part, inFeishu)
		}
	}
	if _, metrics := p.get("/metrics"); !strings.Contains(metrics, `pipesteward_rule_errors_total{rule="tell"} 2`) {
		t.Error("the template that fails is not counted with the rule, once for each address")
	}
	if !strings.Contains(p.logged(), "templates.details") {
		t.Error("the log does not name the template that fails")
	}
}

// What a person requests in Slack has the texts of the rule files, in the message and in its
// thread.
func TestTemplatesOfAPersonsDecision(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", pressRules+`
templates:
  done: "{{ outcome.by != '' ? outcome.by + ' runs' : outcome.rule + ' saw' }} {{ job.name }}"
  details: "attempt of {{ project.path }}"
`)
	ada := env.slack.AddUser("ada@example.com")
	env.slack.AddGroup("ci-ops", ada)
	p := env.run("--slack-signing-secret", testSlackSecret, "--slack-operators", "@ci-ops")
	p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
	p.eventually("the job is said in Slack", func() bool { return len(env.slack.Messages("ci")) == 1 })
	if said := env.slack.Messages("ci")[0].Plain(); !strings.Contains(said, "told saw rspec") {
		t.Errorf("the message is %s", said)
	}
	slackPerson{env, p, testSlackSecret, ada}.presses(chatops.ButtonRetry)
	p.eventually("the retry is said in Slack", func() bool { return len(env.slack.Messages("ci")) == 2 })
	all := env.slack.Messages("ci")
	if root, reply := all[0].Plain(), all[1].Plain(); !strings.Contains(root, "ada@example.com runs rspec") || !strings.Contains(reply, "ada@example.com runs rspec\nattempt of platform/shop") {
		t.Errorf("the message is\n%s\nand the reply\n%s", root, reply)
	}
}

// What is announced at a receiver is in its language.
func TestAnnouncementInChinese(t *testing.T) {
	t.Parallel()
	env := newReceiversEnvironment(t)
	env.write("rules.yaml", strings.Replace(env.receivers(), "{name: ops,", "{name: ops, language: zh,", 1)+"rules: []\n")
	env.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})
	p := env.runFromEnv("--gitlab-token", gitlabtest.DefaultToken, "--webhook-token", testSecret)
	announced := func(n int) func() bool { return func() bool { return len(env.bots.Messages("feishu")) == n } }
	p.eventually("the outage is announced", announced(1))
	env.gitlab.ClearFaults()
	p.eventually("its end is announced", announced(2))
	for i, part := range []string{"*Pipesteward 无法使用 GitLab*：", "*Pipesteward 已恢复使用 GitLab*，中断了 "} {
		if text := env.bots.Messages("feishu")[i].Text; !strings.Contains(text, part) {
			t.Errorf("message %d lacks %q:\n%s", i+1, part, text)
		}
	}
}
