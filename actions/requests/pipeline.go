package requests

import (
	"context"
	"slices"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// maxJobs bounds the pipelines whose jobs are listed, 100 in each answer: where a larger one
// deploys to is not known.
const maxJobs = 1000

// targetOf returns what the rights on an event's job, or on its whole pipeline, depend on.
func (h *Handler) targetOf(ctx context.Context, e event.Event, pipeline bool, does string) (chatops.Target, error) {
	switch {
	case !pipeline:
		return chatops.TargetOf(e), nil
	case does != chatops.ButtonRetry, !chatops.KnowsEnvironments(e), len(e.Pipeline.Jobs) > maxJobs:
		return chatops.TargetOfPipeline(e), nil
	}
	gl := h.GitLab.WithBudget(maxRequests)
	bridges, err := gl.Bridges(ctx, e.Project.ID, e.Pipeline.ID)
	var jobs []gitlab.Job
	if err == nil {
		jobs, err = gl.PipelineJobs(ctx, e.Project.ID, e.Pipeline.ID, false)
	}
	triggers := slices.ContainsFunc(bridges, func(b event.Bridge) bool { return runs(b.Status, false) })
	switch {
	case apierror.IsHidden(err), err == nil && triggers: // a pipeline that is triggered may deploy to any environment
		return chatops.TargetOfPipeline(e), nil
	case err != nil:
		return chatops.Target{}, err
	}
	var names []string
	for _, job := range jobs {
		byHand := slices.ContainsFunc(e.Pipeline.Jobs, func(j event.Job) bool { return j.Name == job.Name && j.Manual })
		if runs(job.Status, byHand) {
			names = append(names, job.Name)
		}
	}
	return chatops.TargetOfJobs(e, names), nil
}

// runs reports whether the retry of a pipeline runs its job in that status: at once, or when
// the jobs before it have succeeded, for GitLab resets the jobs that were skipped, and then
// asks whether the user who retried may deploy (Ci::ResetSkippedJobsService in its source).
// That user is Pipesteward's. byHand is set if the job then waits to be played, as hooks say of
// delayed jobs too.
func runs(status string, byHand bool) bool {
	switch status {
	case "success", "manual":
		return false
	case "created", "skipped":
		return !byHand
	}
	return true
}
