package expression

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Facts answers what an expression asks of GitLab beyond the event. Each is
// asked at most once per event, and only when an expression reaches it. An
// error makes the rule that asked not fire; it comes back from Evaluate
// wrapped, so that the caller can tell a passing fault from a final one.
type Facts interface {
	// Log gives the log of the event's job, bounded by the implementation.
	// Expressions see it cleaned and masked.
	Log(ctx context.Context, e event.Event) (string, error)
	// Jobs gives the latest run of each job of the event's pipeline.
	Jobs(ctx context.Context, e event.Event) ([]event.Job, error)
	// Bridges gives the trigger jobs of the event's pipeline, those that failed
	// with the failed jobs of what they triggered.
	Bridges(ctx context.Context, e event.Event) ([]event.Bridge, error)
	// Details gives the event's job as the Jobs API has it.
	Details(ctx context.Context, e event.Event) (event.Details, error)
	// Superseded reports whether the event's pipeline is not the newest of its
	// ref, or of its merge request, any more.
	Superseded(ctx context.Context, e event.Event) (bool, error)
}

// ErrNotGiven is the error of the Facts of a rule test that does not say what
// GitLab answers.
var ErrNotGiven = errors.New("the test does not say what GitLab answers")

// environment is what expressions see: the event's values and the functions
// that need the event. All functions are described in functions.go.
type environment struct {
	event.Event
	Now        func() time.Time                   `expr:"now"` // the event's clock
	Age        func(t time.Time) time.Duration    `expr:"age"`
	Log        func() (string, error)             `expr:"log"`
	LogExcerpt func(lines ...int) (string, error) `expr:"log_excerpt"`
	Superseded func() (bool, error)               `expr:"superseded"`
	Jobs       func() ([]event.Job, error)        `expr:"jobs"`
	Bridges    func() ([]event.Bridge, error)     `expr:"bridges"`
	Details    func() (event.Details, error)      `expr:"details"`

	Spend func(args ...any) any // for meter alone

	// FailureClass stands for job.failure_class where the rule files have
	// classes; nil where they have none.
	FailureClass func() (string, error)
}

// environmentOf binds an event to its facts. The environment is passed to
// programs by value: expr reads struct fields of a value about three times
// as fast as through a pointer.
func environmentOf(ctx context.Context, e event.Event, facts Facts, m *limits.Machine, q *questions, cs Classes) environment {
	read := withoutSlot(m, func() (string, error) {
		if err := m.ReadLog(); err != nil {
			return "", err
		}
		return facts.Log(ctx, e)
	})
	log := once(q, "log", func() (string, error) {
		text, err := read()
		if err == nil {
			err = m.Hold(text)
		}
		if err != nil {
			return "", err
		}
		return readable(text, e), nil
	})
	env := environment{
		Event: e,
		Now:   func() time.Time { return e.Meta.ReceivedAt },
		// A time that is not known has no age: a job that has not finished
		// must not look older than every limit.
		Age: func(t time.Time) time.Duration {
			if t.IsZero() {
				return 0
			}
			return e.Meta.ReceivedAt.Sub(t)
		},
		Log:        log,
		LogExcerpt: excerptOf(log, m),
		Superseded: once(q, "superseded", withoutSlot(m, func() (bool, error) { return facts.Superseded(ctx, e) })),
		Jobs:       once(q, "jobs", withoutSlot(m, func() ([]event.Job, error) { return facts.Jobs(ctx, e) })),
		Bridges:    once(q, "bridges", withoutSlot(m, func() ([]event.Bridge, error) { return facts.Bridges(ctx, e) })),
		Details:    once(q, "details", withoutSlot(m, func() (event.Details, error) { return facts.Details(ctx, e) })),
		Spend:      m.Spend,
	}
	if len(cs) > 0 {
		env.FailureClass = cs.of(e, log, m.Weigh)
	}
	return env
}

// withoutSlot returns ask, during which the evaluation leaves its slot to
// others, since it waits for GitLab.
func withoutSlot[T any](m *limits.Machine, ask func() (T, error)) func() (T, error) {
	return func() (value T, err error) {
		ended := m.WithoutSlot(func() { value, err = ask() })
		return value, cmp.Or(err, ended)
	}
}

// readable gives a job's log as a terminal shows it, without secrets: neither
// those that can be told by their looks nor the values of variables.
func readable(log string, e event.Event) string {
	return redact.Secrets(redact.Values(joblog.Clean(log), slices.Collect(maps.Values(e.Pipeline.Variables))))
}

// Bounds on log_excerpt, in lines.
const (
	excerptLines = 20
	maxExcerpt   = 100

	excerptUnits = 32 // units of work for each 16 bytes of the log, at worst
)

// excerptOf gives the function log_excerpt, whose work is counted by the length
// of the log.
func excerptOf(log func() (string, error), m *limits.Machine) func(lines ...int) (string, error) {
	return func(lines ...int) (string, error) {
		n := excerptLines
		if len(lines) > 0 {
			n = lines[0]
		}
		if err := boundExcerpt(n); err != nil {
			return "", limits.RequestError{Err: err}
		}
		text, err := log()
		if err != nil {
			return "", err
		}
		m.PayText(text, excerptUnits)
		return joblog.Excerpt(text, n), nil
	}
}

// boundExcerpt refuses excerpts of no lines, and of more than a text has room
// for.
func boundExcerpt(lines int) error {
	if lines < 1 || lines > maxExcerpt {
		return fmt.Errorf("log_excerpt takes a number of lines from 1 to %d, not %d", maxExcerpt, lines)
	}
	return nil
}

// questions are what the expressions of an event have asked GitLab.
type questions struct {
	asked []string // names of functions
	over  bool     // nothing more is asked
}

var errNotAsked = errors.New("GitLab was not asked this")

// once remembers what ask gave. One event is evaluated by one goroutine.
func once[T any](q *questions, name string, ask func() (T, error)) func() (T, error) {
	var value T
	var err error
	asked := false
	return func() (T, error) {
		switch {
		case asked:
		case q.over:
			return value, errNotAsked
		default:
			asked = true
			q.asked = append(q.asked, name)
			if value, err = ask(); err != nil {
				err = limits.RequestError{Err: err}
			}
		}
		return value, err
	}
}
