package limits

import (
	"context"
	"reflect"
	"strings"

	"github.com/expr-lang/expr/vm"
)

// Limits on the work of the expressions of one event, in units of about 30 ns.
// Work is counted before it is done, so the same evaluation has the same
// result on every machine. An element of a list counts one unit or more for
// each node of the predicate that is evaluated on it. A text counts one unit
// for each 16 bytes that are searched, 4 units for each byte that is built,
// and one unit or more for each byte that is matched with a regular
// expression. Memory is counted as if none were freed before the run ends.
const (
	EventWork  = 60_000_000 // units for all rules of an event; each rule may use an equal share of the remainder
	RuleWork   = 30_000_000 // units for one rule
	fullMemory = 64 << 20   // bytes that one run allocates
	maxMade    = 250_000    // elements of ranges and literal lists in one run (expr's memory budget)
	MaxText    = 4 << 20    // bytes of a text that repeat, replace or join build
	maxDeep    = 100        // nesting depth of lists in a value that is read as a whole
)

// logUnits is the work to clean and redact a log, for each 16 bytes. logCopies
// is the number of copies of a log in memory while that is done.
const (
	logUnits  = 16
	logCopies = 4
)

// RequestError is the error of a request to GitLab, or of waiting for
// capacity. Its text contains no values, unlike expr's own errors. It does not
// unwrap.
type RequestError struct{ Err error }

func (e RequestError) Error() string { return e.Err.Error() }

// Machine runs programs within limits. It serves one evaluation at a time.
type Machine struct {
	vm     vm.VM
	ctx    context.Context
	permit *permit
	rule   string // the rule whose expressions run
	work   int    // units that remain for the rule
	memory int    // bytes that remain for the run

	spent    int // units that the evaluation has used
	retained int // bytes that the evaluation keeps to its end: logs
}

// NewMachine returns a machine for one evaluation at a time.
func NewMachine() *Machine { return &Machine{vm: vm.VM{MemoryBudget: maxMade}} }

// Begin starts an evaluation as soon as the capacity allows. A nil Capacity is
// unlimited. The only error is that of ctx.
func (m *Machine) Begin(ctx context.Context, c *Capacity) error {
	p, err := c.enter(ctx)
	if err != nil {
		return err
	}
	m.ctx, m.permit, m.spent, m.retained = ctx, p, 0, 0
	m.Allot("", RuleWork)
	return nil
}

// End ends the evaluation and returns its capacity.
func (m *Machine) End() { m.permit.leave() }

// ReadLog blocks until the evaluation may read a log, or returns the error of
// its context. It must be called within WithoutSlot.
func (m *Machine) ReadLog() error { return m.permit.readLog(m.ctx) }

// WithoutSlot calls request, which waits for GitLab, while the evaluation
// occupies no slot. The only error is that of the evaluation's context.
func (m *Machine) WithoutSlot(request func()) error {
	return m.permit.without(m.ctx, m.rule, request)
}

// Left returns the rule whose expressions run, and its remaining units of
// work.
func (m *Machine) Left() (rule string, work int) { return m.rule, m.work }

// Fits reports whether the remaining work of the rule suffices to read all of
// a value.
func (m *Machine) Fits(value any) bool { return m.size(value) <= m.work }

// Allot sets the units of work for all expressions of a rule.
func (m *Machine) Allot(rule string, work int) { m.rule, m.work = rule, work }

// Run evaluates a program. Errors are those of expr. They may wrap a
// RequestError or ErrTooMuch.
func (m *Machine) Run(program *vm.Program, env any) (any, error) {
	m.memory = fullMemory
	return m.vm.Run(program, env)
}

// use counts work and memory before they are used. If the rule exceeds its
// limits, it panics with ErrTooMuch, which expr's machine returns as an error.
func (m *Machine) use(work, memory int) {
	if work > m.work || memory > m.memory {
		panic(ErrTooMuch)
	}
	m.work -= work
	m.memory -= memory
	if err := m.Charge(work); err != nil {
		panic(RequestError{err})
	}
}

// Charge counts work for the evaluation. If it exceeds the limits of a quick
// evaluation, Charge blocks until the evaluation may continue as a heavy one.
// The error is that of waiting, in a RequestError.
func (m *Machine) Charge(work int) error {
	m.spent += work
	if m.spent <= quickWork && m.retained+fullMemory-m.memory <= quickMemory {
		return nil
	}
	return m.permit.escalate(m.ctx, m.rule)
}

// RetainLog counts a log that the evaluation has read and keeps until its end.
func (m *Machine) RetainLog(log string) error {
	m.retained += logCopies * len(log)
	return m.Charge(logUnits * (len(log)/16 + 1))
}

// globUnits is the work to match one name with one glob.
const globUnits = 16

// Match counts the work of matching a number of names with a number of globs,
// before it is done. The error is ErrTooMuch, or that of Charge.
func (m *Machine) Match(globs, names int) error {
	work := globUnits * globs * names
	if work > m.work {
		return ErrTooMuch
	}
	m.work -= work
	return m.Charge(work)
}

// Measures by which Spend counts a value.
const (
	byElement = iota // elements of a list, or pairs of a mapping
	bySquare         // the square of byElement
	byLength         // 16-byte units of a text
	byAll            // the content at all depths
	byPart           // the parts into which a separator splits a text
)

// Units of work for each 16 bytes of a text.
const (
	toRead = 1
	toMake = 64
)

// cost determines the cost of a value: how it is measured, and the units of
// work and bytes of memory for each unit of that measure.
type cost struct{ how, work, memory int }

// Spend is the function that a Meter inserts into expressions. It counts the
// work and the memory of a value by a cost, and returns the value. The last
// argument is the separator for byPart.
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

// PayText counts the given units of work for each 16 bytes of a text.
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

// length returns the number of elements of a list or mapping; 0 for any other
// value.
func length(value any) int {
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return v.Len()
	default:
		return 0
	}
}

// size returns the size of a value in units of 16 bytes, at all depths: a part
// that occurs twice counts twice, and each element counts 4 in addition. It
// stops when the remaining work is exceeded.
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
		default: // no content
		}
	}
	count(reflect.ValueOf(value), 0)
	return n
}
