//go:build unix

package store_test

import (
	"bytes"
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
