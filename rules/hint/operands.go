package hint

import (
	"slices"
	"strings"
)

// Operands are the values beside an operator, as the expression has them.
type Operands struct{ Left, Operator, Right string }

// OperandsAt returns the operands of the operator at a position; zero if there is
// none. A left or right operand that is itself a condition is cut at the nearest
// operator.
func OperandsAt(source string, at int) Operands {
	t := newText(source)
	i := t.at(at)
	if i < 0 {
		return Operands{}
	}
	o := Operands{Operator: t.all[i].text}
	if i > 0 && t.isOperand(i-1) {
		o.Left = t.between(t.operandBefore(i-1), i-1)
	}
	if i+1 < len(t.all) {
		o.Right = t.between(i+1, t.operandAfter(i+1))
	}
	return o
}

// at returns the index of the token at a position; -1 if there is none.
func (t text) at(position int) int {
	return slices.IndexFunc(t.all, func(token token) bool { return token.at <= position && position < token.end() })
}

// comparisons are the operators of conditions, which bind less tightly than not.
var comparisons = []string{"==", "!=", "<", "<=", ">", ">=", "in", "contains", "startsWith", "endsWith", "matches"}

// Negated returns what to write instead of `not a in b`, in which the `not` at a
// position negates a alone; "" if there is no comparison after it.
func Negated(source string, at int) string {
	t := newText(source)
	i := t.at(at)
	if i < 0 || i+1 >= len(t.all) {
		return ""
	}
	end := t.operandAfter(i + 1)
	if !t.is(end+1, comparisons...) || end+2 >= len(t.all) {
		return ""
	}
	left, operator, right := t.between(i+1, end), t.all[end+1].text, t.between(end+2, t.operandAfter(end+2))
	switch operator {
	case "in":
		return left + " not in " + right
	case "==":
		return left + " != " + right
	case "!=":
		return left + " == " + right
	}
	return "not (" + left + " " + operator + " " + right + ")"
}

// Last returns the last token of an expression, and the bracket that is not closed
// in it; "" for none.
func Last(source string) (token, open string) {
	t := newText(source)
	if len(t.all) == 0 {
		return "", ""
	}
	var brackets []string
	for i := range t.all {
		switch {
		case t.is(i, "(", "[", "{"):
			brackets = append(brackets, t.all[i].text)
		case t.is(i, ")", "]", "}") && len(brackets) > 0:
			brackets = brackets[:len(brackets)-1]
		}
	}
	if len(brackets) > 0 {
		open = brackets[len(brackets)-1]
	}
	return t.all[len(t.all)-1].text, open
}

// Alternatives returns the list of values that `a == "x" or "y"` probably means,
// as in a in ["x", "y"]; "" if the operator at the position stands elsewhere.
func Alternatives(source string, at int) string {
	t := newText(source)
	i := t.at(at)
	if i < 3 || !t.isKind(i-1, quoted) || !t.is(i-2, "==", "!=") || !t.isKind(i+1, quoted) {
		return ""
	}
	value, operator := t.between(t.operandBefore(i-3), i-3), " in "
	if t.is(i-2, "!=") {
		operator = " not in "
	}
	values := []string{t.all[i-1].text, t.all[i+1].text}
	for j := i + 2; t.is(j, "or", "||", "and", "&&") && t.isKind(j+1, quoted); j += 2 {
		values = append(values, t.all[j+1].text)
	}
	return value + operator + "[" + strings.Join(values, ", ") + "]"
}
