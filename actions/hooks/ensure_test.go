package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/projects"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest"
)

const (
	secret  = "hush-hush"
	signing = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// environment is a GitLab, and a service that receives its webhooks.
type environment struct {
	*testing.T
	clock    *storetest.Clock
	gitlab   *gitlabtest.Server
	client   *gitlab.Client
	receiver *httptest.Server
	status   atomic.Int64 // that the service answers with, to the right secret
	slept    time.Duration
}

func newEnvironment(t *testing.T, o gitlabtest.Options) *environment {
	t.Helper()
	env := &environment{T: t, clock: storetest.NewClock()}
	o.Now, o.DisablesHooks = env.clock.Now, true
	env.gitlab = gitlabtest.Start(t, o)
	env.status.Store(http.StatusOK)
	env.receiver = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Gitlab-Token") != secret && r.Header.Get("Webhook-Signature") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"compare the secret tokens"}`)
			return
		}
		w.WriteHeader(int(env.status.Load()))
	}))
	t.Cleanup(env.receiver.Close)
	var err error
	env.client, err = gitlab.New(gitlab.Config{
		BaseURL: env.gitlab.URL(), Token: gitlabtest.DefaultToken, Now: env.clock.Now, Sleep: func(context.Context, time.Duration) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// url is the address of the service's webhooks.
func (env *environment) url() string { return env.receiver.URL + path }

// ensurer is one that changes.
func (env *environment) ensurer() *hooks.Ensurer {
	return &hooks.Ensurer{
		GitLab: env.client, Wanted: hooks.Wanted{URL: env.url(), Path: path, Token: secret}, Change: true, EveryDelivery: true,
		Resolve: func(ctx context.Context, entries []string) ([]gitlab.Project, []event.SweepProblem, error) {
			return projects.Resolve(ctx, env.client, entries)
		},
		Now: env.clock.Now,
		Sleep: func(_ context.Context, d time.Duration) error {
			env.slept += d
			env.clock.Advance(d)
			return nil
		},
	}
}

// run runs an Ensurer.
func (env *environment) run(e *hooks.Ensurer, entries ...string) hooks.Result {
	env.Helper()
	result, err := e.Run(env.Context(), entries)
	if err != nil {
		env.Fatal(err)
	}
	return result
}

// writes counts the requests that change something.
func (env *environment) writes() int {
	n := 0
	for _, r := range env.gitlab.Requests() {
		if r.Method != http.MethodGet {
			n++
		}
	}
	return n
}

// settled wants that another run finds nothing to do, and writes nothing.
func (env *environment) settled(e *hooks.Ensurer, entries ...string) {
	env.Helper()
	before := env.writes()
	result := env.run(e, entries...)
	if n := env.writes() - before; n != 0 || result.Counts.Right+result.Counts.Covered != result.Counts.All() {
		env.Errorf("a second run writes %d times and counts %+v", n, result.Counts)
	}
}

// words returns what was done, or found wrong, with each owner.
func words(r hooks.Result) []string {
	var all []string
	for _, r := range r.Reports {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s: %s %s", r.Owner, strings.Join(r.Done, "; "), r.Error)))
	}
	return all
}

// From nothing to working webhooks, and idempotent.
func TestCreate(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"13.12.0", "16.5.0", "17.4.0", "19.1.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t, gitlabtest.Options{Version: version, Free: true})
			shop := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			env.gitlab.AddProject(gitlabtest.Project{Path: "platform/web/site"})
			e := env.ensurer()
			result := env.run(e, "platform")
			if diff := cmp.Diff([]string{"platform/shop: created webhook 1", "platform/web/site: created webhook 2"}, words(result)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "the group platform can have no webhook of its own (404 Not Found): that needs GitLab Premium") {
				t.Errorf("notes: %q", result.Notes)
			}
			want := gitlabtest.Hook{ProjectID: shop.ID, URL: env.url(), Token: secret, JobEvents: true, PipelineEvents: true}
			if diff := cmp.Diff(want, env.gitlab.Hook(1), cmpopts.IgnoreFields(gitlabtest.Hook{}, "ID", "Name", "Description")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			env.settled(e, "platform")
			env.gitlab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			env.gitlab.Flush()
			for _, d := range env.gitlab.Deliveries() {
				if d.Status != http.StatusOK {
					t.Errorf("a delivery is answered with %d", d.Status)
				}
			}
		})
	}
}

