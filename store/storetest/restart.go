package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

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
		wantErr(t, "Done by the owner before the restart", f.Done(t.Context(), &first[i]), store.ErrLeaseLost)
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
