// Package authtest is a simulated GitLab as far as it tells who somebody is: an OpenID
// provider, and the parts of the API that describe an access token. It is for tests, and
// as strict as GitLab: what it takes is checked, and it gives no more than GitLab does
// (config/initializers/doorkeeper_openid_connect.rb, lib/api/personal_access_tokens).
package authtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	codeLifetime = 10 * time.Minute
	idLifetime   = 2 * time.Minute
	keyID        = "the-key"
)

// User is a user of GitLab.
type User struct {
	ID       int64
	Username string
	State    string   // "": active
	Direct   []string // the groups whose member the user is directly
	Below    []string // the groups below those
}

// AccessToken is a token for the API.
type AccessToken struct {
	Username string
	Scopes   []string
	OAuth    bool // of an OAuth application; else a personal, project or group access token
}

// GitLab is a simulated GitLab. Its exported fields may be set before a request.
type GitLab struct {
	*httptest.Server
	ClientID, ClientSecret string
	RedirectURI            string
	// SignedIn is the username of the person at the browser; "" refuses the application.
	SignedIn string
	// Claims changes the claims of an ID token before it is signed; nil: nothing.
	Claims func(claims map[string]any)
	// Sign replaces how ID tokens are signed; nil: as GitLab does, by RS256.
	Sign func(claims map[string]any) string
	// UserInfo changes the answer of the userinfo endpoint; nil: nothing.
	UserInfo func(info map[string]any)

	now func() time.Time
	key *rsa.PrivateKey

	mu       sync.Mutex
	users    map[string]User
	tokens   map[string]AccessToken
	codes    map[string]grant
	granted  map[string]string // users by the access token of a sign-in
	requests map[string]int    // by path
}

// grant is what a code stands for.
type grant struct {
	user, nonce, challenge, redirectURI string
	expires                             time.Time
}

// signingKey returns the key of all simulated GitLabs: making one takes long.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// Start starts a GitLab that ends with the test.
func Start(tb testing.TB, now func() time.Time) *GitLab {
	tb.Helper()
	key, err := signingKey()
	if err != nil {
		tb.Fatal(err)
	}
	g := &GitLab{
		ClientID: "application-of-pipesteward", ClientSecret: "gloas-secret-of-the-application", now: now, key: key,
		users: map[string]User{}, tokens: map[string]AccessToken{}, codes: map[string]grant{}, granted: map[string]string{}, requests: map[string]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", g.discovery)
	mux.HandleFunc("GET /oauth/discovery/keys", g.keys)
	mux.HandleFunc("GET /oauth/authorize", g.authorize)
	mux.HandleFunc("POST /oauth/token", g.exchange)
	mux.HandleFunc("GET /oauth/userinfo", g.userinfo)
	mux.HandleFunc("GET /api/v4/personal_access_tokens/self", g.self)
	mux.HandleFunc("GET /api/v4/user", g.user)
	mux.HandleFunc("GET /api/v4/groups", g.groups)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.requests[r.URL.Path]++
		g.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	tb.Cleanup(g.Close)
	return g
}

// AddUser adds or replaces a user.
func (g *GitLab) AddUser(u User) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if u.State == "" {
		u.State = "active"
	}
	if u.ID == 0 {
		u.ID = int64(len(g.users) + 101)
	}
	g.users[u.Username] = u
}

// AddToken adds or replaces an access token.
func (g *GitLab) AddToken(token string, t AccessToken) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens[token] = t
}

// Revoke revokes an access token.
func (g *GitLab) Revoke(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.tokens, token)
}

// Requests returns how many requests for the path came.
func (g *GitLab) Requests(path string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests[path]
}

// CIJobToken returns an ID token that a CI job of the user has had made for an audience.
// GitLab signs it with the keys of its other ID tokens.
func (g *GitLab) CIJobToken(username, audience string) string {
	g.mu.Lock()
	u := g.users[username]
	g.mu.Unlock()
	return g.RS256(map[string]any{
		"iss": g.URL, "aud": audience, "sub": "project_path:evil/project:ref_type:branch:ref:main", "iat": g.now().Unix(), "exp": g.now().Add(time.Hour).Unix(),
		"user_login": u.Username, "user_id": strconv.FormatInt(u.ID, 10), "groups_direct": u.Direct,
	})
}

// RS256 signs claims as GitLab does.
func (g *GitLab) RS256(claims map[string]any) string { return Sign(g.key, keyID, claims) }

// Sign signs claims by RS256 with a key.
func Sign(key *rsa.PrivateKey, id string, claims map[string]any) string {
	signed := encode(map[string]any{"typ": "JWT", "alg": "RS256", "kid": id}) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// Unsigned returns claims as a JWT with the algorithm none.
func Unsigned(claims map[string]any) string {
	return encode(map[string]any{"typ": "JWT", "alg": "none"}) + "." + encode(claims) + "."
}

func encode(value map[string]any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(value) // the client is gone
}

func (g *GitLab) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": g.URL, "authorization_endpoint": g.URL + "/oauth/authorize", "token_endpoint": g.URL + "/oauth/token",
		"userinfo_endpoint": g.URL + "/oauth/userinfo", "jwks_uri": g.URL + "/oauth/discovery/keys",
		"id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"plain", "S256"},
	})
}

func (g *GitLab) keys(w http.ResponseWriter, _ *http.Request) {
	public := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	answer(w, http.StatusOK, map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "kid": keyID, "use": "sig", "alg": "RS256",
		"n": public(g.key.N.Bytes()), "e": public(big.NewInt(int64(g.key.E)).Bytes()),
	}}})
}

