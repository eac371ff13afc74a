package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

// AccessToken describes a personal, project or group access token.
type AccessToken struct {
	Name      string
	Scopes    []string
	ExpiresAt time.Time // midnight in UTC of the day; zero: never
	// Grants are the permissions of a fine-grained token (18.10+), which has no
	// scopes. FineGrained is set if it is one, also if GitLab hides its grants.
	FineGrained bool
	Grants      []Grant
}

// Grant is what a fine-grained token may do, and where.
type Grant struct {
	Access      string   // personal_projects, all_memberships, selected_memberships, user or instance
	Permissions []string // such as read_job
	Project     int64    // of selected_memberships; 0: none
	Group       int64    // of selected_memberships; 0: none
}

// May reports whether the token has a scope.
func (t AccessToken) May(scope string) bool { return slices.Contains(t.Scopes, scope) }

// AccessToken returns GitLab's description (15.5+) of the client's own access
// token. The answer about oneself lacks the grants of a fine-grained token; the one
// about the same token by its id has them (personal_access_tokens.rb and its
// self_information.rb in GitLab's source).
func (c *Client) AccessToken(ctx context.Context) (AccessToken, error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.AccessToken, Path: "personal_access_tokens/self"}
	answer, _, err := rest.Call(ctx, c.Client, r, accessTokenJSON{})
	if err != nil {
		return AccessToken{}, err
	}
	if answer.fineGrained() && len(answer.Grants) == 0 && answer.ID != 0 {
		r.Path = fmt.Sprintf("personal_access_tokens/%d", answer.ID)
		if byID, _, err := rest.Call(ctx, c.Client, r, accessTokenJSON{}); err == nil {
			answer.Grants = byID.Grants
		} else if ctx.Err() != nil {
			return AccessToken{}, err
		}
	}
	return answer.token(), nil
}

type accessTokenJSON struct {
	ID        gitlabjson.Int `json:"id"`
	Name      string         `json:"name"`
	Scopes    []string       `json:"scopes"`
	ExpiresAt string         `json:"expires_at"` // 2026-12-31
	Granular  bool           `json:"granular"`
	Grants    []struct {
		Access      string         `json:"access"`
		Permissions []string       `json:"permissions"`
		ProjectID   gitlabjson.Int `json:"project_id"`
		GroupID     gitlabjson.Int `json:"group_id"`
	} `json:"granular_scopes"`
}

// fineGrained reports whether the token is fine-grained: its only scope is called
// granular then.
func (t accessTokenJSON) fineGrained() bool {
	return t.Granular || slices.Contains(t.Scopes, "granular")
}

func (t accessTokenJSON) token() AccessToken {
	expires, _ := time.Parse(time.DateOnly, t.ExpiresAt) // null: it does not
	token := AccessToken{Name: t.Name, Scopes: t.Scopes, ExpiresAt: expires, FineGrained: t.fineGrained()}
	for _, g := range t.Grants {
		token.Grants = append(token.Grants, Grant{g.Access, g.Permissions, int64(g.ProjectID), int64(g.GroupID)})
	}
	return token
}
