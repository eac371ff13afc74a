package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// hooks runs `pipesteward hooks` with the environment's GitLab.
func (env *environment) hooks(args ...string) (code int, stdout, stderr string) {
	env.Helper()
	var out, errs bytes.Buffer
	code = run(env.Context(), append([]string{
		"pipesteward", "hooks", args[0], "--gitlab-url", env.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--gitlab-rate", "1000000/1m",
	}, args[1:]...), &out, &errs)
	for _, secret := range []string{testSecret, gitlabtest.DefaultToken} {
		if strings.Contains(out.String()+errs.String(), secret) {
			env.Errorf("hooks %s shows a secret", args[0])
		}
	}
	return code, out.String(), errs.String()
}

// hookWrites counts the requests that change webhooks.
func (env *environment) hookWrites() int {
	n := 0
	for _, r := range env.gitlab.Requests() {
		if r.Method != http.MethodGet && strings.Contains(r.Path, "/hooks") {
			n++
		}
	}
	return n
}

// A newcomer with 220 projects gets from nothing to a first retry by `doctor`, `hooks
// ensure` and `serve` alone: in half of the projects the token's user is no Maintainer, and
// a group has GitLab Premium. `why` says what became of the job. A webhook that GitLab has
// disabled works again after the same command.
func TestHooksFromNothing(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, DisablesHooks: true})
	env.gitlab.AddGroup(gitlabtest.Group{Path: "platform"})
	env.gitlab.AddGroup(gitlabtest.Group{Path: "apps", NotOwner: true})
	ids := map[string]int64{}
	add := func(role gitlabtest.Role, format string, i int) {
		p := env.gitlab.AddProject(gitlabtest.Project{Path: fmt.Sprintf(format, i), Role: role})
		ids[p.Path] = p.ID
	}
	for i := range 20 {
		add(gitlabtest.Maintainer, "platform/tools/p%02d", i)
	}
	for i := range 100 {
		add(gitlabtest.Maintainer, "apps/ours/p%02d", i)
		add(gitlabtest.Developer, "apps/theirs/p%02d", i)
	}
	public, reached := env.publicAddress()
	ensure := func(more ...string) (int, string, string) {
		return env.hooks(append([]string{"ensure", "--webhook-url", public, "--webhook-token", testSecret, "platform", "apps"}, more...)...)
	}
	wants := func(what, text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q:\n%s", what, part, text)
			}
		}
	}

	const noServer = "--admin-url=http://127.0.0.1:1"
	code, stdout, stderr := doctorOf(env, noServer, "--webhook-url", public)
	wants("doctor", stdout, "✗ webhook-state", "no webhook posts", "20 projects: platform/tools/p00,", "100 projects: apps/ours/p00,")
	if code != 1 {
		t.Errorf("doctor ends with %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = ensure("--dry-run")
	wants("the dry run", stdout,
		"~ group platform: would create the webhook\n", "~ apps/ours/p07: would create the webhook\n",
		"✗ apps/theirs/p07: 403 Forbidden: the token's user needs the role Maintainer in the project\n",
		"! the group apps can have no webhook of its own (403 Forbidden): that needs GitLab Premium and the role Owner. Each of its 200 projects has one instead\n",
		"201 projects and groups: 101 to create, 100 wrong\n")
	if n := env.hookWrites(); code != 1 || n != 0 {
		t.Fatalf("the dry run ends with %d and writes %d times\n%s", code, n, stderr)
	}
	code, stdout, _ = ensure()
	wants("ensure", stdout, "✓ group platform: created webhook 1\n", "201 projects and groups: 101 created, 100 wrong\n")
	if n := env.hookWrites(); code != 1 || n != 101 {
		t.Fatalf("ensure ends with %d and writes %d times", code, n)
	}
	if code, stdout, _ = ensure(); code != 1 || env.hookWrites() != 101 || strings.Contains(stdout, "✓") {
		t.Errorf("the second ensure ends with %d and writes %d times\n%s", code, env.hookWrites()-101, stdout)
	}

	p := env.run()
	reached(p.webhooks)
	fail := func(path string) (page string) {
		t.Helper()
		pipeline := env.gitlab.AddPipeline(ids[path], gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		job := env.gitlab.Latest(pipeline.ID, "rspec")
		env.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
		env.gitlab.Flush()
		p.workedOff()
		return fmt.Sprintf("%s/%s/-/jobs/%d", env.gitlab.URL(), path, job.ID)
	}
	page := fail("apps/ours/p07")
	fail("platform/tools/p07")
	var retried []string
	for _, o := range p.outcomes() {
		if o.Result == event.ResultDone {
			retried = append(retried, o.Project.Path)
		}
	}
	if len(retried) != 2 || env.gitlab.Count("POST", "/retry") != 2 {
		t.Errorf("retried in %q\n%s", retried, p.tail())
	}
	if code, stdout, stderr := p.why(page); code != 0 {
		t.Errorf("why ends with %d\n%s", code, stderr)
	} else {
		wants("why", stdout, `retried by rule "retry-stuck" as job `, "attempt 2 of 3")
	}

	env.gitlab.DisableHook(1, time.Time{})
	_, stdout, _ = env.hooks("list", "--webhook-url", public, "--problems", "platform", "apps/ours/p07")
	wants("list", stdout, "group platform", "disabled", "! group platform: GitLab has stopped sending to webhook 1 after failed deliveries: it is disabled for good")
	if strings.Contains(stdout, "p07") {
		t.Errorf("list --problems shows what has none:\n%s", stdout)
	}
	if code, stdout, _ := env.hooks("ensure", "--webhook-url", public, "--webhook-token", testSecret, "platform"); code != 0 || !strings.Contains(stdout, "enabled webhook 1 by a test delivery") {
		t.Errorf("ensure ends with %d\n%s", code, stdout)
	}
	fail("platform/tools/p08")
	if n := env.gitlab.Count("POST", "/retry"); n != 3 {
		t.Errorf("%d retries after the webhook was enabled, want 3", n)
	}

	_, stdout, _ = env.hooks("list", "--json", "platform", "apps")
	var listed hooks.Result
	if err := json.Unmarshal([]byte(stdout), &listed); err != nil {
		t.Fatal(err)
	}
	if want := (hooks.Counts{Right: 101, Covered: 20, Wrong: 100}); listed.Counts != want {
		t.Errorf("list counts %+v, want %+v", listed.Counts, want)
	}
}

// Arguments replace --projects, which stands in the environment for `serve`: nothing is
// read or written where nobody asked. Without arguments, --projects counts.
func TestHooksArgumentsReplaceProjects(t *testing.T) {
	env := newEnvironment(t)
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, Free: true})
	for _, path := range []string{"platform/shop", "platform/site", "platform/vault"} {
		env.gitlab.AddProject(gitlabtest.Project{Path: path})
	}
	t.Setenv("PIPESTEWARD_PROJECTS", "platform/*")
	t.Setenv("PIPESTEWARD_WEBHOOK_URL", "https://bot.example.com/webhooks/gitlab")
	t.Setenv("PIPESTEWARD_WEBHOOK_TOKEN", testSecret)
	for _, c := range []struct {
		args []string
		all  int
	}{
		{[]string{"ensure", "--dry-run", "platform/shop"}, 1},
		{[]string{"list", "platform/shop", "platform/site"}, 2},
		{[]string{"ensure", "platform/shop"}, 1},
		{[]string{"list"}, 3},
		{[]string{"ensure", "--dry-run"}, 3},
	} {
		_, stdout, stderr := env.hooks(append([]string{c.args[0], "--json"}, c.args[1:]...)...)
		var result hooks.Result
		if err := json.Unmarshal([]byte(stdout), &result); err != nil || result.Counts.All() != c.all {
			t.Errorf("hooks %s: %v, %+v, want %d projects\n%s", strings.Join(c.args, " "), err, result.Counts, c.all, stderr)
		}
	}
	if n := env.hookWrites(); n != 1 {
		t.Errorf("%d writes, want that of the one project that was named", n)
	}
}

