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

// claim says something about one value of an event. Of a condition that is not
// understood it says no more than whether it holds.
type constraint struct {
	text   string
	about  string // the value that it is about, as the text has it: job.status
	holds  bool
	values []any          // it is one of these (not holds: none of these)
	among  map[any]bool   // the same values
	test   func(any) bool // or this is so of it (not holds: is not)
	bound  bound          // or it lies within
}

// bound is a limit of numbers; the zero value is none.
type bound struct {
	operator string // <, <=, > or >=
	limit    float64
}

// aboutNothing is what a condition without values of the event is about.
const aboutNothing = "true"

// claimOf reads a condition without parts; false where nothing can be said.
func constraintOf(s assumption) (constraint, bool) {
	if ambiguous(s.node) {
		return constraint{}, false
	}
	text := s.node.String()
	opaque := constraint{text: text, about: text, holds: s.value}
	switch n := s.node.(type) {
	case *ast.BoolNode:
		return constantly(n.Value == s.value), true
	case *ast.CallNode:
		if pattern := expression.Argument(n, 1); n.Callee.String() == "glob" && pattern != nil {
			return constraint{text: text, about: n.Arguments[0].String(), holds: s.value, test: func(v any) bool {
				return doublestar.MatchUnvalidated(pattern.Value, v.(string))
			}}, true
		}
	case *ast.BinaryNode:
		about, operator, with := n.Left, n.Operator, n.Right
		if mirrored := mirror[operator]; mirrored != "" && literalOf(with) == nil {
			about, operator, with = n.Right, mirrored, n.Left
		}
		c := constraint{text: text, about: about.String(), holds: s.value}
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

func constantly(holds bool) constraint {
	c := constraint{about: aboutNothing, holds: true}
	c.oneOf(holds)
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

// ambiguous reports whether the text of a condition may stand for two: a
// variable has one value here and another there, and the printer leaves out
// the brackets around a conditional.
func ambiguous(n ast.Node) bool {
	return ast.Find(n, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.VariableDeclaratorNode, *ast.SequenceNode, *ast.ConditionalNode:
			return true
		}
		return false
	}) != nil
}

// mirror gives the operators that say the same with the two sides exchanged.
var mirror = map[string]string{"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// compare reads a comparison with literals. It reports whether it is one.
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
		if !c.holds {
			c.holds, operator = true, opposite[operator]
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

// opposite gives the operators of what is so when a comparison is not.
var opposite = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<"}

// literalOf gives the text or the number that is written out, durations in
// seconds; nil for what is neither.
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

// admits reports whether the claim leaves the value possible.
func (c *constraint) admits(v any) bool {
	number, isNumber := v.(float64)
	_, isText := v.(string)
	switch {
	case c.values != nil:
		return c.among[v] == c.holds
	case c.test != nil && isText:
		return c.test(v) == c.holds
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

// world is claims that hold together. One without any says nothing.
type conjunction []constraint

// admits reports whether what it is about may have the value.
func (w conjunction) admits(about string, v any) bool {
	for i := range w {
		if w[i].about == about && !w[i].admits(v) {
			return false
		}
	}
	return true
}

// values gives all that something can be; false where it may be anything.
func (w conjunction) values(about string) ([]any, bool) {
	for _, c := range w {
		if c.about != about || c.values == nil || !c.holds {
			continue
		}
		var all []any
		for _, v := range c.values {
			if w.admits(about, v) {
				all = append(all, v)
			}
		}
		return all, true
	}
	return nil, false
}

// contradictory reports whether the newest claim c leaves nothing possible
// that the others do.
func (w conjunction) contradictory(c constraint, classes []string) bool {
	if c.about == aboutNothing {
		return !c.admits(true)
	}
	if slices.ContainsFunc(w, c.excludes) {
		return true
	}
	if values, pinned := w.values(c.about); pinned && len(values) == 0 {
		return true
	}
	switch of, field := ofJob(c.about); field {
	case "status", "failure_reason", "failure_class":
		if of != "job." {
			classes = nil // only the event's job has them
		}
		return w.failsWithoutFailure(of, classes)
	}
	return false
}

// ofJob splits the name of a job's field: the event's job, or an element of a
// list of jobs. Of any other value the field is "".
func ofJob(about string) (of, field string) {
	dot := strings.LastIndex(about, ".") + 1
	switch of := about[:dot]; of {
	case "job.", "details().", ".":
		return of, about[dot:]
	}
	return "", ""
}

// excludes reports whether two claims about the same can't both be so, also
// where it may have any value.
func (c *constraint) excludes(other constraint) bool {
	if c.about != other.about {
		return false
	}
	return c.text == other.text && c.holds != other.holds || c.bound.above(other.bound) || other.bound.above(c.bound)
}

// above reports whether b is a lower bound that no number below the upper
// bound other reaches.
func (b bound) above(other bound) bool {
	switch {
	case !strings.HasPrefix(b.operator, ">") || !strings.HasPrefix(other.operator, "<"):
		return false
	case b.operator == ">=" && other.operator == "<=":
		return b.limit > other.limit
	}
	return b.limit >= other.limit
}

// failsWithoutFailure reports whether no job can have the status, the failure
// reason and the failure class that are claimed: a job has a reason only when
// it failed, and the reason gives the class, unless the log makes it one of
// classes. of is the job with its dot.
func (w conjunction) failsWithoutFailure(of string, classes []string) bool {
	fails := w.admits(of+"status", "failed")
	reasons, pinned := w.values(of + "failure_reason")
	if !pinned {
		reasons = []any{""}
		classes, pinned := w.values(of + "failure_class")
		if fails && (!pinned || slices.ContainsFunc(classes, func(class any) bool { return class != "" })) {
			return false // with some other reason
		}
	}
	return !slices.ContainsFunc(reasons, func(reason any) bool {
		text, _ := reason.(string)
		class := w.admits(of+"failure_class", event.ClassOf(text))
		if fails && !class {
			class = slices.ContainsFunc(classes, func(name string) bool { return w.admits(of+"failure_class", name) })
		}
		return w.admits(of+"failure_reason", text) && class && (text == "" || fails)
	})
}
