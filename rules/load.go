package rules

import (
	"crypto/sha256"
	"fmt"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
)

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

// Load compiles the rules of the sources, in their order. All mistakes of
// all sources come back at once, as FileErrors.
func Load(o Options, sources ...Source) (*Rules, error) {
	loaded := parse(o, sources)
	if len(loaded.errs) > 0 {
		return nil, loaded.errs
	}
	return New(loaded.set), nil
}

// maxRules bounds the rules of all files.
const maxRules = 50_000

// parsed is what was read of some rule files.
type parsed struct {
	files []*parsedFile
	set   Set               // of all files; incomplete if there are errors
	errs  schema.FileErrors // sorted by place
}

// parsedFile is a rule file with the place of everything in it.
type parsedFile struct {
	*schema.Document
	rules []*parsedRule
}

// parse reads rule files.
func parse(o Options, sources []Source) *parsed {
	all := &parsed{set: Set{Capacity: o.Capacity}}
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
	names := map[string]bool{}
	for i, f := range all.files {
		if roots[i] != nil {
			rd := &reader{options: o, set: together, hash: fmt.Sprintf("%x", sha256.Sum256(sources[i].Data))}
			rd.ruleFile().Read(f.Document, roots[i], "")
			identify(rd.rules, roots[i], classes)
			for _, r := range rd.rules {
				all.add(f, r, names)
			}
		}
		all.errs = append(all.errs, f.Problems...)
	}
	schema.Sort(all.errs)
	together.settle()
	all.set.Limits, all.set.Storm, all.set.Classes = together.limits, together.storm, together.classes
	return all
}

// add adds a rule, unless its name is taken.
func (all *parsed) add(f *parsedFile, r *parsedRule, names map[string]bool) {
	f.rules = append(f.rules, r)
	switch {
	case names[r.name]:
		f.Fail(r.line, r.column, "another rule has the name %q already", r.name)
	case len(all.set.Rules) == maxRules:
		f.Fail(r.line, r.column, "there are more than %d rules", maxRules)
	default:
		names[r.name] = r.name != ""
		all.set.Rules = append(all.set.Rules, r.rule)
	}
}
