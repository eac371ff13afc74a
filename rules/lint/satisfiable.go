package lint

import (
	"iter"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/pipesteward/pipesteward/rules/expression"
)

// assumption is a condition, or an operand of one, with an assumed truth
// value.
type assumption struct {
	node  ast.Node
	value bool
}

// logic reasons about conditions. It caches their parsed forms, because each
// part is examined many times.
type logic struct {
	trees    map[string]ast.Node
	readings map[assumption]reading
	classes  []string // of the rule files
}

// reading is the parsed form of an assumption.
type reading struct {
	parts      []assumption // operands with their truth values; none: constraint applies
	all        bool         // all parts must apply, not only one
	constraint constraint
	known      bool // the constraint could be determined
}

func newLogic() *logic {
	return &logic{trees: map[string]ast.Node{}, readings: map[assumption]reading{}}
}

// tree parses an expression that was compiled before.
func (l *logic) tree(source string) ast.Node {
	n, ok := l.trees[source]
	if !ok {
		n = &ast.NilNode{} // opaque
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

// satisfiable reports whether some event gives every condition its assumed
// truth value. It returns false only if it is certain. Conditions that it does
// not understand are opaque: it only assumes that equal texts have equal
// values.
func (l *logic) satisfiable(assumptions ...assumption) bool {
	for range l.conjunctions(assumptions...) {
		return true
	}
	return false
}

// conjunctions yields the constraints of each way in which the conditions can
// have their assumed truth values.
func (l *logic) conjunctions(assumptions ...assumption) iter.Seq[conjunction] {
	return func(yield func(conjunction) bool) {
		s := search{logic: l, steps: maxSteps, yield: yield}
		s.explore(slices.Clone(assumptions), nil)
	}
}

// maxSteps limits a search, because each `or` may double the number of ways.
const maxSteps = 2000

// search tries all ways through the `or`s of conditions. It abandons each way
// at the first contradiction.
type search struct {
	*logic
	steps int // remaining
	yield func(conjunction) bool
}

// explore adds the constraints of todo to the conjunction. It reports whether
// the search continues.
func (s *search) explore(todo []assumption, cs conjunction) bool {
	var forks []assumption // tried last, when most constraints are known
	for len(todo) > 0 {
		if s.steps--; s.steps < 0 {
			s.yield(nil) // give up: anything is possible
			return false
		}
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		r := s.read(next)
		switch c := r.constraint; {
		case len(r.parts) == 0 && !r.known:
		case len(r.parts) == 0:
			cs = append(slices.Clip(cs), c)
			if _, field := ofJob(c.about); field == "attempt" {
				cs = append(cs, constraint{about: c.about, truth: true, bound: bound{">=", 1}}) // attempts count from 1
			}
			if cs.contradictory(c, s.classes) {
				return true
			}
		case r.all:
			todo = append(todo, r.parts...)
		default:
			forks = append(forks, next)
		}
	}
	if len(forks) == 0 {
		return s.yield(cs)
	}
	for _, way := range s.read(forks[0]).parts {
		if !s.explore(append(slices.Clone(forks[1:]), way), cs) {
			return false
		}
	}
	return true
}

// split returns the assumptions that are equivalent to this one if all of them
// apply (or one of them, if all is false); none if the condition has no
// operands.
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

// asTrue returns a condition that is true if and only if n has the truth value
// truth.
func asTrue(n ast.Node, truth bool) ast.Node {
	if truth {
		return n
	}
	return &ast.UnaryNode{Operator: "not", Node: n}
}

// literalTexts returns the values of the string literals among nodes.
func literalTexts(nodes []ast.Node) []string {
	var all []string
	for _, n := range nodes {
		if literal, ok := n.(*ast.StringNode); ok {
			all = append(all, literal.Value)
		}
	}
	return all
}

// implies reports whether other is true whenever one is.
func (l *logic) implies(one, other ast.Node) bool {
	return !l.satisfiable(assumption{one, true}, assumption{other, false})
}
