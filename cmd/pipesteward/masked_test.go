package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestAddressesAreMasked: no output has a secret of an address that is refused or that
// nobody answers at.
func TestAddressesAreMasked(t *testing.T) {
	const secret = "HUSH-HUSH"
	env := newEnvironment(t)
	gitlab := env.gitlab.URL()
	explain := func(address string) []string {
		return []string{"explain", "--rules", env.write("rules.yaml", testRules), "--gitlab-url", gitlab, "--gitlab-token", "x", "--job", address}
	}
	oidc := func(issuer string) []string {
		return []string{"serve", "--admin-auth", "oidc", "--admin-external-url", "https://bot.example.com", "--admin-oidc-client-id", "x", "--admin-oidc-client-secret", "y", "--admin-oidc-issuer", issuer}
	}
	none := []string{"--admin-url", "http://127.0.0.1:1"}
	for _, c := range []struct {
		name     string
		args     []string
		adminURL string // of the environment
		says     string
	}{
		{"admin, wrong port", []string{"status", "--admin-url", "https://ann:" + secret + "@127.0.0.1:xx"}, "", "[masked]@127.0.0.1:xx"},
		{"admin, #", []string{"status", "--admin-url", "https://ann:" + secret + "#" + secret + "@127.0.0.1:1"}, "", "[masked]@127.0.0.1:1"},
		{"admin, %", []string{"status", "--admin-url", "https://ann:" + secret + "%zz@127.0.0.1:1"}, "", "[masked]@127.0.0.1:1"},
		{"admin, no scheme", []string{"status", "--admin-url", "ann:" + secret + "@127.0.0.1:1"}, "", "[masked]@127.0.0.1:1"},
		{"admin, right", []string{"status", "--admin-url", "https://ann:" + secret + "@127.0.0.1:1"}, "", "--admin-password"},
		{"admin, query", []string{"status", "--admin-url", "http://127.0.0.1:1?token=" + secret}, "", "token=[masked]"},
		{"admin, variable", []string{"pause"}, "https://ann:" + secret + "%@127.0.0.1:1", "[masked]@127.0.0.1:1"},
		{"doctor", []string{"doctor", "--rules", env.write("rules.yaml", testRules), "--gitlab-url", gitlab, "--gitlab-token", "x", "--store", "bolt:" + t.TempDir() + "/p.db", "--admin-url", "https://ann:" + secret + "#@127.0.0.1:xx"}, "", "masked"},

		{"gitlab, no scheme", []string{"serve", "--gitlab-url", "u:" + secret + "@h.example.com"}, "", "[masked]@h.example.com"},
		{"gitlab, #", []string{"serve", "--gitlab-url", "https://u:" + secret + "#x@h.example.com"}, "", "[masked]@h.example.com"},
		{"gitlab, %", []string{"serve", "--gitlab-url", "https://u:" + secret + "%@h.example.com"}, "", "[masked]@h.example.com"},
		{"alias", []string{"serve", "--gitlab-alias", "https://u:" + secret + "#x@h.example.com"}, "", "[masked]@h.example.com"},
		{"external URL", []string{"serve", "--admin-auth", "oidc", "--admin-external-url", "https://u:" + secret + "@h.example.com"}, "", "[masked]@h.example.com"},
		{"issuer, wrong port", oidc("https://u:" + secret + "@h.example.com:xx"), "", "[masked]@h.example.com:xx"},
		{"issuer", oidc("https://u:" + secret + "@h.example.com"), "", "[masked]@h.example.com"},
		{"issuer, query", oidc("https://h.example.com?token=" + secret), "", "token=[masked]"},
		{"projects", []string{"serve", "--projects", "https://oauth2:" + secret + "@h.example.com/a/b"}, "", "write the project's path, a/b"},
		{"listen", []string{"serve", "--listen", "https://u:" + secret + "@h.example.com"}, "", "[masked]@h.example.com"},
		{"webhook", []string{"serve", "--webhook-url", "https://u:" + secret + "@h.example.com"}, "", "[masked]@h.example.com"},
		{"store", []string{"serve", "--store", "mysql://u:" + secret + "@h.example.com"}, "", "mysql"},
		{"Slack", []string{"serve", "--slack-token", "xoxb-1", "--slack-api-url", "https://h.example.com?token=" + secret}, "", "--slack-api-url"},
		{"argument", []string{"serve", "https://u:" + secret + "@h.example.com"}, "", "[masked]@h.example.com"},
		{"no command", []string{"https://u:" + secret + "@h.example.com"}, "", "[masked]@h.example.com"},

		{"hooks", []string{"hooks", "ensure", "https://oauth2:" + secret + "@h.example.com/a/b.git"}, "", "write the project's path, a/b"},
		{"hooks, slash", []string{"hooks", "list", "https://oauth2:1/" + secret + "@h.example.com/a/b"}, "", "write the project's path, a/b"},
		{"hooks, no scheme", []string{"hooks", "list", "oauth2:" + secret + "@h.example.com/a/b"}, "", "write the project's path, a/b"},
		{"hooks, query", []string{"hooks", "list", "https://h.example.com/a/b?private_token=" + secret}, "", "write the project's path, a/b"},
		{"doctor --project", []string{"doctor", "--project", "https://oauth2:" + secret + "@h.example.com/a/b"}, "", "write the project's path, a/b"},

		{"why, no server", append([]string{"why", gitlab + "/a/b/-/jobs/1?private_token=" + secret}, none...), "", "no server answers"},
		{"explain", explain(gitlab + "/x?private_token=" + secret), "", "private_token=[masked]"},
		{"explain, another GitLab", explain("https://u:" + secret + "@h.example.com/a/b/-/jobs/1?private_token=" + secret), "", "https://h.example.com is a page of another GitLab"},
		{"explain, wrong", explain("https://u:" + secret + "#@h.example.com:xx"), "", "[masked]@h.example.com:xx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.adminURL != "" {
				t.Setenv("PIPESTEWARD_ADMIN_URL", c.adminURL)
			}
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), append([]string{"pipesteward"}, c.args...), &stdout, &stderr)
			out := stdout.String() + stderr.String()
			if code == 0 || !strings.Contains(out, c.says) {
				t.Errorf("exit status %d; the output should say %q:\n%s", code, c.says, out)
			}
			if strings.Contains(out, secret) {
				t.Errorf("the secret is printed:\n%s", out)
			}
		})
	}

	p := env.run()
	for _, address := range []string{gitlab + "/x?private_token=" + secret, "https://u:" + secret + "#@h.example.com:xx", "u:" + secret + "@h.example.com"} {
		code, out, errs := p.why(address)
		if code != 2 || !strings.Contains(errs, "masked") || strings.Contains(out+errs+p.logged(), secret) {
			t.Errorf("why %s: exit status %d\n%s%s", address, code, out, errs)
		}
	}
	other := "https://" + strings.TrimPrefix(gitlab, "http://")
	if _, _, errs := p.why(other + "/a/b/-/jobs/1"); !strings.Contains(errs, other+" is a page of another GitLab than "+gitlab) {
		t.Errorf("why of another scheme says %s", errs)
	}
}
