package main

import (
	"cmp"
	"fmt"
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

// readAdminAuth reads who may use the admin address, by functions that read a secret and
// a list. Commands that serve nothing have no such settings.
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
		err = fmt.Errorf("--admin-session-lifetime: %q is not a time from %s to %s, like 8h", c.String("admin-session-lifetime"), model.Duration(leastSession), model.Duration(mostSession))
	}
	cfg.OIDC = auth.OIDCConfig{
		Issuer:   cmp.Or(c.String("admin-oidc-issuer"), c.String("gitlab-url")),
		ClientID: c.String("admin-oidc-client-id"), ClientSecret: secret("admin-oidc-client-secret"),
		SessionLifetime: time.Duration(lifetime),
	}
	return cfg, err
}
