package actions

import (
	"context"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
)

// observeErase: an erase is called for when the job ended long enough ago
// and holds nothing that the rule wants kept.
func observeErase(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	job, err := r.GitLab.Job(ctx, p.Project.ID, p.Job.ID)
	if err != nil {
		return nil, err
	}
	age := r.Now().Sub(job.FinishedAt)
	switch {
	case !job.ErasedAt.IsZero() && p.Called:
		return erased(p, "seen after the call was cut short"), nil
	case !job.ErasedAt.IsZero():
		return skipped("already erased"), nil
	case !ended(job.Status):
		return skipped("the job has not ended: it is %s", job.Status), nil
	case job.FinishedAt.IsZero():
		return skipped("GitLab does not say when the job finished"), nil
	case age < time.Duration(p.Action.OlderThan):
		return skipped("finished %s ago, and the rule erases after %s", span(age), p.Action.OlderThan), nil
	case !p.Action.Artifacts && holdsArtifacts(job):
		return skipped("holds artifacts besides its log, and GitLab erases both: `artifacts: true` allows that"), nil
	}
	if !p.Called {
		p.Freed = 0
		for _, a := range job.Artifacts {
			p.Freed += a.Size
		}
	}
	return nil, nil
}

func holdsArtifacts(job gitlab.Job) bool {
	return slices.ContainsFunc(job.Artifacts, func(a rules.Artifact) bool { return a.FileType != "trace" })
}

func actErase(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	if _, err := r.GitLab.Erase(ctx, p.Project.ID, p.Job.ID); err != nil {
		return nil, err
	}
	return erased(p, ""), nil
}

// erased says how much was freed, as it was seen before the call.
func erased(p *pending, reason string) *verdict {
	v := done(0, "%s", reason)
	v.freed = p.Freed
	return v
}
