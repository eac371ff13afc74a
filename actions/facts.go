package actions

import (
	"context"
	"errors"
	"net/http"

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
	return f.jobs(ctx, e.Project.ID, e.Pipeline.ID)
}

func (f Facts) jobs(ctx context.Context, project, pipeline int64, scope ...string) ([]rules.Job, error) {
	runs, err := f.GitLab.PipelineJobs(ctx, project, pipeline, false, scope...)
	jobs := make([]rules.Job, len(runs))
	for i, run := range runs {
		jobs[i] = run.Job
	}
	return jobs, err
}

// Bridges gives the trigger jobs of the pipeline. Of those that failed it asks
// which jobs failed downstream, where the token's user may see that.
func (f Facts) Bridges(ctx context.Context, e rules.Event) ([]rules.Bridge, error) {
	bridges, err := f.GitLab.Bridges(ctx, e.Project.ID, e.Pipeline.ID)
	if err != nil {
		return nil, err
	}
	for i := range bridges {
		down := &bridges[i].Downstream
		if bridges[i].Status != "failed" || down.ID == 0 {
			continue
		}
		down.FailedJobs, err = f.jobs(ctx, down.ProjectID, down.ID, "failed")
		if err != nil && !unseen(err) {
			return nil, err
		}
	}
	return bridges, nil
}

// unseen reports whether GitLab answered that the token's user may not see
// something, which it words as if it were not there.
func unseen(err error) bool {
	var e *gitlab.Error
	return errors.As(err, &e) && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound)
}

// Details gives the job as the Jobs API has it.
func (f Facts) Details(ctx context.Context, e rules.Event) (rules.Details, error) {
	job, err := f.GitLab.Job(ctx, e.Project.ID, e.Job.ID)
	return job.Details, err
}

// Superseded reports whether there is a newer pipeline of the same ref.
func (f Facts) Superseded(ctx context.Context, e rules.Event) (bool, error) {
	newer, err := f.GitLab.NewerPipeline(ctx, e.Project.ID, e.Pipeline.ID, "")
	return newer != 0, err
}
