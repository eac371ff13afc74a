package actionstest

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// KillEach is how many steps are between two kills in the tests that kill the program:
// `make soak` kills it at each step.
var KillEach = flag.Int("kill-each", 4, "kill the program at every n-th call to GitLab, Slack or the store")

// KilledTwice runs a scene again and again. It kills the program at each step, and once more
// some steps after the next start, then lets it end its work and checks the result.
// `make test` runs it in tests with Killed in their names, without the race detector.
func KilledTwice(t *testing.T, scene func(h *Harness), ruleFile string, check func(h *Harness, when string)) {
	t.Helper()
	await.Unraced(t, "it kills the program at many steps, and handles record after record in one goroutine")
	for steps := 1; ; steps += *KillEach {
		h := New(t, ruleFile)
		scene(h)
		h.Start(NewFuse(steps))
		h.PassTime()
		killed := h.Fuse.Blown()
		second := 1 + 7*steps%13
		if killed {
			h.Start(NewFuse(second))
			h.PassTime()
		}
		h.Start(NewFuse(-1))
		h.WorkOff()
		check(h, fmt.Sprintf("killed at step %d, and %d after that", steps, second))
		h.GitLab.Close()
		_ = h.Slack.Close()
		if !killed {
			if steps < 15 {
				t.Errorf("all is done in %d steps: the fuse does not see them", steps)
			}
			return
		}
		if t.Failed() {
			return
		}
	}
}

// PassTime works, while some minutes pass, until the program dies or is done.
func (h *Harness) PassTime() {
	h.Helper()
	for range 40 {
		h.Work()
		h.rest()
		if h.Fuse.Blown() || h.Idle() {
			return
		}
		h.Clock.Advance(30 * time.Second)
	}
}
