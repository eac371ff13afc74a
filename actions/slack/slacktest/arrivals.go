package slacktest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Arrival is a request of a user to the app, with the trigger_id and the response_url
// that Slack gave it: it can be sent several times.
type Arrival struct {
	ResponseURL string
	Form        url.Values      // as HTTP has it
	payload     json.RawMessage // as Socket Mode has it
	envelope    string          // its type in Socket Mode
	at          time.Time
	uses        int // of its ResponseURL
}

// Press is a press of a button.
type Press struct {
	User     string // id
	Team     string // the user's; TeamID by default
	Channel  string // id
	Message  string // the ts of the message with the button
	Thread   string // the ts of the message that begins its thread; "": it is in none
	ActionID string
	Value    string
	Menu     bool // as Button has it
}

// Command is a slash command that a user typed.
type Command struct {
	User    string // id
	Channel string // id
	Text    string // after the command's name
}

// Press has a user press a button.
func (s *Server) Press(p Press) Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.arrival("interactive")
	message := answer{"type": "message", "ts": p.Message}
	container := answer{"type": "message", "message_ts": p.Message, "channel_id": p.Channel, "is_ephemeral": false}
	if p.Thread != "" {
		message["thread_ts"], container["thread_ts"] = p.Thread, p.Thread
	}
	action := answer{"type": "button", "action_id": p.ActionID, "block_id": "b1", "value": p.Value, "text": answer{"type": "plain_text", "text": "Button"}, "action_ts": s.timestamp()}
	if p.Menu {
		action["type"] = "overflow"
		delete(action, "value")
		action["selected_option"] = answer{"text": answer{"type": "plain_text", "text": "Option"}, "value": p.Value}
	}
	if p.Team == "" {
		p.Team = TeamID
	}
	a.payload = encode(answer{
		"type": "block_actions", "api_app_id": "A0000000001", "token": "deprecated", "trigger_id": s.trigger(), "response_url": a.ResponseURL,
		"user":      answer{"id": p.User, "username": s.nameOf(p.User), "name": s.nameOf(p.User), "team_id": p.Team},
		"team":      answer{"id": TeamID, "domain": "simulated"},
		"container": container, "channel": answer{"id": p.Channel, "name": "channel"}, "message": message,
		"enterprise": nil, "is_enterprise_install": false, "state": answer{"values": answer{}}, "actions": []any{action},
	})
	a.Form = url.Values{"payload": {string(a.payload)}}
	return s.sent(a)
}

// Interaction has a user cause an interaction of which Slack sends this payload.
func (s *Server) Interaction(payload string) Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.arrival("interactive")
	a.payload, a.Form = json.RawMessage(payload), url.Values{"payload": {payload}}
	return s.sent(a)
}

// Command has a user type a slash command.
func (s *Server) Command(c Command) Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.arrival("slash_commands")
	a.Form = url.Values{
		"token": {"deprecated"}, "team_id": {TeamID}, "team_domain": {"simulated"}, "channel_id": {c.Channel}, "channel_name": {"channel"},
		"user_id": {c.User}, "user_name": {s.nameOf(c.User)}, "command": {"/pipesteward"}, "text": {c.Text}, "api_app_id": {"A0000000001"},
		"is_enterprise_install": {"false"}, "response_url": {a.ResponseURL}, "trigger_id": {s.trigger()},
	}
	fields := answer{}
	for name := range a.Form {
		fields[name] = a.Form.Get(name)
	}
	a.payload = encode(fields)
	return s.sent(a)
}

// Post sends the request to the app's URL, signed now with the signing secret. Each header
// is "Name: value", and replaces Slack's own.
func (s *Server) Post(ctx context.Context, a Arrival, to, secret string, headers ...string) (code int, body string, err error) {
	text := a.Form.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(text))
	if err != nil {
		return 0, "", err
	}
	at := strconv.FormatInt(s.options.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	r.Header.Set("X-Slack-Request-Timestamp", at)
	r.Header.Set("X-Slack-Signature", Sign(secret, at, text))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

// Sign returns Slack's signature of a request body, sent at a Unix time.
func Sign(secret, at, body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprintf(m, "v0:%s:%s", at, body) // a hash takes all
	return "v0=" + hex.EncodeToString(m.Sum(nil))
}

// responsePath begins the paths of response_urls.
const responsePath = "/actions/"

// Slack's limits of a response_url.
const (
	maxResponses = 5
	responseFor  = 30 * time.Minute
)

// Reply is what the app said at a response_url.
type Reply struct {
	To       Arrival
	Text     string
	Public   bool // all in the channel see it
	Replaces bool // it takes the place of the message with the button
	Thread   string
}

// Replies lists what the app said at response_urls, oldest first.
func (s *Server) Replies() []Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Reply{}, s.said...)
}

// respond takes what the app says at a response_url.
func (s *Server) respond(w http.ResponseWriter, r *http.Request) {
	if fault := s.fault("response_url"); fault != nil && fault.fails() {
		fault.answer(w)
		return
	}
	fail := func(status int, code string) {
		w.WriteHeader(status)
		reply(w, refuse(code))
	}
	var said struct {
		Text      string `json:"text"`
		Type      string `json:"response_type"`
		Replace   bool   `json:"replace_original"`
		Thread    string `json:"thread_ts"`
		DeleteOld bool   `json:"delete_original"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || json.Unmarshal(body, &said) != nil {
		fail(http.StatusBadRequest, "invalid_payload")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.arrivals {
		a := &s.arrivals[i]
		if !strings.HasSuffix(a.ResponseURL, r.URL.Path) {
			continue
		}
		switch {
		case s.options.Now().Sub(a.at) > responseFor:
			fail(http.StatusNotFound, "expired_url")
		case a.uses == maxResponses:
			fail(http.StatusNotFound, "used_url")
		case said.Text == "" && !said.DeleteOld:
			fail(http.StatusBadRequest, "no_text")
		case said.Type != "" && said.Type != "ephemeral" && said.Type != "in_channel":
			fail(http.StatusBadRequest, "invalid_payload")
		default:
			a.uses++
			s.said = append(s.said, Reply{*a, said.Text, said.Type == "in_channel", said.Replace, said.Thread})
			_, _ = io.WriteString(w, "ok") // fails only if the client is gone
		}
		return
	}
	fail(http.StatusNotFound, "no_service")
}

// arrival returns a new request with a response_url.
func (s *Server) arrival(envelope string) Arrival {
	base := strings.TrimSuffix(s.url, "/api/")
	return Arrival{
		ResponseURL: fmt.Sprintf("%s%s%s/%d/%s", base, responsePath, TeamID, len(s.arrivals)+1, rand.Text()),
		envelope:    envelope, at: s.options.Now(),
	}
}

func (s *Server) sent(a Arrival) Arrival {
	s.arrivals = append(s.arrivals, a)
	return a
}

func (s *Server) trigger() string {
	return fmt.Sprintf("%d.%d.%s", 1000+len(s.arrivals), s.options.Now().UnixNano(), rand.Text())
}

func (s *Server) nameOf(id string) string {
	for _, u := range s.users {
		if u.id == id {
			return u.Name
		}
	}
	return ""
}

func encode(a answer) json.RawMessage {
	text, err := json.Marshal(a)
	if err != nil {
		panic(err) // texts can be encoded
	}
	return text
}
