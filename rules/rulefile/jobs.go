package rulefile

import (
	"regexp"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// maxNames is the maximum number of entries of a list in `jobs`.
const maxNames = 1_000

// selected describes, by verb, the jobs that a list in `jobs` selects.
var selected = map[string]string{
	event.VerbRetry:  "that have failed",
	event.VerbPlay:   "that wait to be played (manual or scheduled)",
	event.VerbCancel: "that have not ended and do not wait for a person",
	event.VerbErase:  "that have ended",
}

// targets reads `jobs`: a list of names, or an expression.
func (rd *reader) targets(r *rules.Rule, a *rules.Action) schema.Field {
	want, of := expression.WantJobs, "a list of jobs"
	if event.SupportsBridges(a.Verb) {
		want, of = expression.WantRuns, "a list of jobs, or of trigger jobs (bridges)"
	}
	names := schema.Distinct(schema.List(&a.Names, 1, jobName))
	computed := rd.expression(&a.Jobs, want, func() expression.Purpose { return rd.eventPurpose(r) })
	return schema.Key(
		"jobs", "The jobs to act on. Either names of jobs of the pipeline, or globs of names in which * is any text: of those, the jobs "+selected[a.Verb]+", in the order of the list. Or an expression that returns "+of+". Without it: the job of the event. A rule `on: pipeline` needs it.",
		schema.Schema{
			Read: func(f *schema.Document, n *yaml.Node, what string) {
				if n.Kind != yaml.SequenceNode {
					computed.Read(f, n, what)
					return
				}
				names.Read(f, n, what)
				if len(a.Names) > maxNames {
					f.FailAt(n, "jobs has %d names, more than %d: use globs", len(a.Names), maxNames)
				}
			},
			JSON: func() schema.JSON { return schema.JSON{"anyOf": []schema.JSON{names.JSON(), computed.JSON()}} },
		},
	)
}

// isExpression matches what stands in a list of `jobs` by mistake: the name of a
// job may have brackets and dots, too, as in "test (3.12)".
var isExpression = regexp.MustCompile(`^(filter|map|sortBy|concat|take|first|last|reverse|find|jobs|bridges)\(|^pipeline\.jobs\b`)

// jobName reads an entry of a list in `jobs`.
func jobName(to *rules.JobName) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, _ string) {
			switch {
			case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value != "":
			case n.Kind == yaml.ScalarNode && n.Value != "" && n.ShortTag() != "!!null":
				f.FailAt(n, "a list in `jobs` has names of jobs, and %s is none: write %q in quotes if a job is called so", n.Value, n.Value)
				return
			default:
				f.FailAt(n, "a list in `jobs` has names of jobs, or globs of names, like `jobs: [deploy-staging, \"review-*\"]`")
				return
			}
			if isExpression.MatchString(n.Value) {
				f.FailAt(n, "a list in `jobs` has names of jobs, and this is an expression: write it without the list, like `jobs: %s`", n.Value)
				return
			}
			name, err := rules.NewJobName(n.Value)
			if err != nil {
				f.FailAt(n, "%v", err)
				return
			}
			*to = name
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "minLength": 1} },
	}
}
