// Package sweep makes runs of schedule rules. A run goes through the projects of its
// rule, page by page of their jobs, newest first. It erases jobs at once, and
// reports them as a sum; other decisions go into the queue. It saves its progress
// after each page, and repeats a page that was cut short: what was erased in it
// shows in the jobs.
//
// The Scheduler queues the runs that are due, the Handler makes those that the queue
// brings, and Manual makes runs by hand.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/facts/ondefault"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/projects"
	"github.com/pipesteward/pipesteward/actions/retention"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Sweeper makes runs of schedule rules.
type Sweeper struct {
	GitLab *gitlab.Client
	Rules  func() *rules.Rules // those in force
	Now    func() time.Time
	// Queue takes the decisions other than erases, and returns how many were not
	// made before; nil: they are only counted.
	Queue func(ctx context.Context, decisions []event.Decision) (added int, err error)
	// Capacity returns a transient error while the queue has no capacity for more
	// decisions; nil: it always has.
	Capacity func(ctx context.Context) error
	// Save saves the progress of the run. It is called after each page.
	Save   func(ctx context.Context, run event.Sweep) error
	Pauses pause.Pauses // stop erases
	// Watch is called with each job; nil: it is not.
	Watch func(Step)
	// Default has what GitLab answered about default branches.
	Default *ondefault.Runs
	// Metrics counts erased jobs; nil: nothing is counted.
	Metrics Metrics
}

// Metrics counts the jobs that sweeps erase, those that failed, and the rules that
// fail.
type Metrics interface {
	Swept(rule, verb string, dryRun bool, counts event.SweepCounts)
	RuleError(rule string)
}

// Step is one job that was processed, or the beginning of a project.
type Step struct {
	Project  string // its path
	Position int    // of the project, from 1
	Projects int    // how many there are
	// Through is the part of the project that is done, from 0 to 1, estimated from
	// the dates of its jobs: GitLab does not say how many there are.
	Through float64
	event.SweepCounts
}

const (
	// maxRuns is how many runs a process makes at the same time.
	maxRuns = 2
	// maxJobs is how many jobs of a run are processed at the same time.
	maxJobs = 16
	// maxRefusals is after how many refusals in a row for lack of rights a run leaves
	// a project.
	maxRefusals = 10
	// jobTries and pageTries are after how many tries of a page the failure of a job,
	// and then of the page, is a problem in the summary; the run goes on without it.
	jobTries, pageTries = 5, 10
	// maxRequests is how many requests to GitLab the expressions may cost for one job.
	maxRequests = 30
)

// Run makes the run, or continues it. When it returns nil, the run has ended. With an
// error, run says where to continue.
func (s Sweeper) Run(ctx context.Context, run *event.Sweep) error {
	s.GitLab = s.GitLab.Sweeping()
	for {
		err := s.run(ctx, run, s.Rules())
		if !errors.Is(err, errOtherRules) {
			return err
		}
	}
}

// errOtherRules is returned when other rules have come into force since the run
// began or was continued.
var errOtherRules = errors.New("other rules are in force")

// run continues the run by the given rules.
func (s Sweeper) run(ctx context.Context, run *event.Sweep, inForce *rules.Rules) error {
	all := inForce.Scheduled()
	i := slices.IndexFunc(all, func(other rules.Scheduled) bool { return other.Name == run.Rule })
	switch {
	case i < 0:
		run.Problem("", 0, "there is no schedule rule of this name any more")
		return nil
	case run.Began.IsZero():
		run.Began, run.DryRun = s.Now().UTC(), all[i].DryRun
	case run.DryRun != all[i].DryRun:
		run.Problem("", 0, "`dry_run` was changed while the run was under way: it ends here, and the next one obeys")
		return nil
	}
	rule := all[i]
	run.Verbs = rule.Verbs
	targets, problems, err := projects.Resolve(ctx, s.GitLab, rule.Schedule.Projects)
	if err != nil && ctx.Err() == nil && run.Place.Tries >= pageTries && !event.Unavailable(err) {
		run.Problem("", 0, fmt.Sprintf("the projects could not be looked up: %v", err))
		return nil
	}
	if err != nil {
		return tried(ctx, run, err)
	}
	if run.Place.Project == 0 {
		for _, p := range problems {
			run.Problem(p.Project, 0, p.Reason)
		}
	}
	for i, p := range targets {
		if p.ID < run.Place.Project || p.ID == run.Place.Project && run.Place.Done {
			continue
		}
		if p.ID != run.Place.Project {
			run.Place = event.SweepPlace{Project: p.ID}
		}
		step := Step{Project: p.Path, Position: i + 1, Projects: len(targets)}
		s.watch(step)
		err := s.project(ctx, run, inForce, rule, p.Project, step, lifetime{p.CreatedAt, run.Began})
		if left, ok := errors.AsType[*leftError](err); ok {
			run.Problem(p.Path, 0, left.reason)
		} else if err != nil {
			return err
		}
		run.End(p.Project)
		if err := s.Save(ctx, *run); err != nil {
			return err
		}
	}
	run.Place = event.SweepPlace{}
	run.Sort()
	return nil
}

