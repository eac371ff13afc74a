package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// doctorOf runs the command with the settings of the environment.
func doctorOf(env *environment, more ...string) (code int, stdout, stderr string) {
	env.Helper()
	return doctorWith(env.Context(), env, more...)
}

func doctorWith(ctx context.Context, env *environment, more ...string) (code int, stdout, stderr string) {
	env.Helper()
	var out, errs bytes.Buffer
	code = run(ctx, append([]string{
		"pipesteward", "doctor", "--rules", filepath.Join(env.dir, "rules.yaml"), "--store", "bolt:" + filepath.Join(env.dir, "pipesteward.db"),
		"--gitlab-url", env.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--gitlab-rate", "100000/1m", "--slack-api-url", env.slack.URL(),
		"--slack-token", testSlack, "--webhook-token", testSecret,
	}, more...), &out, &errs)
	return code, out.String(), errs.String()
}

func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("lacks %q:\n%s", part, text)
		}
	}
	for line := range strings.Lines(text) {
		content := strings.TrimPrefix(strings.TrimSpace(line), "→ ")
		unbroken := !strings.Contains(content, " ") || strings.HasPrefix(content, "`") && strings.HasSuffix(content, "`") // a path, a command to paste
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && !unbroken {
			t.Errorf("a line has %d characters:\n%s", n, line)
		}
	}
}

// A newcomer with 200 projects sees what is to be mended, and then that all is in order.
func TestDoctor(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.slack.AddChannel(slacktest.Channel{Name: "ci"})
	for i := range 200 {
		p := gitlabtest.Project{Path: fmt.Sprintf("apps/app-%03d", i)}
		if i < 150 {
			p.Role = gitlabtest.Reporter
		}
		env.gitlab.AddProject(p)
	}
	const nobody = "--admin-url=http://127.0.0.1:1"
	code, out, _ := doctorOf(env, nobody)
	if code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	says(t, out, "✓ gitlab-reachable", "✗ project-role", "the role Developer is missing, for retry",
		"150 projects: apps/app-000, apps/app-001, apps/app-002,", "… (--json lists all)", "→ give the token's user the role Developer", "✗ server-ready", "no server answers",
		"✗ webhook-state", "no webhook posts", "50 projects:", "3 problems")
	if _, err := os.Stat(filepath.Join(env.dir, "pipesteward.db")); err == nil {
		t.Error("the store's file was made")
	}

	code, out, _ = doctorOf(env, nobody, "--json")
	var report struct {
		Problems int
		Findings []doctor.Finding
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 1 || report.Problems != 3 {
		t.Fatalf("exit status %d, %v, %d problems", code, err, report.Problems)
	}
	for _, f := range report.Findings {
		if f.Check == "project-role" && len(f.Projects) != 150 {
			t.Errorf("%d projects are listed, want 150", len(f.Projects))
		}
	}

	p := env.run()
	ensure := func(entry string) {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{
			"pipesteward", "hooks", "ensure", "--gitlab-url", env.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--gitlab-rate", "100000/1m",
			"--store", "bolt:" + filepath.Join(env.dir, "hooks.db"), "--webhook-url", p.webhooks, "--webhook-token", testSecret, entry,
		}, &out, &errs); code != 0 {
			t.Errorf("hooks ensure ends with %d: %s%s", code, out.String(), errs.String())
		}
	}
	ensure("apps/app-1[5-9]?")
	if code, out, _ = doctorOf(env, "--admin-url", p.admin, "--project", "apps/app-1[5-9]?", "--quiet"); code != 0 || strings.Contains(out, "✓") {
		t.Errorf("exit status %d, want 0:\n%s", code, out)
	}
	for id := int64(1); id <= 200; id++ {
		env.gitlab.SetRole(id, gitlabtest.Maintainer)
	}
	ensure("apps")
	if code, out, _ = doctorOf(env, "--admin-url", p.admin, "--strict"); code != 0 {
		t.Errorf("exit status %d, want 0:\n%s", code, out)
	}
	says(t, out, "✓ webhook-state", "is in a private", "all is in order")
	env.gitlab.SetAccessToken(gitlabtest.AccessToken{ExpiresAt: time.Now().AddDate(0, 0, 3)})
	if code, out, _ = doctorOf(env, "--admin-url", p.admin); code != 0 {
		t.Errorf("a warning ends with %d, want 0:\n%s", code, out)
	}
	if code, out, _ = doctorOf(env, "--admin-url", p.admin, "--strict", "--quiet"); code != 1 {
		t.Errorf("a warning ends with %d under --strict, want 1:\n%s", code, out)
	}
	says(t, out, "! token-expiry", "1 warning")
	p.stop()
	for _, request := range env.gitlab.Requests() {
		if request.Method != http.MethodGet && !strings.Contains(request.Path, "/hooks") { // those of hooks ensure
			t.Errorf("doctor sends %s %s", request.Method, request.Path)
		}
	}
}

