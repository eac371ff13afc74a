package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/receivers/receiverstest"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	botSecret    = "SEC-very-secret-of-the-robots"
	auditSigning = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
)

// receiversEnvironment is an environment with simulated receivers.
type receiversEnvironment struct {
	*environment
	bots *receiverstest.Server
}

func newReceiversEnvironment(t *testing.T) *receiversEnvironment {
	t.Helper()
	bots, err := receiverstest.New(receiverstest.Options{Secret: botSecret, SigningToken: auditSigning})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bots.Close() })
	env := &receiversEnvironment{newEnvironment(t), bots}
	env.write("feishu", bots.URL("feishu")+"\n")
	env.write("dingtalk", bots.URL("dingtalk")+"\n")
	env.write("secret", botSecret+"\n")
	env.write("signing", auditSigning+"\n")
	env.write("rules.yaml", env.receivers()+`
rules:
  - name: tell
    on: job
    if: job.status == "failed"
    notify:
      - {receiver: ops}
      - {receiver: team, mention: ["@all"], text: "<{{ job.url }}|{{ job.name }}> failed in *{{ job.stage }}*"}
      - {receiver: audit}
`)
	return env
}

// receivers is the beginning of a rule file with three receivers; the secrets of two are in
// files.
func (env *receiversEnvironment) receivers() string {
	return fmt.Sprintf(`
version: 1
defaults: {receiver: ops}
receivers:
  - {name: ops, feishu: {url_file: %q, secret_file: %q}}
  - {name: team, dingtalk: {url_file: %q, secret: %s}}
  - {name: audit, webhook: {url: %q, signing_token_file: %q}}
`, env.path("feishu"), env.path("secret"), env.path("dingtalk"), botSecret, env.bots.URL("webhook"), env.path("signing"))
}

func (env *environment) path(name string) string { return filepath.Join(env.dir, name) }

// noSecrets fails if a text has a secret of the receivers.
func (env *receiversEnvironment) noSecrets(where, text string) {
	env.Helper()
	for _, kind := range []string{"feishu", "dingtalk", "webhook"} {
		for _, secret := range env.bots.Secrets(kind) {
			if secret != "" && strings.Contains(text, secret) {
				env.Errorf("%s has the secret %q of %s:\n%s", where, secret, kind, text)
			}
		}
	}
}

// A rule notifies a bot of Feishu, a robot of DingTalk that hangs, and a program, each with a
// signature; the one that hangs delays no other, and nothing that anybody can read has a
// secret.
func TestRuleNotifiesReceivers(t *testing.T) {
	t.Parallel()
	env := newReceiversEnvironment(t)
	env.bots.Fail(receiverstest.Fault{Kind: "dingtalk", Hang: true})
	job := env.stuckJob()
	p := env.run()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.eventually("the robot hangs", func() bool {
		select {
		case kind := <-env.bots.Hanging():
			return kind == "dingtalk"
		default:
			return false
		}
	})
	p.eventually("the others are notified meanwhile", func() bool {
		return len(env.bots.Messages("feishu")) == 1 && len(env.bots.Messages("webhook")) == 1
	})
	if n := len(env.bots.Messages("dingtalk")); n != 0 {
		t.Fatalf("the robot that hangs has accepted %d messages", n)
	}
	text := env.bots.Messages("feishu")[0].Text
	for _, part := range []string{"platform/shop", "Rule tell matched rspec", "stuck_or_timeout_failure"} {
		if !strings.Contains(text, part) {
			t.Errorf("the message in Feishu lacks %q:\n%s", part, text)
		}
	}
	if body := string(env.bots.Messages("webhook")[0].Body); !strings.Contains(body, `"type":"outcome.done"`) || !strings.Contains(body, `"rule":"tell"`) {
		t.Errorf("the program got %s", body)
	}

	p.eventually("the outcome says who was notified", func() bool {
		all := p.outcomes()
		if len(all) != 1 {
			return false
		}
		sent := 0
		for _, n := range all[0].Notifications {
			if n.Result == event.NotificationSent {
				sent++
			}
		}
		return sent >= 2
	})
	for _, path := range []string{"/api/v1/rules", "/api/v1/decisions", "/api/v1/status", "/metrics"} {
		code, text := p.get(path)
		if code != http.StatusOK {
			t.Errorf("%s: %d", path, code)
		}
		env.noSecrets(path, text)
	}
	for _, command := range [][]string{{"why", env.gitlab.URL() + fmt.Sprintf("/platform/shop/-/jobs/%d", job.ID)}, {"decisions"}} {
		code, stdout, stderr := p.output(command...)
		if code != 0 {
			t.Errorf("%q ends with %d: %s", command, code, stderr)
		}
		env.noSecrets(strings.Join(command, " "), stdout+stderr)
	}
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		if code := run(t.Context(), []string{"pipesteward", "check", "--strict", "--format", format, env.path("rules.yaml")}, &out, &out); code != 0 {
			t.Errorf("check ends with %d:\n%s", code, out.String())
		}
		env.noSecrets("check --format "+format, out.String())
	}
	env.noSecrets("the log", p.logged())
	for _, metric := range []string{`{receiver="ops",result="sent"} 1`, `{receiver="audit",result="sent"} 1`} {
		if _, metrics := p.get("/metrics"); !strings.Contains(metrics, "pipesteward_notifications_total"+metric) {
			t.Errorf("the metrics lack %s", metric)
		}
	}
}

