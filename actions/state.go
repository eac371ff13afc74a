package actions

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pipesteward/pipesteward/actions/facts"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// state is the state of a decision's job in GitLab.
type state struct {
	job  gitlab.Job   // the decision's own run
	runs []gitlab.Job // all runs of its name in its pipeline, newest first, retried ones included
}

// newest returns the run with the highest id: GitLab gives every run a new one.
func (s state) newest() gitlab.Job {
	newest := s.job
	for _, run := range s.runs {
		if run.ID > newest.ID {
			newest = run
		}
	}
	return newest
}

// attempt counts the runs up to the job, which is included.
func (s state) attempt() int {
	n := 0
	for _, run := range s.runs {
		if run.ID <= s.job.ID {
			n++
		}
	}
	return n
}

// readState reads the state of the decision's job, from the list of its pipeline's jobs:
// decisions about jobs of one pipeline share the request for that.
func (r *Runner) readState(ctx context.Context, p *pending) (state, error) {
	if p.Bridge {
		return r.readBridgeState(ctx, p)
	}
	if p.Pipeline.ID != 0 {
		s, ok, err := r.findInPipeline(ctx, p, p.Pipeline.ID)
		if ok || err != nil && !apierror.IsNotFound(err) { // the job may be in another pipeline here
			return s, err
		}
	}
	job, err := r.readJob(ctx, p)
	if err != nil {
		return state{}, err
	}
	s, ok, err := r.findInPipeline(ctx, p, job.Pipeline.ID)
	if err == nil && !ok {
		s = state{job: job, runs: []gitlab.Job{job}}
	}
	p.Pipeline.ID = job.Pipeline.ID
	return s, err
}

// readJob reads the decision's job by its id.
func (r *Runner) readJob(ctx context.Context, p *pending) (gitlab.Job, error) {
	job, err := r.GitLab.Job(ctx, p.Project.ID, p.Job.ID)
	if err != nil {
		return job, err
	}
	if err := p.sameJob(job); err != nil {
		return job, err
	}
	return job, r.freshness(p).Status("job", job.ID, job.Status, p.Job.Status)
}

// freshness returns the freshness of the decision's event.
func (r *Runner) freshness(p *pending) facts.Freshness { return facts.FreshnessOf(p.Event, r.Now()) }

// findInPipeline reads the state of the decision's job from the list of a pipeline's jobs; ok
// is false if that lacks the job.
func (r *Runner) findInPipeline(ctx context.Context, p *pending, pipeline int64) (s state, ok bool, err error) {
	all, err := r.GitLab.PipelineJobs(ctx, p.Project.ID, pipeline, true)
	if err != nil {
		return state{}, false, err
	}
	for _, job := range all {
		if job.ID == p.Job.ID {
			s.job, ok = job, true
		}
	}
	for _, job := range all {
		if job.Name == s.job.Name {
			s.runs = append(s.runs, job)
		}
	}
	p.retried = retriedRuns(all)
	if ok {
		err = p.sameJob(s.job)
	}
	if err != nil {
		return s, ok, err
	}
	return s, ok, r.freshness(p).Status("job", s.job.ID, s.job.Status, p.Job.Status)
}

// retriedRuns returns the ids of the runs that have a newer one of their name. all has
// the newest run first.
func retriedRuns(all []gitlab.Job) map[int64]bool {
	ids, seen := map[int64]bool{}, map[string]bool{}
	for _, job := range all {
		if seen[job.Name] {
			ids[job.ID] = true
		}
		seen[job.Name] = true
	}
	return ids
}

// readBridgeState is readState for a trigger job: GitLab's API lists those apart from
// other jobs, and only the latest run of each.
func (r *Runner) readBridgeState(ctx context.Context, p *pending) (state, error) {
	bridges, err := r.GitLab.BridgeJobs(ctx, p.Project.ID, p.Pipeline.ID)
	if err != nil {
		return state{}, err
	}
	ours, err := r.budgets.PipelineRetries(ctx, p.Decision)
	if err != nil {
		return state{}, err
	}
	s := state{job: gitlab.Job{ProjectID: p.Project.ID, Pipeline: p.Pipeline, Details: event.Details{Job: p.Job}}}
	s.job.Status = "gone"
	for _, bridge := range bridges {
		if bridge.ID == p.Job.ID {
			if err := p.sameJob(bridge); err != nil {
				return state{}, err
			}
			s.job = bridge
		}
		if bridge.Name == p.Job.Name {
			s.runs = append(s.runs, bridge)
		}
	}
	for _, seen := range ours { // GitLab lists no earlier runs, but the store has those that we retried
		var id int64
		if _, err := fmt.Sscan(seen.ID, &id); err == nil && seen.Group == p.Job.Name && id < s.job.ID {
			run := s.job
			run.ID = id
			s.runs = append(s.runs, run)
		}
	}
	return s, nil
}

// readStateAndNewer reads the job's state and, at the same time, which pipeline makes the
// job's pipeline redundant: 0 for none, or if the rule allows that.
func (r *Runner) readStateAndNewer(ctx context.Context, p *pending) (s state, newer int64, err error) {
	if p.Action.AllowStale || p.Pipeline.ID == 0 {
		s, err = r.readState(ctx, p)
		return s, 0, err
	}
	event := p.Event // readState changes the decision's
	var newerErr error
	var reading sync.WaitGroup
	reading.Go(func() {
		newer, newerErr = r.GitLab.OutdatedBy(ctx, event.Project.ID, event.Pipeline, facts.MergeRequest(event), event.Job.Environment.Name != "")
	})
	s, err = r.readState(ctx, p)
	reading.Wait()
	return s, newer, errors.Join(err, newerErr)
}

// outdated returns the verdict on an action in a pipeline that a newer one makes redundant;
// nil if newer is 0.
func outdated(p *pending, newer int64) *verdict {
	switch {
	case newer == 0:
		return nil
	case p.Action.Verb == event.VerbRetryPipeline, p.Action.Verb == event.VerbCancelOutdated:
		return skipped("the pipeline is outdated by pipeline %d", newer)
	}
	return skipped("the pipeline is outdated by pipeline %d: `allow_stale: true` lifts this", newer)
}

// readPipeline reads the decision's pipeline. After a request that may have taken effect,
// its status may be an earlier one than the event's.
func (r *Runner) readPipeline(ctx context.Context, p *pending) (event.Pipeline, error) {
	pipeline, err := r.GitLab.Pipeline(ctx, p.Project.ID, p.Pipeline.ID)
	if err == nil {
		err = p.samePipeline(pipeline)
	}
	if err != nil || p.Called {
		return pipeline, err
	}
	return pipeline, r.freshness(p).Status("pipeline", pipeline.ID, pipeline.Status, p.Pipeline.Status)
}
