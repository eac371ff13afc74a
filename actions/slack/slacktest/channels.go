package slacktest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Channel describes a channel.
type Channel struct {
	Name      string // without '#'
	Private   bool
	Archived  bool
	NotMember bool // the bot is no member: it sees the channel only if it is public
}

// AddChannel adds a channel, or changes the one of its name, and returns its id.
func (s *Server) AddChannel(c Channel) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.channels {
		if s.channels[i].Name == c.Name {
			s.channels[i].Channel = c
			return s.channels[i].id
		}
	}
	return s.add(c).id
}

func (s *Server) add(c Channel) channel {
	added := channel{fmt.Sprintf("C%010d", len(s.channels)+1), c}
	s.channels = append(s.channels, added)
	return added
}

// closed returns the error code of a post to the channel, "" if the bot may post
// there. Without an id, there is no such channel.
func (s *Server) closed(c channel) string {
	switch {
	case c.id == "", c.NotMember && c.Private:
		return "channel_not_found"
	case c.Archived:
		return "is_archived"
	case c.NotMember && !slices.Contains(s.options.Scopes, "chat:write.public"):
		return "not_in_channel"
	}
	return ""
}

// scopeMissing returns the refusal of a call for which the bot lacks a scope; nil: it
// has all.
func (s *Server) scopeMissing(method string, form url.Values) answer {
	var needed []string
	switch method {
	case "chat.postMessage", "chat.update", "chat.delete":
		needed = []string{"chat:write"}
	case "users.conversations", "conversations.list":
		for kind := range typesOf(form) {
			needed = append(needed, map[string]string{"public_channel": "channels:read", "private_channel": "groups:read"}[kind])
		}
	case "conversations.open":
		needed = []string{"im:write"}
	case "users.lookupByEmail":
		needed = []string{"users:read.email"}
	case "users.info":
		needed = []string{"users:read"}
	case "usergroups.list", "usergroups.users.list":
		needed = []string{"usergroups:read"}
	case "conversations.info":
		needed = []string{s.scopeFor(form.Get("channel"), "read")}
	case "conversations.history", "conversations.replies":
		needed = []string{s.scopeFor(form.Get("channel"), "history")}
	}
	slices.Sort(needed)
	scopes := s.scopes()
	for _, scope := range needed {
		if !slices.Contains(scopes, scope) {
			refusal := refuse("missing_scope")
			refusal["needed"], refusal["provided"] = scope, strings.Join(scopes, ",")
			return refusal
		}
	}
	return nil
}

func (s *Server) scopes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options.Scopes
}

// scopeFor returns the scope for reading a channel.
func (s *Server) scopeFor(id, verb string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(id, "D") {
		return "im:" + verb
	}
	if slices.ContainsFunc(s.channels, func(c channel) bool { return c.id == id && c.Private }) {
		return "groups:" + verb
	}
	return "channels:" + verb
}

// typesOf returns the types of channels that a request wants.
func typesOf(form url.Values) map[string]bool {
	types := map[string]bool{}
	for kind := range strings.SplitSeq(form.Get("types"), ",") {
		types[kind] = true
	}
	if types[""] {
		return map[string]bool{"public_channel": true}
	}
	return types
}

// conversations lists the channels that the bot is a member of.
func (s *Server) conversations(form url.Values) answer {
	return s.channelsWhere(form, func(c channel) bool { return !c.NotMember })
}

// list lists the channels of the workspace that the bot may see.
func (s *Server) list(form url.Values) answer {
	return s.channelsWhere(form, func(c channel) bool { return !c.NotMember || !c.Private })
}

func (s *Server) channelsWhere(form url.Values, passes func(channel) bool) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	types := typesOf(form)
	all := []any{}
	for _, c := range s.channels {
		kind := "public_channel"
		if c.Private {
			kind = "private_channel"
		}
		if passes(c) && !strings.HasPrefix(c.id, "D") && types[kind] && (!c.Archived || form.Get("exclude_archived") != "true") {
			all = append(all, c.json())
		}
	}
	return cut("channels", all, form, 1000)
}

// info describes one channel, by its id.
func (s *Server) info(form url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		if c.id == form.Get("channel") && (!c.NotMember || !c.Private) {
			return answer{"ok": true, "channel": c.json()}
		}
	}
	return refuse("channel_not_found")
}

func (c channel) json() answer {
	return answer{
		"id": c.id, "name": c.Name, "is_channel": !c.Private, "is_group": c.Private, "is_private": c.Private,
		"is_member": !c.NotMember, "is_archived": c.Archived,
	}
}
