package handlers

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/labstack/echo/v4"
)

// Response is the JSON body of a response: one of its fields is set.
type Response struct {
	Status string `json:"status,omitempty"`
	Error  string `json:"error,omitempty"` // the cause, and the remedy
}

// NewEcho returns an Echo that prints nothing. It answers errors in JSON, and a
// panic with 500; it logs the panic and calls panicked. HEAD is answered as GET, without
// the body, which net/http leaves out.
func NewEcho(log *slog.Logger, panicked func()) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		code, text := http.StatusInternalServerError, ""
		if he := (*echo.HTTPError)(nil); errors.As(err, &he) {
			code, text = he.Code, fmt.Sprint(he.Message)
		} else {
			log.ErrorContext(c.Request().Context(), "request failed", "method", c.Request().Method, "path", c.Path(), "error", err)
		}
		switch code {
		case http.StatusNotFound:
			text = "there is nothing at this address"
		case http.StatusMethodNotAllowed:
			// Echo allows OPTIONS everywhere.
			text = "this address takes only " + strings.TrimPrefix(c.Response().Header().Get(echo.HeaderAllow), "OPTIONS, ")
		case http.StatusInternalServerError:
			text = "something went wrong here: see the log"
		}
		if err := c.JSON(code, Response{Error: text}); err != nil {
			log.DebugContext(c.Request().Context(), "answer not sent", "path", c.Path(), "error", err)
		}
	}
	e.OnAddRouteHandler = func(_ string, route echo.Route, handler echo.HandlerFunc, middleware []echo.MiddlewareFunc) {
		if route.Method == http.MethodGet {
			e.HEAD(route.Path, handler, middleware...)
		}
	}
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				r := recover()
				if r == nil {
					return
				}
				if r == http.ErrAbortHandler { //nolint:errorlint // net/http compares the very value
					panic(r)
				}
				panicked()
				log.ErrorContext(c.Request().Context(), "panic", "method", c.Request().Method, "path", c.Path(), "panic", r, "stack", string(debug.Stack()))
				err = echo.ErrInternalServerError
			}()
			return next(c)
		}
	})
	return e
}
