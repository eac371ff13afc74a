package rules

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// TestFiles gives what stands in the files that a test file names. Paths are
// as they are written in it.
type TestFiles interface {
	Rules(path string) ([]Source, error)   // a rule file, or all of a directory
	Hook(path string) (event.Event, error) // the body of a hook, decoded
	Log(path string) (string, error)       // what log() gives
}

// Tests are the tests of one file, in its order, and the rules that they are
// for.
type Tests struct {
	File  string
	Rules *Rules
	All   []*Test
}

// Test says what the rules are to make of one event.
type Test struct {
	Name string
	Line int // in its file

	file   *Tests
	now    time.Time   // zero: not said
	hook   event.Event // zero: none
	event  event.Event
	gitlab answers
	expect []entry
}

// LoadTests reads a test file, and the files that it names. All mistakes come
// back at once, those in its rule files among them, as FileErrors.
func LoadTests(s Source, files TestFiles) (*Tests, error) {
	f := NewDocument(s.Name, s.Data)
	ts := &Tests{File: s.Name}
	if len(bytes.TrimSpace(s.Data)) == 0 {
		f.fail(1, 1, "the file is empty: write at least `version: 1` and `tests:`")
	} else if root := f.parse(); root != nil {
		ts.form(files).read(f, root, "")
	}
	if errs := FileErrors(f.errs); len(errs) > 0 {
		sortErrors(errs)
		return nil, errs
	}
	return ts, nil
}

// TestSuffix ends the name of a test file: rules.test.yaml lies beside
// rules.yaml, whose tests it holds. A directory of rules may hold tests.
const TestSuffix = ".test.yaml"

// form is a test file. The rules are loaded before the tests are read, so that
// a test that expects what no rule can want is a mistake in the file; where
// they can't be, that is the mistake, and the tests are read without them.
func (ts *Tests) form(files TestFiles) form {
	var sources []Source
	complete := true
	take := func(path string) error {
		read, err := files.Rules(path)
		sources, complete = append(sources, read...), complete && err == nil
		return err
	}
	tests := listOf(&ts.All, 1, func(t **Test) form {
		*t = &Test{file: ts}
		return (*t).form(files)
	})
	keys := mapping("the test file", fields{
		{"version", "The version of this format: 1, the only one there is.", required(version(), "`version: 1` is missing")},
		{"rules", "The rule files to test, or directories of them, from where this file is. Without it: the file of this name without `.test`.", listOf(new([]string), 1, func(*string) form {
			return pathTo(take)
		})},
		{"tests", "The tests. Each stands for itself: one event, and what the rules make of it.", required(form{
			read: func(f *file, n *yaml.Node, what string) {
				if complete && len(sources) > 0 {
					ts.load(f, sources)
				}
				tests.read(f, n, what)
			},
			schema: tests.schema,
		}, "`tests:` is missing: this must be a file of tests; it names the rule files in `rules:`")},
	})
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			switch {
			case isRuleFile(n):
				f.failAt(n, "this is a rule file: a file of tests has `tests:`, and names the rule files in `rules:`")
				return
			case n.Kind == yaml.MappingNode && !hasKey(n, "rules"):
				ts.takeNamesake(f, take)
			}
			keys.read(f, n, what)
		},
		schema: keys.schema,
	}
}

// isRuleFile reports whether the file holds rules, where a test file names
// files.
func isRuleFile(n *yaml.Node) bool {
	rules := valueOf(n, "rules")
	return rules != nil && len(rules.Content) > 0 && resolve(rules.Content[0]).Kind == yaml.MappingNode
}

// takeNamesake takes the rule file that the test file is named for.
func (ts *Tests) takeNamesake(f *file, take func(path string) error) {
	namesake, ok := strings.CutSuffix(filepath.Base(ts.File), TestSuffix)
	if !ok {
		f.fail(1, 1, "say which rule files to test, like `rules: [rules.yaml]`, or name this file for one: rules%s for rules.yaml", TestSuffix)
		return
	}
	if err := take(namesake + ".yaml"); err != nil {
		f.fail(1, 1, "say which rule files to test, like `rules: [rules.yaml]`: %v", err)
	}
}

// load loads the rules.
func (ts *Tests) load(f *file, sources []Source) {
	loaded, err := Load(Options{}, sources...)
	if errs, ok := errors.AsType[FileErrors](err); ok {
		f.errs = append(f.errs, errs...)
	}
	ts.Rules = loaded
}

