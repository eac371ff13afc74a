package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/labstack/echo/v4"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// The routes of the kind oidc.
const (
	pathSignIn   = "/-/sign-in"
	pathCallback = "/-/sign-in/callback" // the redirect URI of the application at GitLab
	pathSession  = "/-/session"
	pathSignOut  = "/-/sign-out"

	returnTo = "return_to"
)

const (
	// signInWithin is how long a person may take to sign in at GitLab.
	signInWithin = 10 * time.Minute
	// clockSkew is how much the clocks of GitLab and of this machine may differ. GitLab's
	// ID tokens are valid for two minutes.
	clockSkew = time.Minute
	// gitlabTimeout bounds the requests to GitLab for one request.
	gitlabTimeout = 10 * time.Second
	// maxAnswer bounds an answer of GitLab, in bytes.
	maxAnswer = 4 << 20
	// maxReturnTo bounds the address that a person is sent back to, in bytes: it is in a
	// cookie.
	maxReturnTo = 1 << 10
)

// OIDCConfig names the application that was registered at GitLab.
type OIDCConfig struct {
	Issuer          string // GitLab's external URL
	ClientID        string
	ClientSecret    string
	SessionLifetime time.Duration
}

// signIn signs people in at GitLab, by OpenID Connect's authorization code flow with
// PKCE, and authenticates their requests by a session cookie, and those of programs by an
// access token.
type signIn struct {
	config OIDCConfig
	client *http.Client
	roles  Roles
	tokens *tokens
	// attempts bound the requests to GitLab that senders without credentials cause.
	attempts *attempts
	now      func() time.Time
	log      *slog.Logger

	redirectURL       string
	sessions, pending cookies
	sealer            atomic.Pointer[sealer]
	secret            atomic.Pointer[string]

	discovery singleflight.Group
	provider  atomic.Pointer[oidc.Provider] // nil until GitLab has described itself
}

var _ authenticator = (*signIn)(nil)

// checkOIDC returns what is wrong with the settings.
func checkOIDC(cfg OIDCConfig, externalURL string) (wrong ConfigErrors) {
	for _, required := range []struct{ setting, value, hint string }{
		{"admin-oidc-client-id", cfg.ClientID, "register an application at GitLab,\nand give its application ID"},
		{"admin-oidc-client-secret", cfg.ClientSecret, "give the application's secret,\nbest in the file that the variable\nPIPESTEWARD_ADMIN_OIDC_CLIENT_SECRET_FILE names"},
		{"admin-external-url", externalURL, "GitLab sends people back to it. The redirect\nURI of the application there is this URL and " + pathCallback},
	} {
		if required.value == "" {
			wrong.addMalformed(required.setting, errors.New("it is missing: "+required.hint))
		}
	}
	if cfg.SessionLifetime <= 0 {
		wrong.addMalformed("admin-session-lifetime", errors.New("a sign-in must last for some time, like 8h"))
	}
	issuer, err := url.Parse(cfg.Issuer)
	switch shown := redact.URL(cfg.Issuer); {
	case err != nil || issuer.Host == "":
		wrong.addMalformed("admin-oidc-issuer", fmt.Errorf("%q is not the URL of a GitLab", shown))
	case issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "":
		wrong.addMalformed("admin-oidc-issuer", fmt.Errorf("%q has more than the address of a GitLab: leave user, password, query (?...) and fragment (#...) out", shown))
	case issuer.Scheme != "https" && !IsLoopbackHost(issuer.Host):
		wrong.addMalformed("admin-oidc-issuer", fmt.Errorf("%q is not https: anybody on the way could sign in as anybody", shown))
	}
	return wrong
}

// newSignIn returns a signIn with settings that checkOIDC finds right. It calls nobody.
func newSignIn(cfg OIDCConfig, external *url.URL, roles Roles, now func() time.Time, log *slog.Logger) (*signIn, error) {
	cfg.Issuer = strings.TrimSuffix(cfg.Issuer, "/")
	secure := external.Scheme == "https"
	s := &signIn{
		config: cfg, roles: roles, attempts: newAttempts(4, now), now: now, log: log,
		client:      &http.Client{Timeout: gitlabTimeout, Transport: boundedAnswers{http.DefaultTransport}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		redirectURL: external.String() + pathCallback,
		sessions:    newCookies("pipesteward-session", secure),
		pending:     newCookies("pipesteward-sign-in", secure),
	}
	s.tokens = newTokens(cfg.Issuer, s.client, roles, s.attempts, now)
	return s, s.setSecret(cfg.ClientSecret)
}

// setSecret replaces the application's secret.
func (s *signIn) setSecret(secret string) error {
	sealer, err := newSealer(secret)
	if err != nil {
		return err
	}
	s.secret.Store(&secret)
	s.sealer.Store(sealer)
	return nil
}

// authenticate accepts an access token of GitLab, or else a session.
func (s *signIn) authenticate(r *http.Request) (Identity, error) {
	if header := r.Header.Get(echo.HeaderAuthorization); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Identity{}, unauthenticated(bearerChallenge, "the header Authorization must be Bearer and an access token of GitLab")
		}
		return s.tokens.identify(r, strings.TrimSpace(token))
	}
	current, ok := s.session(r)
	if !ok {
		refused := unauthenticated(bearerChallenge, "sign in at %s, or send an access token of GitLab: commands take one as --admin-token, curl as the header Authorization: Bearer …",
			strings.TrimSuffix(s.redirectURL, pathCallback)+pathSignIn)
		refused.signIn = true
		return Identity{}, refused
	}
	return current.identity(), nil
}

