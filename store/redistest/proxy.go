//go:build unix

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

// Proxy stands before a server as a bad network: it gives answers late, or
// loses them after the server did what was asked.
type Proxy struct {
	Addr string // host:port

	server  string
	hang    atomic.Int64 // so many connections from now on get no answer
	delay   atomic.Int64 // of each answer
	every   atomic.Int64 // loses one answer of so many; 0: none
	answers atomic.Int64
}

// StartProxy starts a proxy that hurts nobody yet, and ends with the test.
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

// Hang has the next so many connections get no answer.
func (p *Proxy) Hang(connections int) { p.hang.Store(int64(connections)) }

// Delay has each answer come so much later.
func (p *Proxy) Delay(by time.Duration) { p.delay.Store(int64(by)) }

// LoseEvery has one answer of so many get lost, and its connection with it;
// 0: none.
func (p *Proxy) LoseEvery(answers int) { p.every.Store(int64(answers)) }

// serve carries one connection.
func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	ended := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer ended()
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close() // the client is gone
	})
	if p.hang.Add(-1) >= 0 {
		_, _ = io.Copy(io.Discard, server) // until the client is gone
	} else {
		p.answer(ctx, client, server)
	}
	_ = client.Close()
}

// answer carries answers, each of which comes in one piece or few, until the
// connection ends or one gets lost.
func (p *Proxy) answer(ctx context.Context, client io.Writer, server io.Reader) {
	piece := make([]byte, 64<<10)
	for {
		n, err := server.Read(piece)
		if err != nil {
			return
		}
		if every := p.every.Load(); every > 0 && p.answers.Add(1)%every == 0 {
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
