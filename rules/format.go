package rules

import (
	"cmp"
	"regexp"
	"slices"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// The format of rule files: each key stands here once, with its default, its
// form and its documentation. The loader and the JSON Schema go by it.

// defaults are what a file's rules take where they say nothing themselves.
type defaults struct {
	dryRun  bool
	channel string
}

// ruleFile is a whole file: its rules, in order, and what it sets for those of all
// files. The set's classes have been read before.
func (rd *reader) ruleFile() schema.Schema {
	s := rd.set
	var d defaults
	keys := schema.Mapping("the rule file", schema.Fields{
		schema.Key(
			"version", "The version of this format: 1, the only one there is.",
			schema.Required(version(), "`version: 1` is missing"),
		),
		schema.Key(
			"defaults", "What the rules of this file take where they say nothing themselves.",
			schema.Mapping("defaults", schema.Fields{
				schema.Key("dry_run", "Decide, record and tell, but change nothing in GitLab.", schema.Bool(&d.dryRun)),
				schema.Key("channel", "The Slack channel to tell, like \"#ci\".", schema.Text(&d.channel)),
			}),
		),
		schema.Key("limits", "Budgets for retries. They are for the rules of all files, so only one file can have them.", s.limitsForm()),
		schema.Key("storm", "Many failures of one class at once are an outage: retries of the class wait until it is over. This is for the rules of all files, so only one file can have it.", s.stormForm(&d.channel)),
		schema.Key(
			"classes", "Failure classes of your own, by what stands in the log of a job that failed: the first that matches is its job.failure_class. They are for the rules of all files.",
			schema.Schema{Read: func(*schema.Document, *yaml.Node, string) {}, JSON: schema.List(new([]expression.Class), 1, s.class).JSON},
		),
		schema.Key(
			"rules", "What to do, and when. All rules that match an event act, in this order.",
			schema.Required(schema.List(&rd.rules, 0, func(r **parsedRule) schema.Schema {
				*r = &parsedRule{rule: &rule{dryRun: d.dryRun}}
				return rd.rule(*r, d)
			}), "`rules:` is missing"),
		),
	})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			keys.Read(f, n, what)
			s.channel = cmp.Or(s.channel, d.channel)
		},
		JSON: keys.JSON,
	}
}

func version() schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, _ string) {
			if n.Value != "1" {
				f.FailAt(n, "version must be 1, the only one there is, not %q", n.Value)
			}
		},
		JSON: func() schema.JSON { return schema.JSON{"const": 1} },
	}
}

var kinds = []string{event.KindJob, event.KindPipeline, event.KindSchedule}

// ruleName bounds names: they are part of keys in the store, and of metrics.
var ruleName = regexp.MustCompile(`^\S(.{0,98}\S)?$`)

func (rd *reader) rule(parsed *parsedRule, d defaults) schema.Schema {
	r := parsed.rule
	askedOnce := func() expression.Purpose { return rd.eventPurpose(r) }
	keys := schema.Mapping("a rule", schema.Fields{
		schema.Key(
			"name", "What the rule is called in messages, metrics and decisions. No two rules have the same name.",
			schema.Required(schema.Matching(&r.name, ruleName, "a name is one line of 1 to 100 characters, with no white space around it"), "a rule needs a name"),
		),
		schema.Key(
			"on", "The events that the rule is for: a job changed, a pipeline did, or a time has come.",
			schema.Required(schema.OneOf(&r.on, kinds), "a rule needs `on: job`, `on: pipeline` or `on: schedule`"),
		),
		schema.Key("schedule", "When a rule `on: schedule` runs, and over which jobs: it is asked for each of them.", scheduleSchema(&r.schedule)),
		schema.Key(
			"if", "The condition: an expression. The rule matches the events for which it is true; without it, every event.",
			rd.expression(&r.condition, expression.WantBool, askedOnce),
		),
		schema.Key(
			"actions", "What is done when the rule matches, in this order. An action waits until the one before it has ended.",
			schema.List(&r.actions, 1, func(a *action) schema.Schema { return rd.action(r, a) }),
		),
		schema.Key(
			"notify", "Who is told what. A rule may have this alone: it then tells that it matched.",
			schema.List(&r.notices, 1, func(v *notice) schema.Schema { return rd.notice(r, v, d) }),
		),
		schema.Key("stop", "When this rule matches, the rules after it are not asked any more.", schema.Bool(&r.stop)),
		schema.Key("dry_run", "Decide, record and tell, but change nothing in GitLab. Without it: as `defaults` says.", schema.Bool(&r.dryRun)),
	})
	const idle = "the rule does nothing: give it `actions`, `notify` or both"
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			r.file, r.line, r.column, r.hash = f.Name, n.Line, n.Column, rd.hash
			parsed.node, parsed.content, rd.current = n, contentOf(n), parsed
			f.Rule = func() string { return r.name }
			defer func() { f.Rule, rd.current = nil, nil }()
			keys.Read(f, n, what)
			r.dryRun = r.dryRun || rd.options.DryRun
			if n.Kind == yaml.MappingNode {
				reviewSchedule(f, r, n)
			}
			if n.Kind == yaml.MappingNode && !schema.Has(n, "actions") && !schema.Has(n, "notify") {
				f.FailAt(n, idle)
			}
			if r.condition != nil {
				r.source = r.condition.Source().String()
				purpose := askedOnce()
				r.clauses = sync.OnceValue(func() *expression.Clause { return expression.NewClause(r.source, purpose, r.condition) })
			}
		},
		JSON: func() schema.JSON {
			s := keys.JSON()
			s["anyOf"] = []schema.JSON{
				{"required": []string{"actions"}, "errorMessage": idle},
				{"required": []string{"notify"}, "errorMessage": idle},
			}
			s["allOf"] = []schema.JSON{
				{
					"if":   schema.JSON{"properties": schema.JSON{"on": schema.JSON{"const": event.KindPipeline}}, "required": []string{"on"}},
					"then": schema.JSON{"properties": schema.JSON{"actions": schema.JSON{"items": actionOnPipeline()}}},
				},
				{
					"if":   schema.JSON{"properties": schema.JSON{"on": schema.JSON{"const": event.KindSchedule}}, "required": []string{"on"}},
					"then": schema.JSON{"required": []string{"schedule"}, "errorMessage": needsSchedule},
					"else": schema.JSON{"properties": schema.JSON{"schedule": false}},
				},
			}
			return s
		},
	}
}

