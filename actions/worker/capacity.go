package worker

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/pipesteward/pipesteward/store"
)

const (
	// maxBatch is how many records are leased at a time, and maxLargeBatch after a
	// lease of records whose bodies had more than batchBytes together.
	maxBatch      = 64
	maxLargeBatch = 16
	batchBytes    = 1 << 20
	// maxBytes is the watermark of the bodies of the records in flight, in bytes,
	// from which on no more records are leased.
	maxBytes = 64 << 20
)

// capacity bounds the records in flight and their bytes.
type capacity struct {
	workers  *semaphore.Weighted
	slowLane *semaphore.Weighted

	records atomic.Int64  // in flight, those in the slow lane included
	bytes   atomic.Int64  // of their bodies, as they were leased
	ended   chan struct{} // receives when a record has ended since the last receipt

	batch int // how many records may be leased next
}

func newCapacity(workers, slowLane int) *capacity {
	return &capacity{
		workers: semaphore.NewWeighted(int64(workers)), slowLane: semaphore.NewWeighted(int64(slowLane)),
		ended: make(chan struct{}, 1), batch: maxLargeBatch,
	}
}

// acquire blocks until there is capacity and returns how many records may be
// leased, 0 once ctx is done. The caller releases the workers that it does not
// need. It is for one goroutine.
func (c *capacity) acquire(ctx context.Context) (records int) {
	for c.bytes.Load() >= maxBytes {
		select {
		case <-ctx.Done():
			return 0
		case <-c.ended:
		}
	}
	if ctx.Err() != nil || c.workers.Acquire(ctx, 1) != nil {
		return 0
	}
	for records = 1; records < c.batch && c.workers.TryAcquire(1); {
		records++
	}
	return records
}

// leased begins the records of a lease, each of which has a worker.
func (c *capacity) leased(leases []store.Lease) {
	total := 0
	for _, l := range leases {
		total += len(l.Body)
	}
	c.records.Add(int64(len(leases)))
	c.bytes.Add(int64(total))
	c.batch = maxBatch
	if total > batchBytes {
		c.batch = maxLargeBatch
	}
}

// end releases the capacity that a record took up.
func (c *capacity) end(bytes int, inSlowLane bool) {
	c.records.Add(-1)
	c.bytes.Add(-int64(bytes))
	if inSlowLane {
		c.slowLane.Release(1)
	} else {
		c.workers.Release(1)
	}
	select {
	case c.ended <- struct{}{}:
	default: // one receipt is enough for all
	}
}

// enterSlowLane moves a record from the workers to the slow lane, and reports
// whether that had capacity.
func (c *capacity) enterSlowLane() bool {
	if !c.slowLane.TryAcquire(1) {
		return false
	}
	c.workers.Release(1)
	return true
}
