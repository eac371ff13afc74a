package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

var globOrRegexp = Check{
	ID: "glob-or-regexp",
	Doc: `A pattern is written in the wrong place: a glob is compared letter by letter, a regular
expression is given to ` + "`glob()`" + `, or a glob to ` + "`matches`" + `.

    if: project.path == "platform/*"
    if: glob(pipeline.ref, "^release/.*$")
    if: pipeline.ref matches "release/*"

Write ` + "`glob(project.path, \"platform/*\")`" + ` and ` + "`glob(pipeline.ref, \"release/*\")`" + `, or
` + "`pipeline.ref matches \"^release/.*$\"`" + `.`,
	rule: func(p *pass) {
		for _, e := range p.rule.Expressions {
			ast.Find(p.tree(e.Source), func(n ast.Node) bool {
				patternsIn(p, e, n)
				return false
			})
		}
	},
}

// patternsIn warns about patterns in a comparison or a call.
func patternsIn(p *pass, e rulefile.Expression, n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "==", "!=":
			comparedGlob(p, e, n.Left, n.Right, n.Operator)
			comparedGlob(p, e, n.Right, n.Left, n.Operator)
		case "in":
			if list, ok := n.Right.(*ast.ArrayNode); ok {
				for _, item := range list.Nodes {
					comparedGlob(p, e, n.Left, item, "in")
				}
			}
		case "startsWith", "endsWith", "contains":
			comparedGlob(p, e, n.Left, n.Right, n.Operator)
		case "matches":
			if literal, ok := n.Right.(*ast.StringNode); ok && looksLikeGlob(literal.Value) {
				p.warnIn(e, literal, "%q is a glob, and `matches` takes a regular expression, in which * repeats the character before it: write %s", literal.Value, globCall(n.Left, literal))
			}
		}
	case *ast.CallNode:
		if n.Callee.String() != "glob" || len(n.Arguments) != 2 {
			return
		}
		literal, text := expression.Argument(n, 1), expression.Argument(n, 0)
		if text != nil && literal == nil {
			p.warnIn(e, text, "glob() takes the text first and then the pattern: write %s", globCall(n.Arguments[1], text))
		}
		if literal != nil && looksLikeRegexp(literal.Value) {
			p.warnIn(e, literal, "%q is a regular expression, and glob() takes a pattern like release/*: write %s matches %q", literal.Value, n.Arguments[0], literal.Value)
		}
	}
}

// patternless are the fields whose values never contain a *, or hardly ever:
// names, paths and refs.
var patternless = []string{"name", "path", "namespace", "ref", "default_branch", "source_branch", "target_branch", "stage", "description", "username"}

// comparedGlob warns about a literal with a * that a field is compared with.
func comparedGlob(p *pass, e rulefile.Expression, field, with ast.Node, operator string) {
	member, isMember := field.(*ast.MemberNode)
	literal, isText := with.(*ast.StringNode)
	if !isMember || !isText || !strings.Contains(literal.Value, "*") {
		return
	}
	if name, ok := member.Property.(*ast.StringNode); !ok || !slices.Contains(patternless, name.Value) {
		return
	}
	write := globCall(field, literal)
	switch operator {
	case "!=":
		write = "not " + write
	case "startsWith", "endsWith", "contains":
		p.warnIn(e, literal, "%s takes a * as it is, and no %s has one: write %s", operator, field, write)
		return
	}
	p.warnIn(e, literal, "%s compares letter by letter, and no %s is %q: write %s", operator, field, literal.Value, write)
}

func globCall(text ast.Node, pattern *ast.StringNode) string {
	return fmt.Sprintf("glob(%s, %q)", text, pattern.Value)
}

// inRegexps matches what occurs in regular expressions and not in globs of
// names and refs: anchors, classes like \d, groups, .+, and .* where no name
// can have a dot.
var inRegexps = regexp.MustCompile(`^\^|\$$|\\[dwsbDWSB]|\.\+|\(.*\||\(\?|(^|/)\.\*`)

func looksLikeRegexp(pattern string) bool { return inRegexps.MatchString(pattern) }

// inGlobs matches globs of names and refs: no character of regular expressions
// but a * after a slash or a hyphen.
var inGlobs = regexp.MustCompile(`^[\w./-]*[/-]\*[\w/-]*$`)

func looksLikeGlob(pattern string) bool { return inGlobs.MatchString(pattern) }
