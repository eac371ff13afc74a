package slacktest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// socketPath is where connections of Socket Mode are opened.
const socketPath = "/link"

// pingEvery is how often a connection is pinged.
const pingEvery = 5 * time.Second

// socket is Slack's side of Socket Mode.
type socket struct {
	sync.Mutex
	closed      bool
	tickets     map[string]bool // that apps.connections.open gave, and nobody used
	connections []*connection
	opened      int // connections so far
	acked       map[string]bool
	envelopes   int
	serving     sync.WaitGroup
}

// connection is one connection; writing is guarded by its mutex.
type connection struct {
	*websocket.Conn
	writing sync.Mutex
}

func (c *connection) send(message any) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.WriteJSON(message)
}

// SetAppToken replaces the app-level token that is accepted, as a rotation does.
func (s *Server) SetAppToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.AppToken = token
}

// wrongAppToken returns the error code for a wrong app-level token. mu is held.
func (s *Server) wrongAppToken(token string) string {
	switch {
	case strings.HasPrefix(token, "xoxb-"):
		return "not_allowed_token_type"
	case s.options.AppToken != "" && token != s.options.AppToken, !strings.HasPrefix(token, "xapp-"):
		return "invalid_auth"
	}
	return ""
}

// openConnection gives the address of a connection, for one use.
func (s *Server) openConnection(url.Values) answer {
	s.socket.Lock()
	defer s.socket.Unlock()
	ticket := fmt.Sprintf("ticket-%d", len(s.socket.tickets)+s.socket.opened)
	s.socket.tickets[ticket] = true
	return answer{"ok": true, "url": "ws" + strings.TrimSuffix(strings.TrimPrefix(s.url, "http"), "/api/") + socketPath + "?ticket=" + ticket + "&app_id=A0000000001"}
}

// serveSocket serves one connection until it ends.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	ticket := r.URL.Query().Get("ticket")
	s.socket.Lock()
	known := s.socket.tickets[ticket]
	delete(s.socket.tickets, ticket)
	s.socket.Unlock()
	if !known {
		http.Error(w, "invalid ticket", http.StatusForbidden)
		return
	}
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	raw, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it is answered
	}
	c := &connection{Conn: raw}
	s.socket.Lock()
	if s.socket.closed {
		s.socket.Unlock()
		_ = raw.Close()
		return
	}
	s.socket.opened++
	s.socket.connections = append(s.socket.connections, c)
	n := len(s.socket.connections)
	s.socket.serving.Add(1)
	s.socket.Unlock()
	defer s.socket.serving.Done()

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.readAcks(c)
	}()
	err = c.send(answer{"type": "hello", "num_connections": n, "connection_info": answer{"app_id": "A0000000001"}, "debug_info": answer{"host": "simulated", "approximate_connection_time": 3600}})
	for err == nil {
		err = c.WriteControl(websocket.PingMessage, []byte("ping"), time.Now().Add(time.Minute))
		select {
		case <-time.After(pingEvery):
		case <-ended:
			err = http.ErrServerClosed
		}
	}
	_ = c.Close()
	<-ended
	s.socket.Lock()
	defer s.socket.Unlock()
	s.socket.connections = slices.DeleteFunc(s.socket.connections, func(other *connection) bool { return other == c })
}

// readAcks notes which envelopes are acknowledged, until the connection ends.
func (s *Server) readAcks(c *connection) {
	for {
		var ack struct {
			Envelope string `json:"envelope_id"`
		}
		if err := c.ReadJSON(&ack); err != nil {
			return
		}
		s.socket.Lock()
		s.socket.acked[ack.Envelope] = true
		s.socket.Unlock()
	}
}

// Connections returns how many connections of Socket Mode are open, and how many were
// opened so far.
func (s *Server) Connections() (open, soFar int) {
	s.socket.Lock()
	defer s.socket.Unlock()
	return len(s.socket.connections), s.socket.opened
}

// Send sends the request over one of the connections of Socket Mode, the next one each
// time, and returns the id of its envelope.
func (s *Server) Send(a Arrival) (envelope string, err error) {
	s.socket.Lock()
	s.socket.envelopes++
	n, open := s.socket.envelopes, slices.Clone(s.socket.connections)
	s.socket.Unlock()
	if len(open) == 0 {
		return "", errors.New("slacktest: no connection of Socket Mode is open")
	}
	envelope = fmt.Sprintf("envelope-%d", n)
	return envelope, open[n%len(open)].send(answer{"type": a.envelope, "envelope_id": envelope, "payload": a.payload, "accepts_response_payload": a.envelope == "slash_commands"})
}

// SendRaw sends a message over all connections of Socket Mode.
func (s *Server) SendRaw(message string) {
	s.socket.Lock()
	defer s.socket.Unlock()
	for _, c := range s.socket.connections {
		c.writing.Lock()
		_ = c.WriteMessage(websocket.TextMessage, []byte(message)) // a connection may be gone
		c.writing.Unlock()
	}
}

// Disconnect asks the app to open its connections of Socket Mode anew, for a reason such
// as refresh_requested, warning or link_disabled. The app closes them.
func (s *Server) Disconnect(reason string) {
	s.SendRaw(`{"type":"disconnect","reason":"` + reason + `","debug_info":{"host":"simulated"}}`)
}

// CutConnections ends all connections of Socket Mode without a word.
func (s *Server) CutConnections() {
	s.socket.Lock()
	defer s.socket.Unlock()
	for _, c := range s.socket.connections {
		_ = c.NetConn().Close() // it may be gone
	}
}

// Acked reports whether an envelope was acknowledged.
func (s *Server) Acked(envelope string) bool {
	s.socket.Lock()
	defer s.socket.Unlock()
	return s.socket.acked[envelope]
}

// close ends all connections.
func (s *socket) close() {
	s.Lock()
	s.closed = true
	for _, c := range s.connections {
		_ = c.NetConn().Close() // it may be gone
	}
	s.Unlock()
	s.serving.Wait()
}