// `hooks` says what is missing or wrong before it sends anything.
func TestHooksUsage(t *testing.T) {
	env := newEnvironment(t)
	env.gitlab.AddProject(gitlabtest.Project{Path: "a/shop"})
	env.gitlab.AddProject(gitlabtest.Project{Path: "a/theirs", Role: gitlabtest.Developer})
	const address = "https://bot.example.com/webhooks/gitlab"
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no projects", []string{"list"}, 2, []string{"name projects, globs or groups"}},
		{"a project that is none", []string{"list", "a/shop,b"}, 2, []string{"no path has a comma"}},
		{"no such flag", []string{"ensure", "--rotat"}, 2, []string{"rotat"}},
		{"neither a URL nor a secret", []string{"ensure", "a/shop"}, 2, []string{"--webhook-url: it is missing", "--webhook-token: neither it nor --webhook-signing-token is set"}},
		{"nothing at all", []string{"ensure", "--gitlab-token", "", "--gitlab-rate", "fast"}, 2, []string{"name projects, globs or groups", "--gitlab-rate", "--gitlab-token: it is missing", "--webhook-url: it is missing", "--webhook-token: neither it nor --webhook-signing-token is set"}},
		{"another path", []string{"ensure", "--webhook-url", "https://bot.example.com", "a/shop"}, 2, []string{"--webhook-url", "write for instance " + address}},
		{"an earlier URL that is none", []string{"ensure", "--webhook-url", address, "--webhook-token", "x", "--replace-url", "old", "a/shop"}, 2, []string{"--replace-url"}},
		{"nothing to be found", []string{"list", "a/gone"}, 1, nil},
		{"nothing to be read", []string{"list", "a/theirs"}, 1, nil},
		{"one of two can be read", []string{"list", "a/theirs", "a/shop"}, 0, nil},
		{"one of two is not to be found", []string{"list", "a/shop", "a/gone"}, 1, nil},
		{"the same as JSON", []string{"list", "--json", "a/shop", "a/gone"}, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := env.hooks(c.args...)
			if code != c.code {
				t.Errorf("exit status %d, want %d\n%s%s", code, c.code, stdout, stderr)
			}
			for _, part := range c.says {
				if !strings.Contains(stderr, part) {
					t.Errorf("stderr does not say %q:\n%s", part, stderr)
				}
			}
		})
	}
	if n := env.hookWrites(); n != 0 {
		t.Errorf("%d writes", n)
	}
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"pipesteward", "hooks", "lst"}, io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), `no command "hooks lst" (did you mean "list"?)`) {
		t.Errorf("no such command: %d %s", code, stderr.String())
	}
}

