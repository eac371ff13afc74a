package page_test

import (
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

const htmlAccept = "text/html,application/xhtml+xml,*/*;q=0.8"

// TestAnswers: what is no view is a page for a browser and JSON for a program. The navigation
// is for those who may read.
func TestAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t, openBolt(t))
	for _, c := range []struct {
		name, method, address, user string
		header                      []string
		code                        int
		says                        string
		known                       bool
	}{
		{name: "nothing there", method: http.MethodGet, address: "/nothing", user: "rita", code: http.StatusNotFound, says: "there is nothing at this address", known: true},
		{name: "another method", method: http.MethodDelete, address: "/decisions", user: "ann", code: http.StatusMethodNotAllowed, says: "this address takes only", known: true},
		{name: "nobody", method: http.MethodGet, address: "/decisions", code: http.StatusUnauthorized, says: "header"},
		{name: "a stranger", method: http.MethodGet, address: "/decisions", user: "eve", code: http.StatusForbidden, says: "has no role"},
		{name: "a reader who changes", method: http.MethodPost, address: "/pauses", user: "rita", code: http.StatusForbidden, says: "needs the role operate", known: true},
		{name: "another origin", method: http.MethodPost, address: "/pauses", user: "ann", header: []string{"Sec-Fetch-Site", "cross-site"}, code: http.StatusForbidden, says: "another origin"},
	} {
		w := r.send(c.method, c.address, c.user, nil, append(c.header, "Accept", htmlAccept)...)
		text := w.Body.String()
		if w.Code != c.code || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || !strings.Contains(text, c.says) || strings.Contains(text, `aria-label="Views"`) != c.known {
			t.Errorf("%s: %d %v, want %d with %s and a navigation: %v\n%s", c.name, w.Code, w.Header(), c.code, c.says, c.known, text)
		}
		if w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: a page without a content security policy", c.name)
		}
		if w := r.send(c.method, c.address, c.user, nil, c.header...); w.Code != c.code || !strings.HasPrefix(w.Body.String(), `{"error":`) {
			t.Errorf("%s, for a program: %d %s", c.name, w.Code, w.Body)
		}
	}
	if w := r.send(http.MethodGet, "/assets/page.css", "", nil); w.Code != http.StatusOK {
		t.Errorf("the style of a page for a stranger: %d", w.Code)
	}
}

// signOutForm finds the form that ends a session.
var signOutForm = regexp.MustCompile(`<form method="post" action="([^"]+)" class="sign-out"><input type="hidden" name="([^"]+)" value="([^"]+)">`)

// TestSignOut: who has signed in can sign out on each view; where nobody signs in, there is no
// button.
func TestSignOut(t *testing.T) {
	t.Parallel()
	if w := newRig(t, openBolt(t)).send(http.MethodGet, "/", "ann", nil); signOutForm.MatchString(w.Body.String()) {
		t.Errorf("behind a proxy, there is a button to sign out:\n%s", w.Body)
	}
	var r *rig
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.handler.ServeHTTP(w, req) }))
	t.Cleanup(server.Close)
	gitlab := authtest.Start(t, time.Now)
	gitlab.RedirectURI, gitlab.SignedIn = server.URL+"/-/sign-in/callback", "ann"
	gitlab.AddUser(authtest.User{Username: "ann", Direct: []string{"ops"}})
	r = newRigWith(t, openBolt(t), auth.Config{
		Kind: auth.KindOIDC, ExternalURL: server.URL, Roles: auth.Roles{OperatorGroups: []string{"ops"}},
		OIDC: auth.OIDCConfig{Issuer: gitlab.URL, ClientID: gitlab.ClientID, ClientSecret: gitlab.ClientSecret, SessionLifetime: time.Hour},
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{}}
	t.Cleanup(browser.CloseIdleConnections)
	send := func(method, path string, form url.Values) (code int, text string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Accept", htmlAccept)
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var b strings.Builder
		if err := resp.Write(&b); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b.String()
	}
	for _, path := range []string{"/changes", "/nothing", "/-/session"} {
		if _, text := send(http.MethodGet, path, nil); !signOutForm.MatchString(text) {
			t.Fatalf("%s has no button to sign out:\n%s", path, text)
		}
	}
	if _, text := send(http.MethodGet, "/-/session", nil); !strings.Contains(text, "You are signed in as ann and have the role operate, until ") || !strings.Contains(text, `aria-label="Views"`) {
		t.Errorf("the session is shown as\n%s", text)
	}
	_, text := send(http.MethodGet, "/pauses", nil)
	form := signOutForm.FindStringSubmatch(text)
	gitlab.SignedIn = "" // nobody is signed in again by themselves
	if code, text := send(http.MethodPost, form[1], url.Values{form[2]: {"forged"}}); code != http.StatusForbidden || !strings.Contains(text, "<h1>Not allowed</h1>") {
		t.Errorf("a forged form: %d\n%s", code, text)
	}
	if code, text := send(http.MethodPost, form[1], url.Values{form[2]: {form[3]}}); code != http.StatusOK || !strings.Contains(text, "<h1>Session</h1>") || !strings.Contains(text, `href="/-/sign-in"`) {
		t.Errorf("signing out: %d\n%s", code, text)
	}
	if code, text := send(http.MethodPost, "/pauses", url.Values{"do": {"pause"}}); code != http.StatusUnauthorized || !strings.Contains(text, `<a href="/-/sign-in">`) {
		t.Errorf("a form after signing out: %d\n%s", code, text)
	}
	if code, text := send(http.MethodGet, "/changes", nil); code != http.StatusUnauthorized || !strings.Contains(text, "<h1>Not signed in</h1>") {
		t.Errorf("after signing out: %d\n%s", code, text)
	}
}
