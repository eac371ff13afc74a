package auth_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/handlers/auth/authtest"
)

func hashOf(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// file writes a file into a directory, and returns its path.
func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// usersFile is a web configuration file with these users, each with its name as password.
func usersFile(t *testing.T, dir string, users ...string) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("basic_auth_users:\n")
	for _, user := range users {
		fmt.Fprintf(&text, "  %s: %s\n", user, hashOf(t, user))
	}
	return file(t, dir, "web.yaml", text.String())
}

func basic(user, password string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	r := newRig(t, auth.Config{Kind: auth.KindWebConfig, WebConfigFile: usersFile(t, t.TempDir(), "ann", "rita"), Roles: auth.Roles{Operators: []string{"ann"}}})
	for range 2 { // the second time, the password is known
		r.wants("an operator", 200, "it was ann", "192.0.2.1", "/operate", basic("ann", "ann")...)
		r.wants("a reader", 200, "it was rita", "192.0.2.1", "/read", basic("rita", "rita")...)
		r.wants("a reader", 403, "--admin-operators of `serve` must name the user", "192.0.2.1", "/operate", basic("rita", "rita")...)
		r.wants("a wrong password", 401, "the user or the password is wrong", "192.0.2.1", "/read", basic("ann", "rita")...)
		r.wants("no password", 401, "wrong", "192.0.2.1", "/read", basic("ann", "")...)
		r.wants("an unknown user", 401, "the user or the password is wrong", "192.0.2.1", "/read", basic("eve", "eve")...)
		r.wants("nobody", 401, "--admin-user and --admin-password", "192.0.2.1", "/read")
		r.wants("nobody, at a health check", 200, "", "192.0.2.1", "/open")
	}
	if _, _, header := r.send("192.0.2.1", "/read"); !strings.HasPrefix(header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("WWW-Authenticate is %q", header.Get("WWW-Authenticate"))
	}
	if log := r.log.String(); strings.Contains(log, "$2a$") || !strings.Contains(log, "user=eve") {
		t.Errorf("the log holds a hash, or not who was refused:\n%s", log)
	}
}

// Unless operators are named, the users of the file only read, and the log says so.
func TestUsersReadOnlyByDefault(t *testing.T) {
	t.Parallel()
	r := newRig(t, auth.Config{Kind: auth.KindWebConfig, WebConfigFile: usersFile(t, t.TempDir(), "ann")})
	r.wants("a user", 200, "it was ann", "192.0.2.1", "/read", basic("ann", "ann")...)
	r.wants("a user", 403, "this needs the role operate", "192.0.2.1", "/operate", basic("ann", "ann")...)
	if !strings.Contains(r.log.String(), "nobody may change anything") {
		t.Errorf("the log does not say that nobody may operate:\n%s", r.log)
	}
}

// A flood of wrong passwords uses up what its own address may send, and delays nobody
// whose password is known.
func TestWrongPasswordsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, auth.Config{Kind: auth.KindWebConfig, WebConfigFile: usersFile(t, t.TempDir(), "ann", "bob")})
	r.wants("ann, before", 200, "", "192.0.2.1", "/read", basic("ann", "ann")...)
	for i := range 10 {
		r.wants("a guess", 401, "", "192.0.2.1", "/read", basic("ann", strconv.Itoa(i))...)
	}
	for i := range 3 {
		r.wants("a guess too many", 429, "too many wrong credentials", "192.0.2.1", "/read", basic("ann", strconv.Itoa(i))...)
		r.wants("a guess of another user", 429, "", "192.0.2.1", "/read", basic("eve", strconv.Itoa(i))...)
	}
	if code, _, header := r.send("192.0.2.1", "/read", basic("ann", "x")...); code != 429 || header.Get("Retry-After") != "6" {
		t.Errorf("the answer is %d, to be tried again after %q s", code, header.Get("Retry-After"))
	}
	r.wants("ann from the same address", 200, "it was ann", "192.0.2.1", "/read", basic("ann", "ann")...)
	r.wants("bob from the same address, who was not seen before", 429, "", "192.0.2.1", "/read", basic("bob", "bob")...)
	r.wants("bob from another address", 200, "it was bob", "192.0.2.2", "/read", basic("bob", "bob")...)
	r.clock.advance(6 * time.Second)
	r.wants("a guess, later", 401, "", "192.0.2.1", "/read", basic("ann", "x")...)
	r.wants("another one", 429, "", "192.0.2.1", "/read", basic("ann", "x")...)

	for i := range 10 {
		r.wants("a guess by IPv6", 401, "", fmt.Sprintf("2001:db8::%d", i+1), "/read", basic("ann", "x")...)
	}
	r.wants("one more from the same network", 429, "", "2001:db8::ffff", "/read", basic("ann", "x")...)
	r.wants("one from another network", 401, "", "2001:db8:1::1", "/read", basic("ann", "x")...)
}

