package gitlabtest

import (
	"cmp"
	"fmt"
	"slices"
)

// Run makes a runner start a pending job.
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

// Finish ends a job that is pending (stuck), running or canceling:
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
	s.finish(j, status, failureReason)
}

// finish ends a job that is pending, running or canceling.
func (s *Server) finish(j *job, status, failureReason string) {
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

// SetTests replaces the tests in a job's JUnit reports, and what is wrong with those; "":
// nothing.
func (s *Server) SetTests(jobID int64, broken string, tests ...TestCase) {
	s.lock()
	defer s.mu.Unlock()
	j := must(s.jobs, jobID, "job")
	j.Tests, j.TestsError = tests, broken
}

// SetRole changes the bot's role in a project.
func (s *Server) SetRole(projectID int64, role Role) {
	s.lock()
	defer s.mu.Unlock()
	must(s.projects, projectID, "project").Role = role
}

// Retry is Options.Person retrying the job in GitLab's pages, without
// the bot; it returns the new job. A *RefusedError has GitLab's message.
func (s *Server) Retry(jobID int64) (Job, error) {
	s.lock()
	defer s.mu.Unlock()
	j, err := s.retry(s.mustJob(jobID), s.o.Person)
	if err != nil {
		return Job{}, err
	}
	return j.Job, nil
}

// Play is Options.Person starting a manual or delayed job; it returns the job
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
