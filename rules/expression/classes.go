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

// Classes are the failure classes of all rule files, in file order. The first
// class that matches a log is the job's.
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
// function reads the log once, and only if the job failed. If the log does not
// exist, the class follows from the failure reason. charge is called with the
// units of work before the log is matched.
func (cs Classes) of(e event.Event, log func() (string, error), charge func(work int) error) func() (string, error) {
	known := e.Job.FailureClass
	determined := e.Job.Status != "failed" || known != event.ClassOf(e.Job.FailureReason) // a decision contains the class already
	return func() (string, error) {
		if determined || len(cs) == 0 {
			return known, nil
		}
		text, err := log()
		failed, isRequest := errors.AsType[limits.RequestError](err)
		switch {
		case err == nil:
			if err := charge(cs.work() * len(text)); err != nil {
				return "", limits.RequestError{Err: err}
			}
			if i := slices.IndexFunc(cs, func(c Class) bool { return c.Log.MatchString(text) }); i >= 0 {
				known = cs[i].Name
			}
		case !isRequest || event.Transient(failed.Err) || errors.Is(failed.Err, ErrNotGiven):
			return "", err
		}
		determined = true
		return known, nil
	}
}

// work returns the units of work for matching one byte of a log with all
// classes.
func (cs Classes) work() (units int) {
	for _, c := range cs {
		units += limits.MatchUnits(c.Log.String())
	}
	return units
}
