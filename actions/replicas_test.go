//go:build unix

package actions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// A replica is killed at any step, and another one, whose clock is 5 minutes
// ahead or behind, takes over when the lease has run out: one retry, one
// message, one outcome. Time is Redis's own, so all kills come first, and then
// all harnesses are waited for together.
func TestKilledAtAnyStepAndTakenOver(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	atOnce := strings.Replace(actionstest.RetryRules, "delay: 30s", "delay: 0s", 1)
	redis := redistest.Start(t)
	newCase := func(name string) *actionstest.Harness {
		h := actionstest.NewOnRedis(t, redis.URL(), "{"+name+"}:", atOnce)
		job := h.FailedJob(actionstest.Stuck)
		h.Deliver(h.GitLab.JobHookBody(job.ID))
		return h
	}
	unharmed := newCase("unharmed")
	unharmed.Work()
	unharmed.WantOnce("unharmed")
	steps := unharmed.Fuse.Burnt
	if steps < 20 {
		t.Fatalf("all is done in %d steps: the fuse does not see them", steps)
	}

	harnesses := make([]*actionstest.Harness, 0, steps)
	for step := 1; step <= steps; step += *actionstest.KillEach {
		h := newCase(fmt.Sprint("killed at step ", step))
		h.Start(actionstest.NewFuse(step))
		h.Work()
		if !h.Fuse.Blown() {
			t.Fatalf("not killed at step %d", step)
		}
		apart := 5 * time.Minute
		if step%2 == 0 {
			apart = -apart
		}
		h.Now = func() time.Time { return time.Now().Add(apart) }
		h.Start(actionstest.NewFuse(-1))
		harnesses = append(harnesses, h)
	}
	busy := harnesses
	for deadline := time.Now().Add(5 * time.Minute); len(busy) > 0; {
		var still []*actionstest.Harness
		for _, h := range busy {
			if h.Work(); !h.Idle() {
				still = append(still, h)
			}
		}
		if busy = still; len(busy) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d queues do not get empty; the first one's log:\n%s", len(busy), busy[0].Logs)
		}
		_ = busy[0].DB.Wait(t.Context(), time.Second) // Redis may not answer in time on a slow machine
	}
	for i, h := range harnesses {
		h.WantOnce(fmt.Sprintf("killed at step %d", 1+i**actionstest.KillEach))
	}
}
