package ruletest

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// Files reads the files that a test file refers to. Paths are relative to the
// test file, as it contains them.
type Files interface {
	Rules(path string) ([]rulefile.Source, error) // a rule file, or all rule files of a directory
	Hook(path string) (event.Event, error)        // the decoded body of a hook
	Log(path string) (string, error)              // the result of log()
}

// File is a test file: its tests in order, and the rules under test.
type File struct {
	File  string
	Rules *rules.Rules
	All   []*Test
}

// Test contains an event and the decisions that the rules are expected to make
// about it.
type Test struct {
	Name string
	Line int // in the test file

	file   *File
	now    time.Time   // zero: not set
	hook   event.Event // zero: none
	event  event.Event
	gitlab answers
	expect []entry
}

// Load reads a test file and the files that it refers to. The error contains
// all mistakes, including those in the rule files, as schema.FileErrors.
func Load(s rulefile.Source, files Files) (*File, error) {
	f := schema.NewDocument(s.Name, s.Data)
	ts := &File{File: s.Name}
	if len(bytes.TrimSpace(s.Data)) == 0 {
		f.Fail(1, 1, "the file is empty: write at least `version: 1` and `tests:`")
	} else if root := f.Parse(); root != nil {
		ts.schema(files).Read(f, root, "")
	}
	if errs := schema.FileErrors(f.Problems); len(errs) > 0 {
		schema.Sort(errs)
		return nil, errs
	}
	return ts, nil
}

// Suffix is the end of the name of a test file: rules.test.yaml contains the
// tests of rules.yaml beside it. A directory of rules may contain test files.
const Suffix = ".test.yaml"

// schema reads a test file. The rules are loaded before the tests are read, so
// that a test that expects a decision that no rule can make is a mistake in
// the file. If the rules can't be loaded, that mistake is reported and the
// tests are read without rules.
func (ts *File) schema(files Files) schema.Schema {
	var sources []rulefile.Source
	complete := true
	take := func(path string) error {
		read, err := files.Rules(path)
		sources, complete = append(sources, read...), complete && err == nil
		return err
	}
	tests := schema.List(&ts.All, 1, func(t **Test) schema.Schema {
		*t = &Test{file: ts}
		return (*t).schema(files)
	})
	keys := schema.Mapping("the test file", schema.Fields{
		schema.Key("version", "The version of this format: 1, the only one there is.", schema.Required(rulefile.Version(), "`version: 1` is missing")),
		schema.Key("rules", "The rule files to test, or directories of them, from where this file is. Without it: the file of this name without `.test`.", schema.List(new([]string), 1, func(*string) schema.Schema {
			return pathTo(take)
		})),
		schema.Key("tests", "The tests. Each is independent: one event, and what the rules decide about it.", schema.Required(schema.Schema{
			Read: func(f *schema.Document, n *yaml.Node, what string) {
				if complete && len(sources) > 0 {
					ts.load(f, sources)
				}
				tests.Read(f, n, what)
			},
			JSON: tests.JSON,
		}, "`tests:` is missing: this must be a file of tests; it names the rule files in `rules:`")),
	})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			switch {
			case isRuleFile(n):
				f.FailAt(n, "this is a rule file: a file of tests has `tests:`, and names the rule files in `rules:`")
				return
			case n.Kind == yaml.MappingNode && !schema.Has(n, "rules"):
				ts.takeNamesake(f, take)
			}
			keys.Read(f, n, what)
		},
		JSON: keys.JSON,
	}
}

// isRuleFile reports whether the file contains rules rather than tests.
func isRuleFile(n *yaml.Node) bool {
	rules := schema.Value(n, "rules")
	return rules != nil && len(rules.Content) > 0 && schema.Resolve(rules.Content[0]).Kind == yaml.MappingNode
}

// takeNamesake loads the rule file that the test file is named for.
func (ts *File) takeNamesake(f *schema.Document, take func(path string) error) {
	namesake, ok := strings.CutSuffix(filepath.Base(ts.File), Suffix)
	if !ok {
		f.Fail(1, 1, "say which rule files to test, like `rules: [rules.yaml]`, or name this file for one: rules%s for rules.yaml", Suffix)
		return
	}
	if err := take(namesake + ".yaml"); err != nil {
		f.Fail(1, 1, "say which rule files to test, like `rules: [rules.yaml]`: %v", err)
	}
}

// load loads the rules.
func (ts *File) load(f *schema.Document, sources []rulefile.Source) {
	loaded, err := rulefile.Load(rulefile.Options{}, sources...)
	if errs, ok := errors.AsType[schema.FileErrors](err); ok {
		f.Problems = append(f.Problems, errs...)
	}
	ts.Rules = loaded
}

