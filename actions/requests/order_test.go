package requests_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/rights"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/actions/words"
)

// inSlack returns a harness in which the members of the group ci-ops of the simulated Slack
// are operators, and nobody else may do anything. Each time, another replica looks them up:
// what Slack has answered to one, the others do not know.
func inSlack(t *testing.T, members ...string) (h *actionstest.Harness, people []chatops.Person) {
	t.Helper()
	h = open(t, notices, func(p chatops.Person, to chatops.Target, does string) (string, error) {
		reader, err := slack.NewReader(slack.Config{Token: actionstest.SlackToken, APIURL: h.Slack.URL(), Now: h.Now, HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
		if err != nil {
			return "", err
		}
		refusal, err := rights.New(rights.Config{Slack: reader, Operators: []string{"@ci-ops"}, Now: h.Now}).MayOn(t.Context(), p, to, does)
		if err != nil || refusal == nil {
			return "", err
		}
		return refusal.Text(words.Plain)
	})
	var ids []string
	for _, name := range members {
		id := h.Slack.AddUser(name + "@example.com")
		ids = append(ids, id)
		people = append(people, chatops.Person{UserID: id, TeamID: slacktest.TeamID, Name: name})
	}
	h.Slack.AddGroup("ci-ops", ids...)
	return h, people
}

// TestRequestsOfAPersonKeepTheirOrder: Slack limits how often it says who people are, so that
// the first of two requests of a person waits. The second one, which undoes it, waits for
// it; those of others do not.
func TestRequestsOfAPersonKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ first, second, says, undoes string }{
		{"pause project platform/**", "resume project platform/**", "paused actions", "ended the pause"},
		{"mute channel #ci", "unmute channel #ci", "muted notifications", "ended the mute"},
		{"pause all", "pause all for 1h replace", "paused actions (`all`). ", "paused actions (`all`) until "},
	} {
		t.Run(c.first, func(t *testing.T) {
			t.Parallel()
			h, people := inSlack(t, "ada", "bob")
			ada, bob := people[0], people[1]
			h.Slack.Fail(slacktest.Fault{Method: "users.info", Status: http.StatusTooManyRequests, RetryAfter: 30 * time.Second, Times: 1})
			first := h.Type(ada, c.first)
			h.Work()
			h.Clock.Advance(time.Second)
			second, status, help := h.Type(ada, c.second), h.Type(ada, "status"), h.Type(ada, "help")
			other := h.Type(bob, "mute rule told")
			h.Work()
			h.WantReplies(first)
			h.WantReplies(second)
			h.WantReplies(status, "1 rule in force")
			h.WantReplies(help, "`/pipesteward why URL`")
			h.WantReplies(other, "muted notifications")
			for range 40 {
				h.Clock.Advance(time.Second)
				h.Work()
			}
			h.WantReplies(first, c.says)
			h.WantReplies(second, c.undoes)
			changes, err := h.Audit().List(t.Context())
			if err != nil || len(changes) != 3 || changes[0].From != "Slack request "+second.ID || changes[1].From != "Slack request "+first.ID {
				t.Errorf("changes %+v, %v; want 3, those of ada last and in order", changes, err)
			}
		})
	}
}

// TestHelpNeedsNobody: the text is the same for everybody, so that neither Slack nor GitLab
// is requested anything.
func TestHelpNeedsNobody(t *testing.T) {
	t.Parallel()
	h, people := inSlack(t, "ada")
	inGitLab := h.GitLab.Count("", "")
	for _, command := range []string{"help", "", "HELP me"} {
		r := h.Type(people[0], command)
		h.Work()
		h.WantReplies(r, "`/pipesteward why URL`…`/pipesteward status`")
	}
	guest := h.Type(actionstest.Eve, "help")
	h.Work()
	h.WantReplies(guest, "`/pipesteward why URL`")
	for _, method := range []string{"auth.test", "users.info", "usergroups.list", "usergroups.users.list"} {
		if n := h.Slack.Calls(method); n != 0 {
			t.Errorf("Slack gets %d requests to %s", n, method)
		}
	}
	if n := h.GitLab.Count("", "") - inGitLab; n != 0 {
		t.Errorf("GitLab gets %d requests", n)
	}
}
