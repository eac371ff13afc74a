package gitlabtest

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"
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

// AddPipeline adds a pipeline with its jobs, as a push does: hooks tell of
// every job created, and the jobs of the first stage become pending. Jobs given
// with a status are of the past and stay as they are; a pipeline with no other
// jobs is of the past itself, and no hook tells of it.
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

// fillPipeline fills what is empty of a pipeline that has an id, with the
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

// settle gives a pipeline of the past what follows from its jobs.
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

// fillJob fills what is empty of a job that has an id and a pipeline.
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

// nextID is the given id, or where that is 0, one greater than all before.
func (s *Server) nextID(given int64, last *int64) int64 {
	if given == 0 {
		given = *last + 1
	}
	*last = max(*last, given)
	return given
}

func must[T any](things map[int64]*T, id int64, what string) *T {
	thing := things[id]
	if thing == nil {
		panic(fmt.Sprintf("gitlabtest: there is no %s %d", what, id))
	}
	return thing
}

// Run lets a runner take a pending job: it runs from now.
func (s *Server) Run(jobID int64) {
	s.lock()
	defer s.mu.Unlock()
	j := must(s.jobs, jobID, "job")
	if j.Status != "pending" {
		panic(fmt.Sprintf("gitlabtest: job %d is %s: only a pending job can run", j.ID, j.Status))
	}
	s.enter(j, "running")
	s.progress(j.pipeline)
}

// Finish ends a job that is pending (a stuck one), running or canceling:
// status is success, failed or canceled; the reason is for failed, default
// unknown_failure. A canceling job ends canceled, whatever the runner says. A
// failed job with AutoRetry left is retried, when that is due.
func (s *Server) Finish(jobID int64, status, failureReason string) {
	s.lock()
	defer s.mu.Unlock()
	j := must(s.jobs, jobID, "job")
	if !slices.Contains([]string{"pending", "running", "canceling"}, j.Status) {
		panic(fmt.Sprintf("gitlabtest: job %d is %s: only a pending, running or canceling job can finish", j.ID, j.Status))
	}
	if !slices.Contains(ended, status) {
		panic(fmt.Sprintf("gitlabtest: a job finishes with success, failed or canceled, not %q", status))
	}
	if j.Status == "canceling" {
		status = "canceled"
	}
	if status == "failed" {
		j.FailureReason = cmp.Or(failureReason, "unknown_failure")
	}
	s.enter(j, status)
	if status == "failed" && j.retriesCount() < j.AutoRetry && j.retryable() {
		if j.AutoRetryAfter > 0 {
			s.retries = append(s.retries, autoRetry{j, s.o.Now().Add(j.AutoRetryAfter)})
			slices.SortStableFunc(s.retries, func(a, b autoRetry) int { return a.at.Compare(b.at) })
		} else {
			s.clone(j, j.User, true)
		}
	}
	s.progress(j.pipeline)
}

// SetLog replaces a job's log.
func (s *Server) SetLog(jobID int64, log string) {
	s.lock()
	defer s.mu.Unlock()
	j := must(s.jobs, jobID, "job")
	j.Log, j.LogSize = log, 0
}

// SetArtifacts replaces a job's artifacts, its log left alone.
func (s *Server) SetArtifacts(jobID int64, artifacts ...Artifact) {
	s.lock()
	defer s.mu.Unlock()
	must(s.jobs, jobID, "job").Artifacts = artifacts
}

// SetRole changes what the bot may do in a project.
func (s *Server) SetRole(projectID int64, role Role) {
	s.lock()
	defer s.mu.Unlock()
	must(s.projects, projectID, "project").Role = role
}

// Retry is Options.Person retrying the job in GitLab's pages, behind the
// bot's back; it gives the new job. A *RefusedError says what GitLab said.
func (s *Server) Retry(jobID int64) (Job, error) {
	s.lock()
	defer s.mu.Unlock()
	j, err := s.retry(s.mustJob(jobID), s.o.Person)
	if err != nil {
		return Job{}, err
	}
	return j.Job, nil
}

// Play is Options.Person starting a manual or delayed job; it gives the job
// that runs, which is another one if the job had run before. Errors as Retry.
func (s *Server) Play(jobID int64) (Job, error) {
	s.lock()
	defer s.mu.Unlock()
	j, err := s.play(s.mustJob(jobID), s.o.Person, nil, nil)
	if err != nil {
		return Job{}, err
	}
	return j.Job, nil
}

// RetryPipeline is Options.Person retrying the pipeline's failed and canceled
// jobs.
func (s *Server) RetryPipeline(pipelineID int64) {
	s.lock()
	defer s.mu.Unlock()
	s.retryPipeline(s.mustPipeline(pipelineID), s.o.Person, func(*job) bool { return true })
}

// CancelPipeline is Options.Person cancelling the pipeline.
func (s *Server) CancelPipeline(pipelineID int64) {
	s.lock()
	defer s.mu.Unlock()
	s.cancelPipeline(s.mustPipeline(pipelineID))
}

// Cancel is Options.Person cancelling the job. One that cannot be cancelled
// stays as it is.
func (s *Server) Cancel(jobID int64) {
	s.lock()
	defer s.mu.Unlock()
	s.cancel(s.mustJob(jobID), false)
}

// Erase is Options.Person erasing the job's log and artifacts. Errors as
// Retry.
func (s *Server) Erase(jobID int64) error {
	s.lock()
	defer s.mu.Unlock()
	return s.erase(s.mustJob(jobID))
}

// Project is the project as it is now.
func (s *Server) Project(id int64) Project {
	s.lock()
	defer s.mu.Unlock()
	return must(s.projects, id, "project").Project
}

