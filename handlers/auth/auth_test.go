package auth_test

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// buffer is a log that several goroutines write.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// rig is a handler with a route that anybody may call, one to read and one to operate.
// Each answers who called it.
type rig struct {
	*testing.T
	*auth.Authorizer
	handler http.Handler
	clock   *clock
	log     *buffer
}

func newRig(t *testing.T, cfg auth.Config) *rig {
	t.Helper()
	return newRigAt(t, cfg, newClock())
}

func newRigAt(t *testing.T, cfg auth.Config, at *clock) *rig {
	t.Helper()
	r := &rig{T: t, clock: at, log: &buffer{}}
	cfg.Now, cfg.Log = r.clock.Now, slog.New(slog.NewTextHandler(r.log, nil))
	a, err := auth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Authorizer = a
	e := handlers.NewEcho(cfg.Log, func() { t.Error("panic") })
	handlers.ShowPages(e, func(c echo.Context, code int, shown handlers.Response) error {
		form := cmp.Or(auth.SignOutOf(c), &auth.SignOut{})
		return c.String(code, fmt.Sprintf("%s%s name=%q value=%q", shown.Status, shown.Error, form.Field, form.Token))
	})
	e.Use(a.Require(func(c echo.Context) auth.Role {
		switch c.Path() {
		case "/open":
			return auth.RoleNone
		case "/read":
			return auth.RoleRead
		default:
			return auth.RoleOperate
		}
	}))
	a.Register(e)
	answer := func(c echo.Context) error { return c.String(http.StatusOK, "it was "+cmp.Or(auth.User(c), "somebody")) }
	e.GET("/open", answer)
	e.GET("/read", answer)
	e.POST("/operate", answer)
	r.handler = e
	return r
}

// send sends a request from an address, POST to /operate and else GET; header holds names
// and values in turn.
func (r *rig) send(from, path string, header ...string) (code int, answer string, headers http.Header) {
	r.Helper()
	method := http.MethodGet
	if path == "/operate" {
		method = http.MethodPost
	}
	req := httptest.NewRequest(method, path, http.NoBody)
	req.RemoteAddr = net.JoinHostPort(from, "4711")
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w.Code, strings.TrimSpace(w.Body.String()), w.Header()
}

// wants checks an answer: its code and a part of its text.
func (r *rig) wants(what string, code int, says string, from, path string, header ...string) {
	r.Helper()
	got, answer, _ := r.send(from, path, header...)
	if got != code || !strings.Contains(answer, says) {
		r.Errorf("%s: %s is answered with %d %s, want %d and %q", what, path, got, answer, code, says)
	}
}

func TestLocal(t *testing.T) {
	t.Parallel()
	r := newRig(t, auth.Config{})
	for _, path := range []string{"/open", "/read", "/operate"} {
		r.wants("anybody", 200, "it was somebody", "192.0.2.1", path, "Authorization", "Basic YW5uOmFubg==", "X-Forwarded-User", "ann")
	}
}

// Without authentication, no address but loopback is listened on.
func TestCheckAddress(t *testing.T) {
	t.Parallel()
	proxy := auth.Config{Kind: auth.KindProxyHeader, Proxy: auth.ProxyConfig{UserHeader: "X-User"}, Roles: auth.Roles{Operators: []string{"ann"}}}
	for _, c := range []struct {
		name    string
		cfg     auth.Config
		ip      string
		refused bool
	}{
		{"local on loopback", auth.Config{}, "127.0.0.1", false},
		{"local on another loopback", auth.Config{Kind: auth.KindLocal}, "127.9.9.9", false},
		{"local on loopback of IPv6", auth.Config{}, "::1", false},
		{"local on every address", auth.Config{}, "0.0.0.0", true},
		{"local on every address of IPv6", auth.Config{}, "::", true},
		{"local on a private address", auth.Config{}, "10.0.0.1", true},
		{"local, and the flag says so", auth.Config{Insecure: true}, "0.0.0.0", false},
		{"authentication on every address", proxy, "0.0.0.0", false},
	} {
		err := newRig(t, c.cfg).CheckAddress(&net.TCPAddr{IP: net.ParseIP(c.ip), Port: 9090})
		if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), "--insecure-admin-without-auth") {
			t.Errorf("%s: error is %v, want refused %v", c.name, err, c.refused)
		}
	}
}

