package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	exprfile "github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"github.com/expr-lang/expr/vm/runtime"
	"go.yaml.in/yaml/v4"
)

// Bounds on rule files. What is larger is refused when it is loaded.
const (
	maxFile        = 8 << 20   // bytes of a file
	maxYAML        = 1_000_000 // values of a file, each counted as often as aliases (*name) stand for it
	maxRules       = 50_000    // of all files
	maxExpressions = 100_000   // of a file
	maxMistakes    = 1_000     // that are told of a file
	maxExpression  = 256 << 10 // bytes of an expression: room for a list of 5,000 projects
	maxBrackets    = 200       // brackets in brackets in an expression
	maxNodes       = 10_000    // parts of an expression, as expr counts them
	maxRange       = 10_000    // numbers in a range that is written out, like 1..100
	maxGlob        = 500       // bytes of a glob pattern
	maxGlobs       = 1_000     // texts that its {a,b} stand for
	maxPattern     = 10_000    // bytes of a regular expression
)

// Bounds on what the expressions of one event do. Work is counted before it is
// done, and so the same evaluation ends alike on every machine: an element of
// a list that an expression goes over counts a unit or more for each part that
// is evaluated for it, a text that is searched a unit for each 16 bytes, one
// that is made 4 units for each byte, one that is matched with a regular
// expression one for each byte and more for what repeats. A unit is about
// 30 ns. Memory is counted as if nothing were freed before the run ends.
const (
	eventWork  = 60_000_000 // units for all rules of an event; each may use an equal share of the rest
	ruleWork   = 30_000_000 // units for one rule, at most
	fullMemory = 64 << 20   // bytes that one run makes
	maxMade    = 250_000    // elements of ranges and literal lists that one run makes (expr's memory budget)
	maxText    = 4 << 20    // bytes of a text that repeat, replace or join make
	maxTargets = 5_000      // jobs that one action is for
	maxDeep    = 100        // lists in lists in a value that is looked at as a whole
)

// logUnits is the work to clean and mask a log, for each 16 bytes, and
// logCopies is how often it is in memory at the same time while that is done.
const (
	logUnits  = 16
	logCopies = 4
)

// machine runs programs within bounds. One serves one evaluation at a time.
type machine struct {
	vm     vm.VM
	ctx    context.Context
	permit *permit
	rule   string // whose expressions run
	work   int    // units left to the rule
	memory int    // bytes left to the run

	spent int // units that the evaluation has used
	held  int // bytes that it keeps to its end: logs
}

func newMachine() *machine { return &machine{vm: vm.VM{MemoryBudget: maxMade}} }

// begin makes the machine ready for an evaluation.
func (m *machine) begin(ctx context.Context, p *permit) {
	m.ctx, m.permit, m.spent, m.held = ctx, p, 0, 0
	m.allot("", ruleWork)
}

// allot gives a rule so many units of work for all its expressions.
func (m *machine) allot(rule string, work int) { m.rule, m.work = rule, work }

// run evaluates a program. An error of Facts comes back as it was.
func (m *machine) run(program *vm.Program, env any) (any, error) {
	m.memory = fullMemory
	value, err := m.vm.Run(program, env)
	if err != nil {
		return nil, cause(err, program)
	}
	return value, nil
}

// use counts work and memory before they are used, and panics where that is
// more than the rule has left, as the machine of expr expects it.
func (m *machine) use(work, memory int) {
	if work > m.work || memory > m.memory {
		panic(errTooMuch)
	}
	m.work -= work
	m.memory -= memory
	if err := m.weigh(work); err != nil {
		panic(unanswered{err})
	}
}

// weigh counts work for the evaluation. One that is no quick one any more waits
// until it may go on as a heavy one.
func (m *machine) weigh(work int) error {
	m.spent += work
	if m.spent <= quickWork && m.held+fullMemory-m.memory <= quickMemory {
		return nil
	}
	return m.permit.escalate(m.ctx, m.rule)
}

// hold counts a log that the evaluation has read and keeps.
func (m *machine) hold(log string) error {
	m.held += logCopies * len(log)
	return m.weigh(logUnits * (len(log)/16 + 1))
}

// text evaluates a program and writes its value as people read it.
func (m *machine) text(program *vm.Program, env any) (string, error) {
	value, err := m.run(program, env)
	if err != nil {
		return "", err
	}
	if m.size(value) > m.work {
		return "", errTooMuch
	}
	return textOf(value), nil
}