const needsSchedule = "a rule `on: schedule` needs `schedule`: say when, and for which projects"

// reviewSchedule finds what only rules on a schedule have, or lack.
func reviewSchedule(f *schema.Document, r *rule, n *yaml.Node) {
	has := schema.Value(n, "schedule")
	switch {
	case r.on == event.KindSchedule && has == nil:
		f.FailAt(n, needsSchedule)
	case r.on != event.KindSchedule && has != nil:
		f.FailAt(has, "only a rule `on: schedule` has a schedule, and this one is for %s events", r.on)
	case r.on == event.KindSchedule && r.stop:
		f.FailAt(schema.Value(n, "stop"), "each rule on a schedule runs by itself: there are none to stop, leave it out")
	}
	if r.on != event.KindSchedule || !r.erases() {
		return
	}
	for i, notice := range r.notices {
		if notice.text != nil && len(r.actions) == 1 {
			entry := schema.Resolve(schema.Resolve(schema.Value(n, "notify")).Content[i])
			f.FailAt(schema.Value(entry, "text"), "an erase on a schedule is told once for each run, in words of its own: leave `text` out")
		}
	}
}

func (r *rule) erases() bool {
	return slices.ContainsFunc(r.actions, func(a action) bool { return a.Verb == event.VerbErase })
}

// eventPurpose is the purpose of an expression that is evaluated once for an event.
func (rd *reader) eventPurpose(r *rule) expression.Purpose {
	return expression.Purpose{On: r.on, HasJob: r.on != event.KindPipeline, Classes: rd.set.classes}
}

// jobPurpose is the purpose of an expression that is evaluated for each job that an
// action is for.
func (rd *reader) jobPurpose(r *rule) expression.Purpose {
	return expression.Purpose{On: r.on, HasJob: true, Classes: rd.set.classes}
}

// verb is what an action can do.
type verb struct {
	name string
	doc  string
	// parameters gives an action this verb's defaults, and its keys.
	parameters func(*reader, *rule, *action) schema.Fields
}

var verbs = []verb{
	{event.VerbRetry, "Run a failed job again, unless a retry can't mend its failure reason or somebody has retried it since.", (*reader).retry},
	{event.VerbPlay, "Start a job that waits to be played.", (*reader).play},
	{event.VerbCancel, "Cancel a job that has not ended.", (*reader).cancel},
	{event.VerbErase, "Erase the log of a job that has ended.", (*reader).erase},
	{event.VerbRetryPipeline, "Run again all failed and canceled jobs of the event's pipeline, once that has failed or was canceled.", (*reader).wholePipeline},
	{event.VerbCancelPipeline, "Cancel all jobs of the event's pipeline that have not ended.", (*reader).wholePipeline},
	{event.VerbCancelOutdated, "Cancel what still runs in older pipelines that the event's pipeline makes redundant, but for deployments that run.", (*reader).cancelOutdated},
}

// fields makes the action one of this verb, and gives its keys.
func (v verb) fields(rd *reader, r *rule, a *action) schema.Fields {
	a.Verb = v.name
	return v.parameters(rd, r, a)
}

