package limits

import (
	"reflect"
	"regexp/syntax"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Meter inserts into a checked expression the calls that count its work: calls
// of Spend, which is Machine.Spend. Cheap operations, such as comparing fields
// of the event, remain unchanged. It also reports operations whose cost can't
// be bounded.
type Meter struct {
	fail  func(n ast.Node, format string, args ...any)
	calls int // of Spend, so far
}

// NewMeter returns a meter that calls fail for each node that it refuses.
func NewMeter(fail func(n ast.Node, format string, args ...any)) *Meter { return &Meter{fail: fail} }

// Visit implements ast.Visitor. Children are visited before their parents.
func (m *Meter) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		m.operator(node, n)
	case *ast.BuiltinNode:
		m.builtin(node, n)
	case *ast.CallNode:
		m.call(node, n, n.Callee.String())
	}
}

func (m *Meter) call(node *ast.Node, n *ast.CallNode, name string) {
	if len(n.Arguments) == 0 {
		return // a call with a mistake that expr reports
	}
	switch name {
	case "glob":
		m.charge(&n.Arguments[0], cost{byLength, 16 * unitsOfGlob(n), 0})
	case "duration":
		m.charge(&n.Arguments[0], textMade)
	case "repeat", "replace", "join":
		for i := range n.Arguments {
			m.charge(&n.Arguments[i], cost{byAll, toMake, 0})
		}
		m.charge(node, textMade)
	}
}

func (m *Meter) operator(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "+":
		if kind := n.Type().Kind(); kind == reflect.String || kind == reflect.Interface {
			m.charge(node, textMade)
		}
	case "==", "!=", "<", "<=", ">", ">=", "startsWith", "endsWith":
		// Comparing two texts takes time by the length of the shorter.
		if !small(n.Left) && !small(n.Right) {
			m.charge(&n.Left, cost{byAll, toRead, 0})
			m.charge(&n.Right, cost{byAll, toRead, 0})
		}
	case "in", "not in":
		m.charge(&n.Left, cost{byAll, toRead, 0})
		m.charge(&n.Right, cost{byAll, toRead, 0})
	case "contains":
		m.charge(&n.Left, cost{byLength, toRead, 0})
		m.charge(&n.Right, cost{byLength, toRead, 0})
	case "matches":
		pattern, ok := n.Right.(*ast.StringNode)
		if !ok {
			m.fail(n.Right, "a regular expression must be in quotes")
			return
		}
		if len(pattern.Value) > maxPattern {
			m.fail(n.Right, "the regular expression has %d bytes, more than %d", len(pattern.Value), maxPattern)
			return
		}
		m.charge(&n.Left, cost{byLength, 16 * MatchUnits(pattern.Value), 0})
	case "..":
		from, isNumber := Number(n.Left)
		to, isNumberToo := Number(n.Right)
		if isNumber && isNumberToo && to-from >= maxRange {
			m.fail(n, "this range has more than %d numbers: compare with < and > instead", maxRange)
		}
	}
}

// Number returns the value of an integer literal, which may be negative.
func Number(n ast.Node) (int, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.UnaryNode:
		value, ok := Number(n.Node)
		if n.Operator == "-" {
			value = -value
		}
		return value, ok
	}
	return 0, false
}

func (m *Meter) builtin(node *ast.Node, n *ast.BuiltinNode) {
	if i := slices.IndexFunc(n.Arguments, isPredicate); i > 0 {
		c := cost{byElement, parts(n.Arguments[i]), 0}
		element := sizeOfElement(n.Arguments[0])
		switch n.Name {
		case "sortBy":
			c.work, c.memory = c.work+sorting, 4*boxed+element
		case "groupBy":
			c.memory = grouped + element
		case "map":
			c.memory = 3 * boxed
		case "filter":
			defer m.chargeAlways(node, cost{byElement, 0, boxed + element})
		}
		m.chargeAlways(&n.Arguments[0], c)
		return
	}
	costs, known := costsOf[n.Name]
	if !known {
		costs = []cost{{byAll, toMake, 4 * 16}}
	}
	if n.Name == "split" || n.Name == "splitAfter" {
		m.chargeParts(n)
	}
	for i := range n.Arguments {
		for _, c := range costs {
			m.charge(&n.Arguments[i], c)
		}
	}
}

// Sizes of an element, in bytes: as an interface value in a list, and in a
// group of its own.
const (
	boxed   = 16
	grouped = 160
)

// sizeOfElement returns the size of an element of a list of interface values,
// in bytes.
func sizeOfElement(list ast.Node) int {
	if t := list.Type(); t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		return int(t.Elem().Size())
	}
	return boxed
}

func isPredicate(n ast.Node) bool {
	_, ok := n.(*ast.PredicateNode)
	return ok
}

// sorting is the work to sort one element, in units.
const sorting = 30

// parts returns the units of work of one evaluation of a predicate.
func parts(predicate ast.Node) int {
	n := 0
	ast.Find(predicate, func(part ast.Node) bool {
		n++
		switch part := part.(type) {
		case *ast.PointerNode:
			n += 15 // a job in a list is copied each time
		case *ast.BuiltinNode:
			n += 60 // it usually allocates a value
		case *ast.CallNode:
			n += 5
			if part.Callee.String() == "glob" {
				n += shortText * unitsOfGlob(part)
			}
		case *ast.BinaryNode:
			switch pattern, literal := part.Right.(*ast.StringNode); {
			case part.Operator == "contains":
				n += 8
			case part.Operator == "matches" && literal && small(part.Left):
				n += shortText * MatchUnits(pattern.Value)
			}
		}
		return false
	})
	return n
}

// shortText is the assumed length of short fields of the event, mostly names,
// in bytes.
const shortText = 64

