package expression

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/display"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// Explain returns why the condition of a rule had this result, which is one of
// the results of event.Part. The condition must have been evaluated before.
// Explain sends no requests to GitLab: it uses the responses to those of the
// condition.
func (s *Session) Explain(c *Clause, result string) event.Explanation {
	s.requests.closed = true
	rule, left := s.machine.Left()
	s.Allot(rule, limits.RuleWork)
	defer func() {
		s.requests.closed = false
		s.Allot(rule, left)
	}()
	x := event.Explanation{}
	x.If = c.explain(s, &x.Requested)
	if x.If.Result != result { // expr ignored a part that fails when it is evaluated by itself
		x.If = event.Part{Text: x.If.Text, Result: result}
	}
	markDecided(&x.If)
	return x
}

// Clause is a condition, or an operand of its logical operators, prepared for
// Explain.
type Clause struct {
	text     string
	operator string
	parts    []Clause
	program  *vm.Program // of a clause without operands
	operands []operand
	requests []string
}

// operand is a value that a clause reads.
type operand struct {
	text    string
	program *vm.Program
	hidden  bool // the value may contain secrets, so it is not shown
}

// NewClause splits a condition at its `and`, `or` and `not`. A condition that
// can't be split is one clause.
func NewClause(source string, p Purpose, condition *vm.Program) *Clause {
	if tree, err := parser.Parse(source); err == nil {
		if c := p.clause(tree.Node, strings.TrimSpace(source)); c.runs() {
			return &c
		}
	}
	return &Clause{text: source, program: condition}
}

// runs reports whether each part compiled by itself.
func (c *Clause) runs() bool {
	if c.operator == "" {
		return c.program != nil
	}
	return !slices.ContainsFunc(c.parts, func(part Clause) bool { return !part.runs() })
}

func (p Purpose) clause(n ast.Node, text string) Clause {
	switch n := n.(type) {
	case *ast.UnaryNode:
		if operator := Operators[n.Operator]; operator != "" {
			return Clause{text: text, operator: operator, parts: []Clause{p.clause(n.Node, n.Node.String())}}
		}
	case *ast.BinaryNode:
		if operator := Operators[n.Operator]; operator != "" {
			c := Clause{text: text, operator: operator}
			for _, operand := range []ast.Node{n.Left, n.Right} {
				part := p.clause(operand, operand.String())
				if part.operator == operator {
					c.parts = append(c.parts, part.parts...)
					continue
				}
				c.parts = append(c.parts, part)
			}
			return c
		}
	}
	return p.leaf(text, n)
}

func (p Purpose) leaf(text string, n ast.Node) Clause {
	c := Clause{text: text}
	c.program, _ = Compile(text, p)
	collector := &valueCollector{}
	collector.condition(n)
	for _, o := range collector.found {
		if o.program, _ = Compile(o.text, p); o.program != nil && o.text != c.text {
			c.operands = append(c.operands, o)
		}
	}
	c.requests = Requests(n, p.Classes.Names())
	return c
}

// valueCollector collects the values that a condition without `and`, `or` and
// `not` reads.
type valueCollector struct{ found []operand }

func (l *valueCollector) add(n ast.Node) {
	text := n.String()
	if !slices.ContainsFunc(l.found, func(o operand) bool { return o.text == text }) {
		l.found = append(l.found, operand{text: text, hidden: secretive(n)})
	}
}

// condition collects the two operands of a comparison. Of any other condition
// it collects the values of the event in it.
func (l *valueCollector) condition(n ast.Node) {
	if b, ok := n.(*ast.BinaryNode); ok && !slices.Contains([]string{"??", "|"}, b.Operator) {
		l.operand(b.Left)
		l.operand(b.Right)
		return
	}
	l.values(n)
}

// operand collects one operand of a comparison, unless it is a literal.
func (l *valueCollector) operand(n ast.Node) {
	constant := ast.Find(n, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.IdentifierNode, *ast.CallNode, *ast.PointerNode:
			return true
		}
		return false
	}) == nil
	if !constant {
		l.add(n)
	}
	if _, ok := n.(*ast.BuiltinNode); ok {
		l.values(n)
	}
}

