package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// With delayed rules the retry waits until the test makes it due.
const delayedRules = `
version: 1
defaults: {dry_run: false}
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry: {delay: 1h}]
`

// TestDryRunHoldsQueuedRetries: a retry that waits in the queue is not made by a
// process that was restarted with --dry-run, nor by rules that say dry run now,
// nor later.
func TestDryRunHoldsQueuedRetries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		pull   func(env *environment, p *program, store string) *program
		result string
	}{
		{"restarted with --dry-run", func(env *environment, p *program, store string) *program {
			p.stop()
			return env.run("--store", store, "--dry-run")
		}, event.ResultDryRun},
		{"defaults.dry_run is loaded", func(env *environment, p *program, _ string) *program {
			env.write("rules.yaml", strings.Replace(delayedRules, "dry_run: false", "dry_run: true", 1))
			p.reload()
			return p
		}, event.ResultDryRun},
		{"the rule is removed", func(env *environment, p *program, _ string) *program {
			env.write("rules.yaml", strings.ReplaceAll(delayedRules, "retry-stuck", "another"))
			p.reload()
			return p
		}, event.ResultSkipped},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t)
			env.write("rules.yaml", delayedRules)
			redis := redistest.Start(t)
			p := env.run("--store", redis.URL())
			if code := p.post(env.gitlab.JobHookBody(env.stuckJob().ID)); code != http.StatusAccepted {
				t.Fatalf("a stuck job is answered with %d, want 202", code)
			}
			p.eventually("the retry waits", func() bool { return len(p.outcomes()) == 1 })
			p = test.pull(env, p, redis.URL())
			p.workedOffAtOnce(redis)
			if all := p.outcomes(); len(all) != 1 || all[0].Result != test.result {
				t.Errorf("outcomes %+v, want one %s", all, test.result)
			}
			p.stop()
			env.write("rules.yaml", delayedRules)
			p = env.run("--store", redis.URL()) // the brake is lifted
			p.workedOffAtOnce(redis)
			if n := env.gitlab.Count("POST", ""); n > 0 {
				t.Errorf("a request that changes something was sent to GitLab %d times, want never", n)
			}
		})
	}
}

// workedOffAtOnce waits until the queue in the Redis is empty, and makes all due
// that waits there, as time would.
func (p *program) workedOffAtOnce(server *redistest.Server) {
	p.Helper()
	p.eventually("the queue is empty", func() bool {
		makeDue(server)
		d, ok := p.depth()
		return ok && d.queued() == 0
	})
}

// makeDue makes all due that waits in the queue in the Redis, as time would.
func makeDue(server *redistest.Server) {
	const waiting = redis.DefaultPrefix + "waiting"
	ids, _ := server.Do("zrange", waiting, 0, -1).([]any)
	for _, id := range ids {
		server.Do("zadd", waiting, "xx", 0, id)
	}
}

// reload makes the program read its rules and secrets again.
func (p *program) reload() {
	p.Helper()
	resp, err := http.Post(p.admin+"/-/reload", "application/json", http.NoBody)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.Fatalf("reload: %s", resp.Status)
	}
}

// TestPauseOverReplicas pauses through one replica by the command line: the
// other one obeys, and goes on when it is resumed.
func TestPauseOverReplicas(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	redis := redistest.Start(t)
	first, second := env.run("--store", redis.URL()), env.run("--store", redis.URL())
	command := func(want string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"pipesteward"}, args...), &out, &errs); code != 0 || !strings.Contains(out.String(), want) {
			t.Fatalf("%v: exit status %d, %q, %q, want %q", args, code, out.String(), errs.String(), want)
		}
	}
	command("paused (project:platform/*) by ann: the cluster moves, since", "pause", "--admin-url", first.admin, "--project", "platform/*", "--by", "ann", "--reason", "the cluster moves")
	if code := second.post(env.gitlab.JobHookBody(env.stuckJob().ID)); code != http.StatusAccepted {
		t.Fatalf("a stuck job is answered with %d while paused, want 202", code)
	}
	first.eventually("the retry waits for the end of the pause", func() bool {
		all := first.outcomes()
		return len(all) == 1 && all[0].Result == event.ResultDeferred && strings.Contains(all[0].Reason, "the cluster moves")
	})
	command("paused (project:platform/*) by ann", "status", "--admin-url", second.admin)
	if _, metrics := second.get("/metrics"); !strings.Contains(metrics, `pipesteward_paused{scope="project:platform/*"} 1`) {
		t.Error("/metrics lacks pipesteward_paused")
	}
	if n := env.gitlab.Count("POST", ""); n > 0 {
		t.Errorf("a request that changes something was sent to GitLab while paused")
	}
	command("nothing is paused", "resume", "--admin-url", second.admin, "--project", "platform/*")
	command("paused (project:mobile/*) by ann, until 2999-01-01T00:00:00Z, since 2", "pause", "--admin-url", first.admin, "--project", "mobile/*", "--by", "ann", "--until", "2999-01-01T01:00:00+01:00")
	command("Z  pause project:mobile/* by ann, until 2999-01-01T00:00:00Z\n", "status", "--admin-url", second.admin)
	first.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries after resume, want 1", n)
	}
}

