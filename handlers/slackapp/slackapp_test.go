package slackapp_test

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/handlers/slackapp"
)

func TestRequestsAreStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	retry := chatops.Button{Does: chatops.ButtonRetry, Of: "decision-1", Job: 9}
	mute := chatops.Button{Does: chatops.ButtonMuteChannel, Of: "decision-1", Job: 9, In: "ci"}
	menu, _ := mute.MenuID()
	ada := chatops.Person{UserID: r.user, TeamID: slacktest.TeamID, Name: "Ada"}
	press := func(p slacktest.Press) slacktest.Arrival {
		p.User, p.Channel, p.ActionID, p.Value = r.user, r.channel, retry.ActionID(), retry.Value()
		return r.Press(p)
	}
	const root, reply = "1700000000.000100", "1700000000.000200"
	for _, c := range []struct {
		name string
		sent slacktest.Arrival
		path string
		want chatops.Request
	}{
		{
			"a button", press(slacktest.Press{Message: root}), slackapp.InteractionsPath,
			chatops.Request{By: ada, At: chatops.Place{Channel: r.channel, Message: root}, Button: &retry},
		},
		{
			"a button of a message that has replies", press(slacktest.Press{Message: root, Thread: root}), slackapp.InteractionsPath,
			chatops.Request{By: ada, At: chatops.Place{Channel: r.channel, Message: root}, Button: &retry},
		},
		{
			"a button in a thread", press(slacktest.Press{Message: reply, Thread: root}), slackapp.InteractionsPath,
			chatops.Request{By: ada, At: chatops.Place{Channel: r.channel, Message: reply, Thread: root}, Button: &retry},
		},
		{
			"an option of a menu", r.Press(slacktest.Press{User: r.user, Channel: r.channel, Message: root, ActionID: menu, Value: mute.Does, Menu: true}), slackapp.InteractionsPath,
			chatops.Request{By: ada, At: chatops.Place{Channel: r.channel, Message: root}, Button: &mute},
		},
		{
			"a button, by a person of another workspace", press(slacktest.Press{Message: root, Team: "T2"}), slackapp.InteractionsPath,
			chatops.Request{By: chatops.Person{UserID: r.user, TeamID: "T2", Name: "Ada"}, At: chatops.Place{Channel: r.channel, Message: root}, Button: &retry},
		},
		{
			"a command", r.Command(slacktest.Command{User: r.user, Channel: r.channel, Text: " why https://gitlab.example.com/a/b/-/jobs/9 "}), slackapp.CommandsPath,
			chatops.Request{By: ada, At: chatops.Place{Channel: r.channel}, Command: "why https://gitlab.example.com/a/b/-/jobs/9"},
		},
		{
			"a command alone", r.Command(slacktest.Command{User: r.user, Channel: r.channel}), slackapp.CommandsPath,
			chatops.Request{By: ada, At: chatops.Place{Channel: r.channel}},
		},
	} {
		before := len(r.queue.requests(t))
		for range 3 { // the same, again and again
			if code, body := r.post(t, c.sent, c.path, signingSecret, "X-Slack-Retry-Num: 1"); code != http.StatusOK || body != "" {
				t.Errorf("%s: %d %s", c.name, code, body)
			}
		}
		got := r.queue.requests(t)[before:]
		if len(got) != 1 {
			t.Errorf("%s: %d requests are stored, want one", c.name, len(got))
			continue
		}
		c.want.ReplyURL, c.want.ReceivedAt = c.sent.ResponseURL, r.clock.Now().UTC()
		if diff := cmp.Diff(c.want, got[0], cmpopts.IgnoreFields(chatops.Request{}, "ID")); diff != "" || len(got[0].ID) != 64 {
			t.Errorf("%s: the id is %q, -want +got:\n%s", c.name, got[0].ID, diff)
		}
	}
	// A second press of the same button is another request.
	before := len(r.queue.requests(t))
	for range 2 {
		r.post(t, r.retry(), slackapp.InteractionsPath, signingSecret)
	}
	if n := len(r.queue.requests(t)) - before; n != 2 {
		t.Errorf("two presses are %d requests", n)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := func(d time.Duration) string { return strconv.FormatInt(r.clock.Now().Add(d).Unix(), 10) }
	signedAt := func(a slacktest.Arrival, at string) []string {
		return []string{"X-Slack-Request-Timestamp: " + at, "X-Slack-Signature: " + slacktest.Sign(signingSecret, at, a.Form.Encode())}
	}
	form := func(name, value string) slacktest.Arrival {
		return slacktest.Arrival{Form: url.Values{name: {value}}}
	}
	changed := func(old, replacement string) slacktest.Arrival {
		a := r.retry()
		return form("payload", strings.ReplaceAll(a.Form.Get("payload"), old, replacement))
	}
	value := func(v string) slacktest.Arrival {
		return r.Press(slacktest.Press{User: r.user, Channel: r.channel, ActionID: "pipesteward:retry:1", Value: v})
	}
	nobody := r.Command(slacktest.Command{Channel: r.channel, Text: "status"})
	press := r.retry()
	for _, c := range []struct {
		name    string
		sent    slacktest.Arrival
		path    string
		secret  string
		headers []string
		code    int
		says    string
	}{
		{"unsigned", press, slackapp.InteractionsPath, "", []string{"X-Slack-Signature: "}, 401, "is not signed"},
		{"a command, unsigned", nobody, slackapp.CommandsPath, "", []string{"X-Slack-Signature: "}, 401, "is not signed"},
		{"without a time", press, slackapp.InteractionsPath, signingSecret, []string{"X-Slack-Request-Timestamp: "}, 401, "is not signed"},
		{"no time", press, slackapp.InteractionsPath, signingSecret, []string{"X-Slack-Request-Timestamp: today"}, 401, "Unix seconds"},
		{"stale", press, slackapp.InteractionsPath, signingSecret, signedAt(press, at(-301*time.Second)), 401, "replay"},
		{"of the future", press, slackapp.InteractionsPath, signingSecret, signedAt(press, at(301*time.Second)), 401, "replay"},
		{"the time is changed", press, slackapp.InteractionsPath, signingSecret, []string{"X-Slack-Request-Timestamp: " + at(time.Second)}, 401, "does not fit"},
		{"another secret", press, slackapp.InteractionsPath, nextSecret, nil, 401, "does not fit"},
		{"no secret", press, slackapp.InteractionsPath, "", nil, 401, "does not fit"},
		{"a forged signature", press, slackapp.InteractionsPath, "", []string{"X-Slack-Signature: v0=" + strings.Repeat("0", 64)}, 401, "does not fit"},
		{"a short signature", press, slackapp.InteractionsPath, "", []string{"X-Slack-Signature: v0=00"}, 401, "does not fit"},
		{"a malformed signature", press, slackapp.InteractionsPath, "", []string{"X-Slack-Signature: v1=zz"}, 401, "malformed"},
		{"a signature without its scheme", press, slackapp.InteractionsPath, "", []string{
			"X-Slack-Signature: " + strings.TrimPrefix(slacktest.Sign(signingSecret, at(0), press.Form.Encode()), "v0="),
		}, 401, "malformed"},
		{"an unsigned ssl_check", form("ssl_check", "1"), slackapp.InteractionsPath, "", []string{"X-Slack-Signature: "}, 401, "is not signed"},
		{"a forged ssl_check", form("ssl_check", "1"), slackapp.CommandsPath, nextSecret, nil, 401, "does not fit"},
		{"a huge body", form("payload", strings.Repeat("x", 130<<10)), slackapp.InteractionsPath, signingSecret, nil, 413, "larger than"},
		{"JSON", press, slackapp.InteractionsPath, signingSecret, []string{"Content-Type: application/json"}, 400, "x-www-form-urlencoded"},
		{"no payload", form("x", "y"), slackapp.InteractionsPath, signingSecret, nil, 400, "not JSON"},
		{"half a payload", form("payload", `{"type":"block_actions"`), slackapp.InteractionsPath, signingSecret, nil, 400, "not JSON"},
		{"a payload without a type", form("payload", `{}`), slackapp.InteractionsPath, signingSecret, nil, 400, "not JSON"},
		{"an unknown button", value(`{"does":"delete","of":"d"}`), slackapp.InteractionsPath, signingSecret, nil, 400, "no button of this version"},
		{"a malformed value", value("retry"), slackapp.InteractionsPath, signingSecret, nil, 400, "not one that Pipesteward gives"},
		{"no value", value(""), slackapp.InteractionsPath, signingSecret, nil, 400, "not one that Pipesteward gives"},
		{"no trigger_id", changed(`"trigger_id"`, `"another"`), slackapp.InteractionsPath, signingSecret, nil, 400, "no trigger_id"},
		{"a press of nobody", changed(r.user, ""), slackapp.InteractionsPath, signingSecret, nil, 400, "no user"},
		{"a command of nobody", nobody, slackapp.CommandsPath, signingSecret, nil, 400, "no user"},
		{"no command", press, slackapp.CommandsPath, signingSecret, nil, 400, "no slash command"},
		{"a command at the other path", r.Command(slacktest.Command{User: r.user, Channel: r.channel}), slackapp.InteractionsPath, signingSecret, nil, 400, "not JSON"},
	} {
		code, body := r.post(t, c.sent, c.path, c.secret, c.headers...)
		if code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s, want %d and %q", c.name, code, body, c.code, c.says)
		}
	}
	if all := r.queue.requests(t); len(all) != 0 {
		t.Errorf("%d requests are stored: %+v", len(all), all)
	}
	if log := r.log.String(); strings.Contains(log, signingSecret) || !strings.Contains(log, "request from Slack refused") {
		t.Errorf("the log:\n%s", log)
	}
	if n := strings.Count(r.log.String(), "request from Slack refused"); n > 20 {
		t.Errorf("%d lines in the log, more than 20 at once", n)
	}
}