// authorize sends the browser back with a code. A wrong client or redirect URI is shown
// to the person and never sent anywhere.
func (g *GitLab) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != g.ClientID || q.Get("redirect_uri") != g.RedirectURI {
		http.Error(w, "the application or its redirect URI is unknown", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}}
	switch {
	case q.Get("response_type") != "code":
		back.Set("error", "unsupported_response_type")
	case q.Get("scope") != "openid":
		back.Set("error", "invalid_scope")
	case q.Get("code_challenge") == "" || q.Get("code_challenge_method") != "S256":
		back.Set("error", "invalid_request")
	case g.SignedIn == "":
		back.Set("error", "access_denied")
	default:
		code := rand.Text()
		g.mu.Lock()
		g.codes[code] = grant{g.SignedIn, q.Get("nonce"), q.Get("code_challenge"), g.RedirectURI, g.now().Add(codeLifetime)}
		g.mu.Unlock()
		back.Set("code", code)
	}
	http.Redirect(w, r, g.RedirectURI+"?"+back.Encode(), http.StatusFound)
}

// exchange gives tokens for a code, once.
func (g *GitLab) exchange(w http.ResponseWriter, r *http.Request) {
	id, secret, given := r.BasicAuth()
	if !given {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != g.ClientID || subtle.ConstantTimeCompare([]byte(secret), []byte(g.ClientSecret)) == 0 {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	g.mu.Lock()
	code := r.PostFormValue("code")
	grant, known := g.codes[code]
	delete(g.codes, code)
	u := g.users[grant.user]
	g.mu.Unlock()
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !known || g.now().After(grant.expires) || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != grant.redirectURI ||
		base64.RawURLEncoding.EncodeToString(challenge[:]) != grant.challenge {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	claims := map[string]any{
		"iss": g.URL, "sub": strconv.FormatInt(u.ID, 10), "aud": g.ClientID, "iat": g.now().Unix(), "exp": g.now().Add(idLifetime).Unix(),
		"nonce": grant.nonce, "auth_time": g.now().Unix(), "groups_direct": u.Direct,
	}
	if g.Claims != nil {
		g.Claims(claims)
	}
	sign := g.RS256
	if g.Sign != nil {
		sign = g.Sign
	}
	access := rand.Text()
	g.mu.Lock()
	g.granted[access] = grant.user
	g.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": 7200, "refresh_token": rand.Text(), "scope": "openid",
		"created_at": g.now().Unix(), "id_token": sign(claims),
	})
}

func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func (g *GitLab) userinfo(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	username, ok := g.granted[bearer(r)]
	u := g.users[username]
	g.mu.Unlock()
	if !ok {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	info := map[string]any{
		"sub": strconv.FormatInt(u.ID, 10), "name": u.Username, "nickname": u.Username, "preferred_username": u.Username,
		"profile": g.URL + "/" + u.Username, "groups": u.all(),
	}
	if g.UserInfo != nil {
		g.UserInfo(info)
	}
	answer(w, http.StatusOK, info)
}

// all returns the user's groups, directly or by a group above.
func (u User) all() []string { return append(slices.Clone(u.Direct), u.Below...) }

// holder returns the access token of a request and its user, and answers those that may
// not pass. Without scopes, a token of any scope passes.
func (g *GitLab) holder(w http.ResponseWriter, r *http.Request, scopes ...string) (t AccessToken, u User, ok bool) {
	g.mu.Lock()
	t, ok = g.tokens[bearer(r)]
	u = g.users[t.Username]
	g.mu.Unlock()
	switch {
	case !ok || u.State == "blocked":
		answer(w, http.StatusUnauthorized, map[string]string{"message": "401 Unauthorized"})
		return t, u, false
	case len(scopes) > 0 && !slices.ContainsFunc(t.Scopes, func(s string) bool { return slices.Contains(scopes, s) }):
		answer(w, http.StatusForbidden, map[string]string{"error": "insufficient_scope"})
		return t, u, false
	}
	return t, u, true
}

func (g *GitLab) self(w http.ResponseWriter, r *http.Request) {
	t, u, ok := g.holder(w, r)
	switch {
	case !ok:
	case t.OAuth:
		answer(w, http.StatusBadRequest, map[string]string{"message": "400 Bad request - This endpoint requires token type to be a personal access token"})
	default:
		answer(w, http.StatusOK, map[string]any{"id": 7, "name": "a token", "user_id": u.ID, "scopes": t.Scopes, "active": true, "revoked": false})
	}
}

func (g *GitLab) user(w http.ResponseWriter, r *http.Request) {
	if _, u, ok := g.holder(w, r, "api", "read_api", "read_user"); ok {
		answer(w, http.StatusOK, map[string]any{"id": u.ID, "username": u.Username, "state": u.State})
	}
}

// groups lists all groups that are public, or those whose member the user is.
func (g *GitLab) groups(w http.ResponseWriter, r *http.Request) {
	_, u, ok := g.holder(w, r, "api", "read_api")
	if !ok {
		return
	}
	paths := map[string]bool{}
	for _, path := range u.all() {
		paths[path] = true
	}
	if r.URL.Query().Get("min_access_level") == "" {
		g.mu.Lock()
		for _, other := range g.users {
			for _, path := range other.all() {
				paths[path] = true
			}
		}
		g.mu.Unlock()
	}
	all := slices.Sorted(maps.Keys(paths))
	size, page := 20, 1
	if n, err := strconv.Atoi(r.URL.Query().Get("per_page")); err == nil {
		size = min(n, 100)
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("page")); err == nil {
		page = n
	}
	list := []map[string]string{}
	for _, path := range all[min((page-1)*size, len(all)):min(page*size, len(all))] {
		list = append(list, map[string]string{"full_path": path})
	}
	answer(w, http.StatusOK, list)
}
