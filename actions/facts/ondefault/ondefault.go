// Package ondefault reads from GitLab how a job, by its name, did in the last finished
// pipeline of its project's default branch that has it.
//
//	the list of finished pipelines: one request for each project and minute
//	the jobs of the last of them: once, until GitLab has changed that pipeline
//	those of the ones before it, if it lacks the job, and for since when the job fails: likewise
//
// The answers are shared by all events of the process.
package ondefault

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// listedFor is how long a list of pipelines is used.
	listedFor = time.Minute
	// maxPipelines is in how many pipelines a job is looked for.
	maxPipelines = 10
)

// special are the sources of pipelines that run other jobs on a branch than a push to it does,
// and often jobs of the same names: schedules, commands in a chat, statuses of other systems,
// and those that GitLab does not count for the branch either (dangling_sources in its
// app/models/concerns/enums/ci/pipeline.rb), such as scans by policy.
var special = []string{
	"schedule", "chat", "external",
	"webide", "ondemand_dast_scan", "ondemand_dast_validation", "security_orchestration_policy", "container_registry_push", "duo_workflow",
	"pipeline_execution_policy_schedule",
}

// counts reports whether a finished pipeline of the default branch tells how its jobs do there.
func counts(p event.Pipeline) bool {
	return (p.Status == "success" || p.Status == "failed") && !slices.Contains(special, p.Source)
}

// Bounds on what is kept. Beyond them the projects go that were used least recently.
const (
	maxProjects = 500
	maxRuns     = 100_000 // of jobs, about 25 MB
)

// GitLab reads from GitLab.
type GitLab interface {
	Project(ctx context.Context, idOrPath string) (gitlab.Project, error)
	FinishedPipelines(ctx context.Context, project int64, ref string) ([]gitlab.UpdatedPipeline, error)
	PipelineJobs(ctx context.Context, project, pipeline int64, includeRetried bool, scope ...string) ([]gitlab.Job, error)
}

var _ GitLab = (*gitlab.Client)(nil)

// Runs keeps what GitLab answered about default branches. It is safe for concurrent use.
type Runs struct {
	now func() time.Time

	mu       sync.Mutex
	projects map[int64]*project
	runs     int // of all projects
}

// New returns a Runs that knows nothing yet.
func New(now func() time.Time) *Runs {
	return &Runs{now: now, projects: map[int64]*project{}}
}

// project is what is known of a project. turn is held by the one caller who reads from
// GitLab, or uses, the fields below it.
type project struct {
	turn chan struct{}

	listed    time.Time // when the list was read; zero: never
	branch    string    // the default branch; "" if there is none
	pipelines []pipeline
	jobs      map[version]map[string]run // by the jobs' names

	used time.Time // guarded by Runs.mu
	runs int       // in jobs; guarded by Runs.mu
}

// pipeline is a finished pipeline of the default branch.
type pipeline struct {
	version
	sha string
}

// version is a pipeline as it was when GitLab changed it last: its jobs do not change
// without it.
type version struct {
	id      int64
	updated time.Time
}

// run is the last run of a job in a pipeline.
type run struct {
	status, reason, url string
	finished            time.Time
}

// Of returns how the event's job did in the last pipeline of the default branch that has it
// and that passed or failed, other than the event's own and, if that is of the default branch
// itself, older than it. Pipelines that counts leaves out are not looked at.
// It returns zero values if there is no such pipeline among the last maxPipelines, and without
// a request for a job of a child pipeline, which GitLab's list does not have.
func (r *Runs) Of(ctx context.Context, gl GitLab, e event.Event) (event.OnDefault, error) {
	if e.Job.Name == "" || e.Pipeline.Upstream.ProjectID != 0 && e.Pipeline.Upstream.ProjectID == e.Project.ID {
		return event.OnDefault{}, nil
	}
	p := r.project(e.Project.ID)
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return event.OnDefault{}, ctx.Err()
	}
	if err := r.list(ctx, gl, p, e.Project); err != nil {
		return event.OnDefault{}, err
	}
	of := reader{r, gl, p, e.Project.ID}
	own := e.MergeRequest.IID == 0 && !e.Pipeline.Tag && cmp.Or(e.Pipeline.Ref, e.Job.Ref) == p.branch
	i := slices.IndexFunc(p.pipelines, func(q pipeline) bool {
		return q.id != e.Pipeline.ID && (!own || q.id < e.Pipeline.ID)
	})
	if i < 0 {
		return event.OnDefault{}, nil
	}
	return of.job(ctx, e.Job.Name, p.pipelines[i:])
}

