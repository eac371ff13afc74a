package gitlab

import (
	"context"
	"fmt"
	"iter"
	"net/http"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
)

// Role is a role in a project, by the number that GitLab's API gives it
// (Gitlab::Access in its source). A custom role has the number of the role that it
// is based on.
type Role int

// The roles that Pipesteward's requests need. Others lie between them.
const (
	NoRole     Role = 0
	Reporter   Role = 20
	Developer  Role = 30
	Maintainer Role = 40
	Owner      Role = 50
)

// String returns the name of the highest role that r includes.
func (r Role) String() string {
	switch {
	case r >= Owner:
		return "Owner"
	case r >= Maintainer:
		return "Maintainer"
	case r >= Developer:
		return "Developer"
	case r >= Reporter:
		return "Reporter"
	case r > NoRole:
		return "Guest"
	}
	return "none"
}

// RoleNamed returns the role of a project's setting, such as developer; ok is false
// for a name that is none, such as no_one_allowed.
func RoleNamed(name string) (r Role, ok bool) {
	switch name {
	case "developer":
		return Developer, true
	case "maintainer":
		return Maintainer, true
	case "owner":
		return Owner, true
	}
	return NoRole, false
}

// MemberProjects lists the projects in which the token's user has at least the role,
// by itself, through a group or through a group that was invited, by id ascending,
// with archived ones, page by page as they are needed. With details they have
// Archived and VariablesRole. It ends with the first error.
func (c *Client) MemberProjects(ctx context.Context, least Role, details bool) iter.Seq2[Project, error] {
	list := func(paging gl.ListOptions) rest.Request {
		o := &gl.ListProjectsOptions{ListOptions: paging, OrderBy: gl.Ptr("id"), Sort: gl.Ptr("asc"), Membership: gl.Ptr(true), Simple: gl.Ptr(!details)}
		if least > NoRole {
			o.MinAccessLevel = gl.Ptr(gl.AccessLevelValue(least))
		}
		return rest.Request{Method: http.MethodGet, Endpoint: endpoint.Projects, Path: "projects", Params: o}
	}
	return c.byKeyset(ctx, list)
}

// Branch is a branch with what the token's user may do on it.
type Branch struct {
	Protected       bool
	CanPush         bool // the token's user may push
	DevelopersPush  bool // those with the role Developer may push
	DevelopersMerge bool // those with the role Developer may merge
}

// Branch returns a branch of a project.
func (c *Client) Branch(ctx context.Context, project int64, name string) (Branch, error) {
	r := rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.Branch,
		Path:     fmt.Sprintf("projects/%d/repository/branches/%s", project, gl.PathEscape(name)),
	}
	answer, resp, err := rest.Call(ctx, c.Client, r, branchJSON{})
	if err != nil {
		return Branch{}, err
	}
	if answer.Name == "" {
		return Branch{}, rest.Unexpected(c.Client, r, resp, "the answer is no branch")
	}
	return Branch{answer.Protected, answer.CanPush, answer.DevelopersPush, answer.DevelopersMerge}, nil
}

type branchJSON struct {
	Name            string `json:"name"`
	Protected       bool   `json:"protected"`
	CanPush         bool   `json:"can_push"`
	DevelopersPush  bool   `json:"developers_can_push"`
	DevelopersMerge bool   `json:"developers_can_merge"`
}
