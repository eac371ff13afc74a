package notify_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/metrics"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestMutedNoticesAreNotSent: the action goes on, the journal has by which mute its notice was
// kept from being sent, and what comes after the mute is sent.
func TestMutedNoticesAreNotSent(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	if _, err := h.Mutes().Mute(t.Context(), event.Mute{Channel: "ci", By: "ann", Reason: "noise", Until: h.Now().Add(time.Hour)}, false, ""); err != nil {
		t.Fatal(err)
	}
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	h.WorkOff()
	if n := h.GitLab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries while notifications were muted, want 1", n)
	}
	if posts := h.Posts(); len(posts) > 0 {
		t.Errorf("posted while muted: %q", posts)
	}
	sent := h.Only().Notifications
	if len(sent) != 1 || sent[0].Result != event.NotificationMuted || !strings.HasPrefix(sent[0].Muted, "muted (channel:ci) by ann: noise, until ") {
		t.Errorf("notifications %+v, want one that is muted", sent)
	}
	h.Clock.Advance(time.Hour)
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	h.WorkOff()
	if posts := h.Posts(); len(posts) != 1 {
		t.Errorf("posted after the mute: %q, want one message", posts)
	}
}

// TestKilledWhileAStateIsMuted: wherever the program dies, people who saw a state begin see it
// end once when the mute has ended, and nothing of what came and went in it.
func TestKilledWhileAStateIsMuted(t *testing.T) {
	t.Parallel()
	actionstest.KilledTwice(t, func(h *actionstest.Harness) {
		project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
		ends := func(status string) {
			h.Pipeline = h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			h.End("rspec", status, "script_failure")
			h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
			h.Clock.Advance(time.Second)
		}
		ends("failed")
		h.Work()
		if _, err := h.Mutes().Mute(h.Context(), event.Mute{Channel: "ci", By: "ann", Until: h.Now().Add(5 * time.Minute)}, false, ""); err != nil {
			h.Fatal(err)
		}
		ends("success")
		h.Work()
		ends("failed")
		h.Work()
		ends("success")
	}, `
version: 1
defaults: {channel: "#ci", group: false}
rules: [{name: red, on: pipeline, notify: [{state: pipeline.status == "failed", text: red, resolved: green}]}]
`, func(h *actionstest.Harness, when string) {
		posts := h.Posts()
		if len(posts) != 2 || !strings.Contains(posts[0], "red") || !strings.Contains(posts[1], "green") {
			h.Errorf("%s: posted %q, want red and green", when, posts)
		}
		if got := strings.Join(notificationResults(h), " "); got != "sent sent muted muted" {
			h.Errorf("%s: the journal has %s", when, got)
		}
	})
}

// notificationResults returns what came of all notifications, as the journal has it.
func notificationResults(h *actionstest.Harness) (results []string) {
	for _, o := range h.Outcomes() {
		for _, n := range o.Notifications {
			results = append(results, n.Result)
		}
	}
	return results
}

// TestKilledWhileAPipelineIsMuted: the message of a pipeline shows what came of its jobs while it
// was muted, also if the mute ends before Slack takes the edit; nobody is notified of it, and no
// message begins.
func TestKilledWhileAPipelineIsMuted(t *testing.T) {
	t.Parallel()
	actionstest.KilledTwice(t, func(h *actionstest.Harness) {
		seen := h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
		h.End("rspec", "failed", "script_failure")
		h.End("lint", "failed", "script_failure")
		h.Deliver(h.GitLab.JobHookBody(h.GitLab.Latest(seen.ID, "rspec").ID))
		h.Work()
		h.Clock.Advance(10 * time.Second)
		if _, err := h.Mutes().Mute(h.Context(), event.Mute{Channel: "ci", By: "ann", Until: h.Now().Add(time.Minute)}, false, ""); err != nil {
			h.Fatal(err)
		}
		h.Slack.Fail(slacktest.Fault{Method: "chat.update", Status: http.StatusTooManyRequests, RetryAfter: 2 * time.Minute, Times: 1})
		h.Deliver(h.GitLab.JobHookBody(h.GitLab.Latest(seen.ID, "lint").ID))
		unseen := h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "unit"})
		h.End("unit", "failed", "script_failure")
		h.Deliver(h.GitLab.JobHookBody(h.GitLab.Latest(unseen.ID, "unit").ID))
	}, `
version: 1
defaults: {channel: "#ci"}
rules: [{name: tell, on: job, notify: [{text: "{{ job.name }} {{ job.status }}"}]}]
`, func(h *actionstest.Harness, when string) {
		messages := h.Slack.Messages("ci")
		if len(messages) != 1 || !strings.Contains(messages[0].Plain(), "rspec failed") || !strings.Contains(messages[0].Plain(), "lint failed") {
			h.Errorf("%s: Slack has %+v, want one message with rspec and lint", when, messages)
		}
		if got := strings.Join(notificationResults(h), " "); got != "sent muted muted" {
			h.Errorf("%s: the journal has %s", when, got)
		}
	})
}

// TestMutesThatCantBeRead: notices wait until all mutes are ended.
func TestMutesThatCantBeRead(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, actionstest.RetryRules)
	if err := h.DB.Set(t.Context(), "mutes", []byte("{"), time.Hour); err != nil {
		t.Fatal(err)
	}
	h.Deliver(h.GitLab.JobHookBody(h.FailedJob(actionstest.Stuck).ID))
	h.PassTime()
	if posts := h.Posts(); len(posts) > 0 || h.Idle() {
		t.Errorf("posted %q, idle %t, want a notice that waits", posts, h.Idle())
	}
	if _, err := h.Mutes().UnmuteAll(t.Context(), event.Actor{By: "ann"}); err != nil {
		t.Fatal(err)
	}
	h.WorkOff()
	if posts := h.Posts(); len(posts) != 1 {
		t.Errorf("posted %q, want one message", posts)
	}
}

// announced is a receiver that notes announcements.
type announced struct{ texts []string }

func (*announced) Notify(context.Context, event.Outcome, event.Notice) error { return nil }

func (*announced) Message(context.Context, event.Outcome, event.Notice) (string, bool, error) {
	return "", false, nil
}

func (a *announced) Announce(_ context.Context, _, _, text string) error {
	a.texts = append(a.texts, text)
	return nil
}

// TestMutedAnnouncements: announcements are muted with their channel, and not with a rule.
func TestMutedAnnouncements(t *testing.T) {
	t.Parallel()
	for scope, posts := range map[event.Mute]int{{Channel: "ci"}: 0, {}: 0, {Channel: "ops"}: 1, {Rule: "retry-stuck"}: 1, {Project: "**"}: 1} {
		h := actionstest.New(t, actionstest.RetryRules)
		if _, err := h.Mutes().Mute(t.Context(), scope, false, ""); err != nil {
			t.Fatal(err)
		}
		receiver := &announced{}
		n := notify.New(notify.Config{
			Receivers: notify.Named(map[string]notify.Receiver{event.ReceiverSlack: receiver}), Mutes: pause.Mutes{Store: h.DB, Now: h.Now}, Metrics: metrics.New(prometheus.NewRegistry()), Now: h.Now, Log: slog.New(slog.DiscardHandler),
		})
		if err := n.Announce(t.Context(), "key", event.Notice{Address: event.Address{Receiver: event.ReceiverSlack, Channel: "#ci"}, Text: "text"}, h.Now()); err != nil {
			t.Fatal(err)
		}
		if len(receiver.texts) != posts {
			t.Errorf("muted %s: %d announcements were posted, want %d", scope.Scope(), len(receiver.texts), posts)
		}
	}
}
