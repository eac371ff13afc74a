package slack_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// wantAnnounced checks that #ci has nothing but that one message.
func (w *fixture) wantAnnounced(t testingT, text string) {
	t.Helper()
	if m := w.Messages("#ci"); len(m) != 1 || m[0].Plain() != text || m[0].ThreadTS != "" {
		t.Fatalf("announced as %+v, want the one message %q", m, text)
	}
}

func TestAnnounce(t *testing.T) {
	w := newFixture(t)
	notify(t, w, outcome("unit", event.ResultDone), "retried unit")
	w.insist(t, announcing(w, "storm:1:start", ":zap: *Storm* of `"+mrkdwn.Escape("<runner> & co")+"` failures\nRunners: docker-1"))
	notify(t, w, outcome("deploy", event.ResultDone), "retried deploy")
	w.insist(t, announcing(w, "storm:1:end", ":sunny: It is over"))
	for _, text := range []string{":sunny: It is over", "other words"} { // the key counts
		w.insist(t, announcing(w, "storm:1:end", text))
	}
	wantShown(t, w, "#ci", top+"🔁 retried unit"+facts+"\n🔁 retried deploy"+facts+"\n"+`⚡ Storm of `+"`<runner> & co`"+` failures
Runners: docker-1
    🔁 retried deploy
    Rule `+"`retry-infrastructure`"+` · runner_system_failure · failed · runner docker-1
☀️ It is over
`)
	for _, m := range w.Posts() {
		if m.Unfurl || m.Parse != "none" {
			t.Errorf("message %q: links unfold %v, parse %q", m.Text, m.Unfurl, m.Parse)
		}
		texts(t, m.Blocks) // checks that they are verbatim
	}

	if err := w.notifier.Announce(t.Context(), "storm:1:end", "#ops", "It is over"); err != nil {
		t.Fatal(err)
	}
	wantShown(t, w, "#ops", "It is over\n")
}

func TestAnnounceRefusesNonsense(t *testing.T) {
	tests := []struct{ name, key, channel, text, want string }{
		{"no key", "", "#ci", "A storm", "slack: notify: invalid_announcement: it needs a key and a text"},
		{"no text", "storm", "#ci", " \n", "slack: notify: invalid_announcement: it needs a key and a text"},
		{"no channel", "storm", "", "A storm", `slack: notify: invalid_channel: "" is not one channel: give a name such as #ci, or a channel id`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newFixture(t)
			err := w.notifier.Announce(t.Context(), test.key, test.channel, test.text)
			if err == nil || err.Error() != test.want || again(t, err) != 0 {
				t.Errorf("error %v, want %s, never again", err, test.want)
			}
			if len(w.Posts()) != 0 {
				t.Error("something was posted")
			}
		})
	}
}

// TestAnnounceOutlivesKill kills the process at each step, then the one that
// goes on at each of its own, and lets a third go on. A step is a call of the
// state, before or after its effect, or an answer of Slack.
func TestAnnounceOutlivesKill(t *testing.T) {
	announce := func(deaths ...int) (steps int) { // of the last process
		w := newFixture(t)
		die := func() {
			steps++
			if len(deaths) > 0 && steps == deaths[0] {
				deaths, steps = deaths[1:], 0
				panic(death{})
			}
		}
		w.state.trouble = func(_ int, effect func()) error {
			die()
			effect()
			die()
			return nil
		}
		w.sent = func(string) error { die(); return nil }
		for !survive(func() { w.insist(t, announcing(w, "storm", "A storm")) }) {
			w.clock.Advance(time.Second)
		}
		w.wantAnnounced(t, "A storm")
		return steps
	}
	all := announce()
	if all < 10 {
		t.Fatalf("an announcement takes %d steps only", all)
	}
	for first := 1; first <= all; first++ {
		rest := announce(first)
		for second := 1; second <= rest; second++ {
			announce(first, second)
		}
	}
}

// TestAnnounceOutlivesTrouble: Slack and the store fail in every way at any
// time.
func TestAnnounceOutlivesTrouble(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newFixture(t)
		w.Channel("#ci") // the bot is in it
		failing := rapid.SampledFrom([]string{"", "", "", "", "before", "after"})
		failures := 20
		w.state.trouble = func(_ int, effect func()) error {
			fails := ""
			if failures > 0 {
				fails = failing.Draw(t, "store fails")
			}
			if fails != "before" {
				effect()
			}
			if fails != "" {
				failures--
				return errors.New("connection lost")
			}
			return nil
		}
		for range rapid.IntRange(0, 4).Draw(t, "faults") {
			w.Fail(slacktest.Fault{
				Method: rapid.SampledFrom([]string{"", "chat.postMessage", "conversations.history", "users.conversations"}).Draw(t, "method"),
				Skip:   rapid.IntRange(0, 2).Draw(t, "skip"), AfterEffect: rapid.Bool().Draw(t, "after effect"),
				Cut: rapid.Bool().Draw(t, "cut"), Status: http.StatusBadGateway,
			})
		}
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			w.insist(t, announcing(w, "storm", "A storm"))
			w.clock.Advance(time.Minute)
		}
		w.wantAnnounced(t, "A storm")
	})
}

func TestAnnounceConcurrently(t *testing.T) {
	w := newFixture(t)
	w.together(t, func(int) error { return announcing(w, "storm", "A storm")() })
	w.wantAnnounced(t, "A storm")
}
