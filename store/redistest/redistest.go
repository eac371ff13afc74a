// Package redistest starts real Redis servers for tests, alone, as a Cluster or
// with Sentinels, and injects faults: it kills and pauses servers, and puts a
// bad network before them. The servers listen on free ports of 127.0.0.1, have
// their append-only files in the test's temporary directory, and end with the
// test.
package redistest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const host = "127.0.0.1"

// CallTimeout only bounds a hang: it is for stores of tests in which Redis always answers,
// be it late on a machine under load.
const CallTimeout = 2 * time.Minute

// Server is one redis-server. Its methods fail the test on errors.
type Server struct {
	Addr string // host:port

	t       testing.TB
	dir     string
	args    []string
	process *exec.Cmd
	exited  chan struct{}
}

// Start starts a server with the arguments, as on its command line. By default it
// has an append-only file and no memory limit.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	port := FreePort(t)
	s := &Server{
		Addr: net.JoinHostPort(host, port),
		t:    t,
		dir:  t.TempDir(),
	}
	s.args = append([]string{"--port", port, "--bind", host, "--dir", s.dir, "--save", "", "--appendonly", "yes"}, args...)
	s.run()
	return s
}

// FreePort returns a port of 127.0.0.1 on which nobody listens now, outside the
// kernel's range for outgoing connections.
func FreePort(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatalf("no free port: %v", err)
	return ""
}

// URL returns the server's redis:// URL.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Do sends the words of a command and returns the reply.
func (s *Server) Do(command ...any) any {
	s.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr, DisableIdentity: true, DialTimeout: CallTimeout, ReadTimeout: CallTimeout})
	defer func() { _ = client.Close() }()
	reply, err := client.Do(context.WithoutCancel(s.t.Context()), command...).Result()
	if err != nil {
		s.t.Fatalf("%v: %v", command, err)
	}
	return reply
}

// Command is a command that a server ran, by itself or in a script, as MONITOR
// reports it.
type Command struct {
	At    time.Time // by the server's clock
	Words []string  // the name first
}

// Monitor records all commands from now on. The returned function stops it and
// returns the commands, oldest first.
func (s *Server) Monitor() (commands func() []Command) {
	s.t.Helper()
	conn, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 64<<20)
	if _, err := fmt.Fprint(conn, "MONITOR\r\n"); err != nil || !lines.Scan() || lines.Text() != "+OK" {
		s.t.Fatalf("MONITOR: %v %q", err, lines.Text())
	}
	end := fmt.Sprintf("end-%d", rand.Uint64())
	ended := make(chan []Command)
	go func() {
		defer close(ended)
		var all []Command
		for lines.Scan() {
			c, err := parseCommand(lines.Text())
			if err != nil {
				s.t.Errorf("MONITOR: %v in %.200q", err, lines.Text())
				return
			}
			if len(c.Words) == 2 && c.Words[1] == end {
				ended <- all
				return
			}
			all = append(all, c)
		}
	}()
	return func() []Command {
		s.t.Helper()
		s.Do("echo", end)
		return <-ended
	}
}

// parseCommand parses a line of MONITOR:
//
//	+1700000000.123456 [0 lua] "SET" "key" "value"
func parseCommand(line string) (c Command, err error) {
	var seconds, micros int64
	if _, err := fmt.Sscanf(line, "+%d.%d", &seconds, &micros); err != nil {
		return c, err
	}
	c.At = time.Unix(seconds, micros*1000)
	_, rest, _ := strings.Cut(line, "] ")
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return c, err
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return c, err
		}
		rest = rest[len(quoted):]
		c.Words = append(c.Words, word)
	}
	return c, nil
}

// Kill ends the server as kill -9 does.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.process.Process.Kill(); err != nil {
		s.t.Fatalf("kill redis-server: %v", err)
	}
	<-s.exited
}

// Restart starts the server again after a Kill, with its data.
func (s *Server) Restart() {
	s.t.Helper()
	s.run()
}

// Pause stops the server from answering until Resume; its connections stay open.
func (s *Server) Pause() {
	s.t.Helper()
	PauseProcess(s.t, s.process.Process)
}

// Resume ends a Pause.
func (s *Server) Resume() {
	s.t.Helper()
	ResumeProcess(s.t, s.process.Process)
}

// run starts the process and waits until it serves.
func (s *Server) run() {
	s.t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("redis-server is not installed, and this test needs a real one: install it (Debian: apt-get install redis-server)")
	}
	logName := filepath.Join(s.dir, "log")
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the process has its own descriptor
	process := exec.CommandContext(context.WithoutCancel(s.t.Context()), program, s.args...)
	process.Stdout, process.Stderr = log, log
	EndWithParent(process)
	if err := process.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = process.Wait() // it always ends by a signal
	}()
	s.process, s.exited = process, exited
	s.t.Cleanup(func() {
		_ = process.Process.Kill() // unless the test killed it
		<-exited
	})
	await.Until(s.t, "redis-server serves", func() bool {
		select {
		case <-exited:
			text, _ := os.ReadFile(logName)
			s.t.Fatalf("redis-server ended by itself:\n%s", text)
		default:
		}
		return s.serves()
	})
}

// serves reports whether the server answers a PING, which needs no password.
func (s *Server) serves() bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		return false
	}
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH")
}
