package storetest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

func testQueued(t *testing.T, f *fixture) {
	want := func(what string, queued bool, ids ...string) {
		t.Helper()
		got, err := f.Queued(t.Context(), ids...)
		ok(t, "Queued", err)
		same(t, what, got, queued)
	}
	want("no id", false)
	want("an unknown id", false, "a")
	f.put(t, record("a"), store.Record{ID: "later", After: time.Hour})
	want("a due record", true, "a")
	want("a waiting record", true, "unknown", "later")
	f.leaseOne(t, time.Minute)
	want("a leased record", true, "a")
	f.reopen(t)
	want("after a restart", true, "a")
	f.advance(time.Minute)
	l := f.leaseOne(t, time.Minute)
	ok(t, "Defer", f.Defer(t.Context(), l, time.Minute))
	want("a deferred record", true, "a")
	f.advance(time.Minute)
	l = f.leaseOne(t, time.Minute)
	ok(t, "Done", f.Done(t.Context(), l))
	want("a record that is done", false, "a")
	f.advance(time.Hour)
	l = f.leaseOne(t, time.Minute)
	ok(t, "Bury", f.Bury(t.Context(), l, "reason"))
	want("a buried record", false, "later")
}

func testDepth(t *testing.T, f *fixture) {
	f.wantDepth(t, store.Depth{})
	for i := range 10 {
		r := record(strconv.Itoa(i))
		r.After = time.Duration(i) * time.Hour
		f.put(t, r)
	}
	f.wantDepth(t, store.Depth{Due: 1, Waiting: 9})
	f.advance(5*time.Hour + time.Minute)
	f.wantDepth(t, store.Depth{Due: 6, Waiting: 4})
	leases := f.lease(t, 3, time.Minute)
	f.wantDepth(t, store.Depth{Due: 3, Waiting: 4, Leased: 3})
	ok(t, "Bury", f.Bury(t.Context(), &leases[0], "dead"))
	ok(t, "Done", f.Done(t.Context(), &leases[1]))
	f.wantDepth(t, store.Depth{Due: 3, Waiting: 4, Leased: 1, Dead: 1})
	f.advance(time.Minute) // the lease that was left is over
	f.wantDepth(t, store.Depth{Due: 4, Waiting: 4, Dead: 1})
}

// testWait lets each Wait that should end by itself wait for much longer
// than the test may last.
func testWait(t *testing.T, f *fixture) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // bounds a hang
	defer cancel()
	ok(t, "Wait, for at most 1ms", f.Wait(ctx, time.Millisecond))
	ok(t, "Wait, for no time", f.Wait(ctx, 0))

	for _, tc := range []struct {
		name string
		wake func(leased *store.Lease) error
	}{
		{"Put", func(*store.Lease) error {
			_, err := f.Put(ctx, record("put"))
			return err
		}},
		{"Put with a delay", func(*store.Lease) error {
			_, err := f.Put(ctx, store.Record{ID: "delayed", After: 20 * time.Millisecond})
			return err
		}},
		{"Done with next", func(l *store.Lease) error { return f.Done(ctx, l, record("next")) }},
		{"Defer", func(l *store.Lease) error { return f.Defer(ctx, l, 0) }},
	} {
		f.put(t, record("leased before "+tc.name))
		leased := f.leaseOne(t, 100*time.Hour)
		ended := make(chan error, 4)
		for range cap(ended) {
			go func() { ended <- f.Wait(ctx, 24*time.Hour) }()
		}
		ok(t, tc.name, tc.wake(leased))
		for range cap(ended) {
			ok(t, "Wait and "+tc.name, <-ended)
		}
		f.advance(time.Second)
		ok(t, "Done", f.Done(ctx, f.leaseOne(t, time.Hour)))
	}

	f.put(t, record("due"))
	ok(t, "Wait when a record is due", f.Wait(ctx, 24*time.Hour))
	ended := make(chan error, 1)
	cancelled, cancelWait := context.WithCancel(ctx)
	f.leaseOne(t, 24*time.Hour)
	go func() { ended <- f.Wait(cancelled, 24*time.Hour) }()
	cancelWait()
	wantErr(t, "Wait when its context ends", <-ended, context.Canceled)
}
