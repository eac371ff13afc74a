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
	Doc: `A rule with ` + "`stop: true`" + ` stands before this one and matches every event that this one
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
				p.warnAt(p.rule.Node, "never has its turn: rule %q in %s stands before it and has `stop: true` and no condition; move this rule before it, or give that one a condition", other.Name, other.File)
			default:
				p.warnAt(p.rule.Node, "never has its turn: rule %q in %s stands before it, has `stop: true` and matches whatever this one matches; move this rule before it, or narrow that one's condition", other.Name, other.File)
			}
		}
	},
}

// stoppers are the rules with `stop` of one kind of events, those that pin a
// value in what is pinned. With thousands of rules not all pairs can be tried.
type stoppers struct {
	*logic
	by     map[pin][]stopper
	others []stopper
}

type stopper struct {
	*rules.Rule
	tree ast.Node
	asks []string
}

// pin is a value that a condition wants.
type pin struct {
	about string
	value any
}

// mostTried bounds how many rules with `stop` one rule is compared with.
const mostTried = 20

// add takes a rule where the fewest are already.
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

// shadowing returns the first rule that matches whatever r matches, or nil. A rule
// that asks GitLab for more may fail where r does not.
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
		asksMore := slices.ContainsFunc(c.asks, func(name string) bool { return !slices.Contains(r.asks, name) })
		if !asksMore && s.implies(r.tree, c.tree) {
			return c.Rule
		}
	}
	return nil
}

// pins gives the values that a condition wants, for each value of the event
// that it pins.
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
