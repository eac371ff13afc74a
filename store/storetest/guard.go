package storetest

import (
	"fmt"
	"strconv"
	"sync"
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
				left, err := f.Left(t.Context(), store.Bucket{Key: key, Rate: tc.rate})
				ok(t, "Left", err)
				same(t, fmt.Sprintf("%s: tokens left after %d, round %d", key, i, round), left, tc.burst-i)
				same(t, fmt.Sprintf("%s: wait for the %d. of a full bucket, round %d", key, i+1, round), f.take(t, key, tc.rate), 0)
			}
			if left, err := f.Left(t.Context(), store.Bucket{Key: key, Rate: tc.rate}); left != 0 || err != nil {
				t.Errorf("%s: an empty bucket has %d tokens, %v", key, left, err)
			}
			// Refused calls take nothing.
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
		_, wait, err := f.Take(t.Context(), store.Bucket{Key: "key", Rate: rate})
		return wait == 0, err
	}
	same(t, "granted of 64 at once", together(t, 64, take), 10)
	f.advance(12 * time.Hour)
	same(t, "granted of 64 at once, half a day later", together(t, 64, take), 5)
}

// A Take of several buckets takes from those before the first that has no token, and
// from none after it.
func testTakeSeveral(t *testing.T, f *fixture) {
	bucket := func(key string, limit int) store.Bucket {
		return store.Bucket{Key: key, Rate: store.Rate{Limit: limit, Per: time.Hour}}
	}
	take := func(wantTaken int, wantWait time.Duration, buckets ...store.Bucket) {
		t.Helper()
		taken, wait, err := f.Take(t.Context(), buckets...)
		ok(t, "Take", err)
		same(t, "taken", taken, wantTaken)
		if wait > wantWait || wait < wantWait-30*time.Second {
			t.Errorf("wait %v, want %v", wait, wantWait)
		}
	}
	narrow, middle, wide := bucket("narrow", 2), bucket("middle", 1), bucket("wide", 2)
	take(0, 0)
	take(3, 0, narrow, middle, wide)
	take(1, time.Hour, narrow, middle, wide)
	take(0, 30*time.Minute, narrow, wide)
	take(1, 0, wide)
	take(0, 30*time.Minute, wide)

	ok(t, "Hold", f.Hold(t.Context(), "held", 2*time.Hour))
	take(1, 2*time.Hour, bucket("another", 5), bucket("held", 5), bucket("after", 1))
	take(1, 0, bucket("after", 1))
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
	wantHeld := func(key string, want time.Duration) {
		t.Helper()
		left, err := f.Held(ctx, key)
		ok(t, "Held", err)
		if left > want || left < want-30*time.Second {
			t.Errorf("%s is held for %v, want %v", key, left, want)
		}
	}
	wantHeld("key", 0)
	ok(t, "Hold", f.Hold(ctx, "key", 10*time.Minute))
	wantHeld("key", 10*time.Minute)
	wantHeld("other key", 0)
	wantWait("blocked", 10*time.Minute)
	same(t, "wait for another bucket", f.take(t, "other key", rate), 0)
	ok(t, "shorter Hold", f.Hold(ctx, "key", time.Minute))
	wantWait("blocked for less as well", 10*time.Minute)
	ok(t, "longer Hold", f.Hold(ctx, "key", 20*time.Minute))
	f.advance(5 * time.Minute)
	wantWait("blocked for longer", 15*time.Minute)
	f.reopen(t)
	wantWait("blocked before a restart", 15*time.Minute)

	wantHeld("key", 15*time.Minute)
	f.advance(15 * time.Minute)
	wantHeld("key", 0)
	same(t, "first wait after the Hold", f.take(t, "key", rate), 0)
	same(t, "second wait after the Hold", f.take(t, "key", rate), 0)
	wantWait("empty", time.Minute)
	ok(t, "Hold of an empty bucket", f.Hold(ctx, "key", time.Second))
	wantWait("empty, and blocked for less", time.Minute)
}

func (f *fixture) tally(t failer, key, id, group string, within time.Duration) store.Count {
	t.Helper()
	count, err := f.Tally(t.Context(), key, store.Seen{ID: id, Group: group, Note: "note of " + id}, within)
	ok(t, "Tally", err)
	return count
}

func (f *fixture) tallied(t failer, key string, within time.Duration) []store.Seen {
	t.Helper()
	all, err := f.Tallied(t.Context(), key, within)
	ok(t, "Tallied", err)
	return all
}

