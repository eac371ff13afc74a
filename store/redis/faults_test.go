//go:build unix

package redis_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// acked are the ids of records whose Put has returned.
type acked struct {
	mu  sync.Mutex
	ids []string
}

func (a *acked) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ids)
}

// putUntil puts records from many goroutines until the context ends, over
// all errors.
func (a *acked) putUntil(ctx context.Context, s store.Store) *sync.WaitGroup {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%d-%d", g, i)
				if _, err := s.Put(ctx, store.Record{ID: id, Body: []byte("body of " + id)}); err == nil {
					a.mu.Lock()
					a.ids = append(a.ids, id)
					a.mu.Unlock()
				}
			}
		})
	}
	return &wg
}

// wantAll leases what is due, and wants every acknowledged record among it.
func (a *acked) wantAll(t *testing.T, s store.Store) {
	t.Helper()
	leases, err := s.Lease(t.Context(), 1_000_000, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, l := range leases {
		there[l.ID] = string(l.Body) == "body of "+l.ID
	}
	lost := slices.DeleteFunc(a.ids, func(id string) bool { return there[id] })
	if len(lost) > 0 {
		t.Errorf("%d records are lost whose Put had returned: %.200q", len(lost), lost)
	}
}

// TestRedisKilled kills Redis while records are put, and starts it again: the
// same store goes on with it, and has all that was acknowledged.
func TestRedisKilled(t *testing.T) {
	await.Long(t, "it kills Redis again and again")
	server := redistest.Start(t, "--appendfsync", "always")
	s := openRedis(t, server.URL(), redis.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var puts acked
	wg := puts.putUntil(ctx, s)
	for range 3 {
		want := puts.len() + 300
		await.Until(t, "300 more records are put", func() bool { return puts.len() >= want })
		server.Kill()
		server.Restart()
	}
	want := puts.len() + 300
	await.Until(t, "300 more records are put after the last restart", func() bool { return puts.len() >= want })
	cancel()
	wg.Wait()
	puts.wantAll(t, s)
}

// testFailover kills the master: the store goes on with its replica.
func testFailover(t *testing.T, sentinel *redistest.Sentinel) {
	s := openRedis(t, sentinel.URL(), redis.Options{})
	var ids []string
	for i := range 100 {
		id := strconv.Itoa(i)
		putOne(t, s, id)
		ids = append(ids, id)
	}
	await.Until(t, "the replica has it all", func() bool {
		return sentinel.Master.Do("wait", 1, 100) == int64(1)
	})
	sentinel.Watch()
	sentinel.Master.Kill()
	returns(t, "Put without a master", func() {
		if _, err := s.Put(t.Context(), store.Record{ID: "no master"}); err == nil {
			t.Error("Put without a master: no error")
		}
	})
	await.Until(t, "the store works on the new master", func() bool {
		_, err := s.Put(t.Context(), store.Record{ID: "after", Body: []byte("body of after")})
		return err == nil
	})
	drain(t, s, append(ids, "after")...)
	wantWakeup(t, s)
}

// wantWakeup wants a wake-up message when a record is put that is due sooner
// than all others.
func wantWakeup(t *testing.T, s *redis.Store) {
	t.Helper()
	if _, err := s.Lease(t.Context(), 1000, time.Hour); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the store is subscribed", s.Subscribed)
	woken := s.NextWakeup()
	putOne(t, s, rand.Text())
	await.Until(t, "a wake-up message comes", closed(woken))
	if _, err := s.Lease(t.Context(), 1, time.Hour); err != nil {
		t.Error(err)
	}
}

// returns has f return, and fails the test if it hangs.
func returns(t *testing.T, what string, f func()) {
	t.Helper()
	returned := make(chan struct{})
	go func() { defer close(returned); f() }()
	await.Until(t, what+" returns", closed(returned))
}

// closed reports whether the channel is closed.
func closed(c <-chan struct{}) func() bool {
	return func() bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
}

// outages are the ways in which Redis does not answer.
var outages = []struct {
	name       string
	stop, back func(*redistest.Server)
}{
	{"paused", (*redistest.Server).Pause, (*redistest.Server).Resume},
	{"killed", (*redistest.Server).Kill, (*redistest.Server).Restart},
}

// TestRedisUnreachable has Redis answer nothing, or be gone: each call fails
// while that lasts, from many goroutines too, and works when Redis is back. How
// soon they fail is measured by BenchmarkRedisUnreachable.
func TestRedisUnreachable(t *testing.T) {
	await.Long(t, "calls wait for a Redis that does not answer")
	server := redistest.Start(t, "--appendfsync", "always")
	s := openRedis(t, server.URL(), redis.Options{})
	for _, how := range outages {
		t.Run(how.name, func(t *testing.T) {
			putOne(t, s, "leased "+how.name)
			l := drain(t, s, "leased "+how.name)[0]
			how.stop(server)
			for round := range 2 {
				returns(t, fmt.Sprint("Put by 64 at once, round ", round), func() {
					var wg sync.WaitGroup
					for range 64 {
						wg.Go(func() {
							if _, err := s.Put(t.Context(), store.Record{ID: "unanswered"}); err == nil || !strings.Contains(err.Error(), server.Addr) {
								t.Errorf("Put: error %v, want one that names %s", err, server.Addr)
							}
						})
					}
					wg.Wait()
				})
			}
			returns(t, "all methods at once", func() {
				var wg sync.WaitGroup
				for name, call := range everyMethod(s, &l) {
					wg.Go(func() {
						err := call(t.Context())
						if err == nil || errors.Is(err, store.ErrLeaseLost) || errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("%s: error %v, want one that names Redis", name, err)
						}
					})
				}
				wg.Wait()
			})
			if s, err := redis.Open(t.Context(), server.URL(), redis.Options{}); err == nil {
				t.Error(errors.Join(errors.New("Open: no error"), s.Close()))
			}
			how.back(server)
			await.Until(t, "the store works again", func() bool { return s.Ping(t.Context()) == nil })
			wantWakeup(t, s)
		})
	}
}

// everyMethod calls each method but Close.
func everyMethod(s store.Store, l *store.Lease) map[string]func(context.Context) error {
	const key = "key"
	return map[string]func(context.Context) error{
		"Put":    func(ctx context.Context) error { _, err := s.Put(ctx, store.Record{ID: key}); return err },
		"Lease":  func(ctx context.Context) error { _, err := s.Lease(ctx, 1, time.Minute); return err },
		"Queued": func(ctx context.Context) error { _, err := s.Queued(ctx, key); return err },
		"Wait":   func(ctx context.Context) error { return s.Wait(ctx, 24*time.Hour) },
		"Extend": func(ctx context.Context) error { l := *l; return s.Extend(ctx, &l, time.Minute) },
		"Done":   func(ctx context.Context) error { return s.Done(ctx, l) },
		"DoneWith": func(ctx context.Context) error {
			return s.DoneWith(ctx, l, store.Changes{Amend: []store.Entry{{ID: key}}})
		},
		"Defer":   func(ctx context.Context) error { return s.Defer(ctx, l, 0) },
		"Bury":    func(ctx context.Context) error { return s.Bury(ctx, l, "reason") },
		"Depth":   func(ctx context.Context) error { _, err := s.Depth(ctx); return err },
		"Records": func(ctx context.Context) error { _, _, err := s.Records(ctx, "", 1); return err },
		"Dead":    func(ctx context.Context) error { _, _, err := s.Dead(ctx, "", 1); return err },
		"Find":    func(ctx context.Context) error { _, _, err := s.Find(ctx, key); return err },
		"Requeue": func(ctx context.Context) error { return s.Requeue(ctx, key) },
		"Drop":    func(ctx context.Context) error { return s.Drop(ctx, key) },
		"Entry":   func(ctx context.Context) error { _, err := s.Entry(ctx, key); return err },
		"Note":    func(ctx context.Context) error { return s.Note(ctx, key, nil) },
		"Amend":   func(ctx context.Context) error { return s.Amend(ctx, key, nil) },
		"Entries": func(ctx context.Context) error { _, _, err := s.Entries(ctx, "", 1); return err },
		"Take": func(ctx context.Context) error {
			_, _, err := s.Take(ctx, store.Bucket{Key: key, Rate: store.Rate{Limit: 1, Per: time.Hour}})
			return err
		},
		"Hold":  func(ctx context.Context) error { return s.Hold(ctx, key, time.Hour) },
		"Claim": func(ctx context.Context) error { _, err := s.Claim(ctx, key, "me", time.Hour); return err },
		"Tally": func(ctx context.Context) error {
			_, err := s.Tally(ctx, key, store.Seen{ID: key}, time.Hour)
			return err
		},
		"Tallied": func(ctx context.Context) error { _, err := s.Tallied(ctx, key, time.Hour); return err },
		"Release": func(ctx context.Context) error { return s.Release(ctx, key, "me") },
		"Set":     func(ctx context.Context) error { return s.Set(ctx, key, nil, time.Hour) },
		"Get":     func(ctx context.Context) error { _, err := s.Get(ctx, key); return err },
		"Ping":    s.Ping,
	}
}

// TestRedisOutOfMemory fills Redis: Put fails and changes nothing, and what
// is queued can still be worked off.
func TestRedisOutOfMemory(t *testing.T) {
	server := redistest.Start(t)
	s := openRedis(t, server.URL(), redis.Options{})
	var ids []string
	put := func(id string) error {
		_, err := s.Put(t.Context(), store.Record{ID: id, Body: []byte("body of " + id)}, store.Record{ID: id + " much later", After: time.Hour, Body: make([]byte, 2000)})
		if err == nil {
			ids = append(ids, id)
		}
		return err
	}
	used := infoNumber(t, server, "used_memory")
	server.Do("config", "set", "maxmemory", used+1<<20)
	var err error
	for i := 0; err == nil; i++ {
		err = put(strconv.Itoa(i))
	}
	if len(ids) < 100 || !strings.Contains(err.Error(), "is out of memory, and nothing was changed") {
		t.Errorf("error after %d records: %v", len(ids), err)
	}
	server.Do("config", "set", "maxmemory", used) // far too little by now
	if err := s.Ping(t.Context()); err == nil {
		t.Error("Ping: no error, and it should say whether the store can be written to")
	}
	before := fmt.Sprint(server.Do("dbsize"))
	refused := strconv.Itoa(len(ids))
	if err := put(refused); err == nil {
		t.Error("a second Put: no error")
	}
	if after := fmt.Sprint(server.Do("dbsize")); after != before {
		t.Errorf("%s keys after a refused Put, and %s before", after, before)
	}

	leases := drain(t, s, slices.Clone(ids)...)
	for i, l := range leases {
		var err error
		switch i % 4 {
		case 0:
			err = s.Done(t.Context(), &l)
		case 1:
			err = s.Done(t.Context(), &l, store.Record{ID: "after " + l.ID})
		case 2:
			err = errors.Join(s.Extend(t.Context(), &l, time.Hour), s.Defer(t.Context(), &l, time.Hour))
		case 3:
			err = s.Bury(t.Context(), &l, "reason")
		}
		if err != nil {
			t.Fatalf("end of the lease %d: %v", i, err)
		}
	}
	d, err := s.Depth(t.Context())
	n := len(ids)
	want := store.Depth{Due: (n + 2) / 4, Waiting: n + (n+1)/4, Dead: n / 4}
	if err != nil || d != want {
		t.Errorf("%+v, %v; want %+v", d, err, want)
	}
	another := openRedis(t, server.URL(), redis.Options{}) // as a replica would that starts now
	if got, err := another.Depth(t.Context()); got != want {
		t.Errorf("another replica: %+v, %v; want %+v", got, err, want)
	}

	server.Do("config", "set", "maxmemory", 0)
	if err := put(refused); err != nil || len(ids) != n+1 {
		t.Errorf("Put when there is space again: %v", err)
	}
}

func infoNumber(t testing.TB, server *redistest.Server, name string) int {
	t.Helper()
	_, after, _ := strings.Cut(fmt.Sprint(server.Do("info", "all")), "\n"+name+":")
	line, _, _ := strings.Cut(after, "\r")
	n, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRedisReplicas has several stores put the same and drain it together.
func TestRedisReplicas(t *testing.T) {
	server := redistest.Start(t)
	const replicas, n = 4, 400
	var mu sync.Mutex
	times, granted, added := map[string]int{}, 0, 0
	rate := store.Rate{Limit: 10, Per: 24 * time.Hour}
	var wg sync.WaitGroup
	for range replicas {
		s := openRedis(t, server.URL(), redis.Options{})
		wg.Go(func() {
			for i := range n {
				news, err := s.Put(t.Context(), store.Record{ID: strconv.Itoa(i)})
				if err != nil {
					t.Error(err)
					return
				}
				_, wait, err := s.Take(t.Context(), store.Bucket{Key: "rate", Rate: rate})
				if err != nil {
					t.Error(err)
				}
				leases, err := s.Lease(t.Context(), 3, time.Hour)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if news[0] {
					added++
				}
				if wait == 0 {
					granted++
				}
				for _, l := range leases {
					times[l.ID]++
				}
				mu.Unlock()
				for _, l := range leases {
					if err := s.Done(t.Context(), &l); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if added != n || granted != rate.Limit || len(times) != n {
		t.Errorf("%d added, %d leased, %d granted; want %d, %d, %d", added, len(times), granted, n, n, rate.Limit)
	}
	for id, k := range times {
		if k != 1 {
			t.Errorf("%s was leased %d times", id, k)
		}
	}
}

// TestRedisForgets looks that what is over leaves no keys behind.
func TestRedisForgets(t *testing.T) {
	server := redistest.Start(t)
	s := openRedis(t, server.URL(), redis.Options{DedupeTTL: time.Millisecond, Retention: store.Retention{Journal: time.Millisecond}})
	ctx := t.Context()
	for i := range 100 {
		key := strconv.Itoa(i)
		putOne(t, s, key)
		_, err := s.Claim(ctx, key, "me", time.Millisecond)
		_, _, err2 := s.Take(ctx, store.Bucket{Key: key, Rate: store.Rate{Limit: 1000, Per: time.Second}})
		_, err3 := s.Tally(ctx, key, store.Seen{ID: key, Group: key}, time.Millisecond)
		if err := errors.Join(err, err2, err3, s.Set(ctx, key, nil, time.Millisecond), s.Note(ctx, key, nil)); err != nil {
			t.Fatal(err)
		}
		for _, l := range drain(t, s, key) {
			if err := s.Done(ctx, &l); err != nil {
				t.Fatal(err)
			}
		}
	}
	await.Until(t, "the last entry is all that is left", func() bool {
		if err := s.Note(ctx, "last", nil); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(server.Do("hlen", redis.DefaultPrefix+"entries")) == "1"
	})
	await.Until(t, "keys are left only for the format and the journal", func() bool {
		return fmt.Sprint(server.Do("dbsize")) == "3"
	})
}
