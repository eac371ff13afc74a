package rules

import (
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/pipesteward/pipesteward/rules/condition"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// ruleIndex finds the rules for one kind of event that may match an event
// without running them. So the time to evaluate an event grows with the number
// of rules that may match it, not with the number of all rules.
//
// A condition often pins fields of the event: it is false unless, for example,
// project.path is one of a few texts. The rules that pin the same fields form
// a shape, which maps the texts of these fields to rules. One lookup in each
// shape, of which there are few, returns all rules that may match. Pins of two
// fields are combined. (Packet filters call this tuple space search.)
type ruleIndex struct {
	shapes   []shape
	statuses texts // statuses at which a rule may decide something; nil: any
}

// shape contains the rules that pin the same fields.
type shape struct {
	fields []int           // the pinned fields
	rules  map[key][]int32 // positions of the rules in file order, ascending
}

// Fields by which rules are indexed, the most selective first.
const (
	byProject = iota
	byGroup
	byReason
	byJobStatus
	byPipelineStatus
	pinnable // number of these fields
)

// pinnableNames are the names of the fields as comparison returns them.
var pinnableNames = [pinnable]string{
	byProject:        "project.path",
	byGroup:          group,
	byReason:         "job.failure_reason",
	byJobStatus:      "job.status",
	byPipelineStatus: "pipeline.status",
}

// group is the field that glob(project.path, "group/*") pins: the path without
// its last part.
const group = "group of project.path"

// key contains the texts of the fields that a shape pins. The other texts are
// "".
type key [pinnable]string

// keyOf returns the texts of all fields.
func keyOf(e *event.Event) key {
	return key{
		byProject:        e.Project.Path,
		byGroup:          e.Project.Path[:max(strings.LastIndexByte(e.Project.Path, '/'), 0)],
		byReason:         e.Job.FailureReason,
		byJobStatus:      e.Job.Status,
		byPipelineStatus: e.Pipeline.Status,
	}
}

// maxKeys is the maximum number of keys of one rule that pins many texts in
// several fields.
const maxKeys = 1000

// add adds a rule to the index. Positions must be added in ascending order.
func (ix *ruleIndex) add(position int, r *Rule) {
	var condition ast.Node // nil: always true
	if r.Condition != nil {
		condition = r.Condition.Node()
	}
	r.statuses = pinned(condition, statusesIn(r.On), always)
	if !r.OnlyStops() { // an event that such a rule alone may match causes nothing
		ix.statuses = ix.statuses.or(r.statuses)
	}

	var fields []int
	keys := []key{{}}
	for field, name := range pinnableNames {
		allowed := pinned(condition, textsIn(name), cannotFail)
		if allowed == nil || len(fields) > 0 && len(keys)*len(allowed) > maxKeys {
			continue
		}
		fields = append(fields, field)
		var longer []key
		for _, k := range keys {
			for text := range allowed {
				k[field] = text
				longer = append(longer, k)
			}
		}
		keys = longer
	}
	s := ix.shape(fields)
	for _, k := range keys {
		s.rules[k] = append(s.rules[k], int32(position))
	}
}

// shape returns the shape for these fields.
func (ix *ruleIndex) shape(fields []int) *shape {
	i := slices.IndexFunc(ix.shapes, func(s shape) bool { return slices.Equal(s.fields, fields) })
	if i < 0 {
		i = len(ix.shapes)
		ix.shapes = append(ix.shapes, shape{fields, map[key][]int32{}})
	}
	return &ix.shapes[i]
}

// wants reports whether a rule may match an event with this status.
func (ix *ruleIndex) wants(status string) bool {
	return ix != nil && (ix.statuses == nil || ix.statuses[status])
}

// candidates are the rules that may match an event: disjoint non-empty lists
// of positions. The array keeps them off the heap.
type candidates struct {
	lists [1 << pinnable][]int32
	n     int
}

// find collects the rules that may match the event. Any other rule would
// neither match, nor send requests to GitLab, nor fail.
func (ix *ruleIndex) find(e *event.Event, found *candidates) {
	if ix == nil {
		return
	}
	all := keyOf(e)
	for i := range ix.shapes {
		s := &ix.shapes[i]
		var k key
		for _, field := range s.fields {
			k[field] = all[field]
		}
		if list := s.rules[k]; len(list) > 0 {
			found.lists[found.n] = list
			found.n++
		}
	}
}

// rules returns the number of rules.
func (c *candidates) rules() (n int) {
	for _, list := range c.lists[:c.n] {
		n += len(list)
	}
	return n
}

// next removes and returns the lowest position.
func (c *candidates) next() (position int, ok bool) {
	if c.n == 0 {
		return 0, false
	}
	first := 0
	for i := 1; i < c.n; i++ {
		if c.lists[i][0] < c.lists[first][0] {
			first = i
		}
	}
	position = int(c.lists[first][0])
	if c.lists[first] = c.lists[first][1:]; len(c.lists[first]) == 0 {
		c.n--
		c.lists[first] = c.lists[c.n]
	}
	return position, true
}

// texts are the values at which a condition may be true; nil means any value.
type texts map[string]bool

func (s texts) and(t texts) texts {
	if s == nil {
		return t
	}
	if t == nil {
		return s
	}
	both := texts{}
	for text := range s {
		if t[text] {
			both[text] = true
		}
	}
	return both
}

func (s texts) or(t texts) texts {
	if s == nil || t == nil {
		return nil
	}
	either := maps.Clone(s)
	maps.Copy(either, t)
	return either
}

// pinned derives from a condition the texts of a field at which it may be
// true. in returns them for a comparison. A condition that pinned does not
// understand may be true at any text, so the result is never too small. passes
// reports whether the right operand of an `and` may be used to narrow the
// result: it is evaluated after the left operand, which may fail.
func pinned(n ast.Node, in func(ast.Node) texts, passes func(ast.Node) bool) texts {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return in(n)
	}
	switch b.Operator {
	case "and", "&&":
		left := pinned(b.Left, in, passes)
		if !passes(b.Left) {
			return left
		}
		return left.and(pinned(b.Right, in, passes))
	case "or", "||":
		return pinned(b.Left, in, passes).or(pinned(b.Right, in, passes))
	}
	return in(n)
}

