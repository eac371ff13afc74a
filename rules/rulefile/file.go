package rulefile

import (
	"cmp"
	"regexp"
	"slices"
	"sync"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/receiver"
	"github.com/pipesteward/pipesteward/rules/rulefile/times"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// The format of rule files. Each key is defined once, with its default, its
// type and its documentation. The loader and the JSON Schema are derived from
// these definitions.

// defaults are the defaults for the rules of a file.
type defaults struct {
	dryRun   bool
	channel  *yaml.Node // nil: there is none
	receiver string     // instead of a channel; "": there is none
	language string     // of event.Languages; "": English
	notify   *yaml.Node // a list; nil: nobody is notified
	quiet    rules.Quiet
	group    event.Group
}

// ruleFile reads a whole file: its rules, in order, and its settings for the
// rules of all files. The set's classes have been read before.
func (rd *reader) ruleFile() schema.Schema {
	s := rd.set
	var d defaults
	keys := schema.MappingWithHints("the rule file", schema.Fields{
		schema.Key(
			"version", "The version of this format: 1, the only one there is.",
			schema.Required(Version(), "`version: 1` is missing"),
		),
		schema.Key(
			"defaults", "Defaults for the rules of this file.",
			exclusive(schema.Mapping("defaults", schema.Fields{
				schema.Key("dry_run", "Decide, record and notify, but change nothing in GitLab.", schema.Bool(&d.dryRun)),
				schema.Key("channel", "The Slack channel to notify, like \"#ci\". With expressions in {{ }}, it is not that of storms and outages, which belong to no project.", rd.defaultChannel(&d)),
				schema.Key("receiver", "The receiver to notify, by its name in `receivers`, instead of a Slack channel.", s.receiverName(&d.receiver)),
				schema.Key("language", "The language of what Pipesteward writes to receivers that have no `language` of their own, and of the questions of `confirm`: en (English, the default) or zh (Chinese). The first one of all files is that of the answers to the slash command.", schema.Language(&d.language)),
				schema.Key("notify", "Which notifications are sent for rules with actions that have no `notify`: none, or a list as theirs.", rd.defaultNotify(&d)),
				schema.Key("quiet", "The hours in which notifications wait: they are sent afterwards. Without it: there are none.", times.Quiet(&d.quiet, outcomes(&d.quiet.Except))),
				schema.Key("group", "When messages are gathered in digests; false: never.", times.Group(&d.group)),
			}), "defaults"),
		),
		schema.Key("limits", "Budgets for retries. They are for the rules of all files, so only one file can have them.", s.limitsSchema()),
		schema.Key("storm", "Many failures of one class at once are an outage: retries of the class wait until it is over. This is for the rules of all files, so only one file can have it.", s.stormSchema(&d)),
		schema.Key(
			"classes", "Failure classes of your own, by the content of a failed job's log: the first class that matches is its job.failure_class. They apply to the rules of all files.",
			schema.Schema{Read: func(*schema.Document, *yaml.Node, string) {}, JSON: schema.List(new([]expression.Class), 1, s.class).JSON},
		),
		schema.Key(
			"receivers", "Whom notifications can go to besides Slack. They are for the rules of all files. Paths of files are relative to the directory in which Pipesteward was started; a file is read for each message.",
			schema.Schema{Read: func(*schema.Document, *yaml.Node, string) {}, JSON: schema.List(new([]receiver.Definition), 1, s.receiver).JSON},
		),
		schema.Key("templates", "Texts in place of the default ones, for the rules of all files: each a text with expressions in {{ }}, or one for each language, like {en: …, zh: …}.", rd.overrides()),
		schema.Key(
			"rules", "What to do, and when. All rules that match an event act, in this order.",
			schema.Required(schema.List(&rd.rules, 0, func(r **ParsedRule) schema.Schema {
				*r = &ParsedRule{Rule: &rules.Rule{DryRun: d.dryRun}}
				return rd.rule(*r, d)
			}), "`rules:` is missing"),
		),
	}, inFile)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if other := otherTool(n); other != "" {
				f.FailAt(n, "this is no rule file but %s: a rule file has `version: 1` and `rules:`", other)
				return
			}
			keys.Read(f, n, what)
			if s.to == (event.Address{}) {
				s.to, s.language = d.address(), d.language
			}
			s.replies = cmp.Or(s.replies, d.language)
		},
		JSON: keys.JSON,
	}
}

// Version reads the version of a file format: 1.
func Version() schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, _ string) {
			if n.Value != "1" {
				f.FailAt(n, "version must be 1, the only one there is, not %q", n.Value)
			}
		},
		JSON: func() schema.JSON { return schema.JSON{"const": 1} },
	}
}

// RuleName matches the names of rules. It limits their length because they are
// part of store keys and metrics.
var RuleName = regexp.MustCompile(`^\S(.{0,98}\S)?$`)