// project returns what is known of a project, and forgets other ones if there are too many.
func (r *Runs) project(id int64) *project {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.projects[id]
	if p == nil {
		p = &project{turn: make(chan struct{}, 1), jobs: map[version]map[string]run{}}
		r.projects[id] = p
	}
	p.used = r.now()
	r.forget(p)
	return p
}

// forget keeps the bounds; r is locked. The project that is in use is kept.
func (r *Runs) forget(inUse *project) {
	for len(r.projects) > 1 && (len(r.projects) > maxProjects || r.runs > maxRuns) {
		var oldest int64
		for id, p := range r.projects {
			if p != inUse && (oldest == 0 || p.used.Before(r.projects[oldest].used)) {
				oldest = id
			}
		}
		r.runs -= r.projects[oldest].runs
		delete(r.projects, oldest)
	}
}

// keep counts the jobs of a project that are known.
func (r *Runs) keep(id int64, p *project) {
	n := 0
	for _, jobs := range p.jobs {
		n += len(jobs)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.projects[id] != p {
		return // it was forgotten meanwhile
	}
	r.runs += n - p.runs
	p.runs = n
	r.forget(p)
}

// list reads the pipelines of the default branch, unless that was done a short time ago.
func (r *Runs) list(ctx context.Context, gl GitLab, p *project, of event.Project) error {
	fresh := !p.listed.IsZero() && r.now().Sub(p.listed) < listedFor
	if fresh && (of.DefaultBranch == "" || of.DefaultBranch == p.branch) {
		return nil
	}
	branch := of.DefaultBranch
	if branch == "" { // hooks of old versions do not have it
		full, err := gl.Project(ctx, strconv.FormatInt(of.ID, 10))
		if err != nil {
			return err
		}
		branch = full.DefaultBranch
	}
	var all []pipeline
	if branch != "" {
		listed, err := gl.FinishedPipelines(ctx, of.ID, branch)
		if err != nil {
			return err
		}
		for _, q := range listed {
			if counts(q.Pipeline) {
				all = append(all, pipeline{version{id: q.ID, updated: q.UpdatedAt}, q.SHA})
			}
		}
	}
	known := map[version]map[string]run{}
	for _, q := range all {
		if jobs := p.jobs[q.version]; jobs != nil {
			known[q.version] = jobs
		}
	}
	p.listed, p.branch, p.pipelines, p.jobs = r.now(), branch, all, known
	r.keep(of.ID, p)
	return nil
}

// reader reads the jobs of a project's pipelines, once.
type reader struct {
	*Runs
	gl GitLab
	*project
	id int64 // of the project
}

// job returns how a job did in the first of the pipelines that has it, and since when and which
// commit it fails in an unbroken line of those.
func (r reader) job(ctx context.Context, name string, pipelines []pipeline) (result event.OnDefault, err error) {
	for _, p := range pipelines[:min(len(pipelines), maxPipelines)] {
		jobs, err := r.read(ctx, p.version)
		if err != nil {
			return event.OnDefault{}, err
		}
		job, ok := jobs[name]
		if !ok {
			continue
		}
		if result.Status == "" {
			result = event.OnDefault{Failed: job.status == "failed", Status: job.status, FailureReason: job.reason, URL: job.url}
		}
		if job.status != "failed" {
			break
		}
		result.Since, result.SinceSHA = job.finished, p.sha
	}
	return result, nil
}

// read returns the jobs of a pipeline.
func (r reader) read(ctx context.Context, v version) (map[string]run, error) {
	if jobs := r.jobs[v]; jobs != nil {
		return jobs, nil
	}
	listed, err := r.gl.PipelineJobs(ctx, r.id, v.id, false)
	if err != nil {
		return nil, err
	}
	jobs := make(map[string]run, len(listed))
	for _, j := range slices.Backward(listed) { // newest first: the newest of a name stays
		jobs[j.Name] = run{j.Status, j.FailureReason, j.URL, j.FinishedAt}
	}
	r.jobs[v] = jobs
	r.keep(r.id, r.project)
	return jobs, nil
}
