//go:build unix

package redis_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// wantRefused opens the store and wants an error with the text, and without
// the password.
func wantRefused(t *testing.T, url string, o redis.Options, text string) {
	t.Helper()
	s, err := redis.Open(t.Context(), url, o)
	if err == nil {
		t.Fatal(errors.Join(errors.New("no error"), s.Close()))
	}
	if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %q, want one with %q and without the password", err, text)
	}
}

// TestRedisRefused meets servers that are too old or of the wrong kind.
func TestRedisRefused(t *testing.T) {
	for _, tc := range []struct {
		name     string
		old, new string // in the INFO of a good one
		want     string
	}{
		{"too old", "7.0.15", "6.0.16", "has version 6.0.16: 6.2 or newer is needed"},
		{"much too old", "7.0.15", "2.8.4", "6.2 or newer is needed"},
		{"no version", "redis_version:7.0.15", "", "it is no Redis"},
		{"evicts anything", "noeviction", "allkeys-lru", "has maxmemory-policy allkeys-lru, which may drop what is queued"},
		{"evicts what expires", "noeviction", "volatile-ttl", "set it to noeviction"},
		{"replica", "role:master", "role:slave", "is a replica"},
		{"Sentinel", "redis_mode:standalone", "redis_mode:sentinel", "use redis+sentinel://"},
		{"part of a Cluster", "redis_mode:standalone", "redis_mode:cluster", "use redis+cluster://"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info := strings.Replace(goodInfo, tc.old, tc.new, 1)
			fake := startFake(t, func(_ string, command []string) string {
				if command[0] == "info" {
					return bulk(info)
				}
				return "-ERR unknown command\r\n"
			})
			wantRefused(t, "redis://"+fake, redis.Options{}, tc.want)
		})
	}

	server := redistest.Start(t)
	for _, tc := range []struct {
		name  string
		setUp func()
		url   string
		want  string
	}{
		{"policy", func() { server.Do("config", "set", "maxmemory-policy", "allkeys-lfu") }, server.URL(), "has maxmemory-policy allkeys-lfu"},
		{"format of the future", func() {
			server.Do("config", "set", "maxmemory-policy", "noeviction")
			server.Do("set", redis.DefaultPrefix+"format", "7")
		}, server.URL(), `format "7", and this program reads format "1"`},
		{"db", func() {}, server.URL() + "/99", "DB index is out of range"},
		{"no Cluster", func() {}, "redis+cluster://" + server.Addr, "cluster support disabled"},
		{"no Sentinel", func() {}, "redis+sentinel://" + server.Addr + "/name", "entinel"},
		{"wrong password", func() { server.Do("config", "set", "requirepass", "right") }, "redis://:s3cret@" + server.Addr, "WRONGPASS"},
		{"no password", func() {}, server.URL(), "NOAUTH"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.setUp()
			wantRefused(t, tc.url, redis.Options{}, tc.want)
		})
	}
	t.Run("prefix without hash tag", func(t *testing.T) {
		for _, prefix := range []string{"pipesteward:", "{}:", "}{:", "{x"} {
			wantRefused(t, server.URL(), redis.Options{Prefix: prefix}, "no hash tag")
		}
	})
}

// A Redis that is not quite there yet is waited for.
func TestRedisSoonThere(t *testing.T) {
	await.Long(t, "it waits for a Redis that does not answer")
	proxy := redistest.StartProxy(t, redistest.Start(t))
	proxy.Hang(1) // the next connection is answered
	s, err := redis.Open(t.Context(), proxy.URL(), redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	loading := 0
	fake := startFake(t, func(_ string, command []string) string {
		switch {
		case command[0] == "info" && loading < 3:
			loading++
			return "-LOADING Redis is loading the dataset in memory\r\n"
		case command[0] == "info":
			return bulk(strings.Replace(goodInfo, "role:master", "role:slave", 1))
		}
		return "-ERR unknown command\r\n"
	})
	wantRefused(t, "redis://"+fake, redis.Options{}, "is a replica")
}

func TestRedisWarnings(t *testing.T) {
	server := redistest.Start(t)
	for _, tc := range []struct {
		appendonly, appendfsync string
		want                    []string
	}{
		{"yes", "always", nil},
		{"yes", "everysec", []string{"Redis " + server.Addr + " has appendfsync everysec: when its machine loses power, the records of the last seconds are lost; always loses none"}},
		{"no", "always", []string{"Redis " + server.Addr + " has no append-only file: when it stops, records are lost that were acknowledged; set appendonly yes"}},
	} {
		server.Do("config", "set", "appendonly", tc.appendonly, "appendfsync", tc.appendfsync)
		s := openRedis(t, server.URL(), redis.Options{})
		if got := s.Warnings(); !slices.Equal(got, tc.want) {
			t.Errorf("appendonly %s, appendfsync %s: warnings %q, want %q", tc.appendonly, tc.appendfsync, got, tc.want)
		}
	}
	server.Do("acl", "setuser", "few", "on", ">s3cret", "~*", "+@all", "-@dangerous")
	s := openRedis(t, "redis://few:s3cret@"+server.Addr, redis.Options{})
	if got := s.Warnings(); len(got) != 1 || !strings.Contains(got[0], "does not let this user call INFO") {
		t.Errorf("without the right to call INFO: warnings %q", got)
	}
}