// pathTo reads a path and passes it to take, which reads the file.
func pathTo(take func(path string) error) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if !schema.IsText(n) {
				f.FailAt(n, "%s must be the path of a file", what)
				return
			}
			if err := take(n.Value); err != nil {
				f.FailAt(n, "%s: %v", what, err)
			}
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "minLength": 1} },
	}
}

func (t *Test) schema(files Files) schema.Schema {
	keys := schema.Mapping("a test", schema.Fields{
		schema.Key("name", "What the test shows, in words. No two tests of a file have the same name.", schema.Required(
			schema.Matching(&t.Name, rulefile.RuleName, "a name is one line of 1 to 100 characters, with no white space around it"), "a test needs a name")),
		schema.Key("now", "The test's clock: the time at which the event is received, which is now() and event.received_at in expressions, like 2026-01-31T12:00:00Z. Without it: the latest time in the hook, otherwise 2026-01-01T12:00:00Z.", moment(&t.now, nil)),
		schema.Key("event", "What happened: the body of a hook, the fields of the event, or both, and then the fields win.", schema.Required(t.eventSchema(files), "a test needs an event")),
		schema.Key("gitlab", "The responses of GitLab to the requests of rules. A request without a response here fails the test.", t.gitlab.schema(t, files)),
		schema.Key("expect", "What the rules decide: exactly this, in the order of the rule file. [] for nothing.", schema.Required(
			schema.List(&t.expect, 0, func(e *entry) schema.Schema { return e.schema(t) }), "say what to expect: `expect: []` for nothing")),
	})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			t.Line = n.Line
			keys.Read(f, n, what)
			if given := schema.Value(n, "event"); given != nil && schema.Has(n, "now") {
				if received := schema.Value(schema.Resolve(given), "received_at"); received != nil {
					f.FailAt(received, "`now` is the time at which the event is received: omit one of the two")
				}
			}
			if t.Name != "" && slices.ContainsFunc(t.file.All, func(other *Test) bool { return other.Name == t.Name }) {
				f.FailAt(n, "another test has the name %q already", t.Name)
			}
			t.complete()
		},
		JSON: keys.JSON,
	}
}

// entry is a decision of a rule as a test file describes it: an expected or an
// actual one.
type entry struct {
	rule         string
	err          string            // the rule could not be evaluated; in an expectation, a part of the error suffices
	action       string            // a verb
	jobs         []string          // names; nil if the action has none
	compared     map[string]string // values of parameters, formatted as in test files
	alsoWantedBy []string
	messages     map[string][]expectedMessage // by outcome

	decisions []event.Decision // of an actual entry
}

func (e *entry) schema(t *Test) schema.Schema {
	verbs := append(rulefile.VerbNames(), event.VerbNotify, actionStop)
	var tells schema.Fields
	e.messages = map[string][]expectedMessage{}
	for _, result := range event.Whens {
		tells = append(tells, schema.Key(result, "The notifications of this outcome: a text, or a list of {channel, text, mention, …}, with `merge_request: note` or `commit: status` for those to GitLab; [] for no notification.", e.messageSchema(result)))
	}
	tells = append(tells,
		schema.Key(event.StateBegan, "The notifications if a state turns true by this event, which must say that it is true, as for an outcome; [] if it says that no state is.", e.messageSchema(event.StateBegan)),
		schema.Key(event.StateResolved, "The notifications if a state turns false by this event, which must say that it is false, as for an outcome; [] if it says that each state is true.", e.messageSchema(event.StateResolved)),
	)
	e.compared = map[string]string{}
	known := schema.Fields{
		schema.Key("rule", "The name of the rule.", schema.Required(schema.Text(&e.rule), "which `rule` is expected to match?")),
		schema.Key("action", "The action, or `notify` if the rule only notifies, or `stop` if it only stops. Without it: the rule's action, if it has only one.", schema.OneOf(&e.action, verbs)),
		schema.Key("jobs", "The names of the jobs to act on, in order, trigger jobs too. Without it: the event's job. A pipeline event has none, so it needs this.", schema.List(&e.jobs, 1, schema.Text)),
		schema.Key("also_wanted_by", "The later rules that want the same. Without it: there are none.", schema.List(&e.alsoWantedBy, 1, schema.Text)),
		schema.Key("tells", "The notifications, by outcome; a rule that only notifies has the outcome done. An outcome that is omitted is not compared.", schema.Mapping("tells", tells)),
		schema.Key("error", "The rule can't be evaluated, and this is a part of the error.", schema.Text(&e.err)),
	}
	for _, p := range parameters {
		known = append(known, schema.Key(p.key, p.doc+" Without it: not compared.", p.schema(e)))
	}
	keys := schema.Mapping("an entry of expect", known)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			keys.Read(f, n, what)
			if n.Kind == yaml.MappingNode && e.rule != "" && t.file.Rules != nil {
				e.review(f, n, t)
			}
		},
		JSON: keys.JSON,
	}
}

