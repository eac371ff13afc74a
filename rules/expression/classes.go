package expression

import (
	"errors"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/failureclass"
)

// ClassField is the field whose value the classes of rule files determine.
const ClassField = "job.failure_class"

// classOf returns a function that returns the failure class of the event's job. The
// function reads the log once, and only if the job failed. If the log does not
// exist, the class follows from the failure reason. charge is called with the
// units of work before the log is matched.
func classOf(e event.Event, classes *failureclass.Matcher, log func() (string, error), charge func(work int) error) func() (string, error) {
	known := e.Job.FailureClass
	determined := e.Job.Status != "failed" || known != event.ClassOf(e.Job.FailureReason) // a decision contains the class already
	return func() (string, error) {
		if determined || classes.Len() == 0 {
			return known, nil
		}
		text, err := log()
		failed, isRequest := errors.AsType[limits.RequestError](err)
		switch {
		case err == nil:
			name, err := classes.Match(text, charge)
			if err != nil {
				return "", limits.RequestError{Err: err}
			}
			if name != "" {
				known = name
			}
		case !isRequest || event.Transient(failed.Err) || errors.Is(failed.Err, ErrNotGiven):
			return "", err
		}
		determined = true
		return known, nil
	}
}
