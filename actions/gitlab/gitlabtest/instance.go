package gitlabtest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// LocalRequests are the instance's settings for webhooks to the local network
// (Admin, Settings, Network, Outbound requests). By default GitLab sends none.
type LocalRequests struct {
	Allowed   bool
	Allowlist []string // addresses and domains that are allowed in any case
}

// getUser returns the token's user; only admins learn that they are one
// (API::Entities::UserPublic, UserWithAdmin).
func (c *call) getUser() {
	answer := struct {
		apiUser
		Admin *bool `json:"is_admin,omitempty"`
	}{apiUser: c.s.apiUser(c.s.o.Bot)}
	if c.s.o.Admin {
		answer.Admin = new(true)
	}
	writeJSON(c.w, http.StatusOK, answer)
}

// enterprise reports whether the instance has the Enterprise Edition, on which JiHu
// GitLab is built; the version's suffix says it.
func (s *Server) enterprise() bool {
	_, suffix, _ := strings.Cut(s.o.Version, "-")
	return strings.HasPrefix(suffix, "ee") || strings.HasPrefix(suffix, "jh")
}

// premium reports whether the instance has what needs GitLab Premium: the Enterprise
// Edition with a licence.
func (s *Server) premium() bool { return s.enterprise() && !s.o.Free }

func (c *call) getVersion() {
	writeJSON(c.w, http.StatusOK, object{"version": c.s.o.Version, "revision": "0123456789a"})
}

// getMetadata returns the version (15.2+), and whether it is the Enterprise Edition
// (15.6+).
func (c *call) getMetadata() {
	if !c.s.version.atLeast(15, 2) {
		c.fail(http.StatusNotFound, "404 Not Found")
		return
	}
	o := object{"version": c.s.o.Version, "revision": "0123456789a", "kas": object{"enabled": false, "externalUrl": nil, "version": nil}}
	if c.s.version.atLeast(15, 6) {
		o["enterprise"] = c.s.enterprise()
	}
	writeJSON(c.w, http.StatusOK, o)
}

// getSettings returns the instance's settings, to admins only (API::Settings).
func (c *call) getSettings() {
	if !c.s.o.Admin {
		c.message(http.StatusForbidden, "403 Forbidden")
		return
	}
	local := c.s.o.LocalRequests
	writeJSON(c.w, http.StatusOK, object{
		"id": 1, "allow_local_requests_from_hooks_and_services": local.Allowed, "allow_local_requests_from_web_hooks_and_services": local.Allowed,
		"allow_local_requests_from_system_hooks": true, "outbound_local_requests_whitelist": orEmpty(local.Allowlist),
	})
}

// variablesRole is the least role that may play with variables.
func (p Project) variablesRole() string { return cmp.Or(p.VariablesRole, "developer") }

// mayGiveVariables reports whether the bot's role suffices to play with variables
// (Ci::BuildPolicy's set_pipeline_variables).
func (p Project) mayGiveVariables() bool {
	switch p.variablesRole() {
	case "developer":
		return p.Role == Developer || p.Role == Maintainer
	case "maintainer":
		return p.Role == Maintainer
	}
	return false // owner or nobody: the bot is none
}

// mayCancel reports whether the bot has the role that the project requires to cancel
// (Ci::ProjectCancellationRestriction in GitLab Premium); false: 403 is answered.
func (c *call) mayCancel() bool {
	least := c.project.CancelRole
	if c.s.premium() && (least == "no_one" || least == "maintainer" && c.project.Role != Maintainer) {
		c.message(http.StatusForbidden, "403 Forbidden")
		return false
	}
	return true
}

// getBranch returns a branch, with what the bot may do on it (API::Entities::Branch).
// Any role that may read the code sees it; every branch that is asked for exists.
func (c *call) getBranch() {
	name := c.r.PathValue("branch")
	protected := protects(c.project.ProtectedRefs, name)
	merge := slices.Contains(c.project.DevelopersMerge, name)
	writeJSON(c.w, http.StatusOK, object{
		"name": name, "protected": protected, "default": name == c.project.DefaultBranch,
		"developers_can_push": !protected, "developers_can_merge": !protected || merge,
		"can_push": !c.project.Archived && (c.project.Role == Maintainer || c.project.Role == Developer && !protected),
		"web_url":  c.project.WebURL + "/-/tree/" + name,
	})
}
