package slacktest

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// TeamID is the id of the workspace.
const TeamID = "T0000000001"

// Person is a user as Slack sees it.
type Person struct {
	Email      string
	Name       string // for people to read; the Email by default
	Team       string // the id of the user's workspace; TeamID by default
	Enterprise string // the id of the organization that the workspace is part of
	Deleted    bool   // deactivated
	Bot        bool
	Guest      bool // of several channels
	OneChannel bool // a guest of one channel
	Stranger   bool // of another organization, and in no channel with the bot
	Unproven   bool // the Email is not confirmed
}

// user is a Person with its id.
type user struct {
	id string
	Person
}

// group is a user group.
type group struct {
	id, handle string
	members    []string
}

// AddUser adds a user with an e-mail address, and returns the user's id.
func (s *Server) AddUser(email string) string { return s.AddPerson(Person{Email: email}) }

// AddPerson adds a user, and returns its id.
func (s *Server) AddPerson(p Person) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Name, p.Team = cmp.Or(p.Name, p.Email), cmp.Or(p.Team, TeamID)
	id := fmt.Sprintf("U%010d", len(s.users)+100)
	s.users = append(s.users, user{id, p})
	return id
}

// SetPerson replaces what Slack says of a user.
func (s *Server) SetPerson(id string, p Person) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.users, func(u user) bool { return u.id == id })
	p.Name, p.Team = cmp.Or(p.Name, p.Email), cmp.Or(p.Team, TeamID)
	s.users[i].Person = p
}

// AddGroup adds a user group with a handle, without '@', and the ids of its members, and
// returns its id.
func (s *Server) AddGroup(handle string, members ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("S%010d", len(s.groups)+1)
	s.groups = append(s.groups, group{id, handle, members})
	return id
}

// SetMembers replaces the members of a user group.
func (s *Server) SetMembers(groupID string, members ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.groups, func(g group) bool { return g.id == groupID })
	s.groups[i].members = members
}

// Direct lists the messages of the conversation with a user, as Messages does.
func (s *Server) Direct(user string) []Message { return s.Messages(directName(user)) }

// directName is the name under which the conversation with a user is stored: no channel
// has a capital in its name.
func directName(user string) string { return "Direct-" + user }

func (s *Server) lookUpUser(form url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		if u.Email != "" && u.Email == form.Get("email") && u.Team == TeamID {
			return answer{"ok": true, "user": u.json(true)}
		}
	}
	return refuse("users_not_found")
}

// describeUser describes one user, by its id (users.info). The address is there with the
// scope users:read.email only.
func (s *Server) describeUser(form url.Values) answer {
	withEmail := slices.Contains(s.scopes(), "users:read.email")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		if u.id == form.Get("user") {
			return answer{"ok": true, "user": u.json(withEmail)}
		}
	}
	return refuse("user_not_found")
}

// json returns the user as Slack's API does.
func (u user) json(withEmail bool) answer {
	profile := answer{"real_name": u.Name, "display_name": ""}
	if withEmail && u.Email != "" {
		profile["email"] = u.Email
	}
	a := answer{
		"id": u.id, "team_id": u.Team, "name": strings.ToLower(strings.ReplaceAll(u.Name, " ", ".")), "real_name": u.Name, "profile": profile,
		"is_email_confirmed": !u.Unproven, "deleted": u.Deleted, "is_bot": u.Bot, "is_restricted": u.Guest || u.OneChannel, "is_ultra_restricted": u.OneChannel,
	}
	if u.Stranger {
		a["is_stranger"] = true
	}
	if u.Enterprise != "" {
		a["enterprise_user"] = answer{"enterprise_id": u.Enterprise, "teams": []string{u.Team}}
	}
	return a
}

func (s *Server) listGroups(url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []any{}
	for _, g := range s.groups {
		all = append(all, answer{"id": g.id, "handle": g.handle, "name": g.handle, "is_usergroup": true})
	}
	return answer{"ok": true, "usergroups": all}
}

// listGroupMembers lists the ids of a group's members (usergroups.users.list).
func (s *Server) listGroupMembers(form url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		if g.id == form.Get("usergroup") {
			return answer{"ok": true, "users": append([]string{}, g.members...)}
		}
	}
	return refuse("no_such_subteam")
}

// openDirect opens the conversation with a user, once.
func (s *Server) openDirect(form url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := form.Get("users")
	if !slices.ContainsFunc(s.users, func(u user) bool { return u.id == id }) {
		return refuse("user_not_found")
	}
	name := directName(id)
	for _, c := range s.channels {
		if c.Name == name {
			return answer{"ok": true, "already_open": true, "channel": answer{"id": c.id}}
		}
	}
	added := channel{fmt.Sprintf("D%010d", len(s.channels)+1), Channel{Name: name, Private: true}}
	s.channels = append(s.channels, added)
	return answer{"ok": true, "channel": answer{"id": added.id}}
}