func (rd *reader) retry(r *rule, a *action) schema.Fields {
	a.MaxAttempts, a.Backoff, a.MaxDelay = 3, event.BackoffExponential, event.Duration(10*time.Minute)
	return schema.Fields{
		rd.targets(r, a),
		schema.Key("max_attempts", "How often the job may run in its pipeline. All its runs count, the first one and those that others started too.", schema.PositiveInt(&a.MaxAttempts)),
		schema.Key("delay", "How long to wait before the first retry. Up to a tenth is added to every delay, so that jobs which failed together do not all come back together.", schema.Duration(&a.Delay)),
		schema.Key("backoff", "How the delay grows: it doubles with each attempt, or it is constant.", schema.OneOf(&a.Backoff, []string{event.BackoffConstant, event.BackoffExponential})),
		schema.Key("max_delay", "How long the delay may grow.", schema.Duration(&a.MaxDelay)),
		schema.Key("allow_stale", "Retry also in a pipeline that is not the newest of its ref any more.", schema.Bool(&a.AllowStale)),
	}
}

func (rd *reader) play(r *rule, a *action) schema.Fields {
	a.Wait = event.WaitNone
	return schema.Fields{
		rd.targets(r, a),
		schema.Key("variables", "CI/CD variables for the job: texts, with expressions in {{ }}.", rd.templates(&a.variables, variableName, func() expression.Purpose { return rd.jobPurpose(r) })),
		schema.Key("inputs", "Inputs for the job (GitLab 18.10 and later): texts with expressions in {{ }}, numbers, booleans or lists. Where one expression is all of a text, its value keeps its type.", rd.inputs(&a.inputs, func() expression.Purpose { return rd.jobPurpose(r) })),
		schema.Key("delay", "How long to wait before the job is played.", schema.Duration(&a.Delay)),
		schema.Key("wait", "Whether the jobs are played one by one, in the order of `jobs`: with success the next one only after the one before it has passed.", schema.OneOf(&a.Wait, []string{event.WaitNone, event.WaitSuccess})),
		schema.Key("allow_stale", "Play also in a pipeline that is not the newest of its ref any more.", schema.Bool(&a.AllowStale)),
	}
}

func (rd *reader) cancel(r *rule, a *action) schema.Fields {
	return schema.Fields{
		rd.targets(r, a),
		schema.Key("force", "End also a job that hangs in `canceling`. GitLab wants the role Maintainer for this.", schema.Bool(&a.Force)),
	}
}

func (rd *reader) erase(r *rule, a *action) schema.Fields {
	a.OlderThan = event.Duration(24 * time.Hour)
	return schema.Fields{
		rd.targets(r, a),
		schema.Key("older_than", "Leave a job alone that ended more recently. On an event, whose jobs have just ended, give 0s.", schema.Duration(&a.OlderThan)),
		schema.Key("artifacts", "Erase also jobs that hold artifacts besides their log. GitLab erases both.", schema.Bool(&a.Artifacts)),
		schema.Key("keep_pipelines", "Leave the jobs of so many newest pipelines of each ref alone.", schema.WithoutDefault(schema.PositiveInt(&a.KeepPipelines))),
		schema.Key("keep_tags", "Leave jobs of tags alone.", schema.Bool(&a.KeepTags)),
		schema.Key("keep_protected", "Leave jobs of protected branches and tags alone.", schema.Bool(&a.KeepProtected)),
		schema.Key("larger_than", "Leave jobs alone whose log and artifacts are no larger than this: like 500kB, 10MB or 1GiB.", schema.Bytes(&a.LargerThan)),
	}
}

func (rd *reader) cancelOutdated(_ *rule, a *action) schema.Fields {
	return schema.Fields{schema.Key("force", "Cancel also jobs that run a deployment.", schema.Bool(&a.Force))}
}

// wholePipeline is an action on the event's pipeline: there is nothing to say.
func (rd *reader) wholePipeline(*rule, *action) schema.Fields { return nil }

// forBridges reports whether GitLab can do to a trigger job what a verb says.
func forBridges(verb string) bool { return verb == event.VerbRetry || verb == event.VerbPlay }

func (rd *reader) targets(r *rule, a *action) schema.Field {
	want, of := expression.WantJobs, "a list of jobs"
	if forBridges(a.Verb) {
		want, of = expression.WantRuns, "a list of jobs, or of trigger jobs (bridges)"
	}
	return schema.Key(
		"jobs", "The jobs to act on: an expression that gives "+of+". Without it: the job of the event. A rule `on: pipeline` needs it.",
		rd.expression(&a.jobs, want, func() expression.Purpose { return rd.eventPurpose(r) }),
	)
}

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	inputName    = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

