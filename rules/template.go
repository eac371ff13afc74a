package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/vm"
)

// template is a text with expressions in {{ }}.
type template struct {
	parts []part
}

// part is a piece of text, or an expression whose value stands there.
type part struct {
	text    string
	program *vm.Program
}

func index(text []rune, what string) int {
	i := strings.Index(string(text), what)
	if i < 0 {
		return -1
	}
	return len([]rune(string(text)[:i]))
}

// closing finds the }} that ends an expression, outside of its quoted texts
// and of the braces that it opens.
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

// render gives the text with the values of its expressions, each passed
// through escape.
func (t template) render(m *machine, env any, escape func(string) string) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.program == nil {
			b.WriteString(p.text)
			continue
		}
		text, err := m.text(p.program, env)
		if err != nil {
			return "", err
		}
		if b.WriteString(escape(text)); b.Len() > maxText {
			return "", errTooMuch
		}
	}
	return b.String(), nil
}

// textOf writes a value as people read it: times as RFC 3339, fractions
// without needless zeros, lists and mappings as JSON.
func textOf(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format(time.RFC3339)
	case time.Duration:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool, int, int64:
		return fmt.Sprint(v)
	}
	if b, err := json.Marshal(value); err == nil {
		return string(b)
	}
	return fmt.Sprint(value)
}

func (t template) readsAttempt() bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return readsAttempt(p.program) })
}
