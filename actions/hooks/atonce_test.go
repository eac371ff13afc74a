package hooks_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// meeting makes runs create webhooks at once: each has read that there is none before
// any is created, and each is created before anybody looks again.
type meeting struct {
	hooks.GitLab
	read, created *sync.WaitGroup
}

func (m meeting) CreateHook(ctx context.Context, owned gitlab.Hook, s gitlab.HookSettings) (gitlab.Hook, error) {
	m.read.Done()
	m.read.Wait()
	h, err := m.GitLab.CreateHook(ctx, owned, s)
	m.created.Done()
	m.created.Wait()
	return h, err
}

// Of several runs at once one keeps its webhook, and the others remove what they have
// created, and say so.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, entry string
		runs        int
		fault       gitlabtest.Fault
	}{
		{name: "two, a project", entry: "platform/shop", runs: 2},
		{name: "two, a group", entry: "platform", runs: 2},
		{name: "three", entry: "platform/shop", runs: 3},
		{name: "the second look fails once", entry: "platform/shop", runs: 2, fault: gitlabtest.Fault{Method: http.MethodGet, Path: "/projects/1/hooks", Skip: 2, Status: http.StatusBadGateway}},
		{name: "the removal fails once", entry: "platform/shop", runs: 2, fault: gitlabtest.Fault{Method: http.MethodDelete, Status: http.StatusBadGateway}},
		{name: "the removal has no answer", entry: "platform/shop", runs: 2, fault: gitlabtest.Fault{Method: http.MethodDelete, After: true, Cut: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t, gitlabtest.Options{})
			env.gitlab.AddGroup(gitlabtest.Group{Path: "platform"})
			env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			if c.fault.Method != "" {
				env.gitlab.Fail(c.fault)
			}
			var read, created sync.WaitGroup
			read.Add(c.runs)
			created.Add(c.runs)
			results := make([]hooks.Result, c.runs)
			var all sync.WaitGroup
			for i := range results {
				e := env.ensurer()
				e.GitLab = meeting{env.client, &read, &created}
				repeats := false
				e.Waits = func(time.Duration, error) { repeats = true }
				e.Sleep = func(context.Context, time.Duration) error {
					if repeats { // its own request, which failed
						repeats = false
						return nil
					}
					await.Until(t, "the others have removed their webhooks", func() bool { return len(env.gitlab.Hooks()) == 1 })
					return nil
				}
				all.Go(func() { results[i], _ = e.Run(t.Context(), []string{c.entry}) })
			}
			all.Wait()
			left := env.gitlab.Hooks()
			if len(left) != 1 || left[0].ID != 1 {
				t.Fatalf("left: %+v", left)
			}
			var said []string
			counts := map[hooks.Counts]int{}
			for _, r := range results {
				said = append(said, words(r)...)
				counts[r.Counts]++
				if r.IsWrong() || r.Reports[0].Webhook.ID != 1 {
					t.Errorf("%+v", r)
				}
			}
			want := []string{c.entry + ": created webhook 1"}
			for id := 2; id <= c.runs; id++ {
				want = append(want, fmt.Sprintf("%s: created webhook %d; removed webhook %[2]d again, since another run created webhook 1 with the same address at the same time", c.entry, id))
			}
			slices.Sort(said)
			slices.Sort(want)
			if diff := cmp.Diff(want, said); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if counts[hooks.Counts{Created: 1}] != 1 || counts[hooks.Counts{Right: 1}] != c.runs-1 {
				t.Errorf("counts %+v", counts)
			}
			env.settled(env.ensurer(), c.entry)
		})
	}
}

// createsAfter is a GitLab in which somebody else does something right before this run creates
// its first webhook.
type createsAfter struct {
	hooks.GitLab
	first func()
}

func (g createsAfter) CreateHook(ctx context.Context, owned gitlab.Hook, s gitlab.HookSettings) (gitlab.Hook, error) {
	g.first()
	return g.GitLab.CreateHook(ctx, owned, s)
}

