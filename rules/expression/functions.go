package expression

import (
	"errors"
	"time"

	"github.com/expr-lang/expr"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// function is a function that expressions may call, besides expr's own
// functions.
type function struct {
	name      string
	arguments string // the parameters, for the documentation
	doc       string // what the function returns
	fields    string // name of the type of package event whose fields are listed after the doc, if any

	// do computes the result from the arguments alone; signature is a pointer
	// to the function's type. A function without do depends on the event and
	// is a field of environment.
	do        func(args ...any) (any, error)
	signature any

	// request is the kind of data that the function requests from GitLab; ""
	// for none.
	request string
	// ofJob is set if the function is about the event's job. It is the end of
	// the error message for an event without a job.
	ofJob string
}

var functions = []function{
	{
		name: "failed_with", arguments: `"reason", …`,
		doc: "whether the job failed with one of these reasons, or with one that a newer GitLab sends in their place",
		// review expands every call to comparisons.
		do:        func(...any) (any, error) { return nil, errors.New("failed_with was not expanded") },
		signature: new(func(...string) bool),
		ofJob:     "reads the event's job, and a pipeline event has none: compare .failure_reason in pipeline.jobs, or write the rule `on: job`",
	},
	{
		name: "glob", arguments: `text, "pattern"`,
		doc:       "whether the pattern matches the text: `*` within a path part, `**` over parts, `{a,b}` either, `[a-z]` one of",
		do:        limits.Glob,
		signature: new(func(string, string) bool),
	},
	{name: "age", arguments: "time", doc: "the time that has passed since then; 0 for an unknown time"},
	{
		name: "duration", arguments: `"7d"`,
		doc:       "a duration, to compare with",
		do:        func(args ...any) (any, error) { return event.ParseDuration(args[0].(string)) },
		signature: new(func(string) time.Duration),
	},
	{name: "now", doc: "the time at which Pipesteward received the event"},
	{
		name: "log", request: "log", ofJob: useOnJob,
		doc: "the end of the job's log, up to the length that `--log-window` sets, without colours and section markers, and with secrets masked; not available in texts, for which it is too long",
	},
	{
		name: "log_excerpt", request: "log", arguments: "lines", ofJob: useOnJob,
		doc: "the relevant lines of the log, at most this many (20 by default): those around the first error, otherwise the last ones; also available in texts",
	},
	{name: "superseded", request: "superseded", doc: "whether another pipeline makes this one redundant, see [Actions](#actions)"},
	{name: "jobs", request: "jobs", doc: "the jobs of the pipeline, the latest run of each"},
	{name: "bridges", request: "bridges", doc: "the trigger jobs of the pipeline, each with", fields: "Bridge"},
	{name: "details", request: "details", ofJob: useOnJob, doc: "the job as the API returns it: the fields of `job` and", fields: "Details"},
	{
		name: "on_default", request: "on_default", ofJob: useOnJob, fields: "OnDefault",
		doc: "the job of this name in the last pipeline of the default branch that has it and that passed or failed; zero values if none of the last 10 has:",
	},
	{
		name: "tests", request: "tests", ofJob: useOnJob, fields: "FailedTest",
		doc: "the tests that failed in the job's JUnit reports, 500 at most, with secrets masked; each with",
	},
	{
		name: "merge_request_details", request: "merge_request_details", fields: "MergeRequestDetails",
		doc: "the merge request that the pipeline is of (two requests; zero values for a pipeline of a branch or a tag, also if there is a merge request for the branch), on job events too: the fields of `merge_request` and",
	},
}

const useOnJob = "reads the event's job, and a pipeline event has none: use it in a rule with `on: job`, or call jobs()"

// functionOptions declares the functions that are no fields of environment.
var functionOptions = func() []expr.Option {
	// These builtins of expr would shadow Pipesteward's.
	options := []expr.Option{expr.DisableBuiltin("now"), expr.DisableBuiltin("duration")}
	for _, f := range functions {
		if f.do != nil {
			options = append(options, expr.Function(f.name, f.do, f.signature))
		}
	}
	return options
}()

func functionNames() []string {
	names := make([]string, len(functions))
	for i, f := range functions {
		names[i] = f.name
	}
	return names
}

// requestOf returns the kind of data that a function requests from GitLab; ""
// for none.
func requestOf(name string) string {
	for _, f := range functions {
		if f.name == name {
			return f.request
		}
	}
	return ""
}

// aboutJob returns the end of the error message for a function that is about
// the event's job, used on an event without one; "" for other functions.
func aboutJob(name string) string {
	for _, f := range functions {
		if f.name == name {
			return f.ofJob
		}
	}
	return ""
}
