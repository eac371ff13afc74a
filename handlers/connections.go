package handlers

import (
	"net"
	"net/http"
	"sync"
)

// DefaultConnections is the most connections that a server may have. Each takes
// about 30 KB, also one that is idle.
const DefaultConnections = 2000

// Connections bounds the connections of a server, and so the memory that a client
// can take by opening many. A new connection is always accepted: when there are
// too many, the one is closed whose state has not changed for the longest time,
// because no request came or because one takes long.
type Connections struct {
	most int

	mu      sync.Mutex
	changed map[net.Conn]int64 // the number of its last change of state
	changes int64
}

// NewConnections returns a Connections for one server.
func NewConnections(most int) *Connections {
	return &Connections{most: most, changed: map[net.Conn]int64{}}
}

// Track is for http.Server.ConnState.
func (c *Connections) Track(conn net.Conn, state http.ConnState) {
	if victim := c.move(conn, state); victim != nil {
		_ = victim.Close() // it may be closed already
	}
}

// move records the state, and returns a connection to close, or nil.
func (c *Connections) move(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.changed, conn)
		return nil
	case http.StateNew, http.StateIdle, http.StateActive:
	}
	_, known := c.changed[conn]
	if !known && state != http.StateNew {
		return nil // it was chosen to be closed
	}
	c.changes++
	c.changed[conn] = c.changes
	if len(c.changed) <= c.most {
		return nil
	}
	victim := conn
	for other, at := range c.changed {
		if at < c.changed[victim] {
			victim = other
		}
	}
	delete(c.changed, victim)
	return victim
}