// unanswered marks an error that a question to GitLab came back with: its words
// hold no secrets.
type unanswered struct{ error }

// cause strips expr's wrapping from an error. What expr says of values is left
// out where they may hold secrets.
func cause(err error, program *vm.Program) error {
	var fact unanswered
	if errors.As(err, &fact) {
		return fact.error
	}
	if errors.Is(err, errTooMuch) {
		return errTooMuch
	}
	message := err.Error()
	if e := (*exprfile.Error)(nil); errors.As(err, &e) {
		message = e.Message
	}
	switch {
	case message == "memory budget exceeded":
		return errTooMuch
	case strings.HasPrefix(message, "index out of range"):
	case secretive(program.Node()):
		return errors.New("the expression failed. It reads a log or variables, so what expr says of their values is not shown; int(), float() and date() fail on texts that are none")
	}
	return errors.New(shorten(plainTypes(message)))
}

// How Spend counts a value.
const (
	byElement = iota // a list's elements, or pairs of a mapping
	bySquare         // the square of that
	byLength         // a text's bytes, in 16
	byAll            // all that is in it, however deep
	byPart           // the parts of a text that a separator gives
)

// Units for each 16 bytes of a text.
const (
	toRead = 1
	toMake = 64

	excerptUnits = 32 // to find in a log what matters, at worst
)

// cost says how a value is counted: so many units of work, and bytes of memory,
// for each of what it is counted by.
type cost struct{ how, work, memory int }

// spend is called by what meter writes into expressions: it counts the work
// and the memory that come with a value, by a cost, and gives the value. byPart
// comes with the separator.
func (m *machine) spend(args ...any) any {
	value := args[0]
	c := cost{args[1].(int), args[2].(int), args[3].(int)}
	separator := ""
	if len(args) > spendArguments {
		separator = args[spendArguments].(string)
	}
	m.pay(value, c, separator)
	return value
}

func (m *machine) pay(value any, c cost, separator string) {
	n := 0
	switch text, isText := value.(string); {
	case c.how == byPart:
		n = strings.Count(text, separator) + 1
	case isText && c.how != byElement:
		n = len(text)/16 + 1
	case c.how == byElement:
		n = length(value)
	case c.how == bySquare:
		n = length(value)
		n *= min(n, ruleWork)
	case c.how == byAll:
		n = m.size(value)
	}
	if c.work > 0 && n > m.work/c.work || c.memory > 0 && n > m.memory/c.memory {
		panic(errTooMuch)
	}
	m.use(n*c.work, n*c.memory)
}

// length gives how many elements a list or mapping has; 0 for anything else.
func length(value any) int {
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return v.Len()
	default:
		return 0
	}
}

// size counts all that is in a value, in 16 bytes: what stands in it twice
// twice, and 4 for each element. It counts no further than to what is left.
func (m *machine) size(value any) int {
	n := 0
	var count func(v reflect.Value, depth int)
	count = func(v reflect.Value, depth int) {
		if n += 4; n > m.work || depth > maxDeep {
			n = max(n, m.work+1)
			return
		}
		switch v.Kind() {
		case reflect.String:
			n += v.Len() / 16
		case reflect.Interface, reflect.Pointer:
			if !v.IsNil() {
				count(v.Elem(), depth)
			}
		case reflect.Slice, reflect.Array:
			for i := 0; i < v.Len() && n <= m.work; i++ {
				count(v.Index(i), depth+1)
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next() && n <= m.work; {
				count(it.Key(), depth+1)
				count(it.Value(), depth+1)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				count(v.Field(i), depth+1)
			}
		default: // nothing more than itself
		}
	}
	count(reflect.ValueOf(value), 0)
	return n
}

// meter writes into a checked expression what counts its work: the calls of
// Spend, which is machine.spend. What costs little, like comparing fields of
// the event, is left as it is. It also refuses what no count can bound.
type meter struct {
	fail  func(n ast.Node, format string, args ...any)
	calls int // of Spend, until now
}

// Visit implements ast.Visitor; children come before their parents.
func (m *meter) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		m.operator(node, n)
	case *ast.BuiltinNode:
		m.builtin(node, n)
	case *ast.CallNode:
		m.call(node, n, n.Callee.String())
	}
}

