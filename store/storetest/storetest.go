// Package storetest is the conformance suite of stores: Run tests everything
// that the documentation of package store promises, with real contention and
// real restarts.
//
// The suite moves the backend's clock by minutes and hours. Its assertions also
// hold if that clock runs by itself for some seconds meanwhile, so a backend may
// use its own clock with an offset.
//
// The package has more than 2,000 lines because it is one suite: its tests, one file for
// each concept, share the fixture and its checks, and a cut between them would only export
// those.
package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/store"
)

// Backend is one empty store under test, with the default times to live but for those of
// its lists.
type Backend struct {
	// Open opens the store, also again after a Close, as a new process does.
	Open func(store.Retention) (store.Store, error)
	// Advance moves the store's clock ahead.
	Advance func(time.Duration)
}

// Clock is a clock that only Advance moves, for backends that use the clock of
// the process.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock with a fixed start.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, time.November, 1, 12, 0, 0, 0, time.UTC)}
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d, ahead or, if d is negative, back.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Run runs the suite; newBackend returns an empty backend for each test.
func Run(t *testing.T, newBackend func(t *testing.T) Backend) {
	t.Helper()
	for _, tc := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"Put/dedupes", testPutDedupes},
		{"Put/dedupes while queued", testPutDedupesWhileQueued},
		{"Put/dedupes under contention", testPutContention},
		{"Put/keeps its own copy", testPutCopies},
		{"Put/many", testPutMany},
		{"Put/bodies", testBodies},
		{"Put/notes", testPutNotes},
		{"Lease/in due order", testDueOrder},
		{"Lease/after", testAfter},
		{"Lease/visibility", testVisibility},
		{"Lease/n", testLeaseN},
		{"Lease/each record once", testDrain},
		{"Lease/lost", testLeaseLost},
		{"Lease/expired and not leased again", testLeaseExpired},
		{"Extend", testExtend},
		{"Defer", testDefer},
		{"Done/next", testDoneNext},
		{"Done/next only with the lease", testDoneNextLost},
		{"DoneWith", testDoneWith},
		{"DoneWith/only with the lease", testDoneWithLost},
		{"DoneWith/under contention", testDoneWithContention},
		{"DoneWith/expects values", testDoneWithExpect},
		{"DoneWith/expects values under contention", testDoneWithExpectContention},
		{"Change", testChange},
		{"Change/all or nothing", testChangeRefused},
		{"Change/under contention", testChangeContention},
		{"Bury", testBury},
		{"Queued", testQueued},
		{"Records/order", testRecordsOrder},
		{"Records/paging", testRecordsPaging},
		{"Dead/paging", testDeadPaging},
		{"Pages/large bodies", testLargePages},
		{"Find", testFind},
		{"Requeue", testRequeue},
		{"Requeue/once", testRequeueOnce},
		{"Requeue/not dead", testRequeueNotDead},
		{"Hasten", testHasten},
		{"Drop", testDrop},
		{"Requeue, Drop/with changes", testSteeredWithChanges},
		{"Drop/once", testDropOnce},
		{"Depth", testDepth},
		{"Wait", testWait},
		{"Journal/order", testEntriesOrder},
		{"Journal/paging", testEntriesPaging},
		{"Journal/note and amend", testNoteAmend},
		{"Journal/contention", testNoteContention},
		{"Journal/time to live", testEntriesTTL},
		{"Journal/entry", testEntry},
		{"Journal/amended", testAmended},
		{"Journal/amended too much", testAmendedTooMuch},
		{"Journal/amended under contention", testAmendedContention},
		{"Log", testLog},
		{"Log/keeps the newest", testLogKeepsTheNewest},
		{"Log/time to live", testLogTTL},
		{"Retention/shorter", testShorterRetention},
		{"Retention/longer", testLongerRetention},
		{"Log/contention", testLogContention},
		{"Log/restart", testLogRestart},
		{"Take", testTake},
		{"Take/keys", testTakeKeys},
		{"Take/under contention", testTakeContention},
		{"Take/several", testTakeSeveral},
		{"Take/another rate", testTakeAnotherRate},
		{"Hold", testHold},
		{"Tally", testTally},
		{"Tally/positions", testTallyPositions},
		{"Tally/bounds", testTallyBounds},
		{"Tally/under contention", testTallyContention},
		{"Claim", testClaim},
		{"Claim/under contention", testClaimContention},
		{"Set", testSet},
		{"Guard/keys are apart", testKeysApart},
		{"Describe", testDescribe},
		{"Restart", testRestart},
		{"Restart/while leased", testRestartWhileLeased},
		{"Purge", testPurge},
		{"Bad input", testBadInput},
		{"Cancelled/before", testCancelled},
		{"Cancelled/midway", testCancelledMidway},
		{"Closed", testClosed},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, start(t, newBackend(t))) })
	}
	t.Run("Model", func(t *testing.T) { testModel(t, newBackend) })
}

