package event

import (
	"maps"
	"slices"
)

// Failure classes group failure reasons by who can fix the failure.
const (
	ClassRunner     = "runner"
	ClassStuck      = "stuck"
	ClassTimeout    = "timeout"
	ClassAPI        = "api"
	ClassScript     = "script"
	ClassDependency = "dependency"
	ClassPermission = "permission"
	ClassQuota      = "quota"
	ClassUnknown    = "unknown"
)

// FailureClasses lists the built-in failure classes.
var FailureClasses = []string{ClassRunner, ClassStuck, ClassTimeout, ClassAPI, ClassScript, ClassDependency, ClassPermission, ClassQuota, ClassUnknown}

// reason describes one of GitLab's failure reasons.
type reason struct {
	class string
	// hopeless means that a retry can't fix the failure, or would do harm.
	hopeless bool
}

// reasons contains every failure reason that GitLab 17 to 19 sends. The set is
// open: any other reason has the class unknown and may be retried.
var reasons = map[string]reason{
	"unknown_failure":                     {class: ClassUnknown},
	"script_failure":                      {class: ClassScript},
	"api_failure":                         {class: ClassAPI},
	"scheduler_failure":                   {class: ClassAPI},
	"data_integrity_failure":              {class: ClassAPI},
	"job_router_failure":                  {class: ClassAPI},
	"stuck_or_timeout_failure":            {class: ClassStuck},
	"stale_schedule":                      {class: ClassStuck},
	"no_matching_runner":                  {class: ClassStuck},
	"job_execution_timeout":               {class: ClassTimeout},
	"runner_system_failure":               {class: ClassRunner},
	"runner_unsupported":                  {class: ClassRunner},
	"runner_interrupted":                  {class: ClassRunner},
	"runner_configuration_error":          {class: ClassRunner},
	"runner_external_dependency_failure":  {class: ClassRunner},
	"stuck_pending_with_matching_runners": {class: ClassStuck},
	"stuck_pending_no_matching_runners":   {class: ClassStuck},
	"no_updates_running":                  {class: ClassStuck},
	"no_updates_canceling":                {class: ClassStuck},
	"job_execution_server_timeout":        {class: ClassTimeout},
	"server_timeout_running":              {class: ClassTimeout},
	"server_timeout_canceling":            {class: ClassTimeout},
	"missing_dependency_failure":          {class: ClassDependency},
	"unmet_prerequisites":                 {class: ClassDependency},
	"environment_creation_failure":        {class: ClassDependency},
	"secrets_provider_not_found":          {class: ClassDependency},
	"job_token_expired":                   {class: ClassTimeout},
	"trace_size_exceeded":                 {class: ClassQuota},

	"reached_downstream_pipeline_trigger_rate_limit": {class: ClassQuota}, // a limit per minute

	"archived_failure":                             {ClassPermission, true},
	"forward_deployment_failure":                   {ClassDependency, true},
	"failed_outdated_deployment_job":               {ClassDependency, true},
	"deployment_rejected":                          {ClassPermission, true},
	"protected_environment_failure":                {ClassPermission, true},
	"user_blocked":                                 {ClassPermission, true},
	"project_deleted":                              {ClassPermission, true},
	"builds_disabled":                              {ClassPermission, true},
	"ip_restriction_failure":                       {ClassPermission, true},
	"duo_workflow_not_allowed":                     {ClassPermission, true},
	"id_token_burned_project_path":                 {ClassPermission, true},
	"ci_quota_exceeded":                            {ClassQuota, true},
	"pipeline_loop_detected":                       {ClassDependency, true},
	"insufficient_bridge_permissions":              {ClassPermission, true},
	"insufficient_upstream_permissions":            {ClassPermission, true},
	"downstream_bridge_project_not_found":          {ClassPermission, true},
	"upstream_bridge_project_not_found":            {ClassPermission, true},
	"invalid_bridge_trigger":                       {ClassDependency, true},
	"bridge_pipeline_is_child_pipeline":            {ClassDependency, true},
	"downstream_pipeline_creation_failed":          {ClassDependency, true},
	"downstream_project_trigger_resolved_to_empty": {ClassDependency, true},
	"reached_max_descendant_pipelines_depth":       {ClassQuota, true},
	"reached_max_pipeline_hierarchy_size":          {ClassQuota, true},
}

// renamed maps a failure reason of older GitLab versions to the newer reasons
// that replace it: GitLab 19.0 split stuck_or_timeout_failure and
// job_execution_timeout and no longer sends them, and 19.1 split three reasons
// off two others. A rule with an old name must also match the newer ones.
var renamed = map[string][]string{
	"stuck_or_timeout_failure": {"stuck_pending_with_matching_runners", "stuck_pending_no_matching_runners", "no_updates_running", "no_updates_canceling"},
	"job_execution_timeout":    {"server_timeout_running", "server_timeout_canceling"},
	"runner_system_failure":    {"runner_configuration_error", "runner_external_dependency_failure", "runner_interrupted"},
	"script_failure":           {"runner_configuration_error", "runner_external_dependency_failure", "runner_interrupted"},
}

// FailureReasons returns all failure reasons that Pipesteward knows, sorted.
func FailureReasons() []string { return slices.Sorted(maps.Keys(reasons)) }

// ReplacedBy returns the failure reasons that GitLab 19 sends in place of a
// reason that it no longer sends; nil for any other reason.
func ReplacedBy(failureReason string) []string {
	switch failureReason {
	case "stuck_or_timeout_failure", "job_execution_timeout":
		return renamed[failureReason]
	}
	return nil
}

// ClassOf returns the failure class of a failure reason: ClassUnknown for a
// reason that Pipesteward does not know, and "" for "".
func ClassOf(failureReason string) string {
	if failureReason == "" {
		return ""
	}
	if r, ok := reasons[failureReason]; ok {
		return r.class
	}
	return ClassUnknown
}

// Hopeless reports whether a retry can't fix a failure with this reason.
func Hopeless(failureReason string) bool { return reasons[failureReason].hopeless }

// WithAliases returns the reasons and the newer names that GitLab 19 sends in
// place of them, sorted and without duplicates.
func WithAliases(failureReasons ...string) []string {
	all := map[string]bool{}
	for _, r := range failureReasons {
		all[r] = true
		for _, newer := range renamed[r] {
			all[newer] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
