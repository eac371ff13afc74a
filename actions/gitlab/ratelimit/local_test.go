package ratelimit

import (
	"net/http"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// A bucket gives its burst at once, then one token in each interval, and none while it
// is held.
func TestLocal(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	l := NewLocal(func() time.Time { return now })
	rate := store.Rate{Limit: 60, Per: time.Minute, Burst: 3}
	wants := func(what string, want time.Duration) {
		t.Helper()
		if wait, err := l.Take(t.Context(), "a", rate); wait != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", what, wait, err, want)
		}
	}
	for range 3 {
		wants("the burst", 0)
	}
	wants("the fourth", time.Second)
	now = now.Add(time.Second)
	wants("a second later", 0)
	wants("the next", time.Second)
	if err := l.Hold(t.Context(), "a", time.Minute); err != nil {
		t.Fatal(err)
	}
	wants("a held bucket", time.Minute)
	if wait, err := l.Take(t.Context(), "b", rate); wait != 0 || err != nil {
		t.Errorf("another bucket: %s, %v", wait, err)
	}
	now = now.Add(time.Minute)
	wants("after the hold", 0)
}

func TestReadQuota(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	if q, ok := ReadQuota(h); ok {
		t.Errorf("no headers are the quota %+v", q)
	}
	h.Set("RateLimit-Limit", "2000")
	h.Set("RateLimit-Remaining", "1999")
	h.Set("RateLimit-Name", "throttle_authenticated_api")
	if q, ok := ReadQuota(h); !ok || q != (Quota{"throttle_authenticated_api", 2000, 1999}) {
		t.Errorf("quota %+v, %t", q, ok)
	}
}