// fixture is an open store and its backend. Its own methods fail the test if
// the store returns an error.
type fixture struct {
	store.Store
	backend   Backend
	retention store.Retention
}

func start(t *testing.T, b Backend) *fixture {
	t.Helper()
	f := &fixture{backend: b}
	f.open(t)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return f
}

func (f *fixture) open(t failer) {
	t.Helper()
	s, err := f.backend.Open(f.retention)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	f.Store = s
}

func (f *fixture) reopen(t failer) {
	t.Helper()
	ok(t, "Close", f.Close())
	f.open(t)
}

func (f *fixture) advance(d time.Duration) { f.backend.Advance(d) }

// failer has the methods of *testing.T and *rapid.T that the suite needs.
type failer interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func (f *fixture) put(t failer, records ...store.Record) []bool {
	t.Helper()
	added, err := f.Put(t.Context(), records...)
	ok(t, "Put", err)
	return added
}

func (f *fixture) lease(t failer, n int, visibility time.Duration) []store.Lease {
	t.Helper()
	leases, err := f.Lease(t.Context(), n, visibility)
	ok(t, "Lease", err)
	return leases
}

// leaseOne leases the only record that is due.
func (f *fixture) leaseOne(t failer, visibility time.Duration) *store.Lease {
	t.Helper()
	leases := f.lease(t, 2, visibility)
	if len(leases) != 1 {
		t.Fatalf("Lease gave %q, want one record", leaseIDs(leases))
	}
	return &leases[0]
}

// wantDue leases all due records for ever, and compares their ids in order.
func (f *fixture) wantDue(t failer, want ...string) {
	t.Helper()
	same(t, "due records", leaseIDs(f.lease(t, 100, 100_000*time.Hour)), want)
}

func (f *fixture) entries(t failer, cursor string, n int) (ids []string, next string) {
	t.Helper()
	entries, next, err := f.Entries(t.Context(), cursor, n)
	ok(t, "Entries", err)
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids, next
}

func (f *fixture) wantDepth(t failer, want store.Depth) {
	t.Helper()
	got, err := f.Depth(t.Context())
	ok(t, "Depth", err)
	same(t, "Depth", got, want)
}

func (f *fixture) take(t failer, key string, rate store.Rate) time.Duration {
	t.Helper()
	_, wait, err := f.Take(t.Context(), store.Bucket{Key: key, Rate: rate})
	ok(t, "Take", err)
	return wait
}

func (f *fixture) claim(t failer, key, owner string, ttl time.Duration) bool {
	t.Helper()
	claimed, err := f.Claim(t.Context(), key, owner, ttl)
	ok(t, "Claim", err)
	return claimed
}

func (f *fixture) get(t failer, key string) []byte {
	t.Helper()
	value, err := f.Get(t.Context(), key)
	ok(t, "Get", err)
	return value
}

func leaseIDs(leases []store.Lease) []string {
	var ids []string
	for _, l := range leases {
		ids = append(ids, l.ID)
	}
	return ids
}

// record returns a record with the id, due at once.
func record(id string) store.Record {
	return store.Record{ID: id, Kind: "event", Body: []byte("body of " + id)}
}

func ok(t failer, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func wantErr(t failer, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func same[T any](t failer, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// together runs f in n goroutines that start at the same time, and returns how
// many of them returned true.
func together(t *testing.T, n int, f func(i int) (bool, error)) (count int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			yes, err := f(i)
			if err != nil {
				t.Errorf("goroutine %d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if yes {
				count++
			}
		})
	}
	close(begin)
	wg.Wait()
	return count
}
