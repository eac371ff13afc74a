package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/handlers/auth/authtest"
)

// command runs a command against the program's admin address, and checks its exit status
// and a part of what it prints.
func (p *program) command(code int, says string, args ...string) {
	p.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"pipesteward", args[0], "--admin-url", p.admin}, args[1:]...)
	if got := run(p.Context(), args, &out, &errs); got != code || !strings.Contains(out.String()+errs.String(), says) {
		p.Errorf("%v: exit status %d, %q, %q, want %d and %q", args, got, out.String(), errs.String(), code, says)
	}
}

// isOpenAtHealth checks that health checks need no credentials, and metrics do.
func (p *program) isOpenAtHealth(client *http.Client) {
	p.Helper()
	for path, open := range map[string]bool{"/healthz": true, "/readyz": true, "/-/healthy": true, "/-/ready": true, "/metrics": false, "/api/v1/status": false, "/nothing": false} {
		resp, err := client.Get(p.admin + path)
		if err != nil {
			p.Fatal(err)
		}
		_ = resp.Body.Close()
		if isOpen := resp.StatusCode == http.StatusOK; isOpen != open || !open && resp.StatusCode != http.StatusUnauthorized {
			p.Errorf("%s without credentials: %s, want open %v", path, resp.Status, open)
		}
	}
}

// usersFile writes a web configuration file with these users, each with the name as
// password, and TLS.
func (env *environment) usersFile(authority *authtest.Authority, more string, users ...string) string {
	env.Helper()
	cert, key := authority.Issue("pipesteward")
	env.write("server.crt", cert)
	env.write("server.key", key)
	var text strings.Builder
	fmt.Fprintf(&text, "tls_server_config: {cert_file: server.crt, key_file: server.key%s}\n", more)
	if len(users) > 0 {
		text.WriteString("basic_auth_users:\n")
	}
	for _, user := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(user), bcrypt.MinCost)
		if err != nil {
			env.Fatal(err)
		}
		fmt.Fprintf(&text, "  %s: %s\n", user, hash)
	}
	return env.write("web.yaml", text.String())
}

// Users of a web configuration file come in by TLS and password. The journal has their
// names, whatever the request says.
func TestAdminWebConfig(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	authority := authtest.NewAuthority(t)
	p := env.run("--admin-auth", "web-config", "--admin-web-config", env.usersFile(authority, "", "ann", "rita"), "--admin-operators", "ann")
	if !strings.HasPrefix(p.admin, "https://") {
		t.Fatalf("the admin address is %s", p.admin)
	}
	ca := env.write("ca.crt", authority.PEM)
	as := func(user string, args ...string) []string {
		return append(args, "--admin-ca", ca, "--admin-user", user, "--admin-password", user)
	}
	p.command(0, "nothing is paused", as("rita", "status")...)
	p.command(0, "by ann", as("ann", "pause", "--by", "mallory")...)
	p.command(1, `"rita" has the role read, and this needs the role operate`, as("rita", "resume")...)
	p.command(1, "the user or the password is wrong", "status", "--admin-ca", ca, "--admin-user", "ann", "--admin-password", "rita")
	p.command(1, "a user and a password are needed", "status", "--admin-ca", ca)
	p.command(1, "give the file of its authority as --admin-ca", "status")
	p.command(2, "belong together", "status", "--admin-ca", ca, "--admin-user", "ann")
	p.isOpenAtHealth(env.trusting(authority))

	secure := p.admin
	p.admin = strings.Replace(secure, "https", "http", 1)
	p.command(1, "let --admin-url begin with https://", "status")
	p.admin = secure

	// The file is followed.
	env.write("web.yaml", "basic_auth_users: {}\n")
	p.eventually("the file is refused", func() bool { return strings.Contains(p.logged(), "the one in force stays") })
	for user, want := range map[string]int{"rita": http.StatusForbidden, "ann": http.StatusUnprocessableEntity} {
		if code, text := p.reloadAs(env.trusting(authority), user); code != want || want == http.StatusUnprocessableEntity && !strings.Contains(text, "--admin-web-config") {
			t.Errorf("a reload by %s: %d %s, want %d", user, code, text, want)
		}
	}
	env.usersFile(authority, "", "rita")
	p.eventually("ann is gone", func() bool { return strings.Contains(p.logged(), "web configuration loaded") })
	p.command(1, "the user or the password is wrong", as("ann", "status")...)
	p.command(0, "paused", as("rita", "status")...)
	if strings.Contains(p.logged(), "$2a$") || !strings.Contains(p.logged(), `"by":"ann"`) || strings.Contains(p.logged(), "mallory") {
		t.Errorf("the log holds a hash, or not who paused:\n%s", p.tail())
	}
}

