package gitlab_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

func TestUserByEmail(t *testing.T) {
	t.Parallel()
	account := func(id int64, name, public, private string) gitlabtest.Account {
		return gitlabtest.Account{User: gitlabtest.User{ID: id, Username: "user", Name: name, Email: private}, PublicEmail: public}
	}
	unconfirmed := account(6, "Una", "", "una@example.com")
	unconfirmed.Unconfirmed = true
	blocked := account(7, "Bo", "bo@example.com", "")
	blocked.State, blocked.Bot = "blocked", true
	for name, c := range map[string]struct {
		email string
		admin bool
		want  int64 // 0: nobody
	}{
		"public":                            {"ada@example.com", false, 1},
		"in another case":                   {"Ada@Example.com", false, 1},
		"private":                           {"bob@example.com", false, 0},
		"private, for an administrator":     {"bob@example.com", true, 2},
		"unconfirmed, for an administrator": {"una@example.com", true, 0},
		"a name that is the address":        {"eve@example.com", true, 0},
		"part of a name":                    {"example.com", false, 0},
		"of nobody":                         {"nobody@example.com", false, 0},
		"public, and a name of others":      {"zoe@example.com", false, 9},
	} {
		w := newFixture(t, gitlabtest.Options{Admin: c.admin})
		for _, a := range []gitlabtest.Account{
			account(1, "Ada", "ada@example.com", "ada@home.example.com"), account(2, "Bob", "", "bob@example.com"), account(3, "eve@example.com", "", "mallory@example.com"),
			account(4, "zoe@example.com", "", ""), account(5, "zoe@example.com", "zoe2@example.com", ""), unconfirmed, blocked, account(9, "Zoe", "zoe@example.com", ""),
		} {
			w.AddAccount(a)
		}
		u, found, err := w.client.UserByEmail(t.Context(), c.email)
		if u.ID != c.want || found != (c.want != 0) || err != nil {
			t.Errorf("%s: user %d, found %t, %v; want %d", name, u.ID, found, err, c.want)
		}
		u, _, err = w.client.UserByEmail(t.Context(), "bo@example.com")
		if diff := cmp.Diff(gitlab.User{ID: 7, Username: "user", Bot: true}, u); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	}
}

func TestMemberRole(t *testing.T) {
	t.Parallel()
	w := newFixture(t, gitlabtest.Options{})
	project := w.AddProject(gitlabtest.Project{Path: "platform/shop"}).ID
	roles := map[int64]gitlabtest.Role{project: gitlabtest.Developer}
	w.AddAccount(gitlabtest.Account{User: gitlabtest.User{ID: 1, Username: "ada"}, Roles: roles})
	w.AddAccount(gitlabtest.Account{User: gitlabtest.User{ID: 2, Username: "bo"}, Roles: roles, State: "blocked"})
	w.AddAccount(gitlabtest.Account{User: gitlabtest.User{ID: 3, Username: "cy"}, Roles: roles, Awaiting: true})
	w.AddAccount(gitlabtest.Account{User: gitlabtest.User{ID: 4, Username: "di"}})
	for user, want := range map[int64]gitlab.Role{1: gitlab.Developer, 2: gitlab.NoRole, 3: gitlab.NoRole, 4: gitlab.NoRole, 5: gitlab.NoRole} {
		if got, err := w.client.MemberRole(t.Context(), project, user); got != want || err != nil {
			t.Errorf("user %d has the role %s, %v; want %s", user, got, err, want)
		}
	}
	w.Fail(gitlabtest.Fault{Path: "/members/all/1", Status: 502, Times: 10})
	if got, err := w.client.MemberRole(t.Context(), project, 1); got != gitlab.NoRole || !event.Transient(err) {
		t.Errorf("without an answer: %s, %v", got, err)
	}
}
