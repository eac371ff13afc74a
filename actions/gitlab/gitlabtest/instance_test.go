package gitlabtest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// The instance answers as its version and the token's user have it.
func TestInstance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		options gitlabtest.Options
		path    string
		status  int
		says    string
	}{
		{"the Community Edition", gitlabtest.Options{Version: "19.1.0"}, "/metadata", 200, `"enterprise":false`},
		{"the Enterprise Edition", gitlabtest.Options{Version: "19.1.0-ee"}, "/metadata", 200, `"enterprise":true`},
		{"JiHu GitLab", gitlabtest.Options{Version: "18.5.0-jh"}, "/metadata", 200, `"enterprise":true`},
		{"before it had the route", gitlabtest.Options{Version: "15.1.0"}, "/metadata", 404, ""},
		{"the old route", gitlabtest.Options{Version: "15.1.0"}, "/version", 200, `"version":"15.1.0"`},
		{"settings", gitlabtest.Options{}, "/application/settings", 403, "403 Forbidden"},
		{"settings, to an admin", gitlabtest.Options{Admin: true}, "/application/settings", 200, `"allow_local_requests_from_web_hooks_and_services":false`},
		{"an admin", gitlabtest.Options{Admin: true}, "/user", 200, `"is_admin":true`},
		{"the token by its id", gitlabtest.Options{}, "/personal_access_tokens/42", 200, `"scopes":["api"]`},
		{"another token", gitlabtest.Options{}, "/personal_access_tokens/43", 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.options.Now = time.Now
			gl := gitlabtest.Start(t, tt.options)
			if r := ask(t, gl, "GET", tt.path, ""); r.status != tt.status || !strings.Contains(r.body, tt.says) {
				t.Errorf("%d %s, want %d with %s", r.status, r.body, tt.status, tt.says)
			}
		})
	}
}

// A fine-grained token may do what it was granted, where it was granted.
func TestGrants(t *testing.T) {
	t.Parallel()
	gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	shop := gl.AddProject(gitlabtest.Project{Path: "platform/shop"})
	web := gl.AddProject(gitlabtest.Project{Path: "platform/tools/web"})
	gl.AddProject(gitlabtest.Project{Path: "mobile/app"})
	for _, tt := range []struct {
		name   string
		grants []gitlabtest.Grant
		path   string
		status int
		says   string
	}{
		{"nothing", []gitlabtest.Grant{}, "/user", 403, "with the following user permissions: [User: Read]."},
		{"its user", []gitlabtest.Grant{{Access: "user", Permissions: []string{"read_user"}}}, "/user", 200, ""},
		{"its user, elsewhere", []gitlabtest.Grant{{Access: "all_memberships", Permissions: []string{"read_user"}}}, "/user", 403, ""},
		{"all projects", []gitlabtest.Grant{{Access: "all_memberships", Permissions: []string{"read_job"}}}, "/projects/1/jobs", 200, ""},
		{"another permission", []gitlabtest.Grant{{Access: "all_memberships", Permissions: []string{"read_pipeline"}}}, "/projects/1/jobs", 403, "insufficient_granular_scope"},
		{"this project", []gitlabtest.Grant{{Access: "selected_memberships", Permissions: []string{"read_job"}, Project: shop.ID}}, "/projects/1/jobs", 200, ""},
		{"another project", []gitlabtest.Grant{{Access: "selected_memberships", Permissions: []string{"read_job"}, Project: web.ID}}, "/projects/1/jobs", 403, "project permissions: [Job: Read]"},
		{"its group", []gitlabtest.Grant{{Access: "selected_memberships", Permissions: []string{"read_job"}, Group: 501}}, "/projects/2/jobs", 200, ""},
		{"another group", []gitlabtest.Grant{{Access: "selected_memberships", Permissions: []string{"read_job"}, Group: 501}}, "/projects/3/jobs", 403, ""},
		{"no permission for it", []gitlabtest.Grant{{Access: "instance", Permissions: []string{"read_metadata"}}}, "/application/settings", 403, "not yet supported for this operation"},
		{"its description", []gitlabtest.Grant{{Access: "user", Permissions: []string{"read_personal_access_token"}}}, "/personal_access_tokens/42", 200, `"granular_scopes":[{"access":"user","group_id":null,"permissions":["read_personal_access_token"],"project_id":null}]`},
		{"its own description", []gitlabtest.Grant{{Access: "user", Permissions: []string{"read_personal_access_token"}}}, "/personal_access_tokens/self", 200, `"granular":true`},
	} {
		gl.SetAccessToken(gitlabtest.AccessToken{Grants: tt.grants})
		if r := ask(t, gl, "GET", tt.path, ""); r.status != tt.status || !strings.Contains(r.body, tt.says) {
			t.Errorf("%s: %d %s, want %d with %s", tt.name, r.status, r.body, tt.status, tt.says)
		}
	}
}

