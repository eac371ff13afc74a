package rules

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
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
	loaded := parse(o, sources)
	if len(loaded.errs) > 0 {
		return nil, loaded.errs
	}
	return loaded.rules, nil
}

// Check is Load that also warns of what can be loaded and yet may not do what
// is meant. It gives the rules, nil if there are errors, and all errors and
// warnings.
func Check(o Options, sources ...Source) (*Rules, schema.FileErrors) {
	loaded := parse(o, sources)
	all := slices.Concat(loaded.errs, lint(loaded))
	schema.Sort(all)
	if len(loaded.errs) > 0 {
		return nil, all
	}
	return loaded.rules, all
}

// parsed is what was read of some rule files.
type parsed struct {
	files []*parsedFile
	rules *Rules            // of all files; not to be used if there are errors
	errs  schema.FileErrors // sorted by place
}

// parsedFile is a rule file with the place of everything in it.
type parsedFile struct {
	*schema.Document
	rules []*parsedRule
}

// parse reads rule files.
func parse(o Options, sources []Source) *parsed {
	all := &parsed{rules: &Rules{capacity: o.Capacity, byName: map[string]*rule{}, index: map[string]*ruleIndex{}}}
	roots, together := make([]*yaml.Node, len(sources)), newSet()
	for i, s := range sources {
		f := schema.NewDocument(s.Name, s.Data)
		all.files = append(all.files, &parsedFile{Document: f})
		if root := f.Parse(); root != nil {
			roots[i] = root
			together.readClasses(f, roots[i])
		}
	}
	classes := contentOfClasses(roots)
	for i, f := range all.files {
		if roots[i] != nil {
			rd := &reader{options: o, set: together, hash: fmt.Sprintf("%x", sha256.Sum256(sources[i].Data))}
			rd.ruleFile().Read(f.Document, roots[i], "")
			identify(rd.rules, roots[i], classes)
			for _, r := range rd.rules {
				all.rules.add(f.Document, r.rule)
			}
			f.rules = rd.rules
		}
		all.errs = append(all.errs, f.Problems...)
	}
	schema.Sort(all.errs)
	together.settle()
	all.rules.limits, all.rules.storm, all.rules.classes = together.limits, together.storm, together.classes
	return all
}

// Len gives the number of rules.
func (rs *Rules) Len() int { return len(rs.rules) }

// add takes a rule into the set, unless its name is taken.
func (rs *Rules) add(f *schema.Document, r *rule) {
	if _, taken := rs.byName[r.name]; taken {
		f.Fail(r.line, r.column, "another rule has the name %q already", r.name)
		return
	}
	if len(rs.rules) == maxRules {
		f.Fail(r.line, r.column, "there are more than %d rules", maxRules)
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
