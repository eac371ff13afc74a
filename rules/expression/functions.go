package expression

import (
	"errors"
	"time"

	"github.com/expr-lang/expr"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// function is a function that expressions may call, beside expr's own.
type function struct {
	name      string
	arguments string // as people write them
	doc       string // what it gives
	fields    string // the type of event.go whose fields end the doc, if any

	// do computes it from its arguments alone, signature is a pointer to its
	// type. A function without it asks the event: it is a field of environment.
	do        func(args ...any) (any, error)
	signature any

	// asks is the question that it asks of GitLab; "" for none.
	asks string
	// ofJob says that it is about the event's job, and what to write where
	// there is none.
	ofJob string
}

var functions = []function{
	{
		name: "failed_with", arguments: `"reason", …`,
		doc: "whether the job failed with one of these reasons, or with one that a newer GitLab sends in their place",
		// review writes every call as comparisons.
		do:        func(...any) (any, error) { return nil, errors.New("failed_with was not expanded") },
		signature: new(func(...string) bool),
		ofJob:     "asks about the event's job, and a pipeline event has none: compare .failure_reason in pipeline.jobs, or write the rule `on: job`",
	},
	{
		name: "glob", arguments: `text, "pattern"`,
		doc:       "whether the pattern matches the text: `*` within a path part, `**` over parts, `{a,b}` either, `[a-z]` one of",
		do:        limits.Glob,
		signature: new(func(string, string) bool),
	},
	{name: "age", arguments: "time", doc: "how long ago that was; 0 for a time that is not known"},
	{
		name: "duration", arguments: `"7d"`,
		doc:       "a duration, to compare with",
		do:        func(args ...any) (any, error) { return event.ParseDuration(args[0].(string)) },
		signature: new(func(string) time.Duration),
	},
	{name: "now", doc: "when the event came"},
	{
		name: "log", asks: "log", ofJob: useOnJob,
		doc: "the end of the job's log, as much of it as `--log-window` says, without colours and section markers, and with secrets masked; not in texts, for which it is too long",
	},
	{
		name: "log_excerpt", asks: "log", arguments: "lines", ofJob: useOnJob,
		doc: "the lines of the log that matter, at most so many, without a number 20: those around the first error, else the last ones; also in texts",
	},
	{name: "superseded", asks: "superseded", doc: "whether another pipeline makes this one redundant, see [Actions](#actions)"},
	{name: "jobs", asks: "jobs", doc: "the jobs of the pipeline, the latest run of each"},
	{name: "bridges", asks: "bridges", doc: "the trigger jobs of the pipeline, each with", fields: "Bridge"},
	{name: "details", asks: "details", ofJob: useOnJob, doc: "the job as the API has it, which is the fields of `job` and", fields: "Details"},
}

const useOnJob = "asks for the event's job, and a pipeline event has none: use it in a rule with `on: job`, or ask jobs()"

// functionOptions make the functions known that are no fields of environment.
var functionOptions = func() []expr.Option {
	// expr's own would shadow ours.
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

// questionOf gives the question that a function asks of GitLab; "" for none.
func questionOf(name string) string {
	for _, f := range functions {
		if f.name == name {
			return f.asks
		}
	}
	return ""
}

// aboutJob gives what to write in place of a function that is about the
// event's job where there is none; "" if it is not.
func aboutJob(name string) string {
	for _, f := range functions {
		if f.name == name {
			return f.ofJob
		}
	}
	return ""
}
