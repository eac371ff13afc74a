package rules

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/expr-lang/expr/vm"
	"go.yaml.in/yaml/v4"
)

// Source is a rule file's content under the name that errors give it.
type Source struct {
	Name string
	Data []byte
}

// Options change how rules are loaded.
type Options struct {
	DryRun bool // every rule decides and records, and changes nothing
}

// Rules is a loaded set of rules. It doesn't change and may be used by many
// goroutines.
type Rules struct {
	rules  []*rule
	byName map[string]*rule
	wants  map[string]statusSet // by event kind, where a rule has it
}

// rule is one compiled rule.
type rule struct {
	name      string
	on        string
	source    string      // of the condition
	condition *vm.Program // nil: always true
	actions   []action
	notices   []notice
	stop      bool
	dryRun    bool

	file    string // where it stands
	line    int
	hash    string         // of the file: SHA-256 in hex
	clauses func() *clause // the condition taken apart, when first asked for; nil without one
}

// action is what a rule wants done, its texts not yet rendered.
type action struct {
	Action
	jobs      *vm.Program // nil: the event's job
	variables map[string]template
	inputs    map[string]template
}

// notice is one entry of `notify`.
type notice struct {
	when    []string
	channel string
	text    *template // nil: the default text of the outcome
}

// defaultWhen are the outcomes worth a message where a rule does not say:
// all but skipped and deferred.
var defaultWhen = []string{ResultDone, ResultDryRun, ResultFailed, ResultGaveUp, ResultRecovered}

// Load compiles the rules of the sources, in their order. All mistakes of
// all sources come back at once, as FileErrors.
func Load(o Options, sources ...Source) (*Rules, error) {
	rs := &Rules{byName: map[string]*rule{}, wants: map[string]statusSet{}}
	var errs FileErrors
	for _, s := range sources {
		f := &file{name: s.Name, text: []rune(string(s.Data)), hash: fmt.Sprintf("%x", sha256.Sum256(s.Data))}
		if root := f.parse(s.Data); root != nil {
			rs.read(f, root, o)
		}
		errs = append(errs, f.errs...)
	}
	if len(errs) > 0 {
		sortErrors(errs)
		return nil, errs
	}
	return rs, nil
}

// Len gives the number of rules.
func (rs *Rules) Len() int { return len(rs.rules) }

// defaults are what a file's rules take where they say nothing themselves.
type defaults struct {
	dryRun  bool
	channel string
}

func (rs *Rules) read(f *file, root *yaml.Node, o Options) {
	var d defaults
	var version, rules *yaml.Node
	f.mapping(root, "the rule file", fields{
		"version": func(n *yaml.Node) { version = n },
		"defaults": func(n *yaml.Node) {
			f.mapping(n, "defaults", fields{
				"dry_run": func(n *yaml.Node) { d.dryRun = f.boolean(n, "dry_run") },
				"channel": func(n *yaml.Node) { d.channel = f.word(n, "channel") },
			})
		},
		"rules": func(n *yaml.Node) { rules = n },
	})
	switch {
	case version == nil:
		f.failAt(root, "`version: 1` is missing")
	case version.Value != "1":
		f.failAt(version, "version must be 1, the only one there is, not %q", version.Value)
	}
	if rules == nil {
		f.failAt(root, "`rules:` is missing")
		return
	}
	for _, n := range f.items(rules, "rules") {
		rs.add(f, n, f.readRule(n, d, o))
	}
}

// add takes a rule into the set, unless its name is taken.
func (rs *Rules) add(f *file, n *yaml.Node, r *rule) {
	if _, taken := rs.byName[r.name]; taken {
		f.failAt(n, "another rule has the name %q already", r.name)
		return
	}
	rs.rules = append(rs.rules, r)
	if r.name != "" {
		rs.byName[r.name] = r
	}
	var at statusSet
	if r.condition != nil {
		at = pinned(r.condition.Node(), r.on)
	}
	if others, ok := rs.wants[r.on]; ok {
		at = others.or(at)
	}
	rs.wants[r.on] = at
}

var kinds = []string{KindJob, KindPipeline}

// ruleName bounds names: they are part of keys in the store, and of metrics.
var ruleName = regexp.MustCompile(`^\S(.{0,98}\S)?$`)

