package gitlab

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
)

// AccessToken describes a personal, project or group access token.
type AccessToken struct {
	Name      string
	Scopes    []string
	ExpiresAt time.Time // midnight in UTC of the day; zero: never
}

// May reports whether the token has a scope.
func (t AccessToken) May(scope string) bool { return slices.Contains(t.Scopes, scope) }

// AccessToken returns GitLab's description (15.5+) of the client's own access
// token.
func (c *Client) AccessToken(ctx context.Context) (AccessToken, error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.AccessToken, Path: "personal_access_tokens/self"}
	answer, _, err := rest.Call(ctx, c.Client, r, accessTokenJSON{})
	expires, _ := time.Parse(time.DateOnly, answer.ExpiresAt) // null: it does not
	return AccessToken{answer.Name, answer.Scopes, expires}, err
}

type accessTokenJSON struct {
	Name      string   `json:"name"`
	Scopes    []string `json:"scopes"`
	ExpiresAt string   `json:"expires_at"` // 2026-12-31
}