// pathTo reads a path, and with take the file that has it.
func pathTo(take func(path string) error) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			if !isText(n) {
				f.failAt(n, "%s must be the path of a file", what)
				return
			}
			if err := take(n.Value); err != nil {
				f.failAt(n, "%s: %v", what, err)
			}
		},
		schema: func() schema { return schema{"type": "string", "minLength": 1} },
	}
}

func (t *Test) form(files TestFiles) form {
	keys := mapping("a test", fields{
		{"name", "What the test shows, in words. No two tests of a file have the same name.", required(
			matching(&t.Name, ruleName, "a name is one line of 1 to 100 characters, with no white space around it"), "a test needs a name")},
		{"now", "When the event comes, which is now() in expressions: like 2026-01-31T12:00:00Z. Without it: the last time that the hook tells, else 2026-01-01T12:00:00Z.", moment(&t.now, nil)},
		{"event", "What happened: the body of a hook, the fields of the event, or both, and then the fields win.", required(t.eventForm(files), "a test needs an event")},
		{"gitlab", "What GitLab answers when a rule asks it. A question that has no answer here fails the test.", t.gitlab.form(t, files)},
		{"expect", "What the rules decide: exactly this, in the order of the rule file. [] for nothing.", required(
			listOf(&t.expect, 0, func(e *entry) form { return e.form(t) }), "say what to expect: `expect: []` for nothing")},
	})
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			t.Line = n.Line
			keys.read(f, n, what)
			if t.Name != "" && slices.ContainsFunc(t.file.All, func(other *Test) bool { return other.Name == t.Name }) {
				f.failAt(n, "another test has the name %q already", t.Name)
			}
			t.settle()
		},
		schema: keys.schema,
	}
}

// entry is what a rule makes of an event, as the test file writes it: what a
// test expects of it, or what it did.
type entry struct {
	rule         string
	err          string            // the rule could not be evaluated; of what is expected, a part of the error is enough
	action       string            // a verb
	jobs         []string          // names; nil where there are none to name
	compared     map[string]string // the values of parameters, each as a test file has it
	alsoWantedBy []string
	tells        map[string][]told // by outcome

	decisions []event.Decision // what it is made of, if it happened
}

// told is a message: of one that is expected, what is nil is not compared.
type told struct {
	channel *string
	text    *string // "": the default text
}

func (e *entry) form(t *Test) form {
	verbs := append(verbNames(), event.VerbNotify)
	tells := make(fields, len(event.Results))
	e.tells = map[string][]told{}
	for i, result := range event.Results {
		tells[i] = field{result, "What is told when the decision comes to this: a text, or a list of {channel, text}; [] for nobody is told.", e.told(result)}
	}
	e.compared = map[string]string{}
	known := fields{
		{"rule", "The name of the rule.", required(text(&e.rule), "which `rule` is expected to fire?")},
		{"action", "What it wants done, or `notify` if it only tells. Without it: what the rule has, if that is one thing.", oneOf(&e.action, verbs)},
		{"jobs", "The names of the jobs to act on, in order, trigger jobs too. Without it: the event's job. A pipeline event has none, so it needs this.", listOf(&e.jobs, 1, text)},
		{"also_wanted_by", "The later rules that want the same. Without it: there are none.", listOf(&e.alsoWantedBy, 1, text)},
		{"tells", "What is told, by outcome; a rule that only tells has the outcome done. An outcome that is left out is not compared.", mapping("tells", tells)},
		{"error", "The rule can't be evaluated, and this is a part of the error.", text(&e.err)},
	}
	for _, p := range parameters {
		known = append(known, field{p.key, p.doc + " Without it: not compared.", p.form(e)})
	}
	keys := mapping("an entry of expect", known)
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			keys.read(f, n, what)
			if n.Kind == yaml.MappingNode && e.rule != "" && t.file.Rules != nil {
				e.review(f, n, t)
			}
		},
		schema: keys.schema,
	}
}

// told reads what is told of an outcome.
func (e *entry) told(result string) form {
	one := func(to *told) form {
		return mapping("a message", fields{
			{"channel", "The Slack channel. Without it: not compared.", given(&to.channel, text)},
			{"text", "What is told; \"\" for the default words. Without it: not compared.", given(&to.text, text)},
		})
	}
	var messages []told
	several := listOf(&messages, 0, one)
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			if isText(n) {
				e.tells[result] = []told{{text: &n.Value}}
				return
			}
			several.read(f, n, what)
			e.tells[result] = messages
		},
		schema: func() schema { return schema{"anyOf": []schema{{"type": "string"}, several.schema()}} },
	}
}

