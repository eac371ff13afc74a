package lint

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

var constantCondition = Check{
	ID: "constant-condition",
	Doc: `A condition, or a part of it, is true of every event or of none. The rule then
matches too much, or never.

    if: job.status == "failed" and job.status == "canceled"

A job has one status: write ` + "`job.status in [\"failed\", \"canceled\"]`" + `. To keep a rule that never matches
on purpose, give it ` + "`dry_run: true`" + ` instead of ` + "`if: false`" + `.`,
	rule: func(p *pass) {
		for _, e := range p.rule.Expressions {
			tree := p.tree(e.Source)
			c := constancy{p, e}
			if e.Purpose.Want == expression.WantBool {
				c.condition(tree)
			}
			if slices.Contains(namesIn(tree), "fromJSON") {
				continue // the fields of its result are not fields of the event
			}
			ast.Find(tree, func(n ast.Node) bool {
				c.node(n)
				return false
			})
		}
	},
}

// constancy finds constant conditions within an expression.
type constancy struct {
	*pass
	in rulefile.Expression
}

func (c constancy) warn(part ast.Node, format string, args ...any) {
	c.warnIn(c.in, part, format, args...)
}

// node checks the conditions within a node.
func (c constancy) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.PredicateNode:
		c.condition(n.Node)
	case *ast.ConditionalNode:
		c.condition(n.Cond)
	case *ast.VariableDeclaratorNode:
		c.condition(n.Expr)
	}
}

// condition warns about constant parts of a condition.
func (c constancy) condition(n ast.Node) {
	if literal, ok := n.(*ast.BoolNode); ok && literal.Value {
		return // a literal true is intended
	}
	switch {
	case !c.satisfiable(assumption{n, true}):
		c.never(n)
	case !c.satisfiable(assumption{n, false}):
		c.always(n)
	default:
		_, parts := chain(n)
		for _, part := range parts {
			c.condition(part)
		}
	}
}

// never warns about a condition that can't be true, at the part that causes
// it.
func (c constancy) never(n ast.Node) {
	operator, parts := chain(n)
	switch operator {
	case "not":
		c.always(parts[0])
	case "or":
		for _, part := range parts {
			c.never(part)
		}
	case "and":
		if i := slices.IndexFunc(parts, func(part ast.Node) bool { return !c.satisfiable(assumption{part, true}) }); i >= 0 {
			c.never(parts[i])
			return
		}
		if one, other := c.clash(parts, true); other != nil {
			c.warn(other, "this can never be true together with %s%s", one, c.remedy(one, other, true))
			return
		}
		c.warn(n, "this condition can never be true: its parts exclude each other")
	default:
		c.warn(n, "this can never be true%s", whyConstant(n))
	}
}

// always warns about a condition that can't be false, at the part that causes
// it.
func (c constancy) always(n ast.Node) {
	operator, parts := chain(n)
	switch operator {
	case "not":
		c.never(parts[0])
	case "and":
		for _, part := range parts {
			c.always(part)
		}
	case "or":
		if i := slices.IndexFunc(parts, func(part ast.Node) bool { return !c.satisfiable(assumption{part, false}) }); i >= 0 {
			c.always(parts[i])
			return
		}
		if one, other := c.clash(parts, false); other != nil {
			c.warn(other, "either this or %s is always true%s", one, c.remedy(one, other, false))
			return
		}
		c.warn(n, "this condition is always true: when one of its parts is not, another is")
	default:
		c.warn(n, "this is always true%s", whyConstant(n))
	}
}

// clash returns the first two parts that can't both have the given truth
// value.
func (l *logic) clash(parts []ast.Node, truth bool) (one, other ast.Node) {
	for i, other := range parts {
		for _, one := range parts[:i] {
			if !l.satisfiable(assumption{one, truth}, assumption{other, truth}) {
				return one, other
			}
		}
	}
	return nil, nil
}

// whyConstant returns the reason why a condition without operands is constant,
// for the message; "" if it is obvious.
func whyConstant(n ast.Node) string {
	if literal, ok := n.(*ast.BoolNode); ok && !literal.Value {
		return ": leave the rule out, or give it `dry_run: true` to see what it would do"
	}
	of, _ := constraintOf(assumption{n, true})
	_, field := ofJob(of.about)
	switch {
	case field == "attempt":
		return ": attempts count from 1"
	case of.values != nil && len(of.values) == 0:
		return ": the list is empty"
	}
	return ""
}

// remedy returns what to write instead of two conditions that can't both have
// the given truth value; "" if no suggestion is possible.
func (l *logic) remedy(one, other ast.Node, truth bool) string {
	if truth && isFailedWith(one) && isFailedWith(other) {
		arguments := slices.Concat(one.(*ast.CallNode).Arguments, other.(*ast.CallNode).Arguments)
		return ": for either, write " + (&ast.CallNode{Callee: &ast.IdentifierNode{Value: "failed_with"}, Arguments: arguments}).String()
	}
	of, values := l.pinnedBy(assumption{one, truth})
	alsoOf, others := l.pinnedBy(assumption{other, truth})
	if _, isText := first(values).(string); isText && of == alsoOf {
		list := quoted(slices.Concat(values, others))
		if truth {
			return fmt.Sprintf(": for either, write %s in %s", of, list)
		}
		return fmt.Sprintf(": for neither, write %s not in %s", of, list)
	}
	if !truth {
		return ": write and between them"
	}
	looked := slices.Concat(namesIn(one), namesIn(other))
	byReason := slices.Contains(looked, "failure_reason") || slices.Contains(looked, "failed_with")
	byClass := slices.Contains(looked, "failure_class")
	switch {
	case byReason && byClass:
		return ": the reason determines the class, and this is not its class"
	case byReason || byClass:
		return ": a job has a failure reason and class only when its status is \"failed\""
	}
	return ""
}

// pinnedBy returns the value of the event that an assumption pins, and the
// values that it allows. It returns "" if the assumption pins more than one
// value of the event.
func (l *logic) pinnedBy(s assumption) (about string, values []any) {
	for cs := range l.conjunctions(s) {
		for _, c := range cs {
			switch {
			case c.values == nil || !c.truth:
			case about != "":
				return "", nil
			default:
				about, values = c.about, c.values
			}
		}
		break
	}
	return about, values
}