func testTally(t *testing.T, f *fixture) {
	const within = 10 * time.Minute
	same(t, "first", f.tally(t, "key", "a", "red", within), store.Count{Members: 1, Groups: 1, Position: 1})
	f.advance(4 * time.Minute)
	same(t, "second", f.tally(t, "key", "b", "red", within), store.Count{Members: 2, Groups: 1, Position: 2})
	same(t, "third", f.tally(t, "key", "c", "blue", within), store.Count{Members: 3, Groups: 2, Position: 3})
	same(t, "first again", f.tally(t, "key", "a", "another", within), store.Count{Members: 3, Groups: 2, Position: 1})
	same(t, "of another tally", f.tally(t, "other key", "a", "red", within), store.Count{Members: 1, Groups: 1, Position: 1})

	f.reopen(t)
	all := f.tallied(t, "key", within)
	var got []string
	for _, s := range all {
		got = append(got, s.ID+" "+s.Group+" "+s.Note)
	}
	same(t, "members", got, []string{"a red note of a", "b red note of b", "c blue note of c"})
	if d := all[1].At.Sub(all[0].At); d < 4*time.Minute || d > 5*time.Minute {
		t.Errorf("the second was seen %v after the first, want 4m", d)
	}
	same(t, "members of the last 2 minutes", len(f.tallied(t, "key", 2*time.Minute)), 2)

	f.advance(6 * time.Minute) // a is too old now
	same(t, "members within the time", len(f.tallied(t, "key", within)), 2)
	same(t, "without the first", f.tally(t, "key", "d", "blue", within), store.Count{Members: 3, Groups: 2, Position: 3})
	same(t, "the first as a new one", f.tally(t, "key", "a", "green", within), store.Count{Members: 4, Groups: 3, Position: 4})
	f.advance(4 * time.Minute) // b and c, too: with b goes the group red
	same(t, "two left", f.tally(t, "key", "a", "green", within), store.Count{Members: 2, Groups: 2, Position: 2})
	f.advance(within)
	same(t, "members when all are too old", len(f.tallied(t, "key", within)), 0)
	same(t, "afterwards", f.tally(t, "key", "a", "", within), store.Count{Members: 1, Groups: 1, Position: 1})
	same(t, "members of no tally", len(f.tallied(t, "unknown", within)), 0)
}

func testTallyPositions(t *testing.T, f *fixture) {
	for i := range 100 {
		id := strconv.Itoa(i)
		same(t, "position of "+id, f.tally(t, "key", id, id, time.Hour).Position, i+1)
		f.advance(time.Second)
	}
	f.advance(time.Hour - 50*time.Second)
	count := f.tally(t, "key", "99", "", time.Hour)
	if count.Members != count.Position || count.Groups != count.Members || count.Members < 45 || count.Members > 50 {
		t.Errorf("after half of the members were forgotten: %+v, want some 49 of each", count)
	}
}

func testTallyBounds(t *testing.T, f *fixture) {
	const more = 10
	_ = together(t, 16, func(worker int) (bool, error) {
		for i := worker; i < store.MaxTally+more; i += 16 {
			if _, err := f.Tally(t.Context(), "key", store.Seen{ID: strconv.Itoa(i)}, time.Hour); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	all := f.tallied(t, "key", time.Hour)
	same(t, "members", len(all), store.MaxTally)
	first := all[0].ID
	same(t, "one that is there", f.tally(t, "key", first, "", time.Hour), store.Count{Members: store.MaxTally, Groups: 1, Position: 1})
	f.advance(time.Minute)
	same(t, "one more", f.tally(t, "key", "new", "", time.Hour), store.Count{Members: store.MaxTally, Groups: 1, Position: store.MaxTally})
	f.advance(59 * time.Minute)
	same(t, "when all the others are too old", f.tally(t, "key", "new", "", time.Hour), store.Count{Members: 1, Groups: 1, Position: 1})
}

func testTallyContention(t *testing.T, f *fixture) {
	const members = 500
	var mu sync.Mutex
	ids := map[int]string{} // by position
	together(t, 8, func(worker int) (bool, error) {
		for i := range members {
			id := strconv.Itoa((i + worker*members/8) % members) // all workers add each member, in different orders
			count, err := f.Tally(t.Context(), "key", store.Seen{ID: id, Group: id[len(id)-1:]}, time.Hour)
			if err != nil {
				return false, err
			}
			mu.Lock()
			if other, taken := ids[count.Position]; taken && other != id {
				t.Errorf("%s and %s both have position %d", other, id, count.Position)
			}
			ids[count.Position] = id
			mu.Unlock()
		}
		return true, nil
	})
	same(t, "different positions", len(ids), members)
	for i, s := range f.tallied(t, "key", time.Hour) {
		same(t, fmt.Sprintf("member at position %d", i+1), s.ID, ids[i+1])
	}
	last := ids[members]
	same(t, "in all", f.tally(t, "key", last, "", time.Hour), store.Count{Members: members, Groups: 10, Position: members})
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
		same(t, "owners", count, 1)
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
	f.append(t, key, key, "log", 1)
	ok(t, "Set", f.Set(ctx, key, []byte("value"), time.Hour))
	same(t, "Claim", f.claim(t, key, "me", time.Hour), true)
	same(t, "Take", f.take(t, key, store.Rate{Limit: 1, Per: time.Hour}), 0)
	ok(t, "Hold", f.Hold(ctx, key, time.Hour))
	same(t, "Tally", f.tally(t, key, key, key, time.Hour).Members, 1)
	ok(t, "Release", f.Release(ctx, key, "me"))

	same(t, "value", string(f.get(t, key)), "value")
	same(t, "id", f.put(t, record(key)), []bool{false})
	entries, _, err := f.Entries(ctx, "", 2)
	ok(t, "Entries", err)
	same(t, "entry", string(entries[0].Body), "entry")
	same(t, "log", f.appended(t, key), []string{key + "=log"})
	same(t, "body", string(f.leaseOne(t, time.Minute).Body), "body of "+key)
}
