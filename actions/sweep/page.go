package sweep

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/retention"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// swept is the result of one job.
type swept struct {
	job      int64
	counts   event.SweepCounts
	problems []string
	refused  bool // for lack of rights
	err      error
}

// allRefused is the reason to leave a project in which GitLab refuses everything.
const allRefused = "GitLab refuses job after job: the rest of the project is left out; erasing needs the role Maintainer"

// page processes the jobs of a page. When a page that was cut short is repeated, the
// jobs that were processed are skipped.
func (s Sweeper) page(ctx context.Context, run *event.Sweep, inForce *rules.Rules, rule rules.Scheduled, p event.Project, keeper *retention.Keeper, jobs []gitlab.Job, step Step) error {
	keeper.Note(jobs)
	work, stop := outliving(ctx, callGrace)
	defer stop()
	var mu sync.Mutex
	var all []swept
	broken := false
	var panicked any
	var running sync.WaitGroup
	slots := semaphore.NewWeighted(maxJobs)
	for _, job := range jobs {
		if slices.Contains(run.Place.Seen, job.ID) {
			continue
		}
		if slots.Acquire(ctx, 1) != nil {
			break
		}
		mu.Lock()
		stopped := broken
		mu.Unlock()
		if stopped {
			break
		}
		running.Go(func() {
			defer slots.Release(1)
			defer func() {
				if reason := recover(); reason != nil {
					mu.Lock()
					defer mu.Unlock()
					broken, panicked = true, fmt.Sprintf("%v\n%s", reason, debug.Stack())
				}
			}()
			result := s.job(work, inForce, rule, p, keeper, job)
			if run.Place.Tries >= jobTries && ctx.Err() == nil && isTry(result.err) {
				result = result.givenUp()
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, result)
			if result.err != nil {
				broken = true // the jobs in flight end, no other begins
				return
			}
			processed := step
			processed.SweepCounts = result.counts
			s.watch(processed)
		})
	}
	running.Wait()
	if panicked != nil {
		panic(panicked) // where the worker sees it
	}

	err := ctx.Err()
	var counts event.SweepCounts
	for _, result := range all {
		if result.err != nil {
			err = cmp.Or(err, result.err)
			continue
		}
		counts.Add(result.counts)
		for _, problem := range result.problems {
			run.Problem(p.Path, result.job, problem)
		}
		run.Place.Seen = append(run.Place.Seen, result.job)
		switch {
		case result.counts.Erased > 0:
			run.Place.Refused = 0
		case result.refused:
			run.Place.Refused++
		}
	}
	run.Count(p, counts)
	s.count(rule, counts)
	if err == nil && run.Place.Refused >= maxRefusals {
		return &leftError{allRefused}
	}
	return err
}

// callGrace is how long requests in flight get to end when a run is stopped.
const callGrace = 2 * time.Second

// outliving returns a context that ends the time of grace after ctx.
func outliving(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() {
		unlink()
		cancel()
	}
}

// count adds to the metrics.
func (s Sweeper) count(rule rules.Scheduled, counts event.SweepCounts) {
	if s.Metrics == nil {
		return
	}
	s.Metrics.Swept(rule.Name, event.Sweep{Verbs: rule.Verbs}.Verb(), rule.DryRun, counts)
}