func (m *meter) call(node *ast.Node, n *ast.CallNode, name string) {
	if len(n.Arguments) == 0 {
		return // of the functions below, a mistake that expr tells
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

func (m *meter) operator(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "+":
		if kind := n.Type().Kind(); kind == reflect.String || kind == reflect.Interface {
			m.charge(node, textMade)
		}
	case "==", "!=", "<", "<=", ">", ">=", "startsWith", "endsWith":
		// Two texts are compared as far as the shorter goes.
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
			m.fail(n.Right, "a regular expression must stand in quotes")
			return
		}
		if len(pattern.Value) > maxPattern {
			m.fail(n.Right, "the regular expression has %d bytes, more than %d", len(pattern.Value), maxPattern)
			return
		}
		m.charge(&n.Left, cost{byLength, 16 * unitsOf(pattern.Value), 0})
	case "..":
		from, isNumber := number(n.Left)
		to, isNumberToo := number(n.Right)
		if isNumber && isNumberToo && to-from >= maxRange {
			m.fail(n, "this range holds more than %d numbers: compare with < and > instead", maxRange)
		}
	}
}

// number gives the value of a whole number that is written out.
func number(n ast.Node) (int, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.UnaryNode:
		value, ok := number(n.Node)
		if n.Operator == "-" {
			value = -value
		}
		return value, ok
	}
	return 0, false
}

func (m *meter) builtin(node *ast.Node, n *ast.BuiltinNode) {
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

// Bytes that an element takes: boxed in a list of any values, and in a group of
// its own.
const (
	boxed   = 16
	grouped = 160
)

// sizeOfElement returns the bytes of an element of a list that is boxed.
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

// sorting is what an element costs to sort, in units.
const sorting = 30

// parts gives the units of a predicate, which is evaluated for each element.
func parts(predicate ast.Node) int {
	n := 0
	ast.Find(predicate, func(part ast.Node) bool {
		n++
		switch part := part.(type) {
		case *ast.PointerNode:
			n += 15 // a job of a list is copied each time
		case *ast.BuiltinNode:
			n += 60 // it makes a value, mostly
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
				n += shortText * unitsOf(pattern.Value)
			}
		}
		return false
	})
	return n
}

// shortText is how many bytes fields of the event have, names mostly.
const shortText = 64

// textMade is what a text costs that is made.
var textMade = cost{byLength, toMake, 16}

// costsOf has what the arguments of the builtins without a predicate cost; all
// that is in them for those that are not here.
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
	set([]cost{{byLength, toMake, 0}}, "split", "splitAfter") // their parts: chargeParts
	set([]cost{{byLength, toMake, 2 * 16}}, "upper", "lower", "toBase64", "fromBase64")
	set([]cost{{byLength, toMake, 20 * 16}}, "fromJSON")
	set([]cost{{byElement, 1, 3 * boxed}}, "take", "reverse", "concat", "keys", "values")
	set([]cost{{byElement, 1, 6 * boxed}}, "toPairs", "fromPairs")
	set([]cost{{byElement, sorting, 2 * boxed}, {byAll, toRead, 0}}, "sort")
	set([]cost{{bySquare, 2, 0}, {byAll, toRead, 0}}, "uniq")
	return all
}()

// chargeParts lets the parts be counted that split makes of a text: as many as
// the separator gives, and one for each character where that is not written out.
func (m *meter) chargeParts(n *ast.BuiltinNode) {
	if len(n.Arguments) < 2 {
		return // a mistake that expr tells
	}
	separator, _ := n.Arguments[1].(*ast.StringNode)
	if separator == nil {
		separator = &ast.StringNode{}
		separator.SetType(reflect.TypeFor[string]())
	}
	m.chargeAlways(&n.Arguments[0], cost{byPart, 0, boxed}, separator)
}

// charge lets the value of a node be counted, unless it is always small.
func (m *meter) charge(node *ast.Node, c cost) {
	if !small(*node) {
		m.chargeAlways(node, c)
	}
}

// spendArguments is how many arguments Spend has, but for a separator.
const spendArguments = 5

