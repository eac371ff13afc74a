package doctor_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store"
)

const (
	eraseRule    = "  - {name: erase, on: schedule, schedule: {cron: '@daily', projects: [platform]}, actions: [erase]}\n"
	playRule     = "  - name: play\n    on: job\n    if: glob(project.path, 'mobile/**')\n    actions: [play: {variables: {RELEASE: '1'}}]\n"
	forceRule    = "  - {name: force, on: job, if: job.name == 'x', actions: [cancel: {force: true}]}\n"
	outdatedRule = "  - {name: outdated, on: pipeline, actions: [cancel_outdated: {force: true}]}\n"
	dryRule      = "version: 1\ndefaults: {channel: '#ci'}\nrules:\n  - {name: erase, on: job, dry_run: true, actions: [erase]}\n"
	notifyRule   = "version: 1\ndefaults: {channel: '#ci'}\nrules:\n  - {name: tell, on: job, notify: [{}]}\n"
	noteRule     = "version: 1\nrules:\n  - {name: tell, on: job, notify: [{merge_request: note}]}\n"
	statusRule   = "version: 1\nrules:\n  - {name: tell, on: job, notify: [{commit: status}]}\n"
	noRule       = "version: 1\nrules: []\n"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		role     gitlabtest.Role
		rules    string
		severity doctor.Severity
		says     []string
	}{
		{"Maintainer erases", gitlabtest.Maintainer, ruleFile + eraseRule, doctor.OK, nil},
		{"Developer retries", gitlabtest.Developer, ruleFile, doctor.Note, []string{"Maintainer is missing to read failed deliveries"}},
		{"Developer erases", gitlabtest.Developer, ruleFile + eraseRule, doctor.Problem, []string{"the role Maintainer is missing, for erase", "give the token's user the role Maintainer"}},
		{"Developer cancels by force", gitlabtest.Developer, ruleFile + forceRule, doctor.Problem, []string{"the role Maintainer is missing, for cancel by force"}},
		{"Developer cancels outdated deployments", gitlabtest.Developer, ruleFile + outdatedRule, doctor.Note, []string{"failed deliveries"}},
		{"Developer erases dry", gitlabtest.Developer, dryRule, doctor.Warning, []string{"the role Maintainer is missing, for erase (in dry run now)"}},
		{"Reporter retries", gitlabtest.Reporter, ruleFile, doctor.Problem, []string{"the role Developer is missing, for retry"}},
		{"Reporter retries and erases", gitlabtest.Reporter, ruleFile + eraseRule, doctor.Problem, []string{"the role Maintainer is missing, for erase, retry"}},
		{"Developer is told", gitlabtest.Developer, notifyRule, doctor.Note, nil},
		{"Reporter writes notes", gitlabtest.Reporter, noteRule, doctor.Note, nil},
		{"Reporter sets statuses", gitlabtest.Reporter, statusRule, doctor.Problem, []string{"the role Developer is missing, for commit: status"}},
		{"no rule", gitlabtest.Maintainer, noRule, doctor.OK, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{})
			r.gitlab.SetRole(1, tt.role)
			r.rules(tt.rules)
			r.wants(r.run(), "project-role", tt.severity, tt.says)
		})
	}
}

