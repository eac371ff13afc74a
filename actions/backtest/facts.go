package backtest

import (
	"context"
	"iter"
	"slices"
	"sort"
	"time"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/actions/facts"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/outdated"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Logs reads the ends of job logs; a history.Reader implements it.
type Logs interface {
	Log(ctx context.Context, project, job int64, ended time.Time) (string, error)
}

var _ Logs = history.Reader{}

// unknownError says that a function of expressions has no value in a backtest. Its text names no
// job, so that equal ones can be counted.
type unknownError struct{ function, reason string }

func (e *unknownError) Error() string {
	return e.function + " is not known in a backtest: " + e.reason
}

// Is says that the value is not given, as in a rule test: a failure class by the log is then
// not derived from the failure reason.
func (e *unknownError) Is(target error) bool {
	return target == expression.ErrNotGiven && e.function == logFunction
}

const logFunction = "log()"

// asOf answers what expressions request of GitLab, as it was at the time of an event.
type asOf struct {
	timeline *timeline
	logs     Logs // nil: none are read
}

var _ expression.Facts = asOf{}

// Log implements expression.Facts. Logs of jobs that did not fail are not read.
func (f asOf) Log(ctx context.Context, e event.Event) (string, error) {
	switch {
	case f.logs == nil:
		return "", &unknownError{logFunction, "--no-logs is given"}
	case e.Job.Status != "failed":
		return "", &unknownError{logFunction, "only the logs of failed jobs are read"}
	}
	text, err := f.logs.Log(ctx, e.Project.ID, e.Job.ID, e.Job.FinishedAt)
	switch {
	case history.IsGeneral(ctx, err):
		return "", err
	case err != nil:
		return "", &unknownError{logFunction, apierror.Words(err)}
	case text == "" && !e.Job.StartedAt.IsZero():
		return "", &unknownError{logFunction, "the log is gone"}
	}
	return text, nil
}

// Jobs implements expression.Facts.
func (f asOf) Jobs(_ context.Context, e event.Event) ([]event.Job, error) {
	p := f.timeline.pipelines[e.Pipeline.ID]
	if p == nil || !p.whole {
		return nil, &unknownError{"jobs()", "the pipeline began before the jobs that were read"}
	}
	all := p.jobsAt(e.Project.ID, e.Meta.ReceivedAt, event.Ended(e.Pipeline.Status))
	jobs := make([]event.Job, len(all))
	for i, job := range all {
		jobs[i] = job.Job
	}
	return jobs, nil
}

// Bridges implements expression.Facts.
func (f asOf) Bridges(context.Context, event.Event) ([]event.Bridge, error) {
	return nil, &unknownError{"bridges()", "GitLab's list of jobs has no trigger jobs"}
}

// Details implements expression.Facts.
func (f asOf) Details(_ context.Context, e event.Event) (event.Details, error) {
	p := f.timeline.pipelines[e.Pipeline.ID]
	if p != nil {
		for _, run := range p.runs[e.Job.Name] {
			if run.ID == e.Job.ID {
				d := run.Details
				if d.ErasedAt.After(e.Meta.ReceivedAt) {
					return d, &unknownError{"details()", "the job was erased since"}
				}
				return d, nil
			}
		}
	}
	return event.Details{}, &unknownError{"details()", "the job was not read"}
}

// MergeRequestDetails implements expression.Facts: zero for pipelines that are of none.
func (f asOf) MergeRequestDetails(_ context.Context, e event.Event) (event.MergeRequestDetails, error) {
	if event.MergeRequestIID(e) == 0 {
		return event.MergeRequestDetails{}, nil
	}
	return event.MergeRequestDetails{}, &unknownError{"merge_request_details()", "GitLab tells labels and approvals as they are now"}
}

// Tests implements expression.Facts.
func (f asOf) Tests(context.Context, event.Event) ([]event.FailedTest, error) {
	return nil, &unknownError{"tests()", "GitLab counts how often tests failed as of now"}
}

// Superseded implements expression.Facts.
func (f asOf) Superseded(ctx context.Context, e event.Event) (bool, error) {
	newer, err := f.outdatedBy(ctx, e)
	return newer != 0, err
}

// outdatedBy returns the id of a pipeline that made the event's one redundant by the time of
// the event; 0 if none did.
func (f asOf) outdatedBy(ctx context.Context, e event.Event) (int64, error) {
	return outdated.By(ctx, pipelinesAt{f.timeline, e}, e.Project.ID, e.Pipeline, facts.MergeRequest(e), e.Job.Environment.Name != "")
}

// pipelinesAt are the pipelines that had been created at the time of an event.
type pipelinesAt struct {
	*timeline
	event event.Event
}

var _ outdated.Pipelines = pipelinesAt{}

// Pipeline implements outdated.Pipelines.
func (t pipelinesAt) Pipeline(_ context.Context, _, pipeline int64) (event.Pipeline, error) {
	p := t.pipelines[pipeline]
	if p == nil {
		return event.Pipeline{}, &unknownError{"superseded()", "a pipeline was not read"}
	}
	return p.Pipeline.Pipeline, nil
}

// created returns the pipelines of a ref, or of a merge request, oldest first.
func (t pipelinesAt) created(ref string) []*past {
	all := t.refs[refKey(ref)]
	// Pipelines are created in the order of their ids.
	return all[:sort.Search(len(all), func(i int) bool { return all[i].CreatedAt.After(t.event.Meta.ReceivedAt) })]
}

// PipelinesOfRef implements outdated.Pipelines.
func (t pipelinesAt) PipelinesOfRef(_ context.Context, _ int64, ref string, _ int64) iter.Seq2[event.Pipeline, error] {
	return func(yield func(event.Pipeline, error) bool) {
		for _, p := range slices.Backward(t.created(ref)) {
			if !yield(p.Pipeline.Pipeline, nil) {
				return
			}
		}
	}
}
