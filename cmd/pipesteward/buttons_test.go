package main

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/handlers/slackapp"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
)

// pressRules only say in Slack what they see.
const pressRules = `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - {name: told, on: job, if: 'job.status == "failed"', notify: [{when: [done]}]}
`

// slackPerson is somebody in Slack who presses buttons and types commands.
type slackPerson struct {
	*environment
	p      *program
	secret string
	id     string
}

// sends has Slack post a request, and returns what is said to it, once there are as many
// replies as wanted.
func (s slackPerson) sends(a slacktest.Arrival, path string, replies int) (said []slacktest.Reply) {
	s.Helper()
	code, body, err := s.slack.Post(s.Context(), a, strings.TrimSuffix(s.p.webhooks, webhook.Path)+path, s.secret)
	if err != nil || code != http.StatusOK {
		s.Fatalf("a request of Slack is answered with %d %s %v", code, body, err)
	}
	s.p.eventually("the person reads the reply", func() bool {
		said = nil
		for _, r := range s.slack.Replies() {
			if r.To.ResponseURL == a.ResponseURL {
				said = append(said, r)
			}
		}
		return len(said) >= replies
	})
	return said
}

// buttonOf returns the button of a message that does something.
func buttonOf(m slacktest.Message, does string) (b slacktest.Button, has bool) {
	for _, b := range m.Buttons() {
		if button, err := chatops.ParseButton(b.ActionID, b.Value); err == nil && button.Does == does {
			return b, true
		}
	}
	return b, false
}

// retryOffered waits for the message in #ci that has the button Retry, not among the first
// ones: what comes after those may also be about what was done before.
func (env *environment) retryOffered(p *program, first int) (offered slacktest.Message) {
	env.Helper()
	p.eventually("a retry is offered in Slack", func() bool {
		for _, offered = range env.slack.Messages("ci")[first:] {
			if _, has := buttonOf(offered, chatops.ButtonRetry); has {
				return true
			}
		}
		return false
	})
	return offered
}

// presses presses the button that does something under the first message of #ci.
func (s slackPerson) presses(does string) slacktest.Reply {
	s.Helper()
	return s.pressesIn(s.slack.Messages("ci")[0], does)
}

// pressesIn presses the button that does something under a message.
func (s slackPerson) pressesIn(m slacktest.Message, does string) slacktest.Reply {
	s.Helper()
	if b, has := buttonOf(m, does); has {
		return s.sends(s.slack.Press(slacktest.Press{User: s.id, Channel: m.ID, Message: m.TS, ActionID: b.ActionID, Value: b.Value, Menu: b.Menu}), slackapp.InteractionsPath, 1)[0]
	}
	s.Fatalf("the message has no button %s: %s", does, m.Blocks)
	return slacktest.Reply{}
}

// types types a command in #ci.
func (s slackPerson) types(text string) slacktest.Reply {
	s.Helper()
	return s.sends(s.slack.Command(slacktest.Command{User: s.id, Channel: s.slack.Channel("#ci"), Text: text}), slackapp.CommandsPath, 1)[0]
}

