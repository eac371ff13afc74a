package hint

import (
	"slices"
	"strings"
	"unicode"
)

// kind is the kind of a token.
type kind int

const (
	word   kind = iota // an identifier, $ included
	number             // with the letters that follow it, as in 90d
	quoted             // a text in quotes
	symbol             // an operator or a bracket
)

// token is a part of an expression.
type token struct {
	kind
	text string
	at   int // characters from the expression's start
}

// end returns the position after the token.
func (t token) end() int { return t.at + len([]rune(t.text)) }

// symbols are the operators of several characters, of expr and of other
// languages, the longer ones first.
var symbols = []string{
	"===", "!==", "${{", "{{", "}}", "{%", "%}", "==", "!=", "<=", ">=", "=>", "->", "=~", "!~", "<>", ":=", "&&", "||", "??", "?.", "?:", "**", "..",
}

// tokens splits an expression. It never fails: an unclosed text ends with the
// expression, and any other character is a symbol.
func tokens(source []rune) []token {
	var all []token
	add := func(k kind, from, to int) int {
		all = append(all, token{k, string(source[from:to]), from})
		return to
	}
	for i := 0; i < len(source); {
		r := source[i]
		switch {
		case unicode.IsSpace(r):
			i++
		case r == '"' || r == '\'' || r == '`':
			i = add(quoted, i, closing(source, i))
		case isLetter(r):
			i = add(word, i, while(source, i, isPartOfWord))
		case unicode.IsDigit(r):
			i = add(number, i, while(source, i, isPartOfWord))
		default:
			length := 1
			for _, s := range symbols {
				if strings.HasPrefix(string(source[i:min(i+3, len(source))]), s) {
					length = len(s)
					break
				}
			}
			i = add(symbol, i, i+length)
		}
	}
	return all
}

func isLetter(r rune) bool { return unicode.IsLetter(r) || r == '_' || r == '$' }

func isPartOfWord(r rune) bool { return isLetter(r) || unicode.IsDigit(r) }

// while returns the end of the characters from a position on that belong
// together.
func while(source []rune, from int, belongs func(rune) bool) int {
	for from < len(source) && belongs(source[from]) {
		from++
	}
	return from
}

// closing returns the position after the text in quotes that begins at from.
func closing(source []rune, from int) int {
	for i := from + 1; i < len(source); i++ {
		switch source[i] {
		case '\\':
			if source[from] != '`' {
				i++
			}
		case source[from]:
			return i + 1
		}
	}
	return len(source)
}

// text is an expression with its tokens.
type text struct {
	source []rune
	all    []token
}

func newText(source string) text {
	runes := []rune(source)
	return text{runes, tokens(runes)}
}

// is reports whether the token with this index exists and is one of the texts.
func (t text) is(i int, texts ...string) bool {
	return i >= 0 && i < len(t.all) && t.all[i].kind != quoted && slices.Contains(texts, t.all[i].text)
}

// isKind reports whether the token with this index exists and is of a kind.
func (t text) isKind(i int, k kind) bool { return i >= 0 && i < len(t.all) && t.all[i].kind == k }

// isOperand reports whether a value ends with the token with this index.
func (t text) isOperand(i int) bool {
	switch {
	case i < 0 || i >= len(t.all):
		return false
	case t.all[i].kind == word:
		return !slices.Contains(operators, t.all[i].text)
	case t.all[i].kind == symbol:
		return t.is(i, ")", "]", "}", "#")
	}
	return true
}

// operators are the operators of expr that are words.
var operators = []string{"and", "or", "not", "in", "contains", "matches", "startsWith", "endsWith", "let", "if", "else"}

// between returns the expression from one token to another, both included.
func (t text) between(from, to int) string {
	return strings.TrimSpace(string(t.source[t.all[from].at:t.all[to].end()]))
}

// matching returns the index of the bracket that closes the one at i; the last
// token if none does.
func (t text) matching(i int) int {
	depth := 0
	for j := i; j < len(t.all); j++ {
		switch {
		case t.is(j, "(", "[", "{"):
			depth++
		case t.is(j, ")", "]", "}"):
			if depth--; depth == 0 {
				return j
			}
		}
	}
	return len(t.all) - 1
}

// opening returns the index of the bracket that the one at i closes; the first
// token if there is none.
func (t text) opening(i int) int {
	depth := 0
	for j := i; j >= 0; j-- {
		switch {
		case t.is(j, ")", "]", "}"):
			depth++
		case t.is(j, "(", "[", "{"):
			if depth--; depth == 0 {
				return j
			}
		}
	}
	return 0
}

// operandBefore returns the index of the first token of the value that ends
// with the token at i, as job.runner.tags or jobs()[0].
func (t text) operandBefore(i int) int {
	for {
		if t.is(i, ")", "]") {
			i = t.opening(i)
			if i > 0 && (t.isKind(i-1, word) && t.isOperand(i-1) || t.is(i-1, ")", "]")) {
				i--
				continue
			}
		}
		if i > 1 && t.is(i-1, ".", "?.") && t.isOperand(i-2) {
			i -= 2
			continue
		}
		if i > 0 && t.is(i-1, ".") && t.isKind(i, word) { // of an element: .name
			i--
		}
		return i
	}
}

// operandAfter returns the index of the last token of the value that begins with
// the token at i.
func (t text) operandAfter(i int) int {
	if t.is(i, "(", "[") {
		i = t.matching(i)
	}
	for i+1 < len(t.all) {
		switch {
		case t.is(i+1, "(", "["):
			i = t.matching(i + 1)
		case t.is(i+1, ".", "?.") && t.isKind(i+2, word):
			i += 2
		default:
			return i
		}
	}
	return min(i, len(t.all)-1)
}

// arguments returns the arguments of the call whose bracket is at open.
func (t text) arguments(open int) []string {
	end := t.matching(open)
	if end <= open+1 {
		return nil
	}
	var all []string
	from := open + 1
	for i := from; i < end; i++ {
		if t.is(i, "(", "[", "{") {
			i = min(t.matching(i), end-1)
		}
		if t.is(i, ",") && i > from {
			all = append(all, t.between(from, i-1))
			from = i + 1
		}
	}
	if from < end {
		all = append(all, t.between(from, end-1))
	}
	return all
}
