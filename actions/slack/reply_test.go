package slack_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
)

// typed is a command that a user typed, and what is stored of it.
func typed(w *fixture) (slacktest.Arrival, chatops.Request) {
	a := w.Command(slacktest.Command{User: w.AddUser("ada@example.com"), Channel: w.Channel("#ci"), Text: "status"})
	return a, chatops.Request{ID: "r1", At: chatops.Place{Channel: w.Channel("#ci")}, ReplyURL: a.ResponseURL, ReceivedAt: w.clock.Now()}
}

func TestReply(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	a, r := typed(w)
	inThread := r
	inThread.At.Thread = "1700000000.000100"
	for _, reply := range []struct {
		to chatops.Request
		chatops.Reply
	}{
		{r, chatops.Reply{Text: "all is well"}},
		{inThread, chatops.Reply{Text: "for all", Public: true}},
		{r, chatops.Reply{Text: strings.Repeat("é", 5000)}},
	} {
		if err := w.notifier.Reply(t.Context(), reply.to, reply.Reply); err != nil {
			t.Fatal(err)
		}
	}
	said := w.Replies()
	if len(said) != 3 || len(said[2].Text) > 4000 {
		t.Fatalf("%d replies: %+v", len(said), said)
	}
	for i, want := range []slacktest.Reply{{Text: "all is well"}, {Text: "for all", Public: true, Thread: "1700000000.000100"}} {
		if said[i].To.ResponseURL != a.ResponseURL {
			t.Errorf("reply %d goes to %s", i, said[i].To.ResponseURL)
		}
		said[i].To = slacktest.Arrival{}
		if diff := cmp.Diff(want, said[i], cmp.AllowUnexported(slacktest.Arrival{})); diff != "" {
			t.Errorf("reply %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestRepliesThatAreTooLateAreDropped(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	_, r := typed(w)
	reply := func(r chatops.Request) {
		t.Helper()
		if err := w.notifier.Reply(t.Context(), r, chatops.Reply{Text: "so"}); err != nil {
			t.Errorf("reply: %v", err)
		}
	}
	for range 7 { // Slack takes 5
		reply(r)
	}
	w.clock.Advance(31 * time.Minute)
	reply(r)
	slow := r
	slow.ReceivedAt = w.clock.Now() // the clocks differ
	reply(slow)
	reply(chatops.Request{ReceivedAt: w.clock.Now()}) // without an address
	if n := len(w.Replies()); n != 5 {
		t.Errorf("%d replies, want 5", n)
	}
}

// TestLateRepliesToAll: after Slack takes no replies, they are in the thread of the button's
// message, once each.
func TestLateRepliesToAll(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	_, r := typed(w)
	if err := w.notifier.Announce(t.Context(), "root", "#ci", "a message"); err != nil {
		t.Fatal(err)
	}
	root := w.Messages("ci")[0]
	r.At.Message = root.TS
	w.clock.Advance(31 * time.Minute)
	for range 2 {
		if err := w.notifier.Reply(t.Context(), r, chatops.Reply{Text: "for all", Public: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.notifier.Reply(t.Context(), r, chatops.Reply{Text: "for one"}); err != nil {
		t.Fatal(err)
	}
	if got := w.Messages("ci"); len(got) != 2 || got[1].ThreadTS != root.TS || got[1].Text != "for all" || len(w.Replies()) > 0 {
		t.Errorf("posted %+v, replies %+v; want one in the thread", got, w.Replies())
	}
}

func TestRepliesThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault slacktest.Fault
		code  string
		again bool
	}{
		"limited":      {slacktest.Fault{Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Second}, "ratelimited", true},
		"Slack fails":  {slacktest.Fault{Status: http.StatusBadGateway}, "http_502", true},
		"no answer":    {slacktest.Fault{Cut: true}, "network", true},
		"refused":      {slacktest.Fault{Error: "no_service"}, "no_service", false},
		"a redirect":   {slacktest.Fault{Redirect: "http://127.0.0.1:1/steal"}, "http_307", false},
		"not Slack":    {slacktest.Fault{Status: http.StatusForbidden}, "http_403", false},
		"no such link": {slacktest.Fault{Error: "channel_not_found"}, "channel_not_found", false},
	} {
		w := newFixture(t)
		_, r := typed(w)
		c.fault.Method = "response_url"
		w.Fail(c.fault)
		err := w.notifier.Reply(t.Context(), r, chatops.Reply{Text: "so"})
		e, is := errors.AsType[*slack.Error](err)
		if !is {
			t.Errorf("%s: %v is no *slack.Error", name, err)
			continue
		}
		after, again := e.Again()
		if e.Code != c.code || again != c.again || c.fault.RetryAfter != 0 && after != c.fault.RetryAfter {
			t.Errorf("%s: %v, again %t after %s", name, err, again, after)
		}
		if strings.Contains(err.Error(), r.ReplyURL) {
			t.Errorf("%s: the error has the address for replies: %v", name, err)
		}
	}
}

// A reply goes to Slack and to nobody else.
func TestRepliesGoToSlackOnly(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	own, err := slack.New(slack.Config{Token: token, State: w.state, Now: w.clock.Now, HTTPClient: &http.Client{Transport: refusing{}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		address string
		goes    bool
	}{
		{"https://hooks.slack.com/actions/T1/2/3", true},
		{"http://hooks.slack.com/actions/T1/2/3", false},
		{"https://hooks.slack.com.example.com/actions/T1/2/3", false},
		{"https://user@hooks.slack.com/actions/T1/2/3", false},
		{"https://hooks.slack.com:8443/actions/T1/2/3", false},
		{"http://169.254.169.254/latest", false},
		{"file:///etc/passwd", false},
		{"://", false},
	} {
		err := own.Reply(t.Context(), chatops.Request{ReplyURL: c.address, ReceivedAt: w.clock.Now()}, chatops.Reply{Text: "so"})
		e, _ := errors.AsType[*slack.Error](err)
		if e == nil || (e.Code == "invalid_url") == c.goes {
			t.Errorf("%s: %v", c.address, err)
		}
	}
}

// refusing sends nothing.
type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nothing is sent")
}

func TestUsersAndGroups(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	r := w.notifier.Reader()
	ada := w.AddUser("ada@example.com")
	group := w.AddGroup("ci-ops", ada)
	guest := w.AddPerson(slacktest.Person{Name: "Guest", Email: "guest@example.com", OneChannel: true, Team: "T2", Enterprise: "E1", Stranger: true, Deleted: true, Bot: true})
	unproven := w.AddPerson(slacktest.Person{Name: "Una", Email: "una@example.com", Unproven: true})
	for id, want := range map[string]slack.User{
		unproven: {ID: unproven, Name: "Una", TeamID: slacktest.TeamID},
		ada:      {ID: ada, Name: "ada@example.com", Email: "ada@example.com", TeamID: slacktest.TeamID},
		guest:    {ID: guest, Name: "Guest", Email: "guest@example.com", TeamID: "T2", Enterprise: "E1", Guest: true, Stranger: true, Deleted: true, Bot: true},
	} {
		got, err := r.User(t.Context(), id)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	}
	groups, err := r.Groups(t.Context())
	if groups["ci-ops"] != group || err != nil {
		t.Errorf("groups %v, %v", groups, err)
	}
	members, err := r.GroupMembers(t.Context(), group)
	if len(members) != 1 || members[0] != ada || err != nil {
		t.Errorf("members %v, %v", members, err)
	}
	var e *slack.Error
	if _, err := r.User(t.Context(), "U0"); !errors.As(err, &e) || e.Code != "user_not_found" {
		t.Errorf("no such user: %v", err)
	}
	if _, err := r.GroupMembers(t.Context(), "S0"); !errors.As(err, &e) || e.Code != "no_such_subteam" {
		t.Errorf("no such group: %v", err)
	}
	if err := r.OpenConnection(t.Context(), "xapp-1-secret"); err != nil {
		t.Errorf("open a connection: %v", err)
	}
	w.SetAppToken("xapp-another")
	if err := r.OpenConnection(t.Context(), "xapp-1-secret"); !errors.As(err, &e) || e.Code != "invalid_auth" || strings.Contains(err.Error(), "xapp-1") {
		t.Errorf("a wrong app token: %v", err)
	}
	if slack.CheckAppToken("xoxb-1") == nil || slack.CheckAppToken("") == nil || slack.CheckAppToken("xapp-1-x") != nil {
		t.Error("CheckAppToken is wrong")
	}
}
