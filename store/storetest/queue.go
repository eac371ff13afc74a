package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

func testPutDedupes(t *testing.T, f *fixture) {
	same(t, "in one call", f.put(t, record("a"), record("b"), record("a")), []bool{true, true, false})
	same(t, "across calls", f.put(t, record("b"), record("c")), []bool{false, true})
	same(t, "nothing", len(f.put(t)), 0)

	f.advance(time.Hour)
	leases := f.lease(t, 10, time.Minute)
	same(t, "leased", len(leases), 3)
	same(t, "while leased", f.put(t, record("a")), []bool{false})
	for i := range leases {
		ok(t, "Done", f.Done(t.Context(), &leases[i]))
	}
	same(t, "after Done", f.put(t, record("a")), []bool{false})

	f.advance(store.DefaultDedupeTTL - 2*time.Hour)
	same(t, "before the time to live ends", f.put(t, record("a")), []bool{false})
	f.advance(time.Hour) // it counts from the Put that added, not from Done or a later Put
	same(t, "after the time to live", f.put(t, record("a")), []bool{true})
	same(t, "and again", f.put(t, record("a")), []bool{false})
	f.wantDue(t, "a")
}

func testPutDedupesWhileQueued(t *testing.T, f *fixture) {
	late := record("late")
	late.After = 2 * store.DefaultDedupeTTL
	f.put(t, late)
	f.advance(store.DefaultDedupeTTL + time.Hour)
	f.put(t, record("other")) // a write, which may purge
	same(t, "while waiting", f.put(t, record("late")), []bool{false})
	ok(t, "Done", f.Done(t.Context(), f.leaseOne(t, time.Minute)))

	f.advance(store.DefaultDedupeTTL)
	l := f.leaseOne(t, time.Minute)
	same(t, "id", l.ID, "late")
	same(t, "while leased", f.put(t, record("late")), []bool{false})
	ok(t, "Done", f.Done(t.Context(), l))
	same(t, "after Done", f.put(t, record("late")), []bool{true})
}

func testPutContention(t *testing.T, f *fixture) {
	for round := range 10 {
		id := fmt.Sprintf("round-%d", round)
		count := together(t, 32, func(i int) (bool, error) {
			added, err := f.Put(t.Context(), record(fmt.Sprintf("%s-%d", id, i)), record(id))
			return err == nil && added[1], err
		})
		same(t, "how many added the same id", count, 1)
	}
	f.wantDepth(t, store.Depth{Due: 10 * (32 + 1)})
}

func testPutCopies(t *testing.T, f *fixture) {
	r := record("a")
	want := slices.Clone(r.Body)
	f.put(t, r)
	clear(r.Body)
	l := f.leaseOne(t, time.Minute)
	same(t, "body", l.Body, want)
	clear(l.Body)
	f.advance(time.Minute)
	same(t, "body, leased again", f.leaseOne(t, time.Minute).Body, want)
}

func testPutMany(t *testing.T, f *fixture) {
	const n = 5000
	records := make([]store.Record, n)
	for i := range records {
		records[i] = record(strconv.Itoa(i))
	}
	added := f.put(t, records...)
	same(t, "left out", slices.Index(added, false), -1)
	seen := map[string]bool{}
	for {
		leases := f.lease(t, 700, time.Hour)
		if len(leases) == 0 {
			break
		}
		for _, l := range leases {
			seen[l.ID] = true
		}
	}
	same(t, "different records leased", len(seen), n)
	f.wantDepth(t, store.Depth{Leased: n})
}

