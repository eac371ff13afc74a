package gitlabtest

import (
	"fmt"
	"time"
)

// OldJobs are jobs of the past, as many as one likes: they and their pipelines
// are made whenever they are read, and only their erasure is stored.
// Nothing else can be done with them: GitLab refuses to retry or play them, and
// a cancel leaves them as they are.
type OldJobs struct {
	Count       int // how many jobs
	PerPipeline int // how many of them each pipeline has, the last one perhaps fewer; default 1

	// Job makes the i-th job; 0 is the oldest. It must give the same each time:
	// a job with a status, and no bridge. Its ids, URL, project and pipeline are
	// the server's. What else is empty is filled as AddPipeline does, but for
	// FinishedAt: a job may have none.
	Job func(i int) Job
	// Pipeline makes the i-th pipeline, likewise; nil: one on the default branch.
	Pipeline func(i int) Pipeline

	// Set by the server. Ids follow each other without a gap.
	FirstJob      int64
	FirstPipeline int64
}

// pipelines is how many pipelines the jobs have.
func (o OldJobs) pipelines() int { return (o.Count + o.PerPipeline - 1) / o.PerPipeline }

// oldJobs are OldJobs in the server's state.
type oldJobs struct {
	OldJobs
	s        *Server
	project  *project
	firstIID int64
	erased   map[int64]time.Time // when, by job id
	made     *pipeline           // the one that was made last
}

// AddOldJobs adds jobs to a project that are newer than all jobs so far.
func (s *Server) AddOldJobs(projectID int64, o OldJobs) OldJobs {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Count < 1 || o.Job == nil {
		panic("gitlabtest: old jobs need a Count and a Job function")
	}
	o.PerPipeline = max(o.PerPipeline, 1)
	o.FirstJob, o.FirstPipeline = s.lastID.job+1, s.lastID.pipeline+1
	s.lastID.job += int64(o.Count)
	s.lastID.pipeline += int64(o.pipelines())
	p := must(s.projects, projectID, "project")
	old := &oldJobs{OldJobs: o, s: s, project: p, firstIID: p.nextIID(), erased: map[int64]time.Time{}}
	p.old = append(p.old, old)
	s.old = append(s.old, old)
	return o
}

// head makes the i-th pipeline, without jobs and the fields that follow from them.
func (o *oldJobs) head(i int) *pipeline {
	var given Pipeline
	if o.Pipeline != nil {
		given = o.Pipeline(i)
	}
	given.ID, given.IID = o.FirstPipeline+int64(i), o.firstIID+int64(i)
	p := &pipeline{Pipeline: given, project: o.project, old: o}
	o.s.fillPipeline(p, nil)
	return p
}

// whole is the pipeline with its jobs, also where they are still to be made.
func (p *pipeline) whole() *pipeline {
	if p.old == nil {
		return p
	}
	return p.old.pipeline(int(p.ID - p.old.FirstPipeline))
}

// pipeline makes the i-th pipeline with its jobs. They are valid until the
// next call for another pipeline: callers must change them at once.
func (o *oldJobs) pipeline(i int) *pipeline {
	if o.made != nil && o.made.ID == o.FirstPipeline+int64(i) {
		return o.made
	}
	p := o.head(i)
	p.jobs = make([]*job, 0, o.PerPipeline)
	for n := i * o.PerPipeline; n < min(o.Count, (i+1)*o.PerPipeline); n++ {
		j := o.Job(n)
		if j.Status == "" || j.Bridge {
			panic(fmt.Sprintf("gitlabtest: the old job %d is a bridge or has no status", n))
		}
		j.ID = o.FirstJob + int64(n)
		if at, erased := o.erased[j.ID]; erased {
			j.Log, j.LogSize, j.Artifacts, j.ErasedAt = "", 0, nil, at
		}
		added := &job{Job: j, pipeline: p}
		o.s.fillJob(added)
		p.jobs = append(p.jobs, added)
	}
	if p.CreatedAt.IsZero() {
		p.CreatedAt = p.jobs[0].CreatedAt
		p.UpdatedAt = p.CreatedAt
	}
	p.settle()
	o.made = p
	return p
}

// job makes the i-th job.
func (o *oldJobs) job(i int) *job {
	return o.pipeline(i / o.PerPipeline).jobs[i%o.PerPipeline]
}

// job is the job of that id, made if it is an old one; nil: there is none.
func (s *Server) job(id int64) *job {
	for _, o := range s.old {
		if i := id - o.FirstJob; i >= 0 && i < int64(o.Count) {
			return o.job(int(i))
		}
	}
	return s.jobs[id]
}

// pipeline is likewise the pipeline of that id.
func (s *Server) pipeline(id int64) *pipeline {
	for _, o := range s.old {
		if i := id - o.FirstPipeline; i >= 0 && i < int64(o.pipelines()) {
			return o.pipeline(int(i))
		}
	}
	return s.pipelines[id]
}

// mustJob is the job of that id; the test is wrong if there is none.
func (s *Server) mustJob(id int64) *job {
	j := s.job(id)
	if j == nil {
		panic(fmt.Sprintf("gitlabtest: there is no job %d", id))
	}
	return j
}

// mustPipeline is the pipeline of that id; the test is wrong if there is none.
func (s *Server) mustPipeline(id int64) *pipeline {
	p := s.pipeline(id)
	if p == nil {
		panic(fmt.Sprintf("gitlabtest: there is no pipeline %d", id))
	}
	return p
}
