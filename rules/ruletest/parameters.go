package ruletest

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/dustin/go-humanize"
	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// parameter is a property of an action that a test can expect, besides its
// jobs. Its values are formatted as in test files.
type parameter struct {
	key   string
	doc   string
	verbs []string // verbs with this parameter; nil: all
	value func(to *string) schema.Schema
	of    func(d event.Decision) string
	// unusual reports whether the value of an action that the test does not
	// mention is worth showing; nil: it never is.
	unusual func(value string) bool
	// always is set if an unusual value is compared and shown even if the test
	// does not mention it.
	always bool
}

var parameters = []parameter{
	{
		key: "delay", doc: "How long the action waits, backoff included, and the jitter left out.",
		value:   inWords(schema.Duration, event.Duration.String),
		of:      func(d event.Decision) string { return event.Duration(d.Action.Pause(d.Job.Attempt)).String() },
		unusual: func(value string) bool { return value != "0s" },
	},
	{
		key: "max_attempts", doc: "How often the job may run in its pipeline.", verbs: []string{event.VerbRetry},
		value: inWords(schema.PositiveInt, strconv.Itoa),
		of:    func(d event.Decision) string { return strconv.Itoa(d.Action.MaxAttempts) },
	},
	{
		key: "allow_stale", doc: "Whether the action is for pipelines, too, that are not the newest of their ref.", verbs: []string{event.VerbRetry, event.VerbPlay},
		value:   inWords(schema.Bool, strconv.FormatBool),
		of:      func(d event.Decision) string { return strconv.FormatBool(d.Action.AllowStale) },
		unusual: isTrue,
	},
	{
		key: "min_pass_rate", doc: "The share of such retries that must be likely to pass, or none.", verbs: []string{event.VerbRetry},
		value: inWords(schema.Text, func(text string) string { return text }),
		of: func(d event.Decision) string {
			if d.Action.MinPassRate == 0 {
				return "none"
			}
			return event.Percent(d.Action.MinPassRate)
		},
	},
	{
		key: "variables", doc: "The CI/CD variables that the job gets.",
		value:   inWords(plainTexts, mappings),
		of:      func(d event.Decision) string { return mappings(d.Action.Variables) },
		unusual: isFilled,
	},
	{
		key: "inputs", doc: "The inputs that the job gets.",
		value:   inWords(plainTexts, mappings),
		of:      func(d event.Decision) string { return mappings(plainInputs(d.Action.Inputs)) },
		unusual: isFilled,
	},
	{
		key: "wait", doc: "What each of the jobs waits for: success, or none.", verbs: []string{event.VerbPlay},
		value:   inWords(func(to *string) schema.Schema { return schema.OneOf(to, []string{event.WaitNone, event.WaitSuccess}) }, scalar),
		of:      func(d event.Decision) string { return d.Action.Wait },
		unusual: func(value string) bool { return value == event.WaitSuccess },
	},
	{
		key: "confirm", doc: "The Slack channel in which a person must confirm before, or none.", verbs: []string{event.VerbPlay},
		value:   inWords(schema.Text, scalar),
		of:      func(d event.Decision) string { return scalar(cmp.Or(d.Action.Confirm, noConfirmation)) },
		unusual: func(value string) bool { return value != noConfirmation },
	},
	{
		key: "confirm_within", doc: "How long the job waits for that.", verbs: []string{event.VerbPlay},
		value: inWords(schema.Duration, event.Duration.String),
		of:    func(d event.Decision) string { return d.Action.ConfirmWithin.String() },
	},
	{
		key: "force", doc: "Whether jobs that hang in canceling are ended, too; of cancel_outdated, whether deployments are.", verbs: []string{event.VerbCancel, event.VerbCancelOutdated},
		value:   inWords(schema.Bool, strconv.FormatBool),
		of:      func(d event.Decision) string { return strconv.FormatBool(d.Action.Force) },
		unusual: isTrue,
	},
	{
		key: "older_than", doc: "How long ago a job must have ended.", verbs: []string{event.VerbErase},
		value: inWords(schema.Duration, event.Duration.String),
		of:    func(d event.Decision) string { return d.Action.OlderThan.String() },
	},
	{
		key: "artifacts", doc: "Whether jobs that have artifacts are erased, too.", verbs: []string{event.VerbErase},
		value:   inWords(schema.Bool, strconv.FormatBool),
		of:      func(d event.Decision) string { return strconv.FormatBool(d.Action.Artifacts) },
		unusual: isTrue,
	},
	{
		key: "keep_pipelines", doc: "How many newest pipelines of each ref are left alone.", verbs: []string{event.VerbErase},
		value:   inWords(schema.PositiveInt, strconv.Itoa),
		of:      func(d event.Decision) string { return strconv.Itoa(d.Action.KeepPipelines) },
		unusual: func(value string) bool { return value != "0" },
	},
	{
		key: "keep_tags", doc: "Whether jobs of tags are left alone.", verbs: []string{event.VerbErase},
		value:   inWords(schema.Bool, strconv.FormatBool),
		of:      func(d event.Decision) string { return strconv.FormatBool(d.Action.KeepTags) },
		unusual: isTrue,
	},
	{
		key: "keep_protected", doc: "Whether jobs of protected refs are left alone.", verbs: []string{event.VerbErase},
		value:   inWords(schema.Bool, strconv.FormatBool),
		of:      func(d event.Decision) string { return strconv.FormatBool(d.Action.KeepProtected) },
		unusual: isTrue,
	},
	{
		key: "larger_than", doc: "Up to which size a job is left alone.", verbs: []string{event.VerbErase},
		value:   inWords(schema.Bytes, inBytes),
		of:      func(d event.Decision) string { return inBytes(d.Action.LargerThan) },
		unusual: func(value string) bool { return value != "0 B" },
	},
	{
		key: "class", doc: "The failure class of the job, or of all the jobs.",
		value: inWords(schema.Text, scalar),
		of:    func(d event.Decision) string { return scalar(d.Job.FailureClass) },
	},
	{
		key: "missing", doc: "Whether the pipeline has no job of this name, so that the decision ends as skipped.",
		value:   inWords(schema.Bool, strconv.FormatBool),
		of:      func(d event.Decision) string { return strconv.FormatBool(d.Missing) },
		unusual: isTrue, always: true,
	},
	{
		key: "dry_run", doc: "Whether nothing is changed in GitLab.",
		value:   inWords(schema.Bool, strconv.FormatBool),
		of:      func(d event.Decision) string { return strconv.FormatBool(d.DryRun) },
		unusual: isTrue,
	},
}

