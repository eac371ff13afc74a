package redis

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// Put implements store.Queue.
func (r *Store) Put(ctx context.Context, records ...store.Record) ([]bool, error) {
	if err := store.CheckRecords(records); err != nil {
		return nil, err
	}
	part := &batchPart{numbers: len(records)}
	part.addRecords(r.prefix, records)
	reply, err := r.runBatched(ctx, r.puts, part)
	if err != nil {
		return nil, err
	}
	added := make([]bool, len(records))
	for i, n := range reply {
		added[i] = n == 1
	}
	return added, nil
}

// runBatched runs the part in a batch.
func (r *Store) runBatched(ctx context.Context, b *batcher, part *batchPart) (reply []int64, err error) {
	err = r.call(ctx, func(ctx context.Context) (err error) {
		reply, err = b.run(ctx, part)
		return err
	})
	return reply, err
}

// Lease implements store.Queue, with a script for each maxReply records.
func (r *Store) Lease(ctx context.Context, n int, visibility time.Duration) ([]store.Lease, error) {
	if err := store.CheckVisibility(visibility); err != nil {
		return nil, err
	}
	leases := []store.Lease{}
	for n > 0 {
		batch := min(n, maxReply)
		some, err := r.lease(ctx, batch, visibility)
		if err != nil && len(leases) == 0 {
			return nil, err
		}
		leases = append(leases, some...) // after an error: those before are leased
		if len(some) < batch {
			break
		}
		n -= batch
	}
	return leases, nil
}

func (r *Store) lease(ctx context.Context, n int, visibility time.Duration) ([]store.Lease, error) {
	token := rand.Text()
	list, err := r.runList(ctx, "lease", r.queue, n, micros(visibility), token)
	if err != nil {
		return nil, err
	}
	expires := fromMicros(list.number())
	leases := make([]store.Lease, 0, n)
	for len(list.rest) > 0 {
		leases = append(leases, store.Lease{
			ID:      list.string(),
			Kind:    list.string(),
			Body:    []byte(list.string()),
			Attempt: int(list.number()),
			Due:     fromMicros(list.number()),
			Expires: expires,
			Token:   token,
		})
	}
	return leases, nil
}

// Wait implements store.Queue. It returns on a wake-up message, and after a second at
// the latest.
func (r *Store) Wait(ctx context.Context, atMost time.Duration) error {
	queued := r.queued.Next() // first, so that no record comes unseen after the look at the queue
	next, err := r.runNumber(ctx, "next", r.queue)
	if err != nil {
		return err
	}
	if next >= 0 {
		atMost = min(atMost, time.Duration(next)*time.Microsecond)
	}
	if r.subscribed.Load() {
		atMost = min(atMost, pollEvery)
	} else {
		atMost = min(atMost, pollUnsubscribed)
	}
	if atMost <= 0 {
		return nil
	}
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-queued:
	case <-timer.C:
	case <-r.closing:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Extend implements store.Queue.
func (r *Store) Extend(ctx context.Context, l *store.Lease, visibility time.Duration) error {
	if err := store.CheckVisibility(visibility); err != nil {
		return err
	}
	expires, err := r.runLeased(ctx, "extend", r.queue, l.ID, l.Token, l.Body, micros(visibility))
	if err != nil {
		return err
	}
	l.Expires = fromMicros(expires)
	return nil
}

// Done implements store.Queue.
func (r *Store) Done(ctx context.Context, l *store.Lease, next ...store.Record) error {
	return r.DoneWith(ctx, l, store.Changes{Next: next})
}

// DoneWith implements store.Store.
func (r *Store) DoneWith(ctx context.Context, l *store.Lease, c store.Changes) error {
	if err := store.CheckChanges(c); err != nil {
		return err
	}
	part := &batchPart{numbers: 1, args: []any{l.ID, l.Token}}
	part.addChanges(r, c)
	reply, err := r.runBatched(ctx, r.dones, part)
	switch {
	case err != nil:
		return err
	case reply[0] == 0:
		return store.ErrLeaseLost
	case reply[0] == 2:
		return store.ErrChanged
	}
	return nil
}

// Change implements store.Store.
func (r *Store) Change(ctx context.Context, c store.Changes) error {
	if err := store.CheckChanges(c); err != nil {
		return err
	}
	done, err := r.runChanges(ctx, "change", nil, nil, c)
	return steered(done, store.ErrKnown, err)
}

// runChanges runs a script that makes changes. The keys and arguments stand between those of
// all such scripts and those of the changes.
func (r *Store) runChanges(ctx context.Context, name string, keys []string, args []any, c store.Changes) (int64, error) {
	part := &batchPart{keys: slices.Concat(r.queue, r.journal, keys), args: append([]any{millis(r.dedupeTTL), micros(r.retention.OfJournal())}, args...)}
	part.addChanges(r, c)
	return r.runNumber(ctx, name, part.keys, part.args...)
}

// Defer implements store.Queue.
func (r *Store) Defer(ctx context.Context, l *store.Lease, after time.Duration) error {
	_, err := r.runLeased(ctx, "defer", r.queue, l.ID, l.Token, l.Body, micros(after))
	return err
}

// Bury implements store.Queue.
func (r *Store) Bury(ctx context.Context, l *store.Lease, reason string) error {
	_, err := r.runLeased(ctx, "bury", r.queueAndDead(), l.ID, l.Token, reason)
	return err
}

// runLeased runs a script that returns 0 if the lease is lost.
func (r *Store) runLeased(ctx context.Context, name string, keys []string, args ...any) (int64, error) {
	n, err := r.runNumber(ctx, name, keys, args...)
	if err == nil && n == 0 {
		err = store.ErrLeaseLost
	}
	return n, err
}

func (r *Store) queueAndDead() []string { return append(slices.Clone(r.queue), r.dead) }

// Depth implements store.Queue.
func (r *Store) Depth(ctx context.Context) (store.Depth, error) {
	list, err := r.runList(ctx, "depth", r.queueAndDead())
	if err != nil {
		return store.Depth{}, err
	}
	return store.Depth{
		Due:     int(list.number()),
		Waiting: int(list.number()),
		Leased:  int(list.number()),
		Dead:    int(list.number()),
	}, nil
}

// Queued implements store.Queue.
func (r *Store) Queued(ctx context.Context, ids ...string) (bool, error) {
	if len(ids) == 0 {
		return false, nil
	}
	var headers []any
	err := r.call(ctx, func(ctx context.Context) (err error) {
		headers, err = r.client.HMGet(ctx, r.queue[2], ids...).Result()
		return err
	})
	return slices.ContainsFunc(headers, func(header any) bool { return header != nil }), err
}
