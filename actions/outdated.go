package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
)

// observeCancelOutdated: a cancel is called for while older pipelines are under
// way that the decision's pipeline makes redundant, and it is not redundant
// itself.
func observeCancelOutdated(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	pipeline, err := r.pipeline(ctx, p)
	if err != nil {
		return nil, err
	}
	pipeline.Upstream = p.Pipeline.Upstream
	newer, err := r.GitLab.OutdatedBy(ctx, p.Project.ID, pipeline, 0, false)
	if err != nil {
		return nil, err
	}
	if newer != 0 {
		return stale(p, newer), nil
	}
	p.outdated, err = r.GitLab.Outdated(ctx, p.Project.ID, pipeline, 0)
	switch {
	case err != nil:
		return nil, err
	case len(p.outdated) == 0 && len(p.Canceled) > 0:
		return done(0, "%s", strings.Join(p.Canceled, "; ")), nil
	case len(p.outdated) == 0 && p.Called:
		return done(0, "no older pipeline that this one makes redundant is under way, seen after the call was cut short"), nil
	case len(p.outdated) == 0:
		return skipped("no older pipeline that this one makes redundant is under way"), nil
	}
	return nil, nil
}

// actCancelOutdated cancels those pipelines. Of one that runs a deployment, also
// in a child pipeline, it cancels the other jobs one by one. What GitLab refuses
// for one pipeline leaves the others alone.
func actCancelOutdated(ctx context.Context, r *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	var running []gitlab.Deployment
	if !p.Action.Force {
		var err error
		if running, err = gl.RunningDeployments(ctx, p.Project.ID); err != nil {
			return nil, err
		}
	}
	var refused []string
	for _, old := range p.outdated {
		what, err := r.cancelOutdated(ctx, gl, p.Project.ID, old, running)
		if what != "" {
			p.Canceled = append(p.Canceled, what)
		}
		var e *gitlab.Error
		switch {
		case err == nil:
		case errors.As(err, &e) && !rules.Passes(err):
			refused = append(refused, fmt.Sprintf("%d: %s", old.ID, reasonOf(p, e)))
		default:
			return nil, err
		}
	}
	reason := strings.Join(append(p.Canceled, refused...), "; ")
	if len(refused) > 0 {
		return failed("%s", reason), nil
	}
	return done(0, "%s", reason), nil
}

// cancelOutdated cancels a pipeline, but for its jobs that are in running, and
// says what it did; "" where that is nothing.
func (r *Runner) cancelOutdated(ctx context.Context, gl *gitlab.Client, project int64, old rules.Pipeline, running []gitlab.Deployment) (string, error) {
	deploys := slices.DeleteFunc(slices.Clone(running), func(d gitlab.Deployment) bool { return d.PipelineID != old.ID && d.SHA != old.SHA })
	if len(deploys) == 0 {
		pipeline, err := gl.CancelPipeline(ctx, project, old.ID)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("pipeline %d is %s", old.ID, pipeline.Status), nil
	}
	jobs, err := gl.PipelineJobs(ctx, project, old.ID, false)
	if err != nil {
		return "", err
	}
	left := map[int64]bool{}
	for _, d := range deploys {
		left[d.JobID] = true
	}
	n := 0
	for _, job := range jobs {
		if left[job.ID] || ended(job.Status) || job.Status == "canceling" || job.Status == "manual" {
			continue
		}
		if _, err := gl.Cancel(ctx, project, job.ID, false); err != nil {
			if n == 0 {
				return "", err
			}
			return fmt.Sprintf("of pipeline %d, %s canceled", old.ID, plural(n, "job")), err
		}
		n++
	}
	return fmt.Sprintf("of pipeline %d, %s canceled and the deployment to %s is left: `force: true` lifts this", old.ID, plural(n, "job"), deploys[0].Environment), nil
}