// TestAdminCommandsExplainThemselves: what is wrong is said with what to do.
func TestAdminCommandsExplainThemselves(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"pause", "--admin-url", "http://127.0.0.1:1"}, 1, "no server answers at http://127.0.0.1:1 (start `serve`, or give its --admin-listen as --admin-url)"},
		{[]string{"pause", "--admin-url", "nonsense"}, 2, "write for instance http://127.0.0.1:9090"},
		{[]string{"status", "--admin-url", "ftp://127.0.0.1:9090"}, 2, `--admin-url: "ftp://127.0.0.1:9090" does not begin with http:// or https:// and a host: write for instance`},
		{[]string{"status", "--admin-url", "http://127.0.0.1:9090/api/v1/"}, 2, `--admin-url: "http://127.0.0.1:9090/api/v1/" has a path: leave it out`},
		{[]string{"decisions", "--limit", "0"}, 2, "--limit must be more than 0\n"},
		{[]string{"deliveries", "--limit", "-1", "--follow"}, 2, "--limit must be more than 0\n"},
		{[]string{"decisions", "--interval", "0s"}, 2, "--interval must be more than 0, like 2s\n"},
		{[]string{"queue", "drop", "a", "--json"}, 2, "with --json, which asks nobody, give --yes"},
		{[]string{"pause", "everything"}, 2, "pause takes no arguments"},
		{[]string{"resume", "everything"}, 2, "resume takes no arguments"},
		{[]string{"status", "now"}, 2, "status takes no arguments"},
		{[]string{"pause", "--until", "tomorrow"}, 2, "until"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"pipesteward"}, test.args...), &out, &errs); code != test.code || !strings.Contains(errs.String(), test.says) {
			t.Errorf("%v: exit status %d, %q, want %d and %q", test.args, code, errs.String(), test.code, test.says)
		}
	}
}

