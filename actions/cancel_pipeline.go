package actions

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// observeCancelPipeline: a cancel is called for while the pipeline has not ended and is
// not being canceled.
func observeCancelPipeline(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	pipeline, err := r.states.Pipeline(ctx, p.Decision, p.Called)
	if err != nil {
		return nil, err
	}
	canceled := pipeline.Status == "canceled" || pipeline.Status == "canceling"
	switch {
	case p.CancelChecks > 0:
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

// GitLab updates a pipeline's status in the background, after those of its jobs. A
// pipeline that is still unchanged after maxCancelChecks checks, cancelCheckEvery apart,
// was left as it was.
const (
	maxCancelChecks  = 5
	cancelCheckEvery = 3 * time.Second
)

func actCancelPipeline(ctx context.Context, r *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	pipeline, err := gl.CancelPipeline(ctx, p.Project.ID, p.Pipeline.ID)
	if err != nil {
		return nil, err
	}
	return r.canceledPipeline(ctx, p, pipeline.Status)
}

// canceledPipeline returns the verdict on a pipeline that has a status after it was
// canceled. GitLab answers 200 also when it canceled nothing, and leaves manual jobs.
func (r *Runner) canceledPipeline(ctx context.Context, p *pending, status string) (*verdict, error) {
	over := status == "canceling" || event.Ended(status)
	if p.CancelChecks++; !over && p.CancelChecks <= maxCancelChecks {
		return deferred(cancelCheckEvery, event.WaitGitLab, "the pipeline is being canceled"), nil
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

// names returns the names of jobs for people.
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
