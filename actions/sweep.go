package actions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/facts"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/retention"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// A sweep carries a schedule rule through its projects, page by page of their
// jobs, newest first. Erases are called at once, and told as a sum; whatever
// else the rule wants goes into the queue as the decision that it is. How far
// it came is saved after each page, and a page that was cut short is repeated:
// what was erased in it shows in the jobs.

// Sweeper makes runs of schedule rules.
type Sweeper struct {
	GitLab *gitlab.Client
	Rules  func() *rules.Rules // those in force
	Now    func() time.Time
	// Queue takes decisions that are no erases, and gives how many were not
	// made before; nil: they are counted only.
	Queue func(ctx context.Context, decisions []event.Decision) (added int, err error)
	// Room gives an error that passes while the queue has no room for more
	// decisions; nil: there always is.
	Room func(ctx context.Context) error
	// Save keeps how far the run is. It is called after each page.
	Save   func(ctx context.Context, run event.Sweep) error
	Pauses pause.Pauses // stop erases
	// Watch is told of each job; nil: nobody is.
	Watch func(SweepStep)
	// Metrics counts what is erased; nil: nobody does.
	Metrics *Metrics
}

// SweepStep is one job that was looked at, or the beginning of a project.
type SweepStep struct {
	Project  string // its path
	Position int    // of the project, from 1
	Projects int    // how many there are
	// Through is how much of the project is behind, from 0 to 1, as the dates
	// of its jobs tell: GitLab does not say how many there are.
	Through float64
	event.SweepCounts
}

const (
	// sweepers is how many sweeps a process makes at the same time.
	sweepers = 2
	// erasing is how many jobs of a sweep are looked at at the same time.
	erasing = 16
	// refusals in a row for want of rights make a sweep leave a project.
	refusals = 10
	// After so many tries of a page, what GitLab fails to do for a job, and then
	// for the page, is a problem in the sum; the sweep goes on without it.
	jobTries, pageTries = 5, 10
)

// Run makes the run, or goes on with it. When it returns nil, the run has
// ended. With an error, run says where to go on.
func (s Sweeper) Run(ctx context.Context, run *event.Sweep) error {
	s.GitLab = s.GitLab.Sweeping()
	for {
		err := s.run(ctx, run, s.Rules())
		if !errors.Is(err, errOtherRules) {
			return err
		}
	}
}

// errOtherRules is that other rules are in force than when a sweep began or
// was gone on with.
var errOtherRules = errors.New("other rules are in force")

