package gitlabtest

import (
	"slices"
	"time"
)

// change is the state of a job or a pipeline before a change. A nil state means
// that it did not exist.
type change struct {
	at          time.Time
	job         *job
	wasJob      *Job
	pipeline    *pipeline
	wasPipeline *Pipeline
}

// noteJob is called before a job changes; created says that it is new.
func (s *Server) noteJob(j *job, created bool) {
	c := change{at: s.o.Now(), job: j}
	if !created {
		c.wasJob = new(j.Job)
	}
	s.note(c)
}

// notePipeline is noteJob for pipelines.
func (s *Server) notePipeline(p *pipeline, created bool) {
	c := change{at: s.o.Now(), pipeline: p}
	if !created {
		c.wasPipeline = new(p.Pipeline)
	}
	s.note(c)
}

func (s *Server) note(c change) {
	if s.o.Lag > 0 {
		s.changes = append(s.changes, c)
	}
}

// rewind undoes the changes of the last Options.Lag, until the returned
// function is called.
func (s *Server) rewind() (forward func()) {
	since := s.o.Now().Add(-s.o.Lag)
	s.changes = slices.DeleteFunc(s.changes, func(c change) bool { return !c.at.After(since) })
	var redo []func()
	for _, c := range slices.Backward(s.changes) {
		redo = append(redo, s.undo(c))
	}
	return func() {
		for _, f := range slices.Backward(redo) {
			f()
		}
	}
}

// undo takes one change back; the returned function makes it again.
func (s *Server) undo(c change) (redo func()) {
	switch j, p := c.job, c.pipeline; {
	case j != nil && c.wasJob != nil:
		is := j.Job
		j.Job = *c.wasJob
		return func() { j.Job = is }
	case j != nil:
		p := j.pipeline
		ofPipeline, ofProject := p.jobs, p.project.jobs
		other := func(k *job) bool { return k == j }
		delete(s.jobs, j.ID)
		p.jobs = slices.DeleteFunc(slices.Clone(ofPipeline), other)
		p.project.jobs = slices.DeleteFunc(slices.Clone(ofProject), other)
		return func() { s.jobs[j.ID], p.jobs, p.project.jobs = j, ofPipeline, ofProject }
	case c.wasPipeline != nil:
		is := p.Pipeline
		p.Pipeline = *c.wasPipeline
		return func() { p.Pipeline = is }
	default:
		all := p.project.pipelines
		delete(s.pipelines, p.ID)
		p.project.pipelines = slices.DeleteFunc(slices.Clone(all), func(q *pipeline) bool { return q == p })
		return func() { s.pipelines[p.ID], p.project.pipelines = p, all }
	}
}
