package traced_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest"
	"github.com/pipesteward/pipesteward/store/traced"
)

func TestMain(m *testing.M) { os.Exit(storetest.InMemory(m).Run()) }

// A traced store keeps the contract of the store below.
func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		clock, path := storetest.NewClock(), filepath.Join(t.TempDir(), "test.db")
		return storetest.Backend{
			Open: func(r store.Retention) (store.Store, error) {
				db, err := bolt.Open(path, bolt.Options{Now: clock.Now, Retention: r})
				if err != nil {
					return nil, err
				}
				return traced.New(db, clock.Now), nil
			},
			Advance: clock.Advance,
		}
	})
}

const parent = "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"

// inSpan returns a ctx in which a span is in progress.
func inSpan(ctx context.Context) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, SpanID: trace.SpanID{1, 2, 3, 4, 5, 6, 7, 8}, TraceFlags: trace.FlagsSampled,
	}))
}

// backends are stores on which each test of the trace runs.
func backends(t *testing.T) map[string]store.Store {
	t.Helper()
	file, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	server, err := redis.Open(t.Context(), redistest.Start(t).URL(), redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]store.Store{"bolt": file, "redis": server}
	t.Cleanup(func() {
		for name, db := range all {
			if err := db.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	return all
}

// lease leases the one record that is due.
func lease(t *testing.T, s store.Store) store.Lease {
	t.Helper()
	leases, err := s.Lease(t.Context(), 10, time.Minute)
	if err != nil || len(leases) != 1 {
		t.Fatalf("%d leases and %v, want one", len(leases), err)
	}
	return leases[0]
}

// A record carries the span in which it was put, over changes of its body, its deferral and
// to the records that follow it.
func TestTrace(t *testing.T) {
	t.Parallel()
	put := time.UnixMilli(1_760_000_000_000)
	for name, below := range backends(t) {
		s := traced.New(below, func() time.Time { return put })
		want := func(l store.Lease, body string, trace store.Trace) {
			t.Helper()
			if string(l.Body) != body || l.Trace.Parent != trace.Parent || !l.Trace.At.Equal(trace.At) {
				t.Errorf("%s: the lease has the body %s and the trace %v, want %s and %v", name, l.Body, l.Trace, body, trace)
			}
		}
		carried := store.Trace{Parent: parent, At: put}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		_, err := s.Put(inSpan(t.Context()), store.Record{ID: "a", Kind: "k", Body: []byte(`{"n":1}`)})
		must(err)
		l := lease(t, s)
		want(l, `{"n":1}`, carried)
		l.Body = []byte(`{"n":2}`)
		must(s.Extend(t.Context(), &l, time.Minute))
		must(s.Defer(t.Context(), &l, 0))
		l = lease(t, s)
		want(l, `{"n":2}`, carried)
		// A replica without tracing reads the same body, with two more members.
		queued, _, err := s.Find(t.Context(), "a")
		must(err)
		if got, want := string(queued.Body), `{"n":2,"traceparent":"`+parent+`","traced_at":1760000000000}`; got != want {
			t.Errorf("%s: the body is stored as %s, want %s", name, got, want)
		}
		must(s.DoneWith(inSpan(t.Context()), &l, store.Changes{Next: []store.Record{{ID: "b", Kind: "k", Body: []byte(`{"n":3}`)}}}))
		l = lease(t, s)
		want(l, `{"n":3}`, carried)
		must(s.Done(t.Context(), &l, store.Record{ID: "c", Kind: "k", Body: []byte(`{"n":4}`)})) // no span is in progress
		l = lease(t, s)
		want(l, `{"n":4}`, store.Trace{})
		must(s.Done(inSpan(t.Context()), &l, store.Record{ID: "d", Kind: "k", Body: []byte(`{}`)})) // no place for it
		l = lease(t, s)
		want(l, `{}`, store.Trace{})
		must(s.Done(t.Context(), &l))
		// What a replica without tracing has put.
		_, err = below.Put(inSpan(t.Context()), store.Record{ID: "e", Kind: "k", Body: []byte(`{"n":5}`)})
		must(err)
		l = lease(t, s)
		want(l, `{"n":5}`, store.Trace{})
		must(s.Done(t.Context(), &l))
	}
}

// BenchmarkPut shows what it costs to carry a trace, and that it costs nothing where no span
// is in progress.
func BenchmarkPut(b *testing.B) {
	for name, ctx := range map[string]context.Context{"with a span": inSpan(b.Context()), "without": b.Context()} {
		b.Run(name, func(b *testing.B) {
			s := traced.New(discard{}, time.Now)
			record := store.Record{ID: "a", Kind: "k", Body: []byte(`{"n":1}`)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Put(ctx, record); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// discard is a store that drops what is put.
type discard struct{ store.Store }

func (discard) Put(context.Context, ...store.Record) ([]bool, error) { return nil, nil }