// Webhooks of many projects: what is wrong with them, where nothing can be seen, and
// where none is needed.
func TestDoctorOnWebhooks(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: time.Now, DisablesHooks: true, Free: true})
	env.slack.AddChannel(slacktest.Channel{Name: "ci"})
	env.write("rules.yaml", `
version: 1
rules:
  - name: retry-stuck
    on: job
    if: glob(project.path, "apps/**") and failed_with("runner_system_failure")
    actions: [retry]
`)
	const public = "https://pipesteward.example.com/webhooks/gitlab"
	for path, role := range map[string]gitlabtest.Role{
		"apps/dead": gitlabtest.Maintainer, "apps/fine": gitlabtest.Maintainer, "apps/none": gitlabtest.Maintainer,
		"apps/theirs": gitlabtest.Developer, "docs/site": gitlabtest.Maintainer,
	} {
		p := env.gitlab.AddProject(gitlabtest.Project{Path: path, Role: role})
		if path == "apps/dead" || path == "apps/fine" {
			h := env.gitlab.AddHook(gitlabtest.Hook{ProjectID: p.ID, URL: public, Token: testSecret, JobEvents: true, PipelineEvents: true})
			if path == "apps/dead" {
				env.gitlab.DisableHook(h.ID, time.Time{})
			}
		}
	}
	check := func(more ...string) map[string]doctor.Finding {
		_, out, errs := doctorOf(env, append(more, "--admin-url=http://127.0.0.1:1", "--json")...)
		var report struct{ Findings []doctor.Finding }
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, errs)
		}
		found := map[string]doctor.Finding{}
		for _, f := range report.Findings {
			if f.Check == "webhook-state" {
				found[strings.Join(f.Projects, " ")] = f
			}
		}
		return found
	}
	found := check("--webhook-url", public)
	for projects, want := range map[string]doctor.Finding{
		"apps/dead": {
			Severity: doctor.Problem, Seen: "GitLab has stopped sending to the webhook after failed deliveries: it is disabled for good",
			Advice: "`pipesteward hooks ensure apps/dead` repairs it and enables it by a test delivery, while `serve` runs",
		},
		"apps/none": {
			Severity: doctor.Problem, Seen: "no webhook posts job and pipeline events to Pipesteward",
			Advice: "`pipesteward hooks ensure apps/none` makes one in each",
		},
		"apps/theirs": {
			Severity: doctor.Unknown, Seen: "not checked: GitLab shows webhooks to Maintainers only",
			Advice: "give the token's user the role Maintainer, or look at Settings, Webhooks; with that role `pipesteward hooks ensure apps/theirs` makes and repairs them",
		},
		"docs/site": {Severity: doctor.Note, Seen: "no rule wants their events: they need no webhook"},
	} {
		if got := found[projects]; got.Severity != want.Severity || got.Seen != want.Seen || got.Advice != want.Advice {
			t.Errorf("%s: %+v\nwant %+v", projects, got, want)
		}
	}
	if len(found) != 4 {
		t.Errorf("%d findings about webhooks, want 4: %+v", len(found), found)
	}
	found = check()
	if note := found[""]; note.Severity != doctor.Note || !strings.Contains(note.Seen, "without --webhook-url") {
		t.Errorf("without --webhook-url: %+v", found)
	}
	if advice := found["apps/none"].Advice; !strings.Contains(advice, "hooks ensure --webhook-url URL apps/none") {
		t.Errorf("without --webhook-url: %s", advice)
	}
	code, out, _ := doctorOf(env, "--webhook-url", public, "--quiet")
	if code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	says(t, out, "✗ webhook-state", "1 project: apps/dead", "? webhook-state", "1 project: apps/theirs")
}

