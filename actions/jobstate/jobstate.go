// Package jobstate reads the real state of a decision's job or pipeline from GitLab, and
// checks that GitLab has the event's one under its id. An event tells what was when it was
// sent: a job may have ended, run again or gone since.
package jobstate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/budget"
	"github.com/pipesteward/pipesteward/actions/facts"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Reader reads states from GitLab.
type Reader struct {
	GitLab *gitlab.Client
	// Budgets has the runs of trigger jobs that Pipesteward retried.
	Budgets budget.Budgets
	Now     func() time.Time
}

// State is the state of a decision's job in GitLab.
type State struct {
	Job  gitlab.Job   // the decision's own run
	Runs []gitlab.Job // all runs of its name in its pipeline, newest first, retried ones included
	// Retried are the runs of the pipeline that have a newer one of their name, by id; nil
	// for a trigger job.
	Retried map[int64]bool
}

// Newest returns the run with the highest id: GitLab gives every run a new one.
func (s State) Newest() gitlab.Job {
	newest := s.Job
	for _, run := range s.Runs {
		if run.ID > newest.ID {
			newest = run
		}
	}
	return newest
}

// Attempt counts the runs up to the job, which is included.
func (s State) Attempt() int {
	n := 0
	for _, run := range s.Runs {
		if run.ID <= s.Job.ID {
			n++
		}
	}
	return n
}

// State reads the state of the decision's job, from the list of its pipeline's jobs:
// decisions about jobs of one pipeline share the request for that. If GitLab has the job in
// another pipeline, the decision's pipeline becomes that one.
func (r Reader) State(ctx context.Context, d *event.Decision) (State, error) {
	if d.Bridge {
		return r.bridge(ctx, *d)
	}
	if d.Pipeline.ID != 0 {
		s, ok, err := r.findInPipeline(ctx, *d, d.Pipeline.ID)
		if ok || err != nil && !apierror.IsNotFound(err) { // the job may be in another pipeline here
			return s, err
		}
	}
	job, err := r.Job(ctx, *d)
	if err != nil {
		return State{}, err
	}
	s, ok, err := r.findInPipeline(ctx, *d, job.Pipeline.ID)
	if err == nil && !ok {
		s.Job, s.Runs = job, []gitlab.Job{job}
	}
	d.Pipeline.ID = job.Pipeline.ID
	return s, err
}

// Job reads the decision's job by its id.
func (r Reader) Job(ctx context.Context, d event.Decision) (gitlab.Job, error) {
	job, err := r.GitLab.Job(ctx, d.Project.ID, d.Job.ID)
	if err != nil {
		return job, err
	}
	if err := sameJob(d, job); err != nil {
		return job, err
	}
	return job, r.Freshness(d).Status("job", job.ID, job.Status, d.Job.Status)
}

// Freshness returns the freshness of the decision's event.
func (r Reader) Freshness(d event.Decision) facts.Freshness {
	return facts.FreshnessOf(d.Event, r.Now())
}

// findInPipeline reads the state of the decision's job from the list of a pipeline's jobs; ok
// is false if that lacks the job.
func (r Reader) findInPipeline(ctx context.Context, d event.Decision, pipeline int64) (s State, ok bool, err error) {
	all, err := r.GitLab.PipelineJobs(ctx, d.Project.ID, pipeline, true)
	if err != nil {
		return State{}, false, err
	}
	for _, job := range all {
		if job.ID == d.Job.ID {
			s.Job, ok = job, true
		}
	}
	for _, job := range all {
		if job.Name == s.Job.Name {
			s.Runs = append(s.Runs, job)
		}
	}
	s.Retried = Retried(all)
	if ok {
		err = sameJob(d, s.Job)
	}
	if err != nil {
		return s, ok, err
	}
	return s, ok, r.Freshness(d).Status("job", s.Job.ID, s.Job.Status, d.Job.Status)
}

// Retried returns the ids of the runs that have a newer one of their name. all has
// the newest run first.
func Retried(all []gitlab.Job) map[int64]bool {
	ids, seen := map[int64]bool{}, map[string]bool{}
	for _, job := range all {
		if seen[job.Name] {
			ids[job.ID] = true
		}
		seen[job.Name] = true
	}
	return ids
}

// bridge is State for a trigger job: GitLab's API lists those apart from
// other jobs, and only the latest run of each.
func (r Reader) bridge(ctx context.Context, d event.Decision) (State, error) {
	bridges, err := r.GitLab.BridgeJobs(ctx, d.Project.ID, d.Pipeline.ID)
	if err != nil {
		return State{}, err
	}
	ours, err := r.Budgets.PipelineRetries(ctx, d)
	if err != nil {
		return State{}, err
	}
	s := State{Job: gitlab.Job{ProjectID: d.Project.ID, Pipeline: d.Pipeline, Details: event.Details{Job: d.Job}}}
	s.Job.Status = "gone"
	for _, bridge := range bridges {
		if bridge.ID == d.Job.ID {
			if err := sameJob(d, bridge); err != nil {
				return State{}, err
			}
			s.Job = bridge
		}
		if bridge.Name == d.Job.Name {
			s.Runs = append(s.Runs, bridge)
		}
	}
	for _, seen := range ours { // GitLab lists no earlier runs, but the store has those that we retried
		var id int64
		if _, err := fmt.Sscan(seen.ID, &id); err == nil && seen.Group == d.Job.Name && id < s.Job.ID {
			run := s.Job
			run.ID = id
			s.Runs = append(s.Runs, run)
		}
	}
	return s, nil
}

// StateAndNewer reads the job's state, as State does, and, at the same time, which pipeline
// makes the job's pipeline redundant: 0 for none, or if the rule allows that.
func (r Reader) StateAndNewer(ctx context.Context, d *event.Decision) (s State, newer int64, err error) {
	if d.Action.AllowStale || d.Pipeline.ID == 0 {
		s, err = r.State(ctx, d)
		return s, 0, err
	}
	event := d.Event // State changes the decision's
	var newerErr error
	var reading sync.WaitGroup
	reading.Go(func() {
		newer, newerErr = r.GitLab.OutdatedBy(ctx, event.Project.ID, event.Pipeline, facts.MergeRequest(event), event.Job.Environment.Name != "")
	})
	s, err = r.State(ctx, d)
	reading.Wait()
	return s, newer, errors.Join(err, newerErr)
}

// Pipeline reads the decision's pipeline. After a request that may have taken effect, as
// called says, its status may be an earlier one than the event's.
func (r Reader) Pipeline(ctx context.Context, d event.Decision, called bool) (event.Pipeline, error) {
	pipeline, err := r.GitLab.Pipeline(ctx, d.Project.ID, d.Pipeline.ID)
	if err == nil {
		err = samePipeline(d, pipeline)
	}
	if err != nil || called {
		return pipeline, err
	}
	return pipeline, r.Freshness(d).Status("pipeline", pipeline.ID, pipeline.Status, d.Pipeline.Status)
}
