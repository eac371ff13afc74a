package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

// maxCandidates bounds the users that are looked at to find that of an address: a search
// also finds names that are like it.
const maxCandidates = 20

// User is a person in GitLab.
type User struct {
	ID       int64
	Username string
	Active   bool // neither blocked nor deactivated
	Bot      bool // of an access token, or of GitLab itself
}

// UserByEmail returns the user with an e-mail address; found is false if there is none.
// GitLab finds a user by the public address of the user's profile; for an administrator's
// token, also by the primary address, which is otherwise private (doc/api/users.md, and
// UsersFinder in GitLab's source). A user can make only addresses public that GitLab has
// confirmed; a name that is like an address counts for nothing.
func (c *Client) UserByEmail(ctx context.Context, email string) (u User, found bool, err error) {
	r := rest.Request{
		Method: http.MethodGet, Endpoint: endpoint.Users, Path: "users",
		Params: &gl.ListUsersOptions{Search: gl.Ptr(email), ListOptions: gl.ListOptions{PerPage: maxCandidates}},
	}
	candidates, _, err := rest.Call(ctx, c.Client, r, []profileJSON(nil))
	if err != nil {
		return User{}, false, err
	}
	for _, candidate := range candidates {
		r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.UserByID, Path: fmt.Sprintf("users/%d", candidate.ID)}
		answer, _, err := rest.Call(ctx, c.Client, r, profileJSON{})
		if apierror.IsNotFound(err) {
			continue
		}
		if err != nil {
			return User{}, false, err
		}
		confirmed := answer.ConfirmedAt != "" && strings.EqualFold(answer.Email, email)
		if answer.ID == candidate.ID && (confirmed || strings.EqualFold(answer.PublicEmail, email)) {
			return User{ID: int64(answer.ID), Username: answer.Username, Active: answer.State == "active", Bot: answer.Bot}, true, nil
		}
	}
	return User{}, false, nil
}

type profileJSON struct {
	ID          gitlabjson.Int `json:"id"`
	Username    string         `json:"username"`
	State       string         `json:"state"`
	Bot         bool           `json:"bot"`
	PublicEmail string         `json:"public_email"`
	Email       string         `json:"email"`        // only for administrators
	ConfirmedAt string         `json:"confirmed_at"` // of Email
}

// MemberRole returns the role of a user in a project, by itself, through a group or
// through a group that was invited (doc/api/project_members.md); NoRole for one who is no
// member or is not active.
func (c *Client) MemberRole(ctx context.Context, project, user int64) (Role, error) {
	return c.role(ctx, fmt.Sprintf("projects/%d/members/all/%d", project, user), endpoint.Member, user)
}

// GroupMemberRole is MemberRole for a group (doc/api/group_members.md).
func (c *Client) GroupMemberRole(ctx context.Context, group, user int64) (Role, error) {
	return c.role(ctx, fmt.Sprintf("groups/%d/members/all/%d", group, user), endpoint.GroupMember, user)
}

func (c *Client) role(ctx context.Context, path, endpoint string, user int64) (Role, error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint, Path: path}
	answer, resp, err := rest.Call(ctx, c.Client, r, memberJSON{})
	switch {
	case apierror.IsNotFound(err):
		return NoRole, nil
	case err != nil:
		return NoRole, err
	case int64(answer.ID) != user:
		return NoRole, rest.Unexpected(c.Client, r, resp, "the answer is no member, or another one")
	case answer.State != "active", answer.Membership != "" && answer.Membership != "active":
		return NoRole, nil
	}
	return Role(answer.Level), nil
}

type memberJSON struct {
	ID         gitlabjson.Int `json:"id"`
	State      string         `json:"state"`
	Membership string         `json:"membership_state"` // awaiting: an administrator must approve it
	Level      gitlabjson.Int `json:"access_level"`
}
