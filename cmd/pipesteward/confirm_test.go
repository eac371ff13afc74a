package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/handlers/slackapp"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// gateRules play a job that a person must confirm.
const gateRules = `
version: 1
rules:
  - name: release
    on: pipeline
    if: pipeline.status == "manual"
    actions: [play: {jobs: [deploy], confirm: "#releases-{{ project.namespace }}"}]
`

// answers presses a button of the question about a pipeline.
func (s slackPerson) answers(pipeline int64, does string) slacktest.Reply {
	s.Helper()
	for _, m := range s.slack.Messages("#releases-platform") {
		if strings.Contains(m.Plain(), "Pipeline #"+strconv.FormatInt(pipeline, 10)) {
			return s.pressesIn(m, does)
		}
	}
	s.Fatalf("there is no question about pipeline %d", pipeline)
	return slacktest.Reply{}
}

// TestConfirmInSlack: with the wiring of production, a play waits for a button, whom it is
// pressed by counts, and all places where people look name the person.
func TestConfirmInSlack(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", gateRules)
	const secret = "00112233445566778899aabbccddeeff" //nolint:gosec // of the test
	ada := env.slack.AddUser("ada@example.com")
	env.slack.AddGroup("ci-ops", ada)
	p := env.run("--slack-signing-secret", secret, "--slack-operators", "@ci-ops", "--rules", filepath.Join(env.dir, "rules.yaml"))
	operator := slackPerson{env, p, secret, ada}
	nobody := slackPerson{env, p, secret, env.slack.AddUser("bob@example.com")}

	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	release := func(ref string) gitlabtest.Pipeline {
		pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: ref}, gitlabtest.Job{Name: "deploy", When: "manual"})
		p.post(env.gitlab.PipelineHookBody(pipeline.ID))
		p.eventually("the decision waits", func() bool {
			o := p.outcomes()
			return len(o) > 0 && o[0].Pipeline.ID == pipeline.ID && o[0].Result == event.ResultDeferred
		})
		return pipeline
	}
	first := release("one")
	if o := p.outcomes()[0]; o.WaitsFor != event.WaitConfirm || !strings.HasPrefix(o.Reason, "a person must confirm it in #releases-platform until ") {
		t.Errorf("waits for %s: %s", o.WaitsFor, o.Reason)
	}
	if _, queue := p.get("/api/v1/queue?waits_for=confirm"); !strings.Contains(queue, "play of deploy") {
		t.Errorf("the queue is %s", queue)
	}
	if r := nobody.answers(first.ID, chatops.ButtonConfirm); !strings.Contains(r.Text, "No user in GitLab shows your e-mail address") {
		t.Errorf("a person without rights reads %+v", r)
	}
	if r := operator.answers(first.ID, chatops.ButtonConfirm); !strings.Contains(r.Text, "You have confirmed it: deploy is played") || r.Public {
		t.Errorf("the operator reads %+v", r)
	}
	p.eventually("the question says what came of it", func() bool {
		return strings.Contains(env.slack.Messages("#releases-platform")[0].Plain(), "Confirmed by ada@example.com") &&
			strings.Contains(env.slack.Messages("#releases-platform")[0].Plain(), "Played deploy")
	})
	if o := p.outcomes()[0]; o.Result != event.ResultDone || o.By.UserID != ada || o.Reason != "confirmed by ada@example.com in Slack" {
		t.Errorf("the decision is %s (%s) by %+v", o.Result, o.Reason, o.By)
	}
	second := release("two")
	operator.answers(second.ID, chatops.ButtonReject)
	p.eventually("the decision has ended", func() bool { return p.outcomes()[0].Result == event.ResultSkipped })
	if o := p.outcomes()[0]; o.Reason != "rejected by ada@example.com in Slack" {
		t.Errorf("the second decision is skipped: %s", o.Reason)
	}
	if n := env.gitlab.Count(http.MethodPost, "/play"); n != 1 {
		t.Errorf("%d plays, want 1", n)
	}
	address := env.gitlab.URL() + "/platform/shop/-/jobs/" + strconv.FormatInt(env.gitlab.Latest(first.ID, "deploy").ID, 10)
	if r := operator.types("why " + address); !strings.Contains(r.Text, "confirmed by ada@example.com in Slack") {
		t.Errorf("why says %q", r.Text)
	}
}

