package rules

import (
	"regexp"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Concerns reports whether the rule may match an event of the project: its condition,
// as far as it reads the project's path, namespace or name, and its schedule do not
// exclude the project. It evaluates nothing else, so the result is never too narrow.
func (r *Rule) Concerns(p event.Project) bool {
	if r.On == event.KindSchedule && !r.Schedule.selects(p) {
		return false
	}
	return r.Condition == nil || ofProject(r.Condition.Node(), p) != never
}

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
	values := literals(n.Right)
	if !known && n.Operator != "in" { // the literal may come first, where the order is the same
		if text, known = projectText(n.Right, p); known && n.Operator != "==" && n.Operator != "!=" {
			return perhaps
		}
		values = literals(n.Left)
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
