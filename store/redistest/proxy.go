package redistest

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy simulates a bad network before a server: it delays replies, or loses them
// after the server executed the command.
type Proxy struct {
	Addr string // host:port

	server  string
	hang    atomic.Int64 // how many further connections get no reply
	delay   atomic.Int64 // of each reply, in nanoseconds
	every   atomic.Int64 // each every-th reply is lost; 0: none
	replies atomic.Int64
}

// StartProxy starts a proxy without faults, which ends with the test.
func StartProxy(t testing.TB, server *Server) *Proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: listener.Addr().String(), server: server.Addr}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	t.Cleanup(func() {
		stop()
		_ = listener.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			running.Go(func() { p.serve(ctx, client) })
		}
	})
	return p
}

// URL returns the redis:// URL of the server behind the proxy.
func (p *Proxy) URL() string { return "redis://" + p.Addr }

// Hang lets the next connections, as many as given, get no reply.
func (p *Proxy) Hang(connections int) { p.hang.Store(int64(connections)) }

// Delay delays each reply.
func (p *Proxy) Delay(by time.Duration) { p.delay.Store(int64(by)) }

// LoseEvery loses each n-th reply and closes its connection; 0: none.
func (p *Proxy) LoseEvery(n int) { p.every.Store(int64(n)) }

// serve forwards one connection.
func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	ended := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer ended()
	var requests sync.WaitGroup
	defer requests.Wait()
	requests.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close() // the client is gone
	})
	if p.hang.Add(-1) >= 0 {
		_, _ = io.Copy(io.Discard, server) // until the client is gone
	} else {
		p.forwardReplies(ctx, client, server)
	}
	_ = client.Close()
}

// forwardReplies forwards replies until the connection ends or a reply is lost.
// A reply comes in one Read, or a few.
func (p *Proxy) forwardReplies(ctx context.Context, client io.Writer, server io.Reader) {
	piece := make([]byte, 64<<10)
	for {
		n, err := server.Read(piece)
		if err != nil {
			return
		}
		if every := p.every.Load(); every > 0 && p.replies.Add(1)%every == 0 {
			return
		}
		if delay := time.Duration(p.delay.Load()); delay > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(delay):
			}
		}
		if _, err := client.Write(piece[:n]); err != nil {
			return
		}
	}
}
