package gitlabtest

import (
	"slices"
	"time"
)

// enter puts a job into a status, sets its times and sends its hook.
func (s *Server) enter(j *job, status string) {
	now := s.o.Now()
	s.noteJob(j, false)
	j.Status = status
	switch status {
	case "pending":
		j.QueuedAt = now
	case "running":
		j.StartedAt = now
	}
	if slices.Contains(ended, status) {
		j.FinishedAt = now
	}
	if !j.Bridge && slices.Contains(hookedStatuses, status) {
		s.notify(j.pipeline, "Job Hook", func() object { return s.jobHook(j) })
	}
}

// progress updates a pipeline after a change of a job: it starts the jobs of the
// next stage, and then derives the pipeline's status.
func (s *Server) progress(p *pipeline) {
	for i, stage := range p.Stages {
		before := composite(p.inStages(p.Stages[:i]))
		if !slices.Contains(completeStatuses, before) {
			break
		}
		for _, j := range p.inStages([]string{stage}) {
			if j.Status == "created" {
				s.enter(j, turn(j.When, before))
			}
		}
	}

	status := composite(p.latest())
	if status == p.Status {
		return
	}
	now := s.o.Now()
	s.notePipeline(p, false)
	p.Status, p.UpdatedAt = status, now
	if status == "running" && p.StartedAt.IsZero() {
		p.StartedAt = now
	}
	if p.complete() {
		p.FinishedAt = now
	}
	s.notify(p, "Pipeline Hook", func() object { return s.pipelineHook(p) })
}

func (p *pipeline) inStages(stages []string) []*job {
	return slices.DeleteFunc(p.latest(), func(j *job) bool { return !slices.Contains(stages, j.Stage) })
}

// autoRetry is GitLab's own retry of a job, due at a time.
type autoRetry struct {
	job *job
	at  time.Time
}

// lock locks the server and makes the automatic retries that are due.
func (s *Server) lock() {
	s.mu.Lock()
	now := s.o.Now()
	for len(s.retries) > 0 && !s.retries[0].at.After(now) {
		j := s.retries[0].job
		s.retries = s.retries[1:]
		if j.Status == "failed" && j.retryable() {
			s.clone(j, j.User, true)
			s.progress(j.pipeline)
		}
	}
}

// turn is the status of a created job when the stages before it ended so.
func turn(when, before string) string {
	switch {
	case when == "on_failure" && before == "failed":
		return "pending"
	case when == "on_failure":
		return "skipped"
	case when == "always" && before != "canceled":
		return "pending"
	case before != "success" && before != "skipped":
		return "skipped"
	case when == "manual":
		return "manual"
	case when == "delayed":
		return "scheduled"
	default:
		return "pending"
	}
}

// composite derives the status of a stage or pipeline from its jobs'
// (Gitlab::Ci::Status::Composite). No jobs at all count as success.
func composite(jobs []*job) string {
	seen := map[string]bool{}
	for _, j := range jobs {
		switch {
		case j.AllowFailure && (j.Status == "failed" || j.Status == "canceled"):
			seen["warning"] = true
		case j.AllowFailure && j.Status == "manual":
			seen["ignored"] = true
		default:
			seen[j.Status] = true
		}
	}
	only := func(statuses ...string) bool {
		for status := range seen {
			if !slices.Contains(statuses, status) {
				return false
			}
		}
		return true
	}
	switch {
	case len(seen) == 0:
		return "success"
	case only("skipped", "ignored"):
		return "skipped"
	case only("success", "skipped", "warning", "ignored"):
		return "success"
	case only("created", "warning", "ignored"):
		return "created"
	case only("preparing", "warning", "ignored"):
		return "preparing"
	case only("canceled", "success", "skipped", "warning", "ignored"):
		return "canceled"
	case only("pending", "created", "skipped", "warning", "ignored"):
		return "pending"
	}
	for _, status := range []string{"canceling", "running", "pending", "waiting_for_resource", "waiting_for_callback", "manual", "scheduled", "preparing", "created"} {
		if seen[status] && (status == "pending" || status == "created") {
			return "running"
		}
		if seen[status] {
			return status
		}
	}
	return "failed"
}
