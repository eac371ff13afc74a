package hooks_test

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/hooks"
)

// asPlanned are the steps that were done, in the words of a dry run.
var asPlanned = []struct {
	done    *regexp.Regexp
	planned string
}{
	{regexp.MustCompile(`^created webhook \d+$`), "create the webhook"},
	{regexp.MustCompile(`^enabled (webhook \d+ by a test delivery)$`), "enable $1"},
	{regexp.MustCompile(`^tried (webhook \d+ by a test delivery): it works$`), "try $1"},
}

// A dry run writes nothing and reports exactly what the run does that follows it.
func TestDryRunSaysWhatIsDone(t *testing.T) {
	t.Parallel()
	const old = "https://old.example.com" + path
	hook := func(env *environment, project int64, edit ...func(*gitlabtest.Hook)) gitlabtest.Hook {
		h := gitlabtest.Hook{ProjectID: project, URL: env.url(), Token: secret, JobEvents: true, PipelineEvents: true}
		for _, e := range edit {
			e(&h)
		}
		return env.gitlab.AddHook(h)
	}
	ofGroup := func(h *gitlabtest.Hook) { h.ProjectID, h.Group = 0, "platform" }
	elsewhere := func(h *gitlabtest.Hook) { h.URL = old }
	for _, c := range []struct {
		name    string
		options gitlabtest.Options
		arrange func(env *environment)
		edit    func(e *hooks.Ensurer)
		entries []string // default: platform
		counts  hooks.Counts
	}{
		{name: "a group", counts: hooks.Counts{Created: 1}},
		{name: "a group and a project below", entries: []string{"platform", "platform/shop"}, counts: hooks.Counts{Created: 1, Covered: 1}},
		{name: "a project and a group above", entries: []string{"platform/shop", "platform"}, counts: hooks.Counts{Created: 1, Covered: 1}},
		{name: "a glob", entries: []string{"platform/*"}, counts: hooks.Counts{Created: 2}},
		{name: "no Premium", options: gitlabtest.Options{Free: true}, counts: hooks.Counts{Created: 2}},
		{name: "an old GitLab", options: gitlabtest.Options{Version: "16.11.0"}, counts: hooks.Counts{Created: 2}},
		{name: "a project below has one", arrange: func(env *environment) { hook(env, 1) }, counts: hooks.Counts{Created: 1, Right: 1}},
		{name: "one at another address", entries: []string{"platform/shop"}, arrange: func(env *environment) { hook(env, 1, elsewhere) }, counts: hooks.Counts{Created: 1}},
		{name: "one at an earlier address", entries: []string{"platform/shop"}, arrange: func(env *environment) { hook(env, 1, elsewhere) }, edit: func(e *hooks.Ensurer) { e.Wanted.Replaces = []string{old} }, counts: hooks.Counts{Repaired: 1}},
		{name: "settings", entries: []string{"platform/shop"}, arrange: func(env *environment) {
			hook(env, 1, func(h *gitlabtest.Hook) { h.JobEvents, h.Template, h.BranchFilter, h.Token = false, "{}", "main", "" })
		}, counts: hooks.Counts{Repaired: 1}},
		{name: "settings, in an old GitLab", options: gitlabtest.Options{Version: "18.0.0"}, entries: []string{"platform/shop"}, arrange: func(env *environment) {
			hook(env, 1, func(h *gitlabtest.Hook) { h.PipelineEvents = false })
		}, edit: func(e *hooks.Ensurer) { e.Wanted.SigningToken = signing }, counts: hooks.Counts{Repaired: 1}},
		{name: "a rotation in several projects", entries: []string{"platform/*"}, arrange: func(env *environment) { hook(env, 1); hook(env, 2) }, edit: func(e *hooks.Ensurer) { e.Wanted.Rotate, e.Wanted.SigningToken = true, signing }, counts: hooks.Counts{Repaired: 2}},
		{name: "a rotation of what a group sends", entries: []string{"platform/shop"}, arrange: func(env *environment) { hook(env, 0, ofGroup) }, edit: func(e *hooks.Ensurer) { e.Wanted.Rotate = true }, counts: hooks.Counts{Covered: 1}},
		{name: "disabled", entries: []string{"platform/*"}, arrange: func(env *environment) {
			env.gitlab.DisableHook(hook(env, 1).ID, time.Time{})
			env.gitlab.DisableHook(hook(env, 2).ID, env.clock.Now().Add(time.Hour))
		}, counts: hooks.Counts{Repaired: 2}},
		{name: "failing", entries: []string{"platform/shop"}, arrange: func(env *environment) {
			hook(env, 1)
			env.status.Store(http.StatusBadGateway)
			env.gitlab.AddPipeline(1, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one"})
			env.gitlab.Flush()
			env.status.Store(http.StatusOK)
		}, counts: hooks.Counts{Enabled: 1}},
		{name: "two at the same address", entries: []string{"platform/shop"}, arrange: func(env *environment) { hook(env, 1); hook(env, 1) }, counts: hooks.Counts{Wrong: 1}},
		{name: "beside a group's", entries: []string{"platform/shop"}, arrange: func(env *environment) { hook(env, 1); hook(env, 0, ofGroup) }, counts: hooks.Counts{Wrong: 1}},
		{name: "may not be read", entries: []string{"platform/vault", "platform/shop", "gone"}, arrange: func(env *environment) {
			env.gitlab.AddProject(gitlabtest.Project{Path: "platform/vault", Role: gitlabtest.Developer})
		}, counts: hooks.Counts{Created: 1, Wrong: 1}},
		{name: "all is right", arrange: func(env *environment) { hook(env, 0, ofGroup) }, entries: []string{"platform", "platform/shop"}, counts: hooks.Counts{Right: 1, Covered: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t, c.options)
			env.gitlab.AddGroup(gitlabtest.Group{Path: "platform"})
			env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			env.gitlab.AddProject(gitlabtest.Project{Path: "platform/site"})
			if c.arrange != nil {
				c.arrange(env)
			}
			if c.entries == nil {
				c.entries = []string{"platform"}
			}
			run := func(dry bool) hooks.Result {
				e := env.ensurer()
				if c.edit != nil {
					c.edit(e)
				}
				e.DryRun = dry
				return env.run(e, c.entries...)
			}
			planned := run(true)
			if n := env.writes(); n != 0 {
				t.Errorf("the dry run writes %d times", n)
			}
			done := run(false)
			for i, r := range done.Reports {
				for j, step := range r.Done {
					for _, s := range asPlanned {
						if s.done.MatchString(step) {
							step = s.done.ReplaceAllString(step, s.planned)
						}
					}
					r.Done[j] = step
				}
				if len(r.Done) > 0 && r.Done[0] == "create the webhook" {
					r.Webhook = nil
				}
				r.Todo, r.Done = r.Done, nil
				done.Reports[i] = r
			}
			if diff := cmp.Diff(done, planned); diff != "" {
				t.Errorf("-done +planned:\n%s", diff)
			}
			if planned.Counts != c.counts {
				t.Errorf("counts %+v, want %+v", planned.Counts, c.counts)
			}
		})
	}
}
