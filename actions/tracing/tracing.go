// Package tracing sends OpenTelemetry traces of the work, from a delivery to the calls at
// GitLab and the notifications. It is off unless the environment names an OTLP endpoint:
// then there is no tracer, and none of this runs.
//
//	delivery (server) ──► event ──► decision ──► outcome ──► notice   (each a consumer)
//	                        │           │                       │
//	                        └───────────┴─ requests to GitLab   └─ the receiver   (clients)
//
//	request in Slack (server) ──► request ──► decision ──► …
//	                                 └──► request, which replies once the decision has ended
//
//	command (internal) ──► request to the admin API (client) ──► the same at the server
//
// A record of the queue carries the span in which it was put (package traced of the store),
// so the trace goes on at any replica, and after a crash. A step that begins more than
// maxGap after it was queued, as that of a delayed retry does, begins a trace of its own
// with a link to that span: OpenTelemetry's conventions for messaging prefer links where a
// consumer may be late, and a trace of hours can't be read or sampled.
//
// Below the consumer, packages take the tracer from the span in their ctx. Attributes are
// those of the semantic conventions for HTTP (stable), messaging, CI/CD and version control
// (in development), and pipesteward.* for the words of rule files. No attribute has a body,
// a query, a text, a variable or an address with a path.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// scope names what makes the spans.
const scope = "github.com/pipesteward/pipesteward"

// The variables that turn tracing on, and those of which only some values are supported.
// The SDK and the exporter read all others of OpenTelemetry's specification by themselves.
const (
	endpointVariable       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesEndpointVariable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	protocolVariable       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	tracesProtocolVariable = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	exporterVariable       = "OTEL_TRACES_EXPORTER"
	disabledVariable       = "OTEL_SDK_DISABLED"
)

const protocol = "http/protobuf"

// Check returns whether the environment turns tracing on. An error names the variable that
// is wrong.
func Check() (on bool, err error) {
	if strings.EqualFold(os.Getenv(disabledVariable), "true") {
		return false, nil
	}
	switch exporter := os.Getenv(exporterVariable); exporter {
	case "", "otlp":
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("%s: %q is not supported: write otlp or none", exporterVariable, exporter)
	}
	for _, name := range []string{endpointVariable, tracesEndpointVariable} {
		value := os.Getenv(name)
		if value == "" {
			continue
		}
		on = true
		if u, err := url.Parse(value); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return false, fmt.Errorf("%s is not a URL like http://otel-collector:4318", name) // it may have a password
		}
	}
	if !on {
		return false, nil
	}
	for _, name := range []string{protocolVariable, tracesProtocolVariable} {
		if value := os.Getenv(name); value != "" && value != protocol {
			return false, fmt.Errorf("%s: %q is not supported: write %s, and use the collector's port for that, which is 4318 by default", name, value, protocol)
		}
	}
	return true, nil
}

// Start returns a tracer that sends spans to the endpoint in the environment, and what sends
// the last ones and ends it; the ctx of stop bounds that. The tracer is nil where tracing is
// off. A collector that fails delays nobody: spans are dropped while 2,048 of them wait.
func Start(ctx context.Context, version string, log *slog.Logger) (_ trace.Tracer, stop func(context.Context) error, err error) {
	on, err := Check()
	if !on || err != nil {
		return nil, nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %s", endpointVariable, redact.Secrets(err.Error()))
	}
	// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come last, and win.
	about, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("pipesteward"), semconv.ServiceVersion(version), semconv.ServiceInstanceID(uuid.NewString())),
		resource.WithTelemetrySDK(), resource.WithFromEnv(),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(&watched{SpanExporter: exporter, log: log}), sdktrace.WithResource(about))
	return provider.Tracer(scope, trace.WithInstrumentationVersion(version), trace.WithSchemaURL(semconv.SchemaURL)), provider.Shutdown, nil
}

// Of returns the tracer of the span in progress; nil: none is, or it is not recorded.
func Of(ctx context.Context) trace.Tracer {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return nil
	}
	return span.TracerProvider().Tracer(scope)
}

// watched is an exporter that logs when spans can't be sent any more, and when they can
// again. It returns no error: the SDK would log each.
type watched struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans implements sdktrace.SpanExporter.
func (w *watched) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := w.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !w.failing.Swap(true):
		w.log.WarnContext(ctx, "traces can't be sent, and spans are lost; the work goes on", "error", redact.Secrets(cause(err)), "advice", "see "+endpointVariable+" and the log of the collector")
	case err == nil && w.failing.Swap(false):
		w.log.InfoContext(ctx, "traces are sent again")
	}
	return nil
}

// cause returns the text of an error without the address that a *url.Error quotes, which
// may have a password.
func cause(err error) string {
	if quoted, is := errors.AsType[*url.Error](err); is {
		return quoted.Err.Error()
	}
	return err.Error()
}
