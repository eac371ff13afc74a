package admin

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
)

// ownHosts refuses with 421 requests for a host that this address does not answer to:
// they may come from a web page that made its own name resolve to it (DNS rebinding).
func (a *admin) ownHosts(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := a.Auth.CheckHost(a.Addr, c.Request().Host); err != nil {
			return handlers.Answer(c, http.StatusMisdirectedRequest, handlers.Response{Error: err.Error()})
		}
		return next(c)
	}
}

// sameOrigin refuses with 403 the requests that a page of another origin makes a
// browser send, unless they only read (GET, HEAD, OPTIONS). Programs, which send
// neither Sec-Fetch-Site nor Origin, pass. The external URL is an origin of this address,
// also behind a proxy that changes the Host.
func (a *admin) sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	protection := http.NewCrossOriginProtection()
	if external := a.Auth.ExternalURL(); external != nil {
		_ = protection.AddTrustedOrigin(external.String()) // it is a scheme and a host
	}
	return func(c echo.Context) error {
		if protection.Check(c.Request()) != nil {
			return handlers.Answer(c, http.StatusForbidden, handlers.Response{Error: "a web page of another origin can't change anything here: use the page on this address, or a program like curl"})
		}
		return next(c)
	}
}
