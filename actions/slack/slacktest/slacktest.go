// Package slacktest is a small simulated Slack: the methods of the Web API
// that Pipesteward calls, over real HTTP on a free port of this machine. It
// records posted messages, renders them as a person would see them, rejects the
// requests that Slack rejects, and fails on demand. Tests and the demo share it.
//
// Like Slack, it accepts a channel by name or id for a post and by id only
// elsewhere; makes a reply to a deleted message a message of its own; keeps the
// metadata at chat.update, and drops the blocks if the update has only a text; and
// lists a message with its metadata only on demand.
//
// It also is the side of Slack from which requests come: users press buttons and type
// commands (Arrival), which reach the app by signed HTTP or in Socket Mode, and are
// answered at a response_url.
package slacktest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of a Server; the zero value is fine.
type Options struct {
	// Now returns the time of the messages' timestamps; time.Now by default.
	Now func() time.Time
	// Token is the bot token that is accepted; by default every one that
	// begins with xoxb-.
	Token string
	// Scopes are the bot's; by default those of deploy/slack-app.yaml.
	Scopes []string
	// AppToken is the app-level token that is accepted; by default every one that begins
	// with xapp-.
	AppToken string
	// Strict answers more than one message a second in a channel with 429, as Slack may;
	// it takes short bursts, too.
	Strict bool
	// OnMessage is called for every message that is posted or edited, one
	// call at a time and in order. It may call the Server's methods, but must
	// not post.
	OnMessage func(Message)
}

// Server is a simulated Slack with one workspace and one bot in it. A channel
// is created when a post first names it, with the bot as a member; AddChannel makes
// others.
type Server struct {
	options Options
	url     string
	http    *http.Server
	served  chan struct{}

	ordering sync.Mutex // keeps the calls of OnMessage in the order of the effects

	mu       sync.Mutex
	channels []channel
	messages []Message // in the order of their timestamps
	posts    []Message
	updates  []Message
	faults   []*Fault
	calls    map[string]int
	last     int64  // newest timestamp, microseconds
	revoked  string // the error code of all calls; "": the token is in force
	users    []user
	groups   []group
	posted   map[string]time.Time // when a message was last posted to a channel, by its id
	arrivals []Arrival            // what users have sent to the app
	said     []Reply
	clients  map[net.Conn]bool
	socket   socket
}

type channel struct {
	id string
	Channel
}

// Message is one message in its channel.
type Message struct {
	Channel  string // the channel's name, without '#'
	ID       string // the channel's id
	TS       string // Slack's id of the message: seconds.microseconds
	ThreadTS string // TS of the message that this one answers; "": it is no reply
	Text     string // what a notification shows
	Blocks   json.RawMessage
	Metadata Metadata
	Edited   bool
	Unfurl   bool // links are unfurled: the post did not forbid it
	Parse    string
}

// Metadata is an app's own data in its message, which people do not see.
type Metadata struct {
	EventType    string         `json:"event_type"`
	EventPayload map[string]any `json:"event_payload"`
}

// New starts a simulated Slack on a free port of 127.0.0.1.
func New(options Options) (*Server, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Scopes == nil {
		options.Scopes = []string{"chat:write", "channels:history", "channels:read", "commands", "groups:history", "groups:read", "im:history", "im:write", "usergroups:read", "users:read", "users:read.email"}
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("slacktest: %w", err)
	}
	s := &Server{
		options: options,
		url:     "http://" + listener.Addr().String() + "/api/",
		served:  make(chan struct{}),
		calls:   map[string]int{},
		posted:  map[string]time.Time{},
		clients: map[net.Conn]bool{},
		socket:  socket{tickets: map[string]bool{}, acked: map[string]bool{}},
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ConnState: s.noteClient}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(listener) // always ErrServerClosed: Close ended it
	}()
	return s, nil
}

// URL returns the base of the API's methods, as --slack-api-url takes it; it ends
// with a slash.
func (s *Server) URL() string { return s.url }

// SetToken replaces the bot token that is accepted, as a rotation does.
func (s *Server) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.Token, s.revoked = token, ""
}

// Revoke has all calls refused with an error code, such as token_revoked or
// account_inactive, until SetToken is called.
func (s *Server) Revoke(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = code
}

// SetScopes replaces the bot's scopes, as installing the app again does.
func (s *Server) SetScopes(scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.Scopes = scopes
}

// Close ends the server and every connection to it.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.served
	s.socket.close()
	return err
}

// Posts lists every message that chat.postMessage created, as it was then.
func (s *Server) Posts() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.posts)
}

// Updates lists every message that chat.update changed, as it was then.
func (s *Server) Updates() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.updates)
}

// Messages lists the messages of the channel (its name, with or without '#', or
// its id) as they are now, oldest first, replies included.
func (s *Server) Messages(channel string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Message
	for _, m := range s.messages {
		if m.ID == channel || m.Channel == strings.TrimPrefix(channel, "#") {
			found = append(found, m)
		}
	}
	return found
}

// Calls returns how often the method was called, failures included.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Clients returns how many connections of clients are open, of those that were made before
// the last call that was answered: while there is none, no call of theirs takes effect.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}

func (s *Server) noteClient(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(s.clients, c)
	} else {
		s.clients[c] = true
	}
}

// Channel returns the id of the channel of that name, with or without '#'.
func (s *Server) Channel(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.join(name).id
}

// Delete removes a message, as a person would do it in Slack. Its replies
// stay.
func (s *Server) Delete(channelID, ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = slices.DeleteFunc(s.messages, func(m Message) bool { return m.ID == channelID && m.TS == ts })
}

// join returns the channel of the name or id; a new name creates a channel. For a
// new id it returns a channel without id.
func (s *Server) join(nameOrID string) channel {
	name := strings.TrimPrefix(nameOrID, "#")
	for _, c := range s.channels {
		if c.Name == name || c.id == nameOrID {
			return c
		}
	}
	if isID(nameOrID) {
		return channel{}
	}
	return s.add(Channel{Name: name})
}

// isID reports whether s is an id: names have no capitals.
func isID(s string) bool {
	return len(s) > 8 && strings.IndexByte("CDGUW", s[0]) >= 0 && s == strings.ToUpper(s)
}

// timestamp returns a new timestamp, later than all before.
func (s *Server) timestamp() string {
	s.last = max(s.last+1, s.options.Now().UnixMicro())
	return fmt.Sprintf("%d.%06d", s.last/1e6, s.last%1e6)
}
