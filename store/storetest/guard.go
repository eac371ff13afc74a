package storetest

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

func testTake(t *testing.T, f *fixture) {
	for _, tc := range []struct {
		rate     store.Rate
		burst    int
		interval time.Duration
	}{
		{store.Rate{Limit: 5, Per: 10 * time.Minute}, 5, 2 * time.Minute},
		{store.Rate{Limit: 60, Per: time.Hour, Burst: 10}, 10, time.Minute},
		{store.Rate{Limit: 1, Per: time.Hour, Burst: 3}, 3, time.Hour},
		{store.Rate{Limit: 1, Per: time.Hour}, 1, time.Hour},
	} {
		key := fmt.Sprint(tc.rate)
		for round := range 2 {
			for i := range tc.burst {
				same(t, fmt.Sprintf("%s: wait for the %d. of a full bucket, round %d", key, i+1, round), f.take(t, key, tc.rate), 0)
			}
			// Refused ones do not count.
			for range 3 {
				if wait := f.take(t, key, tc.rate); wait > tc.interval || wait < tc.interval-30*time.Second {
					t.Errorf("%s: wait at an empty bucket: %v, want %v", key, wait, tc.interval)
				}
			}
			f.advance(f.take(t, key, tc.rate))
			same(t, key+": wait after waiting", f.take(t, key, tc.rate), 0)
			if f.take(t, key, tc.rate) == 0 {
				t.Errorf("%s: two after a wait for one", key)
			}
			granted := 0
			for range 20 {
				f.advance(tc.interval / 2)
				if f.take(t, key, tc.rate) == 0 {
					granted++
				}
			}
			same(t, key+": granted in 10 intervals", granted, 10)
			f.advance(1000 * time.Hour)
		}
	}
}

func testTakeKeys(t *testing.T, f *fixture) {
	rate := store.Rate{Limit: 2, Per: time.Hour}
	for i := range 50 {
		key := strconv.Itoa(i)
		same(t, "first of "+key, f.take(t, key, rate), 0)
		same(t, "second of "+key, f.take(t, key, rate), 0)
		if f.take(t, key, rate) == 0 {
			t.Errorf("third of %s was granted", key)
		}
	}
}

func testTakeContention(t *testing.T, f *fixture) {
	rate := store.Rate{Limit: 10, Per: 24 * time.Hour}
	take := func(int) (bool, error) {
		wait, err := f.Take(t.Context(), "key", rate)
		return wait == 0, err
	}
	same(t, "granted of 64 at once", together(t, 64, take), 10)
	f.advance(12 * time.Hour)
	same(t, "granted of 64 at once, half a day later", together(t, 64, take), 5)
}

func testTakeAnotherRate(t *testing.T, f *fixture) {
	wide := store.Rate{Limit: 100, Per: 100 * time.Hour}
	for range 100 {
		same(t, "of a wide bucket", f.take(t, "key", wide), 0)
	}
	narrow := store.Rate{Limit: 1, Per: time.Minute, Burst: 2}
	if wait := f.take(t, "key", narrow); wait <= 0 || wait > time.Minute {
		t.Errorf("wait after the rate became narrow: %v, want an interval at most", wait)
	}
}

func testHold(t *testing.T, f *fixture) {
	ctx := t.Context()
	rate := store.Rate{Limit: 60, Per: time.Hour, Burst: 2}
	wantWait := func(what string, want time.Duration) {
		t.Helper()
		if wait := f.take(t, "key", rate); wait > want || wait < want-30*time.Second {
			t.Errorf("%s: wait %v, want %v", what, wait, want)
		}
	}
	ok(t, "Hold", f.Hold(ctx, "key", 10*time.Minute))
	wantWait("held", 10*time.Minute)
	same(t, "wait for another bucket", f.take(t, "other key", rate), 0)
	ok(t, "shorter Hold", f.Hold(ctx, "key", time.Minute))
	wantWait("held for less as well", 10*time.Minute)
	ok(t, "longer Hold", f.Hold(ctx, "key", 20*time.Minute))
	f.advance(5 * time.Minute)
	wantWait("held for longer", 15*time.Minute)
	f.reopen(t)
	wantWait("held before a restart", 15*time.Minute)

	f.advance(15 * time.Minute)
	same(t, "first wait after the hold", f.take(t, "key", rate), 0)
	same(t, "second wait after the hold", f.take(t, "key", rate), 0)
	wantWait("empty", time.Minute)
	ok(t, "Hold of an empty bucket", f.Hold(ctx, "key", time.Second))
	wantWait("empty, and held for less", time.Minute)
}

