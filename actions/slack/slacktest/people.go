package slacktest

import (
	"fmt"
	"net/url"
)

// AddUser adds a user with an e-mail address, and returns the user's id.
func (s *Server) AddUser(email string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("U%010d", len(s.users)+100)
	s.users[email] = id
	return id
}

// AddGroup adds a user group with a handle, without '@', and returns its id.
func (s *Server) AddGroup(handle string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("S%010d", len(s.groups)+1)
	s.groups[handle] = id
	return id
}

// Direct lists the messages of the conversation with a user, as Messages does.
func (s *Server) Direct(user string) []Message { return s.Messages(directName(user)) }

// directName is the name under which the conversation with a user is stored: no channel
// has a capital in its name.
func directName(user string) string { return "Direct-" + user }

func (s *Server) lookUpUser(form url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.users[form.Get("email")]
	if id == "" {
		return refuse("users_not_found")
	}
	return answer{"ok": true, "user": answer{"id": id, "name": form.Get("email")}}
}

func (s *Server) listGroups(url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []any{}
	for handle, id := range s.groups {
		all = append(all, answer{"id": id, "handle": handle, "name": handle, "is_usergroup": true})
	}
	return answer{"ok": true, "usergroups": all}
}

// openDirect opens the conversation with a user, once.
func (s *Server) openDirect(form url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	user := form.Get("users")
	known := false
	for _, id := range s.users {
		known = known || id == user
	}
	if !known {
		return refuse("user_not_found")
	}
	name := directName(user)
	for _, c := range s.channels {
		if c.Name == name {
			return answer{"ok": true, "already_open": true, "channel": answer{"id": c.id}}
		}
	}
	added := channel{fmt.Sprintf("D%010d", len(s.channels)+1), Channel{Name: name, Private: true}}
	s.channels = append(s.channels, added)
	return answer{"ok": true, "channel": answer{"id": added.id}}
}