// values collects the values of the event that an expression reads. Of a list
// with a predicate it collects the elements that satisfy the predicate; of
// all(), those that do not.
func (l *valueCollector) values(n ast.Node) {
	switch n := n.(type) {
	case *ast.IdentifierNode, *ast.MemberNode:
		if Rooted(n) {
			l.add(n)
		}
	case *ast.CallNode:
		switch name := n.Callee.String(); {
		case name == "failed_with":
			l.found = append(l.found, operand{text: "job.status"}, operand{text: "job.failure_reason"})
		case requestOf(name) != "" || name == "now":
			l.add(n)
		default:
			for _, arg := range n.Arguments {
				l.values(arg)
			}
		}
	case *ast.BuiltinNode:
		if len(n.Arguments) == 2 {
			if predicate, ok := n.Arguments[1].(*ast.PredicateNode); ok {
				l.values(n.Arguments[0])
				picked := predicate.Node
				if n.Name == "all" {
					picked = &ast.UnaryNode{Operator: "not", Node: picked}
				}
				l.add(&ast.BuiltinNode{Name: "filter", Arguments: []ast.Node{n.Arguments[0], picked}})
				return
			}
		}
		for _, arg := range n.Arguments {
			l.values(arg)
		}
	case *ast.UnaryNode:
		l.values(n.Node)
	case *ast.BinaryNode:
		l.values(n.Left)
		l.values(n.Right)
	case *ast.ConditionalNode:
		l.values(n.Cond)
		l.values(n.Exp1)
		l.values(n.Exp2)
	case *ast.VariableDeclaratorNode:
		l.values(n.Value)
		l.values(n.Expr)
	}
}

// explain evaluates the parts of a clause from left to right, and stops when
// the result is known, as the condition does.
func (c *Clause) explain(s *Session, requested *[]string) event.Part {
	p := event.Part{Text: c.text, Operator: c.operator}
	if c.operator == "" {
		c.evaluate(s, &p, requested)
		return p
	}
	enough := map[string]string{"and": event.PartFalse, "or": event.PartTrue}[c.operator]
	for i := range c.parts {
		if p.Result == event.PartError || p.Result != "" && p.Result == enough {
			p.Parts = append(p.Parts, c.parts[i].skipped())
			continue
		}
		part := c.parts[i].explain(s, requested)
		p.Result = part.Result
		p.Parts = append(p.Parts, part)
	}
	if c.operator == "not" {
		switch p.Result {
		case event.PartTrue:
			p.Result = event.PartFalse
		case event.PartFalse:
			p.Result = event.PartTrue
		}
	}
	return p
}

func (c *Clause) evaluate(s *Session, p *event.Part, requested *[]string) {
	for _, name := range c.requests {
		if call := name + "()"; slices.Contains(s.requests.names, name) && !slices.Contains(*requested, call) {
			*requested = append(*requested, call)
		}
	}
	value, err := s.Run(c.program)
	switch {
	case err != nil:
		p.Result, p.Error = event.PartError, err.Error()
	case value == true:
		p.Result = event.PartTrue
	default:
		p.Result = event.PartFalse
	}
	for _, o := range c.operands {
		if value, err := s.Run(o.program); err == nil {
			p.Seen = append(p.Seen, event.Seen{Text: o.text, Value: display.Short(value, o.hidden)})
		}
	}
}

func (c *Clause) skipped() event.Part {
	p := event.Part{Text: c.text, Operator: c.operator, Result: event.PartNotReached}
	for i := range c.parts {
		p.Parts = append(p.Parts, c.parts[i].skipped())
	}
	return p
}

// markDecided marks a part as decisive, and within it the operands that
// determined the result: the operand that made an `and` false or an `or` true,
// otherwise all that were evaluated.
func markDecided(p *event.Part) {
	p.Decided = true
	for i := range p.Parts {
		part := &p.Parts[i]
		decisive := p.Operator == "and" && p.Result != event.PartTrue || p.Operator == "or" && p.Result != event.PartFalse
		if part.Result != event.PartNotReached && (!decisive || part.Result == p.Result) {
			markDecided(part)
		}
	}
}