func testBodies(t *testing.T, f *fixture) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, tc := range []struct {
		name string
		body []byte
	}{
		{"none", nil},
		{"empty", []byte{}},
		{"every byte", every},
		{"8 KiB", bytes.Repeat([]byte("x"), 8<<10)},
		{"8 KiB and 1", bytes.Repeat([]byte("y"), 8<<10+1)},
		{"1 MiB", bytes.Repeat(every, 4<<10)},
	} {
		f.put(t, store.Record{ID: "id \x00\xff of " + tc.name, Kind: "kind \x00\xff", Body: tc.body})
		l := f.leaseOne(t, time.Minute)
		same(t, "id", l.ID, "id \x00\xff of "+tc.name)
		same(t, "kind", l.Kind, "kind \x00\xff")
		if !bytes.Equal(l.Body, tc.body) {
			t.Errorf("%s: the body came back another, with %d bytes", tc.name, len(l.Body))
		}
		// From any length to any other and back.
		for _, body := range [][]byte{bytes.Repeat([]byte("z"), 100_000), tc.body, []byte("short")} {
			l.Body = body
			ok(t, "Defer", f.Defer(t.Context(), l, 0))
			l = f.leaseOne(t, time.Minute)
			if !bytes.Equal(l.Body, body) {
				t.Errorf("%s: a deferred body came back another, with %d bytes instead of %d", tc.name, len(l.Body), len(body))
			}
		}
		ok(t, "Done", f.Done(t.Context(), l))
	}
}

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

// leaseEnds are the calls that need a lease.
var leaseEnds = []struct {
	name string
	call func(context.Context, store.Store, *store.Lease) error
}{
	{"Extend", func(ctx context.Context, s store.Store, l *store.Lease) error { return s.Extend(ctx, l, time.Minute) }},
	{"Defer", func(ctx context.Context, s store.Store, l *store.Lease) error { return s.Defer(ctx, l, time.Minute) }},
	{"Done", func(ctx context.Context, s store.Store, l *store.Lease) error { return s.Done(ctx, l) }},
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
		// What is left is as it was, and goes.
		f.advance(2 * time.Hour)
		leases := f.lease(t, 10, time.Minute)
		for i := range leases {
			same(t, "body when "+how.name, string(leases[i].Body), "body of "+leases[i].ID)
			ok(t, "Done", f.Done(t.Context(), &leases[i]))
		}
	}
	dead, err := f.Dead(t.Context(), 10)
	ok(t, "Dead", err)
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

	dead, err := f.Dead(t.Context(), 10)
	ok(t, "Dead", err)
	same(t, "dead records", len(dead), 3)
	for i, id := range []string{"c", "b", "a"} {
		same(t, "dead record", dead[i], store.DeadRecord{
			ID: id, Kind: "event", Body: []byte("body of " + id), Reason: "reason of " + id, At: dead[i].At,
		})
	}
	if d := dead[0].At.Sub(dead[2].At); d < 2*time.Minute || d > 3*time.Minute {
		t.Errorf("the last was buried %v after the first, want 2m", d)
	}
	for _, n := range []int{2, 0, -1} {
		some, err := f.Dead(t.Context(), n)
		ok(t, "Dead", err)
		same(t, "how many of n", len(some), max(n, 0))
	}
	f.wantDepth(t, store.Depth{Dead: 3})
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

