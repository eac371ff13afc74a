package tracing

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Notification begins the span of a call of a receiver, if a trace is in progress. Its
// address is left out: that of some receivers is a secret.
func Notification(ctx context.Context, receiver string) (_ context.Context, end func(error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, func(error) {}
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, "notify "+receiver,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(receiverKey.String(receiver)))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, errorText(err))
		}
		span.End()
	}
}
