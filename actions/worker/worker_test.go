package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

func TestMain(m *testing.M) { os.Exit(storetest.InMemory(m).Run()) }

// env is a queue on bolt, whose clock is moved by hand.
type env struct {
	testing.TB
	clock *storetest.Clock
	db    store.Store
}

func newEnv(t testing.TB) *env {
	t.Helper()
	clock := storetest.NewClock()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &env{t, clock, db}
}

func (e *env) put(bodies ...string) {
	e.Helper()
	for i, body := range bodies {
		if _, err := e.db.Put(e.Context(), store.Record{ID: fmt.Sprintf("record-%d", i), Kind: "test", Body: []byte(body)}); err != nil {
			e.Fatal(err)
		}
	}
}

// pool returns a pool whose records are all of the kind "test".
func (e *env) pool(workers, slowLane int, handle worker.Handler) *worker.Pool {
	return worker.New(worker.Config{
		Queue: e.db, Handlers: map[string]worker.Handler{"test": handle}, Log: slog.New(slog.DiscardHandler),
		Workers: workers, SlowLane: slowLane,
	})
}

func (e *env) wantDepth(want store.Depth) {
	e.Helper()
	if got, err := e.db.Depth(e.Context()); err != nil || got != want {
		e.Errorf("depth %+v, %v, want %+v", got, err, want)
	}
}

func records(n int, body string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = body
	}
	return all
}

// No more records are in flight than there are workers, and none is lost.
func TestWorkersBoundRecordsInFlight(t *testing.T) {
	const workers, queued = 20, 200
	e := newEnv(t)
	e.put(records(queued, "{}")...)
	var inFlight, most, done atomic.Int64
	e.pool(workers, 0, func(ctx context.Context, l *worker.Lease) error {
		n := inFlight.Add(1)
		defer inFlight.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		done.Add(1)
		return l.Done(ctx)
	}).WorkOff(t.Context(), time.Minute)
	if done.Load() != queued || most.Load() > workers {
		t.Errorf("%d records handled, at most %d in flight, want %d and %d", done.Load(), most.Load(), queued, workers)
	}
	e.wantDepth(store.Depth{})
}

// From 64 MiB of bodies in flight on no more records are leased.
func TestBytesInFlightAreBounded(t *testing.T) {
	const each, queued, batch = 1 << 20, 128, 16
	e := newEnv(t)
	e.put(records(queued, string(make([]byte, each)))...)
	release := make(chan struct{})
	var inFlight, most atomic.Int64
	var ended sync.WaitGroup
	ended.Go(func() {
		e.pool(queued, 0, func(ctx context.Context, l *worker.Lease) error {
			most.Store(max(most.Load(), inFlight.Add(1)))
			defer inFlight.Add(-1)
			<-release
			return l.Done(ctx)
		}).WorkOff(t.Context(), time.Minute)
	})
	await.Until(t, "64 MiB are in flight", func() bool { return inFlight.Load() >= 64 })
	close(release)
	ended.Wait()
	if most.Load() > 64+batch {
		t.Errorf("%d MiB were in flight, want at most 64 and a batch", most.Load())
	}
	e.wantDepth(store.Depth{})
}

// A record in the slow lane takes up no worker, and a full slow lane takes none.
func TestSlowLane(t *testing.T) {
	e := newEnv(t)
	e.put(`"slow"`, `"slow"`, `"slow"`, `"fast"`, `"fast"`)
	release := make(chan struct{})
	var slow, full, fast atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		e.pool(1, 2, worker.JSON(func(ctx context.Context, l *worker.Lease, lane string) error {
			switch {
			case lane == "fast":
				fast.Add(1)
			case !l.EnterSlowLane():
				full.Add(1)
				return &worker.LaterError{Err: errors.New("the slow lane is full"), After: time.Hour}
			default:
				slow.Add(1)
				<-release
			}
			return l.Done(ctx)
		})).Run(ctx, time.Minute)
	})
	await.Until(t, "the others pass those in the slow lane", func() bool { return slow.Load() == 2 && full.Load() == 1 && fast.Load() == 2 })
	close(release)
	stop()
	ended.Wait()
	e.wantDepth(store.Depth{Waiting: 1})
}

// WorkOff goes on with what the records in flight queue.
func TestWorkOffFollowsSuccessors(t *testing.T) {
	const generations = 50
	e := newEnv(t)
	e.put("0")
	var last atomic.Int64
	e.pool(4, 4, worker.JSON(func(ctx context.Context, l *worker.Lease, n int) error {
		last.Store(int64(n))
		if n == generations {
			return l.Done(ctx)
		}
		return l.Done(ctx, store.Record{ID: fmt.Sprintf("next-%d", n), Kind: "test", Body: fmt.Appendf(nil, "%d", n+1)})
	})).WorkOff(t.Context(), time.Minute)
	if last.Load() != generations {
		t.Errorf("worked off up to generation %d, want %d", last.Load(), generations)
	}
	e.wantDepth(store.Depth{})
}

// An error decides what becomes of the record.
func TestSettle(t *testing.T) {
	failing := errors.New("failing")
	for _, c := range []struct {
		name   string
		body   string
		handle func(ctx context.Context, l *worker.Lease, n int) error
		after  time.Duration // the record is due again; 0: never
		dead   string
	}{
		{"back-off", "1", func(context.Context, *worker.Lease, int) error { return failing }, time.Second, ""},
		{"later", "1", func(context.Context, *worker.Lease, int) error {
			return &worker.LaterError{Err: failing, After: time.Minute}
		}, time.Minute, ""},
		{"dead", "1", func(context.Context, *worker.Lease, int) error { return &worker.DeadError{Reason: "no use"} }, 0, "no use"},
		{"panic", "1", func(context.Context, *worker.Lease, int) error { panic("oops") }, time.Second, ""},
		{"bad body", "{", nil, 0, "the body can't be read: unexpected end of JSON input"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEnv(t)
			e.put(c.body)
			e.pool(1, 0, worker.JSON(c.handle)).WorkOff(t.Context(), time.Minute)
			dead, _, err := e.db.Dead(t.Context(), "", 10)
			switch {
			case err != nil:
				t.Fatal(err)
			case c.dead != "":
				if len(dead) != 1 || dead[0].Reason != c.dead {
					t.Errorf("dead records %+v, want one for the reason %q", dead, c.dead)
				}
				return
			}
			e.wantDepth(store.Depth{Waiting: 1})
			e.clock.Advance(c.after - time.Millisecond)
			e.wantDepth(store.Depth{Waiting: 1})
			e.clock.Advance(time.Millisecond)
			e.wantDepth(store.Depth{Due: 1})
		})
	}
}

// When the time of grace is over, the context of the handlers ends and their
// records are given back, due at once.
func TestStopGivesRecordsBack(t *testing.T) {
	e := newEnv(t)
	e.put("{}")
	ctx, stop := context.WithCancel(t.Context())
	e.pool(1, 0, func(ctx context.Context, _ *worker.Lease) error {
		stop()
		<-ctx.Done()
		return ctx.Err()
	}).Run(ctx, time.Millisecond)
	e.wantDepth(store.Depth{Due: 1})
}
