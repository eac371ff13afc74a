package limits

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// Limits on the evaluations that run at the same time in one process. Every
// evaluation begins as a quick one. An evaluation that needs more than
// quickWork or quickMemory waits for a heavy slot and continues as a heavy
// one. So the costly rules of one team hardly delay the quick evaluations of
// others. While an evaluation waits for GitLab it occupies no slot, but it
// keeps the log that it has read. Therefore the number of logs is limited,
// too. The memory of all evaluations together is at most
//
//	(quickSlots + maxWaiting)·quickMemory + heavySlots·fullMemory + logSlots·(log window)
const (
	quickSlots  = 16        // concurrent quick evaluations
	heavySlots  = 2         // concurrent heavy evaluations; each occupies a core
	logSlots    = 32        // evaluations that have read a log or are reading one
	maxWaiting  = 16        // evaluations that wait for a heavy slot
	maxSameRule = 4         // waiting evaluations that the same rule made heavy
	quickWork   = 3_000_000 // units of work, about 0.1 s
	quickMemory = 8 << 20   // bytes
)

// Capacity is shared by all evaluations of a process. Rule sets that are
// loaded with the same Capacity share it, also across a reload. It is safe for
// concurrent use.
type Capacity struct {
	quick chan struct{} // semaphore: one element per quick evaluation
	logs  chan struct{} // semaphore: one element per evaluation with a log

	mu      sync.Mutex
	heavy   int                  // free heavy slots
	waiting map[string][]*waiter // by the rule that made them heavy, each queue in order of arrival
	turns   []string             // round-robin queue of the rules with waiters
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

// permit is an evaluation's share of a Capacity. It belongs to one goroutine.
type permit struct {
	capacity *Capacity // nil: unlimited
	slot     slot
	log      bool // it occupies a log slot
}

// slot is the kind of a permit's slot.
type slot int

const (
	noSlot slot = iota
	quickSlot
	heavySlot
)

// enter blocks until the evaluation may begin as a quick one, or returns ctx's
// error. A nil Capacity is unlimited.
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

// escalate blocks until the evaluation may continue as a heavy one. Heavy
// slots are granted to rules in turn, so a rule with many heavy evaluations
// delays another rule by at most one of them. The errors are crowdedError and
// ctx's.
func (p *permit) escalate(ctx context.Context, rule string) error {
	if p.capacity == nil || p.slot == heavySlot {
		return nil
	}
	w, err := p.capacity.enqueue(rule, maxSameRule, maxWaiting)
	if err != nil {
		return err
	}
	p.release() // it occupies no quick slot while it waits
	return p.wait(ctx, rule, w)
}

// enqueue takes a heavy slot, or a place in the rule's queue for one. The
// error is crowdedError if mostOfRule evaluations of the rule, or most in
// total, are waiting.
func (c *Capacity) enqueue(rule string, mostOfRule, most int) (*waiter, error) {
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
		c.grant() // the slot was granted in the meantime
	}
	return ctx.Err()
}

// release returns the slot.
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

// leave returns everything that the evaluation occupies.
func (p *permit) leave() {
	p.release()
	if p.log {
		<-p.capacity.logs
		p.log = false
	}
}

// without calls request, which waits for GitLab, while the evaluation occupies
// no slot. The only error is ctx's.
func (p *permit) without(ctx context.Context, rule string, request func()) error {
	before := p.slot
	p.release()
	request()
	switch before {
	case noSlot:
	case quickSlot:
		return p.takeQuick(ctx)
	case heavySlot:
		w, err := p.capacity.enqueue(rule, math.MaxInt, math.MaxInt)
		if err != nil {
			return err
		}
		return p.wait(ctx, rule, w)
	}
	return nil
}

// readLog blocks until the evaluation may read a log, or returns ctx's error.
// The caller must not occupy a slot.
func (p *permit) readLog(ctx context.Context) error {
	if p.capacity == nil || p.log {
		return nil
	}
	err := take(ctx, p.capacity.logs)
	p.log = err == nil
	return err
}

// grant gives a free heavy slot to the next waiter.
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

// remove removes the i-th waiter of a rule.
func (c *Capacity) remove(rule string, i int) {
	c.waiting[rule] = slices.Delete(c.waiting[rule], i, i+1)
	if len(c.waiting[rule]) == 0 {
		delete(c.waiting, rule)
		c.turns = slices.DeleteFunc(c.turns, func(turn string) bool { return turn == rule })
	}
}

// count returns the number of evaluations that wait.
func (c *Capacity) count() (n int) {
	for _, all := range c.waiting {
		n += len(all)
	}
	return n
}

// crowdedError is the error of an evaluation that would have to wait behind
// too many others.
type crowdedError struct{}

var _ error = crowdedError{}

func (crowdedError) Error() string {
	return "too many costly expressions are being evaluated; this one will be evaluated again later"
}

// Again declares that the same evaluation may succeed later; see
// event.Transient.
func (crowdedError) Again() (after time.Duration, ok bool) { return time.Second, true }

// ErrTooMuch is the error of an evaluation that would exceed its limits.
var ErrTooMuch = errors.New("the expression was stopped because it does too much work: it iterates over long lists, or reads a long text, too often. Put a cheap condition before it, or read only a part")
