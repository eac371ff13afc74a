package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// withFlag returns the words of the commands that have a flag.
func withFlag(name string) (all [][]string) {
	eachCommand(func(c *cli.Command, words []string) {
		if slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return f.Names()[0] == name }) {
			all = append(all, words)
		}
	})
	return all
}

// inOneLine returns a text without its line breaks: doctor wraps its findings.
func inOneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// TestSettingsAreCheckedAlike: each command that takes a setting refuses a value that can't
// be used in the same words, which name that setting.
func TestSettingsAreCheckedAlike(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	for _, c := range []struct {
		setting, value, says string
		least                int // commands that have it
	}{
		{"webhook-signing-token", "hush-hush", `signing token 1 is malformed: it must be "whsec_" and 32 bytes in base64, as GitLab shows it`, 3},
		{"webhook-signing-token", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", `signing token 1 is malformed`, 3},
		{"webhook-token", "hush\nhush", "it has a line break or another control character inside: give the secret alone, in one line", 3},
		{"webhook-url", "https://bot.example.com/x", "https://bot.example.com/x does not end in /webhooks/gitlab", 4},
		{"gitlab-token", "hush\nhush", "it has a line break", 6},
		{"gitlab-token", "hush hush", "it has a space, a line break or another character that no token has", 6},
		{"gitlab-url", "gitlab.example.com", "", 6},
		{"gitlab-alias", "gitlab.example.com", "", 3},
		{"gitlab-rate", "fast", `"fast" is not a rate: write requests and a time, like 300/1m`, 6},
		{"store", "mysql://me:hush-hush@db/x", `"mysql" is not a kind of store: write bolt:PATH`, 5},
		{"projects", "a,b", `"a,b" is no project: no path has a comma; give each one by itself`, 5},
		{"slack-token", "xapp-hush-hush", "the token is an app-level token (xapp-…)", 4},
		{"slack-signing-secret", "xoxb-hush-hush", "signing secret 1 is a token: copy the Signing Secret", 2},
		{"slack-signing-secret", "hush-hush", "signing secret 1 is not a Slack signing secret", 2},
		{"slack-app-token", "xoxb-hush-hush", "it is no app-level token: copy one that begins with xapp-", 2},
		{"slack-operators", "ci-ops", `"ci-ops" is no user group in Slack: write its handle, like @ci-ops`, 2},
		{"log-level", "loud", `"loud" is none of debug, info, warn, error`, 6},
		{"log-window", "-1", `"-1" is not a number of bytes from 1 to 104857600`, 4},
		{"catch-up-max-age", "100d", `"100d" is not a time up to 3d, like 24h`, 2},
		{"journal-retention", "1h", `"1h" is not a time from 1d to 2y, like 90d`, 1},
		{"deliveries-retention", "long", `"long" is not a time from 1d to 2y, like 90d`, 1},
		{"unknown-retention", "3y", `"3y" is not a time from 1d to 2y, like 90d`, 1},
		{"ledger-retention", "0", `"0" is not a time from 1d to 2y, like 90d`, 1},
		{"native-retry-wait", "1h", `"1h" is not a time from 0s to 5m0s, like 5s`, 3},
	} {
		commands := withFlag(c.setting)
		if len(commands) < c.least {
			t.Errorf("%d commands have --%s", len(commands), c.setting)
		}
		for _, words := range commands {
			name := strings.Join(words, " ")
			args := slices.Clone(words)
			for _, given := range [][]string{ // what the command has of these is right
				{"gitlab-url", env.gitlab.URL()},
				{"gitlab-token", gitlabtest.DefaultToken},
				{"webhook-token", testSecret},
				{"rules", filepath.Join(env.dir, "rules.yaml")},
				{"job-token", "job-token"},
				{"event", filepath.Join(env.dir, "rules.yaml")},
				{"admin-url", "http://127.0.0.1:1"},
			} {
				if given[0] == "admin-url" && words[0] == "catch-up" { // with it, the server's settings count
					continue
				}
				if given[0] != c.setting && slices.ContainsFunc(withFlag(given[0]), func(of []string) bool { return slices.Equal(of, words) }) {
					args = append(args, "--"+given[0], given[1])
				}
			}
			switch args = append(args, "--"+c.setting+"="+c.value); words[0] {
			case "hooks":
				args = append(args, "platform/shop")
			case "backup":
				args = append(args, filepath.Join(env.dir, "saved.db"))
			}
			code, stdout, stderr := called(t, args...)
			text := inOneLine(stdout + stderr)
			says := "--" + c.setting + ": " + c.says
			if code == 0 || !strings.Contains(text, says) {
				t.Errorf("%s --%s=%q: exit status %d, and no %q:\n%s%s", name, c.setting, c.value, code, says, stdout, stderr)
			}
			if strings.Contains(text, "hush") {
				t.Errorf("%s shows the value of --%s:\n%s%s", name, c.setting, stdout, stderr)
			}
		}
	}
	if n := env.hookWrites(); n != 0 {
		t.Errorf("%d writes", n)
	}
}

// adminCalls returns for each command that calls a running server its words and what else
// it needs.
func adminCalls() (all [][]string) {
	for _, words := range withFlag("admin-url") {
		switch name := strings.Join(words, " "); name {
		case "why":
			words = append(words, "https://gitlab.example.com/platform/shop/-/jobs/1")
		case "propose":
			words = append(words, "3f2a9c01")
		case "backtest":
			words = append(words, "--seed")
		case "backup":
			words = append(words, "--force", filepath.Join(os.TempDir(), "saved.db")) // which no such call writes
		case "queue requeue":
			words = append(words, "an-id")
		case "queue drop":
			words = append(words, "an-id", "--yes")
		}
		all = append(all, words)
	}
	return all
}

// TestAdminSettings: each command that calls a running server says which of the settings for
// that can't be used; `check` does not fail without the server. `mcp` calls the server when
// a tool does, which TestMCPWithoutServer tests.
func TestAdminSettings(t *testing.T) {
	env := newEnvironment(t)
	p := env.run()
	webhooks := strings.TrimSuffix(p.webhooks, "/webhooks/gitlab")
	secret, rules := env.write("secret", "hush\x01hush\n"), env.write("pass-rates.yaml", passRateRules)
	const control = "it has a line break or another control character inside: give the secret alone, in one line"
	for _, c := range []struct {
		name      string
		args      []string
		variables map[string]string
		says      string
	}{
		{"the address of webhooks", []string{"--admin-url", webhooks}, nil, webhooks + " is where `serve` takes webhooks (--listen): give the address of its --admin-listen as --admin-url"},
		{"a token of two lines", []string{"--admin-url", p.admin, "--admin-token", "hush\nhush"}, nil, "--admin-token: " + control},
		{"a password of two lines", []string{"--admin-url", p.admin, "--admin-user", "ann", "--admin-password", "hush\nhush"}, nil, "--admin-password: " + control},
		{"the same in a variable", []string{"--admin-url", p.admin}, map[string]string{"PIPESTEWARD_ADMIN_TOKEN": "hush\nhush"}, "--admin-token: " + control},
		{"the same in a file", []string{"--admin-url", p.admin}, map[string]string{"PIPESTEWARD_ADMIN_TOKEN_FILE": secret}, "--admin-token: PIPESTEWARD_ADMIN_TOKEN_FILE: " + control},
		{"nobody", []string{"--admin-url", "http://127.0.0.1:1"}, nil, "no server answers at http://127.0.0.1:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.variables {
				t.Setenv(name, value)
			}
			for _, words := range adminCalls() {
				if words[0] == "mcp" && len(c.args) == 2 && c.variables == nil {
					continue // the settings are right
				}
				args := append(slices.Clone(words), c.args...)
				if words[0] == "doctor" {
					args = append(args, "--gitlab-url", "http://127.0.0.1:1", "--rules", filepath.Join(env.dir, "rules.yaml"), "--store", "bolt:"+filepath.Join(env.dir, "none.db"))
				}
				if words[0] == "check" {
					args = append(args, rules)
				}
				code, stdout, stderr := called(t, args...)
				if text := inOneLine(stdout + stderr); code == 0 && words[0] != "check" || !strings.Contains(text, c.says) || strings.Contains(text, "hush") {
					t.Errorf("%q: exit status %d\n%s%s", args, code, stdout, stderr)
				}
			}
		})
	}
}

// TestAdminTokenWithLineBreak: a line break at the end is no part of a secret, wherever it
// comes from.
func TestAdminTokenWithLineBreak(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		_ = json.NewEncoder(w).Encode(map[string]any{})
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("glpat-abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := called(t, "status", "--admin-url", server.URL, "--admin-token", "glpat-abc\n"); code != 0 {
		t.Error(stderr)
	}
	t.Setenv("PIPESTEWARD_ADMIN_TOKEN_FILE", path)
	if code, _, stderr := called(t, "status", "--admin-url", server.URL); code != 0 {
		t.Error(stderr)
	}
	if want := []string{"Bearer glpat-abc", "Bearer glpat-abc"}; !slices.Equal(got, want) {
		t.Errorf("the server got %q, want %q", got, want)
	}
}
