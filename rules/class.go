package rules

import (
	"errors"
	"regexp"
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
)

// class is a failure class of the rule files: that of failed jobs whose log
// matches.
type class struct {
	name string
	log  *regexp.Regexp
}

// classes are those of all files, in their order: the first that matches wins.
type classes []class

func (cs classes) names() []string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = c.name
	}
	return names
}

// classField is the field whose value classes give.
const classField = "job.failure_class"

// of gives a function that tells the failure class of the event's job. It asks
// for the log once, and only of a job that failed. A log that will never be
// there leaves the class at what the failure reason gives. weigh is called with
// the units of work before the log is matched.
func (cs classes) of(e event.Event, log func() (string, error), weigh func(work int) error) func() (string, error) {
	known := e.Job.FailureClass
	settled := e.Job.Status != "failed" || known != event.ClassOf(e.Job.FailureReason) // in a decision, it is
	return func() (string, error) {
		if settled || len(cs) == 0 {
			return known, nil
		}
		text, err := log()
		answer, isAnswer := errors.AsType[unanswered](err)
		switch {
		case err == nil:
			if err := weigh(cs.work() * len(text)); err != nil {
				return "", unanswered{err}
			}
			if i := slices.IndexFunc(cs, func(c class) bool { return c.log.MatchString(text) }); i >= 0 {
				known = cs[i].name
			}
		case !isAnswer || event.Transient(answer.error) || errors.Is(answer.error, ErrNotGiven):
			return "", err
		}
		settled = true
		return known, nil
	}
}

// work returns the units for each byte of a log that all classes are matched
// with.
func (cs classes) work() (units int) {
	for _, c := range cs {
		units += unitsOf(c.log.String())
	}
	return units
}