// Many requests at once with a right password are one check each at most, and all pass.
func TestPasswordsInParallel(t *testing.T) {
	t.Parallel()
	r := newRig(t, auth.Config{Kind: auth.KindWebConfig, WebConfigFile: usersFile(t, t.TempDir(), "ann", "bob")})
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			user := []string{"ann", "bob"}[i%2]
			r.wants("in parallel", 200, "it was "+user, "192.0.2."+strconv.Itoa(i%5), "/read", basic(user, user)...)
		})
	}
	all.Wait()
}

// A changed file is put in force; one that can't be used leaves the old one.
func TestWebConfigReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := usersFile(t, dir, "ann")
	r := newRig(t, auth.Config{Kind: auth.KindWebConfig, WebConfigFile: path})
	reload := func(text, says string) {
		t.Helper()
		file(t, dir, "web.yaml", text)
		for range 2 {
			if err := r.WebConfig().Reload(); says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
				t.Errorf("reload of\n%s: error is %v, want %q", text, err, says)
			}
		}
	}
	r.wants("at first", 200, "", "192.0.2.1", "/read", basic("ann", "ann")...)
	for text, says := range map[string]string{
		"basic_auth_user: {}": "field basic_auth_user not found", "{}": "authenticates nobody", "basic_auth_users: {ann: secret}": "hash",
		"basic_auth_users: {ann: " + strings.Replace(hashOf(t, "a"), "$04$", "$31$", 1) + "}": "the bcrypt cost of \"ann\" is 31",
		"tls_server_config: {cert_file: none, key_file: none}":                                "none",
	} {
		reload(text, says)
		r.wants("after a file that can't be used", 200, "", "192.0.2.1", "/read", basic("ann", "ann")...)
	}
	if n := strings.Count(r.log.String(), "the one in force stays"); n != 5 {
		t.Errorf("%d errors are logged, want one for each bad file:\n%s", n, r.log)
	}
	reload("basic_auth_users: {ann: "+hashOf(t, "new")+"}", "")
	r.wants("the old password", 401, "", "192.0.2.1", "/read", basic("ann", "ann")...)
	r.wants("the new password", 200, "", "192.0.2.1", "/read", basic("ann", "new")...)
	reload("basic_auth_users: {bob: "+hashOf(t, "bob")+"}", "")
	r.wants("a user who is gone", 401, "", "192.0.2.1", "/read", basic("ann", "new")...)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := r.WebConfig().Reload(); err == nil {
		t.Error("a file that is gone is reloaded")
	}
	r.wants("without the file", 200, "", "192.0.2.1", "/read", basic("bob", "bob")...)
}

// A file gives TLS, headers and a rate limit to every kind, and users to one.
func TestWebConfigOfOtherKinds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := auth.New(auth.Config{WebConfigFile: usersFile(t, dir, "ann"), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "basic_auth_users: they are for --admin-auth web-config") {
		t.Errorf("users with --admin-auth local: error is %v", err)
	}
	r := newRig(t, auth.Config{WebConfigFile: file(t, dir, "limit.yaml", "rate_limit: {interval: 1h, burst: 2}\nhttp_server_config: {headers: {X-Frame-Options: deny}}\n")})
	r.handler = r.WebConfig().Headers(r.handler)
	for _, want := range []int{200, 200, 429} {
		code, answer, header := r.send("192.0.2.1", "/read")
		if code != want || header.Get("X-Frame-Options") != "deny" {
			t.Errorf("answer is %d %s with %v, want %d", code, answer, header, want)
		}
	}
	r.wants("a health check", 200, "", "192.0.2.1", "/open")
}