// TestStopsOfOthers: what a pause or a mute replaces, or a resume or an unmute ends, is
// printed first, and a longer one of another person is replaced on request only.
func TestStopsOfOthers(t *testing.T) {
	t.Parallel()
	p := newEnvironment(t).run()
	for _, step := range []struct {
		args []string
		code int
		says []string // in this order
	}{
		{[]string{"pause", "--by", "ann", "--reason", "a leak"}, 0, []string{"paused (all) by ann: a leak, since 2"}},
		{[]string{"pause", "--by", "bob", "--for", "1h"}, 1, []string{"paused (all) by ann: a leak, since 2", "would end earlier", "resume it first, or give --replace to replace it"}},
		{[]string{"status"}, 0, []string{"paused (all) by ann: a leak, since 2"}},
		{[]string{"pause", "--by", "bob", "--for", "1h", "--replace"}, 0, []string{"replaced: paused (all) by ann: a leak, since 2", "\npaused (all) by bob, until 2"}},
		{[]string{"pause", "--by", "bob", "--for", "30m"}, 0, []string{"replaced: paused (all) by bob", "\npaused (all) by bob"}},
		{[]string{"pause", "--by", "ann", "--project", "Platform/*"}, 0, []string{"paused (all) by bob", "\npaused (project:Platform/*) by ann"}},
		{[]string{"resume"}, 0, []string{"ended: paused (all) by bob", "\nstill in force:\npaused (project:Platform/*) by ann"}},
		{[]string{"resume", "--project", "platform/*", "--json"}, 0, []string{`"paused": []`, `"ended": [`, `"project": "Platform/*"`}},
		{[]string{"pause", "--by", "ann", "--json"}, 0, []string{`"paused": [`, `"by": "ann"`}},
		{[]string{"resume", "--every"}, 0, []string{"ended: paused (all) by ann", "\nnothing is paused\n"}},

		{[]string{"mute", "--by", "ann", "--channel", "#ci"}, 0, []string{"muted (channel:ci) by ann, since 2"}},
		{[]string{"mute", "--by", "bob", "--channel", "ci", "--for", "1h"}, 1, []string{"muted (channel:ci) by ann, since 2", "would end earlier", "unmute it first, or give --replace to replace it"}},
		{[]string{"mute", "--by", "bob", "--channel", "ci", "--for", "1h", "--replace"}, 0, []string{"replaced: muted (channel:ci) by ann", "\nmuted (channel:ci) by bob, until 2"}},
		{[]string{"mute", "--by", "ann"}, 0, []string{"muted (channel:ci) by bob", "\nmuted (all) by ann"}},
		{[]string{"unmute", "--channel", "ci"}, 0, []string{"ended: muted (channel:ci) by bob", "\nstill in force:\nmuted (all) by ann"}},
		{[]string{"unmute", "--every", "--json"}, 0, []string{`"muted": []`, `"ended": [`, `"by": "ann"`}},
	} {
		code, stdout, stderr := p.output(step.args...)
		rest, found := stdout+stderr, true
		for _, part := range step.says {
			if _, rest, found = strings.Cut(rest, part); !found {
				break
			}
		}
		if code != step.code || !found {
			t.Errorf("%q: exit status %d, want %d and %q\n%s%s", step.args, code, step.code, step.says, stdout, stderr)
		}
	}
}

// TestHead: HEAD is answered as GET, without the body.
func TestHead(t *testing.T) {
	t.Parallel()
	p := newEnvironment(t).run()
	for path, want := range map[string]int{
		"/healthz": 200, "/-/healthy": 200, "/readyz": 200, "/-/ready": 200, "/metrics": 200, "/api/v1/status": 200, "/api/v1/decisions": 200,
		"/api/v1/deliveries": 200, "/api/v1/queue": 200, "/api/v1/openapi.yaml": 200, "/api/v1/status?x=1": 400, "/api/v1/pause": 405, "/nothing": 404,
	} {
		var size [2]int64
		for i, method := range []string{http.MethodGet, http.MethodHead} {
			req, err := http.NewRequestWithContext(t.Context(), method, p.admin+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			size[i], err = io.Copy(io.Discard, resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != want {
				t.Errorf("%s %s: %s, %v, want %d", method, path, resp.Status, err, want)
			}
		}
		if size[0] == 0 || size[1] > 0 {
			t.Errorf("%s: GET has a body of %d bytes and HEAD one of %d", path, size[0], size[1])
		}
	}
	resp, err := http.Post(p.admin+"/healthz", "application/json", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "OPTIONS, GET, HEAD" {
		t.Errorf("POST: %s, %v, allowed are %q", resp.Status, err, resp.Header.Get("Allow"))
	}
}

// TestPauseOfNobody: a pause of a project that neither the server nor GitLab knows is in
// force, with a warning; one of a project that either knows has none.
func TestPauseOfNobody(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	job := env.stuckJob()
	env.gitlab.AddProject(gitlabtest.Project{Path: "platform/site"})
	p := env.run()
	p.post(env.gitlab.JobHookBody(job.ID))
	for project, warned := range map[string]bool{
		"platform/shop": false, "platform/site": false, "platform/*": false, "**": false,
		"platform/shpo": true, "platform": true, "platform/SITE": false, "PLATFORM/s*": false, "mobile/*": true, "1": true,
	} {
		code, stdout, stderr := called(t, "pause", "--admin-url", p.admin, "--project", project)
		if code != 0 || !strings.Contains(stdout, "paused (project:"+project+")") {
			t.Errorf("%s: exit status %d\n%s%s", project, code, stdout, stderr)
		}
		if strings.Contains(stderr, "warning: the pause stops nothing now: no event of a project that \""+project+"\" matches has come") != warned {
			t.Errorf("%s: %s", project, stderr)
		}
	}
}
