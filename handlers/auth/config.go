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

	"github.com/pipesteward/pipesteward/rules/joblog/redact"
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

// New returns the Authorizer. Its error is ConfigErrors. It calls nobody: GitLab may be down.
func New(cfg Config) (*Authorizer, error) {
	if cfg.Kind == "" {
		cfg.Kind = KindLocal
	}
	a := &Authorizer{kind: cfg.Kind, roles: cfg.Roles, insecure: cfg.Insecure, log: cfg.Log}
	var wrong ConfigErrors
	var err error
	if cfg.ExternalURL != "" {
		a.external, err = parseExternalURL(cfg.ExternalURL)
		wrong.addMalformed("admin-external-url", err)
	}
	if cfg.WebConfigFile != "" {
		a.webConfig, err = openWebConfig(cfg.WebConfigFile, cfg.Kind == KindWebConfig, cfg.Log)
		wrong.add("admin-web-config", err)
	}
	wrong.addMalformed("insecure-admin-without-auth", checkInsecure(cfg))
	wrong.addMalformed("admin-operators", checkRoles(cfg.Kind, cfg.Roles))
	switch cfg.Kind {
	case KindLocal:
	case KindWebConfig:
		if cfg.WebConfigFile == "" {
			wrong.addMalformed("admin-web-config", errors.New("it is missing: --admin-auth web-config needs the file with its users"))
		}
		if len(cfg.Roles.Readers) == 0 {
			a.roles.Readers = []string{everybody} // the file is the list of those who may come in
		}
		a.authenticator = newPasswords(a.webConfig, cfg.Now, cfg.Log)
	case KindOIDC:
		wrong = append(wrong, checkOIDC(cfg.OIDC, cfg.ExternalURL)...)
		if len(wrong) == 0 {
			a.signIn, err = newSignIn(cfg.OIDC, a.external, a.roles, cfg.Now, cfg.Log)
			wrong.add("admin-oidc-client-secret", err)
			a.authenticator = a.signIn
		}
	case KindProxyHeader:
		proxy, mistakes := newProxyHeaders(cfg.Proxy)
		wrong = append(wrong, mistakes...)
		a.authenticator = proxy
	default:
		wrong.addMalformed("admin-auth", fmt.Errorf("%q is none of %s", cfg.Kind, strings.Join(Kinds, ", ")))
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	if a.authenticator != nil && a.roles.noOperator() {
		cfg.Log.Warn("nobody may change anything at the admin address: neither --admin-operators nor --admin-operator-groups is given")
	}
	return a, nil
}

// checkInsecure returns why an open address contradicts the other settings.
func checkInsecure(cfg Config) error {
	if cfg.Insecure && cfg.Kind != KindLocal {
		return fmt.Errorf("it contradicts --admin-auth %s: choose one", cfg.Kind)
	}
	return nil
}

// checkRoles returns why nobody could have the roles, or could have one.
func checkRoles(kind string, roles Roles) error {
	switch {
	case kind == KindLocal && !roles.isEmpty():
		return errors.New("neither it nor --admin-readers nor their groups have an effect\n" +
			"with --admin-auth local, which knows no users: choose another")
	case kind == KindWebConfig && roles.nameGroups():
		return errors.New("--admin-operator-groups and --admin-reader-groups have no effect\n" +
			"with --admin-auth web-config, which knows no groups: name users")
	case (kind == KindOIDC || kind == KindProxyHeader) && roles.isEmpty():
		return errors.New("nobody has a role, so nobody could do anything: give it or\n" +
			"--admin-operator-groups, and --admin-readers or --admin-reader-groups;\n" +
			"--admin-readers '*' lets everybody read who is authenticated")
	}
	return nil
}

// CheckAddress returns an error if the admin address must not be listened on: without
// authentication that is every address but loopback.
func (a *Authorizer) CheckAddress(addr net.Addr) error {
	if a.authenticator != nil || a.insecure || IsLoopback(addr) {
		return nil
	}
	return errors.New("other machines can reach it, and --admin-auth local asks nobody\n" +
		"who they are: set --admin-auth to web-config, oidc or proxy-header, or\n" +
		"listen on 127.0.0.1. To let everybody read and change everything instead:\n" +
		"--insecure-admin-without-auth")
}

// parseExternalURL requires a scheme and a host and nothing else; and https, but for
// loopback, because credentials would be readable on the way.
func parseExternalURL(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	switch {
	case err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("%q is not a scheme and a host, like https://pipesteward.example.com", redact.URL(s))
	case u.Scheme == "http" && !IsLoopbackHost(u.Host):
		return nil, fmt.Errorf("%q is not https:\n"+
			"sessions and tokens would be readable on the way. Give the address TLS by\n"+
			"--admin-web-config, or put a proxy with TLS in front", redact.URL(s))
	}
	return u, nil
}
