package tracing_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Tracing is on only where an endpoint is set, and what is not supported is an error that
// names the variable, and no password.
func TestCheck(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, c := range []struct {
		variables map[string]string
		on        bool
		says      string // the error
	}{
		{nil, false, ""},
		{map[string]string{"OTEL_SERVICE_NAME": "bot"}, false, ""},
		{map[string]string{endpoint: "http://collector:4318"}, true, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"}, true, ""},
		{map[string]string{endpoint: "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, false, ""},
		{map[string]string{endpoint: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		{map[string]string{endpoint: "http://collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, true, ""},
		{map[string]string{endpoint: "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{map[string]string{endpoint: "http://collector:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, false, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"},
		{map[string]string{endpoint: "http://collector:4318", "OTEL_TRACES_EXPORTER": "console"}, false, "OTEL_TRACES_EXPORTER"},
		{map[string]string{endpoint: "collector:4318"}, false, endpoint},
		{map[string]string{endpoint: "ftp://user:hunter2@collector"}, false, endpoint},
	} {
		t.Run("", func(t *testing.T) {
			for name, value := range c.variables {
				t.Setenv(name, value)
			}
			on, err := tracing.Check()
			if on != c.on || (err != nil) != (c.says != "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("with %v it is %t, %v; want %t and an error with %q", c.variables, on, err, c.on, c.says)
			}
		})
	}
}

// Without an endpoint there is no tracer, no span of a record and no goroutine: TestMain
// looks for those.
func TestOff(t *testing.T) {
	tracer, _, err := tracing.Start(t.Context(), "v1", slog.New(slog.DiscardHandler))
	if tracer != nil || err != nil || tracing.Records(tracer, time.Now) != nil {
		t.Errorf("without an endpoint there are the tracer %v and %v", tracer, err)
	}
}

// A collector that fails is logged once, and once more when it works again; its address,
// which may have a password, is not in the log.
func TestFailingCollector(t *testing.T) {
	var healthy atomic.Bool
	var asked atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if !healthy.Load() {
			w.WriteHeader(http.StatusBadRequest) // final: the exporter does not repeat it
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", strings.Replace(collector.URL, "http://", "http://user:hunter2@", 1))
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	var lines lockedBuffer
	tracer, stop, err := tracing.Start(t.Context(), "v1", slog.New(slog.NewTextHandler(&lines, nil)))
	if err != nil {
		t.Fatal(err)
	}
	send := func(until func() bool) {
		for !until() && t.Context().Err() == nil {
			_, span := tracer.Start(t.Context(), "work")
			span.End()
			time.Sleep(time.Millisecond)
		}
	}
	send(func() bool { return asked.Load() >= 3 })
	healthy.Store(true)
	send(func() bool { return strings.Contains(lines.String(), "traces are sent again") })
	if err := stop(context.Background()); err != nil {
		t.Error(err)
	}
	log := lines.String()
	if strings.Count(log, "traces can't be sent") != 1 || strings.Count(log, "traces are sent again") != 1 || strings.Contains(log, "hunter2") {
		t.Errorf("the log has\n%s\nwant one line each, without the password", log)
	}
}

// lockedBuffer is a buffer that several goroutines may use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// settler takes every settlement.
type settler struct{}

func (settler) Lease(context.Context, int, time.Duration) ([]store.Lease, error) { return nil, nil }
func (settler) Wait(context.Context, time.Duration) error                        { return nil }
func (settler) Extend(context.Context, *store.Lease, time.Duration) error        { return nil }
func (settler) DoneWith(context.Context, *store.Lease, store.Changes) error      { return nil }
func (settler) Defer(context.Context, *store.Lease, time.Duration) error         { return nil }
func (settler) Bury(context.Context, *store.Lease, string) error                 { return nil }

// A step that begins soon is a child of the one before; one that begins later has a trace of
// its own with a link. An error is a status without secrets, but waiting is none.
func TestRecords(t *testing.T) {
	const parent = "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		trace  store.Trace
		err    error
		child  bool
		links  int
		status codes.Code
	}{
		"no trace before":   {status: codes.Unset},
		"at once":           {trace: store.Trace{Parent: parent, At: now.Add(-time.Second)}, child: true},
		"after a minute":    {trace: store.Trace{Parent: parent, At: now.Add(-time.Minute)}, child: true},
		"hours later":       {trace: store.Trace{Parent: parent, At: now.Add(-3 * time.Hour)}, links: 1},
		"an unreadable one": {trace: store.Trace{Parent: "00-zz", At: now.Add(-time.Second)}},
		"waits":             {err: &worker.LaterError{Err: errors.New("not yet"), After: time.Second}},
		"fails":             {err: errors.New("glpat-abcdefghij0123456789 \xff is refused"), status: codes.Error},
	} {
		t.Run(name, func(t *testing.T) {
			ended := tracetest.NewSpanRecorder()
			provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(ended))
			var log bytes.Buffer
			pool := worker.New(worker.Config{
				Queue: settler{}, Log: tracing.Logger(slog.New(slog.NewTextHandler(&log, nil))), Span: tracing.Records(provider.Tracer("test"), func() time.Time { return now }),
				Handlers: map[string]worker.Handler{"event": func(ctx context.Context, _ *worker.Lease) error {
					tracing.Event(ctx, event.Event{Project: event.Project{Path: "a/b"}, Pipeline: event.Pipeline{ID: 7, Ref: "main"}, Job: event.Job{Name: "rspec\xff"}})
					return c.err
				}},
			})
			pool.Work(t.Context(), store.Lease{ID: "id", Kind: "event", Trace: c.trace})
			if len(ended.Ended()) != 1 {
				t.Fatalf("%d spans have ended, want one", len(ended.Ended()))
			}
			span := ended.Ended()[0]
			if span.Parent().IsValid() != c.child || len(span.Links()) != c.links || span.Status().Code != c.status {
				t.Errorf("the span has the parent %v, %d links and the status %v; want a parent %t, %d and %v", span.Parent(), len(span.Links()), span.Status(), c.child, c.links, c.status)
			}
			if text := span.Status().Description; strings.Contains(text, "glpat-abc") || strings.Contains(text, "\xff") {
				t.Errorf("the status is %q, want it without the secret and in UTF-8", text)
			}
			if id := span.SpanContext().TraceID().String(); c.status == codes.Error && !strings.Contains(log.String(), "trace_id="+id) {
				t.Errorf("the log does not name the trace %s:\n%s", id, log.String())
			}
			for _, a := range span.Attributes() {
				if strings.Contains(a.Value.String(), "\xff") {
					t.Errorf("the attribute %s is no UTF-8", a.Key)
				}
			}
		})
	}
}
