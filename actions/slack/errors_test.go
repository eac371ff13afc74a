package slack_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
)

func TestErrors(t *testing.T) {
	const never = 0
	tests := []struct {
		fault slacktest.Fault
		again time.Duration
		want  string
	}{
		{slacktest.Fault{Status: 429, RetryAfter: 7 * time.Second}, 7 * time.Second, "slack: chat.postMessage in #ci: ratelimited: too many calls: tried again later"},
		{slacktest.Fault{Status: 429}, 30 * time.Second, "http_429: too many calls: tried again later"},
		{slacktest.Fault{Status: 500}, 30 * time.Second, "http_500: Slack failed: tried again later"},
		{slacktest.Fault{Status: 503}, 30 * time.Second, "http_503: Slack failed: tried again later"},
		{slacktest.Fault{Status: 408}, 30 * time.Second, "http_408: Slack failed: tried again later"},
		{slacktest.Fault{Status: 404}, never, "http_404: this is not Slack's API: check --slack-api-url and the proxy"},
		{slacktest.Fault{Cut: true}, 30 * time.Second, "network: "},
		{slacktest.Fault{Body: "<html>" + token}, 30 * time.Second, "network: invalid character"},
		{slacktest.Fault{Body: "{}"}, 30 * time.Second, "unexpected_answer: the answer lacks the ts"},
		{slacktest.Fault{Body: `{"ok": true, "ts": 5}`}, 30 * time.Second, "unexpected_answer: json: "},
		{slacktest.Fault{Error: "ratelimited"}, 30 * time.Second, "too many calls"},
		{slacktest.Fault{Error: "rate_limited"}, 30 * time.Second, "too many messages"},
		{slacktest.Fault{Error: "internal_error"}, 30 * time.Second, "Slack failed"},
		{slacktest.Fault{Error: "fatal_error"}, 30 * time.Second, "Slack failed"},
		{slacktest.Fault{Error: "service_unavailable"}, 30 * time.Second, "Slack is not available"},
		{slacktest.Fault{Error: "request_timeout"}, 30 * time.Second, "Slack got only part"},
		{slacktest.Fault{Error: "team_added_to_org"}, 30 * time.Second, "the workspace is being moved"},
		{slacktest.Fault{Error: "channel_not_found"}, never, "the bot sees no channel #ci: correct the name, or if it is private invite the bot: /invite @pipesteward in #ci"},
		{slacktest.Fault{Error: "not_in_channel"}, never, "invite the bot: /invite @pipesteward in #ci"},
		{slacktest.Fault{Error: "is_archived"}, never, "#ci is archived: unarchive it"},
		{slacktest.Fault{Error: "restricted_action_read_only_channel"}, never, "#ci is read-only"},
		{slacktest.Fault{Error: "not_authed"}, never, "set --slack-token"},
		{slacktest.Fault{Error: "invalid_auth"}, never, "the bot token is not valid here"},
		{slacktest.Fault{Error: "account_inactive"}, never, "install the app again"},
		{slacktest.Fault{Error: "token_revoked"}, never, "the bot token was revoked"},
		{slacktest.Fault{Error: "missing_scope", Needed: "chat:write"}, never, "chat:write is missing: add it"},
		{slacktest.Fault{Redirect: "https://elsewhere.example.com"}, never, "http_307: this is not Slack's API"},
		{slacktest.Fault{Error: "missing_scope"}, never, "a scope is missing: add it"},
		{slacktest.Fault{Error: "something_new"}, never, "something_new: Slack refused it"},
		{slacktest.Fault{Error: "echo " + token}, never, "Slack refused it"},
	}
	for _, test := range tests {
		for name, saying := range sayings {
			t.Run(name+" "+test.want, func(t *testing.T) {
				w := newFixture(t)
				test.fault.Method = "chat.postMessage"
				w.Fail(test.fault)
				err := saying(w)()
				if err == nil {
					t.Fatal("no error")
				}
				if got := again(t, err); got != test.again {
					t.Errorf("again after %s, want %s (0s: never): %v", got, test.again, err)
				}
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %q lacks %q", err, test.want)
				}
				if len(w.Posts()) != 0 {
					t.Error("it was posted")
				}
				// Whatever it was: once it is mended, it is said.
				w.Channel("#ci")
				w.clock.Advance(max(test.again, time.Second))
				w.insist(t, saying(w))
				if n := len(w.Messages("#ci")); n != 1 {
					t.Errorf("it was said %d times", n)
				}
				if strings.Contains(w.log.String(), "very-secret") {
					t.Errorf("the token is in the log:\n%s", w.log.String())
				}
			})
		}
	}
}

