package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/handlers/auth"
)

// leastSession and mostSession bound how long a sign-in lasts: GitLab is not asked
// meanwhile whether the person is still a member.
const (
	leastSession = time.Minute
	mostSession  = 30 * 24 * time.Hour
)

// adminAuthFlags are the flags of serve that say who may use the admin address.
func adminAuthFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("admin-auth", auth.KindLocal, "`KIND` of authentication for --admin-listen: "+strings.Join(auth.Kinds, ", ")),
		listFlag("admin-operators", "`USER` who may read and change everything; * is every authenticated one"),
		listFlag("admin-operator-groups", "`GROUP` whose members may read and change everything"),
		listFlag("admin-readers", "`USER` who may read everything; * is every authenticated one"),
		listFlag("admin-reader-groups", "`GROUP` whose members may read everything"),
		boolFlag("admin-public-metrics", "let everybody who reaches --admin-listen read /metrics"),
		boolFlag("admin-pprof", "serve profiles of the process at --admin-listen/debug/pprof/, to operators"),
		stringFlag("admin-external-url", "", "`URL` by which people reach --admin-listen, like https://pipesteward.example.com; a listener on loopback answers to its host too"),
		stringFlag("admin-web-config", "", "`FILE` with TLS, headers and users, as Prometheus's web.config.file, for --admin-auth web-config; with the other kinds it gives TLS, headers and a rate limit"),
		stringFlag("admin-oidc-issuer", "", "external `URL` of the GitLab where people sign in, for --admin-auth oidc; default: --gitlab-url"),
		stringFlag("admin-oidc-client-id", "", "`ID` of the OpenID application in that GitLab"),
		secretFlag("admin-oidc-client-secret", "`SECRET` of that application"),
		stringFlag("admin-session-lifetime", "8h", "how long a sign-in lasts, as `TIME`; 30d at most"),
		stringFlag("admin-proxy-user-header", "X-Forwarded-User", "`HEADER` in which a proxy names the user, for --admin-auth proxy-header"),
		stringFlag("admin-proxy-groups-header", "X-Forwarded-Groups", "`HEADER` in which a proxy names the user's groups, with commas between; \"\": it names none"),
		listFlag("admin-trusted-proxies", "address or `NETWORK` of the proxies; default: this machine"),
		boolFlag("insecure-admin-without-auth", "let everybody who reaches --admin-listen read and change everything, from other machines too"),
	}
}

// readAdminAuth reads who may use the admin address, by functions that read a secret and
// a list. Commands that serve nothing have no such settings. The error is about the
// lifetime of sessions.
func readAdminAuth(c *cli.Command, secret func(string) string, list func(string) []string) (auth.Config, error) {
	kind := c.String("admin-auth")
	if kind == "" {
		return auth.Config{}, nil
	}
	cfg := auth.Config{
		Kind:          kind,
		Insecure:      c.Bool("insecure-admin-without-auth"),
		ExternalURL:   c.String("admin-external-url"),
		WebConfigFile: c.String("admin-web-config"),
		Roles: auth.Roles{
			Operators: list("admin-operators"), OperatorGroups: list("admin-operator-groups"),
			Readers: list("admin-readers"), ReaderGroups: list("admin-reader-groups"),
		},
		Proxy: auth.ProxyConfig{
			UserHeader: c.String("admin-proxy-user-header"), GroupsHeader: c.String("admin-proxy-groups-header"), Trusted: list("admin-trusted-proxies"),
		},
	}
	lifetime, err := model.ParseDuration(c.String("admin-session-lifetime"))
	if err != nil || time.Duration(lifetime) < leastSession || time.Duration(lifetime) > mostSession {
		err = fmt.Errorf("%q is not a time from %s to %s, like 8h", c.String("admin-session-lifetime"), model.Duration(leastSession), model.Duration(mostSession))
	}
	cfg.OIDC = auth.OIDCConfig{
		Issuer:   cmp.Or(c.String("admin-oidc-issuer"), c.String("gitlab-url")),
		ClientID: c.String("admin-oidc-client-id"), ClientSecret: secret("admin-oidc-client-secret"),
		SessionLifetime: time.Duration(lifetime),
	}
	return cfg, err
}
