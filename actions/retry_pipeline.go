package actions

import (
	"context"
	"slices"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/jobstate"
	"github.com/pipesteward/pipesteward/rules/event"
)

// observeRetryPipeline: a retry is called for while the pipeline has failed or was
// canceled and is not outdated, all jobs that would run again have attempts left, and one
// of them failed for a reason that a retry may fix.
func observeRetryPipeline(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	pipeline, err := r.states.Pipeline(ctx, p.Decision, p.Called)
	if err != nil {
		return nil, err
	}
	all, err := r.GitLab.PipelineJobs(ctx, p.Project.ID, p.Pipeline.ID, true)
	if err != nil {
		return nil, err
	}
	p.retried = jobstate.Retried(all)
	if p.Called && (len(all) > p.Runs || !event.Ended(pipeline.Status)) {
		return done(0, "the pipeline is %s, seen after the call was cut short", pipeline.Status), nil
	}
	if pipeline.Status != "failed" && pipeline.Status != "canceled" {
		return skipped("the pipeline is %s, neither failed nor canceled", pipeline.Status), nil
	}
	p.Runs = len(all)
	var again []gitlab.Job // those that GitLab would run again
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
	case !p.Requested() && !slices.ContainsFunc(again, func(j gitlab.Job) bool { return !event.Hopeless(j.FailureReason) }):
		return skipped("no retry mends %s", again[0].FailureReason), nil
	case len(p.retried)+len(again) > limits.PerPipeline:
		return gaveUp("the pipeline would have had %s, more than `limits.per_pipeline` allows", english.Plural(len(p.retried)+len(again), "retry", "")), nil
	}
	for _, job := range again {
		if job.Attempt >= limits.PerJob && !p.Requested() {
			return gaveUp("%s has had %s, as many as `limits.per_job` allows", job.Name, english.Plural(job.Attempt, "attempt", "")), nil
		}
	}
	newer, err := r.GitLab.OutdatedBy(ctx, p.Project.ID, pipeline, 0, false)
	return outdated(p, newer), err
}

func actRetryPipeline(ctx context.Context, _ *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	pipeline, err := gl.RetryPipeline(ctx, p.Project.ID, p.Pipeline.ID)
	if err != nil {
		return nil, err
	}
	return done(0, "the pipeline is %s", pipeline.Status), nil
}
