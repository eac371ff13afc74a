// Package receiverstest has simulated receivers: the bots of Feishu and Lark, DingTalk,
// WeCom, Microsoft Teams, Mattermost and Discord and a program that takes Standard
// Webhooks, over real HTTP on a free port of this machine, and a mail server. They check
// signatures, timestamps, sizes and rates by code of their own, answer as the real ones do,
// record what people would see and who would be notified, and fail on demand.
//
// Sources of the answers and limits are beside the code of each.
package receiverstest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Options of a Server; the zero value is fine.
type Options struct {
	// Now returns the time that signatures and rates are checked with; time.Now by
	// default.
	Now func() time.Time
	// Secret is that of the signatures of Feishu, Lark and DingTalk; "": their robots
	// check none.
	Secret string
	// SigningToken is the key of the webhook's signature: whsec_ and Base64.
	SigningToken string
}

// Everyone is among those that a message notifies if it notifies all.
const Everyone = "@all"

// Message is what a receiver accepted.
type Message struct {
	Kind string
	// Text is what people see, without markup.
	Text string
	// Notified are the people that are notified, as the medium names them.
	Notified []string
	// Links are those whose labels hide where they lead.
	Links []Link

	ID     string // of the webhook's message, or the mail's
	Header http.Header
	Body   []byte
}

// Link is a label that leads to an address.
type Link struct{ Label, URL string }

// Fault makes requests fail, in this order: Hang, then Cut, Redirect, Status or Body.
type Fault struct {
	Kind  string // of the receiver; "": any
	Times int    // how many requests fail; 0 means 1

	Hang        bool // no answer comes until the client gives up
	AfterEffect bool // the message is accepted, and the request fails only then
	Cut         bool // the connection ends without an answer
	Redirect    string
	Status      int // an answer with this HTTP status; of the mail server: this SMTP code
	Header      http.Header
	Body        string // with status 200, unless Status is set
}

// bot is one simulated receiver.
type bot struct {
	kind    string
	address func(base string) string // of its webhook, with its token
	pattern string                   // of the requests to it, as [http.ServeMux] takes it
	limits  []limit
	serve   func(s *Server, b bot, w http.ResponseWriter, r *http.Request, body []byte)
}

// limit is a rate that is allowed in any window.
type limit struct {
	messages int
	per      time.Duration
}

// Server is the HTTP receivers. It is safe for concurrent use.
type Server struct {
	options Options
	base    string
	http    *http.Server
	served  chan struct{}

	mu       sync.Mutex
	removed  map[string]bool
	messages []Message
	faults   []*Fault
	requests map[string]int
	accepted map[string][]time.Time
	banned   map[string]time.Time
	hanging  chan string
}

var bots = []bot{
	feishu("feishu"), feishu("lark"), dingTalk, weCom, teams, mattermost, discord, webhook,
}

// New starts the receivers on a free port of 127.0.0.1.
func New(options Options) (*Server, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("receiverstest: %w", err)
	}
	s := &Server{
		options: options, base: "http://" + listener.Addr().String(), served: make(chan struct{}),
		removed: map[string]bool{}, requests: map[string]int{}, accepted: map[string][]time.Time{}, banned: map[string]time.Time{},
		hanging: make(chan string, 100),
	}
	mux := http.NewServeMux()
	for _, b := range bots {
		mux.HandleFunc(b.pattern, func(w http.ResponseWriter, r *http.Request) { s.handle(b, w, r) })
	}
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(listener) // always ErrServerClosed: Close ended it
	}()
	return s, nil
}

// Close ends the server and every connection to it.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.served
	return err
}

// URL returns the address of a kind's webhook.
func (s *Server) URL(kind string) string {
	i := slices.IndexFunc(bots, func(b bot) bool { return b.kind == kind })
	if i < 0 {
		return ""
	}
	return bots[i].address(s.base)
}

