package rest

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
)

// span begins the span of a request, by the tracer of the span in progress; without one it
// begins none. It has the template of the path in place of the URL, whose query may have
// anything. What several callers wait for is in the trace of the first.
func (c *Client) span(ctx context.Context, r Request) (_ context.Context, end func(*gl.Response, error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, func(*gl.Response, error) {}
	}
	base := c.api.BaseURL()
	method, template := r.Method, base.Path+endpoint.Template(r.Path)
	if r.Query != nil {
		method, template = http.MethodPost, strings.TrimSuffix(base.Path, restPath)+gl.GraphQLAPIEndpoint
	}
	ctx, span := parent.TracerProvider().Tracer("github.com/pipesteward/pipesteward").Start(ctx, method+" "+template,
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(method), semconv.URLTemplate(template),
			semconv.ServerAddress(base.Hostname()), semconv.ServerPort(portOf(base)), attribute.String("pipesteward.gitlab.endpoint", r.Endpoint)))
	return ctx, func(resp *gl.Response, err error) {
		switch {
		case resp != nil:
			span.SetAttributes(semconv.HTTPResponseStatusCode(resp.StatusCode))
			if resp.StatusCode >= http.StatusBadRequest {
				span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(resp.StatusCode)))
				span.SetStatus(codes.Error, "")
			}
		case err != nil:
			span.SetAttributes(semconv.ErrorTypeOther)
			span.SetStatus(codes.Error, "no answer")
		}
		span.End()
	}
}

// portOf returns the port of a URL, that of its scheme if it names none.
func portOf(u *url.URL) int {
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}
