package rest

import (
	"context"
	"net/http"
	"strconv"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// span begins the span of a request, by the tracer of the span in progress; without one it
// begins none. It has the endpoint's name in place of the URL, whose query may have anything.
// What several callers wait for is in the trace of the first.
func (c *Client) span(ctx context.Context, r Request) (_ context.Context, end func(*gl.Response, error)) {
	ctx, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("github.com/pipesteward/pipesteward").Start(ctx, r.Method+" "+r.Endpoint,
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(r.Method), semconv.ServerAddress(c.api.BaseURL().Hostname()), attribute.String("pipesteward.gitlab.endpoint", r.Endpoint)))
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
