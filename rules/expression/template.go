package expression

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/hint"
)

// Template is a text with expressions in {{ }}.
type Template struct {
	parts []part
}

// part is a literal piece of the text, or an expression in it.
type part struct {
	text    string // without the braces
	at      int    // characters from the start of the template's text
	program *vm.Program
	label   bool // its value stands in the label of a link
}

// TemplateExpression is an expression in a template, with its position.
type TemplateExpression struct {
	Source string
	At     int // characters from the start of the template's text
}

// Expressions returns the expressions in a template that compiled.
func (t Template) Expressions() []TemplateExpression {
	var all []TemplateExpression
	for _, p := range t.parts {
		if p.program != nil {
			all = append(all, TemplateExpression{p.text, p.at})
		}
	}
	return all
}

// Programs returns the compiled expressions of a template.
func (t Template) Programs() []*vm.Program {
	var all []*vm.Program
	for _, p := range t.parts {
		if p.program != nil {
			all = append(all, p.program)
		}
	}
	return all
}

// ParseTemplate compiles the expressions in a text. It returns all mistakes,
// each with its position in the text.
func ParseTemplate(text string, p Purpose) (Template, []Finding) {
	p.Want = WantText
	var t Template
	var findings []Finding
	blocks := false // one of a template language was found
	rest, offset := []rune(text), 0
	for len(rest) > 0 {
		open := index(rest, "{{")
		if open < 0 {
			t.parts = append(t.parts, part{text: string(rest)})
			break
		}
		if open > 0 {
			t.parts = append(t.parts, part{text: string(rest[:open])})
		}
		end := closing(rest, open+2)
		if end < 0 {
			return t, append(findings, Finding{offset + open, "`{{` without its `}}`"})
		}
		source, at := string(rest[open+2:end]), offset+open+2
		if message := hint.Block(source); message != "" {
			if !blocks {
				findings = append(findings, Finding{at, message})
			}
			blocks, rest, offset = true, rest[end+2:], offset+end+2
			continue
		}
		program, inside := Compile(source, p)
		for _, f := range inside {
			findings = append(findings, Finding{at + f.At, f.Message})
		}
		if program != nil {
			t.parts = append(t.parts, part{text: source, at: at, program: program})
		}
		rest, offset = rest[end+2:], offset+end+2
	}
	if p.HasOutcome {
		t.markLabels()
	}
	return t, findings
}

func index(text []rune, what string) int {
	i := strings.Index(string(text), what)
	if i < 0 {
		return -1
	}
	return len([]rune(string(text)[:i]))
}

// closing returns the index of the }} that ends an expression, ignoring quoted
// texts and nested braces; -1 if there is none.
func closing(text []rune, from int) int {
	var quote rune
	depth := 0
	for i := from; i < len(text); i++ {
		switch r := text[i]; {
		case quote != 0 && r == '\\' && quote != '`':
			i++
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'' || r == '`':
			quote = r
		case r == '{':
			depth++
		case r == '}' && depth > 0:
			depth--
		case r == '}' && i+1 < len(text) && text[i+1] == '}':
			return i
		}
	}
	return -1
}

// render returns the text with the values of its expressions, each passed
// through escape.
func (t Template) render(m *limits.Machine, env any, escape func(string) string) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.program == nil {
			b.WriteString(p.text)
			continue
		}
		text, err := runText(m, p.program, env)
		if err != nil {
			return "", err
		}
		if p.label {
			text = labelOf(text)
		}
		if b.WriteString(escape(text)); b.Len() > limits.MaxText {
			return "", limits.ErrTooMuch
		}
	}
	return b.String(), nil
}

// ReadsAttempt reports whether an expression in the template reads job.attempt.
func (t Template) ReadsAttempt() bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return ReadsAttempt(p.program) })
}
