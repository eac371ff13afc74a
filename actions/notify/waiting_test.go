package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const twoChannels = `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - {name: r, on: job, if: 'job.status == "failed"', actions: [retry], notify: [{when: [failed]}, {when: [failed], channel: "#other"}]}
`

// pass lets the program work for a while: at 200 points in time, or each second.
func pass(h *actionstest.Harness, span time.Duration) {
	step := max(span/200, time.Second)
	for range int(span / step) {
		h.Work()
		h.Clock.Advance(step)
	}
}

func status(h *actionstest.Harness) notify.Status {
	h.Helper()
	s, err := h.Runner.Undelivered(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return s
}

// notifications returns those of the outcomes in the journal to a channel.
func notifications(h *actionstest.Harness, channel string) (all []event.Notification) {
	for _, o := range h.Outcomes() {
		for _, n := range o.Notifications {
			if n.Channel == channel {
				all = append(all, n)
			}
		}
	}
	return all
}

// What is sent to a channel without the bot waits and is seen, the channel is tried at
// growing intervals, and all is sent once when the bot is invited. Another channel is not
// affected.
func TestNoticesWaitUntilTheBotIsInvited(t *testing.T) {
	t.Parallel()
	const n = 5
	h := actionstest.New(t, twoChannels)
	h.Slack.AddChannel(slacktest.Channel{Name: "ci", NotMember: true})
	queueOutcomes(h, n)
	pass(h, 10*time.Hour)
	if got := len(h.Slack.Messages("other")); got != n {
		t.Errorf("%d messages in the other channel, want %d", got, n)
	}
	// Each hour at last; before, up to n at once, then after 1, 2, 4, 8, 16, 32 minutes.
	if calls := h.Slack.Calls("chat.postMessage") - n; calls < 12 || calls > n+16 {
		t.Errorf("the channel was tried %d times in 10 hours", calls)
	}
	s := status(h)
	if len(s.Addresses) != 1 || s.Waiting != n || s.Addresses[0].Channel != "#ci" || s.Addresses[0].Waiting != n || !strings.Contains(s.Addresses[0].Error, "invite the bot") {
		t.Errorf("status %+v", s)
	}
	for _, got := range notifications(h, "#ci") {
		if got.Result != event.NotificationWaiting || !strings.Contains(got.Error, "not_in_channel") {
			t.Errorf("in the journal: %+v", got)
		}
	}
	h.Slack.AddChannel(slacktest.Channel{Name: "ci", Archived: true})
	pass(h, 2*time.Hour)
	if s := status(h); !strings.Contains(s.Summary, "5 notifications wait: ") || !strings.Contains(s.Summary, "is_archived") {
		t.Errorf("the summary %q lacks the new error", s.Summary)
	}
	const refuses, again = "an address refuses notifications", "an address takes notifications again"
	if n := strings.Count(h.Logs.String(), refuses); n != 1 || !strings.Contains(h.Logs.String(), "invite the bot") || strings.Contains(h.Logs.String(), again) {
		t.Errorf("the log says %d times that the address refuses, want once, with what to do\n%s", n, h.Logs)
	}
	for _, got := range notifications(h, "#ci") {
		if !strings.Contains(got.Error, "is_archived") {
			t.Errorf("in the journal: %+v, want the new error", got)
		}
	}

	h.Slack.AddChannel(slacktest.Channel{Name: "ci"})
	pass(h, time.Hour+time.Minute)
	if got := len(h.Slack.Messages("ci")); got != n {
		t.Errorf("%d messages, want %d", got, n)
	}
	for _, got := range notifications(h, "#ci") {
		if got.Result != event.NotificationSent || got.Error != "" {
			t.Errorf("in the journal: %+v", got)
		}
	}
	if n := strings.Count(h.Logs.String(), again); n != 1 {
		t.Errorf("the log says %d times that the address works again, want once\n%s", n, h.Logs)
	}
	if s := status(h); s.Waiting != 0 || len(s.Addresses) != 0 || s.Summary != "" || !h.Idle() {
		t.Errorf("status %+v; the queue is empty: %v", s, h.Idle())
	}
}

// TestKilledWhileANoticeBeginsToWait: wherever the program dies, a notice that is sent at the
// next try does not count among those that wait, also if many others begin to wait before.
func TestKilledWhileANoticeBeginsToWait(t *testing.T) {
	await.Long(t, "a hundred notices are sent for each step at which the program dies")
	await.Unraced(t, "it handles record after record in one goroutine")
	t.Parallel()
	const all = 100
	for steps := 1; ; steps += *actionstest.KillEach {
		fuse := actionstest.NewFuse(steps)
		h := actionstest.New(t, notifyRules)
		h.Start(fuse)
		h.Slack.AddChannel(slacktest.Channel{Name: "ci", NotMember: true})
		queueOutcomes(h, 1)
		pass(h, 2*time.Second)
		died := fuse.Blown()
		h.Start(actionstest.NewFuse(-1))
		h.Clock.Advance(time.Minute) // its claims expire, and it had the lease later than those
		if _, err := h.DB.Lease(t.Context(), 1, time.Minute); err != nil {
			t.Fatal(err)
		}
		queueOutcomes(h, all)
		pass(h, 5*time.Second)
		h.Clock.Advance(time.Minute)
		h.Slack.AddChannel(slacktest.Channel{Name: "ci"})
		h.Runner.Reconnect(event.ReceiverSlack)
		pass(h, 10*time.Minute)
		if s := status(h); len(h.Slack.Messages("ci")) != all || len(s.Addresses) > 0 || !h.Idle() {
			t.Errorf("dies after %d steps: %d messages, status %+v", steps, len(h.Slack.Messages("ci")), s)
		}
		if !died {
			return
		}
	}
}

// A revoked token is one trouble of all channels: one call at a time probes. A new token,
// and a restart, try at once.
func TestRevokedTokenHoldsAllOfSlack(t *testing.T) {
	t.Parallel()
	const n = 10
	h := actionstest.New(t, twoChannels)
	h.Slack.Revoke("token_revoked")
	queueOutcomes(h, n)
	pass(h, 2*time.Minute)
	if calls := h.Slack.Calls("chat.postMessage"); calls > 3 {
		t.Errorf("%d calls in 2 minutes", calls)
	}
	pass(h, time.Hour)
	if s := status(h); s.Waiting != 2*n || len(s.Addresses) != 2 || strings.Count(s.Summary, "the bot token was revoked") != 1 {
		t.Errorf("status %+v", s)
	}
	if n := strings.Count(h.Logs.String(), `"level":"ERROR"`); n != 1 {
		t.Errorf("%d errors in the log, want one:\n%s", n, h.Logs)
	}
	before := h.Slack.Calls("chat.postMessage")
	h.Start(actionstest.NewFuse(-1))
	pass(h, 12*time.Second)
	if calls := h.Slack.Calls("chat.postMessage") - before; calls != 1 {
		t.Errorf("%d calls after a restart, want 1", calls)
	}
	h.Slack.SetToken(actionstest.SlackToken)
	h.Runner.Reconnect(event.ReceiverSlack)
	pass(h, time.Minute)
	if a, b := len(h.Slack.Messages("ci")), len(h.Slack.Messages("other")); a != n || b != n || !h.Idle() {
		t.Errorf("%d and %d messages within a minute, want %d each", a, b, n)
	}
}

// fussyReceiver refuses what can be mended until it is.
type fussyReceiver struct {
	mended        bool
	sent          []string
	announcements []string
	announcing    func() // is called during an announcement; may be nil
}

type fussyError struct{}

func (fussyError) Error() string  { return "invite me" }
func (fussyError) Mendable() bool { return true }

func (f *fussyReceiver) Notify(_ context.Context, o event.Outcome, _ event.Notice) error {
	if !f.mended {
		return fussyError{}
	}
	f.sent = append(f.sent, o.ID)
	return nil
}

func (f *fussyReceiver) Message(_ context.Context, o event.Outcome, _ event.Notice) (string, bool, error) {
	return o.ID, false, nil
}

func (f *fussyReceiver) Announce(_ context.Context, _, _, text string) error {
	if !f.mended {
		return fussyError{}
	}
	if f.announcing != nil {
		f.announcing()
	}
	f.announcements = append(f.announcements, text)
	return nil
}

// The oldest are dropped when more wait than may, and all after 7 days; the channel gets
// to know how many as soon as it can be notified, in the language of what it gets.
func TestOldNoticesAreDroppedWithANote(t *testing.T) {
	t.Parallel()
	const most, queued = 20, 30
	h := actionstest.New(t, notifyRules)
	f := &fussyReceiver{}
	n := notify.New(notify.Config{
		Journal: h.DB, Queue: h.DB, Guard: h.DB, Mutes: h.Mutes(), Receivers: notify.Named(map[string]notify.Receiver{event.ReceiverSlack: f}), Metrics: noMetrics{}, Now: h.Now, Log: slog.New(slog.NewJSONHandler(h.Logs, nil)), MaxWaiting: most,
	})
	pool := worker.New(worker.Config{Queue: h.DB, Handlers: map[string]worker.Handler{event.RecordNotice: worker.JSON(n.HandleNotice)}, Log: slog.New(slog.DiscardHandler)})
	put := func(id string) {
		to := event.Address{Receiver: event.ReceiverSlack, Channel: "#ci"}
		rec := notify.NoticeRecord{Notice: event.Notice{Address: to, Language: event.Chinese}}
		rec.ID, rec.At, rec.Notifications = id, h.Now(), []event.Notification{{Address: to, Result: event.NotificationWaiting}}
		body, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		entry, _ := json.Marshal(rec.Outcome)
		if err := h.DB.Amend(t.Context(), id, entry); err != nil {
			t.Fatal(err)
		}
		if _, err := h.DB.Put(t.Context(), store.Record{ID: "notice:" + id, Kind: event.RecordNotice, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	run := func(span time.Duration) {
		for range int(span / (10 * time.Second)) {
			for {
				leases, err := h.DB.Lease(t.Context(), 1, worker.Visibility)
				if err != nil {
					t.Fatal(err)
				}
				if len(leases) == 0 {
					break
				}
				pool.Work(t.Context(), leases[0])
			}
			h.Clock.Advance(10 * time.Second)
		}
	}
	for i := range queued {
		put(fmt.Sprintf("old-%02d", i))
		run(10 * time.Second)
	}
	run(10 * time.Minute)
	s, err := n.Status(t.Context())
	if err != nil || s.Waiting != most || s.Addresses[0].Dropped != queued-most {
		t.Fatalf("status %+v, %v; want %d to wait and %d to be dropped", s, err, most, queued-most)
	}
	failed := 0
	for i, o := range h.Outcomes() {
		state := o.Notifications[0]
		if old := i < queued-most; old != (state.Result == event.NotificationFailed) { // oldest first
			t.Errorf("%s: %s %s", o.ID, state.Result, state.Error)
		}
		if state.Result == event.NotificationFailed {
			failed++
			if state.Error != "dropped: 20 newer notifications wait for the address: invite me" {
				t.Errorf("%s failed because of %q", o.ID, state.Error)
			}
		}
	}
	if got := strings.Count(h.Logs.String(), `"level":"WARN","msg":"a notification was dropped"`); failed != queued-most || got != failed {
		t.Errorf("%d failed, %d are in the log, want %d", failed, got, queued-most)
	}

	h.Clock.Advance(7 * 24 * time.Hour)
	run(5 * time.Minute)
	if s, _ = n.Status(t.Context()); s.Waiting != 0 || s.Addresses[0].Dropped != queued || !h.Idle() {
		t.Fatalf("after 7 days: %+v", s)
	}
	f.mended = true
	f.announcing = func() { // others may change the counts meanwhile
		free, err := store.WithClaim(t.Context(), h.DB, keys.Undelivered, time.Minute, func() error { return nil })
		if !free || err != nil {
			t.Errorf("the counts are claimed while a receiver is called: %v", err)
		}
	}
	h.Clock.Advance(time.Hour)
	put("new")
	run(time.Minute)
	if len(f.sent) != 1 || len(f.announcements) != 1 || !strings.Contains(f.announcements[0], "已丢弃 30 条较早的通知") {
		t.Errorf("sent %q and announced %q", f.sent, f.announcements)
	}
	if s, _ = n.Status(t.Context()); len(s.Addresses) != 0 {
		t.Errorf("status %+v after all is well", s)
	}

	f.mended = false
	if err := n.Announce(t.Context(), "storm", event.Notice{Address: event.Address{Receiver: event.ReceiverSlack, Channel: "#ci"}, Text: "A storm"}, h.Now()); err != nil {
		t.Errorf("an announcement that waits: %v", err)
	}
	run(time.Minute)
	f.mended = true
	run(time.Hour)
	if f.announcements[len(f.announcements)-1] != "A storm" || !h.Idle() {
		t.Errorf("announced %q", f.announcements)
	}

	f.mended = false
	put("dropped by a person")
	run(time.Minute)
	if err := h.DB.Drop(t.Context(), "notice:dropped by a person", store.Changes{}); err != nil {
		t.Fatal(err)
	}
	f.mended = true
	for range 2 {
		n.Reconnect(event.ReceiverSlack)
		put(h.Now().String())
		run(10 * time.Second)
		h.Clock.Advance(5 * time.Hour)
	}
	if s, _ = n.Status(t.Context()); s.Waiting != 0 || len(s.Addresses) != 0 {
		t.Errorf("status %+v, long after a person dropped the only notice that waited", s)
	}
}

// TestStatusNamesAddresses: the status names the first five addresses that refuse, each with what
// to do.
func TestStatusNamesAddresses(t *testing.T) {
	t.Parallel()
	var entries []string
	h := actionstest.New(t, twoChannels)
	for i := range 7 {
		name := fmt.Sprintf("team-%d", i)
		h.Slack.AddChannel(slacktest.Channel{Name: name, NotMember: true})
		entries = append(entries, fmt.Sprintf("{when: [failed], channel: %q}", "#"+name))
	}
	h.Load("version: 1\ndefaults: {group: false}\nrules: [{name: r, on: job, actions: [retry], notify: ["+strings.Join(entries, ", ")+"]}]\n", rulefile.Options{})
	queueOutcomes(h, 1)
	pass(h, time.Minute)
	if s := status(h); strings.Count(s.Summary, "invite the bot") != 5 || !strings.HasSuffix(s.Summary, "; and 2 addresses more") {
		t.Errorf("the summary is %q", s.Summary)
	}
}
