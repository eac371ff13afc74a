package actions

import (
	"context"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Facts answers what expressions ask of GitLab.
type Facts struct {
	GitLab *gitlab.Client
	// Now tells whether the event is so fresh that GitLab's API may be behind it:
	// an answer that contradicts the event is an error that passes then. nil: no
	// event is.
	Now func() time.Time
}

var _ expression.Facts = Facts{}

// Log gives the end of the job's log, as much of it as the client keeps.
func (f Facts) Log(ctx context.Context, e event.Event) (string, error) {
	log, err := f.GitLab.Log(ctx, e.Project.ID, e.Job.ID)
	if err == nil && log.Text == "" && f.fresh(e).is && !e.Job.StartedAt.IsZero() {
		err = &lagError{fmt.Sprintf("job %d, which ran, has no log there", e.Job.ID)}
	}
	return log.Text, err
}

// fresh returns how fresh the event is.
func (f Facts) fresh(e event.Event) fresh {
	if f.Now == nil {
		return fresh{}
	}
	return freshness(e, f.Now())
}

// Jobs gives the latest run of each job of the pipeline.
func (f Facts) Jobs(ctx context.Context, e event.Event) ([]event.Job, error) {
	jobs, err := f.jobs(ctx, e.Project.ID, e.Pipeline.ID)
	if err != nil {
		return nil, f.fresh(e).found(err)
	}
	return jobs, f.fresh(e).jobs(jobs, e)
}

func (f Facts) jobs(ctx context.Context, project, pipeline int64, scope ...string) ([]event.Job, error) {
	runs, err := f.GitLab.PipelineJobs(ctx, project, pipeline, false, scope...)
	jobs := make([]event.Job, len(runs))
	for i, run := range runs {
		jobs[i] = run.Job
	}
	return jobs, err
}

// Bridges gives the trigger jobs of the pipeline. Of those that failed it asks
// which jobs failed downstream, where the token's user may see that.
func (f Facts) Bridges(ctx context.Context, e event.Event) ([]event.Bridge, error) {
	bridges, err := f.GitLab.Bridges(ctx, e.Project.ID, e.Pipeline.ID)
	if err != nil {
		return nil, f.fresh(e).found(err)
	}
	for i := range bridges {
		down := &bridges[i].Downstream
		if bridges[i].Status != "failed" || down.ID == 0 {
			continue
		}
		down.FailedJobs, err = f.jobs(ctx, down.ProjectID, down.ID, "failed")
		if err != nil && !gitlab.IsHidden(err) {
			return nil, err
		}
	}
	return bridges, nil
}

// Details gives the job as the Jobs API has it.
func (f Facts) Details(ctx context.Context, e event.Event) (event.Details, error) {
	job, err := f.GitLab.Job(ctx, e.Project.ID, e.Job.ID)
	if err != nil {
		return event.Details{}, f.fresh(e).found(err)
	}
	return job.Details, f.fresh(e).status("job", job.ID, job.Status, e.Job.Status)
}

// mergeRequestOf returns the iid of the merge request whose source branch the
// event has as ref; 0 where the ref is as GitLab's API has it.
func mergeRequestOf(e event.Event) int64 {
	if e.Meta.Kind == event.KindJob {
		return 0
	}
	return e.MergeRequest.IID
}

// Superseded reports whether another pipeline makes the event's redundant.
func (f Facts) Superseded(ctx context.Context, e event.Event) (bool, error) {
	newer, err := f.GitLab.OutdatedBy(ctx, e.Project.ID, e.Pipeline, mergeRequestOf(e), e.Job.Environment.Name != "")
	return newer != 0, f.fresh(e).found(err)
}