// textMade is the cost of a text that is built.
var textMade = cost{byLength, toMake, 16}

// costsOf contains the costs of the arguments of builtins without a predicate.
// An argument that is not listed costs as much as its whole content.
var costsOf = func() map[string][]cost {
	all := map[string][]cost{}
	set := func(c []cost, names ...string) {
		for _, name := range names {
			all[name] = c
		}
	}
	set([]cost{}, "abs", "ceil", "floor", "round", "type", "first", "last", "get",
		"bitand", "bitor", "bitxor", "bitnand", "bitshl", "bitshr", "bitushr", "bitnot")
	set([]cost{{byLength, toRead, 0}}, "len", "int", "float", "date", "timezone",
		"trim", "trimPrefix", "trimSuffix", "indexOf", "lastIndexOf", "hasPrefix", "hasSuffix")
	set([]cost{{byLength, toMake, 0}}, "split", "splitAfter") // chargeParts counts the parts
	set([]cost{{byLength, toMake, 2 * 16}}, "upper", "lower", "toBase64", "fromBase64")
	set([]cost{{byLength, toMake, 20 * 16}}, "fromJSON")
	set([]cost{{byElement, 1, 3 * boxed}}, "take", "reverse", "concat", "keys", "values")
	set([]cost{{byElement, 1, 6 * boxed}}, "toPairs", "fromPairs")
	set([]cost{{byElement, sorting, 2 * boxed}, {byAll, toRead, 0}}, "sort")
	set([]cost{{bySquare, 2, 0}, {byAll, toRead, 0}}, "uniq")
	return all
}()

// chargeParts counts the parts into which split splits a text: those between
// occurrences of a literal separator, or one per character if the separator is
// no literal.
func (m *Meter) chargeParts(n *ast.BuiltinNode) {
	if len(n.Arguments) < 2 {
		return // a mistake that expr reports
	}
	separator, _ := n.Arguments[1].(*ast.StringNode)
	if separator == nil {
		separator = &ast.StringNode{}
		separator.SetType(reflect.TypeFor[string]())
	}
	m.chargeAlways(&n.Arguments[0], cost{byPart, 0, boxed}, separator)
}

// charge inserts a call that counts the value of a node, unless the value is
// always small.
func (m *Meter) charge(node *ast.Node, c cost) {
	if !small(*node) {
		m.chargeAlways(node, c)
	}
}

// spendArguments is the number of arguments of Spend without the separator.
const spendArguments = 5

func (m *Meter) chargeAlways(node *ast.Node, c cost, separator ...ast.Node) {
	m.calls++
	spend := &ast.IdentifierNode{Value: "Spend"}
	spend.SetType(reflect.TypeFor[func(...any) any]())
	arguments := append([]ast.Node{*node, constant(c.how), constant(c.work), constant(c.memory), constant(m.calls)}, separator...)
	call := &ast.CallNode{Callee: spend, Arguments: arguments}
	call.SetNature(*(*node).Nature())
	ast.Patch(node, call)
}

func constant(value int) ast.Node {
	n := &ast.IntegerNode{Value: value}
	n.SetType(reflect.TypeFor[int]())
	return n
}

// small reports whether a value is always small: a number, a time, a literal,
// or a field of the event that GitLab keeps short.
func small(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.StringNode:
		return len(n.Value) < 256
	case *ast.ArrayNode:
		return !slices.ContainsFunc(n.Nodes, func(item ast.Node) bool { return !small(item) })
	case *ast.MemberNode:
		property, named := n.Property.(*ast.StringNode)
		short := n.Type().Kind() == reflect.String || n.Type() == reflect.TypeFor[[]string]()
		if named && short && n.Node.Type().PkgPath() == reflect.TypeFor[event.Job]().PkgPath() {
			return property.Value != "message" // of a commit
		}
	}
	switch t := n.Type(); t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	default:
		return t == reflect.TypeFor[time.Time]()
	}
}

// MatchUnits returns the units of work to match one byte with a regular
// expression. Go's matching time is linear in the text, but each instruction
// of the program may run for each byte. This does not apply to the
// instructions of a literal: a text is at one position of a literal at a time,
// or at few if the literal repeats itself.
func MatchUnits(pattern string) int {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 1 // expr reports it
	}
	idle := 0
	var count func(*syntax.Regexp)
	count = func(re *syntax.Regexp) {
		if re.Op == syntax.OpLiteral {
			idle += len(re.Rune) - overlaps(re.Rune)
		}
		for _, sub := range re.Sub {
			count(sub)
		}
	}
	count(tree)
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 1
	}
	return 1 + max(0, len(program.Inst)-idle)*2/5
}

// overlaps returns at how many positions of a literal a text can be at the
// same time, besides the furthest: 4 for "=====", 0 for "failed".
func overlaps(literal []rune) int {
	most := 0
	border := make([]int, len(literal)) // length of the longest prefix that also ends here
	at := make([]int, len(literal))     // number of prefixes that end here
	for i := 1; i < len(literal); i++ {
		n := border[i-1]
		for n > 0 && literal[i] != literal[n] {
			n = border[n-1]
		}
		if literal[i] == literal[n] {
			n++
			at[i] = 1 + at[n-1]
		}
		border[i] = n
		most = max(most, at[i])
	}
	return most
}

// unitsOfGlob returns the units of work for each byte that is matched with a
// glob pattern, because the whole pattern may be tried from each byte.
func unitsOfGlob(call *ast.CallNode) int {
	if len(call.Arguments) > 1 {
		if pattern, ok := call.Arguments[1].(*ast.StringNode); ok {
			return len(pattern.Value) + 1
		}
	}
	return maxGlob
}
