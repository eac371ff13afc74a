package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/handlers/auth/authtest"
)

// oidcRig is a rig that signs people in at a simulated GitLab.
type oidcRig struct {
	*rig
	gitlab *authtest.GitLab
	server *httptest.Server // the rig's handler
	config auth.Config
}

func newOIDCRig(t *testing.T) *oidcRig {
	t.Helper()
	r := &oidcRig{}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.handler.ServeHTTP(w, req) }))
	t.Cleanup(r.server.Close)
	c := newClock()
	r.gitlab = authtest.Start(t, c.Now)
	r.gitlab.RedirectURI = r.server.URL + "/-/sign-in/callback"
	r.gitlab.AddUser(authtest.User{Username: "ann", Direct: []string{"platform/ops"}})
	r.gitlab.AddUser(authtest.User{Username: "bob", Direct: []string{"dev"}, Below: []string{"dev/web"}})
	r.gitlab.AddUser(authtest.User{Username: "eve", Direct: []string{"platform"}})
	r.config = auth.Config{
		Kind: auth.KindOIDC, ExternalURL: r.server.URL,
		Roles: auth.Roles{ReaderGroups: []string{"dev/web"}, OperatorGroups: []string{"platform/ops"}},
		OIDC:  auth.OIDCConfig{Issuer: r.gitlab.URL, ClientID: r.gitlab.ClientID, ClientSecret: r.gitlab.ClientSecret, SessionLifetime: 8 * time.Hour},
	}
	r.rig = newRigAt(t, r.config, c)
	return r
}

// restart replaces the program by another replica.
func (r *oidcRig) restart() { r.rig = newRigAt(r.T, r.config, r.clock) }

// browser is a person's browser.
type browser struct {
	*oidcRig
	*http.Client
}

func (r *oidcRig) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.Fatal(err)
	}
	b := &browser{r, &http.Client{Jar: jar, Transport: &http.Transport{}}}
	r.Cleanup(b.CloseIdleConnections)
	return b
}

// open opens a page, and follows redirects.
func (b *browser) open(address string) (code int, text string, at *url.URL) {
	b.Helper()
	return b.do(http.MethodGet, address, nil, nil)
}

func (b *browser) do(method, address string, form url.Values, header http.Header) (code int, text string, at *url.URL) {
	b.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.server.URL + address
	}
	req, err := http.NewRequestWithContext(b.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(req.Header, header)
	resp, err := b.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Request.URL
}

// wants opens a page and checks what comes.
func (b *browser) wants(what, address string, code int, says string) {
	b.Helper()
	if got, text, at := b.open(address); got != code || !strings.Contains(text, says) {
		b.Errorf("%s: %s ends at %s with %d %s, want %d and %q", what, address, at, got, text, code, says)
	}
}

// A person who opens a page is sent to GitLab, comes back to that page, and may do what
// the groups say; until signing out.
func TestSignIn(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	for _, c := range []struct {
		user          string
		read, operate int
	}{{"ann", 200, 200}, {"bob", 200, 403}, {"eve", 403, 403}} {
		r.gitlab.SignedIn = c.user
		b := r.browser()
		code, text, at := b.open("/read?x=1")
		if code != c.read || at.RequestURI() != "/read?x=1" || c.read == 200 && text != "it was "+c.user {
			t.Errorf("%s comes to %s: %d %s, want %d", c.user, at, code, text, c.read)
		}
		if code, text, _ := b.do(http.MethodPost, "/operate", nil, nil); code != c.operate {
			t.Errorf("%s operates: %d %s, want %d", c.user, code, text, c.operate)
		}
		if n := r.gitlab.Requests("/oauth/token"); n == 0 {
			t.Error("nobody was at GitLab")
		}
	}
	if log := r.log.String(); !strings.Contains(log, `msg="signed in" user=ann role=operate`) || !strings.Contains(log, "user=bob role=read") {
		t.Errorf("the log does not say who signed in:\n%s", log)
	}
}

// Programs are not sent to GitLab: they are told what is missing.
func TestProgramsAreNotRedirected(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	r.wants("curl", 401, "sign in at "+r.server.URL+"/-/sign-in, or send an access token of GitLab", "127.0.0.1", "/read", "Accept", "*/*")
	r.wants("a changing request of a browser", 401, "", "127.0.0.1", "/operate", "Accept", "text/html")
	r.wants("a health check", 200, "", "127.0.0.1", "/open")
	if _, _, header := r.send("127.0.0.1", "/read"); !strings.HasPrefix(header.Get("WWW-Authenticate"), "Bearer ") {
		t.Errorf("WWW-Authenticate is %q", header.Get("WWW-Authenticate"))
	}
}

