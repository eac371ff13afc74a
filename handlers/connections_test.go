package handlers_test

import (
	"net"
	"net/http"
	"slices"
	"testing"

	"github.com/pipesteward/pipesteward/handlers"
)

// fakeConn is a connection that records that it was closed.
type fakeConn struct {
	net.Conn
	name   string
	closed *[]string
}

func (c *fakeConn) Close() error {
	*c.closed = append(*c.closed, c.name)
	return nil
}

func TestConnectionsAreBounded(t *testing.T) {
	var closed []string
	conns := map[string]*fakeConn{}
	c := handlers.NewConnections(3)
	to := func(state http.ConnState, names ...string) {
		for _, name := range names {
			if conns[name] == nil {
				conns[name] = &fakeConn{name: name, closed: &closed}
			}
			c.Track(conns[name], state)
		}
	}
	wants := func(when string, want ...string) {
		t.Helper()
		if !slices.Equal(closed, want) {
			t.Errorf("%s, closed are %v, want %v", when, closed, want)
		}
		for _, name := range closed {
			to(http.StateClosed, name) // as the server does
		}
		closed = nil
	}
	to(http.StateNew, "a", "b", "c")
	wants("with as many as may be")
	to(http.StateActive, "a", "b")
	to(http.StateNew, "d")
	wants("with one that never sent a request", "c")
	to(http.StateIdle, "a")
	to(http.StateActive, "d")
	to(http.StateNew, "e")
	wants("with a request that takes long", "b")
	to(http.StateActive, "e")
	to(http.StateNew, "f")
	wants("with one that waits for its next request", "a")
	to(http.StateClosed, "d")
	to(http.StateNew, "g")
	wants("with capacity again")
}
