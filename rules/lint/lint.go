package lint

import (
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// Check looks for one kind of probable mistake.
type Check struct {
	ID  string // names the check in messages, reports and comments
	Doc string // what is wrong, why, and what to write instead: Markdown

	// rule checks one rule. If whole is set, it checks only rules without
	// errors, because rules with errors may be incomplete.
	rule  func(*pass)
	whole bool
	// templates checks the `templates` of one file, which are the node of a rule without
	// a name.
	templates func(*pass)
	// all checks the rules of all files, in their order. It is called only if
	// there are no errors.
	all func([]*pass)
}

// Checks lists all checks.
var Checks = []Check{
	constantCondition, renamedReason, costlyFirst, unsentStatus, noEffect, idleWait, eraseAge,
	absentField, singleAttempt, manyAttempts, unlimitedRetry, hopelessClass, impossibleOutcome, neverDue, shadowedRule, idleStop, attemptsOverLimit, learningOff, globOrRegexp, unrenderedText, unknownCheck,
}

// Find returns the check with an id. The error for an unknown id lists the
// known ones.
func Find(id string) (Check, error) {
	ids := make([]string, len(Checks))
	for i, c := range Checks {
		if ids[i] = c.ID; c.ID == id {
			return c, nil
		}
	}
	return Check{}, fmt.Errorf("there is no check %q%s: there are %s", id, spelling.Suggestion(id, ids), schema.Enumerate(ids))
}

// Load is like rulefile.Load, but also returns warnings. It returns the rules,
// or nil if there are errors, and all errors and warnings sorted by position.
// The checks whose ids are in disabled are skipped.
func Load(o rulefile.Options, disabled []string, sources ...rulefile.Source) (*rules.Rules, schema.FileErrors) {
	parsed := rulefile.Parse(o, sources)
	all := slices.Concat(parsed.Errors, run(parsed, disabled))
	schema.Sort(all)
	if len(parsed.Errors) > 0 {
		return nil, all
	}
	return rules.New(parsed.Set), all
}

// run returns the warnings about rule files, at most schema.MaxProblems per
// file.
func run(parsed *rulefile.Parsed, disabled []string) schema.FileErrors {
	var found schema.FileErrors
	logic := newLogic()
	logic.classes = parsed.Set.Classes.Names()
	var every []*pass
	for _, f := range parsed.Files {
		var inFile schema.FileErrors
		for _, r := range f.Rules {
			p := &pass{logic: logic, set: &parsed.Set, file: f, rule: r, found: &inFile}
			p.disabled = append(p.disabledHere(), disabled...)
			broken := slices.ContainsFunc(f.Problems, func(e schema.FileError) bool { return e.Rule == r.Name })
			for _, c := range Checks {
				if p.check = c.ID; c.rule != nil && (!c.whole || !broken) {
					c.rule(p)
				}
			}
			every = append(every, p)
		}
		if f.Templates != nil {
			p := &pass{logic: logic, set: &parsed.Set, file: f, rule: &rulefile.ParsedRule{Rule: &rules.Rule{}, Node: schema.Resolve(f.Templates)}, found: &inFile}
			p.disabled = append(p.disabledHere(), disabled...)
			for _, c := range Checks {
				if p.check = c.ID; c.templates != nil {
					c.templates(p)
				}
			}
		}
		found = append(found, inFile[:min(len(inFile), schema.MaxProblems)]...)
	}
	if len(parsed.Errors) > 0 {
		return found
	}
	var overall schema.FileErrors
	for _, c := range Checks {
		if c.all == nil {
			continue
		}
		for _, p := range every {
			p.check, p.found = c.ID, &overall
		}
		c.all(every)
	}
	return append(found, overall...)
}

// pass is the input of a check for one rule.
type pass struct {
	*logic
	set  *rules.Set
	file *rulefile.File
	rule *rulefile.ParsedRule

	searched   bool       // withEffect is known
	withEffect []actionAt // see effective

	check    string // the id of the check that runs
	disabled []string
	found    *schema.FileErrors
}

// warn records a warning, unless the check is disabled.
func (p *pass) warn(line, column int, message string) {
	if slices.Contains(p.disabled, p.check) {
		return
	}
	*p.found = append(*p.found, schema.FileError{
		File: p.file.Name, Line: line, Column: column, Severity: schema.SeverityWarning, Rule: p.rule.Name, Check: p.check, Message: message,
	})
}

// warnAt records a warning at the position of a node.
func (p *pass) warnAt(n *yaml.Node, format string, args ...any) {
	p.warn(n.Line, n.Column, fmt.Sprintf(format, args...))
}

// warnIn records a warning at the position of a part of an expression.
func (p *pass) warnIn(e rulefile.Expression, part ast.Node, format string, args ...any) {
	line, column := p.file.Position(e.Node, e.At+startOf(part))
	p.warn(line, column, fmt.Sprintf(format, args...))
}

// disableComment matches the comment that disables checks on a rule.
var disableComment = regexp.MustCompile(`#\s*pipesteward:\s*disable=(\S+)`)

// disabledHere returns the ids of the checks that comments on the rule
// disable. It warns about unknown ids.
func (p *pass) disabledHere() []string {
	var ids []string
	read := func(n *yaml.Node, comment string) {
		for _, match := range disableComment.FindAllStringSubmatch(comment, -1) {
			for id := range strings.SplitSeq(match[1], ",") {
				ids = append(ids, id)
				if _, err := Find(id); err != nil {
					p.check = unknownCheck.ID
					p.warnAt(n, "the comment disables an unknown check: %v", err)
				}
			}
		}
	}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		read(n, n.HeadComment)
		read(n, n.LineComment)
		for _, child := range n.Content {
			walk(child)
		}
	}
	walk(p.rule.Node)
	return ids
}

// condition returns the rule's condition as it was written; a literal true if
// the rule has none.
func (p *pass) condition() ast.Node {
	if p.rule.Condition == nil {
		return &ast.BoolNode{Value: true}
	}
	return p.tree(p.rule.Source)
}

// actionAt is an action with its position in the file.
type actionAt struct {
	rules.Action
	verb, parameters *yaml.Node // parameters is an empty node if there are none
}

// actions yields the rule's actions.
func (p *pass) actions() iter.Seq[actionAt] {
	return func(yield func(actionAt) bool) {
		list := schema.Value(p.rule.Node, "actions")
		if list == nil {
			return
		}
		for i, n := range schema.Resolve(list).Content {
			a := actionAt{p.rule.Actions[i], schema.Resolve(n), &yaml.Node{}}
			if a.verb.Kind == yaml.MappingNode {
				a.verb, a.parameters = a.verb.Content[0], schema.Resolve(a.verb.Content[1])
			}
			if !yield(a) {
				return
			}
		}
	}
}

// effective returns the rule's actions but for those that can change nothing, of
// which the check no-effect warns. It searches once: several checks call it.
func (p *pass) effective() []actionAt {
	if !p.searched {
		p.searched = true
		for a := range p.actions() {
			if !p.hasNoEffect(a) {
				p.withEffect = append(p.withEffect, a)
			}
		}
	}
	return p.withEffect
}

// reads reports whether the rule's condition, or the `jobs` of an action,
// reads one of the fields or calls one of the functions.
func (p *pass) reads(a actionAt, names ...string) bool {
	used := namesIn(p.condition())
	if a.Jobs != nil {
		used = append(used, namesIn(a.Jobs.Node())...)
	}
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(used, name) })
}