func (f *file) readRule(n *yaml.Node, d defaults, o Options) *rule {
	r := &rule{dryRun: d.dryRun, file: f.name, line: n.Line, hash: f.hash}
	// The name comes first, so that every message about the rule can tell it.
	if name := valueOf(n, "name"); name != nil {
		if r.name = f.word(name, "name"); r.name != "" && !ruleName.MatchString(r.name) {
			f.failAt(name, "a name is one line of at most 100 characters, with no white space around it")
		}
	}
	f.rule = r.name
	defer func() { f.rule = "" }()

	var condition, actions, notify *yaml.Node
	f.mapping(n, "a rule", fields{
		"name":    func(*yaml.Node) {}, // read above
		"on":      func(n *yaml.Node) { r.on = f.oneOf(n, "on", kinds) },
		"if":      func(n *yaml.Node) { condition = n },
		"actions": func(n *yaml.Node) { actions = n },
		"notify":  func(n *yaml.Node) { notify = n },
		"stop":    func(n *yaml.Node) { r.stop = f.boolean(n, "stop") },
		"dry_run": func(n *yaml.Node) { r.dryRun = f.boolean(n, "dry_run") },
	})
	r.dryRun = r.dryRun || o.DryRun

	if r.name == "" {
		f.failAt(n, "a rule needs a name")
	}
	if !hasKey(n, "on") {
		f.failAt(n, "a rule needs `on: job` or `on: pipeline`")
	}
	if actions == nil && notify == nil {
		f.failAt(n, "the rule does nothing: give it `actions`, `notify` or both")
	}
	hasJob := r.on != KindPipeline
	if condition != nil {
		r.condition = f.condition(condition, "if", purpose{want: wantBool, hasJob: hasJob, on: r.on})
		r.source = resolve(condition).Value
		r.clauses = sync.OnceValue(func() *clause { return clausesOf(r.source, r.on, r.condition) })
	}
	if actions != nil {
		for _, n := range f.some(actions, "actions") {
			a := f.readAction(n, r.on)
			if r.on == KindJob && a.jobs == nil && slices.ContainsFunc(r.actions, func(b action) bool { return b.Verb == a.Verb && b.jobs == nil }) {
				f.failAt(n, "%s stands twice for the same job", a.Verb)
			}
			r.actions = append(r.actions, a)
		}
	}
	if notify != nil {
		texts := purpose{hasJob: hasJob || len(r.actions) > 0, on: r.on}
		for _, n := range f.some(notify, "notify") {
			v := f.readNotice(n, d, texts)
			for _, other := range r.notices {
				if result := v.clashes(other); result != "" {
					f.failAt(n, "%s is told in %s by an earlier entry of notify already: one message for each outcome and channel", result, v.channel)
				}
			}
			r.notices = append(r.notices, v)
		}
	}
	return r
}

func (f *file) condition(n *yaml.Node, what string, p purpose) *vm.Program {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode || n.Value == "" || n.Style&yaml.TaggedStyle != 0 {
		f.failAt(n, "%s must be an expression; one that begins with !, [, {, & or * must stand in quotes, or YAML takes that for its own", what)
		return nil
	}
	return f.compile(n, n.Value, 0, p)
}

// readAction reads one action: a mapping of one verb to its parameters, or
// the verb alone.
func (f *file) readAction(n *yaml.Node, on string) action {
	n = resolve(n)
	var a action
	parameters := f.parametersOf(&a, on)
	verb, values := n, (*yaml.Node)(nil)
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
		verb, values = n.Content[0], n.Content[1]
	}
	known, ok := parameters[verb.Value]
	if verb.Kind != yaml.ScalarNode || !ok {
		f.failAt(verb, "an action must be one of %s, with its parameters, like `- retry: {max_attempts: 3}`; not %q%s",
			list(parameters), verb.Value, didYouMean(verb.Value, slices.Collect(maps.Keys(parameters))))
		return a
	}
	a.setDefaults(verb.Value)
	if values != nil && values.ShortTag() != "!!null" {
		f.mapping(values, verb.Value, known)
	}
	if on == KindPipeline && !hasKey(values, "jobs") {
		f.failAt(verb, "%s needs `jobs`, the jobs to act on, because a pipeline event has none of its own: like `jobs: filter(pipeline.jobs, .status == \"manual\")`", verb.Value)
	}
	return a
}

