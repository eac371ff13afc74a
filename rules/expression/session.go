package expression

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

var machines = sync.Pool{New: func() any { return limits.NewMachine() }}

// Session evaluates the expressions of all rules on one event, within the
// bounds on an evaluation. One goroutine uses it, from Begin to End.
type Session struct {
	ctx       context.Context
	event     event.Event
	facts     Facts
	env       any                    // an environment
	class     func() (string, error) // of the event's job; nil if the rule files have no classes
	machine   *limits.Machine
	questions *questions
}

// Begin starts a session, as soon as the capacity allows one. A nil Capacity is
// unbounded. The only error is ctx's.
func Begin(ctx context.Context, c *limits.Capacity, e event.Event, facts Facts, cs Classes) (*Session, error) {
	m := machines.Get().(*limits.Machine)
	if err := m.Begin(ctx, c); err != nil {
		machines.Put(m)
		return nil, err
	}
	q := &questions{}
	env := environmentOf(ctx, e, facts, m, q, cs)
	return &Session{ctx: ctx, event: e, facts: facts, env: env, class: env.FailureClass, machine: m, questions: q}, nil
}

// End returns the session's share of the capacity.
func (s *Session) End() {
	s.machine.End()
	machines.Put(s.machine)
}

// Allot grants the rule whose expressions follow so many units of work.
func (s *Session) Allot(rule string, work int) { s.machine.Allot(rule, work) }

// Left returns the units of work that the rule has left.
func (s *Session) Left() int {
	_, work := s.machine.Left()
	return work
}

// Run evaluates an expression. Errors of Facts are returned unchanged.
func (s *Session) Run(program *vm.Program) (any, error) {
	return run(s.machine, program, s.env)
}

// Text renders a template; each value in it is passed through escape.
func (s *Session) Text(t Template, escape func(string) string) (string, error) {
	return t.render(s.machine, s.env, escape)
}

// Input evaluates a job input to JSON.
func (s *Session) Input(in Input) (json.RawMessage, error) {
	return in.value(s.machine, s.env)
}

// For returns the session with another job of the event's pipeline as the job
// that expressions see. The failure class of that job follows from its failure
// reason alone.
func (s *Session) For(e event.Event) *Session {
	env := environmentOf(s.ctx, e, s.facts, s.machine, s.questions, nil)
	env.FailureClass = func() (string, error) { return e.Job.FailureClass, nil }
	if s.class != nil && s.isEventJob(e.Job) {
		env.FailureClass = s.class
	}
	other := *s
	other.env = env
	return &other
}

// FailureClass returns the failure class that the rule files' classes give the
// event's job; "" for any other job, and if there are no classes.
func (s *Session) FailureClass(j event.Job) (string, error) {
	if s.class == nil || !s.isEventJob(j) {
		return "", nil
	}
	class, err := s.class()
	if answer, ok := errors.AsType[limits.RequestError](err); ok {
		err = answer.Err
	}
	if errors.Is(err, ErrNotGiven) {
		return "", nil // a rule test may leave the log out, unless a condition reads it
	}
	return class, err
}

// isEventJob reports whether a job is that of a job event.
func (s *Session) isEventJob(j event.Job) bool {
	return s.event.Meta.Kind == event.KindJob && j.ID == s.event.Job.ID
}
