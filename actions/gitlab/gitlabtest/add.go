package gitlabtest

import (
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
)

// AddProject adds a project. Path must be given.
func (s *Server) AddProject(p Project) Project {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Path == "" {
		panic("gitlabtest: a project needs a path")
	}
	p.ID = s.nextID(p.ID, &s.lastID.project)
	if s.projects[p.ID] != nil {
		panic(fmt.Sprintf("gitlabtest: there is a project %d already", p.ID))
	}
	if p.Name == "" {
		p.Name = path.Base(p.Path)
	}
	if p.DefaultBranch == "" {
		p.DefaultBranch = "main"
	}
	if p.CreatedAt.IsZero() {
		p.CreatedAt = s.o.Now()
	}
	p.Role = s.roleBelow(p.Namespace(), p.Role)
	p.WebURL = s.external + "/" + p.Path
	s.addNamespace(p.Namespace())
	s.projects[p.ID] = &project{Project: p}
	return p
}

// AddPipeline adds a pipeline with its jobs, as a push does: hooks report every
// job created, and the jobs of the first stage become pending. Jobs with a status
// are of the past and stay as they are; a pipeline with no other jobs is of the
// past itself, and no hook reports it.
func (s *Server) AddPipeline(projectID int64, p Pipeline, jobs ...Job) Pipeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(jobs) == 0 {
		panic("gitlabtest: a pipeline needs a job")
	}
	pr := must(s.projects, projectID, "project")
	p.ID = s.nextID(p.ID, &s.lastID.pipeline)
	if s.pipeline(p.ID) != nil {
		panic(fmt.Sprintf("gitlabtest: there is a pipeline %d already", p.ID))
	}
	p.Status = "created"
	if p.IID == 0 {
		p.IID = pr.nextIID()
	}
	if p.CreatedAt.IsZero() {
		p.CreatedAt = s.o.Now()
	}
	pl := &pipeline{Pipeline: p, project: pr}
	s.fillPipeline(pl, s.jobs[p.TriggeredBy])
	s.pipelines[pl.ID] = pl
	pr.pipelines = insert(pr.pipelines, pl, pipelineID)
	s.notePipeline(pl, true)
	if p.TriggeredBy != 0 {
		must(s.jobs, p.TriggeredBy, "job").Downstream = pl.ID
	}
	for _, j := range jobs {
		s.addJob(pl, j)
	}
	if slices.ContainsFunc(jobs, func(j Job) bool { return j.Status == "" }) {
		s.progress(pl)
	} else {
		pl.settle()
	}
	return pl.Pipeline
}

// fillPipeline fills the empty fields of a pipeline that has an id, with the
// bridge that triggered it, if one did.
func (s *Server) fillPipeline(p *pipeline, bridge *job) {
	pr := p.project
	p.ProjectID = pr.ID
	p.WebURL = pr.WebURL + "/-/pipelines/" + strconv.FormatInt(p.ID, 10)
	switch {
	case p.Source != "":
	case bridge != nil && bridge.pipeline.project == pr:
		p.Source = "parent_pipeline"
	case bridge != nil:
		p.Source = "pipeline"
	case p.MergeRequest != nil:
		p.Source = "merge_request_event"
	default:
		p.Source = "push"
	}
	if p.Source == "parent_pipeline" && bridge != nil && p.Ref == "" {
		p.Ref, p.MergeRequest = bridge.pipeline.Ref, bridge.pipeline.MergeRequest
	}
	switch {
	case p.Ref != "":
	case p.MergeRequest != nil:
		p.Ref = fmt.Sprintf("refs/merge-requests/%d/head", p.MergeRequest.IID)
	default:
		p.Ref = pr.DefaultBranch
	}
	if p.SHA == "" {
		p.SHA = madeUpSHA(p.ID)
	}
	if p.BeforeSHA == "" {
		p.BeforeSHA = "0000000000000000000000000000000000000000"
	}
	if p.Message == "" {
		p.Message = fmt.Sprintf("Change %d\n", p.IID)
	}
	if p.User.ID == 0 {
		p.User = s.o.Person
	}
	p.UpdatedAt = p.CreatedAt
}

// settle derives the status and times of a pipeline of the past from its jobs.
func (p *pipeline) settle() {
	p.Status = composite(p.latest())
	for _, j := range p.jobs {
		if p.StartedAt.IsZero() || !j.StartedAt.IsZero() && j.StartedAt.Before(p.StartedAt) {
			p.StartedAt = j.StartedAt
		}
		if p.complete() && j.FinishedAt.After(p.FinishedAt) {
			p.FinishedAt = j.FinishedAt
		}
	}
	if p.complete() && !p.FinishedAt.IsZero() {
		p.UpdatedAt = p.FinishedAt
	}
}

// addJob puts a job into a pipeline; without a status, as a new one.
func (s *Server) addJob(p *pipeline, j Job) *job {
	j.ID = s.nextID(j.ID, &s.lastID.job)
	if s.job(j.ID) != nil {
		panic(fmt.Sprintf("gitlabtest: there is a job %d already", j.ID))
	}
	added := &job{Job: j, pipeline: p}
	s.fillJob(added)
	if slices.Contains(ended, added.Status) && added.FinishedAt.IsZero() {
		added.FinishedAt = s.o.Now()
	}
	s.jobs[j.ID] = added
	p.jobs = insert(p.jobs, added, jobID)
	p.project.jobs = insert(p.project.jobs, added, jobID)
	s.noteJob(added, true)
	if added.Status == "" {
		s.enter(added, "created")
	}
	return added
}

// fillJob fills the empty fields of a job that has an id and a pipeline.
func (s *Server) fillJob(j *job) {
	p := j.pipeline
	j.ProjectID, j.PipelineID = p.ProjectID, p.ID
	j.WebURL = p.project.WebURL + "/-/jobs/" + strconv.FormatInt(j.ID, 10)
	if j.Stage == "" {
		j.Stage = "test"
	}
	if j.When == "" {
		j.When = "on_success"
	}
	if j.User.ID == 0 {
		j.User = p.User
	}
	if j.Runner.ID == 0 {
		j.Runner = Runner{ID: 11, Description: "shared-runner-1", Type: "instance_type", Tags: []string{"docker", "linux"}}
	}
	if j.CreatedAt.IsZero() {
		j.CreatedAt = cmp.Or(j.StartedAt, j.FinishedAt, s.o.Now())
	}
	if j.Status == "failed" && j.FailureReason == "" {
		j.FailureReason = "unknown_failure"
	}
	if !slices.Contains(p.Stages, j.Stage) {
		p.Stages = append(p.Stages, j.Stage)
	}
}

// nextID returns the given id, or if that is 0, one greater than all before.
func (s *Server) nextID(given int64, last *int64) int64 {
	if given == 0 {
		given = *last + 1
	}
	*last = max(*last, given)
	return given
}

// must returns the object with the id, and panics if there is none.
func must[T any](objects map[int64]*T, id int64, kind string) *T {
	o := objects[id]
	if o == nil {
		panic(fmt.Sprintf("gitlabtest: there is no %s %d", kind, id))
	}
	return o
}

// madeUpSHA is a commit id that is the same in every run.
func madeUpSHA(pipelineID int64) string {
	sum := sha1.Sum([]byte("commit of pipeline " + strconv.FormatInt(pipelineID, 10)))
	return hex.EncodeToString(sum[:])
}
