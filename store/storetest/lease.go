package storetest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

func testDueOrder(t *testing.T, f *fixture) {
	for _, minutes := range []int{5, 1, 4, 2, 3} {
		r := record(strconv.Itoa(minutes))
		r.After = time.Duration(minutes) * time.Minute
		f.put(t, r)
	}
	f.advance(10 * time.Minute)
	same(t, "most overdue", leaseIDs(f.lease(t, 2, time.Minute)), []string{"1", "2"})
	// Their leases end at 11 minutes, which is later than all others' due time.
	f.advance(5 * time.Minute)
	f.put(t, record("new"))
	same(t, "after them", leaseIDs(f.lease(t, 3, time.Hour)), []string{"3", "4", "5"})
	back := leaseIDs(f.lease(t, 2, time.Hour))
	slices.Sort(back)
	same(t, "expired ones", back, []string{"1", "2"})
	f.wantDue(t, "new")
}

func testAfter(t *testing.T, f *fixture) {
	at := record("now")
	f.put(t, at)
	first := f.leaseOne(t, 3*time.Hour)
	soon, negative, never := record("soon"), record("negative"), record("never")
	soon.After, negative.After, never.After = time.Hour, -time.Hour, 1<<63-1
	f.put(t, soon, negative, never)
	f.wantDue(t, "negative")
	f.advance(59 * time.Minute)
	f.wantDue(t)
	f.advance(time.Minute)
	l := f.leaseOne(t, time.Minute)
	same(t, "id", l.ID, "soon")
	if late := l.Due.Sub(first.Due) - time.Hour; late < 0 || late > 30*time.Second {
		t.Errorf("due %v after the first, want an hour", l.Due.Sub(first.Due))
	}
}

func testVisibility(t *testing.T, f *fixture) {
	f.put(t, record("a"))
	first := f.leaseOne(t, 10*time.Minute)
	same(t, "attempt", first.Attempt, 1)
	if d := first.Expires.Sub(first.Due); d < 10*time.Minute || d > 11*time.Minute {
		t.Errorf("the lease expires %v after the record was due, want 10m", d)
	}
	f.advance(9 * time.Minute)
	f.wantDue(t)
	f.advance(time.Minute)
	second := f.leaseOne(t, 10*time.Minute)
	same(t, "id", second.ID, "a")
	same(t, "kind", second.Kind, "event")
	same(t, "body", string(second.Body), "body of a")
	same(t, "attempt", second.Attempt, 2)
	same(t, "due", second.Due, first.Due)
	if first.Token == "" || first.Token == second.Token {
		t.Errorf("tokens %q and %q, want two different ones", first.Token, second.Token)
	}
}

func testLeaseN(t *testing.T, f *fixture) {
	f.put(t, record("a"), record("b"), record("c"))
	same(t, "n = 0", len(f.lease(t, 0, time.Minute)), 0)
	same(t, "n = -1", len(f.lease(t, -1, time.Minute)), 0)
	same(t, "n = 2", len(f.lease(t, 2, time.Minute)), 2)
	same(t, "n = 2, one left", len(f.lease(t, 2, time.Minute)), 1)
	same(t, "none left", len(f.lease(t, 2, time.Minute)), 0)
}

func testDrain(t *testing.T, f *fixture) {
	const n = 500
	records := make([]store.Record, n)
	for i := range records {
		records[i] = record(strconv.Itoa(i))
	}
	f.put(t, records...)
	var mu sync.Mutex
	times := map[string]int{}
	together(t, 8, func(int) (bool, error) {
		for {
			leases, err := f.Lease(t.Context(), 7, time.Hour)
			if err != nil || len(leases) == 0 {
				return true, err
			}
			for i := range leases {
				if err := f.Done(t.Context(), &leases[i]); err != nil {
					return false, err
				}
				mu.Lock()
				times[leases[i].ID]++
				mu.Unlock()
			}
		}
	})
	same(t, "records leased", len(times), n)
	for id, k := range times {
		if k != 1 {
			t.Errorf("%s was leased %d times", id, k)
		}
	}
	f.wantDepth(t, store.Depth{})
}

