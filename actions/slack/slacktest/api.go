package slacktest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Slack's limits.
const (
	maxBlocks     = 50
	maxBlockText  = 3000  // characters of one text object
	maxAllBlocks  = 13200 // bytes of all blocks; not documented, but seen
	maxText       = 40000
	maxUpdateText = 4000
	maxBody       = 1 << 20
)

// unescapeHTML undoes the escapes of Go's encoder, which Slack's does not make.
var unescapeHTML = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

// answer is the JSON of a response.
type answer map[string]any

func refuse(code string) answer { return answer{"ok": false, "error": code} }

func reply(w http.ResponseWriter, a answer) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(a) // fails only if the client is gone
}

// ServeHTTP answers one call of the Web API: POST /api/<method> with a form.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, responsePath):
		s.respond(w, r)
		return
	case r.URL.Path == socketPath:
		s.serveSocket(w, r)
		return
	}
	method := path.Base(r.URL.Path)
	do, known := map[string]func(url.Values) answer{
		"auth.test":             s.authTest,
		"chat.postMessage":      s.postMessage,
		"chat.update":           s.update,
		"chat.delete":           s.delete,
		"conversations.history": s.history,
		"conversations.replies": s.replies,
		"users.conversations":   s.conversations,
		"conversations.list":    s.list,
		"conversations.info":    s.info,
		"conversations.open":    s.openDirect,
		"users.lookupByEmail":   s.lookUpUser,
		"users.info":            s.describeUser,
		"usergroups.list":       s.listGroups,
		"usergroups.users.list": s.listGroupMembers,
		"apps.connections.open": s.openConnection,
	}[method]
	if !known {
		reply(w, refuse("unknown_method"))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		reply(w, refuse("invalid_form_data"))
		return
	}
	s.mu.Lock()
	s.calls[method]++
	s.mu.Unlock()

	fault := s.fault(method)
	if fault != nil && fault.Delay > 0 {
		late := time.NewTimer(fault.Delay)
		defer late.Stop()
		select {
		case <-late.C:
		case <-r.Context().Done():
		}
	}
	if fault != nil && fault.fails() && !fault.AfterEffect {
		fault.answer(w)
		return
	}
	code := s.unauthorized(r, method)
	result := refuse(code)
	if code == "" {
		if method == "apps.connections.open" {
			w.Header().Set("X-OAuth-Scopes", "connections:write")
		} else {
			w.Header().Set("X-OAuth-Scopes", strings.Join(s.scopes(), ","))
		}
		if result = s.scopeMissing(method, r.PostForm); result == nil {
			result = do(r.PostForm)
		}
	}
	if fault != nil && fault.fails() {
		fault.answer(w)
		return
	}
	if result["error"] == "ratelimited" {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	reply(w, result)
}

// unauthorized returns the error code for a wrong token, "" for the right one.
func (s *Server) unauthorized(r *http.Request, method string) string {
	token := r.PostForm.Get("token")
	if token == "" {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case token == "":
		return "not_authed"
	case method == "apps.connections.open":
		return s.wrongAppToken(token)
	case s.revoked != "":
		return s.revoked
	case s.options.Token != "" && token != s.options.Token, !strings.HasPrefix(token, "xoxb-"):
		return "invalid_auth"
	}
	return ""
}

func (s *Server) authTest(url.Values) answer {
	return answer{
		"ok": true, "url": "https://simulated.slack.com/", "team": "Simulated", "user": "pipesteward",
		"team_id": TeamID, "user_id": "U0000000001", "bot_id": "B0000000001",
	}
}

func (s *Server) postMessage(form url.Values) answer {
	if code := invalid(form, maxText); code != "" {
		return refuse(code)
	}
	m := Message{
		Text:   form.Get("text"),
		Blocks: json.RawMessage(form.Get("blocks")),
		Unfurl: form.Get("unfurl_links") != "false" || form.Get("unfurl_media") != "false",
		Parse:  form.Get("parse"),
	}
	if raw := form.Get("metadata"); raw != "" {
		if err := json.Unmarshal([]byte(raw), &m.Metadata); err != nil || m.Metadata.EventType == "" {
			return refuse("invalid_metadata_format")
		}
	}

	s.ordering.Lock()
	defer s.ordering.Unlock()
	s.mu.Lock()
	c := s.join(form.Get("channel"))
	if code := s.closed(c); code != "" {
		s.mu.Unlock()
		return refuse(code)
	}
	if now := s.options.Now(); s.options.Strict && now.Sub(s.posted[c.id]) < time.Second {
		s.mu.Unlock()
		return refuse("ratelimited")
	}
	s.posted[c.id] = s.options.Now()
	m.Channel, m.ID, m.TS = c.Name, c.id, s.timestamp()
	if thread := form.Get("thread_ts"); s.find(c.id, thread) >= 0 {
		m.ThreadTS = thread
	}
	s.messages = append(s.messages, m)
	s.posts = append(s.posts, m)
	s.mu.Unlock()
	s.onMessage(m)
	return answer{"ok": true, "channel": m.ID, "ts": m.TS, "message": m.json(true)}
}

