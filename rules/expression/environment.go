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
	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/joblog"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Facts returns the data that expressions request from GitLab beyond the
// event. A session calls each method at most once per event, and only when an
// expression reaches it. If it returns an error, the requesting rule does not
// match. Evaluate returns that error wrapped, so that the caller can
// distinguish transient errors from final ones.
type Facts interface {
	// Log returns the log of the event's job. The implementation bounds its
	// length. Expressions see the log cleaned and redacted.
	Log(ctx context.Context, e event.Event) (string, error)
	// Jobs returns the latest run of each job of the event's pipeline.
	Jobs(ctx context.Context, e event.Event) ([]event.Job, error)
	// Bridges returns the trigger jobs of the event's pipeline. Those that
	// failed include the failed jobs of the pipelines they triggered.
	Bridges(ctx context.Context, e event.Event) ([]event.Bridge, error)
	// Details returns the event's job as the Jobs API returns it.
	Details(ctx context.Context, e event.Event) (event.Details, error)
	// MergeRequestDetails returns the merge request of the event's pipeline, with
	// its approvals; zero if the pipeline is not that of a merge request.
	MergeRequestDetails(ctx context.Context, e event.Event) (event.MergeRequestDetails, error)
	// Superseded reports whether there is a newer pipeline than the event's
	// for its ref or its merge request.
	Superseded(ctx context.Context, e event.Event) (bool, error)
	// OnDefault returns the event's job in the last finished pipeline of the default
	// branch that has it, other than the event's own; zero if there is none.
	OnDefault(ctx context.Context, e event.Event) (event.OnDefault, error)
	// Tests returns the tests that failed in the JUnit reports of the event's job.
	// Expressions see their texts redacted.
	Tests(ctx context.Context, e event.Event) ([]event.FailedTest, error)
}

// ErrNotGiven is the error of the Facts of a rule test that does not define
// the response of GitLab.
var ErrNotGiven = errors.New("the test does not define the response of GitLab")

// environment is the environment of expressions: the event's values and the
// functions that need the event. All functions are described in functions.go.
type environment struct {
	event.Event
	Outcome    event.TextOutcome                  `expr:"outcome"` // zero unless Session.About was called
	Now        func() time.Time                   `expr:"now"`     // the event's time of receipt
	Age        func(t time.Time) time.Duration    `expr:"age"`
	Log        func() (string, error)             `expr:"log"`
	LogExcerpt func(lines ...int) (string, error) `expr:"log_excerpt"`
	Superseded func() (bool, error)               `expr:"superseded"`
	Jobs       func() ([]event.Job, error)        `expr:"jobs"`
	Bridges    func() ([]event.Bridge, error)     `expr:"bridges"`
	Details    func() (event.Details, error)      `expr:"details"`
	OnDefault  func() (event.OnDefault, error)    `expr:"on_default"`
	Tests      func() ([]event.FailedTest, error) `expr:"tests"`

	MergeRequestDetails func() (event.MergeRequestDetails, error) `expr:"merge_request_details"`

	Spend func(args ...any) any // called only by the calls that limits.Meter inserts

	// FailureClass is called in place of job.failure_class if the rule files
	// define classes; otherwise it is nil.
	FailureClass func() (string, error)
}

// environmentOf binds an event to its facts. The environment is passed to
// programs by value: expr reads fields of a struct value about three times as
// fast as through a pointer.
func environmentOf(ctx context.Context, e event.Event, facts Facts, m *limits.Machine, q *requests, classes *failureclass.Matcher) environment {
	read := withoutSlot(m, func() (string, error) {
		if err := m.ReadLog(); err != nil {
			return "", err
		}
		return facts.Log(ctx, e)
	})
	log := once(q, "log", func() (string, error) {
		text, err := read()
		if err == nil {
			err = m.RetainLog(text)
		}
		if err != nil {
			return "", err
		}
		q.log, q.read = readable(text, e), true
		return q.log, nil
	})
	env := environment{
		Event: e,
		Now:   func() time.Time { return e.Meta.ReceivedAt },
		// An unknown time has the age 0: a job that has not finished must not
		// appear older than any limit.
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
		OnDefault:  once(q, "on_default", withoutSlot(m, func() (event.OnDefault, error) { return facts.OnDefault(ctx, e) })),
		Tests: once(q, "tests", withoutSlot(m, func() ([]event.FailedTest, error) {
			tests, err := facts.Tests(ctx, e)
			return redacted(tests, e), err
		})),
		MergeRequestDetails: once(q, "merge_request_details", withoutSlot(m, func() (event.MergeRequestDetails, error) {
			return facts.MergeRequestDetails(ctx, e)
		})),
		Spend: m.Spend,
	}
	if classes.Len() > 0 {
		env.FailureClass = classOf(e, classes, log, m.Charge)
	}
	return env
}

// withoutSlot wraps a request to GitLab: the evaluation releases its slot for
// other evaluations while the request runs.
func withoutSlot[T any](m *limits.Machine, request func() (T, error)) func() (T, error) {
	return func() (value T, err error) {
		ended := m.WithoutSlot(func() { value, err = request() })
		return value, cmp.Or(err, ended)
	}
}

// readable returns a job's log as a terminal shows it, with secrets redacted:
// those that redact.Secrets recognizes, and the values of the pipeline's
// variables.
func readable(log string, e event.Event) string {
	return redact.Secrets(redact.Values(joblog.Clean(log), slices.Collect(maps.Values(e.Pipeline.Variables))))
}

// redacted returns tests with secrets in their texts redacted, as in logs.
func redacted(tests []event.FailedTest, e event.Event) []event.FailedTest {
	all := slices.Clone(tests)
	for i, t := range all {
		all[i].Name, all[i].Suite, all[i].File = readable(t.Name, e), readable(t.Suite, e), readable(t.File, e)
	}
	return all
}

// Excerpt returns what log_excerpt() returns for the log of the event's job.
func Excerpt(log string, e event.Event) string {
	return joblog.Excerpt(readable(log, e), excerptLines)
}

// Bounds on log_excerpt, in lines.
const (
	excerptLines = 20
	maxExcerpt   = 100

	excerptUnits = 32 // units of work for each 16 bytes of the log, in the worst case
)

// excerptOf returns the function log_excerpt. Its work is counted by the
// length of the log.
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

// boundExcerpt returns an error for an excerpt of no lines or of more lines
// than a text may have.
func boundExcerpt(lines int) error {
	if lines < 1 || lines > maxExcerpt {
		return fmt.Errorf("log_excerpt takes a number of lines from 1 to %d, not %d", maxExcerpt, lines)
	}
	return nil
}

// requests records the requests of an event's expressions to GitLab.
type requests struct {
	names  []string // names of functions, in the order of the requests
	closed bool     // further requests fail
	log    string   // of the event's job, if it was read
	read   bool     // it was
}

var errNotRequested = errors.New("the condition did not request this from GitLab")

// once returns a function that calls request at most once and returns the
// result of that call. It is not safe for concurrent use.
func once[T any](q *requests, name string, request func() (T, error)) func() (T, error) {
	var value T
	var err error
	done := false
	return func() (T, error) {
		switch {
		case done:
		case q.closed:
			return value, errNotRequested
		default:
			done = true
			q.names = append(q.names, name)
			if value, err = request(); err != nil {
				err = limits.RequestError{Err: err}
			}
		}
		return value, err
	}
}
