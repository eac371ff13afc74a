package gitlabtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Grant is what a fine-grained access token may do, and where
// (Authz::GranularScope).
type Grant struct {
	Access      string   // personal_projects, all_memberships, selected_memberships, user or instance
	Permissions []string // such as read_job; see permissions
	Project     int64    // of selected_memberships
	Group       int64    // of selected_memberships: its projects, and those of its subgroups
}

// permission is what a fine-grained token needs for a call.
type permission struct {
	name     string // assignable, such as read_job
	title    string // as refusals have it
	boundary string // project, group, user or instance
}

// permissions are those of GitLab's table of fine-grained permissions
// (doc/auth/tokens/fine_grained_access_tokens.md), by the calls' patterns. Calls
// without one are refused to fine-grained tokens.
var permissions = map[string]permission{
	"GET /projects/{project}/jobs":                                        {"read_job", "Job: Read", "project"},
	"GET /projects/{project}/jobs/{job}":                                  {"read_job", "Job: Read", "project"},
	"GET /projects/{project}/jobs/{job}/trace":                            {"read_job", "Job: Read", "project"},
	"POST /projects/{project}/jobs/{job}/cancel":                          {"update_job", "Job: Update", "project"},
	"POST /projects/{project}/jobs/{job}/retry":                           {"run_job", "Job: Run Job", "project"},
	"POST /projects/{project}/jobs/{job}/play":                            {"run_job", "Job: Run Job", "project"},
	"POST /projects/{project}/jobs/{job}/erase":                           {"delete_job", "Job: Delete", "project"},
	"GET /projects/{project}/pipelines":                                   {"read_pipeline", "Pipeline: Read", "project"},
	"GET /projects/{project}/pipelines/{pipeline}":                        {"read_pipeline", "Pipeline: Read", "project"},
	"GET /projects/{project}/pipelines/{pipeline}/jobs":                   {"read_pipeline", "Pipeline: Read", "project"},
	"GET /projects/{project}/pipelines/{pipeline}/bridges":                {"read_pipeline", "Pipeline: Read", "project"},
	"POST /projects/{project}/pipelines/{pipeline}/retry":                 {"update_pipeline", "Pipeline: Update", "project"},
	"POST /projects/{project}/pipelines/{pipeline}/cancel":                {"update_pipeline", "Pipeline: Update", "project"},
	"GET /projects/{project}/deployments":                                 {"read_deployment", "Deployments: Read", "project"},
	"GET /projects/{project}/merge_requests/{merge_request}":              {"read_merge_request", "Merge Request: Read", "project"},
	"GET /projects/{project}/merge_requests/{merge_request}/pipelines":    {"read_merge_request", "Merge Request: Read", "project"},
	"GET /projects/{project}/merge_requests/{merge_request}/notes":        {"read_work_item", "Work Item: Read", "project"},
	"POST /projects/{project}/merge_requests/{merge_request}/notes":       {"create_work_item", "Work Item: Create", "project"},
	"PUT /projects/{project}/merge_requests/{merge_request}/notes/{note}": {"update_work_item", "Work Item: Update", "project"},
	"POST /projects/{project}/statuses/{sha}":                             {"create_commit_status", "Commit Status: Create", "project"},
	"GET /projects/{project}/hooks":                                       {"read_webhook", "Webhook: Read", "project"},
	"GET /projects/{project}/hooks/{hook}/events":                         {"read_webhook", "Webhook: Read", "project"},
	"GET /groups/{group}/hooks":                                           {"read_webhook", "Webhook: Read", "group"},
	"GET /groups/{group}/hooks/{hook}/events":                             {"read_webhook", "Webhook: Read", "group"},
	"GET /groups/{group}":                                                 {"read_group", "Group: Read", "group"},
	"GET /groups/{group}/projects":                                        {"read_project", "Project: Read", "group"},
	"GET /projects":                                                       {"read_project", "Project: Read", "user"},
	"GET /projects/{project}":                                             {"read_project", "Project: Read", "project"},
	"GET /projects/{project}/protected_branches":                          {"read_protected_branch", "Protected Branch: Read", "project"},
	"GET /projects/{project}/protected_tags":                              {"read_protected_tag", "Protected Tag: Read", "project"},
	"GET /projects/{project}/protected_environments":                      {"read_protected_environment", "Protected Environment: Read", "project"},
	"GET /groups/{group}/protected_environments":                          {"read_protected_environment", "Protected Environment: Read", "group"},
	"GET /projects/{project}/groups":                                      {"read_project", "Project: Read", "project"},
	"GET /projects/{project}/members/all/{user}":                          {"read_member", "Member: Read", "project"},
	"GET /groups/{group}/members/all/{user}":                              {"read_member", "Member: Read", "group"},
	"GET /projects/{project}/repository/branches/{branch}":                {"read_branch", "Branch: Read", "project"},
	"GET /user":                           {"read_user", "User: Read", "user"},
	"GET /users":                          {"read_user", "User: Read", "instance"},
	"GET /users/{user}":                   {"read_user", "User: Read", "user"},
	"GET /personal_access_tokens/self":    {"read_personal_access_token", "Personal Access Token: Read", "user"},
	"GET /personal_access_tokens/{token}": {"read_personal_access_token", "Personal Access Token: Read", "user"},
	"GET /version":                        {"read_metadata", "Metadata: Read", "instance"},
	"GET /metadata":                       {"read_metadata", "Metadata: Read", "instance"},
}

// granted reports whether the access token's grants, if it is fine-grained, allow the
// call; false: 403 is answered, with the words of GitLab's
// Authz::Tokens::AuthorizeGranularScopesService.
func (c *call) granted(pattern string) bool {
	if c.s.token.Grants == nil || c.by != nil {
		return true
	}
	refusal := "Access denied: Fine-grained personal access tokens are not yet supported for this operation."
	if p, ok := permissions[pattern]; ok {
		if slices.ContainsFunc(c.s.token.Grants, func(g Grant) bool { return slices.Contains(g.Permissions, p.name) && c.within(g, p.boundary) }) {
			return true
		}
		refusal = fmt.Sprintf("Access denied: This operation requires a fine-grained personal access token with the following %s permissions: [%s].", p.boundary, p.title)
	}
	writeJSON(c.w, http.StatusForbidden, object{"error": "insufficient_granular_scope", "error_description": refusal})
	return false
}

// within reports whether the call's project, group, user or instance is within the
// grant's boundary.
func (c *call) within(g Grant, boundary string) bool {
	var path string
	switch {
	case boundary == "user" || boundary == "instance":
		return g.Access == boundary
	case g.Access == "all_memberships":
		return true // whatever the bot can see, it is a member of
	case g.Access != "selected_memberships":
		return false
	case c.project != nil && g.Project == c.project.ID:
		return true
	case c.project != nil:
		path = c.project.Path
	default:
		path = c.r.PathValue("group")
	}
	group := c.s.groups[g.Group]
	return group != nil && (group.below(path) || strings.EqualFold(group.Path, path))
}
