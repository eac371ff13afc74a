// Package facts reads from GitLab what expressions request, and recognises answers
// that are behind the event they are about.
package facts

import (
	"context"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/facts/ondefault"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Reader reads the facts of an event from GitLab.
type Reader struct {
	GitLab *gitlab.Client
	// Now decides whether an event is fresh: an answer that contradicts a fresh
	// event is a transient error. nil: no event is fresh.
	Now func() time.Time
	// Default has what GitLab answered about default branches. nil: nothing, and what
	// it answers is not kept.
	Default *ondefault.Runs
}

var _ expression.Facts = Reader{}

// Log returns the end of the job's log, as much of it as the client keeps.
func (f Reader) Log(ctx context.Context, e event.Event) (string, error) {
	log, err := f.GitLab.Log(ctx, e.Project.ID, e.Job.ID)
	if err == nil && log.Text == "" && f.freshness(e).fresh && !e.Job.StartedAt.IsZero() {
		err = &lagError{fmt.Sprintf("job %d, which ran, has no log there", e.Job.ID)}
	}
	return log.Text, err
}

func (f Reader) freshness(e event.Event) Freshness {
	if f.Now == nil {
		return Freshness{}
	}
	return FreshnessOf(e, f.Now())
}

// Jobs returns the latest run of each job of the pipeline.
func (f Reader) Jobs(ctx context.Context, e event.Event) ([]event.Job, error) {
	jobs, err := f.jobs(ctx, e.Project.ID, e.Pipeline.ID)
	if err != nil {
		return nil, f.freshness(e).Found(err)
	}
	return jobs, f.freshness(e).jobs(jobs, e)
}

func (f Reader) jobs(ctx context.Context, project, pipeline int64, scope ...string) ([]event.Job, error) {
	runs, err := f.GitLab.PipelineJobs(ctx, project, pipeline, false, scope...)
	jobs := make([]event.Job, len(runs))
	for i, run := range runs {
		jobs[i] = run.Job
	}
	return jobs, err
}

// Bridges returns the trigger jobs of the pipeline, those that failed with the jobs
// that failed downstream, where the token's user may see those.
func (f Reader) Bridges(ctx context.Context, e event.Event) ([]event.Bridge, error) {
	bridges, err := f.GitLab.Bridges(ctx, e.Project.ID, e.Pipeline.ID)
	if err != nil {
		return nil, f.freshness(e).Found(err)
	}
	for i := range bridges {
		down := &bridges[i].Downstream
		if bridges[i].Status != "failed" || down.ID == 0 {
			continue
		}
		down.FailedJobs, err = f.jobs(ctx, down.ProjectID, down.ID, "failed")
		if err != nil && !apierror.IsHidden(err) {
			return nil, err
		}
	}
	return bridges, nil
}

// Details returns the job as the Jobs API has it.
func (f Reader) Details(ctx context.Context, e event.Event) (event.Details, error) {
	job, err := f.GitLab.Job(ctx, e.Project.ID, e.Job.ID)
	if err != nil {
		return event.Details{}, f.freshness(e).Found(err)
	}
	return job.Details, f.freshness(e).Status("job", job.ID, job.Status, e.Job.Status)
}

// MergeRequestDetails returns the merge request of the event's pipeline, with its
// approvals; zero, without a request, if the pipeline is of none.
func (f Reader) MergeRequestDetails(ctx context.Context, e event.Event) (event.MergeRequestDetails, error) {
	details, err := f.GitLab.MergeRequestDetails(ctx, e)
	return details, f.freshness(e).Found(err)
}

// MergeRequest returns the iid of the merge request whose source branch the
// event has as ref; 0 where the ref is as GitLab's API has it.
func MergeRequest(e event.Event) int64 {
	if e.Meta.Kind == event.KindJob {
		return 0
	}
	return e.MergeRequest.IID
}

// Superseded reports whether another pipeline makes the event's one redundant.
func (f Reader) Superseded(ctx context.Context, e event.Event) (bool, error) {
	newer, err := f.GitLab.OutdatedBy(ctx, e.Project.ID, e.Pipeline, MergeRequest(e), e.Job.Environment.Name != "")
	return newer != 0, f.freshness(e).Found(err)
}

// OnDefault returns the event's job in the last finished pipeline of the default branch that
// has it.
func (f Reader) OnDefault(ctx context.Context, e event.Event) (event.OnDefault, error) {
	known := f.Default
	if known == nil {
		known = ondefault.New(f.GitLab.Now)
	}
	return known.Of(ctx, f.GitLab, e)
}

// Tests returns the tests that failed in the JUnit reports of the job.
func (f Reader) Tests(ctx context.Context, e event.Event) ([]event.FailedTest, error) {
	tests, err := f.GitLab.FailedTests(ctx, e.Project, e.Job.ID)
	return tests, f.freshness(e).Found(err)
}
