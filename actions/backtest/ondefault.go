package backtest

import (
	"context"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/actions/facts/ondefault"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// OnDefault implements expression.Facts, by the pipelines of the default branch that had ended
// by the time of the event, as far back as jobs were read.
func (f asOf) OnDefault(ctx context.Context, e event.Event) (event.OnDefault, error) {
	at := pipelinesAt{f.timeline, e}
	branch := f.timeline.project.DefaultBranch
	all, err := at.FinishedPipelines(ctx, e.Project.ID, branch)
	if err != nil {
		return event.OnDefault{}, err
	}
	known := 0
	for _, p := range all {
		if ondefault.Counts(p.Pipeline) && p.ID != e.Pipeline.ID && (e.Pipeline.Ref != branch || p.ID < e.Pipeline.ID) {
			known++
		}
	}
	result, err := ondefault.New(func() time.Time { return e.Meta.ReceivedAt }).Of(ctx, at, e)
	if err == nil && result.Status == "" && known < ondefault.MaxPipelines && branch != "" {
		return event.OnDefault{}, &unknownError{"on_default()", "no pipeline of the default branch is known that had ended and has the job"}
	}
	return result, err
}

// Tests implements expression.Facts.
func (f asOf) Tests(context.Context, event.Event) ([]event.FailedTest, error) {
	return nil, &unknownError{"tests()", "GitLab counts how often tests failed as of now"}
}

var _ ondefault.GitLab = pipelinesAt{}

// Project implements ondefault.GitLab.
func (t pipelinesAt) Project(context.Context, string) (gitlab.Project, error) {
	return gitlab.Project{Project: t.project}, nil
}

// FinishedPipelines implements ondefault.GitLab.
func (t pipelinesAt) FinishedPipelines(_ context.Context, _ int64, branch string) (all []gitlab.UpdatedPipeline, err error) {
	for _, p := range slices.Backward(t.created(branch)) {
		if end := p.finishedBy(t.event.Meta.ReceivedAt); end.status != "" && !p.Tag {
			finished := p.Pipeline.Pipeline
			finished.Status, finished.FinishedAt = end.status, end.at
			all = append(all, gitlab.UpdatedPipeline{Pipeline: finished, UpdatedAt: end.at})
		}
	}
	return all, nil
}

// finishedBy returns the last end of the pipeline, if it had ended by a time and no job of it
// was run again since then.
func (p *past) finishedBy(at time.Time) (last moment) {
	for _, end := range p.finished {
		if !end.at.After(at) && end.at.After(last.at) {
			last = end
		}
	}
	again := slices.ContainsFunc(p.Runs, func(r history.Run) bool {
		return r.Attempt > 1 && r.CreatedAt.After(last.at) && !r.CreatedAt.After(at)
	})
	if again {
		return moment{}
	}
	return last
}

// PipelineJobs implements ondefault.GitLab, without runs that were retried.
func (t pipelinesAt) PipelineJobs(_ context.Context, project, pipeline int64, _ bool, _ ...string) ([]gitlab.Job, error) {
	return t.pipelines[pipeline].jobsAt(project, t.event.Meta.ReceivedAt, true), nil
}
