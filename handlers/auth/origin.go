package auth

import (
	"net"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
)

// OwnHosts returns a middleware of a listener of the address that refuses with 421 requests
// for a host that it does not answer to: they may come from a web page that made its own name
// resolve to it (DNS rebinding).
func (a *Authorizer) OwnHosts(addr net.Addr) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := a.CheckHost(addr, c.Request().Host); err != nil {
				return c.JSON(http.StatusMisdirectedRequest, handlers.Response{Error: err.Error()})
			}
			return next(c)
		}
	}
}

// SameOrigin returns a middleware that refuses with 403 the requests that a page of another
// origin makes a browser send, unless they only read (GET, HEAD, OPTIONS). Programs, which
// send neither Sec-Fetch-Site nor Origin, pass. The external URL is an origin of the address,
// also behind a proxy that changes the Host.
func (a *Authorizer) SameOrigin() echo.MiddlewareFunc {
	protection := http.NewCrossOriginProtection()
	if external := a.ExternalURL(); external != nil {
		_ = protection.AddTrustedOrigin(external.String()) // it is a scheme and a host
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if protection.Check(c.Request()) != nil {
				return c.JSON(http.StatusForbidden, handlers.Response{Error: "a web page of another origin can't change anything here: use the page on this address, or a program like curl"})
			}
			return next(c)
		}
	}
}
