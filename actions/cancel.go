package actions

import (
	"context"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// observeCancel: a cancel is called for while the job has not ended and is not being
// canceled; force also ends a job that hangs in canceling.
func observeCancel(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	job, err := r.states.Job(ctx, p.Decision)
	if err != nil {
		return nil, err
	}
	p.Job.Status = job.Status
	canceled := job.Status == "canceled" || job.Status == "canceling"
	switch {
	case canceled && p.Called:
		return done(0, "the job is %s, seen after the call was cut short", job.Status), nil
	case job.Status == "canceling" && p.Action.Force:
		return nil, nil
	case canceled:
		return skipped("the job is %s already", job.Status), nil
	case event.Ended(job.Status):
		return skipped("the job has ended: %s", job.Status), nil
	}
	return nil, nil
}

func actCancel(ctx context.Context, _ *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	// GitLab's force ends a job that hangs in canceling, and does nothing else.
	force := p.Action.Force && p.Job.Status == "canceling"
	job, err := gl.Cancel(ctx, p.Project.ID, p.Job.ID, force)
	if err != nil {
		return nil, err
	}
	switch job.Status {
	case "canceled", "canceling":
		p.Job.Status = job.Status
		return done(0, "the job is %s", job.Status), nil
	}
	// GitLab answers 201 also for a job that it can't cancel.
	return &verdict{result: event.ResultFailed, reason: "GitLab left the job " + job.Status + ": it can't be canceled"}, nil
}
