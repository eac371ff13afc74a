package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
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
