package actions

import (
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// verdict is what is to be said of a decision: a result, its reason, the job
// that runs now where the action made one, and for a deferred decision how
// long it waits.
type verdict struct {
	result   string
	reason   string // of a deferred decision: "" where that is not worth saying
	newJobID int64
	newRun   event.Job // the same job, where more is known of it
	freed    int64     // bytes
	wait     time.Duration
}

func done(newJobID int64, format string, args ...any) *verdict {
	return &verdict{result: event.ResultDone, reason: fmt.Sprintf(format, args...), newJobID: newJobID}
}

func skipped(format string, args ...any) *verdict {
	return &verdict{result: event.ResultSkipped, reason: fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) *verdict {
	return &verdict{result: event.ResultFailed, reason: fmt.Sprintf(format, args...)}
}

func gaveUp(format string, args ...any) *verdict {
	return &verdict{result: event.ResultGaveUp, reason: fmt.Sprintf(format, args...)}
}

// deferred makes the decision wait as the rule wants it to.
func deferred(wait time.Duration) *verdict {
	return &verdict{result: event.ResultDeferred, wait: wait}
}

// postponed makes it wait for a reason that people are told: the same words
// as long as the reason is the same.
func postponed(wait time.Duration, format string, args ...any) *verdict {
	return &verdict{result: event.ResultDeferred, wait: wait, reason: fmt.Sprintf(format, args...)}
}
