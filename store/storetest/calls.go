package storetest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

func testBadInput(t *testing.T, f *fixture) {
	ctx := t.Context()
	long := strings.Repeat("x", store.MaxID+1)
	f.put(t, record("a"))
	l := f.leaseOne(t, time.Hour)
	second := func(_ any, err error) error { return err }
	third := func(_, _ any, err error) error { return err }
	bucket := store.Bucket{Key: "key", Rate: store.Rate{Limit: 1, Per: time.Hour}}
	for _, tc := range []struct {
		name string
		err  error
	}{
		{"Put without an id", second(f.Put(ctx, record("fine"), record("")))},
		{"Put with a long id", second(f.Put(ctx, record("fine"), record(long)))},
		{"Lease without a visibility", second(f.Lease(ctx, 1, 0))},
		{"Extend without a visibility", f.Extend(ctx, l, -time.Second)},
		{"Done with a next that has no id", f.Done(ctx, l, record("fine"), record(""))},
		{"Put with a note without an id", second(f.Put(ctx, record("fine"), store.Record{ID: "noted", Note: &store.Entry{}}))},
		{"DoneWith a next that has no id", f.DoneWith(ctx, l, store.Changes{Next: []store.Record{record("")}})},
		{"DoneWith an entry without an id", f.DoneWith(ctx, l, store.Changes{Amend: []store.Entry{{}}})},
		{"DoneWith a value without a key", f.DoneWith(ctx, l, store.Changes{Values: []store.Value{{TTL: time.Hour}}})},
		{"DoneWith an expected value without a key", f.DoneWith(ctx, l, store.Changes{Expect: []store.Expected{{}}})},
		{"DoneWith a value for no time", f.DoneWith(ctx, l, store.Changes{Values: []store.Value{{Key: "key"}}})},
		{"Find without an id", third(f.Find(ctx, ""))},
		{"Requeue without an id", f.Requeue(ctx, "", store.Changes{})},
		{"Requeue with a value without a key", f.Requeue(ctx, "a", store.Changes{Values: []store.Value{{TTL: time.Hour}}})},
		{"Change with a next that has no id", f.Change(ctx, store.Changes{Next: []store.Record{record("fine"), record("")}})},
		{"Hasten without an id", f.Hasten(ctx, "")},
		{"Drop a long id", f.Drop(ctx, long, store.Changes{})},
		{"Drop with an entry without an id", f.Drop(ctx, "a", store.Changes{Amend: []store.Entry{{}}})},
		{"Entry without an id", second(f.Entry(ctx, ""))},
		{"EntriesOf with a long id", second(f.EntriesOf(ctx, "fine", long))},
		{"Note without an id", f.Note(ctx, "", nil)},
		{"Amend with a long id", f.Amend(ctx, long, nil)},
		{"Append without a key", f.Append(ctx, "", "id", nil, 1)},
		{"Append with a long id", f.Append(ctx, "log", long, nil, 1)},
		{"Append to a log that keeps nothing", f.Append(ctx, "log", "id", nil, 0)},
		{"Appended with a long key", func() error { _, _, err := f.Appended(ctx, long, "", 1); return err }()},
		{"Take without a key", third(f.Take(ctx, store.Bucket{Key: "", Rate: store.Rate{Limit: 1, Per: time.Hour}}))},
		{"Take without a limit", third(f.Take(ctx, store.Bucket{Key: "key", Rate: store.Rate{Per: time.Hour}}))},
		{"Take without a time", third(f.Take(ctx, store.Bucket{Key: "key", Rate: store.Rate{Limit: 1}}))},
		{"Take with a negative burst", third(f.Take(ctx, store.Bucket{Key: "key", Rate: store.Rate{Limit: 1, Per: time.Hour, Burst: -1}}))},
		{"Take with a burst that takes 10 years to fill", third(f.Take(ctx, store.Bucket{Key: "key", Rate: store.Rate{Limit: 1, Per: time.Hour, Burst: 90_000}}))},
		{"Take twice from a bucket", third(f.Take(ctx, bucket, bucket))},
		{"Left without a key", second(f.Left(ctx, store.Bucket{Key: "", Rate: store.Rate{Limit: 1, Per: time.Hour}}))},
		{"Held without a key", second(f.Held(ctx, ""))},
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
	_, _, errs["Records"] = s.Records(ctx, "", 1)
	_, _, errs["Dead"] = s.Dead(ctx, "", 1)
	_, _, errs["Find"] = s.Find(ctx, "leased")
	errs["Requeue"] = s.Requeue(ctx, "dead", store.Changes{})
	errs["Hasten"] = s.Hasten(ctx, "waiting")
	errs["Drop"] = s.Drop(ctx, "dead", store.Changes{})
	errs["Change"] = s.Change(ctx, store.Changes{Amend: []store.Entry{{ID: "never changed"}}})
	errs["Note"] = s.Note(ctx, "never noted", nil)
	errs["Amend"] = s.Amend(ctx, "never noted", nil)
	_, _, errs["Entries"] = s.Entries(ctx, "", 1)
	_, errs["Entry"] = s.Entry(ctx, "never noted")
	_, errs["EntriesOf"] = s.EntriesOf(ctx, "never noted")
	_, _, errs["Amended"] = s.Amended(ctx, "", 1)
	errs["Append"] = s.Append(ctx, "never appended", "id", nil, 1)
	_, _, errs["Appended"] = s.Appended(ctx, "never appended", "", 1)
	_, _, errs["Take"] = s.Take(ctx, store.Bucket{Key: "never taken", Rate: store.Rate{Limit: 1, Per: time.Hour}})
	_, errs["Left"] = s.Left(ctx, store.Bucket{Key: "never taken", Rate: store.Rate{Limit: 1, Per: time.Hour}})
	_, errs["Held"] = s.Held(ctx, "never taken")
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
	same(t, "entries of a log", f.appended(t, "never appended"), nil)
	ok(t, "Done", f.Done(t.Context(), l))
}

// testCancelledMidway cancels the context of writes in flight: each takes effect
// wholly or not at all, and its caller may change what it passed.
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
	// Writes in flight during Close succeed or return ErrClosed.
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
