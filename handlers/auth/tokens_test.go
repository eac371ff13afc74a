package auth_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/handlers/auth/authtest"
)

func TestAccessTokens(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	const prefix = "glpat-0123456789abcdef-"
	r.gitlab.AddUser(authtest.User{Username: "gone", Direct: []string{"platform/ops"}, State: "blocked"})
	r.gitlab.AddUser(authtest.User{Username: "waits", Direct: []string{"platform/ops"}, State: "deactivated"})
	many := authtest.User{Username: "many", Direct: []string{"platform/ops"}}
	for i := range 250 {
		many.Direct = append(many.Direct, fmt.Sprintf("a/%03d", i))
	}
	r.gitlab.AddUser(many)
	for name, token := range map[string]authtest.AccessToken{
		"ann": {Username: "ann", Scopes: []string{"api"}}, "ann-reads": {Username: "ann", Scopes: []string{"read_api"}},
		"ann-registry": {Username: "ann", Scopes: []string{"read_registry", "read_user"}}, "ann-oauth": {Username: "ann", Scopes: []string{"api"}, OAuth: true},
		"bob": {Username: "bob", Scopes: []string{"api"}}, "eve": {Username: "eve", Scopes: []string{"api"}},
		"gone": {Username: "gone", Scopes: []string{"api"}}, "waits": {Username: "waits", Scopes: []string{"api"}}, "many": {Username: "many", Scopes: []string{"api"}},
	} {
		r.gitlab.AddToken(prefix+name, token)
	}
	for i, c := range []struct {
		name          string
		header        string
		read, operate int
		says          string
	}{
		{"an operator", "Bearer " + prefix + "ann", 200, 200, "it was ann"},
		{"an operator, otherwise written", "bearer  " + prefix + "ann", 200, 200, "it was ann"},
		{"an operator's token that only reads", "Bearer " + prefix + "ann-reads", 200, 403, "has not the scope api"},
		{"a token for something else", "Bearer " + prefix + "ann-registry", 403, 403, "has not the scope that is needed: read_api to read"},
		{"a token of an application", "Bearer " + prefix + "ann-oauth", 401, 401, "does not know this token as a personal"},
		{"a reader", "Bearer " + prefix + "bob", 200, 403, "needs the role operate"},
		{"somebody else", "Bearer " + prefix + "eve", 403, 403, "no role"},
		{"a blocked user", "Bearer " + prefix + "gone", 401, 401, "does not know"},
		{"a user who is not active", "Bearer " + prefix + "waits", 401, 401, "is not active"},
		{"a member of many groups", "Bearer " + prefix + "many", 200, 200, "it was many"},
		{"an unknown token", "Bearer " + prefix + "unknown", 401, 401, "does not know"},
		{"no token", "Bearer ", 401, 401, "not an access token"},
		{"a token with a space", "Bearer glpat-0123456789abcdef 0123", 401, 401, "not an access token"},
		{"a password", "Basic YW5uOmFubg==", 401, 401, "must be Bearer"},
		{"an ID token of a CI job", "Bearer " + r.gitlab.CIJobToken("ann", r.gitlab.ClientID), 401, 401, "which any CI job can have"},
	} {
		from := fmt.Sprintf("192.0.2.%d", i+1)
		r.wants(c.name, c.read, "", from, "/read", "Authorization", c.header)
		r.wants(c.name, c.operate, c.says, from, "/operate", "Authorization", c.header)
	}
	if strings.Contains(r.log.String(), prefix) {
		t.Errorf("the log holds a token:\n%s", r.log)
	}
}

// GitLab is asked once a minute about a token; one that is revoked ends by then.
func TestAccessTokenIsRemembered(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	const token, self = "glpat-0123456789abcdef", "/api/v4/personal_access_tokens/self"
	r.gitlab.AddToken(token, authtest.AccessToken{Username: "ann", Scopes: []string{"api"}})
	for range 5 {
		r.wants("ann", 200, "it was ann", "192.0.2.1", "/operate", "Authorization", "Bearer "+token)
	}
	if n := r.gitlab.Requests(self); n != 1 {
		t.Errorf("GitLab was asked %d times, want 1", n)
	}
	r.gitlab.Revoke(token)
	r.clock.advance(59 * time.Second)
	r.wants("within a minute", 200, "", "192.0.2.1", "/operate", "Authorization", "Bearer "+token)
	r.clock.advance(time.Second)
	r.wants("after a minute", 401, "revoked", "192.0.2.1", "/operate", "Authorization", "Bearer "+token)
}

// Guesses cost GitLab few requests.
func TestGuessedTokensAreBounded(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	for i := range 50 {
		want := 401
		if i >= 10 {
			want = 429
		}
		r.wants("a guess", want, "", "192.0.2.1", "/read", "Authorization", fmt.Sprintf("Bearer glpat-0123456789abcdef%02d", i))
	}
	if n := r.gitlab.Requests("/api/v4/personal_access_tokens/self"); n != 10 {
		t.Errorf("GitLab was asked %d times, want 10", n)
	}
}

// Without GitLab nobody new comes in, and that is nobody's fault.
func TestAccessTokenWhileGitLabIsDown(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	const token = "glpat-0123456789abcdef"
	r.gitlab.AddToken(token, authtest.AccessToken{Username: "ann", Scopes: []string{"api"}})
	r.gitlab.Close()
	for range 12 {
		r.wants("ann", 503, "GitLab can't say now whose this token is", "192.0.2.1", "/read", "Authorization", "Bearer "+token)
	}
}