var formTokenInPage = regexp.MustCompile(`name="form_token" value="([^"]+)"`)

func TestSignOut(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	r.gitlab.SignedIn = "ann"
	b := r.browser()
	_, page, at := b.open("/-/session")
	token := formTokenInPage.FindStringSubmatch(page)
	if at.Path != "/-/session" || token == nil || !strings.Contains(page, "You are signed in as ann and have the role operate, until 2026-12-01 20:00 UTC") {
		t.Fatalf("the session's page at %s is\n%s", at, page)
	}
	r.gitlab.SignedIn = "" // nobody is signed in again by themselves
	for _, form := range []url.Values{nil, {}, {"form_token": {"forged"}}} {
		if code, text, _ := b.do(http.MethodPost, "/-/sign-out", form, nil); code != 403 {
			t.Errorf("a form with %v is answered with %d %s", form, code, text)
		}
	}
	b.wants("after forged forms", "/read", 200, "it was ann")
	if code, text, _ := b.do(http.MethodPost, "/-/sign-out", url.Values{"form_token": {token[1]}}, nil); code != 200 || !strings.Contains(text, "signed out") {
		t.Errorf("signing out is answered with %d %s", code, text)
	}
	b.wants("after signing out", "/read", 401, "GitLab did not sign you in")
	if !strings.Contains(r.log.String(), `msg="signed out" user=ann`) {
		t.Errorf("the log does not say who signed out:\n%s", r.log)
	}
}

// A session ends by its time. All replicas take it, and none with another secret.
func TestSession(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	r.gitlab.SignedIn = "ann"
	b := r.browser()
	b.wants("signing in", "/read", 200, "it was ann")
	r.gitlab.SignedIn = ""
	r.clock.advance(8*time.Hour - time.Second)
	b.wants("just before its end", "/read", 200, "it was ann")
	r.restart()
	b.wants("at another replica", "/read", 200, "it was ann")
	r.clock.advance(time.Second)
	b.wants("at its end", "/read", 401, "")

	r.gitlab.SignedIn = "ann"
	b.wants("signing in again", "/read", 200, "it was ann")
	r.gitlab.SignedIn = ""
	if err := r.SetClientSecret("gloas-another"); err != nil {
		t.Fatal(err)
	}
	b.wants("with another secret", "/read", 401, "")
}

// isReadable reports whether a cookie shows who is signed in.
func isReadable(cookie string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(cookie)
	return err != nil || strings.Contains(string(raw), `"user"`)
}

func TestSessionCookie(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	r.gitlab.SignedIn = "ann"
	b := r.browser()
	b.wants("signing in", "/read", 200, "it was ann")
	home, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	held := b.Jar.Cookies(home)
	if len(held) != 1 || held[0].Name != "pipesteward-session" || isReadable(held[0].Value) {
		t.Fatalf("the browser holds %v, want the session alone", held)
	}
	good := held[0].Value
	flipped := good[:20] + string(good[20]^1) + good[21:]
	for name, cookie := range map[string]string{
		"a changed cookie": "pipesteward-session=" + flipped, "an empty cookie": "pipesteward-session=", "no cookie of ours": "pipesteward-session=%%%",
		"two cookies": "pipesteward-session=" + good + "; pipesteward-session=" + good, "a cookie of another name": "pipesteward-sign-in=" + good,
	} {
		r.wants(name, 401, "sign in at", "127.0.0.1", "/read", "Cookie", cookie)
	}
	r.wants("the cookie itself", 200, "it was ann", "127.0.0.1", "/read", "Cookie", "pipesteward-session="+good)
	r.wants("the cookie as that of a sign-in", 400, "did not begin this sign-in", "127.0.0.1", "/-/sign-in/callback", "Cookie", "pipesteward-sign-in="+good)
}

