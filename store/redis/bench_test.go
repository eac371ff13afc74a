//go:build unix

package redis_test

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// BenchmarkRedisMemory measures how much of Redis's memory a record takes while
// it is queued and after, when only its id is remembered, and an entry of the
// journal, and a member of a tally. Bodies are as long as those of a failed job.
func BenchmarkRedisMemory(b *testing.B) {
	const event, outcome = 1500, 1900
	server := redistest.Start(b)
	s := openRedis(b, server.URL(), redis.Options{})
	used := func() float64 { return float64(infoNumber(b, server, "used_memory")) }
	report := func(what string, since float64) {
		b.ReportMetric((used()-since)/float64(b.N), "B/"+what)
	}
	empty := used()
	for n := range int64(b.N) {
		if _, err := s.Put(b.Context(), store.Record{ID: fmt.Sprintf("event:https://gitlab.com:%016x-6e9f-4e6e-9fac-d9128cd7232f", n), Kind: "event", Body: bytes.Repeat([]byte("x"), event)}); err != nil {
			b.Fatal(err)
		}
	}
	report("queued", empty)
	for leases := []store.Lease{{}}; len(leases) > 0; {
		var err error
		if leases, err = s.Lease(b.Context(), 1000, time.Minute); err != nil {
			b.Fatal(err)
		}
		for i := range leases {
			if err := s.Done(b.Context(), &leases[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	report("remembered", empty)
	worked := used()
	for n := range b.N {
		if err := s.Note(b.Context(), "retry:https://gitlab.com:380:"+strconv.Itoa(n)+":failed@1795392000000000000", bytes.Repeat([]byte("x"), outcome)); err != nil {
			b.Fatal(err)
		}
	}
	report("entry", worked)
	noted := used()
	for n := range b.N {
		member := store.Seen{ID: "380/" + strconv.Itoa(5_000_000_000+n), Group: strconv.Itoa(1_000_000_000 + n/3), Note: "runner 12"}
		if _, err := s.Tally(b.Context(), "failures:"+strconv.Itoa(n/1000), member, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
	report("member", noted)
}

// BenchmarkRedisUnreachable measures how long a Put takes to fail, of 64 at once,
// while Redis answers nothing or is gone.
func BenchmarkRedisUnreachable(b *testing.B) {
	for _, how := range outages {
		b.Run(how.name, func(b *testing.B) {
			server := redistest.Start(b)
			s := openRedis(b, server.URL(), redis.Options{})
			how.stop(server)
			defer how.back(server)
			var slowest atomic.Int64
			for b.Loop() {
				var wg sync.WaitGroup
				for range 64 {
					wg.Go(func() {
						began := time.Now()
						if _, err := s.Put(b.Context(), store.Record{ID: "unanswered"}); err == nil {
							b.Error("Put: no error")
						}
						took := int64(time.Since(began))
						for seen := slowest.Load(); took > seen && !slowest.CompareAndSwap(seen, took); seen = slowest.Load() {
						}
					})
				}
				wg.Wait()
			}
			b.ReportMetric(float64(slowest.Load())/1e6, "slowest-ms")
		})
	}
}
