package handlers

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// BeginSpan begins the span of a request that came to a route at a time, and returns the ctx
// of the work on it. tracer nil: there is no span, and it costs nothing. The span has the
// route in place of the path and the query, which may have anything.
func BeginSpan(tracer trace.Tracer, r *http.Request, route string, at time.Time) (context.Context, trace.Span) {
	if tracer == nil {
		return r.Context(), noop.Span{}
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return tracer.Start(r.Context(), r.Method+" "+route, trace.WithTimestamp(at), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(r.Method), semconv.HTTPRoute(route), semconv.URLScheme(scheme)))
}

// EndSpan ends the span of a request with the status of its answer. reason is why that is
// 500 or more; "": nothing is said of it.
func EndSpan(span trace.Span, code int, reason string) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(code))
	if code >= http.StatusInternalServerError {
		span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(code)))
		span.SetStatus(codes.Error, reason)
	}
	span.End()
}
