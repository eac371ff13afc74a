package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	for _, name := range []string{"CI_JOB_ID", "CI_JOB_TOKEN", "CI_API_V4_URL", "CI_SERVER_URL"} { // of a job that runs the tests
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	flag.Parse()
	parallel := "16" // what runs in parallel mostly waits for leases to run out
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "test.parallel" {
			parallel = f.Value.String()
		}
	})
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	os.Exit(storetest.InMemory(m).Run())
}

func TestServe(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.serve()
	job := env.stuckJob()
	body := env.gitlab.JobHookBody(job.ID)
	if code := p.post(body); code != http.StatusAccepted {
		t.Errorf("a stuck job is answered with %d, want 202", code)
	}
	if code := p.post(body); code != http.StatusOK {
		t.Errorf("the same again is answered with %d, want 200", code)
	}
	p.workedOff()
	if all := p.outcomes(); len(all) != 1 || all[0].Result != event.ResultDone || all[0].Rule != "retry-stuck" {
		t.Errorf("outcomes %+v, want one done", all)
	}
	if n := env.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	if n := len(env.slack.Posts()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, text := p.get(path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	_, metrics := p.get("/metrics")
	for _, line := range []string{
		`pipesteward_deliveries_total{kind="job",result="stored"} 1`,
		`pipesteward_deliveries_total{kind="job",result="duplicate"} 1`,
		`pipesteward_decisions_total{action="retry",outcome="done",rule="retry-stuck"} 1`,
		`pipesteward_gitlab_requests_total{code="201",endpoint="retry"} 1`,
		`pipesteward_event_to_action_seconds_count 1`,
		`pipesteward_queue_depth 0`,
		`pipesteward_queue_age_seconds 0`,
		`pipesteward_dead_total 0`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}

	if info := fmt.Sprintf("pipesteward_build_info{goversion=%q,revision=", runtime.Version()); !strings.Contains(metrics, info) {
		t.Errorf("/metrics lacks %s", info)
	}

	p.stop()
	for _, secret := range []string{testSecret, testSlack, gitlabtest.DefaultToken} {
		if strings.Contains(p.logged(), secret) {
			t.Errorf("the log holds a secret:\n%s", p.tail())
		}
	}
}

// A secret with a comma in it is one secret: half of it is none.
func TestSecretWithAComma(t *testing.T) {
	env := newEnvironment(t)
	p := env.serve("--webhook-token", "a,"+testSecret)
	for token, want := range map[string]int{"a": http.StatusUnauthorized, testSecret: http.StatusUnauthorized, "a," + testSecret: http.StatusOK} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.webhooks, strings.NewReader(`{"object_kind":"push"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Gitlab-Token", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("token %q is answered with %d, want %d", token, resp.StatusCode, want)
		}
	}
}

// A shutdown ends also when GitLab hangs and never answers: the call is cut
// short, and what was begun is ended after the next start.
func TestStopsWhileGitLabHangs(t *testing.T) {
	await.Long(t, "a shutdown gives records in flight 3 s")
	t.Parallel()
	env := newEnvironment(t)
	reached := hangingGitLab("/retry", true)(env)
	job := env.stuckJob()
	p := env.run()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.eventually("the retry is called", reached)
	p.stop()
	if strings.Contains(p.logged(), "tried again later") {
		t.Errorf("the call was not cut short, but waited for until it was given up:\n%s", p.tail())
	}
	p = env.run()
	p.workedOff()
	if runs := env.gitlab.Jobs(job.PipelineID); len(runs) != 2 {
		t.Errorf("%d runs of the job, want 2", len(runs))
	}
}

// Secrets come from files, too, and hooks may be signed.
func TestSecretsFromFiles(t *testing.T) {
	env := newEnvironment(t)
	const signing = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	t.Setenv("PIPESTEWARD_WEBHOOK_SIGNING_TOKEN_FILE", env.write("signing", "\n"+signing+"\nwhsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n"))
	p := env.serve()
	env.gitlab.AddHook(gitlabtest.Hook{URL: p.webhooks, SigningToken: signing, JobEvents: true})
	env.gitlab.AddHook(gitlabtest.Hook{URL: p.webhooks, Token: "wrong", JobEvents: true})
	env.stuckJob()
	env.gitlab.Flush()
	p.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1\n%s", n, p.tail())
	}
	env.gitlab.Flush() // of what the retry caused, too
	for _, d := range env.gitlab.Deliveries() {
		if d.HookID == 2 && d.Status != http.StatusUnauthorized {
			t.Errorf("a hook with a wrong token is answered with %d (%s)", d.Status, d.Error)
		}
	}
}

func TestBadStarts(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", testRules)
	broken := write("broken.yaml", "version: 1\nrules:\n  - {name: a, on: jobs, actions: [retri]}\n  - {name: b, on: job, if: job.stats, actions: [retry: {max_attempts: x}]}\n  - {name: b, on: job}\n")
	database := "bolt:" + filepath.Join(dir, "p.db")
	const token, hook = "--gitlab-token=hush-hush", "--webhook-token=hush-hush"
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no such command", []string{"serv"}, 2, []string{`no command "serv"`}},
		{"no such flag", []string{"serve", "--rulez", "x"}, 2, []string{"rulez"}},
		{"an argument too many", []string{"serve", "rules.yaml"}, 2, []string{`takes no arguments, but got "rules.yaml"`}},
		{"no rule file", []string{"serve", token, hook, "--rules", filepath.Join(dir, "none.yaml")}, 1, []string{"none.yaml", "rules.example.yaml"}},
		{"an empty directory of rules", []string{"serve", token, hook, "--rules", t.TempDir()}, 1, []string{"holds no *.yaml"}},
		{"five mistakes", []string{"serve", token, hook, "--rules", broken}, 1, []string{
			`broken.yaml:3:19: rule "a"`, `"jobs" (did you mean "job"?)`, `"retri" (did you mean "retry"?)`, `"stats" (did you mean "status"?)`, "max_attempts must be a whole number", `name "b" already`,
		}},
		{"no webhook credentials", []string{"serve", "--rules", good, token, "--store", database}, 2, []string{"webhook-token", "insecure-no-webhook-auth"}},
		{"a signing token that is none", []string{"serve", "--rules", good, token, "--store", database, "--webhook-signing-token", "hush-hush"}, 2, []string{"whsec_"}},
		{"a store of another kind", []string{"serve", "--rules", good, "--store", "mysql://me:hush-hush@db/x"}, 2, []string{`"mysql" is not a kind of store`, "bolt:PATH"}},
		{"a Redis with a wrong port", []string{"serve", "--rules", good, "--store", "redis://me:hush-hush@db:99999/0"}, 2, []string{"port"}},
		{"a Redis that nobody answers for", []string{"serve", "--rules", good, token, "--webhook-token", "hush-hush", "--store", "redis://me:hush-hush@127.0.0.1:1/0"}, 1, []string{"127.0.0.1:1"}},
		{"a store in no directory", []string{"serve", token, hook, "--rules", good, "--store", "bolt:" + filepath.Join(dir, "no", "such.db")}, 1, []string{"no"}},
		{"a rate that is none", []string{"serve", "--rules", good, "--gitlab-rate", "fast"}, 2, []string{"like 300/1m"}},
		{"a log window that is none", []string{"serve", "--rules", good, "--log-window", "0"}, 2, []string{"--log-window", "from 1 to 104857600"}},
		{"webhooks to keep, and no address", []string{"serve", "--rules", good, "--ensure-hooks"}, 2, []string{"--webhook-url: it is missing: the public URL that GitLab posts to"}},
		{"a webhook address with another path", []string{"serve", "--rules", good, "--webhook-url", "https://me:hush-hush@bot.example.com/x"}, 2, []string{"--webhook-url", "does not end in /webhooks/gitlab"}},
		{"a Slack app token that is none", []string{"serve", "--rules", good, "--slack-app-token", "hush-hush"}, 2, []string{"--slack-app-token"}},
		{"a signing secret of Slack that is none", []string{"serve", "--rules", good, "--slack-signing-secret", "hush-hush"}, 2, []string{"--slack-signing-secret"}},
		{"operators in Slack, and no Slack", []string{"serve", "--rules", good, "--slack-operators", "@ops"}, 2, []string{"--slack-operators: nobody can use buttons and commands in Slack"}},
		{"an external URL that is none", []string{"serve", "--rules", good, "--admin-external-url", "x"}, 2, []string{"--admin-external-url"}},
		{"no GitLab token", []string{"serve", "--rules", good, "--store", database}, 2, []string{"--gitlab-token: it is missing", "PIPESTEWARD_GITLAB_TOKEN_FILE"}},
		{"a GitLab that is no URL", []string{"serve", "--rules", good, token, "--store", database, "--gitlab-url", "gitlab.example.com"}, 2, []string{"--gitlab-url"}},
		{"an address that is none", []string{"serve", "--rules", good, token, "--store", database, "--webhook-token", "hush-hush", "--admin-listen", "127.0.0.1:x"}, 2, []string{"--admin-listen"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), append([]string{"pipesteward"}, c.args...), &stdout, &stderr)
			if code != c.code {
				t.Errorf("exit status %d, want %d\n%s", code, c.code, stderr.String())
			}
			for _, part := range c.says {
				if !strings.Contains(stderr.String(), part) {
					t.Errorf("stderr does not say %q:\n%s", part, stderr.String())
				}
			}
			if strings.Contains(stderr.String()+stdout.String(), "hush-hush") {
				t.Errorf("a secret is printed:\n%s%s", stderr.String(), stdout.String())
			}
		})
	}
	t.Run("a secret file that is missing", func(t *testing.T) {
		t.Setenv("PIPESTEWARD_GITLAB_TOKEN_FILE", filepath.Join(dir, "none"))
		var stderr bytes.Buffer
		if code := run(t.Context(), []string{"pipesteward", "serve", "--rules", good, "--webhook-token", "x"}, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "PIPESTEWARD_GITLAB_TOKEN_FILE") {
			t.Errorf("exit status %d: %s", code, stderr.String())
		}
	})
}

// TestMalformedURLs: a URL that is none is a misuse in each command that takes it.
func TestMalformedURLs(t *testing.T) {
	t.Setenv("PIPESTEWARD_GITLAB_TOKEN", "hush-hush")
	t.Setenv("PIPESTEWARD_WEBHOOK_TOKEN", "hush-hush")
	t.Setenv("PIPESTEWARD_SLACK_TOKEN", "xoxb-hush-hush")
	for _, c := range []struct{ command, setting string }{
		{"serve --rules ../../rules.example.yaml", "gitlab-url"},
		{"serve --rules ../../rules.example.yaml", "gitlab-alias"},
		{"serve --rules ../../rules.example.yaml", "webhook-url"},
		{"serve --rules ../../rules.example.yaml", "slack-api-url"},
		{"sweep --rules ../../rules.example.yaml", "gitlab-url"},
		{"catch-up --rules ../../rules.example.yaml", "gitlab-url"},
		{"hooks list platform", "gitlab-url"},
		{"hooks ensure platform", "webhook-url"},
		{"explain --rules ../../rules.example.yaml --job https://gitlab.com/a/b/-/jobs/1", "gitlab-url"},
		{"status", "admin-url"},
		{"decisions", "admin-url"},
		{"report", "admin-url"},
		{"catch-up", "admin-url"},
	} {
		for _, address := range []string{"example.com", "ftp://example.com", "http://", "http://[::1"} {
			code, stdout, stderr := called(t, append(strings.Fields(c.command), "--"+c.setting, address)...)
			if code != 2 || stdout != "" || !strings.Contains(stderr, "--"+c.setting) {
				t.Errorf("%s --%s %s: exit status %d, want 2\n%s%s", c.command, c.setting, address, code, stdout, stderr)
			}
		}
	}
}

// TestAllSettingsAtOnce: what is missing and wrong is said in one go, before anything is
// opened.
func TestAllSettingsAtOnce(t *testing.T) {
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(rules, []byte("version: 1\nrules: [{name: a, on: jobs}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(dir, "p.db")
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string // beginnings of the lines
	}{
		{"as a newcomer", []string{"--rules", filepath.Join(dir, "none.yaml"), "--store", "bolt:" + database}, 2, []string{
			"pipesteward: 3 settings are missing or wrong:",
			"  --rules: open " + filepath.Join(dir, "none.yaml"),
			"  --gitlab-token: it is missing: give an access token with scope api",
			"    in PIPESTEWARD_GITLAB_TOKEN, or its file in PIPESTEWARD_GITLAB_TOKEN_FILE",
			"  --webhook-token: neither it nor --webhook-signing-token is set",
		}},
		{
			"everything", []string{
				"--rules", rules, "--store", "redis://me:hush-hush@h:x/0", "--gitlab-url", "gitlab.example.com", "--gitlab-alias", "x", "--gitlab-token", "hush-hush\n.",
				"--gitlab-rate", "fast", "--native-retry-wait", "1d", "--projects", "a b", "--catch-up-every", "1s", "--catch-up-max-age", "1y", "--log-window", "0",
				"--webhook-token", "hush-hush", "--insecure-no-webhook-auth", "--slack-token", "xapp-hush-hush", "--slack-api-url", "slack", "--listen", "8080",
				"--admin-listen", "127.0.0.1:hush", "--admin-auth", "oidc", "--admin-external-url", "x", "--log-level", "loud", "--log-format", "xml",
			}, 2, []string{
				"pipesteward: 23 settings are missing or wrong:",
				"  --gitlab-rate: ", "  --native-retry-wait: ", "  --catch-up-every: ", "  --catch-up-max-age: ", "  --projects: ", "  --log-window: ", "  --gitlab-token: it has a line break",
				`  --log-level: "loud" is none of debug, info, warn, error`, `  --log-format: "xml" is none of auto, text, json`,
				"  --rules: the rules can't be used:", "    " + rules + `:2:9: rule "a"`, "    " + rules + `:2:23: rule "a"`,
				"  --store: the port", `  --gitlab-url: the GitLab URL "gitlab.example.com"`, "  --gitlab-alias: ",
				"  --insecure-no-webhook-auth: webhook tokens are set", "  --slack-token: the token is an app-level token", "  --slack-api-url: the URL of Slack's API", `  --listen: "8080" is no address`, "  --admin-listen: ",
				"  --admin-external-url: ", "  --admin-operators: nobody has a role", "    --admin-operator-groups", "    --admin-readers",
				"  --admin-oidc-client-id: it is missing", "    and give", "  --admin-oidc-client-secret: it is missing", "    best in the file", "    PIPESTEWARD_", "  --admin-oidc-issuer: ",
			},
		},
		{"who may use the admin address", []string{
			"--rules", "../../rules.example.yaml", "--store", "bolt:" + database, "--gitlab-token", "hush-hush", "--webhook-token", "hush-hush",
			"--admin-auth", "oidc", "--admin-session-lifetime", "1s", "--admin-oidc-client-secret", "hush-hush", "--admin-external-url", "http://ci.example.com", "--insecure-admin-without-auth",
		}, 2, []string{
			"pipesteward: 5 settings are missing or wrong:",
			`  --admin-session-lifetime: "1s" is not a time from 1m to 30d`, `  --admin-external-url: "http://ci.example.com" is not https:`, "    sessions and tokens", "    --admin-web-config",
			"  --insecure-admin-without-auth: it contradicts", "  --admin-operators: nobody has a role", "    --admin-operator-groups", "    --admin-readers", "  --admin-oidc-client-id: it is missing",
		}},
		{"an open admin address", []string{
			"--rules", "../../rules.example.yaml", "--store", "bolt:" + database, "--gitlab-token", "hush-hush", "--webhook-token", "hush-hush", "--admin-listen", ":9090",
		}, 2, []string{"pipesteward: --admin-listen: other machines can reach it, and --admin-auth local asks nobody"}},
		{"one", []string{"--rules", rules, "--store", "bolt:" + database, "--gitlab-token", "hush-hush", "--webhook-token", "hush-hush"}, 1, []string{
			"pipesteward: --rules: the rules can't be used:", "    " + rules,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr bytes.Buffer
			if code := run(t.Context(), append([]string{"pipesteward", "serve"}, c.args...), io.Discard, &stderr); code != c.code {
				t.Errorf("exit status %d, want %d", code, c.code)
			}
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			for i, want := range c.want {
				if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
					t.Fatalf("line %d does not begin with %q:\n%s", i+1, want, stderr.String())
				}
			}
			if strings.Contains(stderr.String(), "hush-hush") {
				t.Errorf("a secret is printed:\n%s", stderr.String())
			}
			if _, err := os.Stat(database); err == nil {
				t.Error("the store was opened")
			}
		})
	}
}

func TestParseRate(t *testing.T) {
	for _, bad := range []string{"", "300", "300/", "/1m", "0/1m", "-1/1m", "300/0s", "300/fast", "x/1m"} {
		if _, err := parseRate(bad); err == nil {
			t.Errorf("%q is taken for a rate", bad)
		}
	}
	for rate, want := range map[string]store.Rate{
		"300/1m": {Limit: 298, Per: time.Minute, Burst: 3}, // 3 at once, then one each 60/298 s: 300 in a minute
		"60/1m":  {Limit: 60, Per: time.Minute, Burst: 1},
		"1/10s":  {Limit: 1, Per: 10 * time.Second, Burst: 1},
	} {
		if r, err := parseRate(rate); err != nil || r != want {
			t.Errorf("%s is %+v, %v, want %+v", rate, r, err, want)
		}
	}
}
