package rules

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// maxRules bounds the rules of all files.
const maxRules = 50_000

// Source is a rule file's content under the name that errors give it.
type Source struct {
	Name string
	Data []byte
}

// Options change how rules are loaded.
type Options struct {
	DryRun bool // every rule decides and records, and changes nothing
	// Capacity bounds the evaluations of all rule sets that have it; nil: no
	// bounds but those on each.
	Capacity *expression.Capacity
}

// Rules is a loaded set of rules. It doesn't change and may be used by many
// goroutines.
type Rules struct {
	rules  []*rule
	byName map[string]*rule
	index  map[string]*ruleIndex // by event kind, where a rule has it

	capacity *expression.Capacity

	limits  Limits
	storm   Storm
	classes expression.Classes

	identities []string // of the rules, in file order
	without    []string // identities of those that decide nothing

	retries        bool // a rule retries jobs
	retryPipelines bool // a rule retries on pipeline events
	bridges        bool // a rule for job events asks for trigger jobs
}

// defaultWhen are the outcomes worth a message where a rule does not say:
// all but skipped and deferred.
var defaultWhen = []string{event.ResultDone, event.ResultDryRun, event.ResultFailed, event.ResultGaveUp, event.ResultRecovered}

// Load compiles the rules of the sources, in their order. All mistakes of
// all sources come back at once, as FileErrors.
func Load(o Options, sources ...Source) (*Rules, error) {
	rs, errs := load(o, nil, sources)
	if rs == nil {
		return nil, errs
	}
	return rs, nil
}

// Check is Load that also warns of what can be loaded and yet may not do what
// is meant. It gives the rules, nil if there are errors, and all errors and
// warnings.
func Check(o Options, sources ...Source) (*Rules, FileErrors) {
	return load(o, newLogic(), sources)
}

// load warns if it is given the logic for it.
func load(o Options, l *logic, sources []Source) (*Rules, FileErrors) {
	rs := &Rules{capacity: o.Capacity, byName: map[string]*rule{}, index: map[string]*ruleIndex{}}
	files, roots, together := make([]*file, len(sources)), make([]*yaml.Node, len(sources)), newSet()
	for i, s := range sources {
		files[i] = &file{name: s.Name, text: []rune(string(s.Data)), hash: fmt.Sprintf("%x", sha256.Sum256(s.Data)), logic: l}
		if root := files[i].parse(s.Data); root != nil {
			roots[i] = resolve(root)
			together.readClasses(files[i], roots[i])
		}
	}
	if l != nil {
		l.classes = together.classes.Names()
	}
	var errs, warnings FileErrors
	classes := contentOfClasses(roots)
	for i, f := range files {
		if roots[i] != nil {
			var all []*rule
			ruleFile(&all, o, together).read(f, roots[i], "")
			identify(all, roots[i], classes)
			for _, r := range all {
				rs.add(f, r)
			}
		}
		errs, warnings = append(errs, f.errs...), append(warnings, f.warnings...)
	}
	together.settle()
	rs.limits, rs.storm, rs.classes = together.limits, together.storm, together.classes
	if len(errs) > 0 {
		rs = nil
	} else if l != nil {
		warnings = slices.Concat(warnings, rs.hidden(l), rs.capped())
	}
	all := slices.Concat(errs, warnings)
	sortErrors(all)
	return rs, all
}

// Len gives the number of rules.
func (rs *Rules) Len() int { return len(rs.rules) }

// add takes a rule into the set, unless its name is taken.
func (rs *Rules) add(f *file, r *rule) {
	if _, taken := rs.byName[r.name]; taken {
		f.fail(r.line, r.column, "another rule has the name %q already", r.name)
		return
	}
	if len(rs.rules) == maxRules {
		f.fail(r.line, r.column, "there are more than %d rules", maxRules)
		return
	}
	rs.rules = append(rs.rules, r)
	rs.identities = append(rs.identities, r.identity)
	r.needsAttempt = r.dependsOnAttempt()
	rs.retryPipelines = rs.retryPipelines || r.on == event.KindPipeline && slices.ContainsFunc(r.actions, func(a action) bool { return a.Verb == event.VerbRetry || a.Verb == event.VerbRetryPipeline })
	rs.retries = rs.retries || slices.ContainsFunc(r.actions, func(a action) bool { return a.Verb == event.VerbRetry })
	rs.bridges = rs.bridges || r.on == event.KindJob && r.mentions("job.bridge")
	if r.name != "" {
		rs.byName[r.name] = r
	}
	if rs.index[r.on] == nil {
		rs.index[r.on] = &ruleIndex{statuses: texts{}}
	}
	rs.index[r.on].add(len(rs.rules)-1, r)
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