// leaseEnds are the methods that need a lease.
var leaseEnds = []struct {
	name string
	call func(context.Context, store.Store, *store.Lease) error
}{
	{"Extend", func(ctx context.Context, s store.Store, l *store.Lease) error { return s.Extend(ctx, l, time.Minute) }},
	{"Defer", func(ctx context.Context, s store.Store, l *store.Lease) error { return s.Defer(ctx, l, time.Minute) }},
	{"Done", func(ctx context.Context, s store.Store, l *store.Lease) error { return s.Done(ctx, l) }},
	{"DoneWith", func(ctx context.Context, s store.Store, l *store.Lease) error {
		return s.DoneWith(ctx, l, store.Changes{Amend: []store.Entry{{ID: "of a lost lease"}}})
	}},
	{"Bury", func(ctx context.Context, s store.Store, l *store.Lease) error { return s.Bury(ctx, l, "lost") }},
}

func testLeaseLost(t *testing.T, f *fixture) {
	for _, how := range []struct {
		name string
		lose func(l *store.Lease)
		want store.Depth
	}{
		{"leased again", func(*store.Lease) { f.advance(time.Minute); f.leaseOne(t, time.Hour) }, store.Depth{Leased: 1}},
		{"done", func(l *store.Lease) { ok(t, "Done", f.Done(t.Context(), l)) }, store.Depth{}},
		{"deferred", func(l *store.Lease) { ok(t, "Defer", f.Defer(t.Context(), l, time.Hour)) }, store.Depth{Waiting: 1}},
		{"another record's token", func(l *store.Lease) {
			f.put(t, record("other of "+l.ID))
			other := f.leaseOne(t, time.Hour)
			l.Token = other.Token
		}, store.Depth{Leased: 2}},
		{"no token", func(l *store.Lease) { l.Token = "" }, store.Depth{Leased: 1}},
		{"made-up token", func(l *store.Lease) { l.Token = "x.\x00" }, store.Depth{Leased: 1}},
		{"buried", func(l *store.Lease) { ok(t, "Bury", f.Bury(t.Context(), l, "first")) }, store.Depth{Dead: 1}},
	} {
		f.put(t, record(how.name))
		l := f.leaseOne(t, time.Minute)
		how.lose(l)
		expires := l.Expires
		for _, end := range leaseEnds {
			l.Body = []byte("changed after the lease was lost")
			wantErr(t, end.name+" when "+how.name, end.call(t.Context(), f, l), store.ErrLeaseLost)
			same(t, "Expires after a lost "+end.name, l.Expires, expires)
			f.wantDepth(t, how.want)
		}
		// The records that are left are unchanged, and can be drained.
		f.advance(2 * time.Hour)
		leases := f.lease(t, 10, time.Minute)
		for i := range leases {
			same(t, "body when "+how.name, string(leases[i].Body), "body of "+leases[i].ID)
			ok(t, "Done", f.Done(t.Context(), &leases[i]))
		}
	}
	dead := f.dead(t)
	same(t, "dead records", len(dead), 1)
	same(t, "reason", dead[0].Reason, "first")
}

func testLeaseExpired(t *testing.T, f *fixture) {
	for _, end := range leaseEnds {
		f.put(t, record(end.name))
		l := f.leaseOne(t, time.Minute)
		f.advance(time.Hour)
		f.wantDepthDue(t, 1)
		ok(t, end.name, end.call(t.Context(), f, l))
		f.wantDue(t)
		f.advance(2 * time.Hour)
		for _, l := range f.lease(t, 10, time.Minute) { // what Extend and Defer left
			ok(t, "Done", f.Done(t.Context(), &l))
		}
	}
}

func (f *fixture) wantDepthDue(t failer, want int) {
	t.Helper()
	d, err := f.Depth(t.Context())
	ok(t, "Depth", err)
	same(t, "records due", d.Due, want)
}