// What is none of Pipesteward's is answered with success: else Slack shows an error.
func TestInteractionsThatAreIgnored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, sent := range map[string]slacktest.Arrival{
		"the link of a button": r.Press(slacktest.Press{User: r.user, Channel: r.channel, ActionID: "open", Value: "x"}),
		"a form":               r.Interaction(`{"type":"view_submission","trigger_id":"1","user":{"id":"U1"}}`),
		"a shortcut":           r.Interaction(`{"type":"shortcut","trigger_id":"1","user":{"id":"U1"}}`),
		"no action":            r.Interaction(`{"type":"block_actions","trigger_id":"1","user":{"id":"U1"},"actions":[]}`),
		"ssl_check":            {Form: url.Values{"ssl_check": {"1"}, "token": {"x"}}},
	} {
		if code, body := r.post(t, sent, slackapp.InteractionsPath, signingSecret); code != http.StatusOK {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if code, _ := r.post(t, slacktest.Arrival{Form: url.Values{"ssl_check": {"1"}}}, slackapp.CommandsPath, signingSecret); code != http.StatusOK {
		t.Errorf("ssl_check of the command: %d", code)
	}
	if n := len(r.queue.requests(t)); n != 0 {
		t.Errorf("%d requests are stored", n)
	}
}

func TestOtherMethodsAndPaths(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for path, want := range map[string]int{slackapp.InteractionsPath: 405, slackapp.CommandsPath: 405, "/slack/": 404, "/slack/events": 404} {
		resp, err := http.Get(r.http.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// What can't be stored is an error for the person, who tries again.
func TestRequestsThatCanNotBeStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	press := r.retry()
	r.queue.failWith(errors.New("the disk is full"))
	if code, body := r.post(t, press, slackapp.InteractionsPath, signingSecret); code != http.StatusInternalServerError || strings.Contains(body, "disk") {
		t.Errorf("%d %s", code, body)
	}
	r.queue.failWith(nil)
	if code, _ := r.post(t, press, slackapp.InteractionsPath, signingSecret); code != http.StatusOK || len(r.queue.requests(t)) != 1 {
		t.Errorf("again: %d, and %d requests are stored", code, len(r.queue.requests(t)))
	}
}

func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, step := range []struct {
		secrets  []string
		old, new int
	}{
		{[]string{signingSecret, nextSecret}, 200, 200},
		{[]string{nextSecret}, 401, 200},
	} {
		if err := r.handler.SetSecrets(step.secrets); err != nil {
			t.Fatal(err)
		}
		if code, _ := r.post(t, r.retry(), slackapp.InteractionsPath, signingSecret); code != step.old {
			t.Errorf("with %d secrets, the old one: %d, want %d", len(step.secrets), code, step.old)
		}
		if code, _ := r.post(t, r.retry(), slackapp.InteractionsPath, nextSecret); code != step.new {
			t.Errorf("with %d secrets, the new one: %d, want %d", len(step.secrets), code, step.new)
		}
	}
	for _, wrong := range [][]string{nil, {""}, {"xoxb-1-2-3"}, {appToken}, {"short"}, {nextSecret, "two words of it here"}} {
		err := r.handler.SetSecrets(wrong)
		if err == nil || len(wrong) > 0 && wrong[0] != "" && strings.Contains(err.Error(), wrong[len(wrong)-1]) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if code, _ := r.post(t, r.retry(), slackapp.InteractionsPath, nextSecret); code != http.StatusOK {
		t.Errorf("after wrong secrets: %d", code)
	}
}