const needsJobs = "needs `jobs`, the jobs to act on, because a pipeline event has none of its own: like `jobs: filter(pipeline.jobs, .status == \"manual\")`"

// action is a verb alone, or a mapping of one verb to its parameters.
func (rd *reader) action(r *rule, a *action) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, _ string) {
			name, parameters := n, (*yaml.Node)(nil)
			if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
				name, parameters = n.Content[0], schema.Resolve(n.Content[1])
			}
			names := verbNames()
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
			case len(known) == 0 && len(parameters.Content)+len(parameters.Value) > 0:
				f.FailAt(parameters, "%s takes no parameters: it acts on the event's pipeline", a.Verb)
			default:
				schema.Mapping(a.Verb, known).Read(f, parameters, a.Verb)
				hasJobs = schema.Has(parameters, "jobs")
			}
			if r.on == event.KindPipeline && !hasJobs && slices.Contains(known.Keys(), "jobs") {
				f.FailAt(name, "%s %s", a.Verb, needsJobs)
			}
			if r.on == event.KindSchedule && hasJobs {
				f.FailAt(schema.Value(parameters, "jobs"), "a rule on a schedule acts on the job at hand: leave `jobs` out, and say in `if` which jobs are meant")
			}
			twice := slices.ContainsFunc(r.actions, func(b action) bool { return b.Verb == a.Verb && b.jobs == nil })
			switch {
			case twice && event.OfPipeline(a.Verb):
				f.FailAt(n, "%s stands twice for the same pipeline", a.Verb)
			case twice && r.on != event.KindPipeline && a.jobs == nil:
				f.FailAt(n, "%s stands twice for the same job", a.Verb)
			}
		},
		JSON: func() schema.JSON {
			var forms []schema.JSON
			withParameters := schema.JSON{}
			for _, v := range verbs {
				forms = append(forms, schema.JSON{"const": v.name, "description": v.doc})
				s := schema.Mapping(v.name, v.fields(rd, r, new(action))).JSON()
				s["type"] = []string{"object", "null"}
				s["description"] = v.doc
				withParameters[v.name] = s
			}
			return schema.JSON{"anyOf": append(forms, schema.JSON{
				"type": "object", "properties": withParameters, "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
			})}
		},
	}
}

func verbNames() []string {
	names := make([]string, len(verbs))
	for i, v := range verbs {
		names[i] = v.name
	}
	return names
}

// actionOnPipeline is the schema of what an action needs besides in a rule
// for pipelines.
func actionOnPipeline() schema.JSON {
	const says = "the action " + needsJobs
	var forJobs []string
	parameters := schema.JSON{}
	for _, v := range verbs {
		if slices.Contains(v.fields(&reader{}, new(rule), new(action)).Keys(), "jobs") {
			forJobs = append(forJobs, v.name)
			parameters[v.name] = schema.JSON{"type": "object", "required": []string{"jobs"}, "errorMessage": says}
		}
	}
	return schema.JSON{
		"if": schema.JSON{"enum": forJobs}, "then": schema.JSON{"type": "object", "errorMessage": says},
		"properties": parameters,
	}
}

func (rd *reader) notice(r *rule, v *notice, d defaults) schema.Schema {
	v.when, v.channel = defaultWhen, d.channel
	purpose := rd.eventPurpose
	if slices.ContainsFunc(r.actions, func(a action) bool { return !event.OfPipeline(a.Verb) }) {
		purpose = rd.jobPurpose
	}
	keys := schema.Mapping("an entry of notify", schema.Fields{
		schema.Key(
			"when", "The outcomes worth a message.",
			schema.List(&v.when, 1, func(result *string) schema.Schema { return schema.OneOf(result, event.Results) }),
		),
		schema.Key("channel", "The Slack channel to tell, like \"#ci\". Without it: the one in `defaults`.", schema.Text(&v.channel)),
		schema.Key("text", "What is told: a text with expressions in {{ }}. Without it: words for each outcome.", rd.template(&v.text, func() expression.Purpose { return purpose(r) })),
	})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			keys.Read(f, n, what)
			if v.channel == "" {
				f.FailAt(n, "no channel to tell: write `channel: \"#ci\"` here or in defaults")
			}
			for _, other := range r.notices {
				if result := clash(*v, other); result != "" {
					f.FailAt(n, "%s is told in %s by an earlier entry of notify already: one message for each outcome and channel", result, v.channel)
				}
			}
		},
		JSON: keys.JSON,
	}
}

// clash returns an outcome that both notices tell in the same channel.
func clash(v, other notice) string {
	for _, result := range v.when {
		if v.channel == other.channel && slices.Contains(other.when, result) {
			return result
		}
	}
	return ""
}
