package lint

import (
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/failureclass"
)

var hopelessClass = Check{
	ID: "hopeless-class",
	Doc: `A rule retries jobs of a failure class that a retry does not help, such as a compile
error: the retry fails like the job before, and occupies a runner. The table of the pack
in rules/README.md says which classes these are; a class of your own is one by ` + "`retry: false`" + `.

    if: job.failure_class in ["disk-full", "compile-error"]

Leave the class out of the condition, or notify somebody instead.`,
	rule: func(p *pass) {
		if !slices.ContainsFunc(p.effective(), func(a actionAt) bool { return a.Verb == event.VerbRetry }) {
			return
		}
		for _, e := range p.rule.Expressions {
			if e.Source == p.rule.Source {
				hopelessClasses(p, p.tree(e.Source), func(n *ast.StringNode) {
					p.warnIn(e, n, "a retry does not help a job of class %q: leave it out, or notify somebody instead", n.Value)
				})
			}
		}
	},
}

// hopelessClasses calls found with each literal of a condition that selects the jobs of a
// class that a retry does not help: one that job.failure_class is to be equal to, or one of.
func hopelessClasses(p *pass, condition ast.Node, found func(*ast.StringNode)) {
	_, parts := chain(condition)
	negation, isNegation := condition.(*ast.UnaryNode)
	switch {
	case isNegation && expression.Operators[negation.Operator] == "not":
		return
	case len(parts) > 0:
		for _, part := range parts {
			hopelessClasses(p, part, found)
		}
		return
	}
	n, ok := condition.(*ast.BinaryNode)
	if !ok || n.Operator != "==" && n.Operator != "in" {
		return
	}
	field, with := n.Left, []ast.Node{n.Right}
	if array, ok := n.Right.(*ast.ArrayNode); ok {
		with = array.Nodes
	} else if _, ok := n.Left.(*ast.StringNode); ok {
		field, with = n.Right, []ast.Node{n.Left}
	}
	if expression.FieldOf(field) != expression.ClassField {
		return
	}
	for _, literal := range with {
		text, ok := literal.(*ast.StringNode)
		if ok && slices.ContainsFunc(p.set.Classes, func(c failureclass.Class) bool { return c.Hopeless && c.Name == text.Value }) {
			found(text)
		}
	}
}
