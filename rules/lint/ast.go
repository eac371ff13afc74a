package lint

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/expression"
)

// chain returns the operands of a condition's outermost `and`, `or` or `not`,
// with nested operators of the same kind flattened; none for any other
// condition.
func chain(n ast.Node) (operator string, parts []ast.Node) {
	switch n := n.(type) {
	case *ast.UnaryNode:
		if operator = expression.Operators[n.Operator]; operator != "" {
			parts = []ast.Node{n.Node}
		}
	case *ast.BinaryNode:
		if operator = expression.Operators[n.Operator]; operator == "" {
			return "", nil
		}
		for _, part := range []ast.Node{n.Left, n.Right} {
			if inner, more := chain(part); inner == operator {
				parts = append(parts, more...)
				continue
			}
			parts = append(parts, part)
		}
	}
	return operator, parts
}

func isFailedWith(n ast.Node) bool {
	call, ok := n.(*ast.CallNode)
	return ok && call.Callee.String() == "failed_with"
}

// quoted formats a list of texts as a list literal of expressions.
func quoted(values []any) string {
	items := make([]string, len(values))
	for i, v := range values {
		items[i] = fmt.Sprintf("%q", v)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// first returns the first of the values; nil if there is none.
func first(values []any) any {
	if len(values) == 0 {
		return nil
	}
	return values[0]
}

// startOf returns the position of the first character of an expression. The
// position of an operator node is that of the operator, not of its left
// operand.
func startOf(n ast.Node) int {
	start := n.Location().From
	ast.Find(n, func(part ast.Node) bool {
		start = min(start, part.Location().From)
		return false
	})
	return start
}

// namesIn returns the names of the fields and functions in an expression.
func namesIn(n ast.Node) []string {
	var names []string
	ast.Find(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallNode:
			names = append(names, n.Callee.String())
		case *ast.BuiltinNode:
			names = append(names, n.Name)
		case *ast.MemberNode:
			if name, ok := n.Property.(*ast.StringNode); ok {
				names = append(names, name.Value)
			}
		}
		return false
	})
	return names
}