func always(ast.Node) bool { return true }

// textsIn returns a function that returns the texts of a pinnable field that a
// comparison allows.
func textsIn(name string) func(ast.Node) texts {
	return func(n ast.Node) texts {
		if field, values := comparison(n); field == name {
			return values
		}
		return nil
	}
}

// statusesIn returns a function that returns the statuses of its subject, a
// job or a pipeline, that a comparison allows. A failure reason or class is
// empty unless the job failed.
func statusesIn(subject string) func(ast.Node) texts {
	return func(n ast.Node) texts {
		switch field, values := comparison(n); {
		case field == subject+".status":
			return values
		case (field == subject+".failure_reason" || field == subject+".failure_class") && !values[""]:
			return texts{"failed": true}
		}
		return nil
	}
}

// comparison returns the field, like "job.status", that a condition compares
// with literals, and the texts at which it is true; "" for any other
// condition.
func comparison(n ast.Node) (field string, values texts) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "==":
			if field, values = compared(n.Left, n.Right); field == "" {
				field, values = compared(n.Right, n.Left)
			}
		case "in":
			field, values = compared(n.Left, n.Right)
		}
	case *ast.CallNode:
		if n.Callee.String() == "glob" && expression.FieldOf(n.Arguments[0]) == "project.path" {
			if name, ok := globbedGroup(expression.Argument(n, 1)); ok {
				return group, texts{name: true}
			}
		}
	}
	return field, values
}

func compared(field, with ast.Node) (string, texts) {
	name, values := expression.FieldOf(field), texts(condition.Literals(with))
	if name == "" || values == nil {
		return "", nil
	}
	return name, values
}

// globbedGroup returns the group whose direct projects are the only matches of
// a pattern like "group/subgroup/*".
func globbedGroup(pattern *ast.StringNode) (string, bool) {
	if pattern == nil {
		return "", false
	}
	name, ok := strings.CutSuffix(pattern.Value, "/*")
	return name, ok && !strings.ContainsAny(name, `*?[]{}\`)
}

// cannotFail reports whether a condition has a value for every event and sends
// no requests to GitLab. It understands the common conditions. Any other
// condition may fail.
func cannotFail(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.ConstantNode:
		return true
	case *ast.IdentifierNode:
		return slices.Contains(expression.EventNames, n.Value)
	case *ast.MemberNode:
		_, named := n.Property.(*ast.StringNode)
		return named && !n.Optional && expression.Rooted(n) && cannotFail(n.Node)
	case *ast.ArrayNode:
		return !slices.ContainsFunc(n.Nodes, func(item ast.Node) bool { return !cannotFail(item) })
	case *ast.UnaryNode:
		return cannotFail(n.Node)
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&", "or", "||", "==", "!=", "<", "<=", ">", ">=", "in", "contains", "startsWith", "endsWith":
			return cannotFail(n.Left) && cannotFail(n.Right)
		case "matches":
			_, constant := n.Right.(*ast.StringNode)
			return constant && cannotFail(n.Left)
		}
	case *ast.CallNode:
		switch n.Callee.String() {
		case "glob":
			return expression.Argument(n, 1) != nil && cannotFail(n.Arguments[0])
		case "age", "now":
			return !slices.ContainsFunc(n.Arguments, func(arg ast.Node) bool { return !cannotFail(arg) })
		}
	}
	return false
}

// WantsBridges reports whether a rule for job events reads whether the job is
// a trigger job. GitLab sends no events for trigger jobs.
func (rs *Rules) WantsBridges() bool { return rs.bridges }

// mentions reports whether the condition reads a field of the event.
func (r *Rule) mentions(field string) bool {
	return r.Condition != nil && ast.Find(r.Condition.Node(), func(n ast.Node) bool { return expression.FieldOf(n) == field }) != nil
}
