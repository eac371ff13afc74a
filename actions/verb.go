package actions

import (
	"context"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// verb is one thing that can be done to a job or a pipeline.
type verb struct {
	// observe reads the job's real state and returns the verdict, nil when that calls
	// for the action. It may correct the decision's data about the job.
	observe func(ctx context.Context, r *Runner, p *pending) (*verdict, error)
	// retries is set for an action that runs failed jobs again: the circuit breakers and
	// the budgets limit those.
	retries bool
	// act sends the request, through gl.
	act func(ctx context.Context, r *Runner, gl *gitlab.Client, p *pending) (*verdict, error)
}

var verbs = map[string]verb{
	event.VerbRetry:          {observe: observeRetry, retries: true, act: actRetry},
	event.VerbPlay:           {observe: observePlay, act: actPlay},
	event.VerbCancel:         {observe: observeCancel, act: actCancel},
	event.VerbErase:          {observe: observeErase, act: actErase},
	event.VerbRetryPipeline:  {observe: observeRetryPipeline, retries: true, act: actRetryPipeline},
	event.VerbCancelPipeline: {observe: observeCancelPipeline, act: actCancelPipeline},
	event.VerbCancelOutdated: {observe: observeCancelOutdated, act: actCancelOutdated},
	event.VerbNotify:         {observe: observeNotify},
}

// observeNotify: a rule without actions only notifies that it matched.
func observeNotify(_ context.Context, _ *Runner, p *pending) (*verdict, error) {
	if p.DryRun {
		return &verdict{result: event.ResultDryRun, reason: "the rule matched"}, nil
	}
	return done(0, "the rule matched"), nil
}
