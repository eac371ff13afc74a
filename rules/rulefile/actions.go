package rulefile

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// verb describes an action of rule files.
type verb struct {
	name string
	doc  string
	// parameters sets this verb's defaults in an action, and returns its keys.
	parameters func(*reader, *rules.Rule, *rules.Action) schema.Fields
}

var verbs = []verb{
	{event.VerbRetry, "Run a failed job again, unless a retry can't fix its failure reason or somebody has retried it since.", (*reader).retry},
	{event.VerbPlay, "Start a job that waits to be played.", (*reader).play},
	{event.VerbCancel, "Cancel a job that has not ended.", (*reader).cancel},
	{event.VerbErase, "Erase the log of a job that has ended.", (*reader).erase},
	{event.VerbRetryPipeline, "Run again all failed and canceled jobs of the event's pipeline, once that has failed or was canceled.", (*reader).wholePipeline},
	{event.VerbCancelPipeline, "Cancel all jobs of the event's pipeline that have not ended.", (*reader).wholePipeline},
	{event.VerbCancelOutdated, "Cancel the jobs that still run in older pipelines that the event's pipeline makes redundant, except running deployments.", (*reader).cancelOutdated},
}

// fields sets the action's verb and defaults, and returns its keys.
func (v verb) fields(rd *reader, r *rules.Rule, a *rules.Action) schema.Fields {
	a.Verb = v.name
	return v.parameters(rd, r, a)
}

func (rd *reader) retry(r *rules.Rule, a *rules.Action) schema.Fields {
	a.MaxAttempts, a.Backoff, a.MaxDelay = 3, event.BackoffExponential, event.Duration(10*time.Minute)
	return schema.Fields{
		rd.targets(r, a),
		schema.Key("max_attempts", "How often the job may run in its pipeline. All its runs count, the first one and those that others started too.", schema.PositiveInt(&a.MaxAttempts)),
		schema.Key("delay", "How long to wait before the first retry. Up to 10 % is added to every delay, so that jobs that failed together do not all restart together.", schema.Duration(&a.Delay)),
		schema.Key("backoff", "How the delay grows: it doubles with each attempt, or it is constant.", schema.OneOf(&a.Backoff, []string{event.BackoffConstant, event.BackoffExponential})),
		schema.Key("max_delay", "How long the delay may grow.", schema.Duration(&a.MaxDelay)),
		schema.Key("allow_stale", "Retry also in a pipeline that is not the newest of its ref any more.", schema.Bool(&a.AllowStale)),
		schema.Key("min_pass_rate", "Skip the retry if it is unlikely (under 5 %) that so many of such retries pass: those by this rule, of the same job in the same project with the same failure class. It takes at least 8 of them. One in 20 is made all the same, so that the others come back when they pass again. Without it: what was learned skips none.", passRate(&a.MinPassRate)),
	}
}

// passRatePattern is what min_pass_rate can be. Less than 5% can't be told from the tries that
// the ledger remembers of a job.
const passRatePattern = `^([5-9]|[1-8][0-9]|9[0-5])%$`

var passRateShape = regexp.MustCompile(passRatePattern)

// passRate reads a whole percentage, as a number from 0 to 1. It has no default.
func passRate(to *float64) schema.Schema {
	const help = "write whole percent from 5% to 95%, like 20%"
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			percent, err := strconv.Atoi(strings.TrimSuffix(n.Value, "%"))
			if err != nil || !passRateShape.MatchString(n.Value) {
				f.FailAt(n, "%s: %q is not possible: %s", what, n.Value, help)
				return
			}
			*to = float64(percent) / 100
		},
		JSON: func() schema.JSON {
			return schema.JSON{"type": "string", "pattern": passRatePattern, "errorMessage": help}
		},
	}
}

func (rd *reader) play(r *rules.Rule, a *rules.Action) schema.Fields {
	a.Wait = event.WaitNone
	return schema.Fields{
		rd.targets(r, a),
		schema.Key("variables", "CI/CD variables for the job: texts, with expressions in {{ }}.", rd.templates(&a.Variables, variableName, func() expression.Purpose { return rd.jobPurpose(r) })),
		schema.Key("inputs", "Inputs for the job (GitLab 18.10 and later): texts with expressions in {{ }}, numbers, booleans or lists. Where one expression is all of a text, its value keeps its type.", rd.inputs(&a.Inputs, func() expression.Purpose { return rd.jobPurpose(r) })),
		schema.Key("delay", "How long to wait before the job is played.", schema.Duration(&a.Delay)),
		schema.Key("wait", "Whether the jobs are played one by one, in the order of `jobs`: with success the next one only after the one before it has passed.", schema.OneOf(&a.Wait, []string{event.WaitNone, event.WaitSuccess})),
		schema.Key("confirm", "The Slack channel, like \"#deploys\" or \"#deploys-{{ project.namespace }}\", in which a person must confirm with a button that the job is played. Without it: nobody must.", rd.confirmChannel(a, func() expression.Purpose { return rd.jobPurpose(r) })),
		schema.Key("confirm_within", "How long the job waits for that, from when the question was posted: from 1m to 7d. Without an answer it is not played.", confirmWithin(a)),
		schema.Key("allow_stale", "Play also in a pipeline that is not the newest of its ref any more.", schema.Bool(&a.AllowStale)),
	}
}

func (rd *reader) cancel(r *rules.Rule, a *rules.Action) schema.Fields {
	return schema.Fields{
		rd.targets(r, a),
		schema.Key("force", "End also a job that hangs in `canceling`. GitLab wants the role Maintainer for this.", schema.Bool(&a.Force)),
	}
}