// TestRejected: with the wiring of production and a Redis, a rejection holds for the job in its
// pipeline, and no button plays past it.
func TestRejected(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", strings.Replace(gateRules, "\nrules:", "\ndefaults: {channel: \"#ci\", group: false}\nrules:", 1)+"    notify: [{when: [skipped]}]\n")
	const secret = "00112233445566778899aabbccddeeff" //nolint:gosec // of the test
	ada := env.slack.AddUser("ada@example.com")
	env.slack.AddGroup("ci-ops", ada)
	p := env.run("--store", redistest.Start(t).URL(), "--slack-signing-secret", secret, "--slack-operators", "@ci-ops", "--rules", filepath.Join(env.dir, "rules.yaml"))
	operator := slackPerson{env, p, secret, ada}
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "lint"}, gitlabtest.Job{Name: "deploy", When: "manual"})
	lint := env.gitlab.Latest(pipeline.ID, "lint")
	env.gitlab.Run(lint.ID)
	env.gitlab.Finish(lint.ID, "success", "")
	p.post(env.gitlab.PipelineHookBody(pipeline.ID))
	p.eventually("people are asked", func() bool { return len(env.slack.Messages("#releases-platform")) > 0 })
	operator.answers(pipeline.ID, chatops.ButtonReject)
	p.eventually("the message says so", func() bool {
		all := env.slack.Messages("ci")
		return len(all) > 0 && strings.Contains(all[0].Plain(), "rejected by ada@example.com in Slack")
	})
	m := env.slack.Messages("ci")[0]
	play := chatops.Button{Does: chatops.ButtonPlay, Of: p.outcomes()[0].ID}
	for _, b := range m.Buttons() {
		if got, err := chatops.ParseButton(b.ActionID, b.Value); err != nil || got.Does == play.Does {
			t.Errorf("the message has the button %+v %v", got, err)
		}
	}
	old := slacktest.Press{User: ada, Channel: m.ID, Message: m.TS, ActionID: play.ActionID(), Value: play.Value()}
	if r := operator.sends(env.slack.Press(old), slackapp.InteractionsPath, 1)[0]; !strings.Contains(r.Text, "The rule has this play confirmed in #releases-platform") {
		t.Errorf("who plays past the question reads %q", r.Text)
	}
	again, err := env.gitlab.Retry(lint.ID)
	if err != nil {
		t.Fatal(err)
	}
	env.gitlab.Run(again.ID)
	env.gitlab.Finish(again.ID, "success", "")
	p.post(env.gitlab.PipelineHookBody(pipeline.ID))
	p.eventually("the second decision has ended", func() bool { o := p.outcomes(); return len(o) == 2 && o[0].Result == event.ResultSkipped })
	if o := p.outcomes()[0]; o.Reason != "rejected by ada@example.com in Slack" {
		t.Errorf("the second decision is skipped: %s", o.Reason)
	}
	if n := len(env.slack.Messages("#releases-platform")); n != 1 || env.gitlab.Count(http.MethodPost, "/play") != 0 {
		t.Errorf("%d questions, want 1; %d plays, want 0", n, env.gitlab.Count(http.MethodPost, "/play"))
	}
}

// TestPressIsHandledLate: a press that came in before the time to answer ended counts, though
// Slack tells only after it whether the person may press.
func TestPressIsHandledLate(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", gateRules)
	ada := env.slack.AddUser("ada@example.com")
	env.slack.AddGroup("ci-ops", ada)
	server := redistest.Start(t)
	p := env.run("--store", server.URL(), "--slack-signing-secret", testSlackSecret, "--slack-operators", "@ci-ops")
	operator := slackPerson{env, p, testSlackSecret, ada}
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "deploy", When: "manual"})
	p.post(env.gitlab.PipelineHookBody(pipeline.ID))
	p.eventually("the question is asked", func() bool {
		o := p.outcomes()
		return len(o) == 1 && strings.HasPrefix(o[0].Reason, "a person must confirm it in ")
	})
	question, decision := env.slack.Messages("#releases-platform")[0], p.outcomes()[0]
	env.slack.Fail(slacktest.Fault{Method: "users.info", Status: http.StatusServiceUnavailable, Times: 1 << 30})
	b := question.Buttons()[0]
	press := env.slack.Press(slacktest.Press{User: ada, Channel: question.ID, Message: question.TS, ActionID: b.ActionID, Value: b.Value})
	operator.sends(press, slackapp.InteractionsPath, 0)
	p.eventually("the press waits for Slack", func() bool { return env.slack.Calls("users.info") > 0 })

	// The time ends now, after the press.
	db, err := redis.Open(t.Context(), server.URL(), redis.Options{CallTimeout: redistest.CallTimeout})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	asked, err := json.Marshal(event.Asked{At: time.Now().Add(-time.Duration(decision.Action.ConfirmWithin))})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set(t.Context(), keys.Asked(decision.ID), asked, time.Hour); err != nil {
		t.Fatal(err)
	}
	p.eventually("the decision waits for the press", func() bool {
		makeDue(server)
		return strings.Contains(p.wants([]string{"queue", "list", "--kind", "decision", "--json"}), "the answer of a person waits in the queue")
	})
	env.slack.ClearFaults()
	p.workedOffAtOnce(server)
	if said := env.slack.Replies(); len(said) != 1 || !strings.Contains(said[0].Text, "You have confirmed it: deploy is played") {
		t.Errorf("the person reads %+v", said)
	}
	if o := p.outcomes()[0]; o.Result != event.ResultDone || o.By.UserID != ada || env.gitlab.Count(http.MethodPost, "/play") != 1 {
		t.Errorf("the decision is %s (%s) by %+v", o.Result, o.Reason, o.By)
	}
}

// TestConfirmNeedsAnswers: where nobody could answer, serve does not start, and a rule file
// that asks leaves the rules in force.
func TestConfirmNeedsAnswers(t *testing.T) {
	env := newEnvironment(t)
	p := env.run("--rules", filepath.Join(env.dir, "rules.yaml"))
	const says = `rule "release" has a play confirmed in Slack (` + "`confirm`" + `), and nobody can answer there: give --slack-token, and --slack-signing-secret or --slack-app-token`
	env.write("rules.yaml", gateRules)
	p.eventually("the rules are refused", func() bool { return strings.Contains(p.logged(), "the rules in force stay") })
	if _, rules := p.get("/api/v1/rules"); !strings.Contains(rules, "retry-stuck") || !strings.Contains(rules, "nobody can answer there") {
		t.Errorf("the rules are %s", rules)
	}
	for _, settings := range [][]string{nil, {"--slack-token", testSlack}} {
		code, _, errs := called(t, append([]string{"serve", "--rules", env.dir + "/rules.yaml", "--gitlab-token", "x", "--webhook-token", "x"}, settings...)...)
		if code != 1 || !strings.Contains(strings.Join(strings.Fields(errs), " "), says) {
			t.Errorf("%q: exit status %d\n%s", settings, code, errs)
		}
	}
}
