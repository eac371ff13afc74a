package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/pipesteward/pipesteward/store"
)

const (
	// latencyWarning is how long a durable write may take: a delivery makes one before
	// it is answered.
	latencyWarning = 250 * time.Millisecond
	// pings is how many writes are timed; the median counts.
	pings = 3
	// spaceWarning is how many bytes must be free for the store to grow.
	spaceWarning = 1 << 30
	// memoryWarning is the part of Redis's memory that may be used.
	memoryWarning = 0.8
)

var errNoStore = errors.New("the store can't be opened")

// checkStoreOpen tells whether the store can be used.
func checkStoreOpen(ctx context.Context, x *exam) []Finding {
	if x.StoreErr == nil && x.Store == nil {
		return one(Note, "there is no file yet: `serve` makes it", "")
	}
	d, err := x.describe(ctx)
	switch {
	case errors.Is(err, store.ErrInUse):
		return one(Note, "the file is open in another process, so its inside was not checked: a running `serve` says more below", "")
	case err != nil:
		return one(Problem, firstLine(err), "")
	}
	return ok(d.Backend + " at " + d.Place)
}

// storeOr returns the description of the store, or what to say without one.
func (x *exam) storeOr(ctx context.Context) (d store.Description, instead []Finding) {
	if x.Store == nil && (x.StoreErr == nil || errors.Is(x.StoreErr, store.ErrInUse)) {
		return d, []Finding{}
	}
	d, err := x.describe(ctx)
	if err != nil {
		return d, one(Unknown, "not checked, because "+errNoStore.Error(), "")
	}
	return d, nil
}

// checkStoreDurable tells whether the store may lose what it acknowledged.
func checkStoreDurable(ctx context.Context, x *exam) []Finding {
	d, instead := x.storeOr(ctx)
	if instead != nil {
		return instead
	}
	var found []Finding
	for _, w := range d.Warnings {
		found = append(found, one(Warning, w, "")...)
	}
	if len(found) == 0 {
		return ok("keeps what it acknowledged")
	}
	return found
}

func checkStoreLatency(ctx context.Context, x *exam) []Finding {
	if _, instead := x.storeOr(ctx); instead != nil {
		return instead
	}
	var took []time.Duration
	for range pings {
		began := x.Now()
		if err := x.Store.Ping(ctx); err != nil {
			return one(Problem, "the store can't be written: "+firstLine(err), "see its log, its disk and its rights")
		}
		took = append(took, x.Now().Sub(began))
	}
	median := max(min(took[0], took[1]), min(max(took[0], took[1]), took[2]))
	seen := fmt.Sprintf("a durable write takes %s", median.Round(100*time.Microsecond))
	if median > latencyWarning {
		return one(Warning, seen, "give the store a faster disk, or bring Redis nearer: each delivery waits for one")
	}
	return ok(seen)
}

func checkStoreSpace(ctx context.Context, x *exam) []Finding {
	d, instead := x.storeOr(ctx)
	if instead != nil {
		return instead
	}
	size := func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
	switch {
	case d.Limit > 0 && float64(d.Used) > memoryWarning*float64(d.Limit):
		return one(Warning, fmt.Sprintf("Redis uses %s of its %s of memory (maxmemory)", size(d.Used), size(d.Limit)), "raise maxmemory: when it is full, deliveries are answered 500")
	case d.Limit > 0:
		return ok(fmt.Sprintf("%s of %s of memory are used", size(d.Used), size(d.Limit)))
	case d.Free > 0 && d.Free < spaceWarning:
		return one(Warning, fmt.Sprintf("the disk has %s left, and the store has %s", size(d.Free), size(d.Used)), "free space there: when it is full, deliveries are answered 500")
	case d.Free > 0:
		return ok(fmt.Sprintf("the store has %s, and the disk %s left", size(d.Used), size(d.Free)))
	}
	return ok(size(d.Used) + " are used, without a limit of Redis's own")
}
