package store_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/store"
)

func TestTake(t *testing.T) {
	const second = int64(time.Second)
	const now = 1_000_000 * second
	const year = 366 * 24 * time.Hour                   // the longest that a bucket may take to fill
	perMinute := store.Rate{Limit: 6, Per: time.Minute} // one in 10 s, 6 at once
	burst2 := store.Rate{Limit: 6, Per: time.Minute, Burst: 2}
	for _, tc := range []struct {
		name string
		rate store.Rate
		full int64 // as kept
		want int64
		wait time.Duration
	}{
		{"new bucket", perMinute, 0, now + 10*second, 0},
		{"full again long ago", perMinute, now - 100*second, now + 10*second, 0},
		{"full again just now", perMinute, now, now + 10*second, 0},
		{"one taken", perMinute, now + 10*second, now + 20*second, 0},
		{"half of one came back", perMinute, now + 5*second, now + 15*second, 0},
		{"last one", perMinute, now + 50*second, now + 60*second, 0},
		{"empty", perMinute, now + 60*second, now + 60*second, 10 * time.Second},
		{"empty 4 s ago", perMinute, now + 56*second, now + 56*second, 6 * time.Second},
		{"1 ns too early", perMinute, now + 50*second + 1, now + 50*second + 1, 1},
		{"last one of a burst", burst2, now + 10*second, now + 20*second, 0},
		{"empty burst", burst2, now + 20*second, now + 20*second, 10 * time.Second},
		{"emptier than empty: the clock was set back", burst2, now + 3600*second, now + 20*second, 10 * time.Second},
		{"interval is rounded up", store.Rate{Limit: 3, Per: time.Second}, 0, now + 333_333_334, 0},
		{"more than one in a nanosecond", store.Rate{Limit: 10, Per: 1}, now + 10, now + 10, 1},
		{"longest", store.Rate{Limit: 1, Per: year}, now + int64(year), now + int64(year), year},
	} {
		full, wait := tc.rate.Take(now, tc.full)
		if full != tc.want || wait != tc.wait {
			t.Errorf("%s: full at now+%v, wait %v; want now+%v, %v",
				tc.name, time.Duration(full-now), wait, time.Duration(tc.want-now), tc.wait)
		}
	}
}

// TestTakeBounds takes at random times: in no stretch of time more than the
// burst and what came back meanwhile, and after each wait exactly one.
func TestTakeBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := store.Rate{
			Limit: rapid.IntRange(1, 50).Draw(t, "limit"),
			Per:   time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "per")),
			Burst: rapid.IntRange(0, 10).Draw(t, "burst"),
		}
		now, full := int64(1_000_000_000), int64(0)
		var granted []int64
		for _, step := range rapid.SliceOfN(rapid.Int64Range(0, 3*int64(rate.Per)/int64(rate.Limit)), 1, 50).Draw(t, "steps") {
			now += step
			var wait time.Duration
			if full, wait = rate.Take(now, full); wait > 0 {
				if int64(wait) > int64(rate.Interval()) {
					t.Fatalf("wait %v is longer than the interval", wait)
				}
				now += int64(wait)
				if full, wait = rate.Take(now, full); wait > 0 {
					t.Fatalf("wait %v after waiting for that long", wait)
				}
			}
			granted = append(granted, now)
		}
		for i, from := range granted {
			for j, to := range granted[i:] {
				if most := rate.Capacity() + (to-from)/int64(rate.Interval()); int64(j+1) > most {
					t.Fatalf("%d granted in %v, most is %d", j+1, time.Duration(to-from), most)
				}
			}
		}
	})
}

// TestLeft: a bucket has as many tokens as can be taken from it at once.
func TestLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const now = int64(1e18)
		rate := store.Rate{Limit: rapid.IntRange(1, 100).Draw(t, "limit"), Per: time.Duration(rapid.IntRange(1, 3600).Draw(t, "seconds")) * time.Second, Burst: rapid.IntRange(0, 50).Draw(t, "burst")}
		full := rapid.Int64Range(0, 2*now).Draw(t, "full")
		if near := rapid.Int64Range(-1e12, 1e12).Draw(t, "near"); near%2 == 0 {
			full = now + near
		}
		left, taken := rate.Left(now, full), 0
		for wait := time.Duration(0); wait == 0; taken++ {
			full, wait = rate.Take(now, full)
		}
		if left != taken-1 {
			t.Fatalf("%d left, and %d can be taken", left, taken-1)
		}
	})
}
