package gitlabtest

import (
	"net/http"
	"slices"
	"time"
)

// AccessToken is GitLab's description of the bot's access token, Options.Token.
type AccessToken struct {
	Scopes    []string  // default: api
	ExpiresAt time.Time // the day; zero: it does not expire
	Revoked   bool
}

// SetAccessToken changes GitLab's description of the bot's access token.
func (s *Server) SetAccessToken(t AccessToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = t
}

func (t AccessToken) scopes() []string {
	if t.Scopes == nil {
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
	needed := []string{"api"}
	switch {
	case c.r.Method == http.MethodGet && c.r.URL.Path == apiPrefix+"/personal_access_tokens/self":
		return true
	case c.r.Method == http.MethodGet && c.r.URL.Path == apiPrefix+"/user":
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

// getAccessToken describes the access token itself (15.5+).
func (c *call) getAccessToken() {
	if !c.s.version.atLeast(15, 5) || c.by != nil {
		c.message(http.StatusNotFound, "404 Not Found")
		return
	}
	t := c.s.token
	var expires any
	if !t.ExpiresAt.IsZero() {
		expires = t.ExpiresAt.Format(time.DateOnly)
	}
	writeJSON(c.w, http.StatusOK, object{
		"id": 42, "name": "pipesteward", "revoked": false, "active": true, "scopes": t.scopes(),
		"user_id": c.s.o.Bot.ID, "expires_at": expires,
	})
}
