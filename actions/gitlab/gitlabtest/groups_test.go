package gitlabtest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// company has projects 1 to 6 in groups, some of which the bot may not see.
func company(t *testing.T) *gitlabtest.Server {
	t.Helper()
	gl, _ := start(t)
	gl.AddGroup(gitlabtest.Group{ID: 70, Path: "platform/tools", Role: gitlabtest.Developer})
	gl.AddGroup(gitlabtest.Group{ID: 80, Path: "secret", Role: gitlabtest.NoAccess})
	gl.AddGroup(gitlabtest.Group{ID: 90, Path: "empty"})
	for _, p := range []gitlabtest.Project{
		{Path: "platform/shop"},
		{Path: "platform/tools/lint", Name: "Linter"},
		{Path: "platform/tools/old/ci", Archived: true},
		{Path: "secret/plans"},
		{Path: "platformer/game", Role: gitlabtest.Reporter},
		{Path: "hidden/thing", Role: gitlabtest.NoAccess},
	} {
		gl.AddProject(p)
	}
	return gl
}

func TestGroups(t *testing.T) {
	t.Parallel()
	gl := company(t)
	for path, want := range map[string]int{
		"/groups/platform":               200,
		"/groups/Platform":               200,
		"/groups/platform%2Ftools":       200,
		"/groups/platform%2Ftools%2Fold": 200,
		"/groups/70":                     200,
		"/groups/empty":                  200,
		"/groups/secret":                 404,
		"/groups/80/projects":            404,
		"/groups/hidden":                 404, // no member of anything in it
		"/groups/nowhere":                404,
		"/groups/7":                      404,
	} {
		r := ask(t, gl, "GET", path, "")
		if r.status != want || want == 404 && r.body != `{"message":"404 Group Not Found"}`+"\n" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	tools := ask(t, gl, "GET", "/groups/platform%2Ftools", "").object(t)
	platform := ask(t, gl, "GET", "/groups/platform?with_projects=false", "").object(t)
	got := []any{tools["id"], tools["full_path"], tools["parent_id"] == platform["id"], tools["web_url"], len(tools["projects"].([]any)), platform["parent_id"], platform["projects"]}
	if diff := cmp.Diff([]any{70., "platform/tools", true, gl.URL() + "/groups/platform/tools", 1, nil, nil}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Who is a member of a group is one of all that is added below it afterwards.
func TestRoleOfGroup(t *testing.T) {
	t.Parallel()
	gl := company(t)
	var got []gitlabtest.Role
	for id := range int64(6) {
		got = append(got, gl.Project(id+1).Role)
	}
	want := []gitlabtest.Role{gitlabtest.Maintainer, gitlabtest.Developer, gitlabtest.Developer, gitlabtest.NoAccess, gitlabtest.Reporter, gitlabtest.NoAccess}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	gl.SetRole(4, gitlabtest.Reporter)
	if r := ask(t, gl, "GET", "/groups/secret", ""); r.status != 200 {
		t.Errorf("the group of a project that the bot is a member of: %d", r.status)
	}
}

func TestListsOfProjects(t *testing.T) {
	t.Parallel()
	gl := company(t)
	const byID = "order_by=id&sort=asc"
	for path, want := range map[string][]int64{
		"/groups/platform/projects":                                               {1},
		"/groups/platform/projects?include_subgroups=true":                        {3, 2, 1}, // newest first
		"/groups/platform/projects?with_shared=false&include_subgroups=1&" + byID: {1, 2, 3},
		"/groups/platform/projects?include_subgroups=true&archived=false&" + byID: {1, 2},
		"/groups/platform/projects?include_subgroups=true&archived=true":          {3},
		"/groups/platform/projects?include_subgroups=true&min_access_level=40":    {1},
		"/groups/platform/projects?include_subgroups=true&search=lint":            {2},
		"/groups/platform/projects?pagination=keyset&" + byID:                     {1}, // ignored
		"/groups/platform/projects?include_subgroups=true&per_page=1&page=2":      {2},
		"/groups/empty/projects":                                                  {},
		"/groups/70/projects?simple=true":                                         {2},

		"/projects":                         {5, 3, 2, 1},
		"/projects?membership=true&" + byID: {1, 2, 3, 5},
		"/projects?membership=true&simple=true&archived=false&" + byID: {1, 2, 5},
		"/projects?min_access_level=30&" + byID:                        {1, 2, 3},
		"/projects?id_after=1&id_before=5&" + byID:                     {2, 3},
		"/projects?search=platform":                                    {},
		"/projects?search=platform/&search_namespaces=true&" + byID:    {1, 2, 3},
		"/projects?search=LINTER":                                      {2},
		"/projects?search=ci":                                          {3}, // short, but the whole name
		"/projects?search=ga":                                          {},
		"/projects?order_by=name&sort=asc":                             {3, 5, 2, 1}, // ci, game, Linter, shop
		"/projects?order_by=path&sort=desc":                            {1, 2, 5, 3},
	} {
		if diff := cmp.Diff(want, ask(t, gl, "GET", path, "").ids(t)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", path, diff)
		}
	}
	for path, want := range map[string]int{
		"/projects?archived=perhaps": 400, "/projects?min_access_level=7": 400, "/projects?id_after=x": 400, "/projects?order_by=color": 400,
		"/projects?sort=up": 400, "/projects?simple=x": 400, "/projects?membership=x": 400, "/projects?search_namespaces=x": 400, "/projects?id_before=x": 400,
		"/groups/platform?with_projects=x": 400, "/groups/platform/projects?include_subgroups=x": 400, "/groups/platform/projects?with_shared=x": 400,
		"/projects?pagination=keyset": 405, "/projects?pagination=keyset&order_by=name": 405, "/projects?pagination=keyset&order_by=id&per_page=0": 400,
	} {
		if r := ask(t, gl, "GET", path, ""); r.status != want {
			t.Errorf("%s: %d %s, want %d", path, r.status, r.body, want)
		}
	}
}

// By keyset, a next page is linked to whenever there is anything on this one.
func TestProjectsByKeyset(t *testing.T) {
	t.Parallel()
	gl := company(t)
	for sort, want := range map[string][][]int64{"asc": {{1, 2}, {3, 5}, {}}, "desc": {{5, 3}, {2, 1}, {}}} {
		var got [][]int64
		for url := "/projects?membership=true&pagination=keyset&order_by=id&per_page=2&sort=" + sort; url != ""; {
			r := ask(t, gl, "GET", url, "")
			got = append(got, r.ids(t))
			if url = next(r.header); strings.Contains(url, "page=2&") && !strings.Contains(url, "id_") {
				t.Errorf("%s: the link is %s", sort, url)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", sort, diff)
		}
	}
}

// A simple list does not say which projects are archived.
func TestProjectJSON(t *testing.T) {
	t.Parallel()
	gl := company(t)
	o := ask(t, gl, "GET", "/projects/platform%2Ftools%2Fold%2Fci", "").object(t)
	namespace := o["namespace"].(map[string]any)
	got := []any{o["id"], o["name"], o["path_with_namespace"], o["web_url"], o["default_branch"], o["archived"], namespace["full_path"], namespace["kind"]}
	want := []any{3., "ci", "platform/tools/old/ci", gl.URL() + "/platform/tools/old/ci", "main", true, "platform/tools/old", "group"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	group := ask(t, gl, "GET", "/groups/platform%2Ftools%2Fold", "").object(t)
	if namespace["id"] != group["id"] {
		t.Errorf("the namespace is %v, its group is %v", namespace["id"], group["id"])
	}
	for query, archived := range map[string]bool{"": true, "?simple=true": false} {
		if body := ask(t, gl, "GET", "/projects"+query, "").body; strings.Contains(body, `"archived"`) != archived {
			t.Errorf("%s: %s", query, body)
		}
	}
}

func TestProtectedRefs(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	gl.AddProject(gitlabtest.Project{Path: "platform/shop", ProtectedRefs: []string{"main", "release-*"}, ProtectedTags: []string{"v*"}})
	const branches, tags = "/projects/platform%2Fshop/protected_branches", "/projects/1/protected_tags"
	const maintainers = `[{"access_level":40,"access_level_description":"Maintainers","group_id":null,"user_id":null}]`
	branch := func(name string) string {
		return `{"merge_access_levels":` + maintainers + `,"name":"` + name + `","push_access_levels":` + maintainers + `}`
	}
	for path, want := range map[string]string{branches: "[" + branch("main") + "," + branch("release-*") + "]", tags: `[{"create_access_levels":` + maintainers + `,"name":"v*"}]`} {
		if r := ask(t, gl, "GET", path, ""); strings.TrimSpace(r.body) != want {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	gl.SetRole(1, gitlabtest.Developer)
	for _, path := range []string{branches, tags} {
		if r := ask(t, gl, "GET", path, ""); r.status != 403 {
			t.Errorf("%s for a developer: %d", path, r.status)
		}
	}
	for _, tt := range []struct {
		ref       string
		tag       bool
		protected bool
	}{
		{"main", false, true},
		{"main", true, false},
		{"mainly", false, false},
		{"release-1/x", false, true},
		{"releases", false, false},
		{"v1", true, true},
		{"v1", false, false},
	} {
		p := gl.AddPipeline(1, gitlabtest.Pipeline{Ref: tt.ref, Tag: tt.tag}, gitlabtest.Job{Name: "rspec", Status: "failed"})
		want := http.StatusCreated
		if tt.protected {
			want = http.StatusForbidden
		}
		if r := ask(t, gl, "POST", fmt.Sprintf("/projects/1/jobs/%d/retry", gl.Latest(p.ID, "rspec").ID), ""); r.status != want {
			t.Errorf("%s, tag %t: %d, want %d", tt.ref, tt.tag, r.status, want)
		}
	}
}

// What a test gets wrong about groups.
func TestGroupPanics(t *testing.T) {
	t.Parallel()
	gl := company(t)
	for name, g := range map[string]gitlabtest.Group{
		"no path": {}, "a group twice": {Path: "platform/tools"}, "a namespace of a project": {Path: "platform"}, "an id twice": {ID: 70, Path: "new"},
	} {
		if !panics(func() { gl.AddGroup(g) }) {
			t.Errorf("%s: no panic", name)
		}
	}
}

func TestOldJobsPanics(t *testing.T) {
	t.Parallel()
	bridge := func(int) gitlabtest.Job { return gitlabtest.Job{Name: "child", Bridge: true, Status: "failed"} }
	started := func(int) gitlabtest.Job { return gitlabtest.Job{Name: "rspec"} }
	gl, old := withOldJobs(t, 10, 2)
	for name, f := range map[string]func(){
		"no jobs":             func() { gl.AddOldJobs(1, gitlabtest.OldJobs{Job: oldJob}) },
		"no function":         func() { gl.AddOldJobs(1, gitlabtest.OldJobs{Count: 1}) },
		"no project":          func() { gl.AddOldJobs(7, gitlabtest.OldJobs{Count: 1, Job: oldJob}) },
		"a bridge":            func() { gl.Job(gl.AddOldJobs(1, gitlabtest.OldJobs{Count: 1, Job: bridge}).FirstJob) },
		"no status":           func() { gl.Job(gl.AddOldJobs(1, gitlabtest.OldJobs{Count: 1, Job: started}).FirstJob) },
		"a job's id twice":    func() { gl.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{ID: old.FirstJob + 3, Name: "x"}) },
		"a pipeline id twice": func() { gl.AddPipeline(1, gitlabtest.Pipeline{ID: old.FirstPipeline}, gitlabtest.Job{Name: "x"}) },
		"a log":               func() { gl.SetLog(old.FirstJob, "text") },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}
