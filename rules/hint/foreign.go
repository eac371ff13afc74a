package hint

import (
	"fmt"
	"slices"
	"strings"
)

// Hint is what to write instead of a part of an expression.
type Hint struct {
	At      int // characters from the expression's start
	Message string
}

// maxTokens is the length of the longest expression that is searched, so that a
// hint never takes long.
const maxTokens = 5_000

// Foreign returns a hint about the first part of a broken expression that is
// another language's; false if there is none.
func Foreign(source string) (Hint, bool) {
	t := newText(source)
	if len(t.all) > maxTokens {
		return Hint{}, false
	}
	brackets := 0 // of functions whose predicates have elements
	var open []bool
	for i, token := range t.all {
		if t.is(i, "(", "[", "{") {
			of := t.isKind(i-1, word) && slices.Contains(predicates, t.all[i-1].text)
			open = append(open, of)
			if of {
				brackets++
			}
		}
		if t.is(i, ")", "]", "}") && len(open) > 0 {
			if open[len(open)-1] {
				brackets--
			}
			open = open[:len(open)-1]
		}
		message := ""
		switch token.kind {
		case symbol:
			message = t.symbol(i, brackets > 0)
		case word:
			message = t.word(i)
		case number:
			message = t.number(i)
		case quoted:
			message = t.quoted(i)
		}
		if message != "" {
			return Hint{token.at, message}, true
		}
	}
	return Hint{}, false
}

// predicates are the functions of expr whose last argument is evaluated for each
// element of a list.
var predicates = []string{
	"all", "any", "none", "one", "filter", "map", "count", "find", "findIndex", "findLast", "findLastIndex", "groupBy", "sortBy", "sum", "reduce",
}

func (t text) symbol(i int, ofElement bool) string {
	switch t.all[i].text {
	case "{{", "}}":
		return "this is an expression already: write it without {{ and }}, which stand in texts only"
	case "^":
		return "write != between two conditions of which exactly one must be true"
	case "@":
		return "write the name without the @"
	case "%":
		if !t.isOperand(i - 1) {
			return "a text stands in quotes; for a part of it write glob(text, \"*part*\") or text contains \"part\""
		}
	case "?:":
		return "write ?? for a value in the place of nil, or condition ? value : another"
	case "{%", "%}":
		return "{% %} is not known here: write {{ condition ? \"a text\" : \"another\" }}"
	case "=":
		if !t.is(i-2, "let") {
			return "= does not compare: write =="
		}
	case ":=":
		return "write `let name = value;` for a variable, and == to compare"
	case "===":
		return "write == to compare"
	case "!==", "<>":
		return "write != to compare"
	case "=~", "!~":
		return t.match(i)
	case "=>", "->":
		return "a predicate has no parameter: write .field for a field of the element, like any(pipeline.jobs, .status == \"failed\")"
	case "&":
		return "write and (or &&) between two conditions"
	case "|":
		return t.pipe(i)
	case "/":
		if !t.isOperand(i - 1) {
			return "a regular expression is a text in quotes: write " + t.beforeOperator(i, "job.name") + " matches \"^rspec\""
		}
	case "“", "”", "‘", "’", "„", "«", "»":
		return "this is a typographic quotation mark: write \" around a text"
	case ";":
		if i == len(t.all)-1 {
			return "leave the ; out: an expression ends by itself"
		}
	case "(":
		if t.is(i-1, "in") && len(t.arguments(i)) > 1 {
			return "a list has square brackets: write in [" + strings.Join(t.arguments(i), ", ") + "]"
		}
	case ".":
		if !t.isOperand(i-1) && t.isKind(i+1, word) && !ofElement {
			return t.leadingDot(i)
		}
	}
	return ""
}

// match is the hint for =~ and !~, whose regular expression may stand between
// slashes.
func (t text) match(i int) string {
	left, pattern := t.beforeOperator(i, "job.name"), `"^rspec"`
	switch {
	case t.isKind(i+1, quoted):
		pattern = t.all[i+1].text
	case t.is(i+1, "/"):
		rest := string(t.source[t.all[i+1].end():])
		if inner, _, closed := strings.Cut(rest, "/"); closed {
			pattern = fmt.Sprintf("%q", inner)
		}
	}
	write := left + " matches " + pattern
	if t.is(i, "!~") {
		write = "not (" + write + ")"
	}
	return fmt.Sprintf("%s is not known here: write %s", t.all[i].text, write)
}

// beforeOperator returns the value before the operator at i; otherwise example.
func (t text) beforeOperator(i int, example string) string {
	for i > 0 && !t.isOperand(i-1) && (t.isKind(i-1, word) || t.is(i-1, "=~", "!~", "==", "!=", "<", "<=", ">", ">=")) {
		i--
	}
	if !t.isOperand(i - 1) {
		return example
	}
	return t.between(t.operandBefore(i-1), i-1)
}

// pipe is the hint for |, which is only known before a call.
func (t text) pipe(i int) string {
	if !t.isKind(i+1, word) {
		return "write or (or ||) between two conditions"
	}
	name := t.all[i+1].text
	left := t.beforeOperator(i, "value")
	switch {
	case name == "select":
		return "select is written filter: write filter(" + left + ", .status == \"failed\")"
	case name == "test" || name == "match":
		return "write " + left + " matches \"a regular expression\""
	case t.is(i+2, "("):
		return ""
	case t.is(i+2, ".", "?."):
		return "write or (or ||) between two conditions"
	case called[name] != "":
		return "write " + fmt.Sprintf(called[name], left)
	}
	return "after | stands a call: write " + name + "(" + left + ")"
}

// leadingDot is the hint for .field where there is no element.
func (t text) leadingDot(i int) string {
	name := t.all[i+1].text
	if slices.Contains(parts, name) {
		return "write " + name + " without the dot before it"
	}
	return fmt.Sprintf(".%s is a field of an element, in any(), filter() and the like: write job.%s or pipeline.%s", name, name, name)
}

// parts are the names that expressions begin with.
var parts = []string{"event", "project", "pipeline", "job", "user", "commit", "merge_request"}

func (t text) number(i int) string {
	token := t.all[i].text
	end := strings.IndexFunc(token, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 || token[0] == '0' && strings.ContainsAny(token, "xXoObB") || strings.ContainsAny(token[end:], "eE_") {
		return ""
	}
	if left := t.beforeOperator(i, ""); strings.HasSuffix(left, "duration") {
		return left + " is a number of seconds: write a number without a unit, like 600"
	}
	return fmt.Sprintf("a number has no unit: write duration(%q)", token)
}

func (t text) quoted(i int) string {
	token := t.all[i].text
	if len([]rune(token)) < 2 || token[len(token)-1] != token[0] {
		return fmt.Sprintf("this text has no %s at its end", token[:1])
	}
	if t.is(i-1, "in") && t.is(i+1, ",") && t.isKind(i+2, quoted) && !t.isOperand(i+3) {
		return "a list has square brackets: write in [" + strings.TrimSpace(string(t.source[t.all[i].at:])) + "]"
	}
	return ""
}
