package gitlabtest

import (
	"cmp"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Account is a user with a profile, and with roles in projects.
type Account struct {
	User               // its Email is private
	PublicEmail string // in the profile; "": the user shows none
	State       string // default: active
	Bot         bool
	Unconfirmed bool            // the private Email is
	Roles       map[int64]Role  // by the ids of projects
	GroupRoles  map[string]Role // by the paths of groups
	Awaiting    bool            // an administrator must approve the memberships
}

// AddAccount adds a user, or replaces the one of its id.
func (s *Server) AddAccount(a Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.State = cmp.Or(a.State, "active")
	s.accounts = slices.DeleteFunc(s.accounts, func(other Account) bool { return other.ID == a.ID })
	s.accounts = append(s.accounts, a)
}

// listUsers finds users by a name, or exactly by an address: the public one, for
// administrators also the private one (User.search).
func (c *call) listUsers() {
	search := strings.ToLower(c.r.URL.Query().Get("search"))
	var exact, byAddress, byName []Account
	for _, a := range c.s.accounts {
		switch {
		case strings.ToLower(a.Name) == search:
			exact = append(exact, a)
		case search != "" && (strings.ToLower(a.PublicEmail) == search || c.s.o.Admin && strings.ToLower(a.Email) == search):
			byAddress = append(byAddress, a)
		case strings.Contains(strings.ToLower(a.Name), search) || strings.Contains(a.Username, search):
			byName = append(byName, a)
		}
	}
	if page, ok := offsetPage(c, slices.Values(slices.Concat(exact, byAddress, byName)), true); ok {
		writeJSON(c.w, http.StatusOK, each(page, c.basicUser))
	}
}

// basicUser is a user in lists (API::Entities::UserBasic).
func (c *call) basicUser(a Account) object {
	return object{"id": a.ID, "username": a.Username, "name": a.Name, "state": a.State, "locked": false, "avatar_url": nil, "web_url": c.s.external + "/" + a.Username}
}

// getUserByID describes a user (API::Entities::User; UserWithAdmin for administrators).
func (c *call) getUserByID() {
	a := c.account()
	if a == nil {
		c.message(http.StatusNotFound, "404 User Not Found")
		return
	}
	o := c.basicUser(*a)
	o["bot"], o["public_email"] = a.Bot, orNull(a.PublicEmail)
	if c.s.o.Admin {
		o["email"], o["confirmed_at"] = a.Email, isoTime(c.s.o.Now())
		if a.Unconfirmed {
			o["confirmed_at"] = nil
		}
	}
	writeJSON(c.w, http.StatusOK, o)
}

// getMember describes a member of the project (API::Members).
func (c *call) getMember() {
	c.member(func(a Account) (Role, bool) {
		role, is := a.Roles[c.project.ID]
		return role, is
	})
}

// getGroupMember describes a member of the group or of one that it is in.
func (c *call) getGroupMember() {
	g := c.findGroup()
	if g == nil {
		return
	}
	c.member(func(a Account) (Role, bool) {
		for at := g.Path; at != "."; at = path.Dir(at) {
			if role, is := a.GroupRoles[at]; is {
				return role, true
			}
		}
		return NoAccess, false
	})
}

// member describes the user of the path with its role.
func (c *call) member(roleOf func(Account) (role Role, is bool)) {
	if a := c.account(); a != nil {
		if role, is := roleOf(*a); is && role != NoAccess {
			o := c.basicUser(*a)
			o["access_level"], o["expires_at"], o["membership_state"] = role.accessLevel(), nil, "active"
			if a.Awaiting {
				o["membership_state"] = "awaiting"
			}
			writeJSON(c.w, http.StatusOK, o)
			return
		}
	}
	c.message(http.StatusNotFound, "404 Not found")
}

// account is the user of the path; nil: there is none.
func (c *call) account() *Account {
	id, _ := strconv.ParseInt(c.r.PathValue("user"), 10, 64) // 0 is no user
	for i, a := range c.s.accounts {
		if a.ID == id {
			return &c.s.accounts[i]
		}
	}
	return nil
}