func testRestart(t *testing.T, f *fixture) {
	waiting := record("waiting")
	waiting.After = time.Hour
	f.put(t, record("dead"))
	ok(t, "Bury", f.Bury(t.Context(), f.leaseOne(t, time.Minute), "reason"))
	f.put(t, record("done"))
	ok(t, "Done", f.Done(t.Context(), f.leaseOne(t, time.Minute)))
	f.put(t, record("tried"))
	ok(t, "Defer", f.Defer(t.Context(), f.leaseOne(t, time.Minute), 0))
	f.put(t, waiting)
	for _, id := range []string{"1", "2", "3"} {
		ok(t, "Note", f.Note(t.Context(), id, []byte("entry "+id)))
	}
	_, cursor := f.entries(t, "", 1)
	rate := store.Rate{Limit: 2, Per: 24 * time.Hour}
	f.take(t, "rate", rate)
	f.claim(t, "claim", "me", time.Hour)
	ok(t, "Set", f.Set(t.Context(), "value", []byte("kept"), time.Hour))

	f.reopen(t)
	f.reopen(t)

	f.wantDepth(t, store.Depth{Due: 1, Waiting: 1, Dead: 1})
	l := f.leaseOne(t, time.Minute)
	same(t, "record", []any{l.ID, l.Kind, string(l.Body), l.Attempt}, []any{"tried", "event", "body of tried", 2})
	same(t, "known ids", f.put(t, record("dead"), record("done"), record("tried"), record("waiting")), []bool{false, false, false, false})
	ids, _ := f.entries(t, cursor, 5)
	same(t, "entries after the cursor", ids, []string{"2", "1"})
	ok(t, "Note", f.Note(t.Context(), "4", nil))
	ids, _ = f.entries(t, "", 5)
	same(t, "entries", ids, []string{"4", "3", "2", "1"})
	same(t, "second of a bucket of 2", f.take(t, "rate", rate), 0)
	if f.take(t, "rate", rate) == 0 {
		t.Error("the bucket forgot what was taken before the restart")
	}
	same(t, "another's claim", f.claim(t, "claim", "you", time.Hour), false)
	same(t, "value", string(f.get(t, "value")), "kept")
	f.advance(time.Hour)
	ok(t, "Done", f.Done(t.Context(), l))
	f.wantDue(t, "waiting")
}

func testRestartWhileLeased(t *testing.T, f *fixture) {
	f.put(t, record("a"), record("b"))
	first := f.lease(t, 2, time.Hour)
	f.reopen(t)
	f.advance(time.Hour) // at the latest now
	again := f.lease(t, 10, time.Hour)
	same(t, "records that came back", len(again), 2)
	same(t, "attempt", again[0].Attempt, 2)
	for i := range first {
		wantErr(t, "Done by who held it before", f.Done(t.Context(), &first[i]), store.ErrLeaseLost)
	}
	for i := range again {
		ok(t, "Done", f.Done(t.Context(), &again[i]))
	}
}

// testPurge has many things expire, and looks that whatever removes them
// takes nothing else along.
func testPurge(t *testing.T, f *fixture) {
	const n = 100
	ctx := t.Context()
	for day := range 4 {
		for i := range n / 10 {
			id := fmt.Sprintf("%d-%d", day, i)
			ok(t, "Note", f.Note(ctx, id, nil))
			ok(t, "Set", f.Set(ctx, id, []byte(id), time.Hour))
			ok(t, "Set", f.Set(ctx, "lasting", []byte(id), store.DefaultJournalTTL))
			f.claim(t, id, "me", time.Hour)
			same(t, "members", f.tally(t, "tally", id, "", time.Hour).Members, i+1)
			same(t, "members of a tally for long", f.tally(t, "long tally", id, "", store.DefaultJournalTTL).Members, day*n/10+i+1)
			f.take(t, id, store.Rate{Limit: 1, Per: time.Hour})
		}
		records := make([]store.Record, n)
		for i := range records {
			records[i] = store.Record{ID: strconv.Itoa(i), After: time.Hour}
		}
		added := f.put(t, records...)
		same(t, "ids that were known", slices.Index(added, false), -1)
		f.advance(time.Hour)
		leases := f.lease(t, n, time.Hour)
		same(t, "leased", len(leases), n)
		for i := range leases {
			if i%2 == 0 {
				ok(t, "Done", f.Done(ctx, &leases[i]))
			}
		}
		f.advance(store.DefaultDedupeTTL)
		leases = f.lease(t, n, time.Hour)
		same(t, "leased again", len(leases), n/2)
		for i := range leases {
			ok(t, "Done", f.Done(ctx, &leases[i]))
		}
	}
	same(t, "a lasting value", string(f.get(t, "lasting")), fmt.Sprintf("3-%d", n/10-1))
	same(t, "members of a tally for long", len(f.tallied(t, "long tally", store.DefaultJournalTTL)), 4*n/10)
	f.advance(store.DefaultJournalTTL)
	ids, next := f.entries(t, "", 10)
	same(t, "entries", len(ids), 0)
	same(t, "cursor", next, "")
	f.wantDepth(t, store.Depth{})
}