// Client certificates name their holders. A certificate that is replaced on disk is used
// by the next connection.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	servers, clients := authtest.NewAuthority(t), authtest.NewAuthority(t)
	publish := func(name string) {
		cert, key := servers.Issue(name)
		file(t, dir, "server.crt", cert)
		file(t, dir, "server.key", key)
	}
	publish("the first")
	file(t, dir, "clients.crt", clients.PEM)
	const settings = "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: clients.crt, client_auth_type: %s}\n"
	r := newRig(t, auth.Config{
		Kind: auth.KindWebConfig, Roles: auth.Roles{Operators: []string{"ann"}}, WebConfigFile: file(t, dir, "web.yaml", fmt.Sprintf(settings, "VerifyClientCertIfGiven")),
	})
	listener := httptest.NewUnstartedServer(r.handler)
	listener.TLS = r.WebConfig().TLS()
	listener.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	listener.StartTLS()
	t.Cleanup(listener.Close)

	// call posts with the certificate of a name, none for a nil authority; served is the name
	// of the server's certificate.
	call := func(from *authtest.Authority, name, path string) (code int, answer, served string) {
		t.Helper()
		cfg := &tls.Config{RootCAs: x509.NewCertPool()}
		cfg.RootCAs.AddCert(servers.Cert)
		if from != nil {
			cert, key := from.Issue(name)
			pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
			if err != nil {
				t.Fatal(err)
			}
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
		defer client.CloseIdleConnections()
		resp, err := client.Post(listener.URL+path, "", http.NoBody)
		if err != nil {
			return 0, err.Error(), ""
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text), resp.TLS.PeerCertificates[0].Subject.CommonName
	}
	for _, c := range []struct {
		name string
		from *authtest.Authority
		user string
		code int
		says string
	}{
		{"an operator", clients, "ann", 200, "it was ann"},
		{"a reader", clients, "rita", 403, "needs the role operate"},
		{"another authority", authtest.NewAuthority(t), "ann", 0, "tls: "},
		{"no certificate", nil, "", 401, "--admin-client-cert"},
	} {
		if code, answer, served := call(c.from, c.user, "/operate"); code != c.code || !strings.Contains(answer, c.says) || code != 0 && served != "the first" {
			t.Errorf("%s: answer is %d %s from %q, want %d and %q", c.name, code, answer, served, c.code, c.says)
		}
	}
	publish("the second")
	if code, answer, served := call(clients, "ann", "/operate"); code != 200 || served != "the second" {
		t.Errorf("with a new certificate: %d %s from %q", code, answer, served)
	}
	file(t, dir, "web.yaml", fmt.Sprintf(settings, "RequireAndVerifyClientCert"))
	if err := r.WebConfig().Reload(); err != nil {
		t.Fatal(err)
	}
	if code, answer, _ := call(nil, "", "/operate"); code != 0 || !strings.Contains(answer, "certificate required") {
		t.Errorf("without a certificate, once it is required: %d %s", code, answer)
	}
	for _, bad := range []struct{ text, says string }{
		{"tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert}", "every certificate of a public authority would be let in"},
		{"tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAnyClientCert}", "authenticates nobody"},
		{"tls_server_config: {cert_file: server.crt, key_file: server.key}", "authenticates nobody"},
		{"basic_auth_users: {ann: " + hashOf(t, "ann") + "}", "turning TLS on or off takes a restart"},
	} {
		file(t, dir, "web.yaml", bad.text)
		if err := r.WebConfig().Reload(); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("reload of %s: error is %v, want %q", bad.text, err, bad.says)
		}
	}
}
