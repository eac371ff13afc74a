package gitlab_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// Who may use what is protected: roles, users and members of groups, as GitLab Premium has
// them. The access level of a user or a group means nothing.
func TestProtections(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v4/projects/7/protected_branches":
			fmt.Fprint(w, `[
				{"name": "main", "push_access_levels": [{"access_level": 0}], "merge_access_levels": [{"access_level": 40, "user_id": null, "group_id": null}]},
				{"name": "release/*", "push_access_levels": [{"access_level": 40, "user_id": 99}, {"access_level": 40, "deploy_key_id": 3}], "merge_access_levels": [{"access_level": 30, "group_id": 5}]}]`)
		case "/api/v4/projects/7/protected_environments":
			fmt.Fprint(w, `[{"name": "production", "deploy_access_levels": [{"access_level": null, "group_id": 5}]}, {"name": "staging", "deploy_access_levels": []}]`)
		case "/api/v4/projects/7/groups":
			fmt.Fprint(w, `[{"id": 5, "full_path": "platform"}]`)
		case "/api/v4/groups/5/protected_environments":
			fmt.Fprint(w, `[{"name": "production", "deploy_access_levels": [{"access_level": 40, "user_id": null, "group_id": null}]}]`)
		case "/api/v4/groups/5/members/all/99":
			fmt.Fprint(w, `{"id": 99, "state": "active", "access_level": 30}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	client, err := gitlab.New(gitlab.Config{BaseURL: server.URL, Token: gitlabtest.DefaultToken, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	branches, err := client.ProtectedBranches(t.Context(), 7)
	if diff := cmp.Diff([]gitlab.Protection{{Name: "main", Roles: []gitlab.Role{gitlab.Maintainer}}, {Name: "release/*", Users: []int64{99}, Groups: true}}, branches); diff != "" || err != nil {
		t.Fatalf("%v, branches (-want +got):\n%s", err, diff)
	}
	environments, err := client.ProtectedEnvironments(t.Context(), 7)
	if diff := cmp.Diff([]gitlab.Protection{{Name: "production", Groups: true}, {Name: "staging"}}, environments); diff != "" || err != nil {
		t.Fatalf("%v, environments (-want +got):\n%s", err, diff)
	}
	groups, err := client.ProjectGroups(t.Context(), 7)
	if diff := cmp.Diff([]gitlab.Group{{ID: 5, Path: "platform"}}, groups); diff != "" || err != nil {
		t.Fatalf("%v, groups (-want +got):\n%s", err, diff)
	}
	tiers, err := client.GroupProtectedEnvironments(t.Context(), 5)
	if diff := cmp.Diff([]gitlab.Protection{{Name: "production", Roles: []gitlab.Role{gitlab.Maintainer}}}, tiers); diff != "" || err != nil {
		t.Fatalf("%v, tiers (-want +got):\n%s", err, diff)
	}
	if role, err := client.GroupMemberRole(t.Context(), 5, 99); role != gitlab.Developer || err != nil {
		t.Fatalf("role in the group: %s, %v", role, err)
	}
	for _, c := range []struct {
		what            gitlab.Protection
		user            int64
		role            gitlab.Role
		allows, certain bool
	}{
		{branches[0], 99, gitlab.Maintainer, true, true},
		{branches[0], 99, gitlab.Owner, true, true},
		{branches[0], 99, gitlab.Developer, false, true},
		{branches[1], 99, gitlab.Developer, true, true},
		{branches[1], 98, gitlab.Maintainer, false, false},
		{environments[0], 99, gitlab.Owner, false, false},
		{environments[1], 99, gitlab.Owner, false, true},
	} {
		if allows, certain := c.what.Allows(c.user, c.role); allows != c.allows || certain != c.certain {
			t.Errorf("%+v allows user %d with the role %s: %t, certain %t", c.what, c.user, c.role, allows, certain)
		}
	}
}
