package lint

import (
	"maps"
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/expression"
)

var shadowedRule = Check{
	ID: "shadowed-rule",
	Doc: `A rule with ` + "`stop: true`" + ` precedes this rule and matches every event that this rule
matches, so this one is never evaluated. Move it up, or narrow the other's condition.`,
	all: func(every []*pass) {
		before := map[string]*stoppers{}
		for _, p := range every {
			r := p.rule.Rule
			if before[r.On] == nil {
				before[r.On] = &stoppers{logic: p.logic, by: map[pin][]stopper{}}
			}
			tree := p.condition()
			if !p.satisfiable(assumption{tree, true}) {
				continue // constant-condition reports it
			}
			s := stopper{r, tree, expression.Requests(tree, p.classes)}
			switch other := before[r.On].shadowing(s); {
			case other == nil && r.Stop:
				before[r.On].add(s)
			case other == nil:
			case other.Condition == nil:
				p.warnAt(p.rule.Node, "is shadowed and never matches: rule %q in %s precedes it and has `stop: true` and no condition; move this rule before it, or give that rule a condition", other.Name, other.File)
			default:
				p.warnAt(p.rule.Node, "is shadowed and never matches: rule %q in %s precedes it, has `stop: true` and matches every event that this rule matches; move this rule before it, or narrow that rule's condition", other.Name, other.File)
			}
		}
	},
}

// stoppers are the rules with `stop` for one kind of events, indexed by the
// values that they pin, because comparing all pairs of thousands of rules
// takes too long.
type stoppers struct {
	*logic
	by     map[pin][]stopper
	others []stopper
}

type stopper struct {
	*rules.Rule
	tree     ast.Node
	requests []string
}

// pin is a value that a condition requires.
type pin struct {
	about string
	value any
}

// mostTried is the maximum number of rules with `stop` that one rule is
// compared with.
const mostTried = 20

// add adds a rule to the shortest list among those of its pins.
func (s *stoppers) add(r stopper) {
	var best []pin
	pins := s.pins(r.tree)
	for _, about := range slices.Sorted(maps.Keys(pins)) {
		if all := pins[about]; best == nil || s.load(all) < s.load(best) {
			best = all
		}
	}
	if best == nil {
		s.others = append(s.others, r)
	}
	for _, p := range best {
		s.by[p] = append(s.by[p], r)
	}
}

func (s *stoppers) load(pins []pin) int {
	n := 0
	for _, p := range pins {
		n += 1 + len(s.by[p])
	}
	return n
}

// shadowing returns the first rule that matches every event that r matches, or
// nil. A rule that sends more requests to GitLab than r is excluded, because
// it may fail where r does not.
func (s *stoppers) shadowing(r stopper) *rules.Rule {
	if len(s.others)+len(s.by) == 0 {
		return nil
	}
	candidates := s.others
	pins := s.pins(r.tree)
	for _, about := range slices.Sorted(maps.Keys(pins)) {
		candidates = append(slices.Clip(candidates), s.by[pins[about][0]]...)
	}
	for _, c := range candidates[:min(len(candidates), mostTried)] {
		requestsMore := slices.ContainsFunc(c.requests, func(name string) bool { return !slices.Contains(r.requests, name) })
		if !requestsMore && s.implies(r.tree, c.tree) {
			return c.Rule
		}
	}
	return nil
}

// pins returns the values that a condition requires, by the value of the event
// that they pin.
func (l *logic) pins(n ast.Node) map[string][]pin {
	var pins map[string][]pin
	for w := range l.conjunctions(assumption{n, true}) {
		here := map[string][]pin{}
		for _, c := range w {
			if values, pinned := w.values(c.about); pinned && c.about != aboutNothing && here[c.about] == nil {
				for _, v := range values {
					here[c.about] = append(here[c.about], pin{c.about, v})
				}
			}
		}
		if pins == nil {
			pins = here
			continue
		}
		for about, wanted := range pins {
			if here[about] == nil {
				delete(pins, about)
				continue
			}
			pins[about] = append(wanted, here[about]...)
		}
	}
	return pins
}
