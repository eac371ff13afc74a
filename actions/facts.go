package actions

import (
	"context"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
)

// Facts answers what expressions ask of GitLab.
type Facts struct{ GitLab *gitlab.Client }

var _ rules.Facts = Facts{}

// Log gives the end of the job's log, as much of it as the client keeps.
func (f Facts) Log(ctx context.Context, e rules.Event) (string, error) {
	log, err := f.GitLab.Log(ctx, e.Project.ID, e.Job.ID)
	return log.Text, err
}

// Jobs gives the latest run of each job of the pipeline.
func (f Facts) Jobs(ctx context.Context, e rules.Event) ([]rules.Job, error) {
	runs, err := f.GitLab.PipelineJobs(ctx, e.Project.ID, e.Pipeline.ID, false)
	jobs := make([]rules.Job, len(runs))
	for i, run := range runs {
		jobs[i] = run.Job
	}
	return jobs, err
}

// Bridges gives the trigger jobs of the pipeline.
func (f Facts) Bridges(ctx context.Context, e rules.Event) ([]rules.Bridge, error) {
	return f.GitLab.Bridges(ctx, e.Project.ID, e.Pipeline.ID)
}

// Details gives the job as the Jobs API has it.
func (f Facts) Details(ctx context.Context, e rules.Event) (rules.Details, error) {
	job, err := f.GitLab.Job(ctx, e.Project.ID, e.Job.ID)
	return job.Details, err
}