// Of a run for a group and one for a project in it at once, one keeps its webhook: no event
// comes twice.
func TestGroupAndProjectAtOnce(t *testing.T) {
	t.Parallel()
	const group, project = "platform", "platform/apps/shop"
	for _, c := range []struct {
		name     string
		first    string // whose run is through when the other one creates; "": both create, and look then
		fault    gitlabtest.Fault
		left     gitlabtest.Hook
		said     []string
		then     int // webhooks after another run for the group
		mistaken int // runs that end with a problem
	}{
		{name: "both look later", left: gitlabtest.Hook{Group: group}, then: 1, said: []string{
			"platform/apps/shop: created webhook N; removed webhook N again, since another run created webhook N of group platform at the same time", "platform: created webhook N",
		}},
		{name: "the group's is first", first: group, left: gitlabtest.Hook{Group: group}, then: 1, said: []string{
			"platform/apps/shop: created webhook N; removed webhook N again, since another run created webhook N of group platform at the same time", "platform: created webhook N",
		}},
		{name: "the removal has no answer", first: group, fault: gitlabtest.Fault{Method: http.MethodDelete, After: true, Cut: true}, left: gitlabtest.Hook{Group: group}, then: 1, said: []string{
			"platform/apps/shop: created webhook N; removed webhook N again, since another run created webhook N of group platform at the same time", "platform: created webhook N",
		}},
		{name: "the project's is first", first: project, left: gitlabtest.Hook{ProjectID: 1}, then: 2, mistaken: 1, said: []string{
			"platform/apps/shop: created webhook N", "platform: created webhook N; removed webhook N again, since another run created one of platform/apps/shop at the same time run this again: each project without a webhook then gets its own",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t, gitlabtest.Options{})
			env.gitlab.AddGroup(gitlabtest.Group{Path: group})
			env.gitlab.AddProject(gitlabtest.Project{Path: project})
			env.gitlab.AddProject(gitlabtest.Project{Path: "platform/web"})
			if c.fault.Method != "" {
				env.gitlab.Fail(c.fault)
			}
			var results []hooks.Result
			ensure := func(gl hooks.GitLab, entry string) hooks.Result {
				e := env.ensurer()
				e.GitLab = gl
				e.Sleep = func(context.Context, time.Duration) error {
					if c.first == "" {
						await.Until(t, "the project's run has removed its webhook", func() bool { return len(env.gitlab.Hooks()) == 1 })
					}
					return nil
				}
				r, err := e.Run(t.Context(), []string{entry})
				if err != nil {
					t.Error(err)
				}
				return r
			}
			if c.first == "" {
				var read, created, all sync.WaitGroup
				read.Add(2)
				created.Add(2)
				results = make([]hooks.Result, 2)
				for i, entry := range []string{group, project} {
					all.Go(func() { results[i] = ensure(meeting{env.client, &read, &created}, entry) })
				}
				all.Wait()
			} else {
				second := map[string]string{group: project, project: group}[c.first]
				results = append(results, ensure(createsAfter{env.client, func() { results = append(results, ensure(env.client, c.first)) }}, second))
			}
			left := env.gitlab.Hooks()
			if len(left) != 1 || left[0].Group != c.left.Group || left[0].ProjectID != c.left.ProjectID {
				t.Fatalf("left: %+v", left)
			}
			var said []string
			mistaken := 0
			for _, r := range results {
				said = append(said, words(r)...)
				if r.IsWrong() {
					mistaken++
				}
			}
			slices.Sort(said)
			id := regexp.MustCompile(`webhook \d+`)
			for i := range said {
				said[i] = id.ReplaceAllString(said[i], "webhook N")
			}
			if diff := cmp.Diff(c.said, said); diff != "" || mistaken != c.mistaken {
				t.Errorf("%d runs end with a problem, want %d (-want +got):\n%s", mistaken, c.mistaken, diff)
			}
			if r := ensure(env.client, group); r.IsWrong() || len(env.gitlab.Hooks()) != c.then {
				t.Errorf("another run: %+v, webhooks %+v", r, env.gitlab.Hooks())
			}
		})
	}
}

// createsToo is a GitLab in which somebody else creates a webhook right after this run.
type createsToo struct {
	hooks.GitLab
	other func()
}

func (g createsToo) CreateHook(ctx context.Context, owned gitlab.Hook, s gitlab.HookSettings) (gitlab.Hook, error) {
	h, err := g.GitLab.CreateHook(ctx, owned, s)
	g.other()
	return h, err
}

// What a run did not create stays, and is reported: nothing is removed that somebody else
// has made.
func TestAtOnceWithOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		url      func(ours string) string
		verdict  hooks.Verdict
		findings []string
	}{
		{"the same address, by one who does not remove it", func(ours string) string { return ours }, hooks.Doubled, []string{"webhooks 1 and 2 have the same address"}},
		{"the same address otherwise written", func(ours string) string { return ours + "/" }, hooks.Doubled, []string{"webhooks 1 and 2 have the same address"}},
		{"another service", func(string) string { return "https://ci.example.com/trigger" }, hooks.OK, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t, gitlabtest.Options{})
			shop := env.gitlab.AddProject(gitlabtest.Project{Path: "a/shop"})
			e := env.ensurer()
			e.GitLab = createsToo{env.client, func() {
				env.gitlab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: c.url(env.url()), Token: secret, JobEvents: true, PipelineEvents: true})
			}}
			r := env.run(e, "a/shop").Reports[0]
			if r.Verdict != c.verdict || len(r.Findings) != len(c.findings) || len(env.gitlab.Hooks()) != 2 {
				t.Errorf("%+v, webhooks %+v", r, env.gitlab.Hooks())
			}
			for i, finding := range c.findings {
				if !strings.Contains(r.Findings[i], finding) {
					t.Errorf("finding %q, want %q", r.Findings[i], finding)
				}
			}
		})
	}
}
