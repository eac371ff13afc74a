package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// spans are what an OTLP collector has received.
type spans struct {
	*testing.T
	*httptest.Server
	mu       sync.Mutex
	received []*otlp.Span
	services map[string]bool // names of the services that sent them
}

// collect starts an OTLP collector, to which processes of the environment send their spans
// at once.
func (env *environment) collect() *spans {
	env.Helper()
	s := &spans{T: env.T, services: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			env.Errorf("the collector receives %s %s as %s: %v", r.Method, r.URL, r.Header.Get("Content-Type"), err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, resource := range request.GetResourceSpans() {
			s.services[attribute(resource.GetResource().GetAttributes(), "service.name")] = true
			for _, scope := range resource.GetScopeSpans() {
				s.received = append(s.received, scope.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	env.Cleanup(s.Close)
	env.variables = append(env.variables, "OTEL_EXPORTER_OTLP_ENDPOINT="+s.URL, "OTEL_BSP_SCHEDULE_DELAY=10")
	return s
}

// attribute returns the value of an attribute, as text.
func attribute(all []*common.KeyValue, key string) string {
	for _, a := range all {
		if a.GetKey() == key {
			if n, is := a.GetValue().GetValue().(*common.AnyValue_IntValue); is {
				return strconv.FormatInt(n.IntValue, 10)
			}
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// follows reports whether a span is a child of another one, or linked to it.
func follows(span, before *otlp.Span) bool {
	is := func(trace, id []byte) bool {
		return string(trace) == string(before.GetTraceId()) && string(id) == string(before.GetSpanId())
	}
	for _, link := range span.GetLinks() {
		if is(link.GetTraceId(), link.GetSpanId()) {
			return true
		}
	}
	return is(span.GetTraceId(), span.GetParentSpanId())
}

// after returns the span of a name that follows another one, nil as long as there is none;
// before nil: any of that name.
func (s *spans) after(before *otlp.Span, name string) *otlp.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.received {
		if span.GetName() == name && (before == nil || follows(span, before)) {
			return span
		}
	}
	return nil
}

// chain waits for spans of these names, each of which follows the one before, and returns
// them.
func (s *spans) chain(p *program, first *otlp.Span, names ...string) []*otlp.Span {
	s.Helper()
	var all []*otlp.Span
	for _, name := range names {
		var span *otlp.Span
		p.eventually("the collector has the span "+name, func() bool {
			span = s.after(first, name)
			return span != nil
		})
		all, first = append(all, span), span
	}
	return all
}

// TestTraces: the spans of one retry, from the delivery to the calls of GitLab and Slack,
// follow each other, on both backends, over replicas, and over the kill of the one that
// works on it.
func TestTraces(t *testing.T) {
	t.Parallel()
	for name, storeOf := range map[string]func(*environment) string{
		"bolt":  func(env *environment) string { return "bolt:" + filepath.Join(env.dir, "traced.db") },
		"redis": func(env *environment) string { return redistest.Start(env.T).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "redis" && testing.Short() {
				t.Skip("the lease of the killed replica has to run out")
			}
			env := newEnvironment(t)
			traces, store := env.collect(), storeOf(env)
			first := env.serve("--store", store, "--log-level", "debug")
			unsent := make(chan struct{}) // what the first replica sends has no effect
			env.gitlab.Fail(gitlabtest.Fault{Method: "POST", Path: "/retry", Times: -1, Until: unsent, Status: http.StatusBadGateway})
			job := env.stuckJob()
			first.post(env.gitlab.JobHookBody(job.ID))
			begin := traces.chain(first, nil, "POST /webhooks/gitlab", "process event")
			first.eventually("the retry is sent", func() bool { return env.gitlab.Count("POST", "/retry") == 1 })
			first.kill()
			close(unsent)
			env.gitlab.ClearFaults()

			second := env.serve("--store", store, "--log-level", "debug")
			second.workedOff()
			rest := traces.chain(second, begin[1], "process decision", "POST retry")
			traces.chain(second, rest[0], "process outcome", "process notice", "notify slack")
			second.stop()
			if posts := len(env.slack.Posts()); posts != 1 {
				t.Errorf("%d messages, want 1", posts)
			}

			delivery, decision, retry := begin[0], rest[0], rest[1]
			for span, want := range map[*otlp.Span]map[string]string{
				delivery: {"http.request.method": "POST", "http.route": "/webhooks/gitlab", "http.response.status_code": "202", "pipesteward.delivery.result": "stored"},
				begin[1]: {"messaging.destination.name": "event", "cicd.pipeline.task.name": "rspec", "cicd.pipeline.task.run.id": strconv.FormatInt(job.ID, 10), "cicd.pipeline.task.run.result": "failure", "vcs.provider.name": "gitlab"},
				decision: {"pipesteward.rule": "retry-stuck", "pipesteward.action": "retry", "pipesteward.outcome": "done", "cicd.pipeline.run.id": strconv.FormatInt(job.PipelineID, 10)},
				retry:    {"http.request.method": "POST", "pipesteward.gitlab.endpoint": "retry", "http.response.status_code": "201"},
			} {
				for key, value := range want {
					if got := attribute(span.GetAttributes(), key); got != value {
						t.Errorf("the span %q has %s %q, want %q", span.GetName(), key, got, value)
					}
				}
			}
			if delivery.GetKind() != otlp.Span_SPAN_KIND_SERVER || len(delivery.GetParentSpanId()) != 0 {
				t.Errorf("the span of the delivery is %s with the parent %x, want that of a server without one", delivery.GetKind(), delivery.GetParentSpanId())
			}
			if decision.GetKind() != otlp.Span_SPAN_KIND_CONSUMER || retry.GetKind() != otlp.Span_SPAN_KIND_CLIENT {
				t.Errorf("the spans of the decision and the request are %s and %s", decision.GetKind(), retry.GetKind())
			}
			if id := hex.EncodeToString(delivery.GetTraceId()); !strings.Contains(first.logged(), `"msg":"event evaluated"`) || !strings.Contains(first.logged(), `"trace_id":"`+id+`"`) {
				t.Errorf("the log does not name the trace %s:\n%s", id, first.tail())
			}
			traces.check(env)
		})
	}
}

// check wants no secret in any span, and the spans of the program only.
func (s *spans) check(env *environment) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.services) != 1 || !s.services["pipesteward"] {
		s.Errorf("services %v, want pipesteward", s.services)
	}
	for _, span := range s.received {
		for _, secret := range []string{testSecret, testSlack, gitlabtest.DefaultToken, env.slack.URL()} {
			if text := span.String(); strings.Contains(text, secret) {
				s.Errorf("a span has the secret %s: %s", secret, text)
			}
		}
	}
}

// TestCollectorHangs: a collector that takes connections and never answers delays neither
// the work nor the end of the program.
func TestCollectorHangs(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	asked, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		once.Do(func() { close(asked) })
		<-end
	}))
	t.Cleanup(collector.Close)
	t.Cleanup(func() { close(end) }) // first
	env.variables = append(env.variables, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=10")
	p := env.serve()
	p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
	<-asked
	p.post(env.gitlab.JobHookBody(env.stuckJobOf("platform/other").ID))
	p.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 2 {
		t.Errorf("%d retries, want 2", n)
	}
	p.stop()
}

// TestNoTracing: without an endpoint no record has a trace, and no log line; with a wrong
// setting the program does not start, and says which it is.
func TestNoTracing(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run("--log-level", "debug")
	p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
	p.workedOff()
	if strings.Contains(p.logged(), "trace_id") {
		t.Errorf("the log has a trace:\n%s", p.tail())
	}
	wrong := newEnvironment(t)
	wrong.variables = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}
	if _, err := wrong.start(); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_PROTOCOL") {
		t.Errorf("with gRPC, serve ends with %v", err)
	}
}
