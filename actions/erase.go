package actions

import (
	"context"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/retention"
)

// observeErase: an erase is called for when the job ended long enough ago and has nothing
// that the rule keeps.
func observeErase(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	job, err := r.states.Job(ctx, p.Decision)
	if err != nil {
		return nil, err
	}
	switch {
	case !job.ErasedAt.IsZero() && p.Called:
		return erased(p, "seen after the call was cut short"), nil
	case !job.ErasedAt.IsZero():
		return skipped("already erased"), nil
	}
	reason, err := retention.New(r.GitLab, p.Project.ID).Keeps(ctx, job, p.Action, r.GitLab.Now())
	if reason != "" || err != nil {
		return skipped("%s", reason), err
	}
	p.seen = job
	if !p.Called {
		p.Freed = retention.SizeOf(job)
	}
	return nil, nil
}

func actErase(ctx context.Context, _ *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	_, err := gl.Erase(ctx, p.Project.ID, p.Job.ID)
	if retention.New(gl, p.Project.ID).Refused(p.seen, err) {
		return skipped(retention.Archived), nil
	}
	if err != nil {
		return nil, err
	}
	return erased(p, ""), nil
}

// erased returns the verdict on an erased job, with the size that was read before the request.
func erased(p *pending, reason string) *verdict {
	v := done(0, "%s", reason)
	v.freed = p.Freed
	return v
}
