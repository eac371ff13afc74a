package gitlabtest

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// protects reports whether one of the names or patterns is the ref's
// (RefMatcher): a * matches anything, slashes too.
func protects(patterns []string, ref string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		expression := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*?`)
		return regexp.MustCompile(`(?s)\A` + expression + `\z`).MatchString(ref)
	})
}

// listProtectedBranches lists names and patterns, with the roles that may push and merge
// (API::Entities::ProtectedBranch).
func (c *call) listProtectedBranches() {
	c.listProtected(c.project.ProtectedRefs, func(name string) object {
		push, merge := Maintainer.access(), []Role{Maintainer}
		if slices.Contains(c.project.NobodyPushes, name) {
			push, merge = nobody, nil
		}
		if slices.Contains(c.project.DevelopersMerge, name) {
			merge = append(merge, Developer)
		}
		return object{"name": name, "push_access_levels": []object{push}, "merge_access_levels": accessLevels(merge)}
	})
}

func (c *call) listProtectedTags() {
	c.listProtected(c.project.ProtectedTags, func(name string) object {
		return object{"name": name, "create_access_levels": accessLevels([]Role{Maintainer})}
	})
}

// listProtectedEnvironments lists names and the roles that may deploy
// (API::ProtectedEnvironments in GitLab Premium).
func (c *call) listProtectedEnvironments() {
	if !c.s.premium() {
		c.fail(http.StatusNotFound, "404 Not Found")
		return
	}
	c.listProtected(slices.Sorted(maps.Keys(c.project.ProtectedEnvironments)), func(name string) object {
		return object{"name": name, "deploy_access_levels": accessLevels(c.project.ProtectedEnvironments[name]), "required_approval_count": 0}
	})
}

// listGroupProtectedEnvironments lists tiers and the roles that may deploy, to those who
// administrate the group (API::GroupProtectedEnvironments in GitLab Premium).
func (c *call) listGroupProtectedEnvironments() {
	g := c.findGroup()
	switch {
	case g == nil:
	case g.Role != Maintainer || g.NotOwner:
		c.message(http.StatusForbidden, "403 Forbidden")
	default:
		if page, ok := offsetPage(c, slices.Values(slices.Sorted(maps.Keys(g.ProtectedEnvironments))), true); ok {
			writeJSON(c.w, http.StatusOK, each(page, func(tier string) object {
				return object{"name": tier, "deploy_access_levels": accessLevels(g.ProtectedEnvironments[tier]), "required_approval_count": 0}
			}))
		}
	}
}

// nobody is the access level that no user has.
var nobody = object{"access_level": 0, "access_level_description": "No one", "user_id": nil, "group_id": nil}

// accessLevels returns the access levels of roles; that of nobody, if there are none.
func accessLevels(roles []Role) []object {
	if len(roles) == 0 {
		return []object{nobody}
	}
	return each(roles, Role.access)
}

// access returns the role as an access level.
func (r Role) access() object {
	level, name := 40, "Maintainers"
	if r == Developer {
		level, name = 30, "Developers + Maintainers"
	}
	return object{"access_level": level, "access_level_description": name, "user_id": nil, "group_id": nil}
}

// listProtected lists what is protected. Only maintainers may see it here; later versions
// of GitLab are less strict with some.
func (c *call) listProtected(names []string, entity func(string) object) {
	if c.project.Role != Maintainer {
		c.message(http.StatusForbidden, "403 Forbidden")
		return
	}
	if page, ok := offsetPage(c, slices.Values(names), true); ok {
		writeJSON(c.w, http.StatusOK, each(page, entity))
	}
}