// Beside a running serve, whose file is locked, the server says what it knows.
func TestDoctorBesideServe(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.slack.AddChannel(slacktest.Channel{Name: "ci"})
	shop := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	p := env.run()
	env.gitlab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: p.webhooks, Token: testSecret, JobEvents: true, PipelineEvents: true})
	code, out, _ := doctorOf(env, "--admin-url", p.admin)
	if code != 0 {
		t.Errorf("exit status %d, want 0", code)
	}
	says(t, out, "· store-open", "open in another process", "✓ server-ready", "✓ server-rules", "the rules of the files are in force", "nothing is paused")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"pipesteward", "pause", "--admin-url", p.admin, "--reason", "the cluster moves"}, &stdout, &stderr); code != 0 {
		t.Fatal(stderr.String())
	}
	if code := run(t.Context(), []string{"pipesteward", "pause", "--admin-url", p.admin, "--project", "mobile/*"}, &stdout, &stderr); code != 0 {
		t.Fatal(stderr.String())
	}
	env.write("rules.yaml", ruleNamed("second"))
	_, out, _ = doctorOf(env, "--admin-url", p.admin)
	says(t, out, "the cluster moves", "→ `pipesteward resume` ends it", "→ `pipesteward resume --project 'mobile/*'` ends it", "· projects-exist", "which projects sent events is not known")
	env.gitlab.SetRole(shop.ID, gitlabtest.Developer)
	code, out, _ = doctorOf(env, "--admin-url", p.admin, "--ensure-hooks")
	if code != 1 {
		t.Errorf("exit status %d of a Developer that is to ensure hooks, want 1", code)
	}
	says(t, out, "✗ project-role", "the role Maintainer is missing, for --ensure-hooks")
	p.stop()
}

// What is wrong at once does not hide what is wrong elsewhere, and no secret is shown.
func TestDoctorWithAllWrong(t *testing.T) {
	env := newEnvironment(t)
	env.write("rules.yaml", "version: 1\nrules: [{name: a, on: jobs}]\n")
	env.gitlab.SetAccessToken(gitlabtest.AccessToken{Revoked: true})
	code, out, errs := doctorOf(env, "--admin-url=http://127.0.0.1:1", "--store", "redis://me:hush-hush@127.0.0.1:1/0", "--slack-token", "xoxb-wrong-one", "--webhook-token", "short")
	if code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	env.slack.SetToken(testSlack)
	says(t, out, "✗ rules-load", "✗ store-open", "✗ token-valid", "? 3 checks", "not checked, because the rules can't be used", "? projects-exist", "! webhook-secret")
	for _, secret := range []string{"hush-hush", "xoxb-wrong-one", gitlabtest.DefaultToken, "short\n"} {
		if strings.Contains(out+errs, secret) {
			t.Errorf("%s is shown:\n%s%s", secret, out, errs)
		}
	}
	for _, args := range [][]string{{"apps"}, {"--project", "/x"}} {
		if code, _, errs := doctorOf(env, args...); code != 2 {
			t.Errorf("%v: exit status %d, want 2: %s", args, code, errs)
		}
	}
	code, out, _ = doctorOf(env, "--gitlab-token", "", "--rules", filepath.Join(env.dir, "nowhere.yaml"))
	if code != 1 {
		t.Errorf("without a token: exit status %d\n%s", code, out)
	}
	says(t, out, "✓ gitlab-reachable", "✗ token-valid         --gitlab-token: it is missing", "PIPESTEWARD_GITLAB_TOKEN,", "✗ rules-load", "nowhere.yaml", "as --rules")
}

