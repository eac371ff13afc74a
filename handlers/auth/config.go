package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config says who may use the admin address.
type Config struct {
	Kind        string // one of Kinds; "": local
	Insecure    bool   // of the kind local: everybody who reaches the address may operate it, also from other machines
	ExternalURL string // scheme and host by which people reach the admin address; "": unknown
	// WebConfigFile is a file of prometheus/exporter-toolkit: TLS and headers for every
	// kind, and users for the kind web-config; "": none.
	WebConfigFile string
	Roles         Roles
	OIDC          OIDCConfig
	Proxy         ProxyConfig
	Now           func() time.Time
	Log           *slog.Logger
}

// New returns the Authorizer. Its error joins all mistakes, each with its setting. It
// calls nobody: GitLab may be down.
func New(cfg Config) (*Authorizer, error) {
	if cfg.Kind == "" {
		cfg.Kind = KindLocal
	}
	a := &Authorizer{kind: cfg.Kind, roles: cfg.Roles, insecure: cfg.Insecure, log: cfg.Log}
	var errs []error
	fail := func(err error) { errs = append(errs, err) }
	var err error
	if cfg.ExternalURL != "" {
		if a.external, err = parseExternalURL(cfg.ExternalURL); err != nil {
			fail(fmt.Errorf("--admin-external-url: %w", err))
			a.external = &url.URL{} // it is wrong and not missing
		}
	}
	if cfg.WebConfigFile != "" {
		if a.webConfig, err = openWebConfig(cfg.WebConfigFile, cfg.Kind == KindWebConfig, cfg.Log); err != nil {
			fail(fmt.Errorf("--admin-web-config: %w", err))
		}
	}
	if cfg.Insecure && cfg.Kind != KindLocal {
		fail(fmt.Errorf("--insecure-admin-without-auth contradicts --admin-auth %s: choose one", cfg.Kind))
	}
	if (cfg.Kind == KindOIDC || cfg.Kind == KindProxyHeader) && cfg.Roles.isEmpty() {
		fail(fmt.Errorf("--admin-auth %s: nobody has a role, so nobody could do anything: give --admin-operators or --admin-operator-groups, and --admin-readers or --admin-reader-groups (--admin-readers '*' lets everybody read who is authenticated)", cfg.Kind))
	}
	switch cfg.Kind {
	case KindLocal:
		if !cfg.Roles.isEmpty() {
			fail(errors.New("--admin-operators, --admin-readers and their groups have no effect with --admin-auth local, which knows no users: choose another"))
		}
	case KindWebConfig:
		if cfg.WebConfigFile == "" {
			fail(errors.New("--admin-web-config is missing: --admin-auth web-config needs the file with its users"))
		}
		if cfg.Roles.nameGroups() {
			fail(errors.New("--admin-reader-groups and --admin-operator-groups have no effect with --admin-auth web-config, which knows no groups: give --admin-operators"))
		}
		if len(cfg.Roles.Readers) == 0 {
			a.roles.Readers = []string{everybody} // the file is the list of those who may come in
		}
		if a.webConfig != nil {
			a.authenticator = newPasswords(a.webConfig, cfg.Now, cfg.Log)
		}
	case KindOIDC:
		switch s, err := newSignIn(cfg.OIDC, a.external, a.roles, cfg.Now, cfg.Log); {
		case err != nil:
			fail(err)
		default:
			a.signIn, a.authenticator = s, s
		}
	case KindProxyHeader:
		if a.authenticator, err = newProxyHeaders(cfg.Proxy); err != nil {
			fail(err)
		}
	default:
		fail(fmt.Errorf("--admin-auth: %q is none of %s", cfg.Kind, strings.Join(Kinds, ", ")))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if a.authenticator != nil && a.roles.noOperator() {
		cfg.Log.Warn("nobody may change anything at the admin address: neither --admin-operators nor --admin-operator-groups is given")
	}
	return a, nil
}

// CheckAddress returns an error if the admin address must not be listened on: without
// authentication that is every address but loopback.
func (a *Authorizer) CheckAddress(addr net.Addr) error {
	if a.authenticator != nil || a.insecure || IsLoopback(addr) {
		return nil
	}
	return fmt.Errorf("%s can be reached from other machines, and --admin-auth local asks nobody who they are: "+
		"set --admin-auth to web-config, oidc or proxy-header, or listen on 127.0.0.1; "+
		"--insecure-admin-without-auth lets everybody who reaches the address pause, reload and read everything", addr)
}

// parseExternalURL requires a scheme and a host and nothing else; and https, but for
// loopback, because credentials would be readable on the way.
func parseExternalURL(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	switch {
	case err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("%q is not a scheme and a host, like https://pipesteward.example.com", s)
	case u.Scheme == "http" && !IsLoopbackHost(u.Host):
		return nil, fmt.Errorf("%q is not https: sessions and tokens would be readable on the way; --admin-web-config gives the address TLS, or put a proxy with TLS in front", s)
	}
	return u, nil
}