// Cookies can't be read by scripts, are not sent by other pages' forms, and over TLS are
// sent over TLS only, for this host only.
func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	r.config.ExternalURL = "https://pipesteward.example.com"
	secure := newRig(t, r.config)
	for name, h := range map[string]*rig{"pipesteward-sign-in": r.rig, "__Host-pipesteward-sign-in": secure} {
		req := httptest.NewRequest(http.MethodGet, "/-/sign-in", http.NoBody)
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, req)
		set := w.Result().Cookies()
		if len(set) != 1 || set[0].Name != name || !set[0].HttpOnly || set[0].SameSite != http.SameSiteLaxMode || set[0].Path != "/" || set[0].Domain != "" ||
			set[0].Secure != strings.HasPrefix(name, "__Host-") || set[0].MaxAge != 600 {
			t.Errorf("the cookie is %v, want %s", set, name)
		}
		sent, err := url.Parse(w.Header().Get("Location"))
		if err != nil || w.Code != http.StatusFound {
			t.Fatalf("the browser is answered with %d %v", w.Code, err)
		}
		q := sent.Query()
		if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("state")) < 26 || len(q.Get("nonce")) < 26 || q.Get("scope") != "openid" || q.Get("response_type") != "code" {
			t.Errorf("the browser is sent to %s", sent)
		}
	}
}

// A person comes back to a page of this address only.
func TestReturnTo(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	r.gitlab.SignedIn = "ann"
	for to, want := range map[string]string{
		"/read?x=1": "/read?x=1", "": "/-/session", "//evil.example/read": "/-/session", `/\evil.example/read`: "/-/session", "https://evil.example/": "/-/session",
		"javascript:alert(1)": "/-/session", "read": "/-/session", "/\t/evil.example": "/-/session", "/read?" + strings.Repeat("x", 2000): "/-/session",
	} {
		if _, _, at := r.browser().open("/-/sign-in?" + url.Values{"return_to": {to}}.Encode()); at.RequestURI() != want || "http://"+at.Host != r.server.URL {
			t.Errorf("for %q a person comes to %s, want %s", to, at, want)
		}
	}
}

// stopped is a browser that does not follow the redirect back from GitLab.
func (b *browser) stopped(address string) *url.URL {
	b.Helper()
	b.CheckRedirect = func(next *http.Request, _ []*http.Request) error {
		if next.URL.Path == "/-/sign-in/callback" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { b.CheckRedirect = nil }()
	if strings.HasPrefix(address, "/") {
		address = b.server.URL + address
	}
	resp, err := b.Get(address)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		b.Fatal(err)
	}
	return back
}

// A callback counts for the browser that began, once, and in time.
func TestCallback(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	r.gitlab.SignedIn = "ann"

	b := r.browser()
	back := b.stopped("/-/sign-in?return_to=/read").String()
	r.browser().wants("another browser", back, 400, "this browser did not begin this sign-in")
	b.wants("the browser that began", back, 200, "it was ann")
	b.wants("the same again", back, 400, "or it is done")

	b = r.browser()
	back = b.stopped("/-/sign-in").String()
	wrong := regexp.MustCompile(`state=[^&]+`).ReplaceAllString(back, "state=forged")
	b.wants("another state", wrong, 400, "did not begin")
	b.wants("the right state after that", back, 400, "or it is done")

	b = r.browser()
	back = b.stopped("/-/sign-in").String()
	r.clock.advance(10 * time.Minute)
	b.wants("after ten minutes", back, 400, "more than ten minutes ago")

	// A cookie that was kept does not make the code good a second time.
	b = r.browser()
	at := b.stopped("/-/sign-in")
	kept := b.Jar.Cookies(at)
	b.wants("the first time", at.String(), 200, "signed in as")
	b = r.browser()
	b.Jar.SetCookies(at, kept)
	b.wants("with the cookie that was kept", at.String(), 401, "the sign-in failed")

	r.gitlab.SignedIn = ""
	r.browser().wants("somebody who refuses", "/read", 401, "GitLab did not sign you in")
}