// What a person can mend is told apart from what is final, and what concerns one channel
// from what concerns all.
func TestMendable(t *testing.T) {
	for code, want := range map[string][2]bool{ // mendable, everywhere
		"403": {true, true}, "404": {true, true}, "407": {true, true}, "307": {true, true}, "413": {}, "503": {},
		"channel_not_found": {true, false}, "not_in_channel": {true, false}, "is_archived": {true, false}, "missing_scope": {true, false},
		"restricted_action": {true, false},
		"token_revoked":     {true, true}, "invalid_auth": {true, true}, "account_inactive": {true, true}, "not_authed": {true, true},
		"internal_error": {}, "ratelimited": {}, "invalid_blocks": {}, "something_new": {},
	} {
		w := newFixture(t)
		fault := slacktest.Fault{Method: "chat.postMessage", Error: code}
		if status, err := strconv.Atoi(code); err == nil {
			fault.Status = status
		}
		w.Fail(fault)
		err := announcing(w, "key", "text")()
		e, is := errors.AsType[*slack.Error](err)
		if got := [2]bool{is && e.Mendable(), is && e.Everywhere()}; got != want {
			t.Errorf("%s: mendable, everywhere %v, want %v", code, got, want)
		}
		if want[1] && strings.Contains(err.Error(), "#ci") {
			t.Errorf("%v names the channel, which it is not about", err)
		}
	}
}

// sayings are the ways to say something.
var sayings = map[string]func(*fixture) func() error{
	"tell": func(w *fixture) func() error {
		return func() error {
			return w.notifier.Notify(context.Background(), outcome("unit", event.ResultDone), to("#ci", ""))
		}
	},
	"announce": func(w *fixture) func() error { return announcing(w, "storm:runner:start", "A storm begins") },
}

// TestARefusedPostIsNotLookedFor: only an unsure one is, so that a rate limit
// is not answered with more calls.
func TestARefusedPostIsNotLookedFor(t *testing.T) {
	w := newFixture(t)
	w.Fail(slacktest.Fault{Method: "chat.postMessage", Status: http.StatusTooManyRequests, RetryAfter: time.Second})
	w.persist(t, outcome("unit", event.ResultDone), "#ci")
	if n := w.Calls("users.conversations") + w.Calls("conversations.history"); n != 0 {
		t.Errorf("%d calls to look for it", n)
	}
	if n := w.Calls("chat.postMessage"); n != 2 {
		t.Errorf("%d calls of chat.postMessage, want 2", n)
	}
}

func TestErrorsWithoutSlack(t *testing.T) {
	w := newFixture(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	err := w.notifier.Notify(t.Context(), outcome("unit", event.ResultDone), to("#ci", ""))
	if again(t, err) != 30*time.Second || !strings.Contains(err.Error(), "network: ") {
		t.Errorf("error %v", err)
	}
	if event.Unavailable(err) {
		t.Errorf("%v is taken for one that says GitLab can't be used", err)
	}
	// Nothing was sent, so nobody need wait for the claim.
	if err := w.notifier.Notify(t.Context(), outcome("unit", event.ResultDone), to("#ci", "")); strings.Contains(err.Error(), "busy") {
		t.Errorf("the message stays claimed: %v", err)
	}
}

func TestErrorsOfTheStore(t *testing.T) {
	w := newFixture(t)
	full := errors.New("disk full")
	w.state.trouble = func(int, func()) error { return full }
	err := w.notifier.Notify(t.Context(), outcome("unit", event.ResultDone), to("#ci", ""))
	if again(t, err) != 5*time.Second || !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	if len(w.Posts()) != 0 {
		t.Error("it was posted")
	}
}

func TestNewRefusesABadConfig(t *testing.T) {
	w := newFixture(t)
	good := slack.Config{Token: token, State: w.state, Now: w.clock.Now}
	tests := []struct {
		name   string
		change func(*slack.Config)
		want   string // "" for none
	}{
		{"good", func(*slack.Config) {}, ""},
		{"no token", func(c *slack.Config) { c.Token = "" }, "slack: no token: set --slack-token to the app's bot token (xoxb-…)"},
		{"app token", func(c *slack.Config) { c.Token = "xapp-very-secret" }, "slack: the token is an app-level token (xapp-…): set --slack-token to the app's bot token (xoxb-…)"},
		{"no state", func(c *slack.Config) { c.State = nil }, "slack: the config needs State and Now"},
		{"no clock", func(c *slack.Config) { c.Now = nil }, "slack: the config needs State and Now"},
		{"URL without scheme", func(c *slack.Config) { c.APIURL = "slack.com/api" }, "slack: the URL of Slack's API is no http or https URL: write one such as https://slack.com/api/"},
		{"URL of a file", func(c *slack.Config) { c.APIURL = "file:///api" }, "slack: the URL of Slack's API is no http or https URL: write one such as https://slack.com/api/"},
		{"no URL", func(c *slack.Config) { c.APIURL = "http://[::1" }, "slack: the URL of Slack's API is no http or https URL: write one such as https://slack.com/api/"},
		{"URL without the last slash", func(c *slack.Config) { c.APIURL = strings.TrimSuffix(w.URL(), "/") }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.change(&c)
			_, err := slack.New(c)
			if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
