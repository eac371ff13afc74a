// Package profiles serves profiles of the process, as go tool pprof reads them.
package profiles

import (
	"net/http"
	"net/http/pprof"

	"github.com/labstack/echo/v4"
)

// Path is where go tool pprof looks for profiles.
const Path = "/debug/pprof/"

// Register adds the routes of package pprof, but for the command line, which may have
// secrets. A profile over time has to end before the server's timeout of 30 s.
func Register(e *echo.Echo) {
	e.GET(Path, echo.WrapHandler(http.HandlerFunc(pprof.Index)))
	e.GET(Path+"profile", echo.WrapHandler(http.HandlerFunc(pprof.Profile)))
	e.GET(Path+"symbol", echo.WrapHandler(http.HandlerFunc(pprof.Symbol)))
	e.GET(Path+"trace", echo.WrapHandler(http.HandlerFunc(pprof.Trace)))
	e.GET(Path+"cmdline", func(echo.Context) error { return echo.ErrNotFound })
	e.GET(Path+":profile", func(c echo.Context) error {
		pprof.Handler(c.Param("profile")).ServeHTTP(c.Response(), c.Request())
		return nil
	})
}
