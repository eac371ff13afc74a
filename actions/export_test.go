package actions

import "context"

// Drain carries on what is due now, one record after the other, until nothing
// is due, and returns how many records it worked on: Run for tests whose time
// is moved by hand.
func (r *Runner) Drain(ctx context.Context) (int, error) {
	for n := 0; ; n++ {
		leases, err := r.Queue.Lease(ctx, 1, visibility)
		if err != nil || len(leases) == 0 {
			return n, err
		}
		r.work(ctx, &held{queue: r.Queue, lease: leases[0]})
	}
}