// TestButtonsAndCommands: with the wiring of production, an operator presses Retry under a
// message: GitLab retries, the message and its thread say who did it, so do the decisions
// and `why`; commands steer, and the list of changes says who did. Somebody without rights
// gets nowhere.
func TestButtonsAndCommands(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", pressRules)
	const secret = "00112233445566778899aabbccddeeff" //nolint:gosec // of the test
	ada := env.slack.AddUser("ada@example.com")
	env.slack.AddGroup("ci-ops", ada)
	p := env.run("--slack-signing-secret", secret, "--slack-operators", "@ci-ops", "--rules", filepath.Join(env.dir, "rules.yaml"))
	operator := slackPerson{env, p, secret, ada}
	nobody := slackPerson{env, p, secret, env.slack.AddUser("bob@example.com")}

	job := env.stuckJob()
	env.gitlab.SetLog(job.ID, "$ make\nmake: *** [all] Error 2\nERROR: Job failed: exit code 1\n")
	p.post(env.gitlab.JobHookBody(job.ID))
	p.eventually("the job is said in Slack", func() bool { return len(env.slack.Messages("ci")) > 0 })

	if r := nobody.presses(chatops.ButtonRetry); !strings.Contains(r.Text, "No user in GitLab shows your e-mail address") || r.Public {
		t.Errorf("a person without rights reads %+v", r)
	}
	if n := env.gitlab.Count(http.MethodPost, "/retry"); n != 0 {
		t.Errorf("%d retries by a person without rights", n)
	}
	if r := operator.presses(chatops.ButtonLog); !strings.Contains(r.Text, "make: *** [all] Error 2") || r.Public {
		t.Errorf("the log excerpt is %+v", r)
	}
	if r := operator.presses(chatops.ButtonRetry); !strings.Contains(r.Text, "Retried ") || !strings.Contains(r.Text, "by ada@example.com") {
		t.Errorf("after Retry, the operator reads %+v", r)
	}
	if n := env.gitlab.Count(http.MethodPost, "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	p.eventually("the message names the operator", func() bool {
		all := env.slack.Messages("ci")
		return len(all) == 2 && all[1].ThreadTS == all[0].TS && strings.Contains(all[0].Plain(), "by ada@example.com")
	})
	if o := p.outcomes()[0]; o.Result != event.ResultDone || o.By.UserID != ada || o.Meta.Source != event.SourceButton || o.Rule != "" {
		t.Errorf("the newest decision is %+v", o)
	}
	again := env.gitlab.Latest(job.PipelineID, "rspec")
	env.gitlab.Run(again.ID)
	env.gitlab.Finish(again.ID, "success", "")
	p.post(env.gitlab.JobHookBody(again.ID)) // which no rule wants
	p.eventually("the message says that the job recovered", func() bool { return strings.Contains(env.slack.Messages("ci")[0].Plain(), "Recovered: rspec") })
	address := env.gitlab.URL() + "/platform/shop/-/jobs/" + strconv.FormatInt(job.ID, 10)
	if r := operator.types("why " + address); !strings.Contains(r.Text, "retried by ada@example.com (Slack "+ada+")") {
		t.Errorf("why says %q", r.Text)
	}
	if r := nobody.types("pause all"); !strings.Contains(r.Text, "Only operators may") {
		t.Errorf("a person without rights pauses everything, and reads %q", r.Text)
	}
	if r := operator.types("pause all for 1h reason a test"); !r.Public || !strings.Contains(r.Text, "paused actions (`all`)") {
		t.Errorf("the operator reads %+v", r)
	}
	if r := operator.types("status"); !strings.Contains(r.Text, "paused (all) by ada@example.com (Slack "+ada+"): a test") {
		t.Errorf("the status is %q", r.Text)
	}
	if r := operator.presses(chatops.ButtonMuteChannel); !r.Public || !strings.Contains(r.Text, "muted notifications (`channel:ci`)") || !strings.Contains(r.Text, "`/pipesteward unmute channel ci`") {
		t.Errorf("the operator chooses to mute the channel, and reads %+v", r)
	}
	if r := operator.types("report since 1d"); r.Public || !strings.Contains(r.Text, "1 retry") {
		t.Errorf("the report is %q", r.Text)
	}
	if _, changes := p.get("/api/v1/changes"); !strings.Contains(changes, `"by":"ada@example.com (Slack `+ada+`)"`) {
		t.Errorf("the changes are %s", changes)
	}
	if code, out, errs := called(t, "decisions", "--admin-url", p.admin); code != 0 || !strings.Contains(out, "ada@example.com (Slack "+ada+")") {
		t.Errorf("decisions: exit status %d\n%s%s", code, out, errs)
	}
	if strings.Contains(p.logged(), secret) {
		t.Error("the log has the signing secret")
	}
}

// TestButtonsInDryRun: with the wiring of production, a rule file in dry run holds what people
// press and type, as it does what rules decide.
func TestButtonsInDryRun(t *testing.T) {
	env := newEnvironment(t)
	env.write("rules.yaml", pressRules)
	const secret = "00112233445566778899aabbccddeeff" //nolint:gosec // of the test
	ada := env.slack.AddUser("ada@example.com")
	env.slack.AddGroup("ci-ops", ada)
	p := env.run("--slack-signing-secret", secret, "--slack-operators", "@ci-ops", "--rules", filepath.Join(env.dir, "rules.yaml"))
	operator := slackPerson{env, p, secret, ada}
	job := env.stuckJob()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.eventually("the job is said in Slack", func() bool { return len(env.slack.Messages("ci")) > 0 })
	env.write("rules.yaml", strings.NewReplacer("group: false", "group: false, dry_run: true", "[done]", "[done, dry_run]").Replace(pressRules))
	p.reload()
	if r := operator.presses(chatops.ButtonRetry); !strings.Contains(r.Text, "Nothing was changed: all rules are in dry run.") || r.Public {
		t.Errorf("after Retry, the operator reads %+v", r)
	}
	address := env.gitlab.URL() + "/platform/shop/-/jobs/" + strconv.FormatInt(job.ID, 10)
	if r := operator.types("retry " + address); !strings.Contains(r.Text, "Nothing was changed: all rules are in dry run.") {
		t.Errorf("after /pipesteward retry, the operator reads %+v", r)
	}
	if n := env.gitlab.Count(http.MethodPost, "/retry"); n != 0 {
		t.Errorf("%d retries in dry run", n)
	}
}