func (m *meter) chargeAlways(node *ast.Node, c cost, separator ...ast.Node) {
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

// small reports whether a value is always small: a number, a time, what is
// written out, or a field of the event that GitLab keeps short.
func small(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.StringNode:
		return len(n.Value) < 256
	case *ast.ArrayNode:
		return !slices.ContainsFunc(n.Nodes, func(item ast.Node) bool { return !small(item) })
	case *ast.MemberNode:
		property, named := n.Property.(*ast.StringNode)
		short := n.Type().Kind() == reflect.String || n.Type() == reflect.TypeFor[[]string]()
		if named && short && n.Node.Type().PkgPath() == jobType.PkgPath() {
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

// unitsOf gives the units for each byte that is matched with a regular
// expression. Go's are linear in the text, but each of their instructions may
// be at work on each byte. Those of a literal are not: a text is at one place
// of a literal at a time, or, where that repeats itself, at few.
func unitsOf(pattern string) int {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 1 // told by expr
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

// overlaps gives at how many places of a literal a text can be at once, besides
// the furthest: 4 for "=====", none for "failed".
func overlaps(literal []rune) int {
	most := 0
	border := make([]int, len(literal)) // length of the longest start that ends here, too
	at := make([]int, len(literal))     // how many starts end here
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

// unitsOfGlob gives the units for each byte that is matched with a glob
// pattern: from each, all of the pattern may be tried.
func unitsOfGlob(call *ast.CallNode) int {
	if pattern := argument(call, 1); pattern != nil {
		return len(pattern.Value) + 1
	}
	return maxGlob
}

// makers are builtins of expr that make a text as long as one argument times
// another. They tell its length before it is made.
var makers = map[string]func(args []any) int{
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
		for i := 0; i < list.Len() && n <= maxText; i++ {
			if text, ok := list.Index(i).Interface().(string); ok {
				n += len(text)
			}
		}
		return n
	},
}

// product gives a×b, or something larger than maxText where that is.
func product(a, b int) int {
	if b > 0 && a > maxText/b {
		return maxText + 1
	}
	return a * max(b, 0)
}

// boundOptions bound what an expression may be and do, but for meter.
var boundOptions = func() []expr.Option {
	options := []expr.Option{expr.MaxNodes(maxNodes)}
	for _, name := range slices.Sorted(maps.Keys(makers)) {
		own := *builtin.Builtins[builtin.Index[name]]
		made, lengthOf := own.Func, makers[name]
		if made == nil {
			safe := own.Safe
			made = func(args ...any) (any, error) {
				value, _, err := safe(args...)
				return value, err
			}
		}
		own.Safe = nil
		own.Func = func(args ...any) (any, error) {
			if lengthOf(args) > maxText {
				return nil, errTooMuch
			}
			return made(args...)
		}
		options = append(options, expr.DisableBuiltin(name), func(c *conf.Config) { c.Functions[name] = &own })
	}
	return options
}()

// tooLarge says why a file is not even parsed, and where; "" if it is.
func (f *file) tooLarge(data []byte) (at int, message string) {
	if len(data) > maxFile {
		return 0, fmt.Sprintf("the file has %d bytes, more than %d: spread the rules over several files of a directory", len(data), maxFile)
	}
	for i := 0; i < len(data); at++ {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return at, "the file is not UTF-8"
		}
		i += size
	}
	return 0, ""
}

// expanded counts a node and all in it, each alias as what it stands for, but
// no further than just beyond maxYAML.
func expanded(root *yaml.Node) int {
	counts := map[*yaml.Node]int{}
	var count func(n *yaml.Node) int
	count = func(n *yaml.Node) int {
		if known, ok := counts[n]; ok {
			return known
		}
		counts[n] = maxYAML + 1 // where it stands in itself, it has no end
		total := 1
		for _, child := range n.Content {
			total = min(total+count(child), maxYAML+1)
		}
		if n.Alias != nil {
			total = min(total+count(n.Alias), maxYAML+1)
		}
		counts[n] = total
		return total
	}
	return count(root)
}

// tooLarge says why an expression is not even parsed, and where; "" if it is.
func tooLarge(source string) (at int, message string) {
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

// glob is the function of that name.
func glob(args ...any) (any, error) {
	text, pattern := args[0].(string), args[1].(string)
	if err := boundGlob(pattern); err != nil {
		return nil, err
	}
	return doublestar.Match(pattern, text)
}

// boundGlob refuses patterns that take long to match.
func boundGlob(pattern string) error {
	if len(pattern) > maxGlob {
		return fmt.Errorf("the glob pattern has %d bytes, more than %d", len(pattern), maxGlob)
	}
	if strings.ContainsRune(pattern, '{') && alternatives(pattern) > maxGlobs {
		return fmt.Errorf("the {a,b} of the glob pattern stand for more than %d texts", maxGlobs)
	}
	return nil
}

// alternatives gives how many texts the {a,b} of a glob pattern stand for, or
// something larger than maxGlobs.
func alternatives(pattern string) int {
	n := 1
	var commas []int // of each { that is open
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