// ID tokens that are not exactly what was asked for sign nobody in.
func TestIDTokens(t *testing.T) {
	t.Parallel()
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r := newOIDCRig(t)
	r.gitlab.SignedIn = "ann"
	set := func(name string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[name] = value }
	}
	at := func(d time.Duration) int64 { return r.clock.Now().Add(d).Unix() }
	for _, c := range []struct {
		name   string
		claims func(map[string]any)
		sign   func(map[string]any) string
		info   func(map[string]any)
		code   int
		logged string
	}{
		{name: "as GitLab makes it", code: 200},
		{name: "expired, within the skew of clocks", claims: set("exp", at(-30*time.Second)), code: 200},
		{name: "expired", claims: set("exp", at(-2*time.Minute)), code: 401, logged: "the clock of this machine or of GitLab is wrong"},
		{name: "not yet valid, within the skew", claims: set("nbf", at(time.Minute)), code: 200},
		{name: "not yet valid", claims: set("nbf", at(time.Hour)), code: 401, logged: "not before"},
		{name: "of another issuer", claims: set("iss", "https://gitlab.example.com"), code: 401, logged: "issued by a different provider"},
		{name: "for another application", claims: set("aud", "another-application"), code: 401, logged: "expected audience"},
		{name: "for another sign-in", claims: set("nonce", "another"), code: 401, logged: "its nonce differs"},
		{name: "without a nonce", claims: func(c map[string]any) { delete(c, "nonce") }, code: 401, logged: "its nonce differs"},
		{name: "not signed", sign: authtest.Unsigned, code: 401, logged: "malformed jwt"},
		{name: "signed by somebody else", sign: func(c map[string]any) string { return authtest.Sign(foreign, "the-key", c) }, code: 401, logged: "failed to verify signature"},
		{name: "signed with an unknown key", sign: func(c map[string]any) string { return authtest.Sign(foreign, "another-key", c) }, code: 401, logged: "failed to verify signature"},
		{name: "changed after it was signed", sign: func(c map[string]any) string {
			parts := strings.Split(r.gitlab.RS256(c), ".")
			c["sub"] = "1"
			return parts[0] + "." + strings.Split(authtest.Unsigned(c), ".")[1] + "." + parts[2]
		}, code: 401, logged: "failed to verify signature"},
		{name: "not there", sign: func(map[string]any) string { return "" }, code: 401, logged: "malformed jwt"},
		{name: "of another user than userinfo", info: set("sub", "1"), code: 401, logged: "describes another user"},
		{name: "without a username", info: func(i map[string]any) { delete(i, "preferred_username"); delete(i, "nickname") }, code: 401, logged: "names no user"},
		{name: "of an older GitLab", info: func(i map[string]any) { delete(i, "preferred_username") }, code: 200},
	} {
		r.gitlab.Claims, r.gitlab.Sign, r.gitlab.UserInfo = c.claims, c.sign, c.info
		before := len(r.log.String())
		code, text, _ := r.browser().open("/read")
		if logged := r.log.String()[before:]; code != c.code || !strings.Contains(logged, c.logged) || code == 200 && text != "it was ann" {
			t.Errorf("an ID token %s: answer is %d %s, want %d; the log says\n%s", c.name, code, text, c.code, logged)
		}
		r.clock.advance(6 * time.Second) // a failure is forgotten
	}
	if log := r.log.String(); strings.Contains(log, r.gitlab.ClientSecret) || strings.Contains(log, "eyJ") {
		t.Errorf("the log holds a secret:\n%s", log)
	}
}

// A GitLab that is down, or is another one, lets nobody in and breaks nothing.
func TestGitLabIsDown(t *testing.T) {
	t.Parallel()
	r := newOIDCRig(t)
	r.gitlab.SignedIn = "ann"
	gone := httptest.NewServer(http.NotFoundHandler())
	r.config.OIDC.Issuer = gone.URL
	r.restart()
	r.browser().wants("a server that is no GitLab", "/read", 503, "GitLab did not answer as an OpenID provider")
	gone.Close()
	r.browser().wants("no server", "/read", 503, "GitLab did not answer")

	other := httptest.NewServer(http.RedirectHandler(r.gitlab.URL, http.StatusFound))
	t.Cleanup(other.Close)
	r.config.OIDC.Issuer = other.URL
	r.restart()
	r.browser().wants("a server that redirects", "/read", 503, "")

	alias := httptest.NewServer(r.gitlab.Config.Handler)
	t.Cleanup(alias.Close)
	r.config.OIDC.Issuer = alias.URL
	r.restart()
	r.browser().wants("an internal address of GitLab", "/read", 503, "")
	if !strings.Contains(r.log.String(), "--admin-oidc-issuer must be") {
		t.Errorf("the log does not name the issuer:\n%s", r.log)
	}
}