// A text of the rule is plain text for a robot, and mentions are its own.
func TestReceiverGetsTheRulesText(t *testing.T) {
	t.Parallel()
	env := newReceiversEnvironment(t)
	job := env.stuckJob()
	p := env.run()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.eventually("the robot is notified", func() bool { return len(env.bots.Messages("dingtalk")) == 1 })
	m := env.bots.Messages("dingtalk")[0]
	if want := fmt.Sprintf("rspec (%s/platform/shop/-/jobs/%d) failed in *test*", env.gitlab.URL(), job.ID); !strings.Contains(m.Text, want) {
		t.Errorf("the message lacks %q:\n%s", want, m.Text)
	}
	if len(m.Notified) != 1 || m.Notified[0] != receiverstest.Everyone {
		t.Errorf("notified are %q, want all", m.Notified)
	}
}

// The secret of a receiver is that of its file at the time of each message.
func TestSecretOfAReceiverRotates(t *testing.T) {
	t.Parallel()
	env := newReceiversEnvironment(t)
	p := env.run()
	p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
	p.eventually("the first message", func() bool { return len(env.bots.Messages("feishu")) == 1 })
	const next = "SEC-the-next-secret"
	env.bots.SetSecret(next)
	env.write("secret", next)
	p.post(env.gitlab.JobHookBody(env.stuckJobOf("platform/other").ID))
	p.eventually("a message with the next secret", func() bool { return len(env.bots.Messages("feishu")) == 2 })
	if !strings.Contains(p.logged(), "a secret of a receiver has changed") || strings.Contains(p.logged(), next) || strings.Contains(p.logged(), botSecret) {
		t.Errorf("the log:\n%s", p.logged())
	}
}

// Other definitions come into force with the rules; those of which the files of secrets
// can't be read leave the rules in force, until they can.
func TestReceiversAreReplaced(t *testing.T) {
	t.Parallel()
	env := newReceiversEnvironment(t)
	p := env.run()
	rule := func(more, notify string) string {
		return env.receivers() + more + "rules: [{name: tell, on: job, if: 'job.status == \"failed\"', notify: [" + notify + "]}]\n"
	}
	reload := func() (int, string) { return p.request(http.MethodPost, "/-/reload", "") }

	missing := fmt.Sprintf("  - {name: late, wecom: {url_file: %q}}\n", env.path("wecom"))
	env.write("rules.yaml", rule(missing, "{receiver: late}"))
	if code, text := reload(); code != http.StatusUnprocessableEntity || !strings.Contains(text, `receiver \"late\": url_file: open `) && !strings.Contains(text, `receiver "late": url_file: open `) {
		t.Errorf("a reload without the file of a secret: %d %s", code, text)
	}
	p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
	p.eventually("the rules in force stay", func() bool { return len(env.bots.Messages("feishu")) == 1 })

	env.write("wecom", env.bots.URL("wecom"))
	if code, text := reload(); code != http.StatusOK {
		t.Fatalf("a reload with the file: %d %s", code, text)
	}
	p.post(env.gitlab.JobHookBody(env.stuckJobOf("platform/other").ID))
	p.eventually("the new receiver is notified", func() bool { return len(env.bots.Messages("wecom")) == 1 })
	if n := len(env.bots.Messages("feishu")); n != 1 {
		t.Errorf("the old receiver got %d messages, want 1", n)
	}
}

