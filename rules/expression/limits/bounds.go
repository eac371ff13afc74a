package limits

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/vm/runtime"
)

// Limits on the size of an expression. A larger expression does not compile.
const (
	maxExpression = 256 << 10 // bytes of an expression: enough for a list of 5,000 projects
	maxBrackets   = 200       // nesting depth of brackets
	MaxNodes      = 10_000    // nodes of an expression, as expr counts them
	maxRange      = 10_000    // numbers in a literal range, like 1..100
	maxGlob       = 500       // bytes of a glob pattern
	maxGlobs      = 1_000     // alternatives that the {a,b} of a glob pattern expand to
	maxPattern    = 10_000    // bytes of a regular expression
)

// textBuilders are the builtins of expr whose result can be as long as the
// product of two arguments. Each function returns the length of the result, in
// bytes, before it is built.
var textBuilders = map[string]func(args []any) int{
	"repeat": func(args []any) int { return product(len(args[0].(string)), runtime.ToInt(args[1])) },
	"replace": func(args []any) int {
		text, old, other := args[0].(string), args[1].(string), args[2].(string)
		return len(text) + product(strings.Count(text, old), max(0, len(other)-len(old)))
	},
	"join": func(args []any) int {
		glue := ""
		if len(args) == 2 {
			glue = args[1].(string)
		}
		list := reflect.ValueOf(args[0])
		n := product(list.Len(), len(glue))
		for i := 0; i < list.Len() && n <= MaxText; i++ {
			if text, ok := list.Index(i).Interface().(string); ok {
				n += len(text)
			}
		}
		return n
	},
}

// product returns a×b, or a value above MaxText if a×b is above it.
func product(a, b int) int {
	if b > 0 && a > MaxText/b {
		return MaxText + 1
	}
	return a * max(b, 0)
}

// Options are the compiler options that limit an expression, in addition to a
// Meter.
var Options = func() []expr.Option {
	options := []expr.Option{expr.MaxNodes(MaxNodes)}
	for _, name := range slices.Sorted(maps.Keys(textBuilders)) {
		own := *builtin.Builtins[builtin.Index[name]]
		made, lengthOf := own.Func, textBuilders[name]
		if made == nil {
			safe := own.Safe
			made = func(args ...any) (any, error) {
				value, _, err := safe(args...)
				return value, err
			}
		}
		own.Safe = nil
		own.Func = func(args ...any) (any, error) {
			if lengthOf(args) > MaxText {
				return nil, ErrTooMuch
			}
			return made(args...)
		}
		options = append(options, expr.DisableBuiltin(name), func(c *conf.Config) { c.Functions[name] = &own })
	}
	return options
}()

// TooLarge reports whether an expression is too large to parse. It returns the
// position in characters and the error message; "" if the expression is not
// too large.
func TooLarge(source string) (at int, message string) {
	if len(source) > maxExpression {
		return 0, fmt.Sprintf("the expression has %d bytes, more than %d", len(source), maxExpression)
	}
	depth := 0
	var quote rune
	text := []rune(source)
	for i := 0; i < len(text); i++ {
		switch r := text[i]; {
		case quote != 0 && r == '\\' && quote != '`':
			i++
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
		case r == '"' || r == '\'' || r == '`':
			quote = r
		case r == '(' || r == '[' || r == '{':
			if depth++; depth > maxBrackets {
				return i, fmt.Sprintf("more than %d brackets are open here", maxBrackets)
			}
		case r == ')' || r == ']' || r == '}':
			depth--
		}
	}
	return 0, ""
}

// Glob implements the function glob.
func Glob(args ...any) (any, error) {
	text, pattern := args[0].(string), args[1].(string)
	if err := CheckGlob(pattern); err != nil {
		return nil, err
	}
	return doublestar.Match(pattern, text)
}

// CheckGlob returns an error if a glob pattern would take too long to match.
func CheckGlob(pattern string) error {
	if len(pattern) > maxGlob {
		return fmt.Errorf("the glob pattern has %d bytes, more than %d", len(pattern), maxGlob)
	}
	if strings.ContainsRune(pattern, '{') && alternatives(pattern) > maxGlobs {
		return fmt.Errorf("the {a,b} of the glob pattern expand to more than %d texts", maxGlobs)
	}
	return nil
}

// alternatives returns how many texts the {a,b} of a glob pattern expand to,
// or a value above maxGlobs if there are more than that.
func alternatives(pattern string) int {
	n := 1
	var commas []int // for each open {
	for _, r := range pattern {
		switch last := len(commas) - 1; {
		case r == '{':
			commas = append(commas, 0)
		case r == ',' && last >= 0:
			commas[last]++
		case r == '}' && last >= 0:
			n = min(n*(1+commas[last]), maxGlobs+1)
			commas = commas[:last]
		}
	}
	return n
}