// What differs from what is wanted is repaired, and nothing else is touched.
func TestRepair(t *testing.T) {
	t.Parallel()
	const someone = "https://ci.example.com/trigger"
	for _, c := range []struct {
		name   string
		hook   func(env *environment, h *gitlabtest.Hook) // present; its URL, token and events are right
		wanted func(env *environment, w *hooks.Wanted)
		done   string
		check  func(h gitlabtest.Hook) bool
	}{
		{
			name: "events", hook: func(_ *environment, h *gitlabtest.Hook) {
				h.JobEvents, h.PipelineEvents, h.PushEvents = false, false, true
			},
			done: "set of webhook 2: job events on, pipeline events on", check: func(h gitlabtest.Hook) bool { return h.JobEvents && h.PipelineEvents && h.PushEvents },
		},
		{
			name: "a custom template", hook: func(_ *environment, h *gitlabtest.Hook) { h.Template = `{"id": 1}` },
			done: "set of webhook 2: custom template off", check: func(h gitlabtest.Hook) bool { return h.Template == "" },
		},
		{
			name: "a branch filter", hook: func(_ *environment, h *gitlabtest.Hook) { h.BranchFilter = "main" },
			done: "set of webhook 2: branch filter off", check: func(h gitlabtest.Hook) bool { return h.BranchFilter == "" },
		},
		{
			name: "no secret token", hook: func(_ *environment, h *gitlabtest.Hook) { h.Token = "" },
			done: "set of webhook 2: secret token", check: func(h gitlabtest.Hook) bool { return h.Token == secret },
		},
		{
			name: "a signing token, too", wanted: func(_ *environment, w *hooks.Wanted) { w.SigningToken = signing },
			done: "set of webhook 2: signing token", check: func(h gitlabtest.Hook) bool { return h.Token == secret && h.SigningToken == signing },
		},
		{
			name: "an earlier address", hook: func(_ *environment, h *gitlabtest.Hook) { h.URL = "https://old.example.com" + path },
			wanted: func(_ *environment, w *hooks.Wanted) { w.Replaces = []string{"https://old.example.com" + path} },
			done:   "set of webhook 2: URL", check: func(h gitlabtest.Hook) bool { return h.Token == secret },
		},
		{
			name: "a user in the URL stays", hook: func(env *environment, h *gitlabtest.Hook) {
				h.URL, h.JobEvents = strings.Replace(env.url(), "//", "//me:proxy@", 1), false
			},
			done: "set of webhook 2: job events on", check: func(h gitlabtest.Hook) bool { return strings.Contains(h.URL, "me:proxy@") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t, gitlabtest.Options{})
			shop := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			env.gitlab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: someone, BranchFilter: "x"})
			present := gitlabtest.Hook{ProjectID: shop.ID, URL: env.url(), Token: secret, JobEvents: true, PipelineEvents: true}
			if c.hook != nil {
				c.hook(env, &present)
			}
			env.gitlab.AddHook(present)
			before := env.gitlab.Hook(1)
			e := env.ensurer()
			if c.wanted != nil {
				c.wanted(env, &e.Wanted)
			}
			result := env.run(e, "platform/shop")
			if diff := cmp.Diff([]string{"platform/shop: " + c.done}, words(result)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if h := env.gitlab.Hook(2); !c.check(h) || !strings.HasSuffix(h.URL, strings.TrimPrefix(env.url(), "http://")) {
				t.Errorf("the webhook is %+v", h)
			}
			if after := env.gitlab.Hook(1); after != before || len(env.gitlab.Hooks()) != 2 {
				t.Errorf("somebody else's is %+v", after)
			}
			env.settled(e, "platform/shop")
		})
	}
}

