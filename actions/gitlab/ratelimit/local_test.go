package ratelimit_test

import (
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/store"
)

// A bucket gives its burst at once and then a token each interval; held, it gives none.
// Buckets do not affect each other.
func TestLocal(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	l := ratelimit.NewLocal(func() time.Time { return now })
	rate := store.Rate{Limit: 60, Per: time.Minute, Burst: 2}
	unlimited := store.Rate{Limit: 1000, Per: time.Hour}
	take := func(key string, want time.Duration) {
		t.Helper()
		taken, wait, err := l.Take(t.Context(), store.Bucket{Key: "c" + key, Rate: unlimited}, store.Bucket{Key: key, Rate: rate})
		if wait != want || (taken == 2) != (want == 0) || err != nil {
			t.Errorf("take from %s: %d, %s, %v, want %s", key, taken, wait, err, want)
		}
	}
	take("a", 0)
	take("a", 0)
	take("a", time.Second)
	take("b", 0)
	now = now.Add(time.Second)
	take("a", 0)
	take("a", time.Second)

	if err := l.Hold(t.Context(), "a", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := l.Hold(t.Context(), "a", time.Second); err != nil { // the longer one counts
		t.Fatal(err)
	}
	take("a", time.Minute)
	if held, err := l.Held(t.Context(), "a"); held != time.Minute || err != nil {
		t.Errorf("held for %s, %v, want a minute", held, err)
	}
	take("b", 0)
	now = now.Add(time.Minute)
	take("a", 0)
	take("a", 0)
	take("a", time.Second)
}
