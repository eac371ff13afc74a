package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/handlers/slackapp"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	testSlackSecret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" //nolint:gosec // of the tests
	testAppToken    = "xapp-1-secret-of-the-tests"
)

// press is a press of the button Why under a message.
func (env *environment) press() slacktest.Arrival {
	b := chatops.Button{Does: chatops.ButtonWhy, Of: "decision"}
	return env.slack.Press(slacktest.Press{
		User: env.slack.AddUser("ada@example.com"), Channel: env.slack.Channel("#ci"), Message: "1700000000.000100", ActionID: b.ActionID(), Value: b.Value(),
	})
}

// postSlack has Slack post a request, and returns the status code.
func (p *program) postSlack(env *environment, a slacktest.Arrival, path, secret string) int {
	p.Helper()
	code, _, err := env.slack.Post(p.Context(), a, strings.TrimSuffix(p.webhooks, webhook.Path)+path, secret)
	if err != nil {
		p.Fatal(err)
	}
	return code
}

// pressedWith returns the status code of a press that is signed with a secret.
func (p *program) pressedWith(env *environment, secret string) int {
	p.Helper()
	return p.postSlack(env, env.press(), slackapp.InteractionsPath, secret)
}

// others checks what the paths of Slack and those beside them answer to other requests than
// Slack's.
func (p *program) others(want map[string]int) {
	p.Helper()
	for request, want := range want {
		method, path, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(p.Context(), method, strings.TrimSuffix(p.webhooks, webhook.Path)+path, http.NoBody)
		if err != nil {
			p.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			p.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			p.Errorf("%s is answered with %d, want %d", request, resp.StatusCode, want)
		}
	}
}

// requests returns the results of the requests from Slack that the log has.
func (p *program) requests() (results []string) {
	for line := range strings.Lines(p.logged()) {
		if strings.Contains(line, `"msg":"request from Slack"`) {
			_, result, _ := strings.Cut(line, `"result":"`)
			result, _, _ = strings.Cut(result, `"`)
			results = append(results, result)
		}
	}
	return results
}

// TestRequestsFromSlack: a signed press is stored once, however often it comes, by HTTP or
// in Socket Mode, and also after the process was killed; an unsigned one is not.
func TestRequestsFromSlack(t *testing.T) {
	t.Setenv("PIPESTEWARD_SLACK_SIGNING_SECRET", testSlackSecret)
	t.Setenv("PIPESTEWARD_SLACK_APP_TOKEN", testAppToken)
	t.Setenv("PIPESTEWARD_LOG_LEVEL", "debug")
	env := newEnvironment(t)
	env.slack.SetAppToken(testAppToken)
	p := env.serve()
	wants := func(results ...string) {
		t.Helper()
		p.eventually("the log has the requests", func() bool { return len(p.requests()) >= len(results) })
		if got := p.requests(); !slices.Equal(got, results) {
			t.Errorf("the log has the requests %q, want %q\n%s", got, results, p.tail())
		}
		if strings.Contains(p.logged(), testSlackSecret) || strings.Contains(p.logged(), testAppToken) {
			t.Errorf("the log has a secret:\n%s", p.tail())
		}
	}
	press := env.press()
	for secret, want := range map[string]int{"": http.StatusUnauthorized, "another": http.StatusUnauthorized} {
		if code := p.postSlack(env, press, slackapp.InteractionsPath, secret); code != want {
			t.Errorf("a press that is signed with %q is answered with %d, want %d", secret, code, want)
		}
	}
	sslCheck := slacktest.Arrival{Form: url.Values{"ssl_check": {"1"}, "token": {"x"}}}
	for secret, want := range map[string]int{"another": http.StatusUnauthorized, testSlackSecret: http.StatusOK} {
		if code := p.postSlack(env, sslCheck, slackapp.CommandsPath, secret); code != want {
			t.Errorf("an ssl_check that is signed with %q is answered with %d, want %d", secret, code, want)
		}
	}
	p.others(map[string]int{
		"GET /slack/interactions": 405, "HEAD /slack/interactions": 405, "PUT /slack/commands": 405, "GET /slack/commands": 405,
		"GET /slack/": 404, "POST /slack/events": 404, "POST /slack": 404, "POST /slack/commands": 401,
	})
	wants()
	for range 2 {
		if code := p.postSlack(env, press, slackapp.InteractionsPath, testSlackSecret); code != http.StatusOK {
			t.Errorf("a press is answered with %d", code)
		}
	}
	wants("stored", "duplicate")
	p.eventually("Socket Mode is connected", func() bool { open, _ := env.slack.Connections(); return open == 1 })
	for _, a := range []slacktest.Arrival{press, env.slack.Command(slacktest.Command{User: env.slack.AddUser("ben@example.com"), Channel: env.slack.Channel("#ci"), Text: "help"})} {
		envelope, err := env.slack.Send(a)
		if err != nil {
			t.Fatal(err)
		}
		p.eventually("the envelope is acknowledged", func() bool { return env.slack.Acked(envelope) })
	}
	wants("stored", "duplicate", "duplicate", "stored")

	p.kill()
	p = env.serve()
	if code := p.postSlack(env, press, slackapp.InteractionsPath, testSlackSecret); code != http.StatusOK {
		t.Errorf("after a kill the press is answered with %d", code)
	}
	wants("duplicate")
	p.stop()
}