// review reports expectations that no rule can meet, and fills in values for
// which a rule allows only one.
func (e *entry) review(f *schema.Document, n *yaml.Node, t *Test) {
	rs := t.file.Rules
	names := make([]string, rs.Len())
	for i, r := range rs.All() {
		names[i] = r.Name
	}
	for _, name := range append([]string{e.rule}, e.alsoWantedBy...) {
		if rs.Rule(name) == nil {
			at := schema.Value(n, "rule")
			if name != e.rule {
				at = schema.Value(n, "also_wanted_by")
			}
			f.FailAt(at, "there is no rule %q%s", name, spelling.Suggestion(name, names))
		}
	}
	r := rs.Rule(e.rule)
	if r == nil {
		return
	}
	kind := t.event.Meta.Kind
	if kind != "" && r.On != kind {
		f.FailAt(schema.Value(n, "rule"), "rule %q is for %s events, and this event is a %s's", r.Name, r.On, kind)
		return
	}
	if schema.Has(n, "error") {
		switch {
		case e.err == "":
			f.FailAt(schema.Value(n, "error"), "write a part of the error, like `error: 404`")
		case len(n.Content) > 2*2: // keys and values
			f.FailAt(n, "a rule that can't be evaluated does nothing: besides `error` only `rule` is allowed")
		}
		return
	}
	verbs := r.Verbs()
	if r.OnlyStops() {
		verbs = []string{actionStop}
	}
	switch {
	case e.action == "" && len(verbs) > 1:
		f.FailAt(n, "which `action`? rule %q has %s", r.Name, schema.Enumerate(verbs))
		return
	case e.action == "":
		e.action = verbs[0]
	case !slices.Contains(verbs, e.action):
		f.FailAt(schema.Value(n, "action"), "rule %q never requests %s: it has %s", r.Name, e.action, schema.Enumerate(verbs))
	}
	for _, p := range parameters {
		if _, ok := e.compared[p.key]; ok && (!p.isOf(e.action) || e.action == actionStop) {
			f.FailAt(schema.Value(n, p.key), "%s has no %s: leave it out", e.action, p.key)
		}
	}
	switch {
	case e.action == event.VerbNotify, e.action == actionStop, event.OfPipeline(e.action):
		if e.jobs != nil {
			f.FailAt(schema.Value(n, "jobs"), "%s acts on no job: leave `jobs` out", e.action)
		}
	case e.jobs == nil && kind == event.KindPipeline:
		f.FailAt(n, "which `jobs` does rule %q act on? A pipeline event has none of its own: write their names, like `jobs: [deploy-staging]`", r.Name)
	case e.jobs == nil:
		e.jobs = []string{t.event.Job.Name}
	}
}

// given reads an optional value; it is nil if it is omitted.
func given[T any](to **T, of func(*T) schema.Schema) schema.Schema {
	value := new(T)
	inner := of(value)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			*to = value
			inner.Read(f, n, what)
		},
		JSON: schema.WithoutDefault(inner).JSON,
	}
}

// plainTexts reads a mapping of names to texts.
func plainTexts(to *map[string]string) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if n.Kind != yaml.MappingNode {
				f.FailAt(n, "%s must be a mapping of names to texts", what)
				return
			}
			*to = map[string]string{}
			for key, value := range schema.Pairs(n) {
				if _, twice := (*to)[key.Value]; twice {
					f.FailAt(key, "%q occurs twice in %s", key.Value, what)
				}
				var s string
				schema.Text(&s).Read(f, schema.Resolve(value), what+"."+key.Value)
				(*to)[key.Value] = s
			}
		},
		JSON: func() schema.JSON {
			return schema.JSON{"type": "object", "additionalProperties": schema.JSON{"type": []string{"string", "number", "boolean"}}}
		},
	}
}

// moment reads a time or, if now is not nil, how long before now it was.
func moment(to *time.Time, now func() time.Time) schema.Schema {
	help := "write it like 2026-01-31T12:00:00Z"
	if now != nil {
		help += ", or how long ago it was, like `10m ago`"
	}
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if before, ok := strings.CutSuffix(n.Value, " ago"); ok && now != nil {
				d, err := event.ParseDuration(before)
				if err != nil {
					f.FailAt(n, "%s: %v", what, err)
					return
				}
				*to = now().Add(-d)
				return
			}
			at, err := time.Parse(time.RFC3339, n.Value)
			if err != nil {
				f.FailAt(n, "%s: %q is no time: %s", what, n.Value, help)
				return
			}
			*to = at.UTC()
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "errorMessage": help} },
	}
}

// Schema returns the JSON Schema of test files, generated like that of rule
// files.
func Schema() ([]byte, error) {
	return new(File).schema(nil).JSON().Publish("A file of rule tests of Pipesteward. Made by `pipesteward schema --tests`.")
}
