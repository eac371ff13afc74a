package rules

import (
	"maps"

	"github.com/expr-lang/expr/ast"
)

// statusSet holds the statuses at which a condition can be true; nil means
// that any may do.
type statusSet map[string]bool

func (s statusSet) and(t statusSet) statusSet {
	if s == nil {
		return t
	}
	if t == nil {
		return s
	}
	both := statusSet{}
	for status := range s {
		if t[status] {
			both[status] = true
		}
	}
	return both
}

func (s statusSet) or(t statusSet) statusSet {
	if s == nil || t == nil {
		return nil
	}
	either := maps.Clone(s)
	maps.Copy(either, t)
	return either
}

// pinned reads off a condition at which statuses of its subject (job or
// pipeline) it can be true. What it does not understand may be true at any,
// so the result is never too small.
func pinned(n ast.Node, subject string) statusSet {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return nil
	}
	switch b.Operator {
	case "and", "&&":
		return pinned(b.Left, subject).and(pinned(b.Right, subject))
	case "or", "||":
		return pinned(b.Left, subject).or(pinned(b.Right, subject))
	case "==", "in":
		if s := compared(b.Left, b.Right, subject); s != nil || b.Operator == "in" {
			return s
		}
		return compared(b.Right, b.Left, subject)
	}
	return nil
}

// compared gives the statuses that a comparison of a field of the subject
// with literal texts allows. A failure reason or class is empty unless the
// job failed.
func compared(field, with ast.Node, subject string) statusSet {
	member, ok := field.(*ast.MemberNode)
	if !ok {
		return nil
	}
	base, ok := member.Node.(*ast.IdentifierNode)
	if !ok || base.Value != subject {
		return nil
	}
	property, ok := member.Property.(*ast.StringNode)
	if !ok {
		return nil
	}
	values := literals(with)
	switch {
	case values == nil:
		return nil
	case property.Value == "status":
		return values
	case (property.Value == "failure_reason" || property.Value == "failure_class") && !values[""]:
		return statusSet{"failed": true}
	}
	return nil
}

// literals gives the texts of a literal or a list of literals; nil for
// anything else. The optimizer turns lists into constant sets.
func literals(n ast.Node) statusSet {
	switch n := n.(type) {
	case *ast.StringNode:
		return statusSet{n.Value: true}
	case *ast.ConstantNode:
		if set, ok := n.Value.(map[string]struct{}); ok {
			all := statusSet{}
			for s := range set {
				all[s] = true
			}
			return all
		}
	case *ast.ArrayNode:
		all := statusSet{}
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