func testExtend(t *testing.T, f *fixture) {
	f.put(t, record("a"))
	l := f.leaseOne(t, 10*time.Minute)
	before := l.Expires
	f.advance(5 * time.Minute)
	l.Body = []byte("half done")
	ok(t, "Extend", f.Extend(t.Context(), l, 10*time.Minute))
	if d := l.Expires.Sub(before); d < 5*time.Minute || d > 6*time.Minute {
		t.Errorf("Expires moved by %v, want 5m", d)
	}
	f.advance(9 * time.Minute)
	f.wantDue(t)
	ok(t, "Extend, to a shorter time", f.Extend(t.Context(), l, 2*time.Minute))
	f.advance(2 * time.Minute)
	again := f.leaseOne(t, time.Minute)
	same(t, "body", string(again.Body), "half done")
	same(t, "attempt", again.Attempt, 2)
	same(t, "due", again.Due, l.Due)
}

func testDefer(t *testing.T, f *fixture) {
	f.put(t, record("a"))
	l := f.leaseOne(t, 10*time.Minute)
	f.advance(time.Minute)
	l.Body = []byte("later")
	ok(t, "Defer", f.Defer(t.Context(), l, time.Hour))
	f.advance(30 * time.Minute) // the lease it had is over
	f.wantDue(t)
	f.advance(30 * time.Minute)
	again := f.leaseOne(t, time.Minute)
	same(t, "body", string(again.Body), "later")
	same(t, "attempt", again.Attempt, 2)
	if d := again.Due.Sub(l.Due); d < 61*time.Minute || d > 62*time.Minute {
		t.Errorf("due %v later, want 1h1m", d)
	}
	ok(t, "Defer, at once", f.Defer(t.Context(), again, 0))
	same(t, "attempt", f.leaseOne(t, time.Minute).Attempt, 3)
}

func testDoneNext(t *testing.T, f *fixture) {
	f.put(t, record("event"), store.Record{ID: "known", After: 24 * time.Hour})
	l := f.leaseOne(t, time.Minute)
	later := record("later")
	later.After = time.Hour
	ok(t, "Done", f.Done(t.Context(), l, record("known"), record("now"), later, record("now"), record("event")))
	f.wantDepth(t, store.Depth{Due: 1, Waiting: 2})
	next := f.leaseOne(t, time.Minute)
	same(t, "id", next.ID, "now")
	same(t, "body", string(next.Body), "body of now")
	ok(t, "Done", f.Done(t.Context(), next))
	f.advance(time.Hour)
	f.wantDue(t, "later")
}

func testDoneNextLost(t *testing.T, f *fixture) {
	f.put(t, record("event"))
	l := f.leaseOne(t, time.Minute)
	f.advance(time.Minute)
	f.leaseOne(t, time.Hour)
	wantErr(t, "Done", f.Done(t.Context(), l, record("next")), store.ErrLeaseLost)
	f.wantDepth(t, store.Depth{Leased: 1})
	same(t, "the id of what was not put", f.put(t, record("next")), []bool{true})
}

func testBury(t *testing.T, f *fixture) {
	for _, id := range []string{"a", "b", "c"} {
		f.put(t, record(id))
		l := f.leaseOne(t, time.Minute)
		l.Body = []byte("not saved")
		ok(t, "Bury", f.Bury(t.Context(), l, "reason of "+id))
		f.advance(time.Minute)
	}
	f.wantDue(t)
	same(t, "the id of a dead record", f.put(t, record("a")), []bool{false})

	dead := f.dead(t)
	same(t, "dead records", len(dead), 3)
	for i, id := range []string{"c", "b", "a"} {
		same(t, "dead record", dead[i], store.DeadRecord{
			ID: id, Kind: "event", Body: []byte("body of " + id), Reason: "reason of " + id, At: dead[i].At,
		})
	}
	if d := dead[0].At.Sub(dead[2].At); d < 2*time.Minute || d > 3*time.Minute {
		t.Errorf("the last was buried %v after the first, want 2m", d)
	}
	f.wantDepth(t, store.Depth{Dead: 3})
}
