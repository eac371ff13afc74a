package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
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

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// spans are what an OTLP collector has received.
type spans struct {
	*testing.T
	*httptest.Server
	mu       sync.Mutex
	received []*otlp.Span
	services map[string]bool       // names of the services that sent them
	replicas map[*otlp.Span]string // by which process each was sent
}

// collect starts an OTLP collector, to which processes of the environment send their spans
// at once.
func (env *environment) collect() *spans {
	env.Helper()
	s := &spans{T: env.T, services: map[string]bool{}, replicas: map[*otlp.Span]string{}}
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
			s.services[valueOf(resource.GetResource().GetAttributes(), "service.name")] = true
			for _, scope := range resource.GetScopeSpans() {
				s.received = append(s.received, scope.GetSpans()...)
				for _, span := range scope.GetSpans() {
					s.replicas[span] = valueOf(resource.GetResource().GetAttributes(), "service.instance.id")
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	env.Cleanup(s.Close)
	env.variables = append(env.variables, "OTEL_EXPORTER_OTLP_ENDPOINT="+s.URL, "OTEL_BSP_SCHEDULE_DELAY=10")
	return s
}

// valueOf returns the value of an attribute, as text.
func valueOf(all []*common.KeyValue, key string) string {
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

// collectHere is collect for programs and commands that run in this process.
func (env *environment) collectHere() *spans {
	env.Helper()
	s := env.collect()
	for _, variable := range env.variables {
		name, value, _ := strings.Cut(variable, "=")
		env.Setenv(name, value)
	}
	return s
}

// chain waits for spans of these names, each of which follows the one before, and returns
// them. first nil: the first of them follows any span or none.
func (s *spans) chain(p *program, first *otlp.Span, names ...string) (all []*otlp.Span) {
	s.Helper()
	await.Until(p, "the collector has the spans "+strings.Join(names, " → "), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		all = s.follow(first, names)
		return all != nil
	}, s.names, p.logged)
	return all
}

// names lists the spans that were received, with the ids of each and of its parent.
func (s *spans) names() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all strings.Builder
	for _, span := range s.received {
		fmt.Fprintf(&all, "%x %x after %x: %s\n", span.GetTraceId(), span.GetSpanId(), span.GetParentSpanId(), span.GetName())
	}
	return all.String()
}

// follow returns spans of these names as chain does; nil: there are none.
func (s *spans) follow(before *otlp.Span, names []string) []*otlp.Span {
	if len(names) == 0 {
		return []*otlp.Span{}
	}
	for _, span := range s.received {
		if span.GetName() != names[0] || before != nil && !follows(span, before) {
			continue
		}
		if rest := s.follow(span, names[1:]); rest != nil {
			return append([]*otlp.Span{span}, rest...)
		}
	}
	return nil
}

// has reports whether any span of a name was received.
func (s *spans) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.follow(nil, []string{name}) != nil
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
			rest := traces.chain(second, begin[1], "process decision", "POST /api/v4/projects/{project}/jobs/{job}/retry")
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
				retry:    {"http.request.method": "POST", "pipesteward.gitlab.endpoint": "retry", "url.template": "/api/v4/projects/{project}/jobs/{job}/retry", "http.response.status_code": "201"},
			} {
				for key, value := range want {
					if got := valueOf(span.GetAttributes(), key); got != value {
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

// TestTracesOfReplicas: while two replicas work at once on one Redis, a delivery that one of
// them takes and the other works on is one trace, each step a child of the one before it.
func TestTracesOfReplicas(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	traces := env.collect()
	f := env.serveFleet(2, redistest.Start(t).URL())
	crossed := map[string]bool{} // by the replica that took the delivery
	f.replica(0).eventually("each replica works on a delivery of the other", func() bool {
		for i := range 2 {
			p := f.replica(i)
			p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
			p.workedOff()
		}
		traces.mu.Lock()
		defer traces.mu.Unlock()
		for _, delivery := range traces.received {
			if delivery.GetName() != "POST /webhooks/gitlab" {
				continue
			}
			steps := traces.follow(delivery, []string{"process event", "process decision", "process outcome", "process notice", "notify slack"})
			for i, step := range steps {
				if string(step.GetTraceId()) != string(delivery.GetTraceId()) || i > 0 && string(step.GetParentSpanId()) != string(steps[i-1].GetSpanId()) {
					t.Errorf("%s is in the trace %x with the parent %x, want %x and the step before", step.GetName(), step.GetTraceId(), step.GetParentSpanId(), delivery.GetTraceId())
				}
				if traces.replicas[step] != traces.replicas[delivery] {
					crossed[traces.replicas[delivery]] = true
				}
			}
		}
		return len(crossed) == 2
	})
	for i := range 2 {
		f.replica(i).stop()
	}
	traces.check(env)
}

// TestTracedLog: in both formats, each line about a delivery names its trace and a span, from
// the webhook to the evaluation, the requests to GitLab, the outcome and a notification that
// fails.
func TestTracedLog(t *testing.T) {
	for name, format := range map[string]struct {
		handler func(io.Writer) slog.Handler
		field   string // as the format has it
	}{
		formatJSON: {func(w io.Writer) slog.Handler {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
		}, `"%s":"%s`},
		formatText: {func(w io.Writer) slog.Handler { return textHandler(w, slog.LevelDebug, false) }, `%s=%s`},
	} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			traces := env.collectHere()
			env.slack.Fail(slacktest.Fault{Method: "chat.postMessage", Error: "channel_not_found"})
			p := env.runLogging(format.handler, secretFlags()...)
			p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
			delivery := traces.chain(p, nil, "POST /webhooks/gitlab", "process event", "process decision", "process outcome", "process notice")[0]
			const notified = "an address refuses notifications: they wait in the queue until that is mended"
			p.eventually("the log has the refusal", func() bool { return strings.Contains(p.logged(), notified) })
			trace := fmt.Sprintf(format.field, "trace_id", hex.EncodeToString(delivery.GetTraceId()))
			span := fmt.Sprintf(format.field, "span_id", "")
			traced := map[string]bool{}
			for line := range strings.Lines(p.logged()) {
				is := strings.Contains(line, trace) && strings.Contains(line, span)
				for _, message := range []string{"the first delivery of a project since the start", "event evaluated", "request to GitLab", "outcome", notified} {
					traced[message] = traced[message] || is && strings.Contains(line, message)
				}
				if strings.Contains(line, fmt.Sprintf(format.field, "event", "")) && !is {
					t.Errorf("the line is about the event and does not name its trace: %s", line)
				}
			}
			for message, is := range traced {
				if !is {
					t.Errorf("no line %q names the trace:\n%s", message, p.tail())
				}
			}
		})
	}
}

