package deliveries_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/handlers/deliveries"
	"github.com/pipesteward/pipesteward/rules/event"
)

// recent is a log that replicas share.
type recent struct {
	mu    sync.Mutex
	items [][]byte
	err   error
}

func (r *recent) Add(_ string, item ...[]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items = append(r.items, bytes.Join(item, nil))
}

func (r *recent) Each(_ context.Context, visit func(string, []byte) bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, item := range slices.Backward(r.items) {
		if r.err == nil && !visit("", item) {
			break
		}
	}
	return r.err
}

// TestDeliveriesOfAllReplicas: each replica lists the deliveries of all, newest first,
// each once, and its own while the store is away.
func TestDeliveriesOfAllReplicas(t *testing.T) {
	authenticated, others := &recent{}, &recent{}
	var log bytes.Buffer
	replica := func() *deliveries.Shared {
		return &deliveries.Shared{Log: deliveries.New(3, 2), Authenticated: authenticated, Others: others, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	}
	one, two := replica(), replica()
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	record := func(to *deliveries.Shared, minute int, isAuthenticated bool) {
		to.Record(event.Delivery{At: start.Add(time.Duration(minute) * time.Minute), Job: int64(minute), Authenticated: isAuthenticated, Result: event.DeliveryStored})
	}
	want := func(from *deliveries.Shared, limit int, want ...int64) {
		t.Helper()
		list, err := from.Deliveries(t.Context(), all, limit)
		got := []int64{}
		for _, d := range list {
			got = append(got, d.Job)
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v, deliveries (-want +got):\n%s", err, diff)
		}
	}
	record(one, 1, true)
	want(two, 10, []int64{}...) // one has not shared it
	want(one, 10, 1)
	record(two, 2, true)
	record(one, 3, false)
	record(one, 4, true)
	want(one, 10, 4, 3, 1)
	want(two, 10, 4, 3, 2, 1)
	want(one, 2, 4, 3)
	for minute := 5; minute < 15; minute++ { // more than are kept in memory
		record(one, minute, true)
	}
	want(two, 2, 4, 3)
	want(one, 5, 14, 13, 12, 4, 3)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	record(two, 15, false)
	two.Run(ctx)
	want(one, 1, 15)

	others.err = errors.New("the store is away")
	want(one, 10, 14, 13, 12, 3)
	if log.Len() == 0 {
		t.Error("nothing is logged while the store is away")
	}
}
