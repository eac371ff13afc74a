// Package endpoint names the calls of GitLab's API, as metrics, errors and rate
// limits refer to them: short, constant, without the ids of the path.
package endpoint

// Endpoints of jobs.
const (
	ProjectJobs   = "project_jobs"
	PipelineJobs  = "pipeline_jobs"
	Bridges       = "bridges"
	TokenJob      = "token_job"
	AllowedAgents = "allowed_agents"
	Job           = "job"
	Log           = "log"
	Cancel        = "cancel"
	Retry         = "retry"
	Erase         = "erase"
	Play          = "play"
)

// Endpoints of pipelines.
const (
	Pipeline              = "pipeline"
	Pipelines             = "pipelines"
	MergeRequest          = "merge_request"
	MergeRequestApprovals = "merge_request_approvals"
	MergeRequestPipelines = "merge_request_pipelines"
	MergeRequestNotes     = "merge_request_notes"
	CreateNote            = "create_note"
	EditNote              = "edit_note"
	SetCommitStatus       = "set_commit_status"
	TestSuite             = "test_suite"
	RetryPipeline         = "retry_pipeline"
	CancelPipeline        = "cancel_pipeline"
	Deployments           = "deployments"
)

// Endpoints of projects.
const (
	Project           = "project"
	Projects          = "projects"
	GroupProjects     = "group_projects"
	ProtectedBranches = "protected_branches"
	ProtectedTags     = "protected_tags"
	Branch            = "branch"

	ProtectedEnvironments = "protected_environments"
	Member                = "member"

	ProjectGroups              = "project_groups"
	GroupProtectedEnvironments = "group_protected_environments"
	GroupMember                = "group_member"
)

// Endpoints of webhooks.
const (
	ProjectHooks   = "project_hooks"
	GroupHooks     = "group_hooks"
	HookDeliveries = "hook_deliveries"
	Hook           = "hook"
	CreateHook     = "create_hook"
	EditHook       = "edit_hook"
	DeleteHook     = "delete_hook"
	TestHook       = "test_hook"
)

// Endpoints of the token, its user and the instance.
const (
	User        = "user"
	Users       = "users"
	UserByID    = "user_by_id"
	AccessToken = "access_token"
	Metadata    = "metadata"
	Settings    = "settings"
)
