package backtest

import (
	"context"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/facts/ondefault"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// OnDefault implements expression.Facts: package ondefault reads what GitLab would have
// answered at the time of the event.
func (f asOf) OnDefault(ctx context.Context, e event.Event) (event.OnDefault, error) {
	now := func() time.Time { return e.Meta.ReceivedAt }
	return ondefault.New(now).Of(ctx, defaultAt{pipelinesAt{f.timeline, e}}, e)
}

// defaultAt has what GitLab's API told of the default branch at the time of an event.
type defaultAt struct{ pipelinesAt }

var _ ondefault.GitLab = defaultAt{}

// notRead is the id of the pipeline that stands for all those before the jobs that were read.
const notRead = 0

// maxListed is how many pipelines GitLab lists.
const maxListed = 100

// The reasons why on_default() is not known.
var (
	errNotRead    = &unknownError{"on_default()", "it needs a pipeline that began before the jobs that were read"}
	errNotCertain = &unknownError{"on_default()", "whether a pipeline had ended then is not certain: its last jobs began much later, perhaps manual ones"}
)

// Project implements ondefault.GitLab. It is called for a project without a default branch.
func (d defaultAt) Project(context.Context, string) (gitlab.Project, error) {
	return gitlab.Project{Project: d.project}, nil
}

// FinishedPipelines implements ondefault.GitLab. Those of which it is not certain whether they
// had ended are among them, as failed: their jobs are not known.
func (d defaultAt) FinishedPipelines(_ context.Context, _ int64, ref string) (all []gitlab.UpdatedPipeline, err error) {
	for _, p := range slices.Backward(d.created(ref)) {
		if len(all) == maxListed {
			return all, nil
		}
		if !p.whole {
			break
		}
		status, certain := p.finishedAs(d.event.Meta.ReceivedAt)
		if !certain {
			status = "failed"
		}
		if status != "" {
			one := gitlab.UpdatedPipeline{Pipeline: p.Pipeline.Pipeline}
			one.Status = status
			all = append(all, one)
		}
	}
	return append(all, gitlab.UpdatedPipeline{Pipeline: event.Pipeline{ID: notRead, Status: "failed"}}), nil
}

// PipelineJobs implements ondefault.GitLab.
func (d defaultAt) PipelineJobs(_ context.Context, project, pipeline int64, _ bool, scope ...string) ([]gitlab.Job, error) {
	if pipeline == notRead {
		return nil, errNotRead
	}
	p, at := d.pipelines[pipeline], d.event.Meta.ReceivedAt
	if _, certain := p.finishedAs(at); !certain {
		return nil, errNotCertain
	}
	jobs := p.jobsAt(project, at, true)
	return slices.DeleteFunc(jobs, func(j gitlab.Job) bool { return len(scope) > 0 && !slices.Contains(scope, j.Status) }), nil
}

// betweenStages is how soon after the end of a stage the jobs of the next one are queued.
const betweenStages = time.Minute

// finishedAs returns the status with which the pipeline had ended at a time; "" if it had
// not. certain is false if it may have ended, since the next job began much later.
func (p *past) finishedAs(at time.Time) (status string, certain bool) {
	var end moment
	for _, e := range p.finished {
		if !e.at.After(at) && !e.at.Before(end.at) {
			end = e
		}
	}
	var last, next time.Time // the last end of a run, and the next beginning of one
	for _, runs := range p.runs {
		for i, run := range runs {
			began := run.CreatedAt
			if i == 0 { // it was created with the pipeline, and waited for its stage
				began = queuedAt(run)
			}
			switch {
			case began.IsZero():
			case began.After(at):
				if next.IsZero() || began.Before(next) {
					next = began
				}
			case run.FinishedAt.IsZero() && slices.Contains(ended, run.Status):
				return "", false
			case run.FinishedAt.IsZero(), run.FinishedAt.After(at):
				return "", true
			case run.FinishedAt.After(last):
				last = run.FinishedAt
			}
		}
	}
	if end.status != "" && !last.After(end.at) {
		return end.status, true
	}
	return "", last.IsZero() || next.IsZero() || next.Sub(last) <= betweenStages
}