// run carries the run on, by those rules.
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
	projects, problems, err := Projects(ctx, s.GitLab, rule.Schedule.Projects)
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
	for i, p := range projects {
		if p.ID < run.Place.Project || p.ID == run.Place.Project && run.Place.Done {
			continue
		}
		if p.ID != run.Place.Project {
			run.Place = event.SweepPlace{Project: p.ID}
		}
		step := SweepStep{Project: p.Path, Position: i + 1, Projects: len(projects)}
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

// leftError is why the rest of a project is left out.
type leftError struct{ reason string }

func (e *leftError) Error() string { return e.reason }

// triedError is an error that passes, with a time to wait by how often the page
// was tried.
type triedError struct {
	error
	after time.Duration
}

func (e *triedError) Unwrap() error { return e.error }

// Again implements what rules.Passes asks.
func (e *triedError) Again() (after time.Duration, ok bool) { return e.after, true }

// tried counts a try that failed. What GitLab asks to wait for is none, and
// neither is an error of the store.
func tried(ctx context.Context, run *event.Sweep, err error) error {
	if ctx.Err() != nil || !isTry(err) {
		return err
	}
	run.Place.Tries++
	return &triedError{err, max(worker.Backoff(err, run.Place.Tries), time.Second)}
}

// isTry reports whether an error is of a try that failed: it passes, and neither
// a rate limit is why nor that GitLab can't be used at all.
func isTry(err error) bool {
	var e *gitlab.Error
	var stop *pause.StopError
	return event.Transient(err) && !event.Unavailable(err) && !errors.As(err, &stop) && (!errors.As(err, &e) || !e.Limited())
}

func (s Sweeper) watch(step SweepStep) {
	if s.Watch != nil {
		s.Watch(step)
	}
}

// project sweeps the jobs of a project.
func (s Sweeper) project(ctx context.Context, run *event.Sweep, inForce *rules.Rules, rule rules.Scheduled, p event.Project, step SweepStep, life lifetime) error {
	keeper := retention.New(s.GitLab, p.ID)
	for {
		if s.Rules() != inForce {
			return errOtherRules
		}
		if s.Room != nil && rule.Queues {
			if err := s.Room(ctx); err != nil {
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

// lifetime is from when a project was made to when its sweep began.
type lifetime struct{ from, to time.Time }

// since gives how much of the lifetime is after a time, from 0 to 1.
func (l lifetime) since(t time.Time) float64 {
	if l.from.IsZero() || t.IsZero() || !l.from.Before(l.to) {
		return 0
	}
	return min(max(l.to.Sub(t).Seconds()/l.to.Sub(l.from).Seconds(), 0), 1)
}

// unlisted is what it means that a page of jobs can't be read.
func unlisted(err error, tries int) error {
	var refused *gitlab.Error
	switch {
	case errors.As(err, &refused) && gitlab.IsHidden(err):
		return &leftError{fmt.Sprintf("GitLab refuses to list the jobs: %s (%d)", refused.Message, refused.Status)}
	case !event.Transient(err), isTry(err) && tries >= pageTries:
		return &leftError{fmt.Sprintf("the rest of its jobs can't be listed: %v", err)}
	}
	return err
}

// swept is what came of one job.
type swept struct {
	job      int64
	counts   event.SweepCounts
	problems []string
	refused  bool // for want of rights
	err      error
}

// allRefused ends the sweep of a project in which GitLab refuses everything.
const allRefused = "GitLab refuses job after job: the rest of the project is left out; erasing needs the role Maintainer"

// page looks at the jobs of a page. Those of one that is cut short are left
// out when it is repeated.
func (s Sweeper) page(ctx context.Context, run *event.Sweep, inForce *rules.Rules, rule rules.Scheduled, p event.Project, keeper *retention.Keeper, jobs []gitlab.Job, step SweepStep) error {
	keeper.Note(jobs)
	work, stop := outliving(ctx, callGrace)
	defer stop()
	var mu sync.Mutex
	var all []swept
	broken := false
	var panicked any
	var running sync.WaitGroup
	room := make(chan struct{}, erasing)
	for _, job := range jobs {
		if slices.Contains(run.Place.Seen, job.ID) {
			continue
		}
		room <- struct{}{}
		mu.Lock()
		enough := broken || ctx.Err() != nil
		mu.Unlock()
		if enough {
			break
		}
		running.Go(func() {
			defer func() { <-room }()
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
				broken = true // what is under way ends, nothing else begins
				return
			}
			told := step
			told.SweepCounts = result.counts
			s.watch(told)
		})
	}
	running.Wait()
	if panicked != nil {
		panic(panicked) // where the runner sees it
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
	if err == nil && run.Place.Refused >= refusals {
		return &leftError{allRefused}
	}
	return err
}

// callGrace is how long calls that are under way get to end when a sweep is
// stopped.
const callGrace = 2 * time.Second

// outliving gives a context that ends so long after ctx.
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
	result := event.ResultDone
	if rule.DryRun {
		result = event.ResultDryRun
	} else {
		s.Metrics.freed.Add(float64(counts.Freed))
	}
	s.Metrics.decisions.WithLabelValues(rule.Name, event.VerbErase, result).Add(float64(counts.Erased))
	s.Metrics.decisions.WithLabelValues(rule.Name, event.VerbErase, event.ResultFailed).Add(float64(counts.Failed))
}

// job asks the rule about one job, and does what it wants.
func (s Sweeper) job(ctx context.Context, inForce *rules.Rules, rule rules.Scheduled, p event.Project, keeper *retention.Keeper, job gitlab.Job) swept {
	result := swept{job: job.ID, counts: event.SweepCounts{Jobs: 1}}
	e, err := s.event(ctx, rule, p, keeper, job)
	if err != nil {
		return result.failed(err)
	}
	decisions, failed := inForce.EvaluateRule(ctx, rule.Name, e, listed{facts.Reader{GitLab: s.GitLab.WithBudget(maxRequests)}, job})
	switch {
	case failed != nil && (event.Transient(failed) || ctx.Err() != nil):
		result.err = failed
		return result
	case failed != nil:
		if s.Metrics != nil {
			s.Metrics.ruleErrors.WithLabelValues(rule.Name).Inc()
		}
		result.counts.Failed = 1
		result.problems = append(result.problems, fmt.Sprintf("the rule could not be evaluated: %s: %v", failed.Part, failed.Err))
		return result
	case len(decisions) == 0:
		result.counts.Kept = 1
	}
	var others []event.Decision
	for _, d := range decisions {
		if d.Action.Verb != event.VerbErase || len(others) > 0 { // in the order that the rule has
			others = append(others, d)
			continue
		}
		if result = s.erase(ctx, result, p, keeper, job, d); result.err != nil {
			return result
		}
	}
	switch {
	case len(others) == 0:
	case s.Queue == nil:
		result.counts.Queued = 1
	default:
		added, err := s.Queue(ctx, others)
		result.err = err
		result.counts.Queued = min(added, 1)
		if result.counts == (event.SweepCounts{Jobs: 1}) {
			result.counts.Kept = 1 // all was decided before
		}
	}
	return result
}

// event makes of a job the event that the rule is asked about.
func (s Sweeper) event(ctx context.Context, rule rules.Scheduled, p event.Project, keeper *retention.Keeper, job gitlab.Job) (event.Event, error) {
	e := s.GitLab.Event(job, event.SourceSchedule)
	e.Meta.Kind, e.Project = event.KindSchedule, p
	if !rule.AsksProtected {
		return e, nil
	}
	var err error
	e.Pipeline.ProtectedRef, err = keeper.Protects(ctx, job.Ref, job.Tag)
	return e, err
}

// failed makes of an error what came of the job: nothing yet where it passes.
func (r swept) failed(err error) swept {
	var e *gitlab.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errOtherRules), event.Transient(err):
		r.err = err
		return r
	case errors.As(err, &e):
		r.refused = e.Rights()
		r.problems = append(r.problems, fmt.Sprintf("GitLab refused: %s (%d)", e.Message, e.Status))
	default:
		r.problems = append(r.problems, err.Error())
	}
	r.counts.Failed = 1
	return r
}

// givenUp makes of an error that passes, and did not, a problem.
func (r swept) givenUp() swept {
	r.problems = append(r.problems, fmt.Sprintf("given up after %d tries: %v", jobTries, r.err))
	r.counts, r.err = event.SweepCounts{Jobs: 1, Failed: 1}, nil
	return r
}

// erase erases a job, unless there is a reason to keep it.
func (s Sweeper) erase(ctx context.Context, result swept, p event.Project, keeper *retention.Keeper, job gitlab.Job, d event.Decision) swept {
	if !job.ErasedAt.IsZero() {
		result.counts.Before = 1
		return result
	}
	if len(job.Artifacts) == 0 {
		result.counts.Kept = 1 // there is no log
		return result
	}
	reason, err := keeper.Keeps(ctx, job, d.Action, s.GitLab.Now())
	if reason == "" && keeper.RefusesArchived(job) {
		reason = retention.Archived
	}
	switch {
	case err != nil:
		return result.failed(err)
	case reason != "":
		if reason == retention.NoFinish || reason == retention.Archived {
			result.problems = append(result.problems, reason)
		}
		result.counts.Kept = 1
		return result
	}
	if !d.DryRun {
		err := s.call(ctx, p, job, d)
		if keeper.Refused(job, err) {
			result.problems, result.counts.Kept = append(result.problems, retention.Archived), 1
			return result
		}
		if err != nil {
			return result.failed(err)
		}
	}
	result.counts.Erased, result.counts.Freed = 1, retention.SizeOf(job)
	return result
}

// call calls GitLab to erase a job. Where nobody knows whether that took
// effect, the job tells.
func (s Sweeper) call(ctx context.Context, p event.Project, job gitlab.Job, d event.Decision) error {
	_, err := pause.Gate{Rules: s.Rules, Pauses: s.Pauses}.Client(s.GitLab, d).Erase(ctx, p.ID, job.ID)
	if stop := (*pause.StopError)(nil); errors.As(err, &stop) && stop.Paused == nil {
		return errOtherRules // by which the run ends
	}
	var e *gitlab.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.MaybeDone() {
		if now, again := s.GitLab.Job(ctx, p.ID, job.ID); again == nil && !now.ErasedAt.IsZero() {
			return nil
		}
	}
	if e.Conflict() {
		return &unerasable{e} // GitLab counts sizes for minutes or hours: the next run comes by itself
	}
	return err
}

// unerasable is a refusal that passes, but not while a sweep waits.
type unerasable struct{ refusal *gitlab.Error }

func (u *unerasable) Error() string {
	return fmt.Sprintf("GitLab refused for now: %s (%d)", u.refusal.Message, u.refusal.Status)
}

// listed answers what the list of jobs tells without asking again.
type listed struct {
	facts.Reader
	job gitlab.Job
}

var _ rules.Facts = listed{}

// Details gives the job as the list has it.
func (l listed) Details(context.Context, event.Event) (event.Details, error) {
	return l.job.Details, nil
}

// sweepHold is how long a run holds it without a sign of life.
const sweepHold = 2 * time.Minute

// errSweeping is that another run of the rule is under way, or as many runs as
// may be.
var errSweeping = errors.New("other sweeps are under way")

// HoldSweep makes its owner the only one that runs the rule, until the returned
// function is called; nil: another one does. The returned context ends with ctx,
// and when another one has taken over.
func HoldSweep(ctx context.Context, c store.Claimer, rule, owner string) (held context.Context, release func(), err error) {
	return store.HoldClaim(ctx, c, keys.Sweep(rule), owner, sweepHold)
}

// sweep makes a run of a schedule rule, and tells what came of it.
func (r *Runner) sweep(ctx context.Context, l *worker.Lease, run event.Sweep) error {
	select {
	case r.sweepers <- struct{}{}:
		defer func() { <-r.sweepers }()
	default:
		return errSweeping
	}
	// Who leases the record after this one was killed goes on at once.
	held, release, err := HoldSweep(ctx, r.Guard, run.Rule, run.ID)
	if err != nil {
		return err
	}
	if release == nil {
		return errSweeping
	}
	defer release()
	s := Sweeper{
		GitLab: r.GitLab, Rules: r.Rules, Now: r.Now, Metrics: r.Metrics,
		Pauses: r.gate.Pauses, Queue: r.QueueDecisions, Room: r.Room,
		Save: func(ctx context.Context, run event.Sweep) error {
			return errors.Join(l.Keep(run), l.Extend(ctx))
		},
	}
	if err := s.Run(held, &run); err != nil {
		return errors.Join(err, l.Keep(run))
	}
	record, err := notify.OutcomeRecord(SweepOutcome(run, r.GitLab.Instance(), r.Now().UTC()))
	if err != nil {
		return err
	}
	return l.Done(ctx, record)
}

// sweepBacklog is how many records may be due while a sweep adds more.
const sweepBacklog = 1000

// Room gives an error that passes while the queue has no room for more of a
// sweep's decisions.
func (r *Runner) Room(ctx context.Context) error {
	depth, err := r.Queue.Depth(ctx)
	if err != nil || depth.Due < sweepBacklog {
		return err
	}
	return &queueFullError{}
}

// queueFullError passes.
type queueFullError struct{}

func (*queueFullError) Error() string {
	return fmt.Sprintf("%d records wait in the queue: the sweep goes on when `serve` has worked some off", sweepBacklog)
}

// Again implements what rules.Passes asks.
func (*queueFullError) Again() (after time.Duration, ok bool) { return 10 * time.Second, true }

// QueueDecisions queues decisions that were not made before, and gives how
// many those are.
func (r *Runner) QueueDecisions(ctx context.Context, decisions []event.Decision) (added int, err error) {
	return r.put(ctx, decisions, nil, nil)
}

// SweepOutcome is what there is to tell of a run that has ended.
func SweepOutcome(run event.Sweep, instance string, now time.Time) event.Outcome {
	o := event.Outcome{Result: event.ResultDone, Reason: run.String(), Freed: run.Freed, Sweep: run, At: now}
	o.Meta = event.Meta{Kind: event.KindSchedule, ID: run.ID, Source: event.SourceSchedule, Instance: instance, ReceivedAt: run.Began}
	o.ID, o.Key, o.Rule, o.DecidedAt = run.ID, run.ID, run.Rule, run.Began
	o.Action.Verb, o.DryRun = event.VerbErase, run.DryRun
	switch {
	case run.DryRun:
		o.Result = event.ResultDryRun
	case run.Erased == 0 && (run.Failed > 0 || run.Finished == 0 && len(run.Problems) > 0):
		o.Result = event.ResultFailed
	case run.Erased == 0 && len(run.Problems) == 0:
		o.Result = event.ResultSkipped // nobody needs to hear of a night without work
	}
	return o
}
