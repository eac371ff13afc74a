// Package reads lists the fields of the event that an expression reads.
package reads

import (
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Fields returns the paths of what an expression reads, sorted: "job.runner.tags", or
// "pipeline" if it reads the pipeline as a whole. The elements of a list have [] in their
// path, like "pipeline.jobs[].name". What functions return has no path.
func Fields(n ast.Node) []string {
	r := reader{paths: map[string]bool{}, variables: map[string]string{}}
	r.read(n)
	return slices.Sorted(maps.Keys(r.paths))
}

// Has reports whether one of the paths of Fields reads a field: the field itself, a part
// of it, or a value that contains it.
func Has(paths []string, field string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		part, isPart := strings.CutPrefix(path, field)
		return isPart && (part == "" || part[0] == '.' || part[0] == '[') || strings.HasPrefix(field, path+".")
	})
}

// reader walks through an expression.
type reader struct {
	paths     map[string]bool
	element   string            // the path of what # is in the predicate; "": it has none
	variables map[string]string // the paths of what let names
}

// read adds the path of a value that the expression uses, and the paths in it.
func (r *reader) read(nodes ...ast.Node) {
	for _, n := range nodes {
		if path := r.path(n); path != "" {
			r.paths[path] = true
		}
	}
}

// path returns the path of a node's value; "" if it has none. It adds what is read to get
// the value.
func (r *reader) path(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if path, ok := r.variables[n.Value]; ok {
			return path
		}
		return n.Value
	case *ast.PointerNode:
		if n.Name == "" {
			return r.element
		}
	case *ast.ChainNode:
		return r.path(n.Node)
	case *ast.PredicateNode:
		return r.path(n.Node)
	case *ast.MemberNode:
		return r.member(n)
	case *ast.SliceNode:
		r.read(n.From, n.To)
		return r.path(n.Node)
	case *ast.CallNode:
		return r.call(n)
	case *ast.BuiltinNode:
		return r.builtin(n)
	case *ast.VariableDeclaratorNode:
		r.variables[n.Name] = r.path(n.Value)
		return r.path(n.Expr)
	case *ast.UnaryNode:
		r.read(n.Node)
	case *ast.BinaryNode:
		r.read(n.Left, n.Right)
	case *ast.ConditionalNode:
		r.read(n.Cond, n.Exp1, n.Exp2)
	case *ast.SequenceNode:
		r.read(n.Nodes...)
	case *ast.ArrayNode:
		r.read(n.Nodes...)
	case *ast.MapNode:
		r.read(n.Pairs...)
	case *ast.PairNode:
		r.read(n.Key, n.Value)
	}
	return ""
}

func (r *reader) member(n *ast.MemberNode) string {
	base := r.path(n.Node)
	property, named := n.Property.(*ast.StringNode)
	if !named {
		r.read(n.Property)
	}
	switch {
	case base == "":
		return ""
	case named:
		return base + "." + property.Value
	}
	return base + "[]"
}

// call returns the path of what a call returns. Only Spend has one, the call by which
// compiled expressions count their work: it returns its first argument.
func (r *reader) call(n *ast.CallNode) string {
	function, isFunction := n.Callee.(*ast.IdentifierNode)
	if isFunction && function.Value == "Spend" && len(n.Arguments) > 0 {
		return r.path(n.Arguments[0])
	}
	if !isFunction {
		r.read(n.Callee) // a method
	}
	r.read(n.Arguments...)
	return ""
}

// Builtins that return elements of their first argument: a list of them, or one.
var (
	ofList    = []string{"filter", "sort", "sortBy", "reverse", "take", "uniq"}
	ofElement = []string{"find", "findLast", "first", "last"}
)

func (r *reader) builtin(n *ast.BuiltinNode) string {
	if len(n.Arguments) == 0 {
		return ""
	}
	list := r.path(n.Arguments[0])
	if list != "" {
		r.paths[list] = true
	}
	outer := r.element
	if r.element = ""; list != "" {
		r.element = list + "[]"
	}
	r.read(n.Arguments[1:]...)
	if n.Map != nil {
		r.read(n.Map)
	}
	r.element = outer
	switch {
	case list == "" || n.Map != nil:
		return ""
	case slices.Contains(ofList, n.Name):
		return list
	case slices.Contains(ofElement, n.Name):
		return list + "[]"
	}
	return ""
}
