//go:build unix

package store_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// BenchmarkPut measures durable puts of 2 KB records.
func BenchmarkPut(b *testing.B) {
	for _, backend := range benchBackends {
		for _, writers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/writers=%d", backend.name, writers), func(b *testing.B) {
				s := backend.open(b)
				body := bytes.Repeat([]byte("x"), 2<<10)
				var next atomic.Int64
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for range writers {
					wg.Go(func() {
						for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
							if _, err := s.Put(b.Context(), store.Record{ID: benchID(n), Kind: "event", Body: body}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			})
		}
	}
}

// BenchmarkLeaseDone measures draining a queue of 2 KB records: one worker
// leases 64 at a time, and each is done by a goroutine of its own.
func BenchmarkLeaseDone(b *testing.B) {
	for _, backend := range benchBackends {
		b.Run(backend.name, func(b *testing.B) { benchLeaseDone(b, backend.open(b)) })
	}
}

func benchLeaseDone(b *testing.B, s store.Store) {
	body := bytes.Repeat([]byte("x"), 2<<10)
	const batch = 64
	records := make([]store.Record, 0, batch)
	for n := range int64(b.N) {
		records = append(records, store.Record{ID: benchID(n), Kind: "event", Body: body})
		if len(records) == batch || n == int64(b.N)-1 {
			if _, err := s.Put(b.Context(), records...); err != nil {
				b.Fatal(err)
			}
			records = records[:0]
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for {
		leases, err := s.Lease(b.Context(), batch, time.Minute)
		if err != nil {
			b.Fatal(err)
		}
		if len(leases) == 0 {
			break
		}
		var wg sync.WaitGroup
		for i := range leases {
			wg.Go(func() {
				if err := s.Done(b.Context(), &leases[i]); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkRetriedEvent measures the calls that package actions makes for one
// failed job that is retried once and told in one channel, for many jobs at a
// time. GitLab and Slack take no time.
func BenchmarkRetriedEvent(b *testing.B) {
	for _, backend := range benchBackends {
		for _, workers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/workers=%d", backend.name, workers), func(b *testing.B) {
				s := backend.open(b)
				var next atomic.Int64
				b.ResetTimer()
				var wg sync.WaitGroup
				for range workers {
					wg.Go(func() {
						for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
							if err := retryEvent(b.Context(), s, benchID(n)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// retryEvent makes the calls for one event. What it leases may be a record of
// another worker's event: their numbers are the same.
func retryEvent(ctx context.Context, s store.Store, id string) error {
	body := bytes.Repeat([]byte("x"), 1500)
	record := func(kind string) store.Record { return store.Record{ID: kind + id, Kind: kind, Body: body} }
	rate := store.Rate{Limit: 1_000_000, Per: time.Second}
	var l store.Lease
	lease := func() error {
		for {
			leases, err := s.Lease(ctx, 1, time.Minute)
			if err != nil {
				return err
			}
			if len(leases) > 0 {
				l = leases[0]
				return nil
			}
		}
	}
	put := func(r store.Record) error { _, err := s.Put(ctx, r); return err }
	tally := func(key string) error {
		_, err := s.Tally(ctx, key, store.Seen{ID: id}, time.Minute)
		return err
	}
	take := func(key string) error { _, err := s.Take(ctx, key, rate); return err }
	claim := func() error { _, err := s.Claim(ctx, "slack"+id, id, time.Minute); return err }
	set := func(key string) error { return s.Set(ctx, key+id, body[:100], time.Hour) }
	for _, call := range []func() error{
		func() error { return put(record("event")) },
		lease,
		func() error { return tally("failures") },
		func() error { return put(record("decision")) },
		func() error { return s.Note(ctx, id, body) },
		func() error { return s.Done(ctx, &l) },
		lease,
		func() error { return tally("pipeline" + id) },
		func() error { return take("project") },
		func() error { return take("total") },
		func() error { return take("gitlab") },
		func() error { l.Body = append(bytes.Clone(l.Body), '1'); return s.Extend(ctx, &l, time.Minute) },
		func() error { return take("gitlab") },
		func() error { return set("retried") },
		func() error { return s.Done(ctx, &l, record("outcome")) },
		lease,
		func() error { return s.Amend(ctx, id, body) },
		claim, claim,
		func() error { return set("slack") },
		func() error { return set("slack") },
		func() error { return s.Release(ctx, "slack"+id, id) },
		func() error { return s.Done(ctx, &l) },
	} {
		if err := call(); err != nil {
			return err
		}
	}
	return nil
}

// benchBackend opens an empty store.
type benchBackend struct {
	name string
	open func(b *testing.B) store.Store
}

// benchBackends are what the benchmarks compare: each answers a write only
// when it is on disk.
var benchBackends = []benchBackend{
	{"bolt", func(b *testing.B) store.Store {
		s, err := bolt.Open(filepath.Join(b.TempDir(), "bench.db"), bolt.Options{Now: time.Now})
		return closing(b, s, err)
	}},
	{"redis", func(b *testing.B) store.Store {
		server := redistest.Start(b, "--appendfsync", "always")
		s, err := redis.Open(b.Context(), server.URL(), redis.Options{})
		return closing(b, s, err)
	}},
}

// closing has the store closed when the benchmark ends.
func closing(b *testing.B, s store.Store, err error) store.Store {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// benchID spreads over the whole order of ids, as UUIDs do.
func benchID(n int64) string {
	return strconv.FormatUint(uint64(n)*0x9E3779B97F4A7C15, 16) + "-6e9f-4e6e-9fac-d9128cd7232f"
}