func testBadInput(t *testing.T, f *fixture) {
	ctx := t.Context()
	long := strings.Repeat("x", store.MaxID+1)
	f.put(t, record("a"))
	l := f.leaseOne(t, time.Hour)
	second := func(_ any, err error) error { return err }
	for _, tc := range []struct {
		name string
		err  error
	}{
		{"Put without an id", second(f.Put(ctx, record("fine"), record("")))},
		{"Put with a long id", second(f.Put(ctx, record("fine"), record(long)))},
		{"Lease without a visibility", second(f.Lease(ctx, 1, 0))},
		{"Extend without a visibility", f.Extend(ctx, l, -time.Second)},
		{"Done with a next that has no id", f.Done(ctx, l, record("fine"), record(""))},
		{"Note without an id", f.Note(ctx, "", nil)},
		{"Amend with a long id", f.Amend(ctx, long, nil)},
		{"Take without a key", second(f.Take(ctx, "", store.Rate{Limit: 1, Per: time.Hour}))},
		{"Take without a limit", second(f.Take(ctx, "key", store.Rate{Per: time.Hour}))},
		{"Take without a time", second(f.Take(ctx, "key", store.Rate{Limit: 1}))},
		{"Take with a negative burst", second(f.Take(ctx, "key", store.Rate{Limit: 1, Per: time.Hour, Burst: -1}))},
		{"Take with a burst that takes 10 years to fill", second(f.Take(ctx, "key", store.Rate{Limit: 1, Per: time.Hour, Burst: 90_000}))},
		{"Hold without a key", f.Hold(ctx, "", time.Hour)},
		{"Hold for no time", f.Hold(ctx, "key", 0)},
		{"Claim without an owner", second(f.Claim(ctx, "key", "", time.Hour))},
		{"Claim for no time", second(f.Claim(ctx, "key", "me", 0))},
		{"Release without a key", f.Release(ctx, "", "me")},
		{"Tally without a key", second(f.Tally(ctx, "", store.Seen{ID: "a"}, time.Hour))},
		{"Tally of a member without an id", second(f.Tally(ctx, "key", store.Seen{}, time.Hour))},
		{"Tally of a member with a long id", second(f.Tally(ctx, "key", store.Seen{ID: long}, time.Hour))},
		{"Tally of a member with a long group", second(f.Tally(ctx, "key", store.Seen{ID: "a", Group: long}, time.Hour))},
		{"Tally within no time", second(f.Tally(ctx, "key", store.Seen{ID: "a"}, 0))},
		{"Tallied with a long key", second(f.Tallied(ctx, long, time.Hour))},
		{"Tallied within no time", second(f.Tallied(ctx, "key", -time.Second))},
		{"Set without a key", f.Set(ctx, "", nil, time.Hour)},
		{"Set for no time", f.Set(ctx, "key", nil, 0)},
		{"Get with a long key", second(f.Get(ctx, long))},
	} {
		if tc.err == nil {
			t.Errorf("%s: no error", tc.name)
		}
	}
	f.wantDepth(t, store.Depth{Leased: 1})
	ok(t, "Done", f.Done(ctx, l, record(strings.Repeat("x", store.MaxID))))
}

