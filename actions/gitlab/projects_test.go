package gitlab_test

import (
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

func TestProject(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	old := w.AddProject(gitlabtest.Project{Path: "platform/old.shop", Archived: true})
	for _, tt := range []struct {
		name string
		want gitlab.Project
	}{
		{"22", gitlab.Project{CreatedAt: w.project.CreatedAt, VariablesRole: "developer", CancelRole: "developer", Project: event.Project{
			ID: 22, Path: "platform/tools/shop", Name: "shop", Namespace: "platform/tools",
			URL: w.project.WebURL, DefaultBranch: "main",
		}}},
		{"platform/old.shop", gitlab.Project{CreatedAt: old.CreatedAt, Archived: true, VariablesRole: "developer", CancelRole: "developer", Project: event.Project{
			ID: old.ID, Path: "platform/old.shop", Name: "old.shop", Namespace: "platform",
			URL: old.WebURL, DefaultBranch: "main",
		}}},
	} {
		got, err := w.client.Project(t.Context(), tt.name)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, -want +got:\n%s", tt.name, err, diff)
		}
	}
}

func TestNoProject(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	for name, want := range map[string]string{
		"":            "gitlab: no project is named: write its id or its full path",
		"platform/no": "gitlab: GET /projects/platform%2Fno: 404 Project Not Found",
	} {
		if _, err := w.client.Project(t.Context(), name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	c, _ := newClient(t, serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }))
	if _, err := c.Project(t.Context(), "22"); failureOf(t, err).Message != "the answer is no project" {
		t.Errorf("an empty answer: %v", err)
	}
	for _, err := range w.client.GroupProjects(t.Context(), "") {
		if err == nil || !strings.HasPrefix(err.Error(), "gitlab: no group is named") {
			t.Errorf("no group: %v", err)
		}
	}
}

// paths takes the paths of an iterator, to the first error.
func paths(t *testing.T, projects iter.Seq2[gitlab.Project, error]) []string {
	t.Helper()
	var list []string
	for p, err := range projects {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p.Path)
	}
	return list
}

func TestProjects(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	want := []string{w.project.Path}
	for i := range 205 {
		want = append(want, w.AddProject(gitlabtest.Project{Path: fmt.Sprintf("platform/p%d", i)}).Path)
	}
	w.AddProject(gitlabtest.Project{Path: "platform/old", Archived: true})
	w.AddProject(gitlabtest.Project{Path: "others/secret", Role: gitlabtest.NoAccess})
	if diff := cmp.Diff(want, paths(t, w.client.Projects(t.Context()))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := w.apiRequests(); got > 4 {
		t.Errorf("%d requests", got)
	}
}

// Where keyset paging is refused, pages are numbered.
func TestProjectsByOffset(t *testing.T) {
	var requests []string
	c, _ := newClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		requests = append(requests, q.Get("pagination")+q.Get("page"))
		switch {
		case q.Get("pagination") == "keyset":
			w.WriteHeader(http.StatusMethodNotAllowed)
			_, _ = w.Write([]byte(`{"error":"Keyset pagination is not yet available for this type of request"}`))
		case q.Get("page") == "2":
			_, _ = w.Write([]byte(`[{"id": "8", "path_with_namespace": "a/c"}]`))
		default:
			w.Header().Set("X-Next-Page", "2")
			_, _ = w.Write([]byte(`[{"id": 7, "path_with_namespace": "a/b", "default_branch": null, "name": 5}]`))
		}
	}))
	if diff := cmp.Diff([]string{"a/b", "a/c"}, paths(t, c.Projects(t.Context()))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"keyset", "", "2"}, requests); diff != "" {
		t.Errorf("requested, -want +got:\n%s", diff)
	}
}

func TestGroupProjects(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	group := w.AddGroup(gitlabtest.Group{Path: "web"})
	var want []string
	for i := range 101 {
		want = append(want, w.AddProject(gitlabtest.Project{Path: fmt.Sprintf("web/p%d", i)}).Path)
	}
	want = append(want, w.AddProject(gitlabtest.Project{Path: "web/front/end/site"}).Path)
	w.AddProject(gitlabtest.Project{Path: "web/old", Archived: true})
	w.AddProject(gitlabtest.Project{Path: "website/other"})
	for _, name := range []string{"web", strconv.FormatInt(group.ID, 10)} {
		if diff := cmp.Diff(want, paths(t, w.client.GroupProjects(t.Context(), name))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	if diff := cmp.Diff([]string{"web/front/end/site"}, paths(t, w.client.GroupProjects(t.Context(), "web/front"))); diff != "" {
		t.Errorf("subgroup: -want +got:\n%s", diff)
	}
	failures := 0
	for _, err := range w.client.GroupProjects(t.Context(), "nowhere") {
		failures++
		if failureOf(t, err).Status != http.StatusNotFound {
			t.Errorf("an unknown group: %v", err)
		}
	}
	if failures != 1 {
		t.Errorf("an unknown group: %d errors", failures)
	}
}

func TestProtectedRefs(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.AddProject(gitlabtest.Project{Path: "platform/safe", ProtectedRefs: []string{"main", "release/*"}, ProtectedTags: []string{"v*"}})
	got, err := w.client.ProtectedRefs(t.Context(), p.ID)
	want := gitlab.ProtectedRefs{Branches: []string{"main", "release/*"}, Tags: []string{"v*"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	w.Fail(gitlabtest.Fault{Path: "/protected_tags", Status: 403})
	if _, err := w.client.ProtectedRefs(t.Context(), p.ID); !failureOf(t, err).Rights() {
		t.Errorf("no rights: %v", err)
	}
}

func TestProtects(t *testing.T) {
	tests := []struct {
		name, ref string
		want      bool
	}{
		{"main", "main", true},
		{"main", "maint", false},
		{"main", "Main", false},
		{"", "", true},
		{"*", "", true},
		{"*", "a/b", true},
		{"release/*", "release/1/2", true},
		{"release/*", "release", false},
		{"*-stable", "1/x-stable", true},
		{"*-stable", "x-stable-not", false},
		{"a*b*c", "abc", true},
		{"a*b*c", "a/b/b/c", true},
		{"a*b*c", "acb", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a**b", "ab", true},
		{"*b*", "abc", true},
		{"*b*", "ac", false},
		{"v1.*", "v1x", false},
		{"[ab]*", "ab", false},
	}
	for _, tt := range tests {
		p := gitlab.ProtectedRefs{Branches: []string{"other", tt.name}}
		if got := p.Protects(tt.ref, false); got != tt.want {
			t.Errorf("%q of %q: %v", tt.name, tt.ref, got)
		}
		if p.Protects(tt.ref, true) {
			t.Errorf("%q protects the tag %q", tt.name, tt.ref)
		}
	}
}