func hasKey(n *yaml.Node, key string) bool { return valueOf(n, key) != nil }

// valueOf gives the value of a key of a mapping, or nil.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	if n == nil {
		return nil
	}
	for k, v := range pairs(resolve(n)) {
		if k.Value == key {
			return v
		}
	}
	return nil
}

// setDefaults gives an action its verb, and the defaults of that verb's
// parameters.
func (a *action) setDefaults(verb string) {
	a.Verb = verb
	switch verb {
	case VerbRetry:
		a.MaxAttempts, a.Backoff, a.MaxDelay = 3, BackoffExponential, Duration(10*time.Minute)
	case VerbErase:
		a.OlderThan = Duration(24 * time.Hour)
	}
}

// parametersOf maps the verbs to the parameters that each has.
func (f *file) parametersOf(a *action, on string) map[string]fields {
	values := purpose{hasJob: true, on: on} // rendered for each job that is acted on
	jobs := func(n *yaml.Node) {
		a.jobs = f.condition(n, "jobs", purpose{want: wantJobs, hasJob: on != KindPipeline, on: on})
	}
	delay := func(n *yaml.Node) { a.Delay = Duration(f.duration(n, "delay")) }
	return map[string]fields{
		VerbRetry: {
			"jobs":         jobs,
			"max_attempts": func(n *yaml.Node) { a.MaxAttempts = f.integer(n, "max_attempts", 1) },
			"delay":        delay,
			"backoff":      func(n *yaml.Node) { a.Backoff = f.oneOf(n, "backoff", []string{BackoffConstant, BackoffExponential}) },
			"max_delay":    func(n *yaml.Node) { a.MaxDelay = Duration(f.duration(n, "max_delay")) },
		},
		VerbPlay: {
			"jobs":      jobs,
			"delay":     delay,
			"variables": func(n *yaml.Node) { a.variables = f.templates(n, "variables", variableName, values) },
			"inputs":    func(n *yaml.Node) { a.inputs = f.templates(n, "inputs", inputName, values) },
		},
		VerbCancel: {
			"jobs":  jobs,
			"force": func(n *yaml.Node) { a.Force = f.boolean(n, "force") },
		},
		VerbErase: {
			"jobs":       jobs,
			"older_than": func(n *yaml.Node) { a.OlderThan = Duration(f.duration(n, "older_than")) },
			"artifacts":  func(n *yaml.Node) { a.Artifacts = f.boolean(n, "artifacts") },
		},
	}
}

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	inputName    = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// templates reads a mapping of names to texts.
func (f *file) templates(n *yaml.Node, what string, name *regexp.Regexp, p purpose) map[string]template {
	all := map[string]template{}
	f.entries(n, what, func(key string, value *yaml.Node) {
		if !name.MatchString(key) {
			f.failAt(value, "%q is not a name that GitLab takes in %s: letters, digits and _ (in inputs also -)", key, what)
		}
		all[key] = f.template(value, p)
	})
	return all
}

func (f *file) readNotice(n *yaml.Node, d defaults, texts purpose) notice {
	v := notice{when: defaultWhen, channel: d.channel}
	f.mapping(n, "an entry of notify", fields{
		"when": func(n *yaml.Node) {
			v.when = nil
			for _, item := range f.some(n, "when") {
				v.when = append(v.when, f.oneOf(item, "when", Results))
			}
		},
		"channel": func(n *yaml.Node) { v.channel = f.word(n, "channel") },
		"text":    func(n *yaml.Node) { v.text = new(f.template(n, texts)) },
	})
	if v.channel == "" {
		f.failAt(n, "no channel to tell: write `channel: \"#ci\"` here or in defaults")
	}
	return v
}

// clashes gives an outcome that both notices tell in the same channel.
func (v notice) clashes(other notice) string {
	for _, result := range v.when {
		if v.channel == other.channel && slices.Contains(other.when, result) {
			return result
		}
	}
	return ""
}
