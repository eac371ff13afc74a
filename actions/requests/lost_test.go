package requests_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestRightsAreLost: what a person requested is carried out only if the person still may
// when it is, on the target of the press. While that is not known, it waits.
func TestRightsAreLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does      string
		job       gitlabtest.Job
		status    string
		meanwhile func(h *actionstest.Harness, lose func(refusal string, err error))
		result    string
		reason    string
		calls     int
	}{
		"nothing changes": {does: chatops.ButtonPlay, job: gitlabtest.Job{When: "manual"}, result: event.ResultDone, calls: 1},
		"a play": {
			does: chatops.ButtonPlay, job: gitlabtest.Job{When: "manual"}, result: event.ResultSkipped, reason: "Ada may not do this any more, and would read: Your role is none.",
			meanwhile: func(_ *actionstest.Harness, lose func(string, error)) { lose("Your role is none.", nil) },
		},
		"a retry": {
			does: chatops.ButtonRetry, status: "failed", result: event.ResultSkipped, reason: "Ada may not do this any more",
			meanwhile: func(_ *actionstest.Harness, lose func(string, error)) { lose("Your role is none.", nil) },
		},
		"a cancel": {
			does: chatops.ButtonCancel, result: event.ResultSkipped, reason: "Ada may not do this any more",
			meanwhile: func(_ *actionstest.Harness, lose func(string, error)) { lose("Your role is none.", nil) },
		},
		"they can't be read for a while": {
			does: chatops.ButtonPlay, job: gitlabtest.Job{When: "manual"}, result: event.ResultDone, calls: 1,
			meanwhile: func(h *actionstest.Harness, lose func(string, error)) {
				lose("", errors.New("Slack does not answer"))
				h.Pass(time.Hour, time.Minute)
				if n := h.GitLab.Count(http.MethodPost, "/play"); n != 0 {
					h.Errorf("%d plays while it is not known whether Ada may", n)
				}
				lose("", nil)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var refusal string
			var failure error
			h := open(t, notices, func(_ chatops.Person, to chatops.Target, _ string) (string, error) {
				if !to.AllEnvironments {
					return "The press was on a Job Hook.", nil
				}
				return refusal, failure
			})
			told(h, c.job, c.status)
			if _, err := h.Pauses().Pause(t.Context(), event.Pause{By: "ann"}, false, ""); err != nil {
				t.Fatal(err)
			}
			h.Press(actionstest.Ada, c.does)
			h.Pass(72*time.Hour, time.Hour)
			if _, err := h.Pauses().ResumeAll(t.Context(), event.Actor{By: "ann"}); err != nil {
				t.Fatal(err)
			}
			if c.meanwhile != nil {
				c.meanwhile(h, func(r string, err error) { refusal, failure = r, err })
			}
			h.WorkOff()
			outcomes := h.Outcomes()
			o := outcomes[len(outcomes)-1]
			if o.Result != c.result || o.By.Name != "Ada" {
				t.Errorf("outcome %s (%s) by %s, want %s by Ada", o.Result, o.Reason, o.By, c.result)
			}
			actionstest.Has(t, o.Reason, c.reason)
			if n := h.GitLab.Count(http.MethodPost, "/"+c.does); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}