func (rd *reader) erase(r *rules.Rule, a *rules.Action) schema.Fields {
	a.OlderThan = event.Duration(24 * time.Hour)
	return schema.Fields{
		rd.targets(r, a),
		schema.Key("older_than", "Leave a job alone that ended more recently. On an event, whose jobs have just ended, give 0s.", schema.Duration(&a.OlderThan)),
		schema.Key("artifacts", "Erase also jobs that have artifacts besides their log. GitLab erases both.", schema.Bool(&a.Artifacts)),
		schema.Key("keep_pipelines", "Leave the jobs of so many newest pipelines of each ref alone.", schema.WithoutDefault(schema.PositiveInt(&a.KeepPipelines))),
		schema.Key("keep_tags", "Leave jobs of tags alone.", schema.Bool(&a.KeepTags)),
		schema.Key("keep_protected", "Leave jobs of protected branches and tags alone.", schema.Bool(&a.KeepProtected)),
		schema.Key("larger_than", "Leave jobs alone whose log and artifacts are no larger than this: like 500kB, 10MB or 1GiB.", schema.Bytes(&a.LargerThan)),
	}
}

func (rd *reader) cancelOutdated(_ *rules.Rule, a *rules.Action) schema.Fields {
	return schema.Fields{schema.Key("force", "Cancel also jobs that run a deployment.", schema.Bool(&a.Force))}
}

// wholePipeline has no parameters: the action applies to the event's pipeline.
func (rd *reader) wholePipeline(*rules.Rule, *rules.Action) schema.Fields { return nil }

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	inputName    = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

const needsJobs = "needs `jobs`, the jobs to act on, because a pipeline event has none of its own: like `jobs: [deploy-staging]` or `jobs: filter(pipeline.jobs, .status == \"manual\")`"

// action reads a verb alone, or a mapping of one verb to its parameters.
func (rd *reader) action(r *rules.Rule, a *rules.Action) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, _ string) {
			name, parameters := n, (*yaml.Node)(nil)
			if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
				name, parameters = n.Content[0], schema.Resolve(n.Content[1])
			}
			names := VerbNames()
			if message := notOneAction(n); message != "" {
				f.FailAt(n, "%s", message)
				return
			}
			i := slices.Index(names, name.Value)
			if name.Kind != yaml.ScalarNode || i < 0 {
				f.FailAt(name, "an action must be one of %s, with its parameters, like `- retry: {max_attempts: 3}`; not %q%s",
					schema.Enumerate(names), name.Value, spelling.Suggestion(name.Value, names))
				return
			}
			known := verbs[i].fields(rd, r, a)
			hasJobs := false
			switch {
			case parameters == nil || parameters.ShortTag() == "!!null":
			case len(known) == 0:
				if len(parameters.Content)+len(parameters.Value) > 0 {
					f.FailAt(parameters, "%s takes no parameters: it acts on the event's pipeline", a.Verb)
				}
			case parameters.Kind == yaml.ScalarNode:
				f.FailAt(parameters, "%s takes its parameters by name, like `%s: %s`", a.Verb, a.Verb, byName(known, parameters.Value))
				return
			default:
				schema.MappingWithHints(a.Verb, known, hintsOf[a.Verb]).Read(f, parameters, a.Verb)
				hasJobs = schema.Has(parameters, "jobs")
				reviewConfirm(f, parameters)
			}
			if r.On == event.KindPipeline && !hasJobs && slices.Contains(known.Keys(), "jobs") {
				f.FailAt(name, "%s %s", a.Verb, needsJobs)
			}
			if r.On == event.KindSchedule && hasJobs {
				f.FailAt(schema.Value(parameters, "jobs"), "a rule on a schedule acts on the job that it is evaluated for: omit `jobs`, and select the jobs in `if`")
			}
			twice := slices.ContainsFunc(r.Actions, func(b rules.Action) bool { return b.Verb == a.Verb && b.OfEvent() })
			switch {
			case twice && event.OfPipeline(a.Verb):
				f.FailAt(n, "%s occurs twice for the same pipeline", a.Verb)
			case twice && r.On != event.KindPipeline && !hasJobs:
				f.FailAt(n, "%s occurs twice for the same job", a.Verb)
			}
		},
		JSON: func() schema.JSON {
			var alternatives []schema.JSON
			withParameters := schema.JSON{}
			for _, v := range verbs {
				alternatives = append(alternatives, schema.JSON{"const": v.name, "description": v.doc})
				s := schema.Mapping(v.name, v.fields(rd, r, new(rules.Action))).JSON()
				s["type"] = []string{"object", "null"}
				s["description"] = v.doc
				withParameters[v.name] = s
			}
			return schema.JSON{"anyOf": append(alternatives, schema.JSON{
				"type": "object", "properties": withParameters, "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
			})}
		},
	}
}

// hintsOf has what to write in place of unknown parameters, by verb.
var hintsOf = map[string]map[string]string{event.VerbRetry: inRetry}

// VerbNames returns the verbs of actions.
func VerbNames() []string {
	names := make([]string, len(verbs))
	for i, v := range verbs {
		names[i] = v.name
	}
	return names
}

// actionOnPipeline returns the schema of the additional requirements on
// actions in a rule for pipelines.
func actionOnPipeline() schema.JSON {
	const says = "the action " + needsJobs
	var forJobs []string
	parameters := schema.JSON{}
	for _, v := range verbs {
		if slices.Contains(v.fields(&reader{}, new(rules.Rule), new(rules.Action)).Keys(), "jobs") {
			forJobs = append(forJobs, v.name)
			parameters[v.name] = schema.JSON{"type": "object", "required": []string{"jobs"}, "errorMessage": says}
		}
	}
	return schema.JSON{
		"if": schema.JSON{"enum": forJobs}, "then": schema.JSON{"type": "object", "errorMessage": says},
		"properties": parameters,
	}
}
