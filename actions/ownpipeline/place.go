// Package ownpipeline applies the rules once to the pipeline of the CI job that the
// process runs in:
//
//	place.go   which job that is, as GitLab tells by the job's token
//	events.go  the pipeline and its jobs as they are now, as events
//	run.go     queues the events, and works until no decision is due in time
//	would.go   what the rules decide where no token is given to act with
//	result.go  what came of it, as an exit status
package ownpipeline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Variables are what GitLab tells a job in its variables and its API does not tell by the
// job's token. All of them may be missing.
type Variables struct {
	JobID         int64  // CI_JOB_ID; 0: not known
	DefaultBranch string // CI_DEFAULT_BRANCH
	ProtectedRef  bool   // CI_COMMIT_REF_PROTECTED
}

// Place is where the process runs: a job, with its pipeline and its project.
type Place struct {
	Job     gitlab.Job
	Project event.Project
	// Agents are the Kubernetes agents that the job may use. Where AgentsErr is set,
	// GitLab does not tell.
	Agents    []gitlab.Agent
	AgentsErr error

	protectedRef bool
	access       bool // there is an access token besides the job's
}

// Locate finds out by the client's job token which job the process runs in. access is set
// for a client that has an access token too.
func Locate(ctx context.Context, gl *gitlab.Client, access bool, v Variables) (Place, error) {
	job, err := gl.TokenJob(ctx)
	switch {
	case apierror.IsFinal(err, http.StatusUnauthorized):
		return Place{}, fmt.Errorf("GitLab does not accept CI_JOB_TOKEN at %s (401 Unauthorized): a job token is valid only while its job runs, and only at the GitLab that runs it", gl.Instance())
	case err != nil:
		return Place{}, fmt.Errorf("which job this is can't be read: %w", err)
	case v.JobID != 0 && v.JobID != job.ID:
		return Place{}, fmt.Errorf("CI_JOB_TOKEN is the token of job %d, and CI_JOB_ID is %d: both must be those of the job that this command runs in", job.ID, v.JobID)
	case job.Pipeline.ID == 0 || job.ProjectID == 0:
		return Place{}, fmt.Errorf("GitLab names no pipeline or project for job %d", job.ID)
	}
	p := Place{Job: job, Project: gl.Event(job, event.SourceCI).Project, protectedRef: v.ProtectedRef, access: access}
	p.Project.DefaultBranch = v.DefaultBranch
	if access {
		if err := p.readProject(ctx, gl); err != nil {
			return Place{}, err
		}
	}
	allowed, err := gl.AllowedAgents(ctx)
	p.Agents, p.AgentsErr = allowed.Agents, err
	return p, ctx.Err()
}

// readProject reads the job's project with the access token.
func (p *Place) readProject(ctx context.Context, gl *gitlab.Client) error {
	project, err := gl.Project(ctx, strconv.FormatInt(p.Job.ProjectID, 10))
	switch {
	case apierror.IsHidden(err):
		return fmt.Errorf("the user of the access token may not see project %s: make it a member, with the role Developer at least: %w", p.Project.Path, err)
	case err != nil:
		return explained(gl, err)
	case project.Archived:
		return errors.New("the project is archived: GitLab changes nothing in it")
	}
	p.Project = project.Project
	return nil
}
