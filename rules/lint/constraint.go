package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// constraint restricts one value of an event. A condition that is not
// understood becomes an opaque constraint: it only has a truth value.
type constraint struct {
	text   string
	about  string // the restricted value, as the expression has it: job.status
	truth  bool
	values []any          // the value is one of these (with truth false: none of these)
	among  map[any]bool   // values as a set
	test   func(any) bool // or the value satisfies test (with truth false: it does not)
	bound  bound          // or the value is within the bound
}

// bound is a limit on a number. The zero value is no limit.
type bound struct {
	operator string // <, <=, > or >=
	limit    float64
}

// aboutNothing is the restricted value of a condition that reads no value of
// the event.
const aboutNothing = "true"

// constraintOf returns the constraint of a condition without operands. The
// result is false if the condition can't be represented.
func constraintOf(s assumption) (constraint, bool) {
	if ambiguous(s.node) {
		return constraint{}, false
	}
	text := s.node.String()
	opaque := constraint{text: text, about: text, truth: s.value}
	switch n := s.node.(type) {
	case *ast.BoolNode:
		return constantly(n.Value == s.value), true
	case *ast.CallNode:
		if pattern := expression.Argument(n, 1); n.Callee.String() == "glob" && pattern != nil {
			return constraint{text: text, about: n.Arguments[0].String(), truth: s.value, test: func(v any) bool {
				return doublestar.MatchUnvalidated(pattern.Value, v.(string))
			}}, true
		}
	case *ast.BinaryNode:
		about, operator, with := n.Left, n.Operator, n.Right
		if mirrored := mirror[operator]; mirrored != "" && literalOf(with) == nil {
			about, operator, with = n.Right, mirrored, n.Left
		}
		c := constraint{text: text, about: about.String(), truth: s.value}
		if !c.compare(operator, with) {
			return opaque, true
		}
		if v := literalOf(about); v != nil {
			return constantly(c.admits(v)), true
		}
		return c, true
	}
	return opaque, true
}

func constantly(truth bool) constraint {
	c := constraint{about: aboutNothing, truth: true}
	c.oneOf(truth)
	return c
}

func (c *constraint) oneOf(values ...any) {
	c.values, c.among = []any{}, map[any]bool{}
	for _, v := range values {
		if !c.among[v] {
			c.values, c.among[v] = append(c.values, v), true
		}
	}
}

// ambiguous reports whether the text of a condition does not identify it: a
// variable may have different values in different places, and expr's printer
// omits the brackets around a conditional.
func ambiguous(n ast.Node) bool {
	return ast.Find(n, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.VariableDeclaratorNode, *ast.SequenceNode, *ast.ConditionalNode:
			return true
		}
		return false
	}) != nil
}

// mirror maps each operator to the equivalent one for exchanged operands.
var mirror = map[string]string{"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// compare reads a comparison with a literal. It reports whether the comparison
// is one.
func (c *constraint) compare(operator string, with ast.Node) bool {
	literal := literalOf(with)
	text, isText := literal.(string)
	number, isNumber := literal.(float64)
	switch operator {
	case "==":
		c.oneOf(literal)
		return literal != nil
	case "in":
		array, ok := with.(*ast.ArrayNode)
		if !ok {
			return false
		}
		values := make([]any, len(array.Nodes))
		for i, item := range array.Nodes {
			values[i] = literalOf(item)
		}
		c.oneOf(values...)
		return !c.among[nil]
	case "<", "<=", ">", ">=":
		if !c.truth {
			c.truth, operator = true, opposite[operator]
		}
		c.bound = bound{operator, number}
		return isNumber
	case "startsWith":
		c.test = func(v any) bool { return strings.HasPrefix(v.(string), text) }
	case "endsWith":
		c.test = func(v any) bool { return strings.HasSuffix(v.(string), text) }
	case "contains":
		c.test = func(v any) bool { return strings.Contains(v.(string), text) }
	case "matches":
		pattern, err := regexp.Compile(text)
		if err != nil {
			return false
		}
		c.test = func(v any) bool { return pattern.MatchString(v.(string)) }
	}
	return isText && c.test != nil
}

// opposite maps each operator to its negation.
var opposite = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<"}

// literalOf returns the value of a text or number literal, and of a duration
// in seconds; nil for any other node.
func literalOf(n ast.Node) any {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.IntegerNode:
		return float64(n.Value)
	case *ast.FloatNode:
		return n.Value
	case *ast.UnaryNode:
		if number, ok := literalOf(n.Node).(float64); ok && n.Operator == "-" {
			return -number
		}
	case *ast.BuiltinNode:
		if n.Name == "duration" && len(n.Arguments) == 1 {
			text, _ := literalOf(n.Arguments[0]).(string)
			if d, err := event.ParseDuration(text); err == nil {
				return d.Seconds()
			}
		}
	}
	return nil
}

