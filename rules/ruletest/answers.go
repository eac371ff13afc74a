package ruletest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// answers are the responses of GitLab in a test.
type answers struct {
	log        answer[string]
	superseded answer[bool]
	jobs       answer[[]event.Job]
	bridges    answer[[]event.Bridge]
	details    answer[event.Details]
	onDefault  answer[event.OnDefault]
	tests      answer[[]event.FailedTest]

	mergeRequestDetails answer[event.MergeRequestDetails]
}

// Log implements Facts.
func (a *answers) Log(context.Context, event.Event) (string, error) { return a.log.give("log") }

// Superseded implements Facts.
func (a *answers) Superseded(context.Context, event.Event) (bool, error) {
	return a.superseded.give("superseded")
}

// Jobs implements Facts.
func (a *answers) Jobs(context.Context, event.Event) ([]event.Job, error) { return a.jobs.give("jobs") }

// Bridges implements Facts.
func (a *answers) Bridges(context.Context, event.Event) ([]event.Bridge, error) {
	return a.bridges.give("bridges")
}

// Details implements Facts.
func (a *answers) Details(context.Context, event.Event) (event.Details, error) {
	return a.details.give("details")
}

// OnDefault implements Facts.
func (a *answers) OnDefault(context.Context, event.Event) (event.OnDefault, error) {
	return a.onDefault.give("on_default")
}

// Tests implements Facts.
func (a *answers) Tests(context.Context, event.Event) ([]event.FailedTest, error) {
	return a.tests.give("tests")
}

// MergeRequestDetails implements Facts. A pipeline that is not of a merge request
// needs no response.
func (a *answers) MergeRequestDetails(_ context.Context, e event.Event) (event.MergeRequestDetails, error) {
	if !a.mergeRequestDetails.given && !ofMergeRequest(e) {
		return event.MergeRequestDetails{}, nil
	}
	return a.mergeRequestDetails.give("merge_request_details")
}

// ofMergeRequest reports whether the event's pipeline is of a merge request.
func ofMergeRequest(e event.Event) bool {
	return e.MergeRequest.IID != 0 || strings.HasPrefix(cmp.Or(e.Pipeline.Ref, e.Job.Ref), mergeRequestRefs)
}

// mergeRequestRefs is the beginning of the refs of merge requests' pipelines.
const mergeRequestRefs = "refs/merge-requests/"

// answer is the response to one function in a test.
type answer[T any] struct {
	given bool
	value T
	err   string // the error of the request; "" for none
}

func (a *answer[T]) give(function string) (T, error) {
	switch {
	case !a.given:
		return a.value, notGivenError(function)
	case a.err != "":
		return a.value, errors.New(a.err)
	}
	return a.value, nil
}

// notGivenError is the name of a function that a rule called and whose
// response the test does not define.
type notGivenError string

// Is reports that the error is an ErrNotGiven.
func (notGivenError) Is(target error) bool { return target == expression.ErrNotGiven }

func (n notGivenError) Error() string {
	example := map[notGivenError]string{
		"log": `"No space left on device"`, "superseded": "true", "jobs": "[{name: lint, status: failed}]", "bridges": "[{name: deploy, status: failed}]", "details": "{tag_list: [gpu]}",
		"merge_request_details": "{labels: [urgent]}", "on_default": "{status: failed}", "tests": "[{name: signs in, recent_failures: 3}]",
	}[n]
	return fmt.Sprintf("it calls %s(), and the test does not define the response of GitLab: write it, like `gitlab: {%s: %s}`", string(n), string(n), example)
}

// schema reads a response, or the error of the request.
func (a *answer[T]) schema(value schema.Schema) schema.Schema {
	failing := schema.Mapping("a response", schema.Fields{schema.Key("error", "The error that the request returns.", schema.Required(schema.Text(&a.err), "say which `error`"))})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			a.given = true
			if schema.Has(n, "error") {
				failing.Read(f, n, what)
				return
			}
			value.Read(f, n, what)
		},
		JSON: func() schema.JSON { return schema.JSON{"anyOf": []schema.JSON{value.JSON(), failing.JSON()}} },
	}
}