// Credentials for the server are no part of the output either, wherever they come from.
func TestDoctorHidesAdminSecrets(t *testing.T) {
	env := newEnvironment(t)
	const token, password = "glpat-of-an-operator", "password-of-an-operator"
	echo := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"error":"%s %s may not"}`, token, password)
	})
	server := httptest.NewServer(echo)
	t.Cleanup(server.Close)
	for name, secret := range map[string]string{"ADMIN_TOKEN": token, "ADMIN_PASSWORD": password} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PIPESTEWARD_"+name+"_FILE", path)
			args := []string{"--admin-url", server.URL}
			if name == "ADMIN_PASSWORD" {
				args = append(args, "--admin-user", "ann")
			}
			_, out, errs := doctorOf(env, args...)
			if !strings.Contains(out, "[secret]") || strings.Contains(out+errs, secret) {
				t.Errorf("%s is shown, or nothing of the answer is:\n%s%s", secret, out, errs)
			}
		})
	}
}

// Redis says its version, and what it may lose.
func TestDoctorOnRedis(t *testing.T) {
	env := newEnvironment(t)
	env.slack.AddChannel(slacktest.Channel{Name: "ci"})
	env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	server := redistest.Start(t)
	_, out, _ := doctorOf(env, "--store", server.URL())
	says(t, out, "✓ store-open          Redis ", " at 127.0.0.1:", "store-durable", "✓ store-latency       a durable write takes", "✓ store-space", "✓ project-role")
}

// Each setting with which `serve` does not start is a finding, in the same words, and so is
// a variable that is no setting. The other checks are made all the same.
func TestDoctorOnSettings(t *testing.T) {
	env := newEnvironment(t)
	env.slack.AddChannel(slacktest.Channel{Name: "ci"})
	env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop", Archived: true})
	for _, c := range []struct{ setting, value, says string }{
		{"admin-auth", "foo", ""},
		{"listen", "nope", "is no address to listen on"},
		{"admin-listen", "nope", "is no address to listen on"},
		{"admin-session-lifetime", "1s", "is not a time from"},
		{"catch-up-every", "xyz", "is not a time of at least 10s"},
		{"catch-up-max-age", "never", "is not a time up to"},
		{"log-level", "loud", "is none of debug"},
		{"log-format", "xml", "is none of auto"},
		{"native-retry-wait", "1h", "is not a time from 0s"},
		{"log-window", "0", "is not a number of bytes"},
		{"journal-retention", "1h", "is not a time from 1d"},
		{"gitlab-rate", "abc", "is not a rate"},
		{"projects", "a,,/b", "--projects"},
		{"ensure-hooks", "true", "--webhook-url: it is missing"},
	} {
		t.Run(c.setting, func(t *testing.T) {
			flag := "--" + c.setting + "=" + c.value
			code, out, errs := doctorOf(env, "--admin-url", "http://127.0.0.1:1", flag)
			if code != 1 {
				t.Errorf("exit status %d, want 1\n%s", code, errs)
			}
			says(t, out, "✗ settings", "✓ rules-load", "✓ token-valid", "✓ slack-channels")
			seen := strings.Join(strings.Fields(out), " ")
			var stderr bytes.Buffer
			_ = run(t.Context(), []string{"pipesteward", "serve", "--rules", filepath.Join(env.dir, "rules.yaml"), "--gitlab-token", "x", "--webhook-token", testSecret, flag}, io.Discard, &stderr)
			words := strings.Join(strings.Fields(strings.TrimPrefix(stderr.String(), "pipesteward: ")), " ")
			if words == "" || !strings.Contains(seen, words+"; `serve` does not start") || !strings.Contains(words, c.says) {
				t.Errorf("serve says\n%s\nand doctor\n%s", words, out)
			}
		})
	}
	t.Run("no setting", func(t *testing.T) {
		t.Setenv("PIPESTEWARD_GITLAB_TOKN", "x")
		_, out, _ := doctorOf(env, "--catch-up-every", "5m")
		seen := strings.Join(strings.Fields(out), " ")
		if want := "no setting has the environment variable PIPESTEWARD_GITLAB_TOKN, so it has no effect (did you mean \"PIPESTEWARD_GITLAB_TOKEN\"?)"; !strings.Contains(seen, want) {
			t.Errorf("it does not say %s:\n%s", want, out)
		}
	})
}

// A server that answers in JSON and is no GitLab, such as this program's own, is a problem,
// and no word is said of the token.
func TestDoctorOnAnotherServer(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.slack.AddChannel(slacktest.Channel{Name: "ci"})
	p := env.run()
	code, out, _ := doctorOf(env, "--gitlab-url", p.admin, "--admin-url", p.admin)
	if code != 1 || strings.Contains(out, "PIPESTEWARD_GITLAB_TOKEN") {
		t.Errorf("exit status %d, want 1, without a word of the token\n%s", code, out)
	}
	says(t, out, "✗ gitlab-reachable", "this is not GitLab", "→ write the address of GitLab as --gitlab-url", "not checked, because --gitlab-url is not GitLab")
}

// `serve` says at its start what will keep it from its work.
func TestServeChecksItself(t *testing.T) {
	env := newEnvironment(t)
	env.gitlab.SetAccessToken(gitlabtest.AccessToken{Scopes: []string{"read_api"}})
	env.slack.AddChannel(slacktest.Channel{Name: "ci", Archived: true})
	p := env.run("--webhook-token", "short")
	p.eventually("the token's scopes are warned of", func() bool { return strings.Contains(p.logged(), "lacks the scope api") })
	p.eventually("the archived channel is warned of", func() bool { return strings.Contains(p.logged(), "is archived") })
	p.eventually("the weak secret is warned of", func() bool { return strings.Contains(p.logged(), "can be guessed") })
}

// TestDoctorStopped: a run that was stopped, or that got no answers, says what it has not
// checked, and does not end with 0.
func TestDoctorStopped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		before  func(env *environment, stop context.CancelFunc)
		says    []string // on standard error
		unknown int      // at least
	}{
		{
			name:   "stopped before it began",
			before: func(_ *environment, stop context.CancelFunc) { stop() },
			says:   []string{"stopped, and not all was checked: settings, rules-load, store-open", "gitlab-reachable", "server-work"}, unknown: len(doctor.Checks),
		},
		{
			name: "stopped while GitLab answers a request",
			before: func(env *environment, stop context.CancelFunc) {
				hanging := make(chan struct{})
				env.Cleanup(func() { close(hanging) })
				env.gitlab.Fail(gitlabtest.Fault{Path: "/metadata", Times: -1, Until: hanging})
				go func() {
					for env.gitlab.Count(http.MethodGet, "/metadata") == 0 && env.Context().Err() == nil {
						runtime.Gosched()
					}
					stop()
				}()
			},
			says: []string{"stopped, and not all was checked: gitlab-version", "token-scopes", "webhook-state"}, unknown: 10,
		},
		{
			name: "no answer to one of the requests",
			before: func(env *environment, _ context.CancelFunc) {
				env.gitlab.Fail(gitlabtest.Fault{Path: "/metadata", Times: -1, Cut: true})
			},
			says: []string{"not all could be checked now: gitlab-version: run doctor again"}, unknown: 1,
		},
		{
			name: "no answers but to the first request",
			before: func(env *environment, _ context.CancelFunc) {
				env.gitlab.Fail(gitlabtest.Fault{Skip: 1, Times: -1, Status: http.StatusServiceUnavailable})
			},
			says: []string{"not all could be checked now: gitlab-version", "project-role", "webhook-state"}, unknown: 5,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, more := range [][]string{nil, {"--json"}} {
				env := newEnvironment(t)
				env.slack.AddChannel(slacktest.Channel{Name: "ci"})
				project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
				env.gitlab.AddHook(gitlabtest.Hook{ProjectID: project.ID, URL: "https://bot.example.com/webhooks/gitlab", Token: testSecret, JobEvents: true, PipelineEvents: true})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				c.before(env, stop)
				code, out, errs := doctorWith(ctx, env, append(more, "--project", "platform/shop")...)
				if code != 1 {
					t.Errorf("%v: exit status %d, want 1\n%s%s", more, code, out, errs)
				}
				for _, part := range c.says {
					if !strings.Contains(errs, part) {
						t.Errorf("%v: standard error lacks %q:\n%s", more, part, errs)
					}
				}
				if more == nil {
					says(t, out, "not checked", "gitlab-version")
					continue
				}
				var report struct {
					Problems, Unknown int
					Findings          []doctor.Finding
				}
				if err := json.Unmarshal([]byte(out), &report); err != nil || report.Problems > 0 || report.Unknown < c.unknown || report.Unknown != doctor.Count(report.Findings, doctor.Unknown) {
					t.Errorf("%v, %d problems, %d checks were not made, want %d at least\n%s", err, report.Problems, report.Unknown, c.unknown, out)
				}
			}
		})
	}
}

// TestDoctorSteersNoTerminal: what an older server and GitLab say reaches no terminal with
// its control characters.
func TestDoctorSteersNoTerminal(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	env.gitlab.Fail(gitlabtest.Fault{Path: "/metadata", Times: -1, Status: http.StatusForbidden, Message: "no\x1b[31m\u009b\nall is in order"})
	const odd = "ann\x1b[31m\u202e\nall is in order"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any
		switch r.URL.Path {
		case "/api/v1/status":
			answer = admin.Status{Version: odd, Paused: []event.Pause{{Project: odd, By: odd, Reason: odd}}}
		case "/api/v1/rules":
			answer = admin.RulesState{}
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
			answer = handlers.Response{Error: odd}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	for _, more := range [][]string{nil, {"--quiet"}, {"--json"}} {
		_, out, errs := doctorOf(env, append(more, "--admin-url", server.URL)...)
		if text := out + errs; !strings.Contains(text, "ann") || strings.ContainsAny(text, "\x1b\u009b\u202e") || strings.Contains(text, "\nall is in order\n") {
			t.Errorf("%v: %q", more, text)
		}
		if more == nil && !strings.Contains(inOneLine(out), "by ann?[31m? all is in order") {
			t.Errorf("the pause is not named:\n%s", out)
		}
	}
}