// noConfirmation stands for the channel of a play that nobody must confirm.
const noConfirmation = "none"

// inBytes formats a size.
func inBytes(n int64) string { return humanize.Bytes(uint64(n)) }

func isTrue(value string) bool   { return value == "true" }
func isFilled(value string) bool { return value != "{}" }

// inWords returns a schema that reads a value and formats it with words.
func inWords[T any](of func(*T) schema.Schema, words func(T) string) func(*string) schema.Schema {
	return func(to *string) schema.Schema {
		value := new(T)
		inner := schema.WithoutDefault(of(value))
		read := inner.Read
		inner.Read = func(f *schema.Document, n *yaml.Node, what string) {
			read(f, n, what)
			*to = words(*value)
		}
		return inner
	}
}

// schema reads the parameter of an entry.
func (p parameter) schema(e *entry) schema.Schema {
	var words string
	inner := p.value(&words)
	read := inner.Read
	inner.Read = func(f *schema.Document, n *yaml.Node, what string) {
		read(f, n, what)
		e.compared[p.key] = words
	}
	return inner
}

// isOf reports whether actions with the verb have the parameter.
func (p parameter) isOf(verb string) bool { return p.verbs == nil || slices.Contains(p.verbs, verb) }

// parametersOf returns the values of a decision's parameters.
func parametersOf(d event.Decision) map[string]string {
	values := map[string]string{}
	for _, p := range parameters {
		if p.isOf(d.Action.Verb) {
			values[p.key] = p.of(d)
		}
	}
	return values
}

// plainInputs formats inputs as test files do: texts without quotes.
func plainInputs(all map[string]json.RawMessage) map[string]string {
	texts := make(map[string]string, len(all))
	for name, value := range all {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		texts[name] = text
	}
	return texts
}