// --ensure-hooks takes the role Maintainer in the projects whose webhooks it keeps.
func TestEnsureHooksNeedsMaintainer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		spoil    func(*rig)
		severity doctor.Severity
		says     []string
	}{
		{"named", func(r *rig) { r.Projects = []string{"platform"} }, doctor.Problem, []string{"the role Maintainer is missing, for --ensure-hooks", "role Maintainer"}},
		{"sent events", func(r *rig) { r.Known = func(context.Context) ([]int64, error) { return []int64{1}, nil } }, doctor.Problem, []string{"for --ensure-hooks"}},
		{"checked alone", func(r *rig) {
			r.Known = func(context.Context) ([]int64, error) { return []int64{1}, nil }
			r.Only = []string{"platform/shop"}
		}, doctor.Problem, []string{"for --ensure-hooks"}},
		{"the store can't say", func(r *rig) { r.Store, r.StoreErr = nil, store.ErrInUse }, doctor.Problem, []string{"for --ensure-hooks"}},
		{"dry run", func(r *rig) { r.Projects, r.DryRun = []string{"platform"}, true }, doctor.Warning, []string{"for --ensure-hooks (in dry run now)"}},
		{"neither named nor sent events", func(*rig) {}, doctor.Note, []string{"Maintainer is missing to read failed deliveries"}},
		{"no --ensure-hooks", func(r *rig) { r.Projects, r.EnsuresHooks = []string{"platform"}, false }, doctor.Note, nil},
		{"Maintainer", func(r *rig) { r.Projects = []string{"platform"}; r.gitlab.SetRole(1, gitlabtest.Maintainer) }, doctor.OK, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{})
			r.gitlab.SetRole(1, gitlabtest.Developer)
			r.EnsuresHooks = true
			tt.spoil(r)
			r.wants(r.run(), "project-role", tt.severity, tt.says)
		})
	}
}

// deploy/README.md has the table of roles that the check uses.
func TestRolesAreDocumented(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if table := strings.Join(doctor.RoleRows(), "\n") + "\n"; !strings.Contains(string(readme), "\n| --- | --- | --- |\n"+table+"\n") {
		t.Errorf("deploy/README.md lacks the table\n%s", table)
	}
}

// Findings about many projects are one, by what is missing there.
func TestRolesOfManyProjects(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	var wants []string
	for i := range 250 {
		p := gitlabtest.Project{Path: fmt.Sprintf("mobile/app-%03d", i)}
		if i%2 == 0 {
			p.Role = gitlabtest.Reporter
			wants = append(wants, p.Path)
		}
		r.gitlab.AddProject(p)
	}
	found := r.run()
	r.wants(found, "project-role", doctor.Problem, []string{"the role Developer is missing, for retry"}, wants...)
	lists := slices.DeleteFunc(r.gitlab.Requests(), func(r gitlabtest.Request) bool {
		return strings.Contains(r.Path, "/hooks") || strings.Contains(r.Path, "/protected_branches")
	})
	if n := len(lists); n > 30 {
		t.Errorf("%d requests for 251 projects, besides those for webhooks and protected branches", n)
	}
	r.Only = []string{"mobile/app-00?"}
	r.wants(r.run(), "project-role", doctor.Problem, nil, "mobile/app-000", "mobile/app-002", "mobile/app-004", "mobile/app-006", "mobile/app-008")
}

// On a protected branch, rights to push or to merge are needed besides the role.
func TestProtectedBranch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		project  gitlabtest.Project
		severity doctor.Severity
	}{
		{"open", gitlabtest.Project{Role: gitlabtest.Developer}, doctor.OK},
		{"protected", gitlabtest.Project{Role: gitlabtest.Developer, ProtectedRefs: []string{"ma*"}}, doctor.Warning},
		{"another is protected", gitlabtest.Project{Role: gitlabtest.Developer, ProtectedRefs: []string{"release/*"}}, doctor.OK},
		{"may merge", gitlabtest.Project{Role: gitlabtest.Developer, ProtectedRefs: []string{"main"}, DevelopersMerge: []string{"main"}}, doctor.OK},
		{"Maintainer", gitlabtest.Project{ProtectedRefs: []string{"main"}}, doctor.OK},
		{"Reporter, who may do nothing anyway", gitlabtest.Project{Role: gitlabtest.Reporter, ProtectedRefs: []string{"main"}}, doctor.OK},
		{"archived", gitlabtest.Project{Role: gitlabtest.Developer, ProtectedRefs: []string{"main"}, Archived: true}, doctor.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{})
			tt.project.Path = "platform/web"
			r.gitlab.AddProject(tt.project)
			found := r.run()
			if tt.severity == doctor.OK {
				r.wants(found, "protected-branch", doctor.OK, nil)
				return
			}
			r.wants(found, "protected-branch", tt.severity, []string{"may neither push nor merge there", "Protected branches"}, "platform/web")
		})
	}
}

