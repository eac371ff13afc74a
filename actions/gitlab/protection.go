package gitlab

import (
	"context"
	"fmt"
	"net/http"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

// Protection is a protected branch, tag or environment, and who may use it: push or merge
// to the branch, create the tag, deploy to the environment.
type Protection struct {
	Name  string // of a branch or a tag: with *, a pattern
	Roles []Role // the users with these roles or higher ones
	Users []int64
	// Groups is set if the members of groups may. Who they are is not known.
	Groups bool
}

// Covers reports whether the protection is of a branch or a tag, or of an environment.
func (p Protection) Covers(name string) bool { return matches(p.Name, name) }

// Allows reports whether a user with a role may use what is protected. certain is false
// if that depends on the groups of the user.
func (p Protection) Allows(user int64, role Role) (allows, certain bool) {
	for _, least := range p.Roles {
		if role >= least {
			return true, true
		}
	}
	for _, id := range p.Users {
		if user == id {
			return true, true
		}
	}
	return false, !p.Groups
}

// ProtectedBranches lists the protected branches of a project, those of its groups
// included (doc/api/protected_branches.md).
func (c *Client) ProtectedBranches(ctx context.Context, project int64) ([]Protection, error) {
	return c.protections(ctx, fmt.Sprintf("projects/%d/protected_branches", project), endpoint.ProtectedBranches)
}

// ProtectedTags lists the protected tags of a project, and who may create them
// (doc/api/protected_tags.md).
func (c *Client) ProtectedTags(ctx context.Context, project int64) ([]Protection, error) {
	return c.protections(ctx, fmt.Sprintf("projects/%d/protected_tags", project), endpoint.ProtectedTags)
}

// ProtectedEnvironments lists the protected environments of a project, which exist in
// GitLab Premium and Ultimate, without those of its groups
// (doc/api/protected_environments.md).
func (c *Client) ProtectedEnvironments(ctx context.Context, project int64) ([]Protection, error) {
	return c.protections(ctx, fmt.Sprintf("projects/%d/protected_environments", project), endpoint.ProtectedEnvironments)
}

// GroupProtectedEnvironments lists the environments that a group protects in all projects
// below it, in GitLab Premium and Ultimate: their names are tiers, such as production, and
// their roles those of members of the group (doc/api/group_protected_environments.md).
func (c *Client) GroupProtectedEnvironments(ctx context.Context, group int64) ([]Protection, error) {
	return c.protections(ctx, fmt.Sprintf("groups/%d/protected_environments", group), endpoint.GroupProtectedEnvironments)
}

// protections lists what an endpoint says to be protected.
func (c *Client) protections(ctx context.Context, path, endpoint string) (all []Protection, err error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint, Path: path, Params: &gl.ListOptions{PerPage: perPage}}
	for item, err := range rest.List[protectionJSON](ctx, c.Client, r) {
		if err != nil {
			return nil, err
		}
		all = append(all, item.protection())
	}
	return all, nil
}

type protectionJSON struct {
	Name   string           `json:"name"`
	Push   []permissionJSON `json:"push_access_levels"`
	Merge  []permissionJSON `json:"merge_access_levels"`
	Create []permissionJSON `json:"create_access_levels"`
	Deploy []permissionJSON `json:"deploy_access_levels"`
}

// permissionJSON permits a role, a user, a group or a deploy key. GitLab gives an access
// level to the last three too, which means nothing then; 0 is nobody.
type permissionJSON struct {
	Level     gitlabjson.Int `json:"access_level"`
	User      gitlabjson.Int `json:"user_id"`
	Group     gitlabjson.Int `json:"group_id"`
	DeployKey gitlabjson.Int `json:"deploy_key_id"`
}

func (j protectionJSON) protection() Protection {
	p := Protection{Name: j.Name}
	for _, list := range [][]permissionJSON{j.Push, j.Merge, j.Create, j.Deploy} {
		for _, may := range list {
			switch {
			case may.User != 0:
				p.Users = append(p.Users, int64(may.User))
			case may.Group != 0:
				p.Groups = true
			case may.DeployKey != 0: // it pushes, and runs no jobs
			case may.Level != 0:
				p.Roles = append(p.Roles, Role(may.Level))
			}
		}
	}
	return p
}
