package endpoint_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
)

// A template has nothing that depends on the project, not even where a name looks like part
// of the API.
func TestTemplate(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"user":                                     "user",
		"users":                                    "users",
		"users/7":                                  "users/{user}",
		"personal_access_tokens/self":              "personal_access_tokens/self",
		"projects/platform%2Fshop":                 "projects/{project}",
		"projects/projects":                        "projects/{project}",
		"projects/1/jobs":                          "projects/{project}/jobs",
		"projects/1/jobs/2/retry":                  "projects/{project}/jobs/{job}/retry",
		"projects/1/merge_requests/2/notes/3":      "projects/{project}/merge_requests/{merge_request}/notes/{note}",
		"projects/1/members/all/2":                 "projects/{project}/members/all/{user}",
		"projects/1/repository/branches/jobs":      "projects/{project}/repository/branches/{branch}",
		"projects/1/repository/branches/jobs%2F7":  "projects/{project}/repository/branches/{branch}",
		"projects/1/statuses/0123abc":              "projects/{project}/statuses/{sha}",
		"groups/platform%2Fjobs/hooks/3/events":    "groups/{group}/hooks/{hook}/events",
		"projects/1/hooks/3/test/push_events":      "projects/{project}/hooks/{hook}/test/push_events",
		"projects/1/pipelines/2/bridges":           "projects/{project}/pipelines/{pipeline}/bridges",
		"groups/2/protected_environments":          "groups/{group}/protected_environments",
		"projects/jobs/protected_branches":         "projects/{project}/protected_branches",
		"projects/1/merge_requests/0/pipelines":    "projects/{project}/merge_requests/{merge_request}/pipelines",
		"projects/pipelines/pipelines/9/jobs":      "projects/{project}/pipelines/{pipeline}/jobs",
		"groups/groups/projects":                   "groups/{group}/projects",
		"projects/1/merge_requests/2/approvals":    "projects/{project}/merge_requests/{merge_request}/approvals",
		"projects/1/deployments":                   "projects/{project}/deployments",
		"application/settings":                     "application/settings",
		"job/allowed_agents":                       "job/allowed_agents",
		"projects/1/repository/branches/%7Bjob%7D": "projects/{project}/repository/branches/{branch}",
	} {
		if got := endpoint.Template(path); got != want {
			t.Errorf("the template of %s is %s, want %s", path, got, want)
		}
	}
}
