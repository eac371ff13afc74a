package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// observeCancelOutdated: a cancel is called for while older pipelines run that the
// decision's pipeline makes redundant, and it is not redundant itself.
func observeCancelOutdated(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	pipeline, err := r.states.Pipeline(ctx, p.Decision, p.Called)
	if err != nil {
		return nil, err
	}
	pipeline.Upstream = p.Pipeline.Upstream
	newer, err := r.GitLab.OutdatedBy(ctx, p.Project.ID, pipeline, 0, false)
	if err != nil {
		return nil, err
	}
	if newer != 0 {
		return outdated(p, newer), nil
	}
	p.outdated, err = r.GitLab.Outdated(ctx, p.Project.ID, pipeline, 0)
	switch {
	case err != nil:
		return nil, err
	case len(p.outdated) == 0 && len(p.Canceled) > 0:
		return done(0, ""), nil
	case len(p.outdated) == 0 && p.Called:
		return done(0, "no older pipeline that this one makes redundant is under way, seen after the call was cut short"), nil
	case len(p.outdated) == 0:
		return skipped("no older pipeline that this one makes redundant is under way"), nil
	}
	return nil, nil
}

// actCancelOutdated cancels those pipelines. If one runs a deployment, also in a child
// pipeline, it cancels the other jobs of that one by one. A refusal for one pipeline does
// not stop the others.
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
		result, err := r.cancelOutdated(ctx, gl, p.Project.ID, old, running)
		p.addCanceled(result)
		var e *apierror.Error
		switch {
		case err == nil:
		case errors.As(err, &e) && !event.Transient(err):
			refused = append(refused, fmt.Sprintf("%d: %s", old.ID, reasonOf(p, e)))
		default:
			return nil, err
		}
	}
	if len(refused) > 0 {
		return failed("%s", strings.Join(refused, "; ")), nil
	}
	return done(0, ""), nil
}

// canceled is the result of a cancel_outdated for one pipeline.
type canceled struct {
	Pipeline int64  `json:"pipeline"`
	Status   string `json:"status,omitzero"` // of the pipeline, after it was canceled as a whole
	Jobs     int    `json:"jobs,omitzero"`   // else how many of its jobs were canceled
	Left     string `json:"left,omitzero"`   // and the environment whose deployment goes on
}

func (c canceled) String() string {
	switch {
	case event.Ended(c.Status):
		return fmt.Sprintf("pipeline %d is %s", c.Pipeline, c.Status)
	case c.Status != "": // its status follows those of its jobs
		return fmt.Sprintf("pipeline %d is being canceled", c.Pipeline)
	}
	text := fmt.Sprintf("of pipeline %d, %s canceled", c.Pipeline, english.Plural(c.Jobs, "job", ""))
	if c.Left != "" {
		text += fmt.Sprintf(" and the deployment to %s is left: `force: true` lifts this", c.Left)
	}
	return text
}

// addCanceled merges a cancellation into those of earlier attempts.
func (p *pending) addCanceled(c canceled) {
	if c == (canceled{Pipeline: c.Pipeline}) {
		return
	}
	i := slices.IndexFunc(p.Canceled, func(before canceled) bool { return before.Pipeline == c.Pipeline })
	if i < 0 {
		p.Canceled = append(p.Canceled, c)
		return
	}
	c.Jobs += p.Canceled[i].Jobs
	p.Canceled[i] = c
}

// withCanceled returns the verdict on a decision that has canceled something, also in
// earlier attempts: that it is done, and what was canceled.
func (p *pending) withCanceled(v *verdict) *verdict {
	if len(p.Canceled) == 0 || v.result == event.ResultDeferred {
		return v
	}
	all := *v
	switch v.result {
	case event.ResultSkipped:
		all.result = event.ResultDone
	case event.ResultDryRun:
		all.result, all.reason = event.ResultFailed, "stopped halfway by dry run"
	}
	var reasons []string
	for _, c := range p.Canceled {
		reasons = append(reasons, c.String())
	}
	if all.reason != "" {
		reasons = append(reasons, all.reason)
	}
	all.reason = strings.Join(reasons, "; ")
	return &all
}

// cancelOutdated cancels a pipeline but for its running deployments, and returns what it
// has canceled, also together with an error.
func (r *Runner) cancelOutdated(ctx context.Context, gl *gitlab.Client, project int64, old event.Pipeline, running []gitlab.Deployment) (canceled, error) {
	c := canceled{Pipeline: old.ID}
	deploys := slices.DeleteFunc(slices.Clone(running), func(d gitlab.Deployment) bool { return d.PipelineID != old.ID && d.SHA != old.SHA })
	if len(deploys) == 0 {
		pipeline, err := gl.CancelPipeline(ctx, project, old.ID)
		if err == nil {
			c.Status = pipeline.Status
		}
		return c, err
	}
	jobs, err := gl.PipelineJobs(ctx, project, old.ID, false)
	if err != nil {
		return c, err
	}
	left := map[int64]bool{}
	for _, d := range deploys {
		left[d.JobID] = true
	}
	for _, job := range jobs {
		if left[job.ID] || event.Ended(job.Status) || job.Status == "canceling" || job.Status == "manual" {
			continue
		}
		if _, err := gl.Cancel(ctx, project, job.ID, false); err != nil {
			return c, err
		}
		c.Jobs++
	}
	c.Left = deploys[0].Environment
	return c, nil
}
