package doctor_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

const deployRule = "  - {name: deploy, on: pipeline, actions: [play: {jobs: [deploy]}]}\n"

// What is protected against the token's user is found, with who may use it.
func TestProtections(t *testing.T) {
	t.Parallel()
	roles := func(r ...gitlabtest.Role) map[string][]gitlabtest.Role {
		return map[string][]gitlabtest.Role{"production": r}
	}
	free := gitlabtest.Options{Free: true}
	for _, tt := range []struct {
		name     string
		options  gitlabtest.Options
		project  gitlabtest.Project
		check    string
		severity doctor.Severity
		says     []string
	}{
		{"branches that Maintainers may push to", gitlabtest.Options{}, gitlabtest.Project{ProtectedRefs: []string{"main", "release/*"}}, "protected-branches", doctor.OK, []string{"no branch is closed"}},
		{
			"a branch that nobody may push to",
			gitlabtest.Options{},
			gitlabtest.Project{ProtectedRefs: []string{"main", "release/*"}, NobodyPushes: []string{"release/*"}},
			"protected-branches", doctor.Warning,
			[]string{"protected branches (release/*), where nobody may push or merge", "with the role Maintainer", "can't retry, play or cancel", "Protected branches"},
		},
		{
			"a branch that nobody may push to, and Developers may merge to",
			gitlabtest.Options{},
			gitlabtest.Project{ProtectedRefs: []string{"release/*"}, NobodyPushes: []string{"release/*"}, DevelopersMerge: []string{"release/*"}},
			"protected-branches", doctor.OK, nil,
		},
		{"branches that a Developer may not see", gitlabtest.Options{}, gitlabtest.Project{Role: gitlabtest.Developer, ProtectedRefs: []string{"release/*"}}, "protected-branches", doctor.Unknown, []string{"protected branches not checked", "may not read this"}},
		{"a Reporter, who may do nothing anyway", gitlabtest.Options{}, gitlabtest.Project{Role: gitlabtest.Reporter, ProtectedRefs: []string{"release/*"}}, "protected-branches", doctor.OK, nil},

		{"an environment that Maintainers may deploy to", gitlabtest.Options{}, gitlabtest.Project{ProtectedEnvironments: roles(gitlabtest.Maintainer)}, "protected-environments", doctor.OK, []string{"no environment is closed"}},
		{
			"an environment that nobody may deploy to",
			gitlabtest.Options{},
			gitlabtest.Project{ProtectedEnvironments: roles()},
			"protected-environments", doctor.Warning,
			[]string{"protected environments (production), where nobody may deploy", "can't play jobs that deploy there", "Protected environments"},
		},
		{"environments that a Developer may not see", gitlabtest.Options{}, gitlabtest.Project{Role: gitlabtest.Developer, ProtectedEnvironments: roles(gitlabtest.Maintainer)}, "protected-environments", doctor.Unknown, []string{"protected environments not checked"}},
		{"no licence", free, gitlabtest.Project{}, "protected-environments", doctor.Unknown, []string{"404"}},
		{"the Community Edition", gitlabtest.Options{Version: "19.1.0"}, gitlabtest.Project{}, "protected-environments", doctor.OK, []string{"the Community Edition has none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tt.options)
			r.rules(ruleFile + deployRule)
			tt.project.Path = "mobile/app"
			r.gitlab.AddProject(tt.project)
			r.Only = []string{"mobile/app"}
			r.wants(r.run(), tt.check, tt.severity, tt.says)
		})
	}
}

// Where no rule plays a job, no environment is read.
func TestEnvironmentsWithoutPlay(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	r.wants(r.run(), "protected-environments", doctor.OK, []string{"no rule plays a job"})
	if n := r.gitlab.Count("GET", "/protected_environments"); n > 0 {
		t.Errorf("%d requests", n)
	}
}

// Projects with the same protections are one finding. Where GitLab shows none to a role, it
// is not queried for each project.
func TestProtectionsOfManyProjects(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	var closed, hidden []string
	for i := range 100 {
		p := gitlabtest.Project{Path: fmt.Sprintf("mobile/app-%03d", i), ProtectedRefs: []string{fmt.Sprintf("release-%d", i)}}
		switch i % 3 {
		case 0:
			p.NobodyPushes = p.ProtectedRefs
			closed = append(closed, p.Path)
		case 1:
			p.Role = gitlabtest.Developer
			hidden = append(hidden, p.Path)
		}
		r.gitlab.AddProject(p)
	}
	r.Only = []string{"mobile"}
	found := r.run()
	r.wants(found, "protected-branches", doctor.Warning, []string{"(release-0, release-3, release-6, release-9, release-12, …)"}, closed...)
	r.wants(found, "protected-branches", doctor.Unknown, nil, hidden...)
	if n, want := r.gitlab.Count("GET", "/protected_branches"), 100-len(hidden)+3; n != want {
		t.Errorf("%d requests, want %d: one for each Maintainer's, and 3 for those of a Developer", n, want)
	}
}

// Webhooks of groups need GitLab Premium and Owner: who lacks that is told what to do.
func TestGroupRole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		options  gitlabtest.Options
		notOwner bool
		projects []string
		severity doctor.Severity
		says     []string
	}{
		{"Owner", gitlabtest.Options{}, false, []string{"tools"}, doctor.OK, []string{"suffices"}},
		{"not Owner", gitlabtest.Options{}, true, []string{"tools"}, doctor.Note, []string{"group tools can have no webhook", "role Owner in the group", "hooks ensure", "tools` makes one in each project below it instead", "Maintainer"}},
		{"no licence", gitlabtest.Options{Free: true}, false, []string{"tools"}, doctor.Note, []string{"group tools can have no webhook: that needs GitLab Premium", "in each project below it instead"}},
		{"the Community Edition", gitlabtest.Options{Version: "19.1.0"}, false, []string{"tools"}, doctor.Note, []string{"GitLab Premium"}},
		{"no group", gitlabtest.Options{}, true, []string{"tools/lint", "tools/*", "1"}, doctor.OK, []string{"names no group"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tt.options)
			r.gitlab.AddGroup(gitlabtest.Group{Path: "tools", NotOwner: tt.notOwner})
			r.gitlab.AddProject(gitlabtest.Project{Path: "tools/lint"})
			r.Projects = tt.projects
			found := r.run()
			r.wants(found, "group-role", tt.severity, tt.says)
			if writes := slices.DeleteFunc(r.gitlab.Requests(), func(q gitlabtest.Request) bool { return strings.EqualFold(q.Method, "GET") }); len(writes) > 0 {
				t.Errorf("something is changed: %v", writes)
			}
		})
	}
}