func (s *Server) update(form url.Values) answer {
	if code := invalid(form, maxUpdateText); code != "" {
		return refuse(code)
	}
	s.ordering.Lock()
	defer s.ordering.Unlock()
	s.mu.Lock()
	if !s.knows(form.Get("channel")) {
		s.mu.Unlock()
		return refuse("channel_not_found")
	}
	i := s.find(form.Get("channel"), form.Get("ts"))
	if i < 0 {
		s.mu.Unlock()
		return refuse("message_not_found")
	}
	m := &s.messages[i]
	m.Text, m.Blocks, m.Edited, m.Parse = form.Get("text"), json.RawMessage(form.Get("blocks")), true, form.Get("parse")
	s.updates = append(s.updates, *m)
	edited := *m
	s.mu.Unlock()
	s.onMessage(edited)
	return answer{"ok": true, "channel": edited.ID, "ts": edited.TS, "text": edited.Text, "message": edited.json(true)}
}

func (s *Server) onMessage(m Message) {
	if s.options.OnMessage != nil {
		s.options.OnMessage(m)
	}
}

func (s *Server) delete(form url.Values) answer {
	s.mu.Lock()
	gone := s.find(form.Get("channel"), form.Get("ts")) < 0
	s.mu.Unlock()
	if gone {
		return refuse("message_not_found")
	}
	s.Delete(form.Get("channel"), form.Get("ts"))
	return answer{"ok": true, "channel": form.Get("channel"), "ts": form.Get("ts")}
}

// history lists the channel's messages, newest first, without replies.
func (s *Server) history(form url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.knows(form.Get("channel")) {
		return refuse("channel_not_found")
	}
	var found []Message
	for _, m := range slices.Backward(s.messages) {
		if m.ID == form.Get("channel") && m.ThreadTS == "" && within(m.TS, form) {
			found = append(found, m)
		}
	}
	return page(found, form, 100)
}

// replies lists a thread, oldest first; its first message is always included.
func (s *Server) replies(form url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.knows(form.Get("channel")) {
		return refuse("channel_not_found")
	}
	root := s.find(form.Get("channel"), form.Get("ts"))
	if root < 0 {
		return refuse("thread_not_found")
	}
	found := []Message{s.messages[root]}
	for _, m := range s.messages {
		if m.ID == form.Get("channel") && m.ThreadTS == form.Get("ts") && within(m.TS, form) {
			found = append(found, m)
		}
	}
	return page(found, form, 1000)
}

// find returns the index of the message, -1 if there is none.
func (s *Server) find(channelID, ts string) int {
	return slices.IndexFunc(s.messages, func(m Message) bool { return m.ID == channelID && m.TS == ts })
}

func (s *Server) knows(channelID string) bool {
	return slices.ContainsFunc(s.channels, func(c channel) bool { return c.id == channelID })
}

// within reports whether the timestamp lies between the form's oldest and
// latest; timestamps of the same length compare as texts.
func within(ts string, form url.Values) bool {
	oldest, latest := form.Get("oldest"), form.Get("latest")
	inclusive := form.Get("inclusive") == "1" && (ts == oldest || ts == latest)
	return inclusive || (oldest == "" || ts > oldest) && (latest == "" || ts < latest)
}

func page(messages []Message, form url.Values, limit int) answer {
	var all []any
	for _, m := range messages {
		all = append(all, m.json(form.Get("include_all_metadata") == "1"))
	}
	return cut("messages", all, form, limit)
}

// cut answers with the form's page of a list. The cursor is opaque to clients:
// here the index of the next item, in base64.
func cut(name string, all []any, form url.Values, limit int) answer {
	if n, err := strconv.Atoi(form.Get("limit")); err == nil && n > 0 {
		limit = min(n, limit)
	}
	from := 0
	if cursor := form.Get("cursor"); cursor != "" {
		index, err := base64.StdEncoding.DecodeString(cursor)
		if err != nil {
			return refuse("invalid_cursor")
		}
		from, err = strconv.Atoi(string(index))
		if err != nil || from < 0 || from > len(all) {
			return refuse("invalid_cursor")
		}
	}
	to := min(from+limit, len(all))
	next := ""
	if to < len(all) {
		next = base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(to)))
	}
	return answer{
		"ok": true, name: append([]any{}, all[from:to]...), "has_more": next != "",
		"response_metadata": answer{"next_cursor": next},
	}
}

// invalid returns the error code for a message that Slack would reject.
func invalid(form url.Values, longest int) string {
	if form.Get("text") == "" && form.Get("blocks") == "" {
		return "no_text"
	}
	if utf8.RuneCountInString(form.Get("text")) > longest {
		return "msg_too_long"
	}
	if form.Get("blocks") == "" {
		return ""
	}
	var blocks []block
	if err := json.Unmarshal([]byte(form.Get("blocks")), &blocks); err != nil {
		return "invalid_blocks_format"
	}
	if len(unescapeHTML.Replace(form.Get("blocks"))) > maxAllBlocks {
		return "msg_blocks_too_long"
	}
	if len(blocks) > maxBlocks {
		return "invalid_blocks"
	}
	for _, b := range blocks {
		for _, t := range b.texts() {
			if t == "" || utf8.RuneCountInString(t) > maxBlockText {
				return "invalid_blocks"
			}
		}
	}
	return ""
}

// json returns the message as Slack's API does.
func (m Message) json(metadata bool) answer {
	a := answer{"type": "message", "user": "U0000000001", "bot_id": "B0000000001", "text": m.Text, "ts": m.TS}
	if len(m.Blocks) > 0 {
		a["blocks"] = m.Blocks
	}
	if m.ThreadTS != "" {
		a["thread_ts"] = m.ThreadTS
	}
	if metadata && m.Metadata.EventType != "" {
		a["metadata"] = m.Metadata
	}
	return a
}
