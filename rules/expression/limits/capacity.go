package limits

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// How much of a process the evaluations may use at the same time. An
// evaluation begins as a quick one. One that needs more than quickWork or
// quickMemory goes on as a heavy one, when it is its turn: so the work that one
// team's rules cost delays the quick evaluations of all others by little. While
// an evaluation waits for GitLab it has no slot, but it keeps the log that it
// has read, and so the number of logs is bounded, too. The memory of all
// evaluations together is at most
//
//	(quickSlots + maxWaiting)·quickMemory + heavySlots·fullMemory + logSlots·(log window)
const (
	quickSlots  = 16        // quick evaluations at the same time
	heavySlots  = 2         // heavy evaluations at the same time; each occupies a core
	logSlots    = 32        // evaluations that have read a log, or are reading one
	maxWaiting  = 16        // evaluations that wait to go on as heavy ones, at most
	maxSameRule = 4         // of those, that wait because of the same rule
	quickWork   = 3_000_000 // units, about 0.1 s
	quickMemory = 8 << 20   // bytes
)

// Capacity is what all evaluations of a process share. Rule sets that are
// loaded with the same Capacity share it, also across a reload. It is safe for
// concurrent use.
type Capacity struct {
	quick chan struct{} // holds one for each quick evaluation
	logs  chan struct{} // holds one for each evaluation with a log

	mu      sync.Mutex
	heavy   int                  // free heavy slots
	waiting map[string][]*waiter // by the rule that made them heavy, first come first
	turns   []string             // those rules, the next to be served first
}

// waiter is an evaluation that waits for a heavy slot.
type waiter struct{ granted chan struct{} }

// NewCapacity returns the Capacity of a process.
func NewCapacity() *Capacity {
	return &Capacity{
		quick:   make(chan struct{}, quickSlots),
		logs:    make(chan struct{}, logSlots),
		heavy:   heavySlots,
		waiting: map[string][]*waiter{},
	}
}

// permit is an evaluation's share of a Capacity. One evaluation uses it from
// one goroutine.
type permit struct {
	capacity *Capacity // nil: without bounds
	slot     slot
	log      bool // it has one of the logs
}

// slot is the kind of a permit's slot.
type slot int

const (
	noSlot slot = iota
	quickSlot
	heavySlot
)

// enter blocks until the evaluation may begin as a quick one, or returns ctx's
// error. A nil Capacity has no bounds.
func (c *Capacity) enter(ctx context.Context) (*permit, error) {
	p := &permit{capacity: c}
	return p, p.takeQuick(ctx)
}

func (p *permit) takeQuick(ctx context.Context) error {
	if p.capacity == nil {
		return nil
	}
	if err := take(ctx, p.capacity.quick); err != nil {
		return err
	}
	p.slot = quickSlot
	return nil
}

func take(ctx context.Context, from chan struct{}) error {
	select {
	case from <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// escalate blocks until the evaluation may go on as a heavy one. Rules take
// turns: one that makes many evaluations heavy does not delay those of another
// rule by more than one of its own. Errors: crowdedError, or ctx's.
func (p *permit) escalate(ctx context.Context, rule string) error {
	if p.capacity == nil || p.slot == heavySlot {
		return nil
	}
	w, err := p.capacity.line(rule, maxSameRule, maxWaiting)
	if err != nil {
		return err
	}
	p.release() // it waits without a quick slot
	return p.wait(ctx, rule, w)
}

// line takes a heavy slot, or a place in line for one.
func (c *Capacity) line(rule string, mostOfRule, most int) (*waiter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &waiter{granted: make(chan struct{})}
	if c.heavy > 0 {
		c.heavy--
		close(w.granted)
		return w, nil
	}
	if len(c.waiting[rule]) >= mostOfRule || c.count() >= most {
		return nil, crowdedError{}
	}
	if len(c.waiting[rule]) == 0 {
		c.turns = append(c.turns, rule)
	}
	c.waiting[rule] = append(c.waiting[rule], w)
	return w, nil
}

// wait blocks until the heavy slot is granted, or returns ctx's error.
func (p *permit) wait(ctx context.Context, rule string, w *waiter) error {
	select {
	case <-w.granted:
		p.slot = heavySlot
		return nil
	case <-ctx.Done():
	}
	c := p.capacity
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.waiting[rule], w); i >= 0 {
		c.remove(rule, i)
	} else {
		c.grant() // it was granted meanwhile
	}
	return ctx.Err()
}

// release gives the slot back.
func (p *permit) release() {
	switch p.slot {
	case noSlot:
	case quickSlot:
		<-p.capacity.quick
	case heavySlot:
		p.capacity.mu.Lock()
		p.capacity.grant()
		p.capacity.mu.Unlock()
	}
	p.slot = noSlot
}

// leave gives all back that the evaluation has.
func (p *permit) leave() {
	p.release()
	if p.log {
		<-p.capacity.logs
		p.log = false
	}
}

// without calls ask, which waits for GitLab, while the evaluation has no slot.
// Its only error is ctx's.
func (p *permit) without(ctx context.Context, rule string, ask func()) error {
	before := p.slot
	p.release()
	ask()
	switch before {
	case noSlot:
	case quickSlot:
		return p.takeQuick(ctx)
	case heavySlot:
		w, err := p.capacity.line(rule, math.MaxInt, math.MaxInt)
		if err != nil {
			return err
		}
		return p.wait(ctx, rule, w)
	}
	return nil
}

// readLog blocks until the evaluation may read a log, or returns ctx's error.
// It is called without a slot.
func (p *permit) readLog(ctx context.Context) error {
	if p.capacity == nil || p.log {
		return nil
	}
	err := take(ctx, p.capacity.logs)
	p.log = err == nil
	return err
}

// grant gives a free heavy slot to the next in line.
func (c *Capacity) grant() {
	if len(c.turns) == 0 {
		c.heavy++
		return
	}
	rule := c.turns[0]
	w := c.waiting[rule][0]
	c.turns = append(c.turns[1:], rule)
	c.remove(rule, 0)
	close(w.granted)
}

// remove takes one of a rule's waiters out.
func (c *Capacity) remove(rule string, i int) {
	c.waiting[rule] = slices.Delete(c.waiting[rule], i, i+1)
	if len(c.waiting[rule]) == 0 {
		delete(c.waiting, rule)
		c.turns = slices.DeleteFunc(c.turns, func(turn string) bool { return turn == rule })
	}
}

// count returns how many evaluations wait.
func (c *Capacity) count() (n int) {
	for _, all := range c.waiting {
		n += len(all)
	}
	return n
}

// crowdedError ends an evaluation that would have to wait behind too many others.
type crowdedError struct{}

var _ error = crowdedError{}

func (crowdedError) Error() string {
	return "too many expressions that take long are evaluated at the moment; this one is evaluated again later"
}

// Again says that the same evaluation may succeed later; see Passes.
func (crowdedError) Again() (after time.Duration, ok bool) { return time.Second, true }

// ErrTooMuch ends the evaluation of a rule that would exceed its bounds.
var ErrTooMuch = errors.New("the expression was stopped, because it does too much: it goes over long lists, or looks at a long text, too often. Let a cheap condition stand before it, or look at a part")
