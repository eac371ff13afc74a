package actions

import (
	"context"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
)

// facts answers what expressions ask of GitLab.
type facts struct{ gitlab *gitlab.Client }

var _ rules.Facts = facts{}

// Log gives the end of the job's log, as much of it as the client keeps.
func (f facts) Log(ctx context.Context, e rules.Event) (string, error) {
	log, err := f.gitlab.Log(ctx, e.Project.ID, e.Job.ID)
	return log.Text, err
}

// Jobs gives the latest run of each job of the pipeline.
func (f facts) Jobs(ctx context.Context, e rules.Event) ([]rules.Job, error) {
	runs, err := f.gitlab.PipelineJobs(ctx, e.Project.ID, e.Pipeline.ID, false)
	jobs := make([]rules.Job, len(runs))
	for i, run := range runs {
		jobs[i] = run.Job
	}
	return jobs, err
}

// Bridges gives the trigger jobs of the pipeline.
func (f facts) Bridges(ctx context.Context, e rules.Event) ([]rules.Bridge, error) {
	return f.gitlab.Bridges(ctx, e.Project.ID, e.Pipeline.ID)
}

// Details gives the job as the Jobs API has it.
func (f facts) Details(ctx context.Context, e rules.Event) (rules.Details, error) {
	job, err := f.gitlab.Job(ctx, e.Project.ID, e.Job.ID)
	return job.Details, err
}
