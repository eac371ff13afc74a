package expression

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/joblog"
)

var machines = sync.Pool{New: func() any { return limits.NewMachine() }}

// Session evaluates the expressions of all rules on one event, within the
// limits of an evaluation. It belongs to one goroutine, from Begin to End.
type Session struct {
	ctx      context.Context
	Event    event.Event // that the rules are evaluated on
	facts    Facts
	env      any                    // an environment
	class    func() (string, error) // of the event's job; nil if the rule files have no classes
	machine  *limits.Machine
	requests *requests
}

// Begin starts a session as soon as the capacity allows. A nil Capacity is
// unlimited. classes are those of the rule files. The only error is that of ctx.
func Begin(ctx context.Context, c *limits.Capacity, e event.Event, facts Facts, classes *failureclass.Matcher) (*Session, error) {
	m := machines.Get().(*limits.Machine)
	if err := m.Begin(ctx, c); err != nil {
		machines.Put(m)
		return nil, err
	}
	q := &requests{}
	env := environmentOf(ctx, e, facts, m, q, classes)
	return &Session{ctx: ctx, Event: e, facts: facts, env: env, class: env.FailureClass, machine: m, requests: q}, nil
}

// End returns the session's capacity.
func (s *Session) End() {
	s.machine.End()
	machines.Put(s.machine)
}

// Allot sets the units of work for the rule whose expressions are run next.
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

// Text renders a template. Each value in it is passed through escape.
func (s *Session) Text(t Template, escape func(string) string) (string, error) {
	return t.render(s.machine, s.env, escape)
}

// About sets the outcome that the templates rendered next are about.
func (s *Session) About(o event.Outcome) {
	env := s.env.(environment)
	env.Outcome = event.TextOutcome{Result: o.Result, Reason: o.Reason, Rule: o.Rule, Action: o.Action.Verb, By: o.By.Name}
	env.Outcome.NewJobID, env.Outcome.NewJobURL = o.NewJob()
	s.env = env
}

// Together sets of how many branches, tags and merge requests the message is whose
// templates are rendered next; 0 if it is of its outcome alone.
func (s *Session) Together(refs int) {
	env := s.env.(environment)
	env.Outcome.Together = refs
	s.env = env
}

// Input evaluates a job input and returns it as JSON.
func (s *Session) Input(in Input) (json.RawMessage, error) {
	return in.value(s.machine, s.env)
}

// For returns a session in which another job of the event's pipeline is the
// event's job. The failure class of that job follows from its failure reason
// alone.
func (s *Session) For(e event.Event) *Session {
	env := environmentOf(s.ctx, e, s.facts, s.machine, s.requests, nil)
	env.FailureClass = func() (string, error) { return e.Job.FailureClass, nil }
	if s.class != nil && s.isEventJob(e.Job) {
		env.FailureClass = s.class
	}
	other := *s
	other.env = env
	return &other
}

// FailureClass returns the failure class of the event's job by the classes of
// the rule files; "" for any other job, and if there are no classes.
func (s *Session) FailureClass(j event.Job) (string, error) {
	if s.class == nil || !s.isEventJob(j) {
		return "", nil
	}
	class, err := s.class()
	err = withoutWrapper(err)
	if errors.Is(err, ErrNotGiven) {
		return "", nil // a rule test may omit the log unless a condition reads it
	}
	return class, err
}

// ReadLog reads the log of the event's job, if no expression has. A log that can't be read
// is none.
func (s *Session) ReadLog() { _, _ = s.env.(environment).Log() }

// HasReadLog reports whether the log of the event's job was read.
func (s *Session) HasReadLog() bool { return s.requests.read }

// Unclassified returns the telling line of the ending of the log of the event's job, if the
// job failed, its log has been read, and it is of no class of the rule files; else "". It sends
// no request.
func (s *Session) Unclassified() string {
	e := s.Event
	if e.Meta.Kind != event.KindJob || e.Job.Status != "failed" || s.requests.log == "" {
		return ""
	}
	class, err := s.FailureClass(e.Job)
	if err != nil || class != "" && class != event.ClassOf(e.Job.FailureReason) {
		return ""
	}
	ending := strings.Join(joblog.Ending(s.requests.log), "")
	if s.machine.Charge(excerptUnits*(len(ending)/16+1)) != nil {
		return ""
	}
	return joblog.Telling(ending)
}

// PipelineJobs returns the latest run of each job of the event's pipeline: those
// of a pipeline event, otherwise those that jobs() returns.
func (s *Session) PipelineJobs() ([]event.Job, error) {
	if s.Event.Meta.Kind == event.KindPipeline {
		return s.Event.Pipeline.Jobs, nil
	}
	jobs, err := s.env.(environment).Jobs()
	return jobs, withoutWrapper(err)
}

// PipelineBridges returns the trigger jobs of the event's pipeline, as bridges()
// does.
func (s *Session) PipelineBridges() ([]event.Bridge, error) {
	bridges, err := s.env.(environment).Bridges()
	if err = withoutWrapper(err); errors.Is(err, ErrNotGiven) {
		return nil, nil // a rule test may omit them unless an expression calls bridges()
	}
	return bridges, err
}

// Match counts the work of matching a number of names with a number of globs.
func (s *Session) Match(globs, names int) error { return withoutWrapper(s.machine.Match(globs, names)) }

// withoutWrapper returns the error of Facts, which an expression would have
// wrapped.
func withoutWrapper(err error) error {
	if failed, ok := errors.AsType[limits.RequestError](err); ok {
		return failed.Err
	}
	return err
}

// isEventJob reports whether a job is the job of a job event.
func (s *Session) isEventJob(j event.Job) bool {
	return s.Event.Meta.Kind == event.KindJob && j.ID == s.Event.Job.ID
}
