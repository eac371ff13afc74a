//go:build unix

package actions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// A replica is killed at any step, and another one, whose clock is 5 minutes
// ahead or behind, takes over when the lease has run out: one retry, one
// message, one outcome. Time is Redis's own, so all kills come first, and then
// all houses are waited for together.
func TestKilledAtAnyStepAndTakenOver(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	atOnce := strings.Replace(retryRules, "delay: 30s", "delay: 0s", 1)
	redis := redistest.Start(t)
	newCase := func(name string) *house {
		h := newRedisHouse(t, redis.URL(), "{"+name+"}:", atOnce)
		job := h.failedJob(stuck)
		h.deliver(h.gitlab.JobHookBody(job.ID))
		return h
	}
	unharmed := newCase("unharmed")
	unharmed.work()
	unharmed.wantOnce("unharmed")
	steps := unharmed.fuse.burnt
	if steps < 20 {
		t.Fatalf("all is done in %d steps: the fuse does not see them", steps)
	}

	houses := make([]*house, 0, steps)
	for step := 1; step <= steps; step += *killEach {
		h := newCase(fmt.Sprint("killed at step ", step))
		h.start(newFuse(step))
		h.work()
		if !h.fuse.blown() {
			t.Fatalf("not killed at step %d", step)
		}
		apart := 5 * time.Minute
		if step%2 == 0 {
			apart = -apart
		}
		h.now = func() time.Time { return time.Now().Add(apart) }
		h.start(newFuse(-1))
		houses = append(houses, h)
	}
	busy := houses
	for deadline := time.Now().Add(5 * time.Minute); len(busy) > 0; {
		var still []*house
		for _, h := range busy {
			if h.work(); !h.idle() {
				still = append(still, h)
			}
		}
		if busy = still; len(busy) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d queues do not get empty; the first one's log:\n%s", len(busy), busy[0].log)
		}
		if err := busy[0].db.Wait(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	for i, h := range houses {
		h.wantOnce(fmt.Sprintf("killed at step %d", 1+i**killEach))
	}
}

// A storm that one replica has seen holds all of them back.
func TestStormOfAllReplicas(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	h := newRedisHouse(t, redis.URL(), "{storm}:", strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 3, pipelines: 3", 1))
	for replica := range 2 {
		h.start(newFuse(-1))
		for range 3 {
			h.deliver(h.gitlab.JobHookBody(h.failedJob("runner_system_failure").ID))
			h.work()
		}
		if n := h.gitlab.Count("POST", "/retry"); n != 2 {
			t.Errorf("%d retries when replica %d has worked, want the 2 before the storm", n, replica)
		}
		h.wantStorm("runner", 1)
	}
	deferred := 0
	for _, o := range h.outcomes() {
		if o.Result == event.ResultDeferred {
			deferred++
		}
	}
	if n := len(h.slack.Posts()); n != 1 || deferred != 4 {
		t.Errorf("%d messages and %d deferred decisions, want 1 and 4", n, deferred)
	}
}
