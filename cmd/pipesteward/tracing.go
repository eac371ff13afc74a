package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/actions/tracing"
)

// lastSpans is how long the end of a command may wait for a collector.
const lastSpans = time.Second

// isTraced reports whether a command is one whose run is a span: it calls GitLab or a running
// server, and ends. serve has its own traces; mcp and demo run until somebody stops them.
func isTraced(c *cli.Command) bool {
	calls := func(f cli.Flag) bool { return slices.Contains([]string{"admin-url", "gitlab-url"}, f.Names()[0]) }
	return !slices.Contains([]string{"serve", "mcp", "demo"}, c.Name) && slices.ContainsFunc(c.Flags, calls)
}

// withSpan has each run of a command be a span, if the environment has it traced as it does
// for serve: in the trace that the variable TRACEPARENT names, else in one of its own. The
// span is as OpenTelemetry's conventions for command lines have it, without the arguments:
// these may hold secrets. What is wrong with the settings of tracing is no reason to fail.
func withSpan(action cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) (err error) {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT"), "tracestate": os.Getenv("TRACESTATE")})
		stderr := c.Root().ErrWriter
		log := slog.New(textHandler(stderr, slog.LevelWarn, newPrinter(stderr).colour))
		tracer, stop, wrong := tracing.Start(ctx, thisBuild().version, log)
		if wrong != nil {
			log.WarnContext(ctx, "this command is not traced", "error", wrong)
		}
		if tracer == nil {
			return action(ctx, c)
		}
		ctx, span := tracer.Start(ctx, "pipesteward "+nameOf(c), trace.WithAttributes(
			semconv.ProcessExecutableName("pipesteward"), semconv.ProcessPID(os.Getpid()), attribute.String("pipesteward.command", nameOf(c))))
		defer func() {
			status := exitStatus(err)
			span.SetAttributes(semconv.ProcessExitCode(status))
			if status != 0 {
				span.SetAttributes(semconv.ErrorTypeOther)
				span.SetStatus(codes.Error, "")
			}
			span.End()
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
			defer cancel()
			_ = stop(ending) // what the collector does not take now is lost, and it was logged
		}()
		return action(ctx, c)
	}
}

// beginCall begins the span of a request to the admin API, in the trace of ctx, and has the
// request carry it: also where this command is not traced, but what has started it is. end takes
// the status of the answer; 0: there was none.
func beginCall(ctx context.Context, req *http.Request) (end func(status int)) {
	tracer := tracing.Of(ctx)
	if tracer == nil {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
		return func(int) {}
	}
	template := templateOf(req.URL.EscapedPath())
	ctx, span := tracer.Start(ctx, req.Method+" "+template, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(req.Method), semconv.URLTemplate(template), semconv.ServerAddress(req.URL.Hostname())))
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	return func(status int) {
		defer span.End()
		if status == 0 {
			span.SetAttributes(semconv.ErrorTypeOther)
			span.SetStatus(codes.Error, "no answer")
			return
		}
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		if status >= http.StatusBadRequest {
			span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
			span.SetStatus(codes.Error, "")
		}
	}
}

// templateOf returns the path of the admin API with a name in place of an id:
// /api/v1/queue/{id}/drop.
func templateOf(path string) string {
	segments := strings.Split(path, "/")
	if len(segments) == len([]string{"", "api", "v1", "queue", "id", "drop"}) {
		segments[4] = "{id}"
	}
	return strings.Join(segments, "/")
}