// `serve --ensure-hooks` creates webhooks and enables those that GitLab has disabled,
// and says so once.
func TestServeEnsuresHooks(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, DisablesHooks: true, Free: true})
	public, reached := env.publicAddress()
	shop := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	env.gitlab.AddProject(gitlabtest.Project{Path: "platform/site"})
	dead := env.gitlab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: public, Token: "lost", JobEvents: true, PipelineEvents: true})
	env.gitlab.DisableHook(dead.ID, time.Time{})
	p := env.run("--ensure-hooks", "--webhook-url", public, "--projects", "platform")
	reached(p.webhooks)
	p.eventually("both have webhooks that work", func() bool {
		all := env.gitlab.Hooks()
		return len(all) == 2 && all[0].RecentFailures == 0
	})
	p.eventually("people are notified", func() bool { return len(env.slack.Posts()) > 0 })
	if posts := env.slack.Posts(); len(posts) != 1 || !strings.Contains(fmt.Sprint(posts), "GitLab had disabled 1 webhook") {
		t.Errorf("posts: %+v", posts)
	}
	pipeline := env.gitlab.AddPipeline(shop.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	env.gitlab.Finish(env.gitlab.Latest(pipeline.ID, "rspec").ID, "failed", "stuck_or_timeout_failure")
	env.gitlab.Flush()
	p.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1\n%s", n, p.tail())
	}
}

// While everything is paused, or the process is in dry run, `serve --ensure-hooks` writes
// nothing, and yet notifies of a dead webhook, which the log has once. After the pause it
// goes on.
func TestServeHoldsHooks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, reason string
		hold         func(p *program) []string // returns more arguments
	}{
		{"paused", "paused (all)", func(p *program) []string {
			p.wants([]string{"pause", "--reason", "the cluster moves"}, "paused (all)")
			return nil
		}},
		{"dry run", "dry run", func(*program) []string { return []string{"--dry-run"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t)
			env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, DisablesHooks: true, Free: true})
			public, reached := env.publicAddress()
			shop := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
			env.gitlab.AddProject(gitlabtest.Project{Path: "platform/site"})
			dead := env.gitlab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: public, Token: testSecret, JobEvents: true, PipelineEvents: true})
			env.gitlab.DisableHook(dead.ID, time.Time{})
			p := env.run()
			more := c.hold(p)
			p.stop()
			p = env.run(append([]string{"--ensure-hooks", "--webhook-url", public, "--projects", "platform"}, more...)...)
			reached(p.webhooks)
			p.eventually("both are looked at", func() bool { return strings.Count(p.logged(), "not changed ("+c.reason) == 2 })
			p.eventually("people are notified", func() bool { return len(env.slack.Posts()) > 0 })
			p.eventually("catch-up has looked", func() bool {
				_, metrics := p.get("/metrics")
				return regexp.MustCompile(`(?m)^pipesteward_catch_up_last_round_timestamp_seconds [1-9]`).MatchString(metrics)
			})
			if posts := fmt.Sprint(env.slack.Posts()); !strings.Contains(posts, "GitLab has disabled 1 webhook") || !strings.Contains(posts, c.reason) {
				t.Errorf("posts: %s", posts)
			}
			if n := strings.Count(p.logged(), "GitLab has disabled a webhook"); n != 1 || env.hookWrites() != 0 {
				t.Errorf("%d lines say that a webhook is dead, %d writes\n%s", n, env.hookWrites(), p.tail())
			}
			if c.name == "paused" {
				p.wants([]string{"resume"}, "nothing is paused")
				p.eventually("what was held is done", func() bool { return len(env.gitlab.Hooks()) == 2 && env.hookWrites() >= 2 })
			}
		})
	}
}

