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
// failed job that is retried once, for many jobs at a time: where nobody is
// notified of it, and where one channel is. GitLab and Slack take no time.
func BenchmarkRetriedEvent(b *testing.B) {
	for _, backend := range benchBackends {
		for _, workers := range []int{1, 16} {
			for channels, name := range []string{"unnotified", "notified"} {
				b.Run(fmt.Sprintf("%s/workers=%d/%s", backend.name, workers, name), func(b *testing.B) {
					s := backend.open(b)
					var next atomic.Int64
					b.ResetTimer()
					var wg sync.WaitGroup
					for range workers {
						wg.Go(func() {
							for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
								e := retriedEvent{b.Context(), s, benchID(n), new(store.Lease)}
								for _, call := range e.calls(channels) {
									if err := call(); err != nil {
										b.Error(err)
										return
									}
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
}

// retriedEvent makes the calls for one event. What it leases may be a record of
// another worker's event: their numbers are the same.
type retriedEvent struct {
	ctx context.Context
	store.Store
	id string
	l  *store.Lease
}

var (
	benchBody = bytes.Repeat([]byte("x"), 1500)
	benchRate = store.Rate{Limit: 1_000_000, Per: time.Second}
)

// calls returns the calls in their order, for an event of which 0 or 1 channels are
// notified.
func (e retriedEvent) calls(channels int) []func() error {
	outcome := []string{"outcome"}[:channels]
	calls := []func() error{
		e.put("event"),
		e.lease, e.tally("failures"), e.doneWith(store.Changes{Next: e.records("decision"), Values: e.value("seen")}),
		e.lease, e.take("gitlab"), e.take("gitlab"), e.tally("pipeline" + e.id), e.take("project", "total"), e.take("gitlab"), e.extend,
		e.doneWith(store.Changes{Next: e.records(outcome...), Amend: []store.Entry{{ID: e.id, Body: benchBody}}, Values: e.value("retried")}),
	}
	if channels > 0 {
		calls = append(calls, e.lease, e.claim, e.claim, e.set("slack"), e.set("slack"), e.release, e.doneWith(store.Changes{}))
	}
	return calls
}

func (e retriedEvent) value(key string) []store.Value {
	return []store.Value{{Key: key + e.id, Value: benchBody[:100], TTL: time.Hour}}
}

func (e retriedEvent) records(kinds ...string) (records []store.Record) {
	for _, kind := range kinds {
		r := store.Record{ID: kind + e.id, Kind: kind, Body: benchBody}
		if kind == "decision" {
			r.Note = &store.Entry{ID: e.id, Body: benchBody}
		}
		records = append(records, r)
	}
	return records
}

func (e retriedEvent) lease() error {
	for {
		leases, err := e.Lease(e.ctx, 1, time.Minute)
		if err != nil {
			return err
		}
		if len(leases) > 0 {
			*e.l = leases[0]
			return nil
		}
	}
}

func (e retriedEvent) put(kind string) func() error {
	return func() error { _, err := e.Put(e.ctx, e.records(kind)...); return err }
}

func (e retriedEvent) doneWith(c store.Changes) func() error {
	return func() error { return e.DoneWith(e.ctx, e.l, c) }
}

func (e retriedEvent) extend() error {
	e.l.Body = append(bytes.Clone(e.l.Body), '1')
	return e.Extend(e.ctx, e.l, time.Minute)
}

func (e retriedEvent) tally(key string) func() error {
	return func() error {
		_, err := e.Tally(e.ctx, key, store.Seen{ID: e.id}, time.Minute)
		return err
	}
}

func (e retriedEvent) take(keys ...string) func() error {
	buckets := make([]store.Bucket, len(keys))
	for i, key := range keys {
		buckets[i] = store.Bucket{Key: key, Rate: benchRate}
	}
	return func() error { _, _, err := e.Take(e.ctx, buckets...); return err }
}

func (e retriedEvent) set(key string) func() error {
	return func() error { return e.Set(e.ctx, key+e.id, benchBody[:100], time.Hour) }
}

func (e retriedEvent) claim() error {
	_, err := e.Claim(e.ctx, "slack"+e.id, e.id, time.Minute)
	return err
}
func (e retriedEvent) release() error { return e.Release(e.ctx, "slack"+e.id, e.id) }

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