// TestNoRequestsFromSlack: without a signing secret, there is nothing at Slack's paths, and
// the ways in need the bot token.
func TestNoRequestsFromSlack(t *testing.T) {
	env := newEnvironment(t)
	p := env.run()
	for _, path := range []string{slackapp.InteractionsPath, slackapp.CommandsPath} {
		if code := p.postSlack(env, env.press(), path, testSlackSecret); code != http.StatusNotFound {
			t.Errorf("POST %s is answered with %d, want 404", path, code)
		}
	}
	p.others(map[string]int{"GET /slack/interactions": 404, "HEAD /slack/interactions": 404, "GET /slack/commands": 404, "POST /slack/events": 404, "GET /slack/": 404})
	for _, setting := range [][]string{{"--slack-signing-secret", testSlackSecret}, {"--slack-app-token", testAppToken}} {
		code, _, errs := called(t, append([]string{"serve", "--rules", env.dir + "/rules.yaml", "--gitlab-token", "x", "--webhook-token", "x"}, setting...)...)
		if code != 2 || !strings.Contains(errs, "--slack-token: it is missing") {
			t.Errorf("%s alone: exit status %d\n%s", setting[0], code, errs)
		}
	}
}

// storeRequest puts a request into the store, as a replica does that has died since.
func (env *environment) storeRequest(r chatops.Request) {
	env.Helper()
	body, err := json.Marshal(r)
	if err != nil {
		env.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(env.dir, "pipesteward.db"), bolt.Options{Now: time.Now})
	if err != nil {
		env.Fatal(err)
	}
	if _, err := db.Put(env.Context(), store.Record{ID: keys.Request(r.ID), Kind: chatops.RecordKind, Body: body}); err != nil {
		env.Fatal(err)
	}
	if err := db.Close(); err != nil {
		env.Fatal(err)
	}
}