// TestInChinese: with the wiring of production and `language: zh`, the question of a play, the
// answers to its buttons, to commands and to people without rights, and the outcome are in
// Chinese.
func TestInChinese(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", strings.Replace(gateRules, "\nrules:", "\ndefaults: {language: zh}\nrules:", 1))
	const secret = "00112233445566778899aabbccddeeff" //nolint:gosec // of the test
	ada := env.slack.AddUser("ada@example.com")
	env.slack.AddGroup("ci-ops", ada)
	p := env.run("--slack-signing-secret", secret, "--slack-operators", "@ci-ops", "--rules", filepath.Join(env.dir, "rules.yaml"))
	operator := slackPerson{env, p, secret, ada}
	nobody := slackPerson{env, p, secret, env.slack.AddUser("bob@example.com")}

	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "one"}, gitlabtest.Job{Name: "deploy", When: "manual"})
	p.post(env.gitlab.PipelineHookBody(pipeline.ID))
	p.eventually("the question is posted", func() bool { return len(env.slack.Messages("#releases-platform")) == 1 })
	question := env.slack.Messages("#releases-platform")[0]
	for _, part := range []string{"启动 deploy？", "规则 `release` · 截止时间 20", "请在 20", "确认", "拒绝"} {
		if !strings.Contains(question.Plain()+question.Text+string(question.Blocks), part) {
			t.Errorf("the question lacks %q: %s\n%s", part, question.Text, question.Blocks)
		}
	}
	for _, c := range []struct {
		reply slacktest.Reply
		says  string
	}{
		{nobody.pressesIn(question, chatops.ButtonConfirm), "GitLab 中没有用户公开您在 Slack 中的邮箱"},
		{operator.pressesIn(question, chatops.ButtonConfirm), "您已确认：将启动 deploy"},
		{operator.types("status"), "1 条规则生效。"},
		{operator.types("report"), "个结果："},
		{operator.types("help"), "显示本帮助"},
		{operator.types("why " + env.gitlab.URL() + "/platform/shop/-/pipelines/" + strconv.FormatInt(pipeline.ID, 10)), "查看全部经过："},
		{nobody.types("pause all"), "只有运维人员可以对所有项目执行此操作"},
	} {
		if !strings.Contains(c.reply.Text, c.says) {
			t.Errorf("a person reads %q, want %q", c.reply.Text, c.says)
		}
	}
	p.eventually("the question says in Chinese what came of it", func() bool {
		text := env.slack.Messages("#releases-platform")[0].Plain()
		return strings.Contains(text, "ada@example.com 已确认") && strings.Contains(text, "已启动作业 deploy")
	})
}

// pipelineRules retry pipelines, which GitLab refuses here.
const pipelineRules = `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - {name: again, on: pipeline, if: 'pipeline.status == "failed"', actions: [retry_pipeline], notify: [{when: [failed]}]}
`

// developer returns a Developer of a project in which only Maintainers deploy to production, and
// a function that gives that person another role.
func developer(env *environment, p *program) (dev slackPerson, project gitlabtest.Project, role func(gitlabtest.Role)) {
	dev = slackPerson{env, p, testSlackSecret, env.slack.AddUser("dev@example.com")}
	project = env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop", ProtectedEnvironments: map[string][]gitlabtest.Role{"production": {gitlabtest.Maintainer}}})
	role = func(role gitlabtest.Role) {
		env.gitlab.AddAccount(gitlabtest.Account{User: gitlabtest.User{ID: 300, Username: "dev", Name: "Dev"}, PublicEmail: "dev@example.com", Roles: map[int64]gitlabtest.Role{project.ID: role}})
	}
	role(gitlabtest.Developer)
	return dev, project, role
}

