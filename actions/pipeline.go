package actions

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// observeRetryPipeline: a retry is called for while the pipeline has failed or
// was canceled, is the newest of its ref, and has a failed job that a retry
// can mend and that has attempts left.
func observeRetryPipeline(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	pipeline, err := r.pipeline(ctx, p)
	if err != nil {
		return nil, err
	}
	all, err := r.GitLab.PipelineJobs(ctx, p.Project.ID, p.Pipeline.ID, true)
	if err != nil {
		return nil, err
	}
	p.retried = retried(all)
	if p.Called && (len(all) > p.Runs || !event.Ended(pipeline.Status)) {
		return done(0, "the pipeline is %s, seen after the call was cut short", pipeline.Status), nil
	}
	if pipeline.Status != "failed" && pipeline.Status != "canceled" {
		return skipped("the pipeline is %s, neither failed nor canceled", pipeline.Status), nil
	}
	p.Runs = len(all)
	var again []gitlab.Job // what GitLab would run again
	for _, job := range all {
		switch job.Status {
		case "failed", "canceled", "canceling":
			if !p.retried[job.ID] {
				again = append(again, job)
			}
		}
	}
	limits := r.Rules().Limits()
	switch {
	case len(again) == 0:
		return skipped("no job of the pipeline failed or was canceled"), nil
	case !slices.ContainsFunc(again, func(j gitlab.Job) bool { return !event.Hopeless(j.FailureReason) }):
		return skipped("no retry mends %s", again[0].FailureReason), nil
	case len(p.retried)+len(again) > limits.PerPipeline:
		return gaveUp("the pipeline would have had %s, more than `limits.per_pipeline` allows", english.Plural(len(p.retried)+len(again), "retry", "")), nil
	}
	for _, job := range again {
		if job.Attempt >= limits.PerJob {
			return gaveUp("%s has had %s, as many as `limits.per_job` allows", job.Name, english.Plural(job.Attempt, "attempt", "")), nil
		}
	}
	newer, err := r.GitLab.OutdatedBy(ctx, p.Project.ID, pipeline, 0, false)
	return stale(p, newer), err
}

// pipeline reads the decision's pipeline. One that was called already may be in
// an earlier status than the event's for that reason.
func (r *Runner) pipeline(ctx context.Context, p *pending) (event.Pipeline, error) {
	pipeline, err := r.GitLab.Pipeline(ctx, p.Project.ID, p.Pipeline.ID)
	if err == nil {
		err = p.samePipeline(pipeline)
	}
	if err != nil || p.Called {
		return pipeline, err
	}
	return pipeline, r.freshness(p).Status("pipeline", pipeline.ID, pipeline.Status, p.Pipeline.Status)
}

func actRetryPipeline(ctx context.Context, _ *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	pipeline, err := gl.RetryPipeline(ctx, p.Project.ID, p.Pipeline.ID)
	if err != nil {
		return nil, err
	}
	return done(0, "the pipeline is %s", pipeline.Status), nil
}

// observeCancelPipeline: a cancel is called for while the pipeline has not
// ended and is not being canceled.
func observeCancelPipeline(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	pipeline, err := r.pipeline(ctx, p)
	if err != nil {
		return nil, err
	}
	canceled := pipeline.Status == "canceled" || pipeline.Status == "canceling"
	switch {
	case p.Left > 0:
		return r.canceledPipeline(ctx, p, pipeline.Status)
	case canceled && p.Called:
		return done(0, "the pipeline is %s, seen after the call was cut short", pipeline.Status), nil
	case canceled:
		return skipped("the pipeline is %s already", pipeline.Status), nil
	case event.Ended(pipeline.Status):
		return skipped("the pipeline has ended: %s", pipeline.Status), nil
	}
	return nil, nil
}

// A pipeline's status follows those of its jobs, in the background: after a
// cancel it is looked at so often before it is believed that GitLab left it as it
// was.
const (
	cancelLooks = 5
	cancelLook  = 3 * time.Second
)

func actCancelPipeline(ctx context.Context, r *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	pipeline, err := gl.CancelPipeline(ctx, p.Project.ID, p.Pipeline.ID)
	if err != nil {
		return nil, err
	}
	return r.canceledPipeline(ctx, p, pipeline.Status)
}

// canceledPipeline is the verdict on a pipeline that was canceled and has a status
// since. GitLab answers 200 also when it canceled nothing, and leaves manual jobs.
func (r *Runner) canceledPipeline(ctx context.Context, p *pending, status string) (*verdict, error) {
	over := status == "canceling" || event.Ended(status)
	if p.Left++; !over && p.Left <= cancelLooks {
		return deferred(cancelLook), nil
	}
	manual, err := r.GitLab.PipelineJobs(ctx, p.Project.ID, p.Pipeline.ID, false, "manual")
	if err != nil {
		return nil, err
	}
	remain := ""
	if len(manual) > 0 {
		remain = "; what waits to be played remains: " + names(manual)
	}
	if over {
		return done(0, "the pipeline is %s%s", status, remain), nil
	}
	return failed("GitLab left the pipeline %s%s", status, remain), nil
}

// maxNames bounds how many jobs a reason names.
const maxNames = 5

// names lists the names of jobs for people.
func names(jobs []gitlab.Job) string {
	var all []string
	for i, job := range jobs {
		if i == maxNames {
			all = append(all, fmt.Sprintf("and %d more", len(jobs)-maxNames))
			break
		}
		all = append(all, job.Name)
	}
	return strings.Join(all, ", ")
}
