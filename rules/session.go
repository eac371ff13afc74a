package rules

import (
	"context"
	"errors"
	"sync"

	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/event"
)

var machines = sync.Pool{New: func() any { return newMachine() }}

// evaluation is one event on its way through the rules.
type evaluation struct {
	ctx       context.Context
	event     event.Event
	facts     Facts
	env       any                    // an environment
	class     func() (string, error) // of the event's job; nil where the rule files have no classes
	machine   *machine
	questions *questions
	decisions []event.Decision
	byKey     map[string]int // index in decisions
}

func newEvaluation(ctx context.Context, p *permit, e event.Event, facts Facts, cs classes) *evaluation {
	m := machines.Get().(*machine)
	m.begin(ctx, p)
	q := &questions{}
	env := environmentOf(ctx, e, facts, m, q, cs)
	return &evaluation{ctx: ctx, event: e, facts: facts, env: env, class: env.FailureClass, machine: m, questions: q}
}

func (ev *evaluation) end() {
	ev.machine.permit.leave()
	machines.Put(ev.machine)
}

// run evaluates an expression.
func (ev *evaluation) run(program *vm.Program) (any, error) {
	return ev.machine.run(program, ev.env)
}

// classFor gives the failure class for a retry of the event's job, by which
// budgets and the storm breaker go; "" for what the job has.
func (ev *evaluation) classFor(a action, t target) (string, error) {
	if ev.class == nil || a.Verb != event.VerbRetry || !ev.ofEvent(t.job) {
		return "", nil
	}
	class, err := ev.class()
	if answer, ok := errors.AsType[unanswered](err); ok {
		err = answer.error
	}
	if isNotGiven(err) {
		return "", nil // a test need not tell the log for this
	}
	return class, err
}

// ofEvent reports whether a job is that of a job event.
func (ev *evaluation) ofEvent(j event.Job) bool {
	return ev.event.Meta.Kind == event.KindJob && j.ID == ev.event.Job.ID
}

// environmentFor is the environment of the texts for one of the jobs that are
// acted on. Other jobs than the event's have the class of their failure reason.
func (ev *evaluation) environmentFor(e event.Event) environment {
	env := environmentOf(ev.ctx, e, ev.facts, ev.machine, ev.questions, nil)
	env.FailureClass = func() (string, error) { return e.Job.FailureClass, nil }
	if ev.class != nil && ev.ofEvent(e.Job) {
		env.FailureClass = ev.class
	}
	return env
}