// A webhook that GitLab has disabled is enabled by a test delivery, with what it takes
// before: here the right secret.
func TestEnable(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t, gitlabtest.Options{})
	add := func(path, token string) int64 {
		p := env.gitlab.AddProject(gitlabtest.Project{Path: path})
		return env.gitlab.AddHook(gitlabtest.Hook{ProjectID: p.ID, URL: env.url(), Token: token, JobEvents: true, PipelineEvents: true}).ID
	}
	env.gitlab.DisableHook(add("a/paused", secret), env.clock.Now().Add(time.Hour))
	env.status.Store(http.StatusBadGateway)
	disabled := add("a/disabled", secret)
	env.gitlab.AddPipeline(2, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one"})
	env.gitlab.Flush()
	env.status.Store(http.StatusOK)
	env.gitlab.DisableHook(disabled, time.Time{})
	wrong := add("a/wrong", "another")
	env.gitlab.AddPipeline(3, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one"}, gitlabtest.Job{Name: "two"}, gitlabtest.Job{Name: "three"}, gitlabtest.Job{Name: "four"})
	env.gitlab.Flush()
	if state := env.gitlab.Hook(wrong); state.DisabledUntil.IsZero() {
		t.Fatalf("a webhook with a wrong secret is still executable: %+v", state)
	}
	e := env.ensurer()
	result := env.run(e, "a/paused", "a/disabled", "a/wrong")
	if diff := cmp.Diff([]string{
		"a/paused: set of webhook 1: secret token; enabled webhook 1 by a test delivery",
		"a/disabled: enabled webhook 2 by a test delivery",
		"a/wrong: set of webhook 3: secret token; enabled webhook 3 by a test delivery",
	}, words(result)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := (hooks.Counts{Repaired: 2, Enabled: 1}); result.Counts != want {
		t.Errorf("counts %+v, want %+v", result.Counts, want)
	}
	env.settled(e, "a/paused", "a/disabled", "a/wrong")
}

// What can't be put right is reported in one line each, and the others go on.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options gitlabtest.Options
		project gitlabtest.Project
		arrange func(env *environment, id int64)
		wanted  func(w *hooks.Wanted)
		want    string
		verdict hooks.Verdict
	}{
		{name: "no Maintainer", project: gitlabtest.Project{Role: gitlabtest.Developer}, want: "403 Forbidden: the token's user needs the role Maintainer in the project", verdict: hooks.Unreadable},
		{name: "a local address", options: gitlabtest.Options{NoLocalHooks: true}, want: "422 Invalid url given: it is malformed, or in a local network", verdict: hooks.Missing},
		{
			name: "a hundred webhooks", verdict: hooks.Missing, want: "422 Maximum number of project hooks (100) exceeded",
			arrange: func(env *environment, id int64) {
				for range 100 {
					env.gitlab.AddHook(gitlabtest.Hook{ProjectID: id, URL: "https://ci.example.com"})
				}
			},
		},
		{
			name: "a service that is down", verdict: hooks.Disabled, want: "the test delivery of webhook 1 failed: 422",
			arrange: func(env *environment, id int64) {
				env.gitlab.DisableHook(env.gitlab.AddHook(gitlabtest.Hook{ProjectID: id, URL: env.url(), Token: secret, JobEvents: true, PipelineEvents: true}).ID, time.Time{})
				env.status.Store(http.StatusBadGateway)
			},
		},
		{
			name: "a service with another secret", verdict: hooks.Disabled, want: "the test delivery of webhook 1 failed: compare the secret tokens",
			arrange: func(env *environment, id int64) {
				env.gitlab.DisableHook(env.gitlab.AddHook(gitlabtest.Hook{ProjectID: id, URL: env.url(), Token: "another", JobEvents: true, PipelineEvents: true}).ID, time.Time{})
			},
			wanted: func(w *hooks.Wanted) { w.Token = "another" },
		},
		{
			name: "a GitLab without tests", options: gitlabtest.Options{Version: "16.10.0"}, verdict: hooks.Disabled, want: "press Test at the webhook",
			arrange: func(env *environment, id int64) {
				env.gitlab.DisableHook(env.gitlab.AddHook(gitlabtest.Hook{ProjectID: id, URL: env.url(), Token: secret, JobEvents: true, PipelineEvents: true}).ID, time.Time{})
			},
		},
		{
			name: "a GitLab that signs nothing", options: gitlabtest.Options{Version: "18.11.0"}, verdict: hooks.Wrong, want: "",
			wanted: func(w *hooks.Wanted) { w.Token, w.SigningToken = "", signing },
		},
		{
			name: "a GitLab that answers 502", verdict: hooks.Unreadable, want: "502 Bad Gateway",
			arrange: func(env *environment, _ int64) {
				env.gitlab.Fail(gitlabtest.Fault{Method: http.MethodGet, Path: "/projects/1/hooks", Times: -1, Status: http.StatusBadGateway, HTML: true})
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t, c.options)
			c.project.Path = "a/shop"
			p := env.gitlab.AddProject(c.project)
			if c.arrange != nil {
				c.arrange(env, p.ID)
			}
			e := env.ensurer()
			if c.wanted != nil {
				c.wanted(&e.Wanted)
			}
			result := env.run(e, "a/shop", "a/gone")
			r := result.Reports[0]
			if !strings.Contains(r.Error, c.want) || r.Verdict != c.verdict || strings.Contains(r.Error, "\n") {
				t.Errorf("%s: %q, want %s: %q", r.Verdict, r.Error, c.verdict, c.want)
			}
			if !result.IsWrong() || result.Counts.Wrong != 1 || len(result.Problems) != 1 || result.Problems[0].Project != "a/gone" {
				t.Errorf("counts %+v, problems %v", result.Counts, result.Problems)
			}
		})
	}
}

