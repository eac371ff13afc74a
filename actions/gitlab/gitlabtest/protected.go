package gitlabtest

import (
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

func (c *call) listProtectedBranches() { c.listProtected(c.project.ProtectedRefs) }
func (c *call) listProtectedTags()     { c.listProtected(c.project.ProtectedTags) }

// listProtected lists names and patterns. Only maintainers may see them here;
// later versions of GitLab are less strict with some.
func (c *call) listProtected(names []string) {
	if c.project.Role != Maintainer {
		c.message(http.StatusForbidden, "403 Forbidden")
		return
	}
	if page, ok := offsetPage(c, slices.Values(names), true); ok {
		writeJSON(c.w, http.StatusOK, each(page, func(name string) object { return object{"name": name} }))
	}
}
