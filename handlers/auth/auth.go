// Package auth decides who may use the admin address. An Authorizer finds out who
// sent a request, in the way that --admin-auth names, and compares that person's role
// with the role that the route needs:
//
//	local         everybody who reaches the address may operate it (the default)
//	web-config    passwords or client certificates, by a file of prometheus/exporter-toolkit
//	oidc          people sign in at GitLab; programs send an access token of GitLab
//	proxy-header  a trusted proxy has authenticated the sender, and names it in headers
//
// Each kind is one file. All answer 401 to a sender that they do not know, and 403 to
// one that lacks the role; both name what is missing. What a sender without valid
// credentials can cost is bounded (attempts.go).
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
)

// The kinds of authentication, as --admin-auth names them.
const (
	KindLocal       = "local"
	KindWebConfig   = "web-config"
	KindOIDC        = "oidc"
	KindProxyHeader = "proxy-header"
)

// Kinds are all kinds.
var Kinds = []string{KindLocal, KindWebConfig, KindOIDC, KindProxyHeader}

// Identity is the sender of a request.
type Identity struct {
	User   string
	Groups []string
	// ReadOnly says that the credentials can only read, whatever the user may do.
	ReadOnly bool
	// formToken is in the form that ends the person's session; "": there is none to end.
	formToken string
}

// authenticator finds out who sent a request. Its error is a *refusal.
type authenticator interface {
	authenticate(r *http.Request) (Identity, error)
}

// Authorizer lets a request pass if its sender has the role that the route needs. A nil
// Authorizer is that of the kind local.
type Authorizer struct {
	kind          string
	authenticator authenticator // nil: everybody may operate
	roles         Roles
	external      *url.URL // nil: unknown
	insecure      bool
	webConfig     *WebConfigFile // nil: none
	signIn        *signIn        // nil: nobody signs in here
	log           *slog.Logger
}

// Keys of an Echo context: of the sender's name, of what the sender may do, and of the form
// that ends the session.
const (
	userKey    = "auth.user"
	roleKey    = "auth.role"
	signOutKey = "auth.sign-out"
)

// SignOut is the form that ends the session of a request's browser: it posts the token in the
// field to the path.
type SignOut struct{ Path, Field, Token string }

// SignOutOf returns the form that ends the session of a request that Require has seen; nil:
// nobody has signed in here.
func SignOutOf(c echo.Context) *SignOut {
	form, _ := c.Get(signOutKey).(*SignOut)
	return form
}

// RoleOf returns what the sender of a request may do that Require has let pass.
func RoleOf(c echo.Context) Role {
	role, _ := c.Get(roleKey).(Role)
	return role
}

// authenticatedKey is the key of the Identity in the context of a request whose sender is
// authenticated. A request that a handler makes of it is the same sender's.
type authenticatedKey struct{}

// User returns the authenticated user who sent the request; "" where nobody is
// authenticated.
func User(c echo.Context) string {
	user, _ := c.Get(userKey).(string)
	return user
}

// Require returns a middleware that lets a request pass if its sender has the role that
// its route needs.
func (a *Authorizer) Require(needs func(echo.Context) Role) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			needed := needs(c)
			if a == nil {
				c.Set(roleKey, RoleOperate)
				return next(c)
			}
			if needed == RoleNone || a.signIn.serves(c.Path()) {
				return next(c)
			}
			sender, err := a.senderOf(c)
			if err != nil {
				return refuse(c, err)
			}
			if a.authenticator == nil {
				c.Set(roleKey, RoleOperate)
				return next(c)
			}
			know(c, sender, a.roles.ofRequest(sender))
			if why := a.roles.lacks(sender, needed, a.kind); why != "" {
				a.log.InfoContext(c.Request().Context(), "request to the admin address refused", "user", sender.User, "reason", why, "method", c.Request().Method, "path", c.Path())
				return refuse(c, forbidden("%s", why))
			}
			c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
			return next(c)
		}
	}
}

