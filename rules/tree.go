package rules

import (
	"reflect"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/event"
)

// readsAttempt reports whether an expression reads the attempt of any job.
func readsAttempt(program *vm.Program) bool {
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

// fieldOf gives the name of a field of one of the event's parts, like
// "job.status"; "" for anything else.
func fieldOf(n ast.Node) string {
	if isClassCall(n) {
		return classField
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

var operators = map[string]string{"and": "and", "&&": "and", "or": "or", "||": "or", "not": "not", "!": "not"}

// asks gives the questions in a tree to GitLab, each by the function that asks
// nothing else. Where the rule files have classes, the job's class asks for
// its log.
func asks(n ast.Node, classes []string) []string {
	var names []string
	ast.Find(n, func(n ast.Node) bool {
		question := ""
		if call, ok := n.(*ast.CallNode); ok {
			question = questionOf(call.Callee.String())
		} else if len(classes) > 0 && fieldOf(n) == classField {
			question = "log"
		}
		if question != "" && !slices.Contains(names, question) {
			names = append(names, question)
		}
		return false
	})
	return names
}

// secretive reports whether a value may hold secrets: it reads a log or the
// pipeline's variables, also those in the pipeline as a whole.
func secretive(n ast.Node) bool {
	whole := 0 // mentions of the pipeline as a whole
	logs := false
	ast.Find(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallNode:
			logs = logs || questionOf(n.Callee.String()) == "log"
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

// eventNames are the names under which expressions see the event's parts.
var eventNames = func() []string {
	var names []string
	for field := range reflect.TypeFor[event.Event]().Fields() {
		names = append(names, field.Tag.Get("expr"))
	}
	return names
}()

// rooted reports whether a node reads a value of the event, like
// job.runner.tags.
func rooted(n ast.Node) bool {
	for {
		switch m := n.(type) {
		case *ast.MemberNode:
			n = m.Node
		case *ast.IdentifierNode:
			return slices.Contains(eventNames, m.Value)
		case *ast.CallNode:
			return questionOf(m.Callee.String()) != ""
		default:
			return false
		}
	}
}

// classCall is what job.failure_class is written as where the rule files have
// classes: a field of environment.
const classCall = "FailureClass"

func isClassCall(n ast.Node) bool {
	call, ok := n.(*ast.CallNode)
	return ok && call.Callee.String() == classCall
}

// argument gives the i-th argument of a call if it is a text in quotes.
func argument(n *ast.CallNode, i int) *ast.StringNode {
	if i >= len(n.Arguments) {
		return nil
	}
	literal, _ := n.Arguments[i].(*ast.StringNode)
	return literal
}

// failedWith gives what failed_with stands for.
func failedWith(reasons ...string) ast.Node {
	return &ast.BinaryNode{Operator: "and", Left: jobIn("status", "failed"), Right: jobIn("failure_reason", event.WithAliases(reasons...)...)}
}

// jobIn gives the condition that a field of the event's job has one of the
// values.
func jobIn(field string, values ...string) ast.Node { return fieldIn("job", field, values...) }

// fieldIn gives the condition that a field of a part of the event has one of
// the values.
func fieldIn(part, field string, values ...string) ast.Node {
	list := &ast.ArrayNode{}
	for _, v := range values {
		list.Nodes = append(list.Nodes, &ast.StringNode{Value: v})
	}
	value := &ast.MemberNode{Node: &ast.IdentifierNode{Value: part}, Property: &ast.StringNode{Value: field}}
	return &ast.BinaryNode{Operator: "in", Left: value, Right: list}
}
