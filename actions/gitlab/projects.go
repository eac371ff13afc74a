package gitlab

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

// Project is a project as the API has it.
type Project struct {
	event.Project
	CreatedAt time.Time // zero if GitLab does not say
	Archived  bool      // read-only; most lists leave such projects out
	// VariablesRole is the least role that may give pipeline variables: developer,
	// maintainer, owner or no_one_allowed (17.1+). GitLab shows it to Maintainers; "" if
	// it does not.
	VariablesRole string
	// CancelRole is the least role that may cancel pipelines and jobs: developer, maintainer
	// or no_one (Premium, 16.8+). GitLab shows it to Maintainers; "" if it does not.
	CancelRole string
	ForkedFrom int64 // id of the project that it is a fork of; 0: of none that the token's user may see
}

// Project returns one project: by its id in digits, or by its full path, including
// a path that it had before it was moved.
func (c *Client) Project(ctx context.Context, idOrPath string) (Project, error) {
	if idOrPath == "" {
		return Project{}, errors.New("gitlab: no project is named: write its id or its full path, for instance platform/shop")
	}
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.Project, Path: "projects/" + gl.PathEscape(idOrPath)}
	answer, resp, err := rest.Call(ctx, c.Client, r, projectJSON{})
	if err != nil {
		return Project{}, err
	}
	if answer.ID == 0 {
		return Project{}, rest.Unexpected(c.Client, r, resp, "the answer is no project")
	}
	return answer.dated(), nil
}

// Projects lists the projects that the token's user is a member of, by itself
// or through a group, by id ascending, page by page as they are needed.
// Archived ones are left out. It ends with the first error.
func (c *Client) Projects(ctx context.Context) iter.Seq2[Project, error] {
	return c.byKeyset(ctx, projectsBy)
}

// byKeyset lists projects by keyset, or by offset where GitLab has no keyset.
func (c *Client) byKeyset(ctx context.Context, list func(gl.ListOptions) rest.Request) iter.Seq2[Project, error] {
	return func(yield func(Project, error) bool) {
		for p, err := range c.projects(ctx, list(gl.ListOptions{PerPage: perPage, Pagination: "keyset"})) {
			if hasNoKeyset(err) {
				c.projects(ctx, list(gl.ListOptions{PerPage: perPage}))(yield)
				return
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

func projectsBy(paging gl.ListOptions) rest.Request {
	return rest.Request{Method: http.MethodGet, Endpoint: endpoint.Projects, Path: "projects", Params: &gl.ListProjectsOptions{
		ListOptions: paging, OrderBy: gl.Ptr("id"), Sort: gl.Ptr("asc"),
		Membership: gl.Ptr(true), Archived: gl.Ptr(false), Simple: gl.Ptr(true),
	}}
}

// GroupProjects lists the projects of a group, given by its id in digits or
// by its full path, and of all its subgroups, by id ascending, page by page
// as they are needed. Archived ones are left out, and those of other groups that
// are shared with it. It ends with the first error. GitLab pages this list by
// offset only: if a project is removed meanwhile, another one may be missed.
func (c *Client) GroupProjects(ctx context.Context, group string) iter.Seq2[Project, error] {
	if group == "" {
		return func(yield func(Project, error) bool) {
			yield(Project{}, errors.New("gitlab: no group is named: write its id or its full path, for instance platform/tools"))
		}
	}
	return c.projects(ctx, rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.GroupProjects,
		Path:     "groups/" + gl.PathEscape(group) + "/projects",
		Params: &gl.ListGroupProjectsOptions{
			ListOptions: gl.ListOptions{PerPage: perPage}, OrderBy: gl.Ptr("id"), Sort: gl.Ptr("asc"),
			IncludeSubGroups: gl.Ptr(true), WithShared: gl.Ptr(false), Archived: gl.Ptr(false), Simple: gl.Ptr(true),
		},
	})
}

// Group is a group of projects.
type Group struct {
	ID   int64
	Path string // the full one
}

// ProjectGroups lists the groups that a project is in, the outer ones included; none for a
// project of a user (doc/api/projects.md).
func (c *Client) ProjectGroups(ctx context.Context, project int64) (all []Group, err error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.ProjectGroups, Path: fmt.Sprintf("projects/%d/groups", project), Params: &gl.ListOptions{PerPage: perPage}}
	for g, err := range rest.List[groupJSON](ctx, c.Client, r) {
		if err != nil {
			return nil, err
		}
		all = append(all, Group{int64(g.ID), g.FullPath})
	}
	return all, nil
}

type groupJSON struct {
	ID       gitlabjson.Int `json:"id"`
	FullPath string         `json:"full_path"`
}

// projects lists the projects of all pages of r.
func (c *Client) projects(ctx context.Context, r rest.Request) iter.Seq2[Project, error] {
	return func(yield func(Project, error) bool) {
		for p, err := range rest.List[projectJSON](ctx, c.Client, r) {
			if !yield(p.dated(), err) {
				return
			}
		}
	}
}

// ProtectedRefs are the names of a project's protected branches and tags; a *
// matches any characters or none, slashes included.
type ProtectedRefs struct{ Branches, Tags []string }

// Protects reports whether a branch, or with tag a tag, is protected.
func (p ProtectedRefs) Protects(ref string, tag bool) bool {
	names := p.Branches
	if tag {
		names = p.Tags
	}
	return slices.ContainsFunc(names, func(name string) bool { return matches(name, ref) })
}

// matches reports whether ref matches the pattern name (RefMatcher in GitLab's
// source).
func matches(name, ref string) bool {
	parts := strings.Split(name, "*")
	first, rest := parts[0], parts[1:]
	if len(rest) == 0 {
		return ref == name
	}
	ref, ok := strings.CutPrefix(ref, first)
	if !ok {
		return false
	}
	last := rest[len(rest)-1]
	for _, part := range rest[:len(rest)-1] {
		// The first match of a part leaves most of the ref for the others.
		if _, ref, ok = strings.Cut(ref, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(ref, last)
}

// ProtectedRefs returns which branches and tags of a project are protected,
// by the project itself or by its group.
func (c *Client) ProtectedRefs(ctx context.Context, project int64) (ProtectedRefs, error) {
	branches, err := c.names(ctx, project, endpoint.ProtectedBranches)
	if err != nil {
		return ProtectedRefs{}, err
	}
	tags, err := c.names(ctx, project, endpoint.ProtectedTags)
	if err != nil {
		return ProtectedRefs{}, err
	}
	return ProtectedRefs{Branches: branches, Tags: tags}, nil
}

// names lists the names of a project's objects; each endpoint is named like its
// path.
func (c *Client) names(ctx context.Context, project int64, endpoint string) ([]string, error) {
	r := rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint,
		Path:     "projects/" + strconv.FormatInt(project, 10) + "/" + endpoint,
		Params:   &gl.ListOptions{PerPage: perPage},
	}
	var names []string
	for item, err := range rest.List[namedJSON](ctx, c.Client, r) {
		if err != nil {
			return nil, err
		}
		names = append(names, item.Name)
	}
	return names, nil
}
