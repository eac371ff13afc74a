// Package permissions has the permissions that a fine-grained access token of GitLab needs.
package permissions

import (
	"slices"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Permission is one that a fine-grained token needs.
type Permission struct {
	names    []string // any of them suffices: GitLab has renamed some
	Title    string   // as GitLab's page for tokens shows it
	boundary string   // project, user or instance
	Need     string   // needed only with this verb or function of rules, EnsureHooks or Buttons; "": always
	Optional bool     // without it, something works less well
	Use      string   // what it is for
}

// What permissions are needed for besides verbs.
const (
	EnsureHooks         = "hooks ensure" // the command, and --ensure-hooks
	MergeRequestDetails = "merge_request_details"
	Note                = "merge_request: note"
	Status              = "commit: status"
	Buttons             = "buttons" // and commands in Slack, by those who are no operators
)

// all are those that Pipesteward uses, of GitLab's table of fine-grained
// permissions (doc/auth/tokens/fine_grained_access_tokens.md, and
// config/authz/permission_groups in its source, for the names that the API has). A test
// compares them with the table in deploy/README.md.
var all = []Permission{
	{[]string{"read_user"}, "User: Read", "user", "", false, "GitLab's own address, and whether it can be used"},
	{[]string{"read_project"}, "Project: Read", "project", "", false, "the projects, and the groups that they are in"},
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
	{[]string{"read_merge_request"}, "Merge Request: Read", "project", MergeRequestDetails, false, "merge_request_details()"},
	{[]string{"read_merge_request"}, "Merge Request: Read", "project", Note, false, "merge_request: note"},
	{[]string{"read_work_item"}, "Work Item: Read", "project", Note, false, "merge_request: note, to find it again"},
	{[]string{"create_work_item"}, "Work Item: Create", "project", Note, false, "merge_request: note"},
	{[]string{"update_work_item"}, "Work Item: Update", "project", Note, false, "merge_request: note, to edit it"},
	{[]string{"create_commit_status"}, "Commit Status: Create", "project", Status, false, "commit: status"},
	{[]string{"read_protected_branch"}, "Protected Branch: Read", "project", event.VerbErase, true, "keep_protected"},
	{[]string{"read_protected_branch"}, "Protected Branch: Read", "project", "", true, "doctor and buttons in Slack, for protected branches"},
	{[]string{"read_protected_environment"}, "Protected Environment: Read", "project", event.VerbPlay, true, "doctor, for protected environments"},
	{[]string{"read_protected_environment"}, "Protected Environment: Read", "project", Buttons, true, "buttons in Slack, for protected environments of projects and groups"},
	{[]string{"read_protected_tag"}, "Protected Tag: Read", "project", event.VerbErase, true, "keep_protected"},
	{[]string{"read_protected_tag"}, "Protected Tag: Read", "project", Buttons, true, "buttons in Slack, for protected tags"},
	{[]string{"read_user"}, "User: Read, of the instance", "instance", Buttons, true, "buttons in Slack, to find people by e-mail"},
	{[]string{"read_member"}, "Member: Read", "project", Buttons, true, "buttons in Slack, for the roles of people in projects and groups"},
	{[]string{"read_webhook"}, "Webhook: Read", "project", "", true, "catch-up by failed deliveries, doctor, hooks"},
	{[]string{"create_webhook"}, "Webhook: Create", "project", EnsureHooks, false, "hooks ensure"},
	{[]string{"update_webhook"}, "Webhook: Update", "project", EnsureHooks, false, "hooks ensure"},
	{[]string{"delete_webhook"}, "Webhook: Delete", "project", EnsureHooks, true, "hooks ensure, when two runs at once have created the same webhook"},
	{[]string{"trigger_webhook", "test_webhook"}, "Webhook: Trigger", "project", EnsureHooks, false, "hooks ensure, to enable what GitLab has disabled"},
	{[]string{"read_branch"}, "Branch: Read", "project", "", true, "doctor and buttons in Slack, for protected branches"},
	{[]string{"read_metadata"}, "Metadata: Read", "instance", "", true, "doctor, for the version"},
}

// Missing returns the permissions that a token lacks, of those that are needed always or
// for what is used: uses reports that of a verb, of a function or of EnsureHooks.
func Missing(token gitlab.AccessToken, uses func(need string) bool) []Permission {
	return slices.DeleteFunc(slices.Clone(all), func(p Permission) bool {
		return p.Need != "" && !uses(p.Need) || grants(token, p)
	})
}

// grants reports whether a token has the permission somewhere.
func grants(token gitlab.AccessToken, p Permission) bool {
	return slices.ContainsFunc(token.Grants, func(g gitlab.Grant) bool {
		inProjects := g.Access != "user" && g.Access != "instance"
		within := g.Access == p.boundary || p.boundary == "project" && inProjects
		return within && slices.ContainsFunc(p.names, func(name string) bool { return slices.Contains(g.Permissions, name) })
	})
}

// Rows returns the rows of the table in deploy/README.md: a permission and its use
// in each.
func Rows() []string {
	rows := make([]string, len(all))
	for i, p := range all {
		use := p.Use
		if p.Optional {
			use += " (optional)"
		}
		rows[i] = "| " + p.Title + " | " + p.names[0] + " | " + use + " |"
	}
	return rows
}
