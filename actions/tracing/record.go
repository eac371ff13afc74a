package tracing

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
	"github.com/pipesteward/pipesteward/store"
)

// maxGap is the longest time from the queueing of a step to its begin for which the step
// belongs to the same trace.
const maxGap = time.Minute

// maxStatus bounds the text of an error in a span, in bytes.
const maxStatus = 300

// Records returns what begins the span of the work on a record, for worker.Config; nil if
// the tracer is nil.
func Records(tracer trace.Tracer, now func() time.Time) worker.Span {
	if tracer == nil {
		return nil
	}
	return func(ctx context.Context, l *worker.Lease) (context.Context, func(error)) {
		options := []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(
				semconv.MessagingSystemKey.String("pipesteward"), semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
				semconv.MessagingDestinationName(l.Kind()), semconv.MessagingMessageID(l.ID()), attribute.Int("pipesteward.attempt", l.Attempt()),
			),
		}
		ctx, relation := after(ctx, l.Trace(), now())
		ctx, span := tracer.Start(ctx, "process "+l.Kind(), append(options, relation...)...)
		return ctx, func(err error) {
			if failed(err) {
				span.SetStatus(codes.Error, errorText(err))
			}
			span.End()
		}
	}
}

// after returns a ctx in which a span is the child of the one that a record carries, or what
// links it to that one after a long time.
func after(ctx context.Context, t store.Trace, now time.Time) (context.Context, []trace.SpanStartOption) {
	if t.Parent == "" {
		return ctx, nil
	}
	before := propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": t.Parent})
	if now.Sub(t.At) <= maxGap {
		return before, nil
	}
	return ctx, []trace.SpanStartOption{trace.WithLinks(trace.LinkFromContext(before))}
}

// failed reports whether an error is one: a record that waits deliberately has not failed.
func failed(err error) bool {
	return err != nil && !errors.As(err, new(*worker.LaterError)) && !errors.Is(err, store.ErrLeaseLost)
}

// valid returns a text without what is no UTF-8: OTLP refuses the spans of the whole batch.
func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// errorText returns the text of an error, without secrets, for a span.
func errorText(err error) string {
	text := redact.Secrets(err.Error())
	return valid(text[:min(len(text), maxStatus)])
}