// review finds what no rule can do, and says what a rule leaves no choice of.
func (e *entry) review(f *file, n *yaml.Node, t *Test) {
	rs := t.file.Rules
	names := make([]string, len(rs.rules))
	for i, r := range rs.rules {
		names[i] = r.name
	}
	for _, name := range append([]string{e.rule}, e.alsoWantedBy...) {
		if rs.byName[name] == nil {
			at := valueOf(n, "rule")
			if name != e.rule {
				at = valueOf(n, "also_wanted_by")
			}
			f.failAt(at, "there is no rule %q%s", name, spelling.Suggestion(name, names))
		}
	}
	r := rs.byName[e.rule]
	if r == nil {
		return
	}
	kind := t.event.Meta.Kind
	if kind != "" && r.on != kind {
		f.failAt(valueOf(n, "rule"), "rule %q is for %s events, and this event is a %s's", r.name, r.on, kind)
		return
	}
	if hasKey(n, "error") {
		switch {
		case e.err == "":
			f.failAt(valueOf(n, "error"), "write a part of the error, like `error: 404`")
		case len(n.Content) > 2*2: // keys and values
			f.failAt(n, "a rule that can't be evaluated does nothing: beside `error` nothing but `rule` can stand")
		}
		return
	}
	verbs := r.verbs()
	switch {
	case e.action == "" && len(verbs) > 1:
		f.failAt(n, "which `action`? rule %q has %s", r.name, list(verbs))
		return
	case e.action == "":
		e.action = verbs[0]
	case !slices.Contains(verbs, e.action):
		f.failAt(valueOf(n, "action"), "rule %q never wants %s: it has %s", r.name, e.action, list(verbs))
	}
	for _, p := range parameters {
		if _, ok := e.compared[p.key]; ok && !p.isOf(e.action) {
			f.failAt(valueOf(n, p.key), "%s has no %s: leave it out", e.action, p.key)
		}
	}
	switch {
	case e.action == event.VerbNotify, event.OfPipeline(e.action):
		if e.jobs != nil {
			f.failAt(valueOf(n, "jobs"), "%s acts on no job: leave `jobs` out", e.action)
		}
	case e.jobs == nil && kind == event.KindPipeline:
		f.failAt(n, "which `jobs` does rule %q act on? A pipeline event has none of its own: write their names, like `jobs: [deploy-staging]`", r.name)
	case e.jobs == nil:
		e.jobs = []string{t.event.Job.Name}
	}
}

// verbs gives what the rule may want, each verb once.
func (r *rule) verbs() []string {
	if len(r.actions) == 0 {
		return []string{event.VerbNotify}
	}
	var all []string
	for _, a := range r.actions {
		if !slices.Contains(all, a.Verb) {
			all = append(all, a.Verb)
		}
	}
	return all
}

// given reads a value that may be left out, which is nil then.
func given[T any](to **T, of func(*T) form) form {
	value := new(T)
	inner := of(value)
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			*to = value
			inner.read(f, n, what)
		},
		schema: withoutDefault(inner).schema,
	}
}

// plainTexts reads a mapping of names to texts.
func plainTexts(to *map[string]string) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			if n.Kind != yaml.MappingNode {
				f.failAt(n, "%s must be a mapping of names to texts", what)
				return
			}
			*to = map[string]string{}
			for key, value := range pairs(n) {
				if _, twice := (*to)[key.Value]; twice {
					f.failAt(key, "%q stands twice in %s", key.Value, what)
				}
				var s string
				text(&s).read(f, resolve(value), what+"."+key.Value)
				(*to)[key.Value] = s
			}
		},
		schema: func() schema {
			return schema{"type": "object", "additionalProperties": schema{"type": []string{"string", "number", "boolean"}}}
		},
	}
}

// moment reads a time, or how long before now it was, where there is a now.
func moment(to *time.Time, now func() time.Time) form {
	help := "write it like 2026-01-31T12:00:00Z"
	if now != nil {
		help += ", or how long ago it was, like `10m ago`"
	}
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			if before, ok := strings.CutSuffix(n.Value, " ago"); ok && now != nil {
				d, err := expression.ParseDuration(before)
				if err != nil {
					f.failAt(n, "%s: %v", what, err)
					return
				}
				*to = now().Add(-d)
				return
			}
			at, err := time.Parse(time.RFC3339, n.Value)
			if err != nil {
				f.failAt(n, "%s: %q is no time: %s", what, n.Value, help)
				return
			}
			*to = at.UTC()
		},
		schema: func() schema { return schema{"type": "string", "errorMessage": help} },
	}
}
