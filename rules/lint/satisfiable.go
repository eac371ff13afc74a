package lint

import (
	"iter"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/pipesteward/pipesteward/rules/expression"
)

// side is a condition, or a part of one, that is taken to be true or false.
type assumption struct {
	node  ast.Node
	value bool
}

// logic reasons about conditions. It remembers what it read of them, because
// each part is looked at many times.
type logic struct {
	trees    map[string]ast.Node
	readings map[assumption]reading
	classes  []string // of the rule files
}

// reading is what a part of a condition says.
type reading struct {
	parts      []assumption // that it is made of; none: it is a claim
	all        bool         // all parts come out as given, not only one
	constraint constraint
	known      bool // the claim says something
}

func newLogic() *logic {
	return &logic{trees: map[string]ast.Node{}, readings: map[assumption]reading{}}
}

// tree parses an expression that was compiled before.
func (l *logic) tree(source string) ast.Node {
	n, ok := l.trees[source]
	if !ok {
		n = &ast.NilNode{} // says nothing
		if tree, err := parser.Parse(source); err == nil {
			n = tree.Node
		}
		l.trees[source] = n
	}
	return n
}

func (l *logic) read(s assumption) reading {
	r, ok := l.readings[s]
	if !ok {
		r.parts, r.all = s.split()
		if len(r.parts) == 0 {
			r.constraint, r.known = constraintOf(s)
		}
		l.readings[s] = r
	}
	return r
}

// possible reports whether conditions can come out as given, all on one event.
// It says no only when it is sure: of what it doesn't understand it knows no
// more than that the same text comes out the same.
func (l *logic) satisfiable(sides ...assumption) bool {
	for range l.conjunctions(sides...) {
		return true
	}
	return false
}

// worlds gives what is claimed in each of the ways in which conditions can
// come out as given.
func (l *logic) conjunctions(sides ...assumption) iter.Seq[conjunction] {
	return func(yield func(conjunction) bool) {
		s := search{logic: l, steps: maxSteps, yield: yield}
		s.explore(slices.Clone(sides), nil)
	}
}

// maxSteps bounds a search: the ways may double with each `or`.
const maxSteps = 2000

// search tries all ways through the `or`s of conditions, and leaves each as
// soon as it contradicts itself.
type search struct {
	*logic
	steps int // that are left
	yield func(conjunction) bool
}

// explore adds to the world what todo claims. It reports whether the search
// goes on.
func (s *search) explore(todo []assumption, w conjunction) bool {
	var forks []assumption // looked at last, when most is known
	for len(todo) > 0 {
		if s.steps--; s.steps < 0 {
			s.yield(nil) // anything may be
			return false
		}
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		r := s.read(next)
		switch c := r.constraint; {
		case len(r.parts) == 0 && !r.known:
		case len(r.parts) == 0:
			w = append(slices.Clip(w), c)
			if _, field := ofJob(c.about); field == "attempt" {
				w = append(w, constraint{about: c.about, holds: true, bound: bound{">=", 1}}) // they count from 1
			}
			if w.contradictory(c, s.classes) {
				return true
			}
		case r.all:
			todo = append(todo, r.parts...)
		default:
			forks = append(forks, next)
		}
	}
	if len(forks) == 0 {
		return s.yield(w)
	}
	for _, way := range s.read(forks[0]).parts {
		if !s.explore(append(slices.Clone(forks[1:]), way), w) {
			return false
		}
	}
	return true
}

// split gives the parts that must all come out as given, or one of which must;
// none for what has no parts.
func (s assumption) split() (parts []assumption, all bool) {
	switch n := s.node.(type) {
	case *ast.UnaryNode:
		if expression.Operators[n.Operator] == "not" {
			return []assumption{{n.Node, !s.value}}, true
		}
	case *ast.BinaryNode:
		switch expression.Operators[n.Operator] {
		case "and":
			return []assumption{{n.Left, s.value}, {n.Right, s.value}}, s.value
		case "or":
			return []assumption{{n.Left, s.value}, {n.Right, s.value}}, !s.value
		}
		if n.Operator == "!=" {
			return []assumption{{&ast.BinaryNode{Operator: "==", Left: n.Left, Right: n.Right}, !s.value}}, true
		}
		if literal, ok := n.Right.(*ast.BoolNode); ok && n.Operator == "==" {
			return []assumption{{n.Left, s.value == literal.Value}}, true
		}
	case *ast.ConditionalNode:
		return []assumption{
			{&ast.BinaryNode{Operator: "and", Left: n.Cond, Right: asTrue(n.Exp1, s.value)}, true},
			{&ast.BinaryNode{Operator: "and", Left: asTrue(n.Cond, false), Right: asTrue(n.Exp2, s.value)}, true},
		}, false
	case *ast.CallNode:
		if n.Callee.String() == "failed_with" {
			return []assumption{{expression.FailedWith(literalTexts(n.Arguments)...), s.value}}, true
		}
	}
	return nil, false
}

// asTrue gives a condition that is true when n comes out as given.
func asTrue(n ast.Node, holds bool) ast.Node {
	if holds {
		return n
	}
	return &ast.UnaryNode{Operator: "not", Node: n}
}

// literalTexts gives the texts in quotes among nodes.
func literalTexts(nodes []ast.Node) []string {
	var all []string
	for _, n := range nodes {
		if literal, ok := n.(*ast.StringNode); ok {
			all = append(all, literal.Value)
		}
	}
	return all
}

// implies reports whether wherever one condition is true the other is, too.
func (l *logic) implies(one, other ast.Node) bool {
	return !l.satisfiable(assumption{one, true}, assumption{other, false})
}