// session returns the session of the request's browser.
func (s *signIn) session(r *http.Request) (current session, ok bool) {
	err := s.sessions.get(r, s.sealer.Load(), &current)
	return current, err == nil && s.now().Before(current.Expires)
}

// serves reports whether a route is one of those below, which anybody may call.
func (s *signIn) serves(path string) bool {
	return s != nil && (path == pathSignIn || path == pathCallback || path == pathSession || path == pathSignOut)
}

func (s *signIn) register(e *echo.Echo) {
	e.GET(pathSignIn, s.begin)
	e.GET(pathCallback, s.callback)
	e.GET(pathSession, s.show)
	e.POST(pathSignOut, s.signOut)
}

// begin sends the browser to GitLab.
func (s *signIn) begin(c echo.Context) error {
	ctx, cancel := withTimeout(c.Request())
	defer cancel()
	_, application, err := s.application(ctx)
	if err != nil {
		s.log.ErrorContext(ctx, "nobody can sign in: GitLab did not describe itself", "gitlab", s.config.Issuer, "error", err)
		return handlers.Answer(c, http.StatusServiceUnavailable, handlers.Response{Error: "GitLab did not answer as an OpenID provider: see the log, and try again", Next: pathSignIn})
	}
	p := pendingSignIn{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		ReturnTo: localPath(c.QueryParam(returnTo)), Expires: s.now().Add(signInWithin),
	}
	if err := s.pending.set(c.Response(), s.sealer.Load(), p, signInWithin); err != nil {
		return err
	}
	return c.Redirect(http.StatusFound, application.AuthCodeURL(p.State, oidc.Nonce(p.Nonce), oauth2.S256ChallengeOption(p.Verifier)))
}

// localPath returns a path of this address; other addresses, to which a link could lure
// people, become that of the session.
func localPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || len(path) > maxReturnTo || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\t\r\n") {
		return pathSession
	}
	return path
}

// callback takes the browser that comes back from GitLab, and begins a session.
func (s *signIn) callback(c echo.Context) error {
	var p pendingSignIn
	err := s.pending.get(c.Request(), s.sealer.Load(), &p)
	s.pending.remove(c.Response()) // it serves once
	state := c.QueryParam("state")
	if err != nil || subtle.ConstantTimeCompare([]byte(p.State), []byte(state)) == 0 || !s.now().Before(p.Expires) {
		return handlers.Answer(c, http.StatusBadRequest, handlers.Response{Error: "this browser did not begin this sign-in, or more than ten minutes ago, or it is done: begin at " + pathSignIn, Next: pathSignIn})
	}
	if why := c.QueryParam("error"); why != "" {
		s.log.InfoContext(c.Request().Context(), "sign-in refused by GitLab", "reason", why)
		return handlers.Answer(c, http.StatusUnauthorized, handlers.Response{Error: "GitLab did not sign you in: begin again at " + pathSignIn, Next: pathSignIn})
	}
	ctx, cancel := withTimeout(c.Request())
	defer cancel()
	var sender Identity
	var failed error
	_, err = s.attempts.check(ctx, senderOf(c.Request()), func() (bool, error) {
		sender, failed = s.redeem(ctx, c.QueryParam("code"), p)
		return failed == nil, nil
	})
	if err != nil {
		return refuse(c, err)
	}
	if failed != nil {
		s.log.WarnContext(ctx, "sign-in failed", "error", failed)
		return handlers.Answer(c, http.StatusUnauthorized, handlers.Response{Error: "the sign-in failed: see the log, and begin again at " + pathSignIn, Next: pathSignIn})
	}
	current := session{User: sender.User, Groups: s.roles.named(sender.Groups), Expires: s.now().Add(s.config.SessionLifetime).UTC(), FormToken: rand.Text()}
	if err := s.sessions.set(c.Response(), s.sealer.Load(), current, s.config.SessionLifetime); err != nil {
		return err
	}
	s.log.InfoContext(c.Request().Context(), "signed in", "user", sender.User, "role", s.roles.of(sender).String(), "from", senderOf(c.Request()))
	return c.Redirect(http.StatusFound, p.ReturnTo)
}

