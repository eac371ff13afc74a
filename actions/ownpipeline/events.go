package ownpipeline

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Events are the events of the pipeline as it is now.
type Events struct {
	Wanted []event.Event // those that a rule can want
	Status string        // of the pipeline
	Jobs   []event.Job   // the latest run of each job, newest first
	Ended  int           // how many of them have ended
}

// Events returns the event of the pipeline, and those of its jobs that have ended, in the
// latest run of each. Where a rule asks for trigger jobs, and an access token may read
// them, those that have ended are included.
func (p Place) Events(ctx context.Context, gl *gitlab.Client, rs *rules.Rules) (Events, error) {
	project, id := p.Job.ProjectID, p.Job.Pipeline.ID
	runs, err := gl.PipelineJobs(ctx, project, id, true)
	switch {
	case !p.access && apierror.IsFinal(err, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound):
		return Events{}, fmt.Errorf("this GitLab shows the jobs of a pipeline to no job token: give an access token with the scope api as PIPESTEWARD_GITLAB_TOKEN: %w", err)
	case err != nil:
		return Events{}, explained(gl, err)
	}
	latest := latestRuns(runs)
	pipeline := gl.PipelineEventOf(project, p.Job.Pipeline, latest, event.SourceCI)
	if p.access {
		if pipeline, err = gl.PipelineEvent(ctx, project, id, event.SourceCI); err != nil {
			return Events{}, explained(gl, err)
		}
	}
	found := Events{Status: pipeline.Pipeline.Status}
	for _, job := range latest {
		found.Jobs = append(found.Jobs, job.Job)
	}
	pipeline.Pipeline.Jobs = found.Jobs // which have their attempts
	all := []event.Event{pipeline}
	for _, job := range latest {
		if event.Ended(job.Status) && job.ID != p.Job.ID {
			all = append(all, gl.Event(job, event.SourceCI))
			found.Ended++
		}
	}
	if p.access && rs.WantsBridges() {
		bridges, err := gl.BridgeEvents(ctx, project, id, event.SourceCI)
		if err != nil {
			return Events{}, explained(gl, err)
		}
		for _, bridge := range bridges {
			if event.Ended(bridge.Job.Status) {
				all = append(all, bridge)
				found.Ended++
			}
		}
	}
	for _, e := range all {
		e.Project, e.Pipeline.ProtectedRef = p.Project, p.protectedRef
		if rs.Wants(e) {
			found.Wanted = append(found.Wanted, e)
		}
	}
	return found, nil
}

// latestRuns returns the latest run of each job; runs has all, newest first.
func latestRuns(runs []gitlab.Job) []gitlab.Job {
	var latest []gitlab.Job
	seen := map[string]bool{}
	for _, run := range runs {
		if !seen[run.Name] {
			seen[run.Name] = true
			latest = append(latest, run)
		}
	}
	return latest
}

// explained returns the error of a request with why GitLab can't be used, and what to do
// about it, if that is the cause.
func explained(gl *gitlab.Client, err error) error {
	if t, is := gl.Trouble(); is {
		return errors.New(whyUnusable(t))
	}
	return err
}
