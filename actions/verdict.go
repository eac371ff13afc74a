package actions

import (
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// verdict is the result of an attempt to carry out a decision.
type verdict struct {
	result   string
	reason   string        // of a deferred decision: "" where nobody is notified
	waitsFor string        // of a deferred decision without a reason: for those who look
	newJobID int64         // of the job that the action made
	newRun   event.Job     // that job, where more of it is known
	freed    int64         // bytes
	wait     time.Duration // of a deferred decision
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

// deferred defers the decision without a report.
func deferred(wait time.Duration, waitsFor string) *verdict {
	return &verdict{result: event.ResultDeferred, wait: wait, waitsFor: waitsFor}
}

// deferredBecause defers the decision for a reason that is reported once: the text must
// be the same as long as the reason is.
func deferredBecause(wait time.Duration, format string, args ...any) *verdict {
	return &verdict{result: event.ResultDeferred, wait: wait, reason: fmt.Sprintf(format, args...)}
}