// TestRequestsBeforeAnOutage: a press that was stored an hour before the next replica starts is
// not carried out, and the thread of its message says so.
func TestRequestsBeforeAnOutage(t *testing.T) {
	env := newEnvironment(t)
	env.write("rules.yaml", pressRules)
	ada, channel := env.slack.AddUser("ada@example.com"), env.slack.Channel("#ci")
	_, message, err := slackapi.New(testSlack, slackapi.OptionAPIURL(env.slack.URL())).PostMessageContext(t.Context(), channel, slackapi.MsgOptionText("a message", false))
	if err != nil {
		t.Fatal(err)
	}
	env.storeRequest(chatops.Request{
		ID: "r", By: chatops.Person{UserID: ada, TeamID: slacktest.TeamID}, At: chatops.Place{Channel: channel, Message: message},
		Button: &chatops.Button{Does: chatops.ButtonRetry, Of: "decision"}, ReceivedAt: time.Now().Add(-time.Hour),
	})
	p := env.serve("--slack-signing-secret", testSlackSecret)
	p.eventually("the thread says that it was not done", func() bool {
		return slices.ContainsFunc(env.slack.Messages("ci"), func(m slacktest.Message) bool {
			return m.ThreadTS == message && strings.HasPrefix(m.Text, "<@"+ada+"> requested `retry` at ")
		})
	})
	p.workedOff()
}

// TestRequestsOfAnotherReplica: a replica that takes no requests from Slack leaves those in
// the queue to one that does.
func TestRequestsOfAnotherReplica(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", pressRules)
	ada := env.slack.AddUser("ada@example.com")
	typed := env.slack.Command(slacktest.Command{User: ada, Channel: env.slack.Channel("#ci"), Text: "help"})
	env.storeRequest(chatops.Request{ID: "r", By: chatops.Person{UserID: ada, TeamID: slacktest.TeamID}, Command: "help", ReplyURL: typed.ResponseURL, ReceivedAt: time.Now()})
	p := env.serve()
	var d depth
	p.eventually("the request was worked on", func() bool {
		d, _ = p.depth()
		return d.Waiting+d.Dead > 0
	})
	if d.Dead > 0 {
		t.Fatalf("the request is dead\n%s", p.tail())
	}
	p.stop()
	p = env.serve("--slack-signing-secret", testSlackSecret)
	p.eventually("the person reads the reply", func() bool { return len(env.slack.Replies()) > 0 })
}

// TestPaceOfRequests: with the wiring of production, who requests much more than others may
// reads when to try again, and each request gets its reply; others go on.
func TestPaceOfRequests(t *testing.T) {
	t.Parallel()
	const ofAda = 60
	env := newEnvironment(t)
	env.write("rules.yaml", pressRules)
	ada, ben := env.slack.AddUser("ada@example.com"), env.slack.AddUser("ben@example.com")
	env.slack.AddGroup("ci-ops", ada, ben)
	db, err := bolt.Open(filepath.Join(env.dir, "pipesteward.db"), bolt.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	var replyTo [ofAda + 1]string // the last one is Ben's
	for i := range replyTo {
		by := ada
		if i == ofAda {
			by = ben
		}
		id := fmt.Sprint("r", i)
		replyTo[i] = env.slack.Command(slacktest.Command{User: by, Channel: env.slack.Channel("#ci"), Text: "status"}).ResponseURL
		body, err := json.Marshal(chatops.Request{ID: id, By: chatops.Person{UserID: by, TeamID: slacktest.TeamID}, Command: "status", ReplyURL: replyTo[i], ReceivedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Put(t.Context(), store.Record{ID: keys.Request(id), Kind: chatops.RecordKind, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	p := env.run("--slack-signing-secret", testSlackSecret, "--slack-operators", "@ci-ops")
	p.eventually("each request has its reply", func() bool { return len(env.slack.Replies()) == len(replyTo) })
	tooMany := 0
	for _, r := range env.slack.Replies() {
		switch {
		case r.Public:
			t.Errorf("all in the channel read %q", r.Text)
		case strings.Contains(r.Text, "each person may make 20 requests a minute"):
			tooMany++
			if r.To.ResponseURL == replyTo[ofAda] {
				t.Errorf("Ben reads %q after his first request", r.Text)
			}
		case !strings.Contains(r.Text, "1 rule in force"):
			t.Errorf("somebody reads %q", r.Text)
		}
	}
	if done := ofAda - tooMany; done < 20 || done == ofAda {
		t.Errorf("%d of %d requests are carried out, want those of a minute", done, ofAda)
	}
}
