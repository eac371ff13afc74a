package actions

import (
	"context"

	"github.com/pipesteward/pipesteward/actions/worker"
)

// Drain carries on what is due now, one record after the other, until nothing
// is due, and returns how many records it worked on: Run for tests whose time
// is moved by hand.
func (r *Runner) Drain(ctx context.Context) (int, error) {
	for n := 0; ; n++ {
		leases, err := r.Queue.Lease(ctx, 1, worker.Visibility)
		if err != nil || len(leases) == 0 {
			return n, err
		}
		r.pool.Work(ctx, leases[0])
	}
}
