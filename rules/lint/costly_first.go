package lint

import (
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

var costlyFirst = Check{
	ID: "costly-first",
	Doc: `A function that sends a request to GitLab precedes a condition that costs
nothing. Conditions are evaluated from the left and no further than needed, so the
request is made even for events that the cheap condition excludes.

    if: log() contains "No space left" and job.stage == "test"

Put the cheap condition first.`,
	rule: func(p *pass) {
		for _, e := range p.rule.Expressions {
			costlyFirstIn(p, e)
		}
	},
}

// costlyFirstIn warns about requests to GitLab before conditions that cost
// nothing and could make the request unnecessary.
func costlyFirstIn(p *pass, e rulefile.Expression) {
	tree := p.tree(e.Source)
	var chains []ast.Node
	within := map[ast.Node]bool{} // operators of a longer chain
	ast.Find(tree, func(n ast.Node) bool {
		if b, ok := n.(*ast.BinaryNode); ok && expression.Operators[b.Operator] != "" {
			chains = append(chains, n)
			for _, part := range []ast.Node{b.Left, b.Right} {
				if inner, ok := part.(*ast.BinaryNode); ok && expression.Operators[inner.Operator] == expression.Operators[b.Operator] {
					within[part] = true
				}
			}
		}
		return false
	})
	for _, n := range chains {
		if !within[n] {
			costlyFirstOf(p, e, n, tree)
		}
	}
}

func costlyFirstOf(p *pass, e rulefile.Expression, n, tree ast.Node) {
	operator, parts := chain(n)
	isRequest := func(part ast.Node) bool { return len(expression.Requests(part, p.classes)) > 0 }
	first := slices.IndexFunc(parts, isRequest)
	if first < 0 || !slices.ContainsFunc(parts[first:], func(part ast.Node) bool { return !isRequest(part) }) {
		return
	}
	late, names := parts[first], expression.Requests(parts[first], p.classes)
	if before := p.requestedBefore(tree, startOf(late)); !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(before, name) }) {
		return // the response is already there
	}
	slices.SortStableFunc(parts, func(one, other ast.Node) int {
		return len(expression.Requests(one, p.classes)) - len(expression.Requests(other, p.classes))
	})
	better := parts[0]
	for _, part := range parts[1:] {
		better = &ast.BinaryNode{Operator: operator, Left: better, Right: part}
	}
	enough := map[string]string{"and": "false", "or": "true"}[operator]
	request := names[0] + "()"
	if len(expression.Requests(late, nil)) == 0 {
		request = "for job.failure_class, which may be one of `classes`, the log"
	}
	p.warnIn(e, late, "%s is requested from GitLab even if the rest is already %s: write %s", request, enough, better)
}

// requestedBefore returns the requests to GitLab in the part of an expression
// before a character.
func (p *pass) requestedBefore(tree ast.Node, at int) []string {
	var names []string
	ast.Find(tree, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.CallNode, *ast.MemberNode:
			if startOf(n) < at {
				names = append(names, expression.Requests(n, p.classes)...)
			}
		}
		return false
	})
	return names
}
