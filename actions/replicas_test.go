//go:build unix

package actions_test

import (
	"fmt"
	"slices"
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
	busy := slices.Clone(harnesses)
	await.Until(t, "all queues are empty", func() bool {
		busy = slices.DeleteFunc(busy, func(h *actionstest.Harness) bool {
			h.Work()
			return h.Idle()
		})
		if len(busy) == 0 {
			return true
		}
		if err := busy[0].DB.Wait(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		return false
	})
	for i, h := range harnesses {
		h.WantOnce(fmt.Sprintf("killed at step %d", 1+i**actionstest.KillEach))
	}
}