// TestTracedRequestsOfSlack: what a person requests in Slack is a trace, from the request, by
// HTTP or in Socket Mode, over the decision and the call of GitLab to the reply.
func TestTracedRequestsOfSlack(t *testing.T) {
	env := newEnvironment(t)
	traces := env.collectHere()
	env.write("rules.yaml", pressRules)
	ada := env.slack.AddUser("ada@example.com")
	env.slack.AddGroup("ci-ops", ada)
	env.slack.SetAppToken(testAppToken)
	p := env.run("--slack-signing-secret", testSlackSecret, "--slack-app-token", testAppToken, "--slack-operators", "@ci-ops")
	operator := slackPerson{env, p, testSlackSecret, ada}
	p.post(env.gitlab.JobHookBody(env.stuckJob().ID))
	p.eventually("the job is said in Slack", func() bool { return len(env.slack.Messages("ci")) > 0 })

	operator.presses(chatops.ButtonRetry)
	pressed := traces.chain(p, nil, "POST /slack/interactions", "process request", "process decision", "POST /api/v4/projects/{project}/jobs/{job}/retry")
	traces.chain(p, pressed[1], "process request", "notify slack")
	for key, want := range map[string]string{"http.route": "/slack/interactions", "http.response.status_code": "200"} {
		if got := valueOf(pressed[0].GetAttributes(), key); got != want {
			t.Errorf("the span of the press has %s %q, want %q", key, got, want)
		}
	}
	if got := valueOf(pressed[1].GetAttributes(), "pipesteward.request"); got != chatops.ButtonRetry {
		t.Errorf("the span of the request says %q, want %q", got, chatops.ButtonRetry)
	}

	p.eventually("Socket Mode is connected", func() bool { open, _ := env.slack.Connections(); return open == 1 })
	if _, err := env.slack.Send(env.slack.Command(slacktest.Command{User: ada, Channel: env.slack.Channel("#ci"), Text: "status"})); err != nil {
		t.Fatal(err)
	}
	typed := traces.chain(p, nil, "receive slash_commands", "process request", "notify slack")
	if got := valueOf(typed[0].GetAttributes(), "messaging.system"); got != "slack" {
		t.Errorf("the span of the command is of the system %q, want slack", got)
	}
	if code := p.pressedWith(env, "another"); code != http.StatusUnauthorized {
		t.Errorf("a press that is signed with another secret is answered with %d", code)
	}
	p.stop()
	traces.check(env)
	n := 0
	for _, span := range traces.received {
		if span.GetName() == "POST /slack/interactions" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d spans of presses, want one: a request that is refused has none", n)
	}
}