func (a *answers) schema(t *Test, files Files) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			a.details.value.Job = t.event.Job // the event's job has the same values
			a.mergeRequestDetails.value.MergeRequest = t.event.MergeRequest
			a.keys(t, files).Read(f, n, what)
		},
		JSON: a.keys(t, files).JSON,
	}
}

func (a *answers) keys(t *Test, files Files) schema.Schema {
	return schema.Mapping("gitlab", schema.Fields{
		schema.Key("log", "The job's log, for log() and log_excerpt(): a text, or {file: PATH}.", a.log.schema(logText(&a.log.value, files))),
		schema.Key("superseded", "The result of superseded().", a.superseded.schema(schema.WithoutDefault(schema.Bool(&a.superseded.value)))),
		schema.Key("jobs", "The result of jobs(). It includes the event's job, also if that is omitted here.", a.jobs.schema(
			schema.List(&a.jobs.value, 0, func(j *event.Job) schema.Schema { return t.listed(j) }))),
		schema.Key("bridges", "The result of bridges().", a.bridges.schema(schema.List(&a.bridges.value, 0, func(b *event.Bridge) schema.Schema {
			return schema.Mapping("a bridge", needed(t.values(b, "bridge"), "a bridge", "name", "status"))
		}))),
		schema.Key("details", "The result of details(). Fields that are omitted have the values of the event.", a.details.schema(schema.Mapping("details", t.values(&a.details.value, "details()")))),
		schema.Key("on_default", "The result of on_default(): {} if there is no such job. `failed` follows from the status.", a.onDefault.schema(t.onDefault(&a.onDefault.value))),
		schema.Key("tests", "The result of tests(): the tests that failed.", a.tests.schema(schema.List(&a.tests.value, 0, func(to *event.FailedTest) schema.Schema {
			return schema.Mapping("a test", needed(t.values(to, "test"), "a test", "name"))
		}))),
		schema.Key("merge_request_details", "The result of merge_request_details(). Fields that are omitted have the values of the event's merge_request. Without it: none, if the pipeline is not of a merge request.", a.mergeRequestDetails.schema(
			schema.Mapping("merge_request_details", t.values(&a.mergeRequestDetails.value, "merge_request_details()")))),
	})
}

// onDefault reads the response to on_default().
func (t *Test) onDefault(to *event.OnDefault) schema.Schema {
	fields := schema.Mapping("on_default", t.values(to, "on_default()"))
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			fields.Read(f, n, what)
			if to.Failed && to.Status == "" {
				to.Status = "failed"
			}
			failed := to.Status == "failed"
			reason, said := schema.Value(n, "failure_reason"), schema.Value(n, "failed")
			switch {
			case said != nil && to.Failed != failed:
				f.FailAt(said, "`failed` follows from `status`, which is %s: leave it out", to.Status)
			case reason != nil && !failed:
				f.FailAt(reason, "only a failed job has a failure_reason: write `status: failed`")
			case failed:
				to.FailureReason = cmp.Or(to.FailureReason, "unknown_failure")
			}
			to.Failed = failed
		},
		JSON: fields.JSON,
	}
}

// logText reads a text, or the path of a file that contains it.
func logText(to *string, files Files) schema.Schema {
	inFile := schema.Mapping("log", schema.Fields{schema.Key("file", "A file with the log, from where this file is.", pathTo(func(path string) (err error) {
		*to, err = files.Log(path)
		return err
	}))})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if n.Kind == yaml.MappingNode {
				inFile.Read(f, n, what)
				return
			}
			schema.Text(to).Read(f, n, what)
		},
		JSON: func() schema.JSON { return schema.JSON{"anyOf": []schema.JSON{{"type": "string"}, inFile.JSON()}} },
	}
}

var _ expression.Facts = (*answers)(nil)
