package gitlabtest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AccessToken is GitLab's description of the bot's access token, Options.Token.
type AccessToken struct {
	Scopes    []string  // default: api
	ExpiresAt time.Time // the day; zero: it does not expire
	Revoked   bool
	Grants    []Grant // not nil: the token is fine-grained, and has no scopes
}

// SetAccessToken changes GitLab's description of the bot's access token.
func (s *Server) SetAccessToken(t AccessToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = t
}

func (t AccessToken) scopes() []string {
	switch {
	case t.Grants != nil:
		return []string{"granular"}
	case t.Scopes == nil:
		return []string{"api"}
	}
	return t.Scopes
}

// tokenMay reports whether the access token allows the request; false: it is
// answered (lib/api/api_guard.rb).
func (c *call) tokenMay() bool {
	t := c.s.token
	switch {
	case t.Revoked:
		c.invalidToken("Token was revoked. You have to re-authorize from the user.")
		return false
	case !t.ExpiresAt.IsZero() && !c.s.o.Now().Before(t.ExpiresAt):
		c.invalidToken("Token is expired. You can either do re-authorization or token refresh.")
		return false
	}
	if t.Grants != nil {
		return true // what it may do is known only with the project: see granted
	}
	needed := []string{"api"}
	switch {
	case c.r.Method == http.MethodGet && c.r.URL.Path == apiPrefix+"/personal_access_tokens/self":
		return true
	case c.r.Method == http.MethodGet && slices.Contains([]string{"/user", "/version", "/metadata"}, strings.TrimPrefix(c.r.URL.Path, apiPrefix)):
		needed = append(needed, "read_api", "read_user")
	case c.r.Method == http.MethodGet:
		needed = append(needed, "read_api")
	}
	if slices.ContainsFunc(t.scopes(), func(scope string) bool { return slices.Contains(needed, scope) }) {
		return true
	}
	writeJSON(c.w, http.StatusForbidden, object{
		"error":             "insufficient_scope",
		"error_description": "The request requires higher privileges than provided by the access token.",
		"scope":             "api",
	})
	return false
}

func (c *call) invalidToken(description string) {
	writeJSON(c.w, http.StatusUnauthorized, object{"error": "invalid_token", "error_description": description})
}

// tokenID is the id of the bot's access token.
const tokenID = 42

// getAccessToken describes the access token itself (15.5+). It does not say what a
// fine-grained token may do (self_information.rb).
func (c *call) getAccessToken() {
	if !c.s.version.atLeast(15, 5) || c.by != nil {
		c.message(http.StatusNotFound, "404 Not Found")
		return
	}
	writeJSON(c.w, http.StatusOK, c.s.apiToken())
}

// getAccessTokenByID describes the bot's access token, with what it may do if it is
// fine-grained. Others are not found: the bot has one.
func (c *call) getAccessTokenByID() {
	if c.r.PathValue("token") != strconv.Itoa(tokenID) {
		c.message(http.StatusNotFound, "404 Not Found")
		return
	}
	o := c.s.apiToken()
	if c.s.token.Grants != nil {
		o["granular_scopes"] = each(c.s.token.Grants, func(g Grant) object {
			return object{"access": g.Access, "permissions": g.Permissions, "project_id": orNull(g.Project), "group_id": orNull(g.Group)}
		})
	}
	writeJSON(c.w, http.StatusOK, o)
}

func (s *Server) apiToken() object {
	t := s.token
	var expires any
	if !t.ExpiresAt.IsZero() {
		expires = t.ExpiresAt.Format(time.DateOnly)
	}
	o := object{
		"id": tokenID, "name": "pipesteward", "revoked": false, "active": true, "scopes": t.scopes(),
		"user_id": s.o.Bot.ID, "expires_at": expires, "description": nil, "last_used_ips": []string{},
	}
	if s.version.atLeast(18, 10) {
		o["granular"] = t.Grants != nil
	}
	return o
}
