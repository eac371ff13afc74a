package tracing

import (
	"context"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/rules/event"
)

// The attributes that no semantic convention has.
const (
	ruleKey     = attribute.Key("pipesteward.rule")
	actionKey   = attribute.Key("pipesteward.action")
	outcomeKey  = attribute.Key("pipesteward.outcome")
	kindKey     = attribute.Key("pipesteward.event.kind")
	matchedKey  = attribute.Key("pipesteward.decisions")
	requestKey  = attribute.Key("pipesteward.request")
	receiverKey = attribute.Key("pipesteward.receiver")
)

// Event adds to the span in progress which project, pipeline and job an event is about.
func Event(ctx context.Context, e event.Event) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(kindKey.String(e.Meta.Kind), semconv.VCSProviderNameGitlab)
	add := func(key attribute.Key, value string) {
		if value != "" {
			span.SetAttributes(key.String(valid(value)))
		}
	}
	add(semconv.VCSRepositoryNameKey, e.Project.Name)
	add(semconv.VCSOwnerNameKey, e.Project.Namespace)
	add(semconv.VCSRepositoryURLFullKey, e.Project.URL)
	add(semconv.VCSRefHeadNameKey, e.Pipeline.Ref)
	add(semconv.VCSRefHeadRevisionKey, e.Pipeline.SHA)
	add(semconv.VCSChangeIDKey, id(e.MergeRequest.IID))
	if e.Pipeline.Tag {
		span.SetAttributes(semconv.VCSRefHeadTypeTag)
	} else if e.Pipeline.Ref != "" && !strings.HasPrefix(e.Pipeline.Ref, "refs/") { // as those of merge requests
		span.SetAttributes(semconv.VCSRefHeadTypeBranch)
	}
	add(semconv.CICDPipelineNameKey, e.Pipeline.Name)
	add(semconv.CICDPipelineRunIDKey, id(e.Pipeline.ID))
	add(semconv.CICDPipelineRunURLFullKey, e.Pipeline.URL)
	add(semconv.CICDPipelineTaskNameKey, e.Job.Name)
	add(semconv.CICDPipelineTaskRunIDKey, id(e.Job.ID))
	add(semconv.CICDPipelineTaskRunURLFullKey, e.Job.URL)
	if result, ended := results[e.Job.Status]; ended {
		span.SetAttributes(result)
	}
}

// results are the results of jobs that have ended, by GitLab's status.
var results = map[string]attribute.KeyValue{
	"success":  semconv.CICDPipelineTaskRunResultSuccess,
	"failed":   semconv.CICDPipelineTaskRunResultFailure,
	"canceled": semconv.CICDPipelineTaskRunResultCancellation,
	"skipped":  semconv.CICDPipelineTaskRunResultSkip,
}

// id returns an id as text; "" for none.
func id(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// Decided adds to the span in progress how many decisions an event led to.
func Decided(ctx context.Context, decisions int) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(matchedKey.Int(decisions))
	}
}

// Decision adds to the span in progress what a decision requests, and on which event.
func Decision(ctx context.Context, d event.Decision) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		Event(ctx, d.Event)
		span.SetAttributes(ruleKey.String(d.Rule), actionKey.String(d.Action.Verb))
	}
}

// Request adds to the span in progress what a person requests in Slack: what the button does,
// or that it is a command. Who the person is stays out of traces.
func Request(ctx context.Context, does string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(requestKey.String(does))
	}
}

// Outcome adds to the span in progress what came of a decision.
func Outcome(ctx context.Context, result string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(outcomeKey.String(result))
	}
}
