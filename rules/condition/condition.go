// Package condition reads what a condition says without running it: which texts it
// compares with, and whether it may be true for the events of a project.
package condition

import (
	"regexp"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// MayHold reports whether a condition may be true for an event of the project, as far as it
// reads the project's path, namespace or name: the result is never too narrow.
func MayHold(n ast.Node, p event.Project) bool { return ofProject(n, p) != never }

// truth is what is known of a condition when only the project is.
type truth int

const (
	perhaps truth = iota
	surely
	never
)

func truthOf(is bool) truth {
	if is {
		return surely
	}
	return never
}

// ofProject returns the truth of a condition for the events of a project.
func ofProject(n ast.Node, p event.Project) truth {
	switch n := n.(type) {
	case *ast.BoolNode:
		return truthOf(n.Value)
	case *ast.UnaryNode:
		if expression.Operators[n.Operator] == "not" {
			return not(ofProject(n.Node, p))
		}
	case *ast.BinaryNode:
		switch expression.Operators[n.Operator] {
		case "and":
			return not(either(not(ofProject(n.Left, p)), not(ofProject(n.Right, p))))
		case "or":
			return either(ofProject(n.Left, p), ofProject(n.Right, p))
		}
		return compareProject(n, p)
	case *ast.CallNode:
		if n.Callee.String() == "glob" {
			text, known := projectText(n.Arguments[0], p)
			if pattern := expression.Argument(n, 1); known && pattern != nil {
				return truthOf(doublestar.MatchUnvalidated(pattern.Value, text))
			}
		}
	}
	return perhaps
}

func not(t truth) truth {
	switch t {
	case surely:
		return never
	case never:
		return surely
	case perhaps:
	}
	return perhaps
}

func either(a, b truth) truth {
	switch {
	case a == surely || b == surely:
		return surely
	case a == never && b == never:
		return never
	}
	return perhaps
}

// compareProject returns the truth of a comparison of a text of the project with
// literals.
func compareProject(n *ast.BinaryNode, p event.Project) truth {
	text, known := projectText(n.Left, p)
	values := Literals(n.Right)
	if !known && n.Operator != "in" { // the literal may come first, where the order is the same
		if text, known = projectText(n.Right, p); known && n.Operator != "==" && n.Operator != "!=" {
			return perhaps
		}
		values = Literals(n.Left)
	}
	if !known || values == nil {
		return perhaps
	}
	switch n.Operator {
	case "==", "in":
		return truthOf(values[text])
	case "!=":
		return truthOf(!values[text])
	}
	for value := range values { // the one that there is
		switch n.Operator {
		case "startsWith":
			return truthOf(strings.HasPrefix(text, value))
		case "endsWith":
			return truthOf(strings.HasSuffix(text, value))
		case "contains":
			return truthOf(strings.Contains(text, value))
		case "matches":
			if expression, err := regexp.Compile(value); err == nil {
				return truthOf(expression.MatchString(text))
			}
		}
	}
	return perhaps
}

// projectText returns the text of the project that a node reads.
func projectText(n ast.Node, p event.Project) (text string, known bool) {
	switch expression.FieldOf(n) {
	case "project.path":
		return p.Path, true
	case "project.namespace":
		return p.Namespace, true
	case "project.name":
		return p.Name, p.Name != ""
	}
	return "", false
}

// Literals returns the texts of a literal or a list of literals; nil for any
// other node. expr's optimizer replaces lists by constant sets.
func Literals(n ast.Node) map[string]bool {
	switch n := n.(type) {
	case *ast.StringNode:
		return map[string]bool{n.Value: true}
	case *ast.ConstantNode:
		if set, ok := n.Value.(map[string]struct{}); ok {
			all := map[string]bool{}
			for s := range set {
				all[s] = true
			}
			return all
		}
	case *ast.ArrayNode:
		all := map[string]bool{}
		for _, item := range n.Nodes {
			s, ok := item.(*ast.StringNode)
			if !ok {
				return nil
			}
			all[s.Value] = true
		}
		return all
	}
	return nil
}
