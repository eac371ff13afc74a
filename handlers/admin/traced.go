package admin

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/handlers"
)

// traced has requests of the API be spans: those that change something, and those whose
// sender gives a trace context, in the trace of the sender. It runs once the sender is known
// to have the role for the request. The page's own reads have no trace context: there are
// many of them.
func (a *admin) traced(next echo.HandlerFunc) echo.HandlerFunc {
	if a.Tracer == nil {
		return next
	}
	return func(c echo.Context) (err error) {
		r := c.Request()
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !ofAPI(c.Path()) || reads && !trace.SpanContextFromContext(ctx).IsRemote() {
			return next(c)
		}
		code := http.StatusInternalServerError // of a panic
		ctx, span := handlers.BeginSpan(a.Tracer, r.WithContext(ctx), c.Path(), a.Now())
		defer func() { handlers.EndSpan(span, code, "") }()
		c.SetRequest(r.WithContext(ctx))
		if err := next(c); err != nil {
			c.Error(err) // answers
		}
		code = c.Response().Status
		return nil
	}
}

// ofAPI reports whether a route is one of the API.
func ofAPI(route string) bool {
	return strings.HasPrefix(route, "/api/v1/") || route == "/-/reload"
}
