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

// maxExpressions bounds the expressions of a file.
const maxExpressions = 100_000

// reader reads the rules of one file.
type reader struct {
	options Options
	set     *set
	hash    string // of the file: SHA-256 in hex

	rules    []*ParsedRule // read so far
	current  *ParsedRule   // the rule that is being read; nil outside of rules
	compiled int           // expressions so far
}

// ParsedRule is a rule with the place of everything in it.
type ParsedRule struct {
	*rules.Rule
	Node        *yaml.Node
	content     string       // names its text: SHA-256 in hex
	Expressions []Expression // those that compiled
}

// Expression is an expression with its place in the file.
type Expression struct {
	Node    *yaml.Node // the scalar that it stands in
	At      int        // characters from the start of the scalar's value
	Source  string
	Purpose expression.Purpose
}

// expression reads an expression that gives what is wanted; may says what it
// may ask, once what stands above it has been read.
func (rd *reader) expression(to **vm.Program, want string, may func() expression.Purpose) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if n.Kind != yaml.ScalarNode || n.Value == "" || n.Style&yaml.TaggedStyle != 0 {
				f.FailAt(n, "%s must be an expression; one that begins with !, [, {, & or * must stand in quotes, or YAML takes that for its own", what)
				return
			}
			p := may()
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

// template reads a text with expressions in {{ }}.
func (rd *reader) template(to **expression.Template, may func() expression.Purpose) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, _ string) { *to = new(rd.parseTemplate(f, n, may())) },
		JSON: func() schema.JSON { return schema.JSON{"type": "string"} },
	}
}

const namesHelp = "letters, digits and _ (in inputs also -)"

// templates reads a mapping of names to texts with expressions in {{ }}.
func (rd *reader) templates(to *map[string]expression.Template, name *regexp.Regexp, may func() expression.Purpose) schema.Schema {
	return schema.Schema{
		Read: named(to, name, "texts", func(f *schema.Document, n *yaml.Node) expression.Template { return rd.parseTemplate(f, n, may()) }),
		JSON: func() schema.JSON {
			return namedSchema(name, schema.JSON{"type": []string{"string", "number", "boolean"}})
		},
	}
}

// compile compiles an expression that stands in the scalar n. It records every
// mistake and returns nil if there is one.
func (rd *reader) compile(f *schema.Document, n *yaml.Node, p expression.Purpose) *vm.Program {
	if !rd.count(f, n, 1) {
		return nil
	}
	program, findings := expression.Compile(n.Value, p)
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
		f.FailAt(n, "must be a text")
		return expression.Template{}
	}
	if !rd.count(f, n, strings.Count(n.Value, "{{")) {
		return expression.Template{}
	}
	t, findings := expression.ParseTemplate(n.Value, p)
	failIn(f, n, findings)
	p.Want = expression.WantText
	for _, e := range t.Expressions() {
		rd.current.Expressions = append(rd.current.Expressions, Expression{n, e.At, e.Source, p})
	}
	return t
}

// count counts expressions before they are compiled. It records a
// mistake and returns false if the file has too many.
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

// failIn records what is wrong with the text of a scalar.
func failIn(f *schema.Document, n *yaml.Node, findings []expression.Finding) {
	for _, finding := range findings {
		line, column := f.Position(n, finding.At)
		f.Fail(line, column, "%s", finding.Message)
	}
}
