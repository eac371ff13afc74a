package slack_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// A channel gets one message a second, after a short burst, and another channel does not
// wait for it. A message that waits is not tried before its turn.
func TestOneMessageASecondAndChannel(t *testing.T) {
	w := newFixture(t)
	w.state.paced = true
	const burst, waiting = 5, 20
	due := map[int]time.Time{}
	say := func(i int) bool {
		err := announcing(w, strconv.Itoa(i), "text")()
		if err != nil {
			due[i] = w.clock.Now().Add(again(t, err))
		}
		return err == nil
	}
	for i := range burst + waiting {
		if sent := say(i); sent != (i < burst) {
			t.Errorf("message %d is sent: %v", i, sent)
		}
	}
	if err := w.notifier.Announce(t.Context(), "key", "#other", "text"); err != nil {
		t.Errorf("another channel: %v", err)
	}
	tries := 0
	for range waiting {
		w.clock.Advance(time.Second)
		for i, at := range due {
			if !at.After(w.clock.Now()) {
				delete(due, i)
				tries++
				say(i)
			}
		}
	}
	if n := len(w.Messages("#ci")); n != burst+waiting || tries != waiting {
		t.Errorf("%d messages after %d tries in %d s, want %d after %d", n, tries, waiting, burst+waiting, waiting)
	}
}

// A Slack that takes no bursts gets each message once.
func TestStrictSlack(t *testing.T) {
	w := newFixtureOn(t, slacktest.Options{Strict: true})
	w.state.paced = true
	var outcomes []event.Outcome
	for i := range 10 {
		o := outcome(fmt.Sprintf("job-%d", i), event.ResultDone)
		outcomes = append(outcomes, o)
		w.persist(t, o, "#ci")
	}
	w.wantOnce(t, "#ci", outcomes...)
	if n := w.Calls("chat.postMessage"); n > 20 {
		t.Errorf("%d calls of chat.postMessage for 10 messages", n)
	}
}

// A 429 holds its method for its Retry-After, and no other method.
func TestRetryAfterIsOfOneMethod(t *testing.T) {
	w := newFixture(t)
	w.persist(t, outcome("unit", event.ResultDone), "#ci")
	w.Fail(slacktest.Fault{Method: "chat.update", Status: http.StatusTooManyRequests, RetryAfter: 30 * time.Second})
	edited := outcome("lint", event.ResultDone)
	for _, want := range []time.Duration{30 * time.Second, 20 * time.Second} {
		if got := again(t, w.notifier.Notify(t.Context(), edited, to("#ci", ""))); got != want {
			t.Errorf("the edit is tried again after %s, want %s", got, want)
		}
		if err := announcing(w, fmt.Sprint(want), "text")(); err != nil {
			t.Errorf("a post while edits are limited: %v", err)
		}
		w.clock.Advance(10 * time.Second)
	}
	if n := w.Calls("chat.update"); n != 1 {
		t.Errorf("chat.update was called %d times within its Retry-After", n)
	}
	w.clock.Advance(10 * time.Second)
	if err := w.notifier.Notify(t.Context(), edited, to("#ci", "")); err != nil {
		t.Errorf("after the Retry-After: %v", err)
	}
}
