package doctor

import (
	"slices"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// permission is one that a fine-grained token needs.
type permission struct {
	names    []string // any of them suffices: GitLab has renamed some
	title    string   // as GitLab's page for tokens shows it
	boundary string   // project, user or instance
	need     string   // needed only with this verb or function of rules, or ensureHooks; "": always
	optional bool     // without it, something works less well
	use      string   // what it is for
}

// ensureHooks stands for the command `hooks ensure` and for --ensure-hooks.
const ensureHooks = "hooks ensure"

// permissions are those that Pipesteward uses, of GitLab's table of fine-grained
// permissions (doc/auth/tokens/fine_grained_access_tokens.md, and
// config/authz/permission_groups in its source, for the names that the API has). A test
// compares them with the table in README.md.
var permissions = []permission{
	{[]string{"read_user"}, "User: Read", "user", "", false, "GitLab's own address, and whether it can be used"},
	{[]string{"read_project"}, "Project: Read", "project", "", false, "the projects"},
	{[]string{"read_project"}, "Project: Read, of the user", "user", "", true, "lists of all projects: globs, doctor"},
	{[]string{"read_job"}, "Job: Read", "project", "", false, "a job's state, its log, catch-up, sweeps"},
	{[]string{"read_pipeline"}, "Pipeline: Read", "project", "", false, "a pipeline's state and jobs"},
	{[]string{"run_job", "retry_job"}, "Job: Run Job", "project", event.VerbRetry, false, "retry"},
	{[]string{"run_job", "play_job"}, "Job: Run Job", "project", event.VerbPlay, false, "play"},
	{[]string{"update_job", "cancel_job"}, "Job: Update", "project", event.VerbCancel, false, "cancel"},
	{[]string{"update_job", "cancel_job"}, "Job: Update", "project", event.VerbCancelOutdated, false, "cancel_outdated"},
	{[]string{"delete_job", "erase_job"}, "Job: Delete", "project", event.VerbErase, false, "erase"},
	{[]string{"update_pipeline", "retry_pipeline"}, "Pipeline: Update", "project", event.VerbRetryPipeline, false, "retry_pipeline"},
	{[]string{"update_pipeline", "cancel_pipeline"}, "Pipeline: Update", "project", event.VerbCancelPipeline, false, "cancel_pipeline"},
	{[]string{"read_deployment"}, "Deployments: Read", "project", event.VerbCancelOutdated, false, "cancel_outdated"},
	{[]string{"read_merge_request"}, "Merge Request: Read", "project", "", true, "which pipelines of a merge request are outdated"},
	{[]string{"read_merge_request"}, "Merge Request: Read", "project", mergeRequestDetails, false, "merge_request_details()"},
	{[]string{"read_protected_branch"}, "Protected Branch: Read", "project", event.VerbErase, true, "keep_protected"},
	{[]string{"read_protected_tag"}, "Protected Tag: Read", "project", event.VerbErase, true, "keep_protected"},
	{[]string{"read_webhook"}, "Webhook: Read", "project", "", true, "catch-up by failed deliveries, doctor, hooks"},
	{[]string{"create_webhook"}, "Webhook: Create", "project", ensureHooks, false, "hooks ensure"},
	{[]string{"update_webhook"}, "Webhook: Update", "project", ensureHooks, false, "hooks ensure"},
	{[]string{"trigger_webhook", "test_webhook"}, "Webhook: Trigger", "project", ensureHooks, false, "hooks ensure, to enable what GitLab has disabled"},
	{[]string{"read_branch"}, "Branch: Read", "project", "", true, "doctor, for protected branches"},
	{[]string{"read_metadata"}, "Metadata: Read", "instance", "", true, "doctor, for the version"},
}

// mergeRequestDetails is the function that reads a merge request.
const mergeRequestDetails = "merge_request_details"

// severity is that of a token without the permission: nobody may ever call `hooks ensure`.
func (x *exam) severity(p permission) Severity {
	switch {
	case p.need == ensureHooks && !x.EnsuresHooks:
		return Note
	case p.optional:
		return Warning
	}
	return Problem
}

// needs reports whether something uses the permission, or may.
func (x *exam) needs(p permission) bool {
	switch p.need {
	case "", ensureHooks:
		return true
	case mergeRequestDetails:
		return x.Rules == nil || x.Rules.Requests(p.need)
	}
	return slices.Contains(x.verbs(), p.need)
}

// grants reports whether a token has the permission somewhere.
func grants(token gitlab.AccessToken, p permission) bool {
	return slices.ContainsFunc(token.Grants, func(g gitlab.Grant) bool {
		inProjects := g.Access != "user" && g.Access != "instance"
		within := g.Access == p.boundary || p.boundary == "project" && inProjects
		return within && slices.ContainsFunc(p.names, func(name string) bool { return slices.Contains(g.Permissions, name) })
	})
}

// PermissionRows returns the rows of the table in README.md: a permission and its use
// in each.
func PermissionRows() []string {
	rows := make([]string, len(permissions))
	for i, p := range permissions {
		use := p.use
		if p.optional {
			use += " (optional)"
		}
		rows[i] = "| " + p.title + " | " + p.names[0] + " | " + use + " |"
	}
	return rows
}
