package actions

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/actions/cancellation"
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
func actCancelOutdated(ctx context.Context, _ *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	var running []gitlab.Deployment
	if !p.Action.Force {
		var err error
		if running, err = gl.RunningDeployments(ctx, p.Project.ID); err != nil {
			return nil, err
		}
	}
	var refused []string
	for _, old := range p.outdated {
		result, err := cancellation.Cancel(ctx, gl, p.Project.ID, old, running)
		p.Canceled.Add(result)
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
