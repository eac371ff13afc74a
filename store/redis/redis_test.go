//go:build unix

package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

func TestRedis(t *testing.T) {
	server := redistest.Start(t)
	storetest.Run(t, redisBackend(t, server.URL(), redis.Options{}, plainAdmin(server)))
}

// TestRedisFewRights runs the suite as a user who has no more than the store
// needs, and no channels: then it polls.
func TestRedisFewRights(t *testing.T) {
	await.Long(t, "TestRedis runs the suite, too")
	server := redistest.Start(t)
	server.Do("acl", "setuser", "steward", "on", ">p@ss/w?rd", "~{test-*", "resetchannels", "+@all", "-@dangerous", "+info")
	url := "redis://steward:p@ss/w%3frd@" + server.Addr + "/3"
	storetest.Run(t, redisBackend(t, url, redis.Options{}, goredis.NewClient(&goredis.Options{Addr: server.Addr, DB: 3})))
}

func TestRedisTLS(t *testing.T) {
	_, url, config := redistest.StartTLS(t)
	trusting := openRedis(t, url, redis.Options{TLS: config})
	putOne(t, trusting, "a")
	drain(t, trusting, "a")

	s, err := redis.Open(t.Context(), url, redis.Options{})
	if err == nil {
		err = errors.Join(errors.New("no error"), s.Close())
	}
	if !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}

func TestRedisCluster(t *testing.T) {
	await.Long(t, "TestRedis runs the suite, too")
	c := redistest.StartCluster(t)
	admin := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{c.Nodes[0].Addr}})
	storetest.Run(t, redisBackend(t, c.URL(), redis.Options{}, admin))

	for _, node := range c.Nodes {
		if node.Do("dbsize") == int64(0) {
			t.Errorf("the node %s was not used", node.Addr)
		}
		wantRefused(t, node.URL(), redis.Options{}, "is part of a Cluster: use redis+cluster://")
	}
}

func TestRedisSentinel(t *testing.T) {
	await.Long(t, "TestRedis runs the suite, too, and a failover takes seconds")
	s := redistest.StartSentinel(t)
	admin := goredis.NewFailoverClient(&goredis.FailoverOptions{SentinelAddrs: []string{s.Sentinels[0].Addr}, MasterName: redistest.MasterName})
	storetest.Run(t, redisBackend(t, s.URL(), redis.Options{}, admin))
	wantRefused(t, strings.TrimSuffix(s.URL(), redistest.MasterName)+"other", redis.Options{}, `know no master "other"`)
	wantRefused(t, s.Replica.URL(), redis.Options{}, "is a replica: use its master")
	wantRefused(t, s.Sentinels[0].URL(), redis.Options{}, "is a Sentinel: use redis+sentinel://")
	t.Run("failover", func(t *testing.T) { testFailover(t, s) })
}

func openRedis(t testing.TB, url string, o redis.Options) *redis.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func putOne(t *testing.T, s store.Store, id string) {
	t.Helper()
	if _, err := s.Put(t.Context(), store.Record{ID: id, Body: []byte("body of " + id)}); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

// drain leases all that is due, for an hour, and wants it to be the records
// with the ids, whole and in any order.
func drain(t *testing.T, s store.Store, ids ...string) []store.Lease {
	t.Helper()
	leases, err := s.Lease(t.Context(), 1_000_000, time.Hour)
	if err != nil {
		t.Fatalf("Lease: %v", err)
	}
	var got []string
	for _, l := range leases {
		got = append(got, l.ID)
		if string(l.Body) != "body of "+l.ID {
			t.Errorf("record %s came back with the body %q", l.ID, l.Body)
		}
	}
	slices.Sort(got)
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		t.Errorf("%d records are due, want %d: got %.200q, want %.200q", len(got), len(ids), got, ids)
	}
	return leases
}

func plainAdmin(s *redistest.Server) goredis.UniversalClient {
	return goredis.NewClient(&goredis.Options{Addr: s.Addr})
}

// age makes all that expires do so sooner, by ARGV[2] µs, and moves the clock
// of redis.WithSkew ahead.
const age = `
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 then redis.call('PEXPIRE', key, math.floor(ttl - ARGV[2] / 1000)) end
end
return redis.call('INCRBY', KEYS[1], ARGV[2])`

var prefixes atomic.Int64

// redisBackend gives each test keys of its own, which in a Cluster also live
// on different masters. It closes admin, which moves the clock.
func redisBackend(t *testing.T, url string, o redis.Options, admin goredis.UniversalClient) func(*testing.T) storetest.Backend {
	t.Cleanup(func() { _ = admin.Close() })
	return func(t *testing.T) storetest.Backend {
		o := o
		o.CallTimeout = redistest.CallTimeout
		o.Prefix = fmt.Sprintf("{test-%d}:", prefixes.Add(1))
		return storetest.Backend{
			Open: func(r store.Retention) (store.Store, error) {
				o.Retention = r
				return redis.Open(context.Background(), url, redis.WithSkew(o))
			},
			Advance: func(d time.Duration) {
				if err := admin.Eval(context.Background(), age, []string{o.Prefix + "skew"}, o.Prefix, d.Microseconds()).Err(); err != nil {
					t.Fatal(err)
				}
			},
		}
	}
}
