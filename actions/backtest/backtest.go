// Package backtest runs rules, dry, over what happened in projects: it tells what the rules
// would have done, and by what really became of the failed jobs how often a retry would have
// helped.
//
//	history     reads the past jobs from GitLab, and keeps them in files
//	timeline.go rebuilds the events that hooks reported, in order
//	facts.go    answers what expressions request, as it was at the time of the event
//	run.go      evaluates the rules on the events, with the clock of each
//	guard.go    why a retry that a rule requests would not have been made
//	sum.go      sums what came of it
//	uncaught.go groups the failures that no rule acts on
//	ondefault.go what the last pipeline of the default branch was then
//	passing.go  reads logs of jobs that passed, to try classes on
//	report.go   the report, as the command prints it
//	text.go     its figures in words, with what they assume
//
// What a rule would have changed can't be seen in the past: a retry that nobody made has no
// result. So each failed run counts by itself, as it happened, and only what really ran again
// says whether a retry helps. What is not rebuilt: events of jobs and pipelines that had not
// ended, trigger jobs, schedules, people's requests, and what budgets, circuit breakers and
// pauses would have held back.
package backtest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Reach is how long before the span jobs may have been created to be found: GitLab lists them
// by when they were created.
const Reach = 24 * time.Hour

// Events makes the events that hooks report; a *gitlab.Client implements it.
type Events interface {
	// Event makes the event of a job.
	Event(job gitlab.Job, source string) event.Event
	// PipelineEventOf makes the event of a pipeline.
	PipelineEventOf(project int64, p event.Pipeline, jobs []gitlab.Job, source string) event.Event
}

var _ Events = (*gitlab.Client)(nil)

// Project is a project with the jobs that were read of it.
type Project struct {
	gitlab.Project
	Pipelines []*history.Pipeline
	Read      time.Time // jobs that were created before are not read
}

// Config is what a Backtest needs.
type Config struct {
	Projects     []Project
	Since, Until time.Time // of the events
	Events       Events
	Logs         Logs          // nil: no logs are read
	NativeRetry  time.Duration // how long a retry waits for GitLab's own
	// Progress is called now and then with how many of a number of items are done; one of
	// what is "events", "logs" or "passing logs". It is called by one goroutine at a time. Optional.
	Progress func(what string, done, of int)
}

// Backtest runs rules over projects.
type Backtest struct {
	Config
	timelines []*timeline
	moments   [][]moment // of each timeline
	left      []unplaced // likewise
}

// New rebuilds the events of the projects. An error says that there are none.
func New(cfg Config) (*Backtest, error) {
	if cfg.Progress == nil {
		cfg.Progress = func(string, int, int) {}
	}
	b := &Backtest{Config: cfg}
	n := 0
	for _, p := range cfg.Projects {
		t := newTimeline(p.Project, p.Pipelines, p.Read)
		moments, left := t.moments(cfg.Since, cfg.Until)
		b.timelines, b.moments, b.left = append(b.timelines, t), append(b.moments, moments), append(b.left, left)
		n += len(moments)
	}
	if n == 0 {
		return nil, errNoJobs
	}
	return b, nil
}

var errNoJobs = errors.New("no job ended in this time in these projects: choose another time with --since and --until, or other projects")

// Run evaluates the rules on all events, and reports what came of it. The error is that of
// ctx, or of GitLab while it passes; what was read of logs is kept, and a second run needs
// less.
func (b *Backtest) Run(ctx context.Context, inForce *rules.Rules) (Report, error) {
	s := newSums(b, inForce)
	done, of := 0, 0
	for _, moments := range b.moments {
		of += len(moments)
	}
	for i, t := range b.timelines {
		facts := asOf{t, b.Logs}
		results := make([]result, len(b.moments[i]))
		err := inParallel(ctx, len(results), func(ctx context.Context, n int) (err error) {
			results[n], err = b.evaluate(ctx, inForce, facts, b.moments[i][n])
			return err
		}, func(n int) { b.Progress("events", done+n, of) })
		if err != nil {
			return Report{}, err
		}
		done += len(results)
		s.project(t, b.moments[i], results, b.left[i])
	}
	uncaught, err := b.uncaught(ctx, inForce, s)
	if err != nil {
		return Report{}, err
	}
	return s.report(uncaught), nil
}

// parallel is how many evaluations run at once: more than there are cores, because some wait
// for logs.
var parallel = 8 * runtime.GOMAXPROCS(0)

// inParallel calls do with 0 to n-1, some calls at once, until one returns an error; and done
// now and then with how many have returned.
func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error, done func(n int)) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	const chunk = 32 // so that workers seldom wait for each other
	next, ended := make(chan int), make(chan int)
	go func() {
		defer close(next)
		for i := 0; i < n; i += chunk {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	workers := min(parallel, max(1, n/chunk))
	for range workers {
		go func() {
			of := 0
			for from := range next {
				for i := from; i < min(from+chunk, n) && ctx.Err() == nil; i++ {
					if err := do(ctx, i); err != nil {
						stop(err)
					}
					of++
				}
				ended <- of
				of = 0
			}
			ended <- -1
		}()
	}
	total := 0
	for workers > 0 {
		switch of := <-ended; of {
		case -1:
			workers--
		default:
			total += of
			done(total)
		}
	}
	return context.Cause(ctx)
}

// notRebuilt are the statuses that hooks report of jobs and pipelines that have not ended.
var notRebuilt = []string{"created", "waiting_for_resource", "preparing", "pending", "running", "manual", "scheduled", "canceling"}

// neverEvaluated reports whether no event that a backtest rebuilds can make a rule match.
func neverEvaluated(r *rules.Rule) bool {
	return r.On == event.KindSchedule || !slices.ContainsFunc(ended, r.MayMatch) && slices.ContainsFunc(notRebuilt, r.MayMatch)
}
