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
	Next   string `json:"-"`               // the path where a person in a browser goes on; "": nowhere
}

// IsBrowser reports whether a request is of a person's browser, which shows pages. The
// requests of scripts and of programs are not.
func IsBrowser(r *http.Request) bool {
	return strings.Contains(r.Header.Get(echo.HeaderAccept), echo.MIMETextHTML)
}

// Pages shows a response as a page.
type Pages func(c echo.Context, code int, r Response) error

// pagesKey is the key of Pages in an Echo context.
const pagesKey = "handlers.pages"

// ShowPages has Answer show browsers a page in whatever the Echo serves.
func ShowPages(e *echo.Echo, pages Pages) {
	e.Pre(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Set(pagesKey, pages)
			return next(c)
		}
	})
}

// Answer answers with a response that has no more than a text: in JSON, or as a page to a
// browser, if there are pages.
func Answer(c echo.Context, code int, r Response) error {
	if pages, are := c.Get(pagesKey).(Pages); are && IsBrowser(c.Request()) {
		return pages(c, code, r)
	}
	return c.JSON(code, r)
}

// NewEcho returns an Echo that prints nothing. It answers errors by Answer, and a
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
		if err := Answer(c, code, Response{Error: text}); err != nil {
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
