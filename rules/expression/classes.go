package expression

import (
	"errors"
	"regexp"
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// Class is a failure class that a rule file defines: a failed job whose log matches
// is of this class.
type Class struct {
	Name string
	Log  *regexp.Regexp
}

// Classes are the classes of all rule files, in file order. The first that matches
// wins.
type Classes []Class

// Names returns the names of the classes, in file order.
func (cs Classes) Names() []string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = c.Name
	}
	return names
}

// ClassField is the field whose value Classes determine.
const ClassField = "job.failure_class"

// of returns a function that returns the failure class of the event's job. The
// function reads the log once, and only if the job failed. If the log can never be
// read, the class is that of the failure reason. weigh is called with the units of
// work before the log is matched.
func (cs Classes) of(e event.Event, log func() (string, error), weigh func(work int) error) func() (string, error) {
	known := e.Job.FailureClass
	settled := e.Job.Status != "failed" || known != event.ClassOf(e.Job.FailureReason) // in a decision, it is
	return func() (string, error) {
		if settled || len(cs) == 0 {
			return known, nil
		}
		text, err := log()
		answer, isAnswer := errors.AsType[limits.RequestError](err)
		switch {
		case err == nil:
			if err := weigh(cs.work() * len(text)); err != nil {
				return "", limits.RequestError{Err: err}
			}
			if i := slices.IndexFunc(cs, func(c Class) bool { return c.Log.MatchString(text) }); i >= 0 {
				known = cs[i].Name
			}
		case !isAnswer || event.Transient(answer.Err) || errors.Is(answer.Err, ErrNotGiven):
			return "", err
		}
		settled = true
		return known, nil
	}
}

// work returns the units for each byte of a log that all classes are matched
// with.
func (cs Classes) work() (units int) {
	for _, c := range cs {
		units += limits.MatchUnits(c.Log.String())
	}
	return units
}