// reloadAs makes the program read its files again, as a user whose name is the password.
func (p *program) reloadAs(client *http.Client, user string) (code int, text string) {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.admin+"/-/reload", http.NoBody)
	if err != nil {
		p.Fatal(err)
	}
	req.SetBasicAuth(user, user)
	resp, err := client.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// trusting returns a client that trusts the authority.
func (env *environment) trusting(authority *authtest.Authority) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(authority.Cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	env.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestAdminClientCertificates(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	authority := authtest.NewAuthority(t)
	ca := env.write("ca.crt", authority.PEM)
	p := env.run("--admin-auth", "web-config", "--admin-operators", "ann",
		"--admin-web-config", env.usersFile(authority, ", client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert"))
	as := func(user string, args ...string) []string {
		cert, key := authority.Issue(user)
		return append(args, "--admin-ca", ca, "--admin-client-cert", env.write(user+".crt", cert), "--admin-client-key", env.write(user+".key", key))
	}
	p.command(0, "by ann", as("ann", "pause")...)
	p.command(0, "by ann", as("rita", "status")...)
	p.command(1, "needs the role operate", as("rita", "resume")...)
	// With TLS 1.3, whether the client reads the server's alert or fails to write before
	// is a matter of time.
	p.command(1, "no server answers", "status", "--admin-ca", ca)
	p.command(2, "--admin-client-cert and --admin-client-key belong together", "status", "--admin-client-key", ca)
}

// People sign in at GitLab, behind a proxy; programs send a token.
func TestAdminOIDC(t *testing.T) {
	env := newEnvironment(t)
	gitlab := authtest.Start(t, time.Now)
	gitlab.AddUser(authtest.User{Username: "ann", Direct: []string{"platform"}, Below: []string{"platform/ops"}})
	gitlab.AddUser(authtest.User{Username: "eve"})
	const token = "glpat-0123456789abcdef"
	gitlab.AddToken(token, authtest.AccessToken{Username: "ann", Scopes: []string{"api"}})
	gitlab.AddToken(token+"-eve", authtest.AccessToken{Username: "eve", Scopes: []string{"api"}})
	backend := &url.URL{Scheme: "http"}
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(backend) }})
	t.Cleanup(front.Close)
	gitlab.RedirectURI = front.URL + "/-/sign-in/callback"

	secret := env.write("client-secret", gitlab.ClientSecret)
	t.Setenv("PIPESTEWARD_ADMIN_OIDC_CLIENT_SECRET_FILE", secret)
	p := env.run("--admin-auth", "oidc", "--admin-oidc-issuer", gitlab.URL, "--admin-oidc-client-id", gitlab.ClientID,
		"--admin-external-url", front.URL, "--admin-operator-groups", "platform/ops")
	backend.Host = strings.TrimPrefix(p.admin, "http://")

	p.command(0, "by ann", "pause", "--admin-token", token, "--by", "mallory")
	p.command(0, "by ann", "status", "--admin-token", token)
	p.command(1, `"eve" has no role, and this needs the role read`, "status", "--admin-token", token+"-eve")
	p.command(1, "does not know this token", "status", "--admin-token", token+"-unknown")
	p.command(1, "or send an access token of GitLab: commands take one as --admin-token", "status")
	p.command(2, "give one", "status", "--admin-token", token, "--admin-user", "ann", "--admin-password", "ann")
	t.Setenv("PIPESTEWARD_ADMIN_TOKEN_FILE", env.write("token", token+"\n"))
	p.command(0, "by ann", "status")
	p.isOpenAtHealth(http.DefaultClient)

	gitlab.SignedIn = "ann"
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	person := &http.Client{Jar: jar}
	open := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		resp, err := person.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	if code, text := open("/api/v1/status"); code != 200 || !strings.Contains(text, `"by":"ann"`) || !strings.Contains(text, `"store":{"writable":true}`) {
		t.Errorf("ann opens the status: %d %s", code, text)
	}
	// The session makes the browser resume for its own page and for no other one.
	for origin, want := range map[string]int{"https://evil.example": 403, front.URL: 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL+"/api/v1/resume", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Origin", origin)
		resp, err := person.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a page of %s resumes: %s, want %d", origin, resp.Status, want)
		}
	}

	// A changed secret is put in force, and ends the sessions.
	gitlab.ClientSecret = "gloas-another-secret"
	env.write("client-secret", gitlab.ClientSecret)
	p.eventually("the secret has changed", func() bool { return strings.Contains(p.logged(), "a secret has changed") })
	gitlab.SignedIn = ""
	if code, text := open("/api/v1/status"); code != 401 {
		t.Errorf("after the secret has changed: %d %s", code, text)
	}
	gitlab.SignedIn = "ann"
	if code, text := open("/api/v1/status"); code != 200 {
		t.Errorf("ann signs in again: %d %s", code, text)
	}
	for _, hidden := range []string{token, gitlab.ClientSecret, "gloas-"} {
		if strings.Contains(p.logged(), hidden) {
			t.Errorf("the log holds a secret:\n%s", p.tail())
		}
	}
}

