package backtest

import (
	"context"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Reasons why a retry that a rule requests would not have been made.
const (
	HeldAttempts = "attempts used up"
	HeldHopeless = "no retry mends the reason"
	HeldOutdated = "pipeline outdated"
	HeldBefore   = "already run again"         // by GitLab, a person or another program
	HeldNotDone  = "not failed any more"       // the rule names a job that had not failed
	HeldUnknown  = "whether outdated: unknown" // the pipelines of its ref are not known
)

// retry returns the retry of a failed job that a decision requests, with the reason why it
// would not have been made, if there is one; nil if the job was not read, such as a trigger job.
// The reasons are those of actions/retry.go that the past tells.
func (b *Backtest) retry(ctx context.Context, inForce *rules.Rules, facts asOf, m moment, d event.Decision, job event.Job) (*retry, error) {
	var run *history.Run
	for _, r := range m.pipeline.runs[job.Name] {
		if r.ID == job.ID {
			run = r
		}
	}
	if run == nil {
		return nil, nil
	}
	one := &retry{run: run, of: m.pipeline, class: run.FailureClass}
	if d.Job.ID == run.ID && d.Job.FailureClass != "" {
		one.class = d.Job.FailureClass
	}
	d.Job.Attempt = run.Attempt
	wait := time.Duration(0)
	if d.Action.Verb == event.VerbRetry {
		wait = d.Pause()
		if run.Attempt < maxNativeRuns {
			wait = max(wait, b.NativeRetry)
		}
	}
	one.due = m.at.Add(wait)
	next := m.pipeline.next(run)
	switch {
	case run.Status != "failed":
		one.held = HeldNotDone
	case next != nil && !next.CreatedAt.After(one.due):
		one.held = HeldBefore
	case d.Action.Verb != event.VerbRetry: // GitLab retries all that failed
	case event.Hopeless(run.FailureReason):
		one.held = HeldHopeless
	case run.Attempt >= min(d.Action.MaxAttempts, inForce.Limits().PerJob):
		one.held = HeldAttempts
	case !d.Action.AllowStale:
		return one, b.outdated(ctx, facts, m, one)
	}
	return one, nil
}

// outdated sets whether a retry would not have been made because the pipeline was outdated
// when it was due.
func (b *Backtest) outdated(ctx context.Context, facts asOf, m moment, one *retry) error {
	e := facts.timeline.event(m, b.Events)
	e.Meta.ReceivedAt = one.due
	if m.run == nil { // the ref of a merge request is as GitLab's API has it
		e.MergeRequest.IID = 0
	}
	newer, err := facts.outdatedBy(ctx, e)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		one.held = HeldUnknown
	case newer != 0:
		one.held = HeldOutdated
	}
	return nil
}

// maxNativeRuns is how many runs a job can have by GitLab's own `retry:`.
const maxNativeRuns = 3

// hasEvidence reports whether what became of the run says how often a retry that the rule
// requests helps.
func (r retry) hasEvidence() bool { return slices.Contains([]string{"", HeldBefore}, r.held) }