// A signing token that GitLab ignores, as while its feature flag is off, is written once
// in a run, and wrong only if there is no secret token.
func TestSigningTokensIgnored(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t, gitlabtest.Options{NoSigningTokens: true})
	for _, name := range []string{"one", "two", "three"} {
		p := env.gitlab.AddProject(gitlabtest.Project{Path: "a/" + name})
		env.gitlab.AddHook(gitlabtest.Hook{ProjectID: p.ID, URL: env.url(), Token: secret, JobEvents: true, PipelineEvents: true})
	}
	e := env.ensurer()
	e.Wanted.SigningToken = signing
	if result := env.run(e, "a/*"); result.IsWrong() || env.writes() != 1 {
		t.Errorf("%d writes, counts %+v", env.writes(), result.Counts)
	}
	e.Wanted.Token = ""
	if result := env.run(e, "a/one"); result.Reports[0].Verdict != hooks.Wrong || !strings.Contains(result.Reports[0].Findings[0], "--webhook-token") {
		t.Errorf("%+v", result.Reports)
	}
}

// A request that may have been carried out is not sent again before the webhooks are
// read again.
func TestMaybeCreated(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]gitlabtest.Fault{
		"cut after the effect": {Method: http.MethodPost, Path: "/hooks", After: true, Cut: true},
		"500 before it":        {Method: http.MethodPost, Path: "/hooks", Status: http.StatusInternalServerError},
		"429":                  {Method: http.MethodPost, Path: "/hooks", Status: http.StatusTooManyRequests, RetryAfter: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t, gitlabtest.Options{})
			env.gitlab.AddProject(gitlabtest.Project{Path: "a/shop"})
			env.gitlab.Fail(fault)
			e := env.ensurer()
			waits := 0
			e.Waits = func(time.Duration, error) { waits++ }
			if result := env.run(e, "a/shop"); result.IsWrong() || len(env.gitlab.Hooks()) != 1 || waits != 1 {
				t.Errorf("%d webhooks, %d waits, %+v", len(env.gitlab.Hooks()), waits, result.Reports)
			}
			env.settled(e, "a/shop")
		})
	}
}

