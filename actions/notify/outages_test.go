package notify_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// slackOutages are all ways in which Slack fails for a while, by itself.
var slackOutages = []struct {
	name   string
	faults []slacktest.Fault // nil: the token is revoked
}{
	{"limits posts", []slacktest.Fault{{Method: "chat.postMessage", Status: http.StatusTooManyRequests, RetryAfter: 30 * time.Second, Times: 3}}},
	{"limits edits", []slacktest.Fault{{Method: "chat.update", Status: http.StatusTooManyRequests, RetryAfter: 90 * time.Second, Times: 3}}},
	{"limits without saying for how long", []slacktest.Fault{{Method: "chat.postMessage", Status: http.StatusTooManyRequests, Times: 3}, {Method: "chat.postMessage", Error: "ratelimited", Times: 3}}},
	{"is down", []slacktest.Fault{{Status: http.StatusInternalServerError, Times: 4}, {Status: http.StatusBadGateway, Times: 4}, {Status: http.StatusServiceUnavailable, Times: 4}}},
	{"is down after the effect", []slacktest.Fault{{Method: "chat.postMessage", AfterEffect: true, Status: http.StatusBadGateway, Times: 2}, {Method: "chat.update", AfterEffect: true, Status: http.StatusServiceUnavailable, Times: 2}}},
	{"fails by its own account", []slacktest.Fault{{Method: "chat.postMessage", Error: "internal_error", Times: 3}, {Method: "chat.postMessage", AfterEffect: true, Error: "fatal_error", Times: 2}, {Method: "chat.update", Error: "service_unavailable", Times: 2}}},
	{"hangs", []slacktest.Fault{{Method: "chat.postMessage", Delay: time.Minute, Cut: true}, {Method: "chat.postMessage", AfterEffect: true, Delay: time.Minute, Cut: true}, {Method: "chat.update", Delay: time.Minute, Cut: true}}},
	{"resets connections", []slacktest.Fault{{Method: "chat.postMessage", Cut: true, Times: 2}, {Method: "chat.postMessage", AfterEffect: true, Cut: true, Times: 3}, {Method: "chat.update", AfterEffect: true, Cut: true, Times: 2}, {Method: "conversations.history", Cut: true, Times: 2}}},
	{"is a portal that redirects", []slacktest.Fault{{Redirect: "https://portal.example.com/login", Times: 6}}},
	{"is a proxy's page", []slacktest.Fault{{Body: "<html>maintenance</html>", Times: 6}, {Status: http.StatusForbidden, Times: 3}, {Status: http.StatusNotFound, Times: 3}, {Status: http.StatusProxyAuthRequired, Times: 3}}},
	{"knows the token no more", nil},
	{"answers with half of its JSON", []slacktest.Fault{{Method: "chat.postMessage", AfterEffect: true, Body: `{"ok": true, "channel": "C`, Times: 3}, {Method: "chat.postMessage", Body: `{"ok": true}`, Times: 2}}},
}

// closedChannels are channels that the bot can't post to, until a person opens them.
var closedChannels = []slacktest.Channel{
	{Name: "private", Private: true, NotMember: true}, // channel_not_found
	{Name: "public", NotMember: true},                 // not_in_channel
	{Name: "archived", Archived: true},
}

// TestSlackFailsInEveryWay: failures of many pipelines, in four channels, with two replicas
// and a Slack that fails in every way, in which people open channels and rotate the token one
// after the other. There is one message at most for each pipeline and one digest for each minute
// and channel, and once all is mended, nothing is lost or sent twice.
func TestSlackFailsInEveryWay(t *testing.T) {
	await.Long(t, "hours pass until all is mended")
	await.Unraced(t, "both replicas handle record after record in one goroutine")
	t.Parallel()
	rounds, pipelines, each := 1, 2, 2
	if *full { // 2,000 failures in 200 pipelines
		rounds, pipelines, each = 3, 3, 10
	}
	h := actionstest.New(t, strings.Replace(burstRules, `"#ci"}`, `"#{{ project.namespace }}", group: {burst: 1}}`, 1))
	h.Patience = time.Second
	h.Start(actionstest.NewFuse(-1))
	both := []*actions.Runner{h.Runner, h.Replica(actionstest.NewFuse(-1))}
	channels := []string{"open"}
	for _, c := range closedChannels {
		h.Slack.AddChannel(c)
		channels = append(channels, c.Name)
	}
	minutes, all := 0, 0
	pass := func(n int, step time.Duration) {
		h.Pass(time.Duration(n)*time.Minute, step, both...)
		minutes += n
	}
	mended := func() {
		h.Slack.ClearFaults()
		h.Slack.SetToken(actionstest.SlackToken) // another one, which the replicas have by then
		for _, r := range both {
			r.Reconnect("slack")
		}
	}
	for round := range rounds {
		for i, outage := range slackOutages {
			if round == 0 { // else they accumulate
				mended()
			}
			for _, f := range outage.faults {
				h.Slack.Fail(f)
			}
			if outage.faults == nil {
				h.Slack.Revoke("token_revoked")
			}
			for j, channel := range channels {
				if n := pipelines * (1 - (i+j)%2); n > 0 {
					failsIn(h, channel, n, each)
					all += n
				}
			}
			pass(1, 10*time.Second)
		}
	}
	mended()
	for _, c := range closedChannels {
		h.Slack.AddChannel(slacktest.Channel{Name: c.Name, Private: c.Private})
		pass(20, time.Minute)
	}
	for range 10 {
		if h.Idle() {
			break
		}
		pass(60, time.Minute)
	}
	roots, digests := wantToldIn(h, "in the end", all*each, channels...)
	t.Logf("%d pipelines: %d messages, %d digests in %d minutes", all, roots, digests, minutes)
	if roots > all || digests > minutes*len(channels) || !h.Idle() {
		t.Errorf("%d messages and %d digests of %d pipelines in %d minutes, idle: %t", roots, digests, all, minutes, h.Idle())
	}
	for _, channel := range channels {
		wantEachOnce(h, channel)
	}
}

// wantEachOnce checks that no post is in a channel twice.
func wantEachOnce(h *actionstest.Harness, channel string) {
	h.Helper()
	texts := map[string]string{}
	for _, m := range h.Slack.Messages(channel) {
		id, _ := m.Metadata.EventPayload["id"].(string)
		if before, twice := texts[id]; twice {
			h.Errorf("#%s has %s twice:\n%s\n%s", channel, id, before, m.TS+" "+m.Plain())
		}
		texts[id] = m.TS + " " + m.Plain()
	}
}