// Secrets lists what must be in no error and no log of a kind's client: the address, the token in
// it, and the secret of the signature.
func (s *Server) Secrets(kind string) []string {
	tokens := map[string]string{
		"feishu": feishuToken, "lark": feishuToken, "dingtalk": dingTalkToken, "wecom": weComKey, "teams": teamsSignature,
		"mattermost": mattermostHook, "discord": discordToken, "webhook": webhookPath,
	}
	secrets := []string{s.URL(kind), tokens[kind]}
	switch kind {
	case "feishu", "lark", "dingtalk":
		secrets = append(secrets, s.secret())
	case "webhook":
		secrets = append(secrets, s.options.SigningToken)
	}
	return secrets
}

// SetSecret replaces the secret of the signatures.
func (s *Server) SetSecret(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.Secret = secret
}

// Remove removes the receiver of a kind, as a person does it.
func (s *Server) Remove(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed[kind] = true
}

// Messages lists what a kind's receiver accepted, oldest first.
func (s *Server) Messages(kind string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.messages), func(m Message) bool { return m.Kind != kind })
}

// Requests returns how many requests a kind's receiver got, those that failed included.
func (s *Server) Requests(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[kind]
}

// Hanging returns a channel that gets the kind of each request that hangs.
func (s *Server) Hanging() <-chan string { return s.hanging }

// Fail adds a fault. Of several that match a request, the first added one is used.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Times = max(f.Times, 1)
	s.faults = append(s.faults, &f)
}

// fault returns the fault of a request and counts it; nil: none.
func (s *Server) fault(kind string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.faults, func(f *Fault) bool { return f.Kind == "" || f.Kind == kind })
	if i < 0 {
		return nil
	}
	due := *s.faults[i]
	if s.faults[i].Times--; s.faults[i].Times == 0 {
		s.faults = slices.Delete(s.faults, i, i+1)
	}
	return &due
}

// maxBody is how many bytes of a request are read.
const maxBody = 1 << 20

func (s *Server) handle(b bot, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	s.mu.Lock()
	s.requests[b.kind]++
	s.mu.Unlock()
	f := s.fault(b.kind)
	if f == nil {
		b.serve(s, b, w, r, body)
		return
	}
	if f.AfterEffect {
		b.serve(s, b, discarded{http.Header{}}, r, body)
	}
	if f.Hang {
		s.hanging <- b.kind
		<-r.Context().Done()
	}
	f.answer(w)
}

// discarded is an answer that nobody gets.
type discarded struct{ header http.Header }

func (d discarded) Header() http.Header       { return d.header }
func (discarded) Write(b []byte) (int, error) { return len(b), nil }
func (discarded) WriteHeader(int)             {}

// answer fails a request.
func (f *Fault) answer(w http.ResponseWriter) {
	if f.Cut {
		panic(http.ErrAbortHandler) // net/http's way to drop the connection
	}
	maps.Copy(w.Header(), f.Header)
	status := f.Status
	switch {
	case f.Redirect != "":
		w.Header().Set("Location", f.Redirect)
		if status == 0 {
			status = http.StatusTemporaryRedirect
		}
	case status == 0:
		status = http.StatusOK
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, f.Body) // fails only if the client is gone
}

// gone reports whether a kind's receiver was removed.
func (s *Server) gone(kind string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removed[kind]
}

// tooMany reports whether a message of a kind exceeds a limit, and counts it if not.
func (s *Server) tooMany(b bot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.options.Now()
	for _, l := range b.limits {
		recent := 0
		for _, at := range s.accepted[b.kind] {
			if now.Sub(at) < l.per {
				recent++
			}
		}
		if recent >= l.messages {
			return true
		}
	}
	s.accepted[b.kind] = append(s.accepted[b.kind], now)
	return false
}

// record keeps a message that was accepted.
func (s *Server) record(kind string, r *http.Request, body []byte, m Message) {
	m.Kind, m.Header, m.Body = kind, r.Header.Clone(), body
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only if the client is gone
}

type fields map[string]any

// current reports whether a time in seconds is within an hour.
func (s *Server) current(seconds string, within time.Duration) bool {
	at, err := strconv.ParseInt(seconds, 10, 64)
	return err == nil && s.options.Now().Sub(time.Unix(at, 0)).Abs() <= within
}
