package gitlabtest

import (
	"cmp"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Group is a GitLab group. Every namespace of a project is one by itself;
// AddGroup is needed only for a group with a role or an id, or without projects.
type Group struct {
	ID   int64  // default: the next free one
	Path string // full_path: platform, or platform/tools for a subgroup
	Name string // default: the path's last part
	Role Role   // of the bot as the group's member; NoAccess: it is no member
	// NotOwner makes the bot a Maintainer who is not Owner too: it may not see the
	// group's webhooks.
	NotOwner bool
	// ProtectedEnvironments are those that only these roles in the group may deploy to, by
	// tier, in all projects below it.
	ProtectedEnvironments map[string][]Role
	WebURL                string // set by the server
}

// group is a group of the server's state.
type group struct {
	Group
	given bool // by AddGroup; else it is only known from a project's path
}

// AddGroup adds a group before its projects: its role is the default of the
// projects and groups that are added below it afterwards, as members of a group
// are members of all that is in it.
func (s *Server) AddGroup(g Group) Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.Path == "" {
		panic("gitlabtest: a group needs a path")
	}
	if s.groupAt(g.Path) != nil {
		panic(fmt.Sprintf("gitlabtest: there is a group %s already: add it before its projects", g.Path))
	}
	g.Role = s.roleBelow(path.Dir(g.Path), g.Role)
	return s.addGroup(g, true).Group
}

// addGroup adds a group and those above it.
func (s *Server) addGroup(g Group, given bool) *group {
	s.addNamespace(path.Dir(g.Path))
	g.ID = s.nextID(g.ID, &s.lastID.group)
	if s.groups[g.ID] != nil {
		panic(fmt.Sprintf("gitlabtest: there is a group %d already", g.ID))
	}
	g.Name = cmp.Or(g.Name, path.Base(g.Path))
	g.WebURL = s.external + "/groups/" + g.Path
	added := &group{Group: g, given: given}
	s.groups[g.ID] = added
	return added
}

// addNamespace adds the groups that a project's namespace needs.
func (s *Server) addNamespace(fullPath string) {
	if fullPath != "." && s.groupAt(fullPath) == nil {
		s.addGroup(Group{Path: fullPath}, false)
	}
}

func (s *Server) groupAt(fullPath string) *group {
	for _, g := range s.groups {
		if strings.EqualFold(g.Path, fullPath) {
			return g
		}
	}
	return nil
}

// roleBelow is a role that was given for something in a namespace, or if that
// is the zero value, the role of the nearest group that has one of its own.
func (s *Server) roleBelow(namespace string, given Role) Role {
	for ; given == Maintainer && namespace != "."; namespace = path.Dir(namespace) {
		if g := s.groupAt(namespace); g != nil && g.given {
			return g.Role
		}
	}
	return given
}

// below reports whether something with that path is in the group or in a
// group below it.
func (g *group) below(fullPath string) bool {
	return len(fullPath) > len(g.Path) && fullPath[len(g.Path)] == '/' && strings.EqualFold(fullPath[:len(g.Path)], g.Path)
}

// visible reports whether the bot may know of a group: it is a member of it, or
// of a project in it (GroupPolicy's has_projects).
func (s *Server) visible(g *group) bool {
	if g.given && g.Role != NoAccess {
		return true
	}
	for _, p := range s.projects {
		if p.Role != NoAccess && g.below(p.Path) {
			return true
		}
	}
	return false
}

// findGroup finds the group of the path; nil: 404 is answered, also for a group
// that the bot must not know of.
func (c *call) findGroup() *group {
	name := c.r.PathValue("group")
	id, err := strconv.ParseInt(name, 10, 64)
	g := c.s.groups[id]
	if err != nil {
		g = c.s.groupAt(name)
	}
	if g == nil || !c.s.visible(g) {
		c.message(http.StatusNotFound, "404 Group Not Found")
		return nil
	}
	return g
}

// getGroup returns a group, with its own projects unless they are not wanted
// (API::Entities::GroupDetail).
func (c *call) getGroup() {
	g := c.findGroup()
	if g == nil {
		return
	}
	withProjects, ok := c.boolean("with_projects")
	if !ok {
		return
	}
	o := c.s.apiGroup(g)
	if withProjects == nil || *withProjects {
		own := slices.DeleteFunc(c.s.memberProjects(), func(p *project) bool { return !strings.EqualFold(p.Namespace(), g.Path) })
		o["projects"] = each(own[:min(len(own), maxPerPage)], c.s.apiProject)
		o["shared_projects"] = []object{}
	}
	writeJSON(c.w, http.StatusOK, o)
}

// listProjectGroups lists the groups that a project is in (Projects::GroupsFinder).
func (c *call) listProjectGroups() {
	var all []object
	for namespace := c.project.Namespace(); namespace != "."; namespace = path.Dir(namespace) {
		g := c.s.groupAt(namespace)
		all = append(all, object{"id": g.ID, "name": g.Name, "full_name": g.Path, "full_path": g.Path, "web_url": g.WebURL, "avatar_url": nil})
	}
	if page, ok := offsetPage(c, slices.Values(all), true); ok {
		writeJSON(c.w, http.StatusOK, page)
	}
}