// The service does not start, and doctor says why, if the file of a secret can't be read.
func TestReceiverNeedsItsFiles(t *testing.T) {
	t.Parallel()
	env := newReceiversEnvironment(t)
	if err := os.Remove(env.path("secret")); err != nil {
		t.Fatal(err)
	}
	o := env.options("--gitlab-token", "glpat-x", "--webhook-token", testSecret)
	if err := o.Check(); err == nil || !strings.Contains(err.Error(), `receiver "ops": secret_file: open `) {
		t.Errorf("the check of the settings says %v", err)
	} else {
		env.noSecrets("the error", err.Error())
	}
}

// A line of a rule is shown as it is.
func TestCheckShowsAddressesInRules(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	path := env.write("rules.yaml", `version: 1
rules:
  - {name: a, on: job, if: projekt.url == "https://gitlab.example.com/platform/shop", stop: true}
`)
	var out bytes.Buffer
	if run(t.Context(), []string{"pipesteward", "check", path}, &out, &out); !strings.Contains(out.String(), `if: projekt.url == "https://gitlab.example.com/platform/shop"`) {
		t.Errorf("check shows\n%s", out.String())
	}
}

// The lines of rule files that check shows have no secret, whatever the mistake in them.
func TestCheckShowsNoSecretOfAReceiver(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"a wrong address":    "  - {name: ops, feishu: {url: https://open.feishu.cn/hush-hush}}",
		"an unknown key":     "  - {name: ops, feishu: {url: https://open.feishu.cn/open-apis/bot/v2/hook/hush-hush, sicret_file: /x}}",
		"in quotes":          `  - {name: ops, wecom: {"url": "hush-hush"}}`,
		"a password":         "  - {name: ops, email: {host: h, from: a@example.com, to: [b], username: ci, password: 'hush-hush'}}",
		"a path":             "  - {name: ops, feishu: {url_file: https://open.feishu.cn/hush-hush}}",
		"as the kind":        "  - {name: ops, feishu: https://open.feishu.cn/hush-hush}",
		"without a setting":  "  - {name: ops, feishu: {https://open.feishu.cn/hush-hush}}",
		"a broken flow":      "  - {name: ops, feishu: {url: https://open.feishu.cn/hush-hush}",
		"a signing token":    "  - {name: ops, webhook: {url: https://x, signing_token: whsec_hush-hush}}",
		"a block of its own": "  - name: ops\n    feishu:\n      secret: [hush-hush, a]\n      url: hush-hush b",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t)
			path := env.write("rules.yaml", "version: 1\nreceivers:\n"+line+"\nrules: []\n")
			for _, format := range []string{"text", "json", "gitlab"} {
				var out bytes.Buffer
				if code := run(t.Context(), []string{"pipesteward", "check", "--format", format, path}, &out, &out); code != 1 || strings.Contains(out.String(), "hush") {
					t.Errorf("%s: exit status %d\n%s", format, code, out.String())
				}
			}
		})
	}
}

// Without Slack, an outage and its end are announced at the receiver in defaults.
func TestOutageIsAnnouncedAtAReceiver(t *testing.T) {
	t.Parallel()
	env := newReceiversEnvironment(t)
	env.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})
	p := env.runFromEnv("--gitlab-token", gitlabtest.DefaultToken, "--webhook-token", testSecret)
	p.eventually("the outage is announced", func() bool { return len(env.bots.Messages("feishu")) == 1 })
	env.gitlab.ClearFaults()
	p.eventually("its end is announced", func() bool { return len(env.bots.Messages("feishu")) == 2 })
	for i, part := range []string{"⚠️ Pipesteward\n*Pipesteward can't use GitLab*", "✅ Pipesteward\n*Pipesteward can use GitLab again*"} {
		if text := env.bots.Messages("feishu")[i].Text; !strings.Contains(text, part) {
			t.Errorf("message %d lacks %q:\n%s", i+1, part, text)
		}
	}
}