func (rd *reader) rule(parsed *ParsedRule, d defaults) schema.Schema {
	r := parsed.Rule
	oncePerEvent := func() expression.Purpose { return rd.eventPurpose(r) }
	known := schema.Fields{
		schema.Key(
			"name", "What the rule is called in messages, metrics and decisions. No two rules have the same name.",
			schema.Required(schema.Matching(&r.Name, RuleName, "a name is one line of 1 to 100 characters, with no white space around it"), "a rule needs a name"),
		),
		schema.Key(
			"on", "The events that the rule is for: a job changed, a pipeline did, or a time has come.",
			schema.Required(eventKind(&r.On), "a rule needs `on: job`, `on: pipeline` or `on: schedule`"),
		),
		schema.Key("schedule", "When a rule `on: schedule` runs, and over which jobs: it is evaluated for each of them.", times.Schedule(&r.Schedule)),
		schema.Key(
			"if", "The condition: an expression. The rule matches the events for which it is true; without it, every event.",
			rd.expression(&r.Condition, expression.WantBool, oncePerEvent),
		),
		schema.Key(
			"actions", "What is done when the rule matches, in this order. An action waits until the one before it has ended.",
			schema.List(&r.Actions, 1, func(a *rules.Action) schema.Schema { return rd.action(r, a) }),
		),
		schema.Key(
			"notify", "Which notifications are sent. Without `actions`, the rule only notifies that it matched; without `notify`, those in `defaults` are sent.",
			rd.notices(r, d),
		),
		schema.Key("stop", "When this rule matches, the rules after it are not evaluated. Without `actions` and `notify`, that is all the rule does: what it matches is left alone.", schema.Bool(&r.Stop)),
		schema.Key("dry_run", "Decide, record and notify, but change nothing in GitLab. Without it: as `defaults` says.", schema.Bool(&r.DryRun)),
	}
	keys := schema.MappingWithHints("a rule", known, inRule)
	const idle = "the rule does nothing: give it `actions` or `notify`, or `stop: true` to keep later rules from what it matches"
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			r.File, r.Line, r.Column, r.Hash = f.Name, n.Line, n.Column, rd.hash
			parsed.Node, parsed.content, rd.current = n, contentOf(n), parsed
			f.Rule = func() string { return r.Name }
			defer func() { f.Rule, rd.current = nil, nil }()
			keys.Read(f, n, what)
			r.DryRun = r.DryRun || rd.options.DryRun
			for i := range r.Actions {
				if r.Actions[i].Confirm.Source != "" {
					r.Actions[i].ConfirmLanguage = d.language
				}
			}
			if d.notify != nil && len(r.Actions) > 0 && !schema.Has(n, "notify") {
				rd.notices(r, d).Read(f, d.notify, "notify")
			}
			if n.Kind == yaml.MappingNode {
				reviewSchedule(f, r, n, d.notify)
			}
			if isIdle(n, known.Keys()) {
				f.FailAt(n, idle)
			}
			if r.Condition != nil {
				r.Source = r.Condition.Source().String()
				purpose := oncePerEvent()
				r.Clauses = sync.OnceValue(func() *expression.Clause { return expression.NewClause(r.Source, purpose, r.Condition) })
			}
		},
		JSON: func() schema.JSON {
			s := keys.JSON()
			s["anyOf"] = []schema.JSON{
				{"required": []string{"actions"}, "errorMessage": idle},
				{"required": []string{"notify"}, "errorMessage": idle},
				{"required": []string{"stop"}, "properties": schema.JSON{"stop": schema.JSON{"const": true}}, "errorMessage": idle},
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

// isIdle reports whether a rule does nothing. One with an unknown key, or with a
// mistake in its `stop`, may mean something, and has its error.
func isIdle(n *yaml.Node, known []string) bool {
	for key := range schema.Pairs(n) {
		if !slices.Contains(known, key.Value) {
			return false
		}
	}
	stop := schema.Value(n, "stop")
	return n.Kind == yaml.MappingNode && !schema.Has(n, "actions") && !schema.Has(n, "notify") && (stop == nil || schema.Resolve(stop).Value == "false")
}

const needsSchedule = "a rule `on: schedule` needs `schedule`: say when, and for which projects"

// reviewSchedule reports keys that only schedule rules may have, and missing
// ones. byDefault are the notifications in `defaults`.
func reviewSchedule(f *schema.Document, r *rules.Rule, n, byDefault *yaml.Node) {
	has := schema.Value(n, "schedule")
	switch {
	case r.On == event.KindSchedule && has == nil:
		f.FailAt(n, needsSchedule)
	case r.On != event.KindSchedule && has != nil:
		f.FailAt(has, "only a rule `on: schedule` has a schedule, and this one is for %s events", r.On)
	case r.On == event.KindSchedule && r.Stop:
		f.FailAt(schema.Value(n, "stop"), "each rule on a schedule runs by itself: there are none to stop, leave it out")
	}
	if r.On != event.KindSchedule || !erases(r) {
		return
	}
	for i, notice := range r.Notify {
		if notice.Text != nil && len(r.Actions) == 1 {
			entries := schema.Value(n, "notify")
			if entries == nil {
				entries = byDefault
			}
			f.FailAt(schema.Value(schema.Resolve(schema.Resolve(entries).Content[i]), "text"), "an erase on a schedule sends one notification for each run, with a fixed text: omit `text`")
		}
	}
}

func erases(r *rules.Rule) bool {
	return slices.ContainsFunc(r.Actions, func(a rules.Action) bool { return a.Verb == event.VerbErase })
}

// eventPurpose is the purpose of an expression that is evaluated once for an event.
func (rd *reader) eventPurpose(r *rules.Rule) expression.Purpose {
	return expression.Purpose{On: r.On, HasJob: r.On != event.KindPipeline, Classes: rd.set.classes}
}

// jobPurpose is the purpose of an expression that is evaluated for each job of
// an action.
func (rd *reader) jobPurpose(r *rules.Rule) expression.Purpose {
	return expression.Purpose{On: r.On, HasJob: true, Classes: rd.set.classes}
}
