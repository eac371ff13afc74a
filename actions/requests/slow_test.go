package requests_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// TestRequestsHoldNoWorker: while Slack does not answer who the people are that request
// something, decisions are made.
func TestRequestsHoldNoWorker(t *testing.T) {
	t.Parallel()
	var waiting atomic.Int64
	answers := make(chan struct{})
	h := open(t, notices, func(chatops.Person, chatops.Target, string) (string, error) {
		waiting.Add(1)
		<-answers
		return "", nil
	})
	for range 2 { // as many as there are workers
		h.Type(actionstest.Ada, "status")
	}
	ctx, stop := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { h.Runner.Run(ctx, time.Minute) })
	defer ended.Wait()
	defer stop()
	defer close(answers)
	await.Until(t, "both requests wait for Slack", func() bool { return waiting.Load() == 2 })
	job := h.AddJob(gitlabtest.Job{Name: "rspec"}, "failed")
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	await.Until(t, "a decision is made", func() bool { return len(h.Outcomes()) > 0 })
}
