package requests_test

import (
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
)

// TestPaceOfAPerson: who requests too much reads when to try again, and that alone; others
// go on, and so does that person after that time. A request that waits counts once.
func TestPaceOfAPerson(t *testing.T) {
	t.Parallel()
	busy := 3 // how often Slack does not say who Ada is
	h := open(t, notices, func(p chatops.Person, _ chatops.Target, _ string) (string, error) {
		if p == actionstest.Ada && busy > 0 {
			busy--
			return "", later{}
		}
		return "", nil
	})
	var ada []chatops.Request
	ada = append(ada, h.Type(actionstest.Ada, "status"))
	for range 4 {
		h.Work()
		h.Clock.Advance(time.Second)
	}
	h.WantReplies(ada[0], "1 rule in force")
	h.Clock.Advance(time.Minute)
	for range 20 {
		ada = append(ada, h.Type(actionstest.Ada, "status"))
	}
	h.Work()
	tooMany := h.Type(actionstest.Ada, "pause all")
	bob := h.Type(actionstest.Bob, "status")
	h.Work()
	for _, r := range ada[1:] {
		h.WantReplies(r, "1 rule in force")
	}
	h.WantReplies(tooMany, "This was not done: each person may make 20 requests a minute. Wait ")
	h.WantReplies(bob, "1 rule in force")
	actionstest.Has(t, h.Logs.String(), "too many requests of the same person")
	if pauses, err := h.Audit().List(t.Context()); err != nil || len(pauses) > 0 {
		t.Errorf("changes %+v, %v; want none", pauses, err)
	}
	h.Clock.Advance(3 * time.Second)
	again := h.Type(actionstest.Ada, "pause all")
	h.Work()
	h.WantReplies(again, "public: …paused actions (`all`)")
}

// later is an error that passes.
type later struct{}

func (later) Error() string                { return "not now" }
func (later) Again() (time.Duration, bool) { return time.Second, true }
