package requests_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// TestSteeringCutShort: a replica is killed at each step of a request that changes pauses or
// mutes, and before it is repeated another person changes the same on another replica. What that person has
// done stands, and the list of changes says what is in force.
func TestSteeringCutShort(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	for _, c := range []struct{ before, cut, then string }{
		{"pause all", "resume all", "pause all replace"},
		{"mute all", "unmute all", "mute all replace"},
		{"", "pause all", "resume all"},
		{"", "mute all", "unmute all"},
	} {
		t.Run(c.cut, func(t *testing.T) {
			t.Parallel()
			for steps := 1; ; steps++ {
				h := actionstest.New(t, notices)
				h.Rights = actionstest.Rights(actionstest.Everybody)
				h.Start(actionstest.NewFuse(-1))
				if c.before != "" {
					h.Type(actionstest.Bob, c.before)
					h.Work()
				}
				h.Clock.Advance(time.Second)
				ada := h.Type(actionstest.Ada, c.cut)
				h.Start(actionstest.NewFuse(steps))
				h.Work()
				killed := h.Fuse.Blown()
				if !killed {
					if steps < 15 {
						t.Errorf("all is done in %d steps: the fuse does not see them", steps)
					}
					return
				}
				h.Clock.Advance(11 * time.Second) // the lease of the dead replica has not expired
				bob := h.Type(actionstest.Bob, c.then)
				if _, err := h.Drain(h.Replica(actionstest.NewFuse(-1))); err != nil {
					t.Fatal(err)
				}
				said := strings.Join(h.Replies(bob), "")
				h.Start(actionstest.NewFuse(-1))
				h.PassTime()
				h.WorkOff()
				when := fmt.Sprintf("killed at step %d", steps)
				begins := c.before == ""
				want := !begins || strings.Contains(said, "No ") // Bob has ended what Ada began, unless that was not in force yet
				if got := inForce(h); got != want {
					t.Errorf("%s: in force %t, want %t; Bob read %q, Ada %q", when, got, want, said, h.Replies(ada))
				}
				changes, err := h.Audit().List(t.Context())
				if err != nil || len(changes) == 0 {
					t.Fatalf("%s: changes %+v, %v", when, changes, err)
				}
				begun := changes[0].Action == event.ChangePause || changes[0].Action == event.ChangeMute
				if begun != want {
					t.Errorf("%s: the last change is %q, and in force is %t", when, changes[0].Action, want)
				}
				h.GitLab.Close()
				_ = h.Slack.Close()
				if t.Failed() {
					return
				}
			}
		})
	}
}

// inForce reports whether a pause or a mute is.
func inForce(h *actionstest.Harness) bool {
	h.Helper()
	pauses, err1 := pause.Pauses{Store: h.DB, Now: h.Now}.List(h.Context())
	mutes, err2 := pause.Mutes{Store: h.DB, Now: h.Now}.List(h.Context())
	if err1 != nil || err2 != nil {
		h.Fatal(err1, err2)
	}
	return len(pauses)+len(mutes) > 0
}
