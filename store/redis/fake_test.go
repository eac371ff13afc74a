//go:build unix

package redis_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redis"
)

// TestRedisSendsOnce cuts the connection when Done comes: whether it took
// effect is not known, and to send it again could make ErrLeaseLost of it.
func TestRedisSendsOnce(t *testing.T) {
	for _, scheme := range []string{"redis://", "redis+cluster://"} {
		t.Run(scheme, func(t *testing.T) {
			var mu sync.Mutex
			done := 0
			fake := startFake(t, func(addr string, command []string) string {
				host, port, _ := net.SplitHostPort(addr)
				switch command[0] {
				case "cluster":
					return fmt.Sprintf("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$%d\r\n%s\r\n:%s\r\n", len(host), host, port)
				case "info":
					return bulk(goodInfo)
				case "evalsha":
					if !slices.Contains(command, "the token") {
						return bulk("1") // the format
					}
					mu.Lock()
					defer mu.Unlock()
					done++
					return ""
				}
				return "-ERR unknown command\r\n"
			})
			s := openRedis(t, scheme+fake, redis.Options{})
			err := s.Done(t.Context(), &store.Lease{ID: "a", Token: "the token"})
			if err == nil || errors.Is(err, store.ErrLeaseLost) {
				t.Errorf("Done: error %v, want that of the connection", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if done != 1 {
				t.Errorf("Done was sent %d times", done)
			}
		})
	}
}

const goodInfo = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n# Replication\r\nrole:master\r\naof_enabled:1\r\n"

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// startFake starts a server that answers each command with what reply
// returns, or cuts the connection when that is empty.
func startFake(t *testing.T, reply func(addr string, command []string) string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		wg.Wait()
	})
	serve := func(conn net.Conn) {
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer func() { stop(); _ = conn.Close() }()
		for in := bufio.NewReader(conn); ; {
			command, err := readCommand(in)
			if err != nil {
				return
			}
			answer := reply(l.Addr().String(), command)
			if _, err := io.WriteString(conn, answer); err != nil || answer == "" {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(conn) })
		}
	})
	return l.Addr().String()
}

// readCommand reads a command as clients send it: its words, each with its
// length before it.
func readCommand(in *bufio.Reader) ([]string, error) {
	var n int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		var size int
		if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, err
		}
		words[i] = string(bytes.TrimSuffix(word, []byte("\r\n")))
	}
	words[0] = strings.ToLower(words[0])
	return words, nil
}
