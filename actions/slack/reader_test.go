package slack_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
)

func newReader(t *testing.T, o slacktest.Options) (*slack.Reader, *slacktest.Server) {
	t.Helper()
	server, err := slacktest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	r, err := slack.NewReader(slack.Config{Token: "xoxb-reader", APIURL: server.URL(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return r, server
}

func TestBot(t *testing.T) {
	r, _ := newReader(t, slacktest.Options{Scopes: []string{"chat:write", "channels:read"}})
	bot, err := r.Bot(t.Context())
	want := slack.Bot{Team: "Simulated", TeamID: slacktest.TeamID, User: "pipesteward", Scopes: []string{"chat:write", "channels:read"}}
	if diff := cmp.Diff(want, bot); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	if !bot.May("chat:write") || bot.May("groups:read") || !(slack.Bot{}).May("groups:read") {
		t.Error("May is wrong")
	}
	r, _ = newReader(t, slacktest.Options{Token: "xoxb-another"})
	if _, err := r.Bot(t.Context()); err == nil || !strings.Contains(err.Error(), "invalid_auth") || strings.Contains(err.Error(), "xoxb-reader") {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestChannels(t *testing.T) {
	r, server := newReader(t, slacktest.Options{})
	id := server.AddChannel(slacktest.Channel{Name: "by-id", Archived: true})
	server.AddChannel(slacktest.Channel{Name: "in"})
	server.AddChannel(slacktest.Channel{Name: "out", NotMember: true})
	server.AddChannel(slacktest.Channel{Name: "secret", Private: true})
	server.AddChannel(slacktest.Channel{Name: "theirs", Private: true, NotMember: true})
	bot, err := r.Bot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, whole, err := r.Channels(t.Context(), bot, []string{"#in", "out", "#secret", "#theirs", "#nowhere", id, "C0000000099"})
	want := map[string]slack.Channel{
		"#in":         {Name: "in", Found: true, Member: true},
		"out":         {Name: "out", Found: true},
		"#secret":     {Name: "secret", Found: true, Member: true, Private: true},
		id:            {Name: "by-id", Found: true, Member: true, Archived: true},
		"C0000000099": {},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || !whole {
		t.Errorf("%v, whole %t, -want +got:\n%s", err, whole, diff)
	}
	if len(server.Posts()) != 0 {
		t.Error("something was posted")
	}
}
