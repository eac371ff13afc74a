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
	newJobID int64         // of the job that the action made
	newRun   event.Job     // that job, where more of it is known
	freed    int64         // bytes
	wait     time.Duration // of a deferred decision
	waits    event.Wait    // what it waits for
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

// deferred defers the decision without a report: people who look see the reason.
func deferred(wait time.Duration, waitsFor, reason string) *verdict {
	return &verdict{result: event.ResultDeferred, wait: wait, waits: event.Wait{For: waitsFor, Reason: reason}}
}

// deferredBecause defers the decision for a reason that is reported once: the text must
// be the same as long as the reason is. An empty one is not reported.
func deferredBecause(wait time.Duration, waitsFor, reason string) *verdict {
	v := deferred(wait, waitsFor, reason)
	v.reason = reason
	return v
}

// outdated returns the verdict on an action in a pipeline that a newer one makes redundant;
// nil if newer is 0.
func outdated(p *pending, newer int64) *verdict {
	switch {
	case newer == 0:
		return nil
	case p.Action.Verb == event.VerbRetryPipeline, p.Action.Verb == event.VerbCancelOutdated, p.Requested():
		return skipped("the pipeline is outdated by pipeline %d", newer)
	}
	return skipped("the pipeline is outdated by pipeline %d: `allow_stale: true` lifts this", newer)
}
