package lint

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

var renamedReason = Check{
	ID: "renamed-reason",
	Doc: `A failure reason is compared by a name that GitLab 19 does not send any more: it sends
newer, more specific names instead. The rule stops matching after the upgrade.

    if: job.failure_reason == "stuck_or_timeout_failure"

` + "`failed_with(\"stuck_or_timeout_failure\")`" + ` covers the newer names as well.`,
	rule: func(p *pass) {
		for _, e := range p.rule.Expressions {
			renamedReasons(p, e)
		}
	},
}

// renamedReasons warns about comparisons with failure reasons that new
// versions of GitLab do not send, unless the expression also contains the
// newer names.
func renamedReasons(p *pass, e rulefile.Expression) {
	tree := p.tree(e.Source)
	var comparisons []*ast.BinaryNode
	negated := map[*ast.BinaryNode]bool{} // `not in` is parsed as a `not` of an `in`
	var named []string
	ast.Find(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryNode:
			comparisons = append(comparisons, n)
			negated[n] = n.Operator == "!="
		case *ast.UnaryNode:
			if inner, ok := n.Node.(*ast.BinaryNode); ok && inner.Operator == "in" {
				negated[inner] = true
			}
		case *ast.StringNode:
			named = append(named, n.Value)
		}
		return false
	})
	for _, n := range comparisons {
		field, with := n.Left, []ast.Node{n.Right}
		if array, ok := n.Right.(*ast.ArrayNode); ok {
			with = array.Nodes
		} else if _, ok := n.Left.(*ast.StringNode); ok {
			field, with = n.Right, []ast.Node{n.Left}
		}
		if member, ok := field.(*ast.MemberNode); !ok || member.Property.String() != `"failure_reason"` {
			continue
		}
		for _, literal := range with {
			text, _ := literalOf(literal).(string)
			if !slices.ContainsFunc(event.ReplacedBy(text), func(newer string) bool { return !slices.Contains(named, newer) }) {
				continue
			}
			p.warnIn(e, literal, "GitLab 19 does not send %q any more, but newer names in its place: write %s", text, anyName(field, negated[n], literalTexts(with)))
			break
		}
	}
}

// anyName returns the comparison of a failure reason that also covers the
// names that newer versions of GitLab send.
func anyName(field ast.Node, negated bool, failureReasons []string) string {
	list := func(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }
	not, in := "", " in "
	if negated {
		not, in = "not ", " not in "
	}
	if field.String() == "job.failure_reason" && !slices.Contains(failureReasons, "") {
		return not + "failed_with(" + list(failureReasons) + ")"
	}
	return field.String() + in + "[" + list(event.WithAliases(failureReasons...)) + "]"
}