// In GitLab Premium, canceling needs the project's minimum role, which Maintainers see.
func TestCancelRole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		options gitlabtest.Options
		role    gitlabtest.Role
		least   string
		status  int
		shown   string
	}{
		{gitlabtest.Options{}, gitlabtest.Developer, "", 201, ""},
		{gitlabtest.Options{}, gitlabtest.Developer, "maintainer", 403, ""},
		{gitlabtest.Options{}, gitlabtest.Maintainer, "maintainer", 201, `"ci_restrict_pipeline_cancellation_role":"maintainer"`},
		{gitlabtest.Options{}, gitlabtest.Maintainer, "no_one", 403, `"ci_restrict_pipeline_cancellation_role":"no_one"`},
		{gitlabtest.Options{Free: true}, gitlabtest.Maintainer, "no_one", 201, ""},
	} {
		tt.options.Now = time.Now
		gl := gitlabtest.Start(t, tt.options)
		p := gl.AddProject(gitlabtest.Project{Path: "platform/shop", Role: tt.role, CancelRole: tt.least})
		pl := gl.AddPipeline(p.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		if r := ask(t, gl, "POST", fmt.Sprintf("/projects/1/jobs/%d/cancel", gl.Latest(pl.ID, "rspec").ID), ""); r.status != tt.status {
			t.Errorf("role %d, least %q: %d %s, want %d", tt.role, tt.least, r.status, r.body, tt.status)
		}
		if r := ask(t, gl, "GET", "/projects/1", ""); strings.Contains(r.body, "cancellation_role") != (tt.shown != "") || !strings.Contains(r.body, tt.shown) {
			t.Errorf("role %d, least %q: the project is %s, want %s", tt.role, tt.least, r.body, tt.shown)
		}
	}
}

// Playing with variables needs the project's minimum role.
func TestVariablesRole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		role   gitlabtest.Role
		least  string
		status int
	}{
		{gitlabtest.Developer, "", 200},
		{gitlabtest.Developer, "maintainer", 403},
		{gitlabtest.Maintainer, "maintainer", 200},
		{gitlabtest.Maintainer, "owner", 403},
		{gitlabtest.Maintainer, "no_one_allowed", 403},
	} {
		gl := gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
		p := gl.AddProject(gitlabtest.Project{Path: "platform/shop", Role: tt.role, VariablesRole: tt.least})
		pl := gl.AddPipeline(p.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "deploy", When: "manual"})
		job := gl.Latest(pl.ID, "deploy")
		path := fmt.Sprintf("/projects/1/jobs/%d/play", job.ID)
		if r := ask(t, gl, "POST", path, `{"job_variables_attributes": [{"key": "A", "value": "b"}]}`); r.status != tt.status {
			t.Errorf("role %d, least %q: %d %s, want %d", tt.role, tt.least, r.status, r.body, tt.status)
		}
	}
}
