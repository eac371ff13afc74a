package rulefile

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// Source is the content of a rule file and its name in errors.
type Source struct {
	Name string
	Data []byte
}

// Options change how rules are loaded.
type Options struct {
	DryRun   bool // every rule decides and records, but changes nothing in GitLab; nor does what people request
	Requests bool // people may request decisions, such as a retry, from Slack
	// Capacity limits the evaluations of all rule sets that share it. If it is
	// nil, each evaluation is limited, but not their number.
	Capacity *limits.Capacity
}

// Load compiles the rules of the sources, in their order. The error contains
// all mistakes in all sources, as schema.FileErrors.
func Load(o Options, sources ...Source) (*rules.Rules, error) {
	loaded := Parse(o, sources)
	if len(loaded.Errors) > 0 {
		return nil, loaded.Errors
	}
	return rules.New(loaded.Set), nil
}

// maxRules is the maximum number of rules in all files.
const maxRules = 50_000

// Parsed is the content of some rule files.
type Parsed struct {
	Files  []*File
	Set    rules.Set         // of all files; incomplete if there are errors
	Errors schema.FileErrors // sorted by place
}

// File is a rule file with the positions of its parts.
type File struct {
	*schema.Document
	Rules     []*ParsedRule
	Templates *yaml.Node // `templates`; nil if there is none
}

// Parse reads rule files.
func Parse(o Options, sources []Source) *Parsed {
	all := &Parsed{Set: rules.Set{Capacity: o.Capacity, DryRun: o.DryRun, Requests: o.Requests}}
	roots, together := make([]*yaml.Node, len(sources)), newSet()
	for i, s := range sources {
		f := schema.NewDocument(s.Name, s.Data)
		all.Files = append(all.Files, &File{Document: f})
		if root := f.Parse(); root != nil {
			roots[i] = root
			all.Files[i].Templates = schema.Value(root, "templates")
			together.readClasses(f, roots[i])
			together.readReceivers(f, roots[i])
		}
	}
	together.addIncluded()
	classes := contentOfClasses(roots)
	names := map[string]bool{}
	for i, f := range all.Files {
		if roots[i] != nil {
			rd := &reader{options: o, set: together, hash: fmt.Sprintf("%x", sha256.Sum256(sources[i].Data))}
			rd.ruleFile().Read(f.Document, roots[i], "")
			identify(rd.rules, roots[i], classes)
			for _, r := range rd.rules {
				all.add(f, r, names)
			}
		}
		all.Errors = append(all.Errors, f.Problems...)
	}
	schema.Sort(all.Errors)
	all.Errors = slices.CompactFunc(all.Errors, func(a, b schema.FileError) bool { // of defaults, which several rules use
		return a.File == b.File && a.Line == b.Line && a.Column == b.Column && a.Message == b.Message
	})
	together.setDefaults()
	all.Set.Limits, all.Set.Storm, all.Set.Classes = together.limits, together.storm, together.classes
	all.Set.Receivers, all.Set.Templates, all.Set.Language = together.receivers, together.templates, together.replies
	all.Set.Prices, all.Set.Reports = together.prices, together.reports
	all.Set.Learns, all.Set.EveryFailure = together.learns, together.everyFailure
	return all
}

// add adds a rule unless its name is taken.
func (all *Parsed) add(f *File, r *ParsedRule, names map[string]bool) {
	f.Rules = append(f.Rules, r)
	switch {
	case names[r.Name]:
		f.Fail(r.Line, r.Column, "another rule has the name %q already", r.Name)
	case len(all.Set.Rules) == maxRules:
		f.Fail(r.Line, r.Column, "there are more than %d rules", maxRules)
	default:
		names[r.Name] = r.Name != ""
		all.Set.Rules = append(all.Set.Rules, r.Rule)
	}
}
