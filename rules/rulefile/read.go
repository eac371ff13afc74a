package rulefile

import (
	"regexp"
	"strings"

	"github.com/expr-lang/expr/vm"
	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// maxExpressions is the maximum number of expressions in a file.
const maxExpressions = 100_000

// reader reads the rules of one file.
type reader struct {
	options Options
	set     *set
	hash    string // SHA-256 of the file, in hex

	rules    []*ParsedRule // read so far
	current  *ParsedRule   // the rule being read; nil outside of rules
	compiled int           // expressions so far
}

// ParsedRule is a rule with the positions of its parts.
type ParsedRule struct {
	*rules.Rule
	Node        *yaml.Node
	content     string       // identifies the content: SHA-256 in hex
	Expressions []Expression // those that compiled
}

// Expression is an expression with its position in the file.
type Expression struct {
	Node    *yaml.Node // the scalar that contains it
	At      int        // characters from the start of the scalar's value
	Source  string
	Purpose expression.Purpose
}

// expression reads an expression whose type is want. purpose returns what it
// may read, which depends on the keys read before.
func (rd *reader) expression(to **vm.Program, want string, purpose func() expression.Purpose) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if message := noExpression(f, n, what); message != "" {
				f.FailAt(n, "%s", message)
				return
			}
			p := purpose()
			p.Want = want
			*to = rd.compile(f, n, p)
		},
		JSON: func() schema.JSON {
			if want == expression.WantBool { // true is an expression, too
				return schema.JSON{"type": []string{"string", "boolean"}, "minLength": 1, "examples": []string{`failed_with("runner_system_failure") and job.attempt < 3`}}
			}
			return schema.JSON{"type": "string", "minLength": 1, "examples": []string{`filter(pipeline.jobs, .status == "manual")`}}
		},
	}
}

// noExpression says why a node is no expression, and what to write instead; "" if
// it is one.
func noExpression(f *schema.Document, n *yaml.Node, what string) string {
	const inQuotes = "must be an expression; an expression that begins with !, [, {, & or * must be in quotes, because these characters are YAML syntax"
	switch {
	case n.Kind == yaml.MappingNode && f.Begins(n, "{{"):
		return what + " is an expression already: write it without {{ and }}, which stand in texts only"
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0:
		return what + " must be one expression, like `" + what + ": job.status == \"failed\"`, and not a mapping"
	case n.Kind == yaml.SequenceNode && n.Style&yaml.FlowStyle == 0:
		return what + " must be one expression: join the conditions by and (all of them) or by or (one of them)"
	case n.Kind == yaml.ScalarNode && n.Value == "" && n.Style&yaml.TaggedStyle == 0:
		return what + " is empty: omit it, or write an expression, like job.status == \"failed\"" + f.CommentHint(n)
	case n.Style&yaml.TaggedStyle != 0 && strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!"):
		return what + " begins with !, and in YAML that begins a tag: write `not " + strings.TrimPrefix(n.Tag, "!") + "`, or the expression in quotes"
	case n.Kind != yaml.ScalarNode || n.Style&yaml.TaggedStyle != 0:
		return what + " " + inQuotes
	}
	return ""
}

// template reads a text with expressions in {{ }}. otherwise says what to do about an empty one.
func (rd *reader) template(to **expression.Template, purpose func() expression.Purpose, otherwise string) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if schema.IsText(n) && strings.TrimSpace(n.Value) == "" {
				f.FailAt(n, "%s is empty: %s", what, otherwise)
				return
			}
			*to = new(rd.parseTemplate(f, n, purpose()))
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "pattern": `\S`} },
	}
}

const namesHelp = "letters, digits and _ (in inputs also -)"

// templates reads a mapping of names to texts with expressions in {{ }}.
func (rd *reader) templates(to *map[string]expression.Template, name *regexp.Regexp, purpose func() expression.Purpose) schema.Schema {
	return schema.Schema{
		Read: named(to, name, "texts", func(f *schema.Document, n *yaml.Node) expression.Template { return rd.parseTemplate(f, n, purpose()) }),
		JSON: func() schema.JSON {
			return namedSchema(name, schema.JSON{"type": []string{"string", "number", "boolean"}})
		},
	}
}

// compile compiles the expression in a scalar. It records every mistake and
// returns nil if there is one.
func (rd *reader) compile(f *schema.Document, n *yaml.Node, p expression.Purpose) *vm.Program {
	if !rd.count(f, n, 1) {
		return nil
	}
	program, findings := expression.Compile(n.Value, p)
	if len(findings) > 0 && n.Style == 0 && n.LineComment != "" && strings.Count(n.Value, `"`)%2 != 0 {
		f.FailAt(n, "in YAML a # after a space begins a comment, which cuts this expression: write all of it in quotes, like %s", "'"+n.Value+" "+n.LineComment+"'")
		return nil
	}
	failIn(f, n, findings)
	if program != nil {
		rd.current.Expressions = append(rd.current.Expressions, Expression{n, 0, n.Value, p})
	}
	return program
}

// parseTemplate compiles the text of a scalar.
func (rd *reader) parseTemplate(f *schema.Document, n *yaml.Node, p expression.Purpose) expression.Template {
	n = schema.Resolve(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		f.FailAt(n, "must be a text%s", f.TextHint(n))
		return expression.Template{}
	}
	if !rd.count(f, n, strings.Count(n.Value, "{{")) {
		return expression.Template{}
	}
	t, findings := expression.ParseTemplate(n.Value, p)
	failIn(f, n, findings)
	if rd.current == nil { // a text for all rules, which no check of one rule looks at
		return t
	}
	p.Want = expression.WantText
	for _, e := range t.Expressions() {
		rd.current.Expressions = append(rd.current.Expressions, Expression{n, e.At, e.Source, p})
	}
	return t
}

// count counts expressions before they are compiled. If the file has too many,
// it records a mistake and returns false.
func (rd *reader) count(f *schema.Document, n *yaml.Node, more int) bool {
	if rd.compiled > maxExpressions {
		return false
	}
	if rd.compiled += more; rd.compiled > maxExpressions {
		f.FailAt(n, "the file has more than %d expressions", maxExpressions)
		return false
	}
	return true
}

// failIn records the findings in the text of a scalar.
func failIn(f *schema.Document, n *yaml.Node, findings []expression.Finding) {
	for _, finding := range findings {
		line, column := f.Position(n, finding.At)
		f.Fail(line, column, "%s", finding.Message)
	}
}