// leftError is the reason to skip the rest of a project.
type leftError struct{ reason string }

func (e *leftError) Error() string { return e.reason }

// triedError is a transient error, with a time to wait that grows with the tries of
// the page.
type triedError struct {
	error
	after time.Duration
}

func (e *triedError) Unwrap() error { return e.error }

// Again says when the page can be tried again; see event.Transient.
func (e *triedError) Again() (after time.Duration, ok bool) { return e.after, true }

// tried counts a failed try. A rate limit of GitLab is none, and neither is an error
// of the store.
func tried(ctx context.Context, run *event.Sweep, err error) error {
	if ctx.Err() != nil || !isTry(err) {
		return err
	}
	run.Place.Tries++
	return &triedError{err, max(worker.Backoff(err, run.Place.Tries), time.Second)}
}

// isTry reports whether an error is that of a failed try: it is transient, and
// neither a rate limit, a pause nor an outage of GitLab as a whole.
func isTry(err error) bool {
	var e *apierror.Error
	var stop *pause.StopError
	return event.Transient(err) && !event.Unavailable(err) && !errors.As(err, &stop) && (!errors.As(err, &e) || !e.Limited())
}

func (s Sweeper) watch(step Step) {
	if s.Watch != nil {
		s.Watch(step)
	}
}

// project processes the jobs of a project.
func (s Sweeper) project(ctx context.Context, run *event.Sweep, inForce *rules.Rules, rule rules.Scheduled, p event.Project, step Step, life lifetime) error {
	keeper := retention.New(s.GitLab, p.ID)
	for {
		if s.Rules() != inForce {
			return errOtherRules
		}
		if s.Capacity != nil && rule.Queues {
			if err := s.Capacity(ctx); err != nil {
				return err
			}
		}
		jobs, next, err := s.GitLab.JobsPage(ctx, p.ID, run.Place.Cursor, rule.Schedule.Scope...)
		switch {
		case err == nil:
			if len(jobs) > 0 {
				step.Through = life.since(jobs[len(jobs)-1].CreatedAt)
			}
			err = s.page(ctx, run, inForce, rule, p, keeper, jobs, step)
		case ctx.Err() == nil:
			err = unlisted(err, run.Place.Tries)
		}
		if err != nil {
			return tried(ctx, run, err)
		}
		if next == "" {
			return nil
		}
		run.Place = event.SweepPlace{Project: p.ID, Cursor: next, Refused: run.Place.Refused}
		if err := s.Save(ctx, *run); err != nil {
			return err
		}
	}
}

// lifetime is the time from the creation of a project to the beginning of the run.
type lifetime struct{ from, to time.Time }

// since returns the part of the lifetime that is after a time, from 0 to 1.
func (l lifetime) since(t time.Time) float64 {
	if l.from.IsZero() || t.IsZero() || !l.from.Before(l.to) {
		return 0
	}
	return min(max(l.to.Sub(t).Seconds()/l.to.Sub(l.from).Seconds(), 0), 1)
}

// unlisted returns the error of a page of jobs that can't be read.
func unlisted(err error, tries int) error {
	var refused *apierror.Error
	switch {
	case errors.As(err, &refused) && apierror.IsHidden(err):
		return &leftError{fmt.Sprintf("GitLab refuses to list the jobs: %s (%d)", refused.Message, refused.Status)}
	case !event.Transient(err), isTry(err) && tries >= pageTries:
		return &leftError{fmt.Sprintf("the rest of its jobs can't be listed: %v", err)}
	}
	return err
}
