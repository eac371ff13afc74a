package limits

import (
	"context"
	"reflect"
	"strings"

	"github.com/expr-lang/expr/vm"
)

// Bounds on what the expressions of one event do. Work is counted before it is
// done, and so the same evaluation ends alike on every machine: an element of
// a list that an expression goes over counts a unit or more for each part that
// is evaluated for it, a text that is searched a unit for each 16 bytes, one
// that is made 4 units for each byte, one that is matched with a regular
// expression one for each byte and more for what repeats. A unit is about
// 30 ns. Memory is counted as if nothing were freed before the run ends.
const (
	EventWork  = 60_000_000 // units for all rules of an event; each may use an equal share of the rest
	RuleWork   = 30_000_000 // units for one rule, at most
	fullMemory = 64 << 20   // bytes that one run makes
	maxMade    = 250_000    // elements of ranges and literal lists that one run makes (expr's memory budget)
	MaxText    = 4 << 20    // bytes of a text that repeat, replace or join make
	maxDeep    = 100        // lists in lists in a value that is looked at as a whole
)

// logUnits is the work to clean and mask a log, for each 16 bytes, and
// logCopies is how often it is in memory at the same time while that is done.
const (
	logUnits  = 16
	logCopies = 4
)

// RequestError is the error of a request to GitLab, or of waiting for capacity, that
// an expression made. Unlike expr's own errors its text contains no values. It does
// not unwrap.
type RequestError struct{ Err error }

func (e RequestError) Error() string { return e.Err.Error() }

// Machine runs programs within bounds. One serves one evaluation at a time.
type Machine struct {
	vm     vm.VM
	ctx    context.Context
	permit *permit
	rule   string // whose expressions run
	work   int    // units left to the rule
	memory int    // bytes left to the run

	spent int // units that the evaluation has used
	held  int // bytes that it keeps to its end: logs
}

// NewMachine returns a machine for one evaluation at a time.
func NewMachine() *Machine { return &Machine{vm: vm.VM{MemoryBudget: maxMade}} }

// Begin starts an evaluation, as soon as the capacity allows one. A nil Capacity is
// unbounded. The only error is ctx's.
func (m *Machine) Begin(ctx context.Context, c *Capacity) error {
	p, err := c.enter(ctx)
	if err != nil {
		return err
	}
	m.ctx, m.permit, m.spent, m.held = ctx, p, 0, 0
	m.Allot("", RuleWork)
	return nil
}

// End ends the evaluation, and returns its share of the capacity.
func (m *Machine) End() { m.permit.leave() }

// ReadLog blocks until the evaluation may read a log, or returns the error of its
// context. It is called within withoutSlot.
func (m *Machine) ReadLog() error { return m.permit.readLog(m.ctx) }

// WithoutSlot calls request, which waits for GitLab, while the evaluation has no
// slot. The only error is that of the evaluation's context.
func (m *Machine) WithoutSlot(request func()) error {
	return m.permit.without(m.ctx, m.rule, request)
}

// Left returns the rule whose expressions run, and its units of work left.
func (m *Machine) Left() (rule string, work int) { return m.rule, m.work }

// Fits reports whether the rule has enough work left to look at all of a value.
func (m *Machine) Fits(value any) bool { return m.size(value) <= m.work }

// Allot grants a rule so many units of work for all its expressions.
func (m *Machine) Allot(rule string, work int) { m.rule, m.work = rule, work }

// Run evaluates a program. Errors are expr's, and may wrap a RequestError or
// ErrTooMuch.
func (m *Machine) Run(program *vm.Program, env any) (any, error) {
	m.memory = fullMemory
	return m.vm.Run(program, env)
}

// use counts work and memory before they are used, and panics where that is
// more than the rule has left, as the machine of expr expects it.
func (m *Machine) use(work, memory int) {
	if work > m.work || memory > m.memory {
		panic(ErrTooMuch)
	}
	m.work -= work
	m.memory -= memory
	if err := m.Weigh(work); err != nil {
		panic(RequestError{err})
	}
}

// Weigh counts work for the evaluation. One that exceeds the bounds of a quick
// evaluation blocks until it may continue as a heavy one.
func (m *Machine) Weigh(work int) error {
	m.spent += work
	if m.spent <= quickWork && m.held+fullMemory-m.memory <= quickMemory {
		return nil
	}
	return m.permit.escalate(m.ctx, m.rule)
}

// Hold counts a log that the evaluation has read, and keeps until its end.
func (m *Machine) Hold(log string) error {
	m.held += logCopies * len(log)
	return m.Weigh(logUnits * (len(log)/16 + 1))
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
)

// cost says how a value is counted: so many units of work, and bytes of memory,
// for each of what it is counted by.
type cost struct{ how, work, memory int }

// Spend is the function that a Meter inserts into expressions: it counts the work
// and the memory of a value, by a cost, and returns the value. The separator is the
// last argument of byPart.
func (m *Machine) Spend(args ...any) any {
	value := args[0]
	c := cost{args[1].(int), args[2].(int), args[3].(int)}
	separator := ""
	if len(args) > spendArguments {
		separator = args[spendArguments].(string)
	}
	m.pay(value, c, separator)
	return value
}

// PayText counts so many units of work for each 16 bytes of a text.
func (m *Machine) PayText(text string, units int) { m.pay(text, cost{byLength, units, 0}, "") }

func (m *Machine) pay(value any, c cost, separator string) {
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
		n *= min(n, RuleWork)
	case c.how == byAll:
		n = m.size(value)
	}
	if c.work > 0 && n > m.work/c.work || c.memory > 0 && n > m.memory/c.memory {
		panic(ErrTooMuch)
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
func (m *Machine) size(value any) int {
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