// publicAddress returns the address of a proxy in front of a program that is not yet
// started; reached tells the proxy where that listens.
func (env *environment) publicAddress() (address string, reached func(webhooks string)) {
	target := make(chan *url.URL, 1)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		to := <-target
		target <- to
		r.SetURL(to)
	}})
	env.Cleanup(proxy.Close)
	return proxy.URL + "/webhooks/gitlab", func(webhooks string) {
		to, err := url.Parse(strings.TrimSuffix(webhooks, "/webhooks/gitlab"))
		if err != nil {
			env.Fatal(err)
		}
		target <- to
	}
}

// A dry run prints what the run would, warnings too.
func TestHooksDryRunPrintsWarnings(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})
	env.gitlab.AddGroup(gitlabtest.Group{Path: "platform"})
	shop := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	env.gitlab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: "https://old.example.com/webhooks/gitlab", JobEvents: true})
	for _, c := range []struct {
		entries []string
		says    []string
	}{
		{[]string{"platform/shop"}, []string{"~ platform/shop: would create the webhook\n", "! platform/shop: webhook 1 posts to another address", "--replace-url takes it over", "1 project or group: 1 to create"}},
		{[]string{"platform", "platform/shop"}, []string{"~ group platform: would create the webhook\n", "2 projects and groups: 1 to create, 1 covered by a group's webhook"}},
	} {
		args := append([]string{"ensure", "--dry-run", "--webhook-url", "https://bot.example.com/webhooks/gitlab", "--webhook-token", testSecret}, c.entries...)
		code, stdout, _ := env.hooks(args...)
		if code != 0 || env.hookWrites() != 0 {
			t.Errorf("%q: exit status %d, %d writes", c.entries, code, env.hookWrites())
		}
		for _, part := range c.says {
			if !strings.Contains(stdout, part) {
				t.Errorf("%q: %q is missing:\n%s", c.entries, part, stdout)
			}
		}
	}
}

// Two `hooks ensure` at once leave one webhook, and the one that removed its own says so.
func TestHooksAtOnce(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, Free: true})
	env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	both := make(chan struct{}) // both have seen that there is none
	env.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: "/hooks", Times: 2, Until: both})
	type ended struct {
		code   int
		stdout string
	}
	results := make(chan ended, 2)
	for range 2 {
		go func() {
			code, stdout, _ := env.hooks("ensure", "--webhook-url", "https://bot.example.com/webhooks/gitlab", "--webhook-token", testSecret, "platform/shop")
			results <- ended{code, stdout}
		}()
	}
	await.Until(t, "both create a webhook", func() bool { return env.gitlab.Count(http.MethodPost, "/hooks") == 2 })
	close(both)
	first, second := <-results, <-results
	if n := len(env.gitlab.Hooks()); n != 1 || first.code != 0 || second.code != 0 {
		t.Errorf("%d webhooks; the commands end with %d and %d", n, first.code, second.code)
	}
	const removed = "removed webhook 2 again, since another run created webhook 1"
	if all := first.stdout + second.stdout; strings.Count(all, "✓ platform/shop: created webhook") != 2 || !strings.Contains(strings.Join(strings.Fields(all), " "), removed) {
		t.Errorf("they print:\n%s\n%s", first.stdout, second.stdout)
	}
}