// TestTracedCommands: a command is a trace, from its run over its request to the admin API
// to what the server calls; it goes on where TRACEPARENT says. Reads of others are no spans.
func TestTracedCommands(t *testing.T) {
	env := newEnvironment(t)
	traces := env.collectHere()
	const parent = "0102030405060708"
	t.Setenv("TRACEPARENT", "00-0102030405060708090a0b0c0d0e0f10-"+parent+"-01")
	p := env.run()
	job := env.stuckJob()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()

	p.wants([]string{"why", fmt.Sprintf("%s/platform/shop/-/jobs/%d", env.gitlab.URL(), job.ID)}, "retried")
	why := traces.chain(p, nil, "pipesteward why", "GET /api/v1/why", "GET /api/v1/why", "GET /api/v4/projects/{project}/jobs/{job}")
	p.wants([]string{"pause", "--project", "elsewhere/**", "--for", "1h"})
	pause := traces.chain(p, nil, "pipesteward pause", "POST /api/v1/pause", "POST /api/v1/pause")
	if code, _, _ := p.output("queue", "drop", "no-such-record", "--yes"); code != 1 {
		t.Errorf("queue drop of no record ends with %d", code)
	}
	drop := traces.chain(p, nil, "pipesteward queue drop", "POST /api/v1/queue/{id}/drop", "POST /api/v1/queue/:id/drop")

	for _, c := range []struct {
		span *otlp.Span
		kind otlp.Span_SpanKind
		want map[string]string
	}{
		{why[0], otlp.Span_SPAN_KIND_INTERNAL, map[string]string{"process.executable.name": "pipesteward", "process.exit.code": "0"}},
		{why[1], otlp.Span_SPAN_KIND_CLIENT, map[string]string{"url.template": "/api/v1/why", "http.response.status_code": "200"}},
		{why[2], otlp.Span_SPAN_KIND_SERVER, map[string]string{"http.route": "/api/v1/why", "http.response.status_code": "200"}},
		{drop[0], otlp.Span_SPAN_KIND_INTERNAL, map[string]string{"process.exit.code": "1", "error.type": "_OTHER"}},
		{drop[2], otlp.Span_SPAN_KIND_SERVER, map[string]string{"http.route": "/api/v1/queue/:id/drop", "http.response.status_code": "404"}},
	} {
		if c.span.GetKind() != c.kind {
			t.Errorf("%s is of the kind %s, want %s", c.span.GetName(), c.span.GetKind(), c.kind)
		}
		for key, want := range c.want {
			if got := valueOf(c.span.GetAttributes(), key); got != want {
				t.Errorf("%s has %s %q, want %q", c.span.GetName(), key, got, want)
			}
		}
	}
	for _, span := range [][]*otlp.Span{why, pause, drop} {
		if got := hex.EncodeToString(span[0].GetParentSpanId()); got != parent {
			t.Errorf("%s has the parent %s, want that of TRACEPARENT", span[0].GetName(), got)
		}
	}
	if !strings.Contains(p.logged(), `"msg":"paused"`) || !strings.Contains(p.logged(), `"span_id":"`+hex.EncodeToString(pause[2].GetSpanId())+`"`) {
		t.Errorf("the log does not name the span of the pause:\n%s", p.tail())
	}
	if traces.has("GET /api/v1/queue") {
		t.Error("a read without a trace context is a span")
	}
	traces.check(env)
}

// TestUntracedCommand: what is wrong with the settings of tracing is said, and the command
// runs; a server without tracing takes a request with a trace context.
func TestUntracedCommand(t *testing.T) {
	env := newEnvironment(t)
	p := env.run()
	t.Setenv("TRACEPARENT", "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01")
	p.wants([]string{"status"})
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	code, out, errs := p.output("status", "--json")
	if code != 0 || !strings.HasPrefix(out, "{") || !strings.Contains(errs, "OTEL_EXPORTER_OTLP_PROTOCOL") {
		t.Errorf("with gRPC, status ends with %d, prints %q and says %q", code, out, errs)
	}
}
