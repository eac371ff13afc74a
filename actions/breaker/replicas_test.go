//go:build unix

package breaker_test

import (
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// A breaker that one replica has opened defers the retries of all.
func TestStormOfAllReplicas(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	h := actionstest.NewOnRedis(t, redis.URL(), "{storm}:", strings.Replace(stormRules, "failures: 30, pipelines: 10", "failures: 3, pipelines: 3", 1))
	for replica := range 2 {
		h.Start(actionstest.NewFuse(-1))
		for range 3 {
			h.Deliver(h.GitLab.JobHookBody(h.FailedJob("runner_system_failure").ID))
			h.Work()
		}
		if n := h.GitLab.Count("POST", "/retry"); n != 2 {
			t.Errorf("%d retries when replica %d has worked, want the 2 before the storm", n, replica)
		}
		h.WantStorm("runner", 1)
	}
	deferred := 0
	for _, o := range h.Outcomes() {
		if o.Result == event.ResultDeferred {
			deferred++
		}
	}
	if n := len(h.Slack.Posts()); n != 1 || deferred != 4 {
		t.Errorf("%d messages and %d deferred decisions, want 1 and 4", n, deferred)
	}
}