// TestPipelineRetriedByADeveloper: with the wiring of production, a Developer retries a pipeline
// whose failed jobs deploy nowhere, although another job of it deploys to a protected
// environment, and not one of which that job failed. The user in GitLab is searched for
// once; a role that is lost counts at the next press.
func TestPipelineRetriedByADeveloper(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", pipelineRules)
	p := env.run("--slack-signing-secret", testSlackSecret)
	dev, project, role := developer(env, p)
	// fails adds a pipeline that failed, in which the deployment waits for somebody to play it,
	// or is what failed, and returns the message about it.
	refused := 0
	fails := func(test, deployment string) slacktest.Message {
		t.Helper()
		before := len(env.slack.Messages("ci"))
		refused++
		env.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: "/retry", Status: http.StatusForbidden, Times: 1})
		pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "feature"}, gitlabtest.Job{Name: "rspec", Status: test}, gitlabtest.Job{
			Name: "deploy", Stage: "deploy", When: "manual", AllowFailure: deployment == "manual", Status: deployment, Environment: gitlabtest.Environment{Name: "production", Action: "start", Tier: "production"},
		})
		p.post(env.gitlab.PipelineHookBody(pipeline.ID))
		return env.retryOffered(p, before)
	}
	retries := func() int { return env.gitlab.Count(http.MethodPost, "/retry") - refused }

	deployment := fails("success", "failed")
	for range 2 {
		if r := dev.pressesIn(deployment, chatops.ButtonRetry); !strings.Contains(r.Text, "may not deploy to the environment `production`") || retries() != 0 {
			t.Errorf("after %d retries, the Developer reads %q", retries(), r.Text)
		}
	}
	test := fails("failed", "skipped")
	if r := dev.pressesIn(test, chatops.ButtonRetry); !strings.Contains(r.Text, "Retried ") || retries() != 1 {
		t.Errorf("after %d retries, the Developer reads %q", retries(), r.Text)
	}
	if n := env.gitlab.Count(http.MethodGet, "/users"); n != 1 {
		t.Errorf("the user is searched for %d times, want once", n)
	}
	role(gitlabtest.Reporter)
	if r := dev.pressesIn(deployment, chatops.ButtonRetry); !strings.Contains(r.Text, "its role is Reporter") {
		t.Errorf("a Reporter reads %q", r.Text)
	}
}

// TestJobRetriedByADeveloper: with the wiring of production, a Developer retries a job, but not
// if GitLab would then run a skipped job that may deploy to a protected environment, nor after
// losing the role while the retry waits.
func TestJobRetriedByADeveloper(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", pressRules)
	p := env.run("--slack-signing-secret", testSlackSecret)
	dev, project, role := developer(env, p)
	fails := func(deployment string) slacktest.Message {
		t.Helper()
		before := len(env.slack.Messages("ci"))
		pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "feature"}, gitlabtest.Job{Name: "rspec", Status: "failed"}, gitlabtest.Job{
			Name: "deploy-production", Stage: "deploy", Status: deployment, Environment: gitlabtest.Environment{Name: "production", Action: "start", Tier: "production"},
		})
		p.post(env.gitlab.JobHookBody(env.gitlab.Latest(pipeline.ID, "rspec").ID))
		return env.retryOffered(p, before)
	}
	retries := func() int { return env.gitlab.Count(http.MethodPost, "/retry") }
	if r := dev.pressesIn(fails("skipped"), chatops.ButtonRetry); !strings.Contains(r.Text, "or a skipped job that runs after it") || !strings.Contains(r.Text, "may not deploy to the environment `production`") || retries() != 0 {
		t.Errorf("after %d retries, the Developer reads %q", retries(), r.Text)
	}
	if r := dev.pressesIn(fails("success"), chatops.ButtonRetry); !strings.Contains(r.Text, "Retried ") || retries() != 1 {
		t.Errorf("after %d retries, the Developer reads %q", retries(), r.Text)
	}

	waiting := fails("success")
	p.command(0, "by ann", "pause", "--by", "ann")
	if r := dev.pressesIn(waiting, chatops.ButtonRetry); !strings.Contains(r.Text, "paused") {
		t.Errorf("while all is paused, the Developer reads %q", r.Text)
	}
	role(gitlabtest.Reporter)
	p.command(0, "nothing is paused", "resume", "--by", "ann")
	p.eventually("the retry ends", func() bool { return p.outcomes()[0].Result != event.ResultDeferred })
	if o := p.outcomes()[0]; o.Result != event.ResultSkipped || !strings.Contains(o.Reason, "dev@example.com may not do this any more, and would read: To retry jobs in this project, your user in GitLab, `dev`, needs the role Developer there; its role is Reporter") || retries() != 1 {
		t.Errorf("after %d retries, the decision is %s: %s", retries(), o.Result, o.Reason)
	}
}