// Pipeline is the pipeline as it is now.
func (s *Server) Pipeline(id int64) Pipeline {
	s.lock()
	defer s.mu.Unlock()
	return s.mustPipeline(id).Pipeline
}

// Job is the job or bridge as it is now.
func (s *Server) Job(id int64) Job {
	s.lock()
	defer s.mu.Unlock()
	return s.mustJob(id).Job
}

// Jobs lists all jobs and bridges of a pipeline, retried ones too, oldest
// first.
func (s *Server) Jobs(pipelineID int64) []Job {
	s.lock()
	defer s.mu.Unlock()
	var jobs []Job
	for _, j := range s.mustPipeline(pipelineID).jobs {
		jobs = append(jobs, j.Job)
	}
	return jobs
}

// Latest is the newest run of the job of that name in a pipeline.
func (s *Server) Latest(pipelineID int64, name string) Job {
	s.lock()
	defer s.mu.Unlock()
	for _, j := range s.mustPipeline(pipelineID).latest() {
		if j.Name == name {
			return j.Job
		}
	}
	panic(fmt.Sprintf("gitlabtest: pipeline %d has no job %q", pipelineID, name))
}

// RefusedError is GitLab's refusal: what its API answers.
type RefusedError struct {
	Status  int
	Message string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%d: %s", e.Status, e.Message) }

// retry makes and starts a new run of a job (Ci::RetryJobService).
func (s *Server) retry(j *job, by User) (*job, error) {
	if !j.retryable() {
		return nil, &RefusedError{403, "403 Forbidden - Job is not retryable"}
	}
	again := s.clone(j, by, true)
	s.progress(j.pipeline)
	return again, nil
}

// retryPipeline makes new runs of the failed and canceled jobs, bridges left
// out, and lets all skipped jobs have their turn (Ci::RetryPipelineService).
func (s *Server) retryPipeline(p *pipeline, by User, mayWrite func(*job) bool) {
	if p.old != nil {
		return
	}
	for _, j := range p.latest() {
		if !j.Bridge && slices.Contains([]string{"failed", "canceled", "canceling"}, j.Status) && j.retryable() && mayWrite(j) {
			s.clone(j, by, false)
		}
	}
	for _, j := range p.latest() {
		if j.Status == "skipped" {
			s.noteJob(j, false)
			j.Status = "created"
		}
	}
	s.progress(p)
}

// cancelPipeline cancels a pipeline's jobs and bridges, and those of its child
// pipelines (Ci::CancelPipelineService). Jobs that wait for a person stay.
func (s *Server) cancelPipeline(p *pipeline) {
	for _, j := range p.latest() {
		if j.Status != "manual" {
			s.cancel(j, false)
		}
		if child := s.pipelines[j.Downstream]; child != nil && child.child() {
			s.cancelPipeline(child)
		}
	}
}

// clone makes a new run of a job, created, or with start pending at once where
// it is one that waits for a person, and lets the jobs run that its failure
// skipped.
func (s *Server) clone(j *job, by User, start bool) *job {
	s.noteJob(j, false)
	j.Retried = true
	again := s.addJob(j.pipeline, Job{
		Name: j.Name, Stage: j.Stage, When: j.When, AllowFailure: j.AllowFailure, Bridge: j.Bridge,
		TagList: j.TagList, Environment: j.Environment, AutoRetry: j.AutoRetry, AutoRetryAfter: j.AutoRetryAfter, Runner: j.Runner, User: by,
	})
	if start && again.hasAction() {
		s.enter(again, "pending")
	}
	stages := j.pipeline.Stages
	for _, later := range j.pipeline.inStages(stages[slices.Index(stages, j.Stage)+1:]) {
		if later.Status == "skipped" {
			s.noteJob(later, false)
			later.Status = "created"
		}
	}
	return again
}

// play starts a manual or delayed job (Ci::PlayBuildService) and gives the
// job that is started. One that ran already is cloned.
func (s *Server) play(j *job, by User, variables []Variable, inputs map[string]any) (*job, error) {
	if !j.playable() {
		return nil, &RefusedError{400, "400 Bad request - Unplayable Job"}
	}
	if s.o.PlayClones || j.retryable() {
		j = s.clone(j, by, true)
	} else {
		j.User = by
		s.enter(j, "pending")
	}
	j.Variables, j.Inputs = variables, inputs
	s.progress(j.pipeline)
	return j, nil
}

// cancel cancels a job, or leaves it alone where it cannot be cancelled.
// Force ends a job that is canceling, and does nothing else.
func (s *Server) cancel(j *job, force bool) {
	switch {
	case force && j.Status == "canceling" && j.pipeline.old == nil:
		s.enter(j, "canceled")
	case force || j.pipeline.old != nil || !slices.Contains(cancelable, j.Status):
		return
	case j.Status == "running" && s.o.RunnersCancelGracefully:
		s.enter(j, "canceling")
	default:
		s.enter(j, "canceled")
	}
	s.progress(j.pipeline)
}

// erase removes a job's log and artifacts (Ci::BuildEraseService).
func (s *Server) erase(j *job) error {
	if !j.erasable() {
		return &RefusedError{403, "403 Forbidden - Job is not erasable!"}
	}
	j.Log, j.LogSize, j.Artifacts = "", 0, nil
	j.ErasedAt = s.o.Now()
	if old := j.pipeline.old; old != nil {
		old.erased[j.ID] = j.ErasedAt
	}
	return nil
}

// seconds is how long something took or takes; nil where it did not begin.
func (s *Server) seconds(from, to time.Time) any {
	if from.IsZero() {
		return nil
	}
	if to.IsZero() {
		to = s.o.Now()
	}
	return to.Sub(from).Seconds()
}