// A group has one webhook where it may have one, for all that is below.
func TestGroups(t *testing.T) {
	t.Parallel()
	arrange := func(t *testing.T, o gitlabtest.Options, g gitlabtest.Group) *environment {
		env := newEnvironment(t, o)
		g.Path = "platform"
		env.gitlab.AddGroup(g)
		for _, path := range []string{"platform/shop", "platform/web/site", "tools/lint"} {
			env.gitlab.AddProject(gitlabtest.Project{Path: path})
		}
		return env
	}
	own := func(env *environment, project int64) {
		env.gitlab.AddHook(gitlabtest.Hook{ProjectID: project, URL: env.url(), Token: secret, JobEvents: true, PipelineEvents: true})
	}
	t.Run("Premium", func(t *testing.T) {
		t.Parallel()
		env := arrange(t, gitlabtest.Options{}, gitlabtest.Group{})
		e := env.ensurer()
		result := env.run(e, "platform", "platform/shop", "tools")
		if diff := cmp.Diff([]string{"platform: created webhook 1", "tools: created webhook 2", "platform/shop:"}, words(result)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if want := (hooks.Counts{Created: 2, Covered: 1}); result.Counts != want {
			t.Errorf("counts %+v, want %+v", result.Counts, want)
		}
		env.settled(e, "platform", "platform/web/site")
	})
	t.Run("not Owner", func(t *testing.T) {
		t.Parallel()
		env := arrange(t, gitlabtest.Options{}, gitlabtest.Group{NotOwner: true})
		result := env.run(env.ensurer(), "platform")
		if diff := cmp.Diff([]string{"platform/shop: created webhook 1", "platform/web/site: created webhook 2"}, words(result)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "(403 Forbidden)") {
			t.Errorf("notes %q", result.Notes)
		}
	})
	t.Run("a project below has its own", func(t *testing.T) {
		t.Parallel()
		env := arrange(t, gitlabtest.Options{}, gitlabtest.Group{})
		own(env, 1)
		e := env.ensurer()
		result := env.run(e, "platform")
		if diff := cmp.Diff([]string{"platform/shop:", "platform/web/site: created webhook 2"}, words(result)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "the group platform gets no webhook, since 1 of the 2 projects below has one") {
			t.Errorf("notes %q", result.Notes)
		}
		env.settled(e, "platform")
	})
	t.Run("a project below can't be read", func(t *testing.T) {
		t.Parallel()
		env := arrange(t, gitlabtest.Options{}, gitlabtest.Group{})
		own(env, 2)
		env.gitlab.Fail(gitlabtest.Fault{Method: http.MethodGet, Path: "/projects/2/hooks", Times: -1, Status: http.StatusInternalServerError})
		result := env.run(env.ensurer(), "platform")
		if diff := cmp.Diff([]string{"platform:  not all projects below could be read: 500 Internal Server Error"}, words(result)); diff != "" || env.writes() != 0 {
			t.Errorf("%d writes (-want +got):\n%s", env.writes(), diff)
		}
		env.gitlab.ClearFaults()
		if result := env.run(env.ensurer(), "platform"); result.Counts != (hooks.Counts{Created: 1, Right: 1}) {
			t.Errorf("the same again: %+v", result.Counts)
		}
	})
	t.Run("both have one", func(t *testing.T) {
		t.Parallel()
		env := arrange(t, gitlabtest.Options{}, gitlabtest.Group{})
		own(env, 1)
		env.gitlab.AddHook(gitlabtest.Hook{Group: "platform", URL: env.url(), Token: secret, JobEvents: true, PipelineEvents: true})
		e := env.ensurer()
		e.Change = false
		result := env.run(e, "platform")
		var verdicts []string
		for _, r := range result.Reports {
			verdicts = append(verdicts, r.Owner+" "+string(r.Verdict))
		}
		if diff := cmp.Diff([]string{"platform ok", "platform/shop doubled", "platform/web/site covered"}, verdicts); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if env.writes() != 0 || !slices.ContainsFunc(result.Reports[1].Findings, func(f string) bool { return strings.Contains(f, "delete webhook 1 here") }) {
			t.Errorf("%+v", result.Reports[1])
		}
	})
	t.Run("a group that is disabled", func(t *testing.T) {
		t.Parallel()
		env := arrange(t, gitlabtest.Options{}, gitlabtest.Group{})
		env.gitlab.DisableHook(env.gitlab.AddHook(gitlabtest.Hook{Group: "platform", URL: env.url(), Token: secret, JobEvents: true, PipelineEvents: true}).ID, time.Time{})
		e := env.ensurer()
		if diff := cmp.Diff([]string{"platform: set of webhook 1: secret token; enabled webhook 1 by a test delivery"}, words(env.run(e, "platform"))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		env.settled(e, "platform", "platform/shop")
	})
}

// The same command goes on where it was stopped, and only reads what is right.
func TestStoppedGoesOn(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t, gitlabtest.Options{Free: true})
	for i := range 20 {
		env.gitlab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("a/p%02d", i)})
	}
	ctx, stop := context.WithCancel(t.Context())
	e := env.ensurer()
	e.Watch = func(s hooks.Step) {
		if s.Report.Owner == "a/p11" {
			stop()
		}
	}
	result, err := e.Run(ctx, []string{"a"})
	if !errors.Is(err, context.Canceled) || result.Counts.Created != 12 || env.writes() != 12 {
		t.Fatalf("%v, %d writes, counts %+v", err, env.writes(), result.Counts)
	}
	if result := env.run(e, "a"); result.Counts != (hooks.Counts{Created: 8, Right: 12}) || env.writes() != 20 {
		t.Errorf("%d writes, counts %+v", env.writes(), result.Counts)
	}
}