// A proxy names the sender; nobody else can.
func TestAdminProxyHeader(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run("--admin-auth", "proxy-header", "--admin-proxy-user-header", "X-User", "--admin-proxy-groups-header", "X-Groups",
		"--admin-operator-groups", "ops", "--admin-readers", "*", "--admin-public-metrics")
	for _, c := range []struct {
		method, path, host string
		header             []string
		want               int
	}{
		{"GET", "/api/v1/status", "", []string{"X-User", "rita"}, 200},
		{"POST", "/-/reload", "", []string{"X-User", "rita"}, 403},
		{"POST", "/-/reload", "", []string{"X-User", "ann", "X-Groups", "ops"}, 200},
		{"GET", "/api/v1/status", "", nil, 401},
		{"GET", "/metrics", "", nil, 200},
		{"GET", "/api/v1/status", "rebound.example.com", []string{"X-User", "ann", "X-Groups", "ops"}, 421},
	} {
		if code, text := p.request(c.method, c.path, c.host, c.header...); code != c.want {
			t.Errorf("%s %s with %v for %q: %d %s, want %d", c.method, c.path, c.header, c.host, code, text, c.want)
		}
	}
	p.command(1, "gave no user in the header X-User", "status")

	elsewhere := newEnvironment(t)
	p = elsewhere.run("--admin-auth", "proxy-header", "--admin-operators", "*", "--admin-trusted-proxies", "192.0.2.0/24")
	if code, text := p.request("GET", "/api/v1/status", "", "X-Forwarded-User", "ann", "X-Forwarded-For", "192.0.2.1"); code != 403 || !strings.Contains(text, "no trusted proxy") {
		t.Errorf("a header that is not the proxy's: %d %s", code, text)
	}
}

// Without authentication, other machines are kept out, unless a flag says otherwise.
func TestAdminIsNotOpen(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	secrets := []string{"--gitlab-token", gitlabtest.DefaultToken, "--webhook-token", testSecret}
	_, err := app.New(t.Context(), env.options(append(secrets, "--admin-listen", ":0")...), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "--admin-listen: ") || !strings.Contains(err.Error(), "--insecure-admin-without-auth") {
		t.Errorf("error is %v", err)
	}
	p := env.run("--admin-listen", ":0", "--insecure-admin-without-auth")
	p.admin = "http://127.0.0.1" + p.admin[strings.LastIndex(p.admin, ":"):]
	p.command(0, "by ann", "pause", "--by", "ann")
	for host, want := range map[string]int{"": 200, "10.0.0.1:9090": 200, "pipesteward-1": 200, "rebound.example.com": 421} {
		if code, text := p.request(http.MethodGet, "/api/v1/status", host); code != want {
			t.Errorf("host %q: %d %s, want %d", host, code, text, want)
		}
	}
}
