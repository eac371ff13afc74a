package deliveries_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/recent"
	"github.com/pipesteward/pipesteward/handlers/deliveries"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// replicas share the deliveries in one store.
type replicas struct {
	rapid.TB
	store  *bolt.Store
	clock  *storetest.Clock
	log    bytes.Buffer
	failed error // of the store
}

func newReplicas(t rapid.TB, file string) *replicas {
	r := &replicas{TB: t, clock: storetest.NewClock()}
	var err error
	if r.store, err = bolt.Open(file, bolt.Options{Now: r.clock.Now}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *replicas) Append(ctx context.Context, key, id string, body []byte, most int) error {
	if r.failed != nil {
		return r.failed
	}
	return r.store.Append(ctx, key, id, body, most)
}

func (r *replicas) Appended(ctx context.Context, key, cursor string, n int) (entries []store.Entry, next string, err error) {
	return r.store.Appended(ctx, key, cursor, n)
}

// replica starts a replica, which keeps so many deliveries in memory.
func (r *replicas) replica(authenticated, others int) *deliveries.Shared {
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	return &deliveries.Shared{
		Log:           deliveries.New(authenticated, others),
		Authenticated: recent.New(r, "deliveries", r.clock.Now, log), Others: recent.New(r, "others", r.clock.Now, log), Logger: log,
	}
}

// record records a delivery that arrives now.
func (r *replicas) record(at *deliveries.Shared, d event.Delivery) event.Delivery {
	d.At = r.clock.Now().UTC()
	at.Record(d)
	return d
}

// want checks what a replica lists.
func (r *replicas) want(from *deliveries.Shared, limit int, want ...int64) {
	r.Helper()
	list, _, err := from.Deliveries(context.Background(), all, time.Time{}, "", limit)
	if diff := cmp.Diff(want, jobsOf(list)); err != nil || diff != "" {
		r.Errorf("%v, deliveries (-want +got):\n%s", err, diff)
	}
}

func jobsOf(list []event.Delivery) []int64 {
	ids := []int64{}
	for _, d := range list {
		ids = append(ids, d.Job)
	}
	return ids
}

// TestDeliveriesOfAllReplicas: each replica lists the deliveries of all, newest first,
// each once, and its own while the store is away.
func TestDeliveriesOfAllReplicas(t *testing.T) {
	r := newReplicas(t, filepath.Join(t.TempDir(), "test.db"))
	t.Cleanup(func() { _ = r.store.Close() })
	one, two := r.replica(3, 2), r.replica(3, 2)
	job := func(to *deliveries.Shared, id int64, isAuthenticated bool) {
		r.clock.Advance(time.Minute)
		r.record(to, event.Delivery{Job: id, Authenticated: isAuthenticated})
	}
	job(one, 1, true)
	r.want(two, 10, []int64{}...) // one has not shared it
	r.want(one, 10, 1)
	job(two, 2, true)
	job(one, 3, false)
	job(one, 4, true)
	r.want(one, 10, 4, 3, 1)
	r.want(two, 10, 4, 3, 2, 1)
	r.want(one, 2, 4, 3)
	for id := int64(5); id < 15; id++ { // more than are kept in memory
		job(one, id, true)
	}
	r.want(two, 2, 4, 3)
	r.want(one, 5, 14, 13, 12, 4, 3)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	job(two, 15, false)
	two.Run(ctx)
	r.want(one, 2, 14, 13) // two's last one is shared, and not flushed
	r.want(two, 1, 15)
	r.want(one, 1, 15)

	r.failed = errors.New("the store is away")
	job(one, 16, true)
	r.want(one, 10, 16, 14, 13, 3)
	if !strings.Contains(r.log.String(), "can't be read") {
		t.Errorf("nothing is logged while the store is away:\n%s", &r.log)
	}
}

// TestNewestOfAQuietReplica: the block of a replica that got little is older than those of
// a busy one, and may yet have the newest delivery of all.
func TestNewestOfAQuietReplica(t *testing.T) {
	r := newReplicas(t, filepath.Join(t.TempDir(), "test.db"))
	t.Cleanup(func() { _ = r.store.Close() })
	quiet, busy := r.replica(1000, 1000), r.replica(1000, 1000)
	var recorded []event.Delivery // oldest first
	reason := strings.Repeat("x", 1000)
	for i := range 6000 { // of which 128 KiB are a block
		r.clock.Advance(time.Second)
		to := busy
		if i%1000 == 10 {
			to = quiet
		}
		recorded = append(recorded, r.record(to, event.Delivery{Job: int64(i), Authenticated: true, Reason: reason}))
		if i%500 == 499 {
			r.want(busy, 1, jobsOf(recorded[i:])...)
			_, _, _ = quiet.Deliveries(t.Context(), all, time.Time{}, "", 1)
		}
	}
	r.clock.Advance(time.Second)
	recorded = append(recorded, r.record(quiet, event.Delivery{Job: 6000, Authenticated: true}))
	r.want(quiet, 1, 6000)
	r.want(busy, 2, 6000, 5999)
	slices.Reverse(recorded)
	if diff := cmp.Diff(jobsOf(recorded), jobsOf(pages(t, busy, all, time.Time{}, 500, nil))); diff != "" {
		t.Errorf("all pages (-want +got):\n%s", diff)
	}
	since := recorded[100].At
	if diff := cmp.Diff(jobsOf(recorded[:101]), jobsOf(pages(t, busy, all, since, 30, nil))); diff != "" {
		t.Errorf("all pages since (-want +got):\n%s", diff)
	}
}

// pages lists all pages. between is called before each page but the first.
func pages(t rapid.TB, of *deliveries.Shared, match func(*event.Delivery) bool, since time.Time, limit int, between func()) (listed []event.Delivery) {
	t.Helper()
	for cursor := ""; ; {
		list, next, err := of.Deliveries(context.Background(), match, since, cursor, limit)
		if err != nil || len(list) > limit || next != "" && len(list) < limit {
			t.Fatalf("%d deliveries of %d, next %q, %v", len(list), limit, next, err)
		}
		listed = append(listed, list...)
		if cursor = next; cursor == "" {
			return listed
		}
		if between != nil {
			between()
		}
	}
}

// TestPages: whatever arrives at whichever replica while somebody reads page by page, each
// delivery that was there at the beginning is listed once, newest first.
func TestPages(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	rapid.Check(t, func(t *rapid.T) {
		r := newReplicas(t, file)
		defer func() { _ = errors.Join(r.store.Close(), os.Remove(file)) }()
		fleet := []*deliveries.Shared{r.replica(100, 100), r.replica(100, 100), r.replica(100, 100)}
		var recorded []event.Delivery // oldest first
		record := func() {
			if rapid.Bool().Draw(t, "later") { // else at the same time
				r.clock.Advance(time.Minute)
			}
			d := event.Delivery{Job: int64(len(recorded)), Authenticated: rapid.Bool().Draw(t, "authenticated"), Code: rapid.SampledFrom([]int{200, 202}).Draw(t, "code")}
			recorded = append(recorded, r.record(rapid.SampledFrom(fleet).Draw(t, "replica"), d))
		}
		share := func() {
			for _, replica := range fleet {
				_, _, _ = replica.Deliveries(context.Background(), all, time.Time{}, "", 1)
			}
		}
		for range rapid.IntRange(0, 30).Draw(t, "deliveries") {
			record()
		}
		share()
		there := len(recorded)
		since := r.clock.Now().Add(-time.Duration(rapid.IntRange(0, 30).Draw(t, "minutes")) * time.Minute)
		wanted := rapid.SampledFrom([]int{0, 200, 202}).Draw(t, "wanted")
		match := func(d *event.Delivery) bool { return wanted == 0 || wanted == d.Code }
		reader := rapid.SampledFrom(fleet).Draw(t, "reader")
		listed := pages(t, reader, match, since, rapid.IntRange(1, 5).Draw(t, "limit"), func() {
			r.clock.Advance(time.Nanosecond)
			record()
			share()
		})
		if !slices.IsSortedFunc(listed, func(a, b event.Delivery) int { return b.At.Compare(a.At) }) {
			t.Errorf("the list is not newest first: %v", listed)
		}
		var want, got []int64
		for _, d := range recorded[:there] {
			if match(&d) && !d.At.Before(since) {
				want = append(want, d.Job)
			}
		}
		for _, d := range listed {
			got = append(got, d.Job)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("deliveries (-want +got):\n%s", diff)
		}
	})
}

func TestBadCursor(t *testing.T) {
	r := newReplicas(t, filepath.Join(t.TempDir(), "test.db"))
	t.Cleanup(func() { _ = r.store.Close() })
	for _, cursor := range []string{"x", "1", "1.", ".1", "1.x", "1.-1", "1.99999999", "99999999999999999999.1"} {
		if _, _, err := r.replica(1, 1).Deliveries(t.Context(), all, time.Time{}, cursor, 1); !errors.Is(err, store.ErrBadCursor) {
			t.Errorf("cursor %q: %v, want store.ErrBadCursor", cursor, err)
		}
	}
}
