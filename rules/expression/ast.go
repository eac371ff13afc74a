package expression

import (
	"reflect"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/event"
)

// ReadsAttempt reports whether an expression reads the attempt of any job.
func ReadsAttempt(program *vm.Program) bool {
	if program == nil {
		return false
	}
	return ast.Find(program.Node(), func(n ast.Node) bool {
		member, ok := n.(*ast.MemberNode)
		if !ok {
			return false
		}
		property, ok := member.Property.(*ast.StringNode)
		return ok && property.Value == "attempt"
	}) != nil
}

// FieldOf returns the name of the field that a node reads, like "job.status"; "" if
// it reads no field of a part of the event.
func FieldOf(n ast.Node) string {
	if isClassCall(n) {
		return ClassField
	}
	member, ok := n.(*ast.MemberNode)
	if !ok {
		return ""
	}
	base, ok := member.Node.(*ast.IdentifierNode)
	if !ok {
		return ""
	}
	property, ok := member.Property.(*ast.StringNode)
	if !ok {
		return ""
	}
	return base.Value + "." + property.Value
}

// Operators maps the spellings of the logical operators to the canonical one.
var Operators = map[string]string{"and": "and", "&&": "and", "or": "or", "||": "or", "not": "not", "!": "not"}

// Requests returns the names of the functions whose results an expression
// requests from GitLab. If there are classes of rule files, job.failure_class
// requests the log.
func Requests(n ast.Node, classes []string) []string {
	var names []string
	ast.Find(n, func(n ast.Node) bool {
		request := ""
		if call, ok := n.(*ast.CallNode); ok {
			request = requestOf(call.Callee.String())
		} else if len(classes) > 0 && FieldOf(n) == ClassField {
			request = "log"
		}
		if request != "" && !slices.Contains(names, request) {
			names = append(names, request)
		}
		return false
	})
	return names
}

// secretive reports whether an expression may contain secrets: it reads a log,
// the pipeline's variables, or the pipeline as a whole.
func secretive(n ast.Node) bool {
	whole := 0 // references to the pipeline as a whole
	logs := false
	ast.Find(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallNode:
			logs = logs || requestOf(n.Callee.String()) == "log"
		case *ast.IdentifierNode:
			if n.Value == "pipeline" {
				whole++
			}
		case *ast.MemberNode:
			property, ok := n.Property.(*ast.StringNode)
			if base, is := n.Node.(*ast.IdentifierNode); is && base.Value == "pipeline" && ok && property.Value != "variables" {
				whole--
			}
		}
		return false
	})
	return logs || whole > 0
}

// EventNames are the names of the parts of the event in expressions.
var EventNames = func() []string {
	var names []string
	for field := range reflect.TypeFor[event.Event]().Fields() {
		names = append(names, field.Tag.Get("expr"))
	}
	return names
}()

// Rooted reports whether a node reads a value of the event, as job.runner.tags
// does.
func Rooted(n ast.Node) bool {
	for {
		switch m := n.(type) {
		case *ast.MemberNode:
			n = m.Node
		case *ast.IdentifierNode:
			return slices.Contains(EventNames, m.Value)
		case *ast.CallNode:
			return requestOf(m.Callee.String()) != ""
		default:
			return false
		}
	}
}

// classCall is the field of environment that is called in place of
// job.failure_class if the rule files define classes.
const classCall = "FailureClass"

func isClassCall(n ast.Node) bool {
	call, ok := n.(*ast.CallNode)
	return ok && call.Callee.String() == classCall
}

// Argument returns the i-th argument of a call if it is a string literal, and
// nil otherwise.
func Argument(n *ast.CallNode, i int) *ast.StringNode {
	if i >= len(n.Arguments) {
		return nil
	}
	literal, _ := n.Arguments[i].(*ast.StringNode)
	return literal
}

// FailedWith returns the condition that failed_with(reasons…) expands to.
func FailedWith(reasons ...string) ast.Node {
	return &ast.BinaryNode{Operator: "and", Left: JobFieldIn("status", "failed"), Right: JobFieldIn("failure_reason", event.WithAliases(reasons...)...)}
}

// JobFieldIn returns the condition that a field of the event's job has one of
// the values.
func JobFieldIn(field string, values ...string) ast.Node { return FieldIn("job", field, values...) }

// FieldIn returns the condition that a field of a part of the event has one of
// the values.
func FieldIn(part, field string, values ...string) ast.Node {
	list := &ast.ArrayNode{}
	for _, v := range values {
		list.Nodes = append(list.Nodes, &ast.StringNode{Value: v})
	}
	value := &ast.MemberNode{Node: &ast.IdentifierNode{Value: part}, Property: &ast.StringNode{Value: field}}
	return &ast.BinaryNode{Operator: "in", Left: value, Right: list}
}
