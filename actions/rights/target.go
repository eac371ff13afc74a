package rights

import (
	"context"
	"slices"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// maxJobs bounds the pipelines whose jobs are listed, 100 in each answer: where a larger one
	// deploys to is not known.
	maxJobs = 1000
	// maxRequests is how many requests to GitLab a target may cost.
	maxRequests = 30
)

// TargetOf returns what the rights depend on of who does something, a Button constant of
// chatops, to an event's job, or with pipeline to its whole pipeline.
//
// Who retries or plays runs more than that. GitLab resets the skipped jobs of later stages and
// those that need the job, gives them the user who retried or played, and asks whether that
// user may deploy when they run (Ci::ResetSkippedJobsService in its source, which
// Ci::RetryJobService, Ci::EnqueueJobService and Ci::RetryPipelineService call). It does the
// same in the pipeline that has triggered this one (Ci::Pipeline#reset_source_bridge!). That
// user is Pipesteward's. So the target has the environments of all skipped jobs; they are
// known of Pipeline Hooks only.
func TargetOf(ctx context.Context, gl *gitlab.Client, e event.Event, pipeline bool, does string) (on chatops.Target, err error) {
	gl = gl.WithBudget(maxRequests)
	runs := does == chatops.ButtonRetry || does == chatops.ButtonPlay
	switch {
	case pipeline && runs:
		on, err = ofPipeline(ctx, gl, e)
	case pipeline:
		return chatops.TargetOfPipeline(e), nil
	case runs:
		on, err = ofJob(ctx, gl, e)
	default:
		return chatops.TargetOf(e), nil
	}
	if err != nil {
		return chatops.Target{}, err
	}
	return withUpstream(ctx, gl, e, on)
}

// ofPipeline returns the target of who retries an event's pipeline.
func ofPipeline(ctx context.Context, gl *gitlab.Client, e event.Event) (chatops.Target, error) {
	if !chatops.KnowsEnvironments(e) || len(e.Pipeline.Jobs) > maxJobs {
		return chatops.TargetOfPipeline(e), nil
	}
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
		if runs(job.Status, waitsForPerson(e, job.Name)) {
			names = append(names, job.Name)
		}
	}
	return chatops.TargetOfJobs(e, names), nil
}

// waitsForPerson reports whether the hook of a pipeline says of a job that it waits to be
// played. It says the same of delayed ones, which start by themselves.
func waitsForPerson(e event.Event, name string) bool {
	return slices.ContainsFunc(e.Pipeline.Jobs, func(j event.Job) bool { return j.Name == name && j.Manual && !j.Delayed })
}

// runs reports whether the retry of a pipeline runs its job in that status: at once, or when
// the jobs before it have succeeded. byHand is set if the job then waits to be played.
func runs(status string, byHand bool) bool {
	switch status {
	case "success", "manual":
		return false
	case "created", "skipped":
		return !byHand
	}
	return true
}

// ofJob returns the target of who retries or plays an event's job.
func ofJob(ctx context.Context, gl *gitlab.Client, e event.Event) (chatops.Target, error) {
	on := chatops.TargetOf(e)
	if !on.AllEnvironments {
		return on, nil
	}
	skipped, triggers, err := skippedIn(ctx, gl, e.Project.ID, e.Pipeline.ID)
	switch {
	case apierror.IsHidden(err), triggers:
		on.AllEnvironments = false
		return on, nil
	case err != nil:
		return chatops.Target{}, err
	}
	skipped = slices.DeleteFunc(skipped, func(name string) bool { return name == e.Job.Name || waitsForPerson(e, name) })
	if len(skipped) == 0 {
		return on, nil
	}
	return chatops.TargetOfJobs(e, append(skipped, e.Job.Name)), nil
}

// skippedIn returns the names of the skipped jobs of a pipeline, and whether it has skipped
// trigger jobs, whose pipelines may deploy to any environment.
func skippedIn(ctx context.Context, gl *gitlab.Client, project, pipeline int64) (names []string, triggers bool, err error) {
	jobs, err := gl.PipelineJobs(ctx, project, pipeline, false, "skipped")
	if err != nil {
		return nil, false, err
	}
	for _, job := range jobs {
		names = append(names, job.Name)
	}
	bridges, err := gl.Bridges(ctx, project, pipeline, "skipped")
	return names, len(bridges) > 0, err
}

// withUpstream adds to a target what GitLab runs in the pipeline that has triggered the
// event's: its skipped jobs, and those further up. Which environments those deploy to is not
// known. Of a pipeline whose upstream GitLab does not tell, that is in the same project if it
// is a parent; of any other, nothing is known.
func withUpstream(ctx context.Context, gl *gitlab.Client, e event.Event, on chatops.Target) (chatops.Target, error) {
	up := e.Pipeline.Upstream
	if up.PipelineID == 0 {
		if !on.AllEnvironments {
			return on, nil
		}
		p, err := gl.Pipeline(ctx, e.Project.ID, e.Pipeline.ID) // old Job Hooks lack the upstream
		if apierror.IsHidden(err) || err == nil && p.Source == sourceParent {
			on.AllEnvironments = false
			err = nil
		}
		return on, err
	}
	if up.ProjectID == e.Project.ID && !on.AllEnvironments {
		return on, nil
	}
	p, err := gl.Pipeline(ctx, up.ProjectID, up.PipelineID)
	if apierror.IsHidden(err) { // GitLab resets nothing where Pipesteward's user has no rights
		return on, nil
	}
	if err != nil {
		return chatops.Target{}, err
	}
	skipped, triggers, err := skippedIn(ctx, gl, up.ProjectID, up.PipelineID)
	switch {
	case err != nil && !apierror.IsHidden(err):
		return chatops.Target{}, err
	case err == nil && len(skipped) == 0 && !triggers && p.Source != sourceParent && p.Source != sourceProject:
	case up.ProjectID == e.Project.ID:
		on.AllEnvironments = false
	default:
		on.Upstream = &chatops.Target{Project: up.ProjectID, Ref: p.Ref, Tag: p.Tag}
	}
	return on, nil
}

// Sources of pipelines that others have triggered, in the same project and in another one.
const (
	sourceParent  = "parent_pipeline"
	sourceProject = "pipeline"
)
