package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
)

// onlyLoopback answers requests whose Host is a loopback address or localhost,
// with any port, and refuses all others with 421. Otherwise a web page could read
// from a listener on loopback although the browser's same-origin policy forbids
// it: its host name resolves to 127.0.0.1 once the page is loaded (DNS rebinding),
// and the browser still sends that name as Host.
func onlyLoopback(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if host := c.Request().Host; !isLoopbackHost(host) {
			return c.JSON(http.StatusMisdirectedRequest, handlers.Response{Error: fmt.Sprintf(
				"this address answers only to localhost, 127.0.0.0/8 and [::1], and not to %q: use one of them, or let --admin-listen name another address", host)})
		}
		return next(c)
	}
}

// sameOrigin refuses with 403 the requests that a page of another origin makes a
// browser send, unless they only read (GET, HEAD, OPTIONS). Programs, which send
// neither Sec-Fetch-Site nor Origin, pass.
func sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	protection := http.NewCrossOriginProtection()
	return func(c echo.Context) error {
		if protection.Check(c.Request()) != nil {
			return c.JSON(http.StatusForbidden, handlers.Response{Error: "a web page of another origin can't change anything here: use the page on this address, or a program like curl"})
		}
		return next(c)
	}
}

// isLoopbackHost reports whether a Host header is localhost or a loopback address,
// with or without a port.
func isLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// isLoopback reports whether a listener on the address can be reached from this
// machine only.
func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