// admits reports whether the constraint allows the value.
func (c *constraint) admits(v any) bool {
	number, isNumber := v.(float64)
	_, isText := v.(string)
	switch {
	case c.values != nil:
		return c.among[v] == c.truth
	case c.test != nil && isText:
		return c.test(v) == c.truth
	case c.bound.operator != "" && isNumber:
		switch limit := c.bound.limit; c.bound.operator {
		case "<":
			return number < limit
		case "<=":
			return number <= limit
		case ">":
			return number > limit
		default:
			return number >= limit
		}
	}
	return true
}

// conjunction is a list of constraints that apply together. The empty
// conjunction allows every event.
type conjunction []constraint

// admits reports whether all constraints on a value of the event allow v.
func (cs conjunction) admits(about string, v any) bool {
	for i := range cs {
		if cs[i].about == about && !cs[i].admits(v) {
			return false
		}
	}
	return true
}

// values returns the values that a value of the event may have; false if they
// are not a finite list.
func (cs conjunction) values(about string) ([]any, bool) {
	for _, c := range cs {
		if c.about != about || c.values == nil || !c.truth {
			continue
		}
		var all []any
		for _, v := range c.values {
			if cs.admits(about, v) {
				all = append(all, v)
			}
		}
		return all, true
	}
	return nil, false
}

// contradictory reports whether the constraint c, the last of the conjunction,
// contradicts the others.
func (cs conjunction) contradictory(c constraint, classes []string) bool {
	if c.about == aboutNothing {
		return !c.admits(true)
	}
	if slices.ContainsFunc(cs, c.excludes) {
		return true
	}
	if values, pinned := cs.values(c.about); pinned && len(values) == 0 {
		return true
	}
	switch of, field := ofJob(c.about); field {
	case "status", "failure_reason", "failure_class":
		if of != "job." {
			classes = nil // the classes apply to the event's job only
		}
		return cs.failsWithoutFailure(of, classes)
	}
	return false
}

// ofJob splits the name of a job's field into the job (the event's job, or an
// element of a list of jobs) and the field. For any other value the field is
// "".
func ofJob(about string) (of, field string) {
	dot := strings.LastIndex(about, ".") + 1
	switch of := about[:dot]; of {
	case "job.", "details().", ".":
		return of, about[dot:]
	}
	return "", ""
}

// excludes reports whether two constraints on one value contradict each other,
// independently of its possible values.
func (c *constraint) excludes(other constraint) bool {
	if c.about != other.about {
		return false
	}
	return c.text == other.text && c.truth != other.truth || c.bound.above(other.bound) || other.bound.above(c.bound)
}

// above reports whether b is a lower bound and other an upper bound, and no
// number satisfies both.
func (b bound) above(other bound) bool {
	switch {
	case !strings.HasPrefix(b.operator, ">") || !strings.HasPrefix(other.operator, "<"):
		return false
	case b.operator == ">=" && other.operator == "<=":
		return b.limit > other.limit
	}
	return b.limit >= other.limit
}

// failsWithoutFailure reports whether no job can satisfy the constraints on
// status, failure reason and failure class together. A job has a reason only
// if it failed, and the reason determines the class, unless the log gives it
// one of classes. of is the prefix of the job's fields, with the dot.
func (cs conjunction) failsWithoutFailure(of string, classes []string) bool {
	fails := cs.admits(of+"status", "failed")
	reasons, pinned := cs.values(of + "failure_reason")
	if !pinned {
		reasons = []any{""}
		classes, pinned := cs.values(of + "failure_class")
		if fails && (!pinned || slices.ContainsFunc(classes, func(class any) bool { return class != "" })) {
			return false // with another reason
		}
	}
	return !slices.ContainsFunc(reasons, func(reason any) bool {
		text, _ := reason.(string)
		class := cs.admits(of+"failure_class", event.ClassOf(text))
		if fails && !class {
			class = slices.ContainsFunc(classes, func(name string) bool { return cs.admits(of+"failure_class", name) })
		}
		return cs.admits(of+"failure_reason", text) && class && (text == "" || fails)
	})
}