// Names of web pages are refused where who reaches the address is trusted.
func TestCheckHost(t *testing.T) {
	t.Parallel()
	loopback, everywhere := &net.TCPAddr{IP: net.ParseIP("127.0.0.1")}, &net.TCPAddr{IP: net.ParseIP("0.0.0.0")}
	local, open := newRig(t, auth.Config{ExternalURL: "https://pipesteward.example.com"}), newRig(t, auth.Config{Insecure: true})
	users := newRig(t, auth.Config{Kind: auth.KindProxyHeader, Proxy: auth.ProxyConfig{UserHeader: "X-User"}, Roles: auth.Roles{Operators: []string{"ann"}}})
	for _, c := range []struct {
		name string
		a    *auth.Authorizer
		addr net.Addr
		host string
		ok   bool
	}{
		{"no authorizer, loopback", nil, loopback, "127.0.0.1:9090", true},
		{"no authorizer, a page", nil, loopback, "rebound.example.com:9090", false},
		{"its own name", local.Authorizer, loopback, "Pipesteward.example.com:443", true},
		{"another name", local.Authorizer, loopback, "other.example.com", false},
		{"behind a proxy header on loopback, a page", users.Authorizer, loopback, "rebound.example.com", false},
		{"users elsewhere, any name", users.Authorizer, everywhere, "rebound.example.com", true},
		{"open, an address", open.Authorizer, everywhere, "10.1.2.3:9090", true},
		{"open, an address of IPv6", open.Authorizer, everywhere, "[fd00::1]:9090", true},
		{"open, a container", open.Authorizer, everywhere, "pipesteward-1:9090", true},
		{"open, a page", open.Authorizer, everywhere, "rebound.example.com:9090", false},
		{"open, a page with a dot at its end", open.Authorizer, everywhere, "com.:9090", false},
		{"open, no host", open.Authorizer, everywhere, "", false},
	} {
		if err := c.a.CheckHost(c.addr, c.host); (err == nil) != c.ok {
			t.Errorf("%s: host %q: error is %v, want ok %v", c.name, c.host, err, c.ok)
		}
	}
}

// Everything that is wrong with the settings is named with its setting.
func TestSettings(t *testing.T) {
	t.Parallel()
	roles := auth.Roles{OperatorGroups: []string{"ops"}}
	oidc := auth.OIDCConfig{Issuer: "https://gitlab.example.com", ClientID: "a", ClientSecret: "b", SessionLifetime: time.Hour}
	for _, c := range []struct {
		name string
		cfg  auth.Config
		says []string
	}{
		{"an unknown kind", auth.Config{Kind: "ldap"}, []string{`--admin-auth: "ldap" is none of local, web-config, oidc, proxy-header`}},
		{"roles without users", auth.Config{Roles: roles}, []string{"have an effect\nwith --admin-auth local"}},
		{"no file", auth.Config{Kind: auth.KindWebConfig}, []string{"--admin-web-config: it is missing"}},
		{"groups in a file that has none", auth.Config{Kind: auth.KindWebConfig, Roles: roles}, []string{"--admin-operator-groups and --admin-reader-groups have no effect"}},
		{"nothing for oidc", auth.Config{Kind: auth.KindOIDC}, []string{
			"--admin-oidc-client-id: it is missing", "--admin-oidc-client-secret: it is missing", "--admin-external-url: it is missing", "--admin-oidc-issuer", "--admin-session-lifetime", "nobody has a role",
		}},
		{"a GitLab without TLS", auth.Config{Kind: auth.KindOIDC, Roles: roles, ExternalURL: "https://a.example", OIDC: auth.OIDCConfig{Issuer: "http://gitlab.example.com", ClientID: "a", ClientSecret: "b"}}, []string{`--admin-oidc-issuer: "http://gitlab.example.com" is not https`}},
		{"an external URL without TLS", auth.Config{Kind: auth.KindOIDC, Roles: roles, ExternalURL: "http://pipesteward.example.com", OIDC: oidc}, []string{"--admin-external-url", "is not https"}},
		{"an external URL with a path", auth.Config{Kind: auth.KindOIDC, Roles: roles, ExternalURL: "https://example.com/pipesteward", OIDC: oidc}, []string{"--admin-external-url", "is not a scheme and a host"}},
		{"two contradictions", auth.Config{Kind: auth.KindProxyHeader, Insecure: true, Roles: roles}, []string{"--insecure-admin-without-auth: it contradicts --admin-auth proxy-header", "--admin-proxy-user-header"}},
		{"everybody is a proxy", auth.Config{Kind: auth.KindProxyHeader, Roles: roles, Proxy: auth.ProxyConfig{UserHeader: "X-User", Trusted: []string{"0.0.0.0/0", "10.0.0.0/33"}}}, []string{`"0.0.0.0/0" is everybody`, `"10.0.0.0/33" is not an address or a network`}},
		{"headers of every client", auth.Config{Kind: auth.KindProxyHeader, Roles: roles, Proxy: auth.ProxyConfig{UserHeader: "authorization", GroupsHeader: "X Groups"}}, []string{"every client sends Authorization", `"X Groups" is not the name of a header`}},
		{"one header for both", auth.Config{Kind: auth.KindProxyHeader, Roles: roles, Proxy: auth.ProxyConfig{UserHeader: "X-User", GroupsHeader: "x-user"}}, []string{"--admin-proxy-groups-header: it is the same as --admin-proxy-user-header"}},
	} {
		c.cfg.Now, c.cfg.Log = time.Now, slog.New(slog.DiscardHandler)
		_, err := auth.New(c.cfg)
		for _, says := range c.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: error is %v, want %q in it", c.name, err, says)
			}
		}
	}
}