// redeem exchanges the code for tokens, verifies them, and returns whose they are.
func (s *signIn) redeem(ctx context.Context, code string, p pendingSignIn) (Identity, error) {
	provider, application, err := s.application(ctx)
	if err != nil {
		return Identity{}, err
	}
	ctx = oidc.ClientContext(ctx, s.client)
	granted, err := application.Exchange(ctx, code, oauth2.VerifierOption(p.Verifier))
	if err != nil {
		return Identity{}, fmt.Errorf("the code was not accepted: %w", err)
	}
	raw, ok := granted.Extra("id_token").(string)
	if !ok {
		return Identity{}, errors.New("GitLab gave no ID token: the application there needs the scope openid")
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: s.config.ClientID, Now: func() time.Time { return s.now().Add(-clockSkew) }})
	token, err := verifier.Verify(ctx, raw)
	if expired := (*oidc.TokenExpiredError)(nil); errors.As(err, &expired) {
		return Identity{}, fmt.Errorf("%w: it has just been made, so the clock of this machine or of GitLab is wrong", err)
	}
	if err != nil {
		return Identity{}, err
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(p.Nonce)) == 0 {
		return Identity{}, errors.New("the ID token belongs to another sign-in: its nonce differs")
	}
	return identityOf(ctx, provider, token, granted)
}

// identityOf reads who the tokens are for. GitLab's ID token has only the groups whose
// member the user is directly (groups_direct); those of the userinfo endpoint (groups) are
// all, also those below (config/initializers/doorkeeper_openid_connect.rb).
func identityOf(ctx context.Context, provider *oidc.Provider, token *oidc.IDToken, granted *oauth2.Token) (Identity, error) {
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(granted))
	if err != nil {
		return Identity{}, fmt.Errorf("the userinfo endpoint: %w", err)
	}
	if info.Subject != token.Subject {
		return Identity{}, errors.New("the userinfo endpoint describes another user than the ID token")
	}
	var claims struct {
		Username string   `json:"preferred_username"`
		Nickname string   `json:"nickname"` // the same, in older versions
		Groups   []string `json:"groups"`
	}
	if err := info.Claims(&claims); err != nil {
		return Identity{}, fmt.Errorf("the userinfo endpoint: %w", err)
	}
	sender := Identity{User: claims.Username, Groups: claims.Groups}
	if sender.User == "" {
		sender.User = claims.Nickname
	}
	if sender.User == "" {
		return Identity{}, errors.New("the userinfo endpoint names no user: it has neither preferred_username nor nickname")
	}
	return sender, nil
}

// application returns GitLab as an OpenID provider, and the application there. GitLab is
// asked until it has answered once; those who ask at the same time share the answer.
func (s *signIn) application(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	provider := s.provider.Load()
	if provider == nil {
		_, err, _ := s.discovery.Do("", func() (any, error) {
			found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), s.client), s.config.Issuer)
			if err == nil {
				s.provider.Store(found)
			}
			return nil, err
		})
		if mismatch := (*oidc.IssuerMismatchError)(nil); errors.As(err, &mismatch) {
			return nil, nil, fmt.Errorf("--admin-oidc-issuer must be %q, as that GitLab calls itself, and not %q", mismatch.Discovered, mismatch.Provided)
		}
		if err != nil {
			return nil, nil, err
		}
		provider = s.provider.Load()
	}
	return provider, &oauth2.Config{
		ClientID: s.config.ClientID, ClientSecret: *s.secret.Load(), Endpoint: provider.Endpoint(),
		RedirectURL: s.redirectURL, Scopes: []string{oidc.ScopeOpenID},
	}, nil
}

// formToken is the field of a form that holds its token.
const formToken = "form_token"

// show shows who is signed in; pages have the button to sign out.
func (s *signIn) show(c echo.Context) error {
	current, ok := s.session(c.Request())
	if !ok {
		return c.Redirect(http.StatusFound, pathSignIn)
	}
	sender := current.identity()
	know(c, sender, s.roles.ofRequest(sender))
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return handlers.Answer(c, http.StatusOK, handlers.Response{
		Status: fmt.Sprintf("You are signed in as %s and have %s, until %s.", current.User, describe(s.roles.of(sender)), current.Expires.Format("2006-01-02 15:04 MST")),
		Next:   "/",
	})
}

// signOut ends the session of the browser.
func (s *signIn) signOut(c echo.Context) error {
	c.Request().Body = http.MaxBytesReader(c.Response(), c.Request().Body, maxReturnTo)
	current, ok := s.session(c.Request())
	if ok && subtle.ConstantTimeCompare([]byte(current.FormToken), []byte(c.FormValue(formToken))) == 0 {
		return handlers.Answer(c, http.StatusForbidden, handlers.Response{Error: "this form is not of this session: open " + pathSession + ", and sign out there", Next: pathSession})
	}
	s.sessions.remove(c.Response())
	if ok {
		s.log.InfoContext(c.Request().Context(), "signed out", "user", current.User)
	}
	return handlers.Answer(c, http.StatusOK, handlers.Response{Status: "signed out; begin again at " + pathSignIn, Next: pathSignIn})
}

// boundedAnswers reads no more than maxAnswer of an answer's body: go-oidc reads whatever
// comes.
type boundedAnswers struct{ http.RoundTripper }

func (b boundedAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}
