package gitlabtest

import (
	"fmt"
	"slices"
)

// RefusedError is GitLab's refusal, as its API answers it.
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
			j.Status, j.User = "created", by
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
	s.resetSkipped(j, by)
	return again
}

// resetSkipped lets the skipped jobs of later stages have their turn, as the user's
// (Ci::ResetSkippedJobsService).
func (s *Server) resetSkipped(j *job, by User) {
	stages := j.pipeline.Stages
	for _, later := range j.pipeline.inStages(stages[slices.Index(stages, j.Stage)+1:]) {
		if later.Status == "skipped" {
			s.noteJob(later, false)
			later.Status, later.User = "created", by
		}
	}
}

// play starts a manual or delayed job (Ci::PlayBuildService) and returns
// the job that is started. One that ran already is cloned.
func (s *Server) play(j *job, by User, variables []Variable, inputs map[string]any) (*job, error) {
	if !j.playable() {
		return nil, &RefusedError{400, "400 Bad request - Unplayable Job"}
	}
	if s.o.PlayClones || j.retryable() {
		j = s.clone(j, by, true)
	} else {
		j.User = by
		s.enter(j, "pending")
		s.resetSkipped(j, by)
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