// everyCall calls each method but Close.
func everyCall(ctx context.Context, s store.Store, l *store.Lease) map[string]error {
	errs := map[string]error{}
	_, errs["Put"] = s.Put(ctx, record("never put"))
	_, errs["Lease"] = s.Lease(ctx, 1, time.Minute)
	_, errs["Queued"] = s.Queued(ctx, "never put")
	errs["Wait"] = s.Wait(ctx, 24*time.Hour)
	for _, end := range leaseEnds {
		errs[end.name] = end.call(ctx, s, l)
	}
	_, errs["Depth"] = s.Depth(ctx)
	_, errs["Dead"] = s.Dead(ctx, 1)
	errs["Note"] = s.Note(ctx, "never noted", nil)
	errs["Amend"] = s.Amend(ctx, "never noted", nil)
	_, _, errs["Entries"] = s.Entries(ctx, "", 1)
	_, errs["Take"] = s.Take(ctx, "never taken", store.Rate{Limit: 1, Per: time.Hour})
	errs["Hold"] = s.Hold(ctx, "never taken", time.Hour)
	_, errs["Claim"] = s.Claim(ctx, "never claimed", "me", time.Hour)
	errs["Release"] = s.Release(ctx, "claimed", "me")
	_, errs["Tally"] = s.Tally(ctx, "never tallied", store.Seen{ID: "a"}, time.Hour)
	_, errs["Tallied"] = s.Tallied(ctx, "never tallied", time.Hour)
	errs["Set"] = s.Set(ctx, "never set", nil, time.Hour)
	_, errs["Get"] = s.Get(ctx, "never set")
	errs["Ping"] = s.Ping(ctx)
	return errs
}

func testCancelled(t *testing.T, f *fixture) {
	ok(t, "Ping", f.Ping(t.Context()))
	f.claim(t, "claimed", "me", time.Hour)
	f.put(t, record("leased"))
	l := f.leaseOne(t, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range everyCall(ctx, f, l) {
		wantErr(t, name, err, context.Canceled)
	}
	f.wantDepth(t, store.Depth{Leased: 1})
	same(t, "another's claim", f.claim(t, "claimed", "you", time.Hour), false)
	same(t, "members of a tally", len(f.tallied(t, "never tallied", time.Hour)), 0)
	ids, _ := f.entries(t, "", 1)
	same(t, "entries", len(ids), 0)
	ok(t, "Done", f.Done(t.Context(), l))
}

// testCancelledMidway cancels while writes are under way: they may come to
// pass or not, but whole, and what their callers do afterwards is theirs.
func testCancelledMidway(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	acked := map[string]bool{}
	together(t, 32, func(i int) (bool, error) {
		for k := 0; ; k++ {
			r := record(fmt.Sprintf("%d-%d", i, k))
			_, err := f.Put(ctx, r)
			clear(r.Body)
			if err != nil {
				wantErr(t, "Put when its context ends", err, context.Canceled)
				return true, nil
			}
			mu.Lock()
			acked[r.ID] = true
			if len(acked) == 500 {
				cancel()
			}
			mu.Unlock()
		}
	})
	for _, l := range f.lease(t, 10_000, time.Hour) {
		same(t, "body", string(l.Body), "body of "+l.ID)
		delete(acked, l.ID)
	}
	same(t, "records that were put, and are not there", len(acked), 0)
}

func testClosed(t *testing.T, f *fixture) {
	f.put(t, record("a"))
	l := f.leaseOne(t, time.Hour)
	waits := make(chan error, 1)
	go func() { waits <- f.Wait(t.Context(), 24*time.Hour) }()
	// Writers that Close meets get an answer, one way or the other.
	answers := make(chan error, 64)
	for i := range cap(answers) {
		go func() {
			_, err := f.Put(t.Context(), record(strconv.Itoa(i)))
			answers <- err
		}()
	}
	ok(t, "Close", f.Close())
	put := 0
	for range cap(answers) {
		if err := <-answers; err == nil {
			put++
		} else {
			wantErr(t, "Put while closing", err, store.ErrClosed)
		}
	}
	if err := <-waits; err != nil {
		wantErr(t, "Wait while closing", err, store.ErrClosed)
	}
	for name, err := range everyCall(t.Context(), f, l) {
		wantErr(t, name, err, store.ErrClosed)
	}
	ok(t, "second Close", f.Close())
	f.open(t)
	f.advance(time.Hour)
	same(t, "records whose Put was answered, and the leased one", len(f.lease(t, 1000, time.Hour)), put+1)
}