// know has User, RoleOf and SignOutOf return what is known of the sender.
func know(c echo.Context, sender Identity, role Role) {
	c.Set(userKey, sender.User)
	c.Set(roleKey, role)
	if sender.formToken != "" {
		c.Set(signOutKey, &SignOut{pathSignOut, formToken, sender.formToken})
	}
}

// senderOf returns who sent a request, once it is within the rate limit; the zero Identity
// where nobody is authenticated.
func (a *Authorizer) senderOf(c echo.Context) (sender Identity, err error) {
	r := c.Request()
	if sender, known := r.Context().Value(authenticatedKey{}).(Identity); known {
		return sender, nil
	}
	if err := a.webConfig.limit(); err != nil {
		return sender, err
	}
	if a.authenticator != nil {
		if sender, err = a.authenticator.authenticate(r); err != nil {
			return sender, err
		}
	}
	c.SetRequest(r.WithContext(context.WithValue(r.Context(), authenticatedKey{}, sender)))
	return sender, nil
}

// refusal is the answer to a request whose sender is not known.
type refusal struct {
	code   int
	reason string
	header map[string]string
	signIn bool // a browser is sent to sign in instead
}

func (r *refusal) Error() string { return r.reason }

// unauthenticated returns a 401 with the way to authenticate, for WWW-Authenticate.
func unauthenticated(challenge, format string, args ...any) *refusal {
	r := &refusal{code: http.StatusUnauthorized, reason: fmt.Sprintf(format, args...)}
	if challenge != "" {
		r.header = map[string]string{echo.HeaderWWWAuthenticate: challenge}
	}
	return r
}

// forbidden returns a 403.
func forbidden(format string, args ...any) *refusal {
	return &refusal{code: http.StatusForbidden, reason: fmt.Sprintf(format, args...)}
}

// tooMany returns a 429.
func tooMany(after time.Duration, format string, args ...any) *refusal {
	seconds := strconv.Itoa(int(max(1, (after+time.Second-1)/time.Second)))
	return &refusal{code: http.StatusTooManyRequests, reason: fmt.Sprintf(format, args...), header: map[string]string{echo.HeaderRetryAfter: seconds}}
}

// unavailable returns a 503: whether the sender is who it claims to be can't be checked
// now.
func unavailable(format string, args ...any) *refusal {
	return &refusal{code: http.StatusServiceUnavailable, reason: fmt.Sprintf(format, args...)}
}

// refuse answers a request whose sender is not known.
func refuse(c echo.Context, err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	if r.signIn && c.Request().Method == http.MethodGet && handlers.IsBrowser(c.Request()) {
		return c.Redirect(http.StatusFound, pathSignIn+"?"+url.Values{returnTo: {c.Request().URL.RequestURI()}}.Encode())
	}
	for name, value := range r.header {
		c.Response().Header().Set(name, value)
	}
	answer := handlers.Response{Error: r.reason}
	if r.signIn {
		answer.Next = pathSignIn
	}
	return handlers.Answer(c, r.code, answer)
}

// senderOf returns the address that a request comes from; the zero Addr if it is none.
func senderOf(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap().WithZone("")
}

// Register adds the routes of the kind, such as those by which people sign in.
func (a *Authorizer) Register(e *echo.Echo) {
	if a != nil && a.signIn != nil {
		a.signIn.register(e)
	}
}

// ExternalURL returns the URL by which people reach the admin address; nil if that is
// not known.
func (a *Authorizer) ExternalURL() *url.URL {
	if a == nil {
		return nil
	}
	return a.external
}

// WebConfig returns the web configuration file; nil: there is none.
func (a *Authorizer) WebConfig() *WebConfigFile {
	if a == nil {
		return nil
	}
	return a.webConfig
}

// SetClientSecret replaces the secret of the application at GitLab. It ends all
// sessions.
func (a *Authorizer) SetClientSecret(secret string) error {
	if a.signIn == nil {
		return errors.New("the client secret is for --admin-auth oidc")
	}
	return a.signIn.setSecret(secret)
}

// withTimeout returns a context of a request with a bound on the time of calls to
// GitLab.
func withTimeout(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), gitlabTimeout)
}
