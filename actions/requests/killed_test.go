package requests_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// TestRequestsKilledTwice: a kill between any two steps, and another one soon after the
// start that follows: what two people request is done once, changes are listed once, and
// everybody reads what came of it.
func TestRequestsKilledTwice(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	begin := func(h *actionstest.Harness) {
		h.Rights = actionstest.Rights(actionstest.Everybody)
		h.Start(actionstest.NewFuse(-1))
		told(h, gitlabtest.Job{}, "failed")
	}
	wantSaid := func(h *actionstest.Harness, when string, to chatops.Request, parts ...string) {
		all := strings.Join(h.Replies(to), "\n")
		for _, part := range parts {
			if !strings.Contains(all, part) {
				h.Errorf("%s: %s reads %q, want %q in it", when, to.By.Name, all, part)
			}
		}
	}
	t.Run("retry", func(t *testing.T) {
		t.Parallel()
		var ada, bob chatops.Request
		actionstest.KilledTwice(t, func(h *actionstest.Harness) {
			begin(h)
			ada, bob = h.Press(actionstest.Ada, chatops.ButtonRetry), h.Press(actionstest.Bob, chatops.ButtonRetry)
		}, notices, func(h *actionstest.Harness, when string) {
			if n := h.GitLab.Count(http.MethodPost, "/retry"); n != 1 || len(h.RunsOf("rspec")) != 2 {
				h.Errorf("%s: %d retries, want 1", when, n)
			}
			done := 0
			for _, o := range h.Outcomes() {
				if o.Requested() {
					done++
					if o.Result != event.ResultDone {
						h.Errorf("%s: outcome %s (%s), want done", when, o.Result, o.Reason)
					}
				}
			}
			if done != 1 {
				h.Errorf("%s: %d requested decisions, want 1", when, done)
			}
			first, second := ada, bob
			if !strings.Contains(strings.Join(h.Replies(ada), ""), "by Ada") { // a kill may have let Bob be faster
				first, second = bob, ada
			}
			wantSaid(h, when, first, "Retried ", ", by "+first.By.Name)
			wantSaid(h, when, second, first.By.Name+" requested that")
		})
	})
	t.Run("mute and resume", func(t *testing.T) {
		t.Parallel()
		var mute, resume chatops.Request
		actionstest.KilledTwice(t, func(h *actionstest.Harness) {
			begin(h)
			h.Type(actionstest.Bob, "pause all")
			h.Work()
			mute, resume = h.Press(actionstest.Ada, chatops.ButtonMute), h.Type(actionstest.Ada, "resume all")
		}, notices, func(h *actionstest.Harness, when string) {
			changes, err := h.Audit().List(h.Context())
			if err != nil || len(changes) != 3 {
				h.Errorf("%s: changes %+v, %v; want a pause, a mute and a resumption", when, changes, err)
			}
			wantSaid(h, when, mute, "muted notifications")
			wantSaid(h, when, resume, "ended the pause `all`")
		})
	})
}