// Projects that can't be read are a line for each reason, and the others are checked.
func TestUnreadableBranches(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	for _, path := range []string{"a/one", "a/two", "a/three"} {
		r.gitlab.AddProject(gitlabtest.Project{Path: path, Role: gitlabtest.Developer, ProtectedRefs: []string{"main"}})
	}
	r.gitlab.Fail(gitlabtest.Fault{Path: "/projects/2/repository/branches/main", Times: -1, Status: 403})
	r.gitlab.Fail(gitlabtest.Fault{Path: "/projects/3/repository/branches/main", Times: -1, Status: 403})
	found := r.run()
	r.wants(found, "protected-branch", doctor.Unknown, []string{"not checked, because the access token may not read this"}, "a/one", "a/two")
	r.wants(found, "protected-branch", doctor.Warning, nil, "a/three")
}

// The role also suffices to play with variables.
func TestPipelineVariables(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		project  gitlabtest.Project
		severity doctor.Severity
		says     []string
	}{
		{"Maintainer, developer", gitlabtest.Project{Path: "mobile/app"}, doctor.OK, nil},
		{"Maintainer, maintainer", gitlabtest.Project{Path: "mobile/app", VariablesRole: "maintainer"}, doctor.OK, nil},
		{"Maintainer, owner", gitlabtest.Project{Path: "mobile/app", VariablesRole: "owner"}, doctor.Problem, []string{"the minimum role to use pipeline variables is owner"}},
		{"Maintainer, nobody", gitlabtest.Project{Path: "mobile/app", VariablesRole: "no_one_allowed"}, doctor.Problem, []string{"is no_one_allowed", "lower the project's minimum role"}},
		{"Developer", gitlabtest.Project{Path: "mobile/app", Role: gitlabtest.Developer}, doctor.Unknown, []string{"to Maintainers only"}},
		{"a project without such a rule", gitlabtest.Project{Path: "web/app", VariablesRole: "no_one_allowed"}, doctor.OK, []string{"no rule plays"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{})
			r.rules(ruleFile + playRule)
			r.gitlab.AddProject(tt.project)
			r.wants(r.run(), "pipeline-variables", tt.severity, tt.says)
		})
	}
}

// Before 17.1, GitLab said only whether Maintainers alone may give variables.
func TestRestrictedVariables(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{Version: "16.11.0"})
	r.rules(ruleFile + playRule)
	r.gitlab.AddProject(gitlabtest.Project{Path: "mobile/app", VariablesRole: "maintainer"})
	r.wants(r.run(), "pipeline-variables", doctor.OK, []string{"suffices to play with variables in 1 project"})
}

func TestProjects(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	r.rules(ruleFile + eraseRule)
	r.gitlab.AddProject(gitlabtest.Project{Path: "platform/old", Archived: true})
	r.gitlab.AddProject(gitlabtest.Project{Path: "mobile/app", Role: gitlabtest.Reporter})
	r.gitlab.AddProject(gitlabtest.Project{Path: "hidden/thing", Role: gitlabtest.NoAccess})
	r.Projects = []string{"tools/gone", "mobile"}
	r.Known = func(context.Context) ([]int64, error) { return []int64{1, 4, 99}, nil }
	found := r.run()
	r.wants(found, "projects-exist", doctor.Problem, []string{`"tools/gone": there is no such project or group`, "--projects"})
	r.wants(found, "projects-exist", doctor.Note, []string{"2 projects that sent events can't be seen any more"})
	r.wants(found, "project-archived", doctor.Note, []string{"archived: GitLab changes nothing there"}, "platform/old")
	r.wants(found, "project-role", doctor.Problem, []string{"for retry"}, "mobile/app")

	r.Projects, r.Known = nil, nil
	r.rules(ruleFile)
	r.Only = []string{"hidden/thing"}
	r.wants(r.run(), "projects-exist", doctor.Problem, []string{`"hidden/thing": there is no such project`})
	r.Only = nil
	for id := int64(1); id <= 4; id++ {
		r.gitlab.SetRole(id, gitlabtest.NoAccess)
	}
	r.wants(r.run(), "projects-exist", doctor.Problem, []string{"the token's user is a member of no project"})
}