func testClaim(t *testing.T, f *fixture) {
	ctx := t.Context()
	same(t, "free", f.claim(t, "key", "me", time.Hour), true)
	same(t, "another's", f.claim(t, "key", "you", time.Hour), false)
	same(t, "another key", f.claim(t, "other key", "you", time.Hour), true)

	f.advance(50 * time.Minute)
	same(t, "renewed", f.claim(t, "key", "me", time.Hour), true)
	f.advance(50 * time.Minute)
	same(t, "renewed by another", f.claim(t, "key", "you", time.Hour), false)
	f.advance(10 * time.Minute)
	same(t, "expired", f.claim(t, "key", "you", time.Hour), true)
	same(t, "taken over", f.claim(t, "key", "me", time.Hour), false)

	ok(t, "Release by another", f.Release(ctx, "key", "me"))
	same(t, "after that", f.claim(t, "key", "me", time.Hour), false)
	ok(t, "Release", f.Release(ctx, "key", "you"))
	ok(t, "second Release", f.Release(ctx, "key", "you"))
	same(t, "released", f.claim(t, "key", "me", time.Hour), true)

	same(t, "renewed for less", f.claim(t, "key", "me", time.Minute), true)
	f.advance(time.Minute)
	same(t, "expired", f.claim(t, "key", "you", time.Hour), true)
}

func testClaimContention(t *testing.T, f *fixture) {
	for round := range 10 {
		count := together(t, 32, func(i int) (bool, error) {
			return f.Claim(t.Context(), strconv.Itoa(round), fmt.Sprint("owner ", i), time.Hour)
		})
		same(t, "holders", count, 1)
	}
}

func testSet(t *testing.T, f *fixture) {
	ctx := t.Context()
	if v := f.get(t, "key"); v != nil {
		t.Errorf("a value that nobody set: %q", v)
	}
	value := []byte("one \x00\xff")
	ok(t, "Set", f.Set(ctx, "key", value, time.Hour))
	clear(value)
	same(t, "value", string(f.get(t, "key")), "one \x00\xff")
	ok(t, "Set", f.Set(ctx, "key", []byte("two"), 2*time.Hour))
	f.advance(time.Hour)
	same(t, "value, set again for longer", string(f.get(t, "key")), "two")
	ok(t, "Set", f.Set(ctx, "key", []byte("three"), time.Minute))
	f.advance(time.Minute)
	if v := f.get(t, "key"); v != nil {
		t.Errorf("an expired value: %q", v)
	}
	for _, empty := range [][]byte{nil, {}} {
		ok(t, "Set", f.Set(ctx, "empty", empty, time.Hour))
		if v := f.get(t, "empty"); v == nil || len(v) != 0 {
			t.Errorf("an empty value: %#v, want one that is empty, not nil", v)
		}
	}
	ok(t, "Set", f.Set(ctx, "long", make([]byte, 1<<20), time.Hour))
	same(t, "bytes of a long value", len(f.get(t, "long")), 1<<20)
}

func testKeysApart(t *testing.T, f *fixture) {
	ctx := t.Context()
	const key = "the same"
	f.put(t, record(key))
	ok(t, "Note", f.Note(ctx, key, []byte("entry")))
	ok(t, "Set", f.Set(ctx, key, []byte("value"), time.Hour))
	same(t, "Claim", f.claim(t, key, "me", time.Hour), true)
	same(t, "Take", f.take(t, key, store.Rate{Limit: 1, Per: time.Hour}), 0)
	ok(t, "Hold", f.Hold(ctx, key, time.Hour))
	ok(t, "Release", f.Release(ctx, key, "me"))

	same(t, "value", string(f.get(t, key)), "value")
	same(t, "id", f.put(t, record(key)), []bool{false})
	entries, _, err := f.Entries(ctx, "", 2)
	ok(t, "Entries", err)
	same(t, "entry", string(entries[0].Body), "entry")
	same(t, "body", string(f.leaseOne(t, time.Minute).Body), "body of "+key)
}
