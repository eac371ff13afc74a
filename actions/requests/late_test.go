package requests_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
)

// TestRequestsThatComeTooLate: what people requested to be done in GitLab, and no replica has
// handled while they could read a reply, is not done; the thread of the message and the log say
// so. What changes nothing in GitLab is handled.
func TestRequestsThatComeTooLate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		does   string
		status string // of the job; "manual" and "running" are as it begins
		after  time.Duration
		done   bool
	}{
		{chatops.ButtonRetry, "failed", 28 * time.Minute, true},
		{chatops.ButtonRetry, "failed", 29 * time.Minute, false},
		{chatops.ButtonRetry, "failed", 6 * time.Hour, false},
		{chatops.ButtonPlay, "manual", 6 * time.Hour, false},
		{chatops.ButtonCancel, "running", 6 * time.Hour, false},
		{"", "failed", 6 * time.Hour, false}, // the command
	} {
		t.Run(c.does+" after "+c.after.String(), func(t *testing.T) {
			t.Parallel()
			h := open(t, notices, actionstest.Everybody)
			var job gitlabtest.Job
			switch c.status {
			case "manual":
				job = told(h, gitlabtest.Job{When: "manual"}, "")
			case "running":
				job = told(h, job, "")
			default:
				job = told(h, job, c.status)
			}
			root := h.Slack.Messages("ci")[0]
			var r chatops.Request
			if c.does == "" {
				r = h.Type(actionstest.Ada, "retry "+h.GitLab.URL()+"/platform/shop/-/jobs/"+itoa(job.ID))
			} else {
				r = h.Press(actionstest.Ada, c.does)
			}
			h.Clock.Advance(c.after)
			h.Slack.Fail(slacktest.Fault{Method: "chat.postMessage", Status: http.StatusTooManyRequests, RetryAfter: 30 * time.Second, Times: 1})
			h.WorkOff()
			if n := h.GitLab.Count(http.MethodPost, ""); n > 0 != c.done {
				t.Errorf("GitLab gets %d requests to change the job, want some: %t", n, c.done)
			}
			all := h.Replies(r) // Slack takes one for a minute more
			for _, m := range h.Slack.Messages("ci")[1:] {
				if m.ThreadTS == root.TS {
					all = append(all, m.Text)
				}
			}
			said := strings.Join(all, "\n")
			want := "<@" + actionstest.Ada.UserID + "> requested `" + c.does + "` at "
			if strings.Contains(said, want) != (!c.done && c.does != "") {
				t.Errorf("the thread has %q", said)
			}
			if strings.Contains(h.Logs.String(), "could not be carried out in time") == c.done {
				t.Errorf("the log has %s", h.Logs)
			}
		})
	}
	t.Run("mute", func(t *testing.T) {
		t.Parallel()
		h := open(t, notices, actionstest.Everybody)
		h.Type(actionstest.Ada, "mute all")
		h.Clock.Advance(6 * time.Hour)
		h.WorkOff()
		if mutes, err := h.Mutes().List(t.Context()); err != nil || len(mutes) != 1 {
			t.Errorf("mutes %+v, %v; want one", mutes, err)
		}
	})
}

// TestWhoMayNotRetryCostsLittle: of a request to retry a large pipeline that is refused, GitLab
// gets a single request, by the button none.
func TestWhoMayNotRetryCostsLittle(t *testing.T) {
	t.Parallel()
	allowed := true
	h := open(t, strings.Replace(notices, "on: job", "on: pipeline", 1), func(chatops.Person, chatops.Target, string) (string, error) {
		if allowed {
			return "", nil
		}
		return "No.", nil
	})
	jobs := make([]gitlabtest.Job, 950)
	for i := range jobs {
		jobs[i].Name = "test " + itoa(int64(i))
	}
	p := h.AddPipeline(gitlabtest.Pipeline{}, jobs...)
	allowed = false
	page := h.GitLab.URL() + "/platform/shop/-/pipelines/" + itoa(p.ID)
	h.Work()
	before := h.GitLab.Count("", "")
	r := h.Type(actionstest.Bob, "retry "+page)
	h.WorkOff()
	h.WantReplies(r, "There is no pipeline")
	if n := h.GitLab.Count("", "") - before; n != 1 {
		t.Errorf("GitLab gets %d requests, want 1", n)
	}
}