// listGroupProjects lists the projects of a group, with those of its subgroups on
// request (GroupProjectsFinder). GitLab has no keyset paging here and ignores a
// request for it.
func (c *call) listGroupProjects() {
	g := c.findGroup()
	if g == nil {
		return
	}
	subgroups, ok := c.boolean("include_subgroups")
	if !ok {
		return
	}
	if _, ok := c.boolean("with_shared"); !ok { // no project here is shared with a group
		return
	}
	all := subgroups != nil && *subgroups
	c.listProjectsOf(func(p *project) bool {
		return strings.EqualFold(p.Namespace(), g.Path) || all && g.below(p.Path)
	}, false)
}

// listProjects lists the projects that the bot may see. Those are the ones that
// it is a member of: all projects here are private.
func (c *call) listProjects() {
	if _, ok := c.boolean("membership"); !ok {
		return
	}
	c.listProjectsOf(func(*project) bool { return true }, true)
}

// listProjectsOf answers a list of those projects that pass and that the
// request's filters select.
func (c *call) listProjectsOf(passes func(*project) bool, keyset bool) {
	q := c.r.URL.Query()
	archived, archivedOK := c.boolean("archived")
	simple, simpleOK := archived, archivedOK
	if archivedOK {
		simple, simpleOK = c.boolean("simple")
	}
	if !simpleOK {
		return
	}
	minAccess, ok := c.accessLevel("min_access_level")
	if !ok {
		return
	}
	order, ok := c.oneOf("order_by", "created_at", "id", "name", "path", "updated_at", "last_activity_at", "similarity", "star_count")
	if !ok {
		return
	}
	sort, ok := c.oneOf("sort", "desc", "asc")
	if !ok {
		return
	}
	var after, before int64
	var namespaces *bool
	if keyset {
		if after, ok = c.id("id_after"); !ok {
			return
		}
		if before, ok = c.id("id_before"); !ok {
			return
		}
		if namespaces, ok = c.boolean("search_namespaces"); !ok {
			return
		}
	}
	projects := slices.DeleteFunc(c.s.memberProjects(), func(p *project) bool {
		return !passes(p) ||
			archived != nil && p.Archived != *archived ||
			p.Role.accessLevel() < minAccess ||
			after != 0 && p.ID <= after || before != 0 && p.ID >= before ||
			!p.found(q.Get("search"), namespaces != nil && *namespaces)
	})
	slices.SortStableFunc(projects, func(a, b *project) int {
		switch order {
		case "name":
			return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		case "path":
			return strings.Compare(path.Base(a.Path), path.Base(b.Path))
		default: // projects were made in the order of their ids, and nothing else is known of them
			return cmp.Compare(a.ID, b.ID)
		}
	})
	if sort == "desc" {
		slices.Reverse(projects)
	}

	var page []*project
	if keyset && q.Get("pagination") == "keyset" {
		page, ok = c.projectsKeyset(projects, order, sort)
	} else {
		page, ok = offsetPage(c, slices.Values(projects), true)
	}
	if !ok {
		return
	}
	render := c.s.apiProject
	if simple != nil && *simple {
		render = c.s.apiProjectBasic
	}
	writeJSON(c.w, http.StatusOK, each(page, render))
}

// projectsKeyset returns the requested page by keyset, which this list has only when
// ordered by id. As GitLab does, it links to a next page whenever there is
// anything on this one, so that the last page is empty
// (Gitlab::Pagination::Keyset::Pager).
func (c *call) projectsKeyset(projects []*project, order, sort string) ([]*project, bool) {
	if order != "id" {
		c.fail(http.StatusMethodNotAllowed, "Keyset pagination is not yet available for this type of request")
		return nil, false
	}
	perPage, ok := c.perPage()
	if !ok {
		return nil, false
	}
	projects = projects[:min(len(projects), perPage)]
	if len(projects) > 0 {
		bound := "id_before"
		if sort == "asc" {
			bound = "id_after"
		}
		c.w.Header().Set("Link", c.link("next", bound, strconv.FormatInt(projects[len(projects)-1].ID, 10)))
	}
	return projects, true
}

// memberProjects lists the projects that the bot is a member of, by id.
func (s *Server) memberProjects() []*project {
	var projects []*project
	for _, p := range s.projects {
		if p.Role != NoAccess {
			projects = append(projects, p)
		}
	}
	slices.SortFunc(projects, func(a, b *project) int { return cmp.Compare(a.ID, b.ID) })
	return projects
}

// found reports whether a search finds the project by its name or path, or by
// its namespaces' too. GitLab matches parts of words, of three letters at
// least; shorter ones must be the whole.
func (p *project) found(search string, namespaces bool) bool {
	search = strings.ToLower(search)
	texts := []string{p.Name, path.Base(p.Path)}
	if namespaces {
		texts = append(texts, p.Path)
	}
	for _, text := range texts {
		text = strings.ToLower(text)
		if text == search || len(search) != 1 && len(search) != 2 && strings.Contains(text, search) {
			return true
		}
	}
	return false
}

// accessLevel is GitLab's number for a role (Gitlab::Access).
func (r Role) accessLevel() int {
	return map[Role]int{Maintainer: 40, Developer: 30, Reporter: 20, NoAccess: 0}[r]
}

func (s *Server) apiGroup(g *group) object {
	var parent any
	if above := s.groupAt(path.Dir(g.Path)); above != nil {
		parent = above.ID
	}
	return object{
		"id":          g.ID,
		"web_url":     g.WebURL,
		"name":        g.Name,
		"path":        path.Base(g.Path),
		"description": "",
		"visibility":  "private",
		"full_name":   strings.ReplaceAll(g.Path, "/", " / "),
		"full_path":   g.Path,
		"parent_id":   parent,
	}
}