// What failed in the last day is counted, and whether it goes on.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t, gitlabtest.Options{})
	shop := env.gitlab.AddProject(gitlabtest.Project{Path: "a/shop"})
	env.gitlab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: env.url(), Token: secret, JobEvents: true, PipelineEvents: true})
	e := env.ensurer()
	e.Change = false
	deliver := func(status int64) {
		env.status.Store(status)
		env.gitlab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "one"}) // a job hook, and two of the pipeline
		env.gitlab.Flush()
	}
	wants := func(when string, failed int, more bool, last string, verdict hooks.Verdict) {
		t.Helper()
		r := env.run(e, "a/shop").Reports[0]
		if h := r.Webhook; h.Failed != failed || h.More != more || h.LastFailed != last || r.Verdict != verdict {
			t.Errorf("%s: %s, %+v", when, r.Verdict, *h)
		}
	}
	wants("at first", 0, false, "", hooks.OK)
	deliver(http.StatusBadGateway)
	failed := len(env.gitlab.Deliveries())
	wants("after a failure", failed, false, "502", hooks.Failing)
	deliver(http.StatusOK)
	wants("after a success", failed, false, "502", hooks.OK)
	for range 4 {
		deliver(http.StatusInternalServerError)
		deliver(http.StatusOK)
	}
	wants("after many", 10, true, "500", hooks.OK)
	env.clock.Advance(49 * time.Hour)
	wants("two days later", 0, false, "", hooks.OK)
}

// A GitLab that as a whole can't be used ends the run, with what was done before.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t, gitlabtest.Options{Free: true})
	env.gitlab.AddProject(gitlabtest.Project{Path: "a/shop"})
	env.gitlab.AddProject(gitlabtest.Project{Path: "a/site"})
	e := env.ensurer()
	e.Watch = func(hooks.Step) { env.gitlab.SetAccessToken(gitlabtest.AccessToken{Revoked: true}) }
	result, err := e.Run(t.Context(), []string{"a/shop", "a/site"})
	if !event.Unavailable(err) || len(result.Reports) != 1 || result.Counts.Created != 1 {
		t.Errorf("%v, %+v", err, result)
	}
	env.gitlab.SetAccessToken(gitlabtest.AccessToken{})
	e.Watch = nil
	env.clock.Advance(time.Hour)
	if err := env.client.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if result := env.run(e, "a/shop", "a/site"); result.Counts != (hooks.Counts{Created: 1, Right: 1}) {
		t.Errorf("the same again: %+v", result.Counts)
	}
}
