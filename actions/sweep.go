package actions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
)

// A sweep carries a schedule rule through its projects, page by page of their
// jobs, newest first. Erases are called at once, and told as a sum; whatever
// else the rule wants goes into the queue as the decision that it is. How far
// it came is saved after each page, and a page that was cut short is repeated:
// what was erased in it shows in the jobs.

// Sweeper makes runs of schedule rules.
type Sweeper struct {
	GitLab *gitlab.Client
	Rules  *rules.Rules
	Now    func() time.Time
	// Queue takes decisions that are no erases, and gives how many were not
	// made before; nil: they are counted only.
	Queue func(ctx context.Context, decisions []rules.Decision) (added int, err error)
	// Room gives an error that passes while the queue has no room for more
	// decisions; nil: there always is.
	Room func(ctx context.Context) error
	// Save keeps how far the run is. It is called after each page.
	Save func(ctx context.Context, run rules.Sweep) error
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
	rules.SweepCounts
}

const (
	// sweepers is how many sweeps a process makes at the same time.
	sweepers = 2
	// erasing is how many jobs of a sweep are looked at at the same time.
	erasing = 16
	// refusals in a row, on one page and with no success, make a sweep leave a
	// project.
	refusals = 10
)

// Run makes the run, or goes on with it. When it returns nil, the run has
// ended. An error is one that passes, or ctx's: then run says where to go on.
func (s Sweeper) Run(ctx context.Context, run *rules.Sweep) error {
	all := s.Rules.Scheduled()
	i := slices.IndexFunc(all, func(other rules.Scheduled) bool { return other.Name == run.Rule })
	if i < 0 {
		run.Problem("", 0, "there is no schedule rule of this name any more")
		return nil
	}
	rule := all[i]
	run.DryRun = rule.DryRun
	s.GitLab = s.GitLab.Sweeping()
	if run.Began.IsZero() {
		run.Began = s.Now().UTC()
	}
	projects, problems, err := Projects(ctx, s.GitLab, rule.Schedule.Projects)
	if err != nil {
		return err
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
			run.Place = rules.SweepPlace{Project: p.ID}
		}
		s.watch(SweepStep{Project: p.Path, Position: i + 1, Projects: len(projects)})
		err := s.project(ctx, run, rule, p, SweepStep{Project: p.Path, Position: i + 1, Projects: len(projects)})
		switch {
		case err != nil && (ctx.Err() != nil || rules.Passes(err)):
			return err
		case err != nil:
			run.Problem(p.Path, 0, err.Error())
		}
		run.Place = rules.SweepPlace{Project: p.ID, Done: true}
		run.Finished++
		if err := s.Save(ctx, *run); err != nil {
			return err
		}
	}
	run.Place = rules.SweepPlace{}
	run.Sort()
	return nil
}

func (s Sweeper) watch(step SweepStep) {
	if s.Watch != nil {
		s.Watch(step)
	}
}

// project sweeps the jobs of a project.
func (s Sweeper) project(ctx context.Context, run *rules.Sweep, rule rules.Scheduled, p rules.Project, step SweepStep) error {
	keeper := newKeeper(s.GitLab, p.ID)
	for {
		if s.Room != nil && rule.Queues {
			if err := s.Room(ctx); err != nil {
				return err
			}
		}
		jobs, next, err := s.GitLab.JobsPage(ctx, p.ID, run.Place.Cursor, rule.Schedule.Scope...)
		var refused *gitlab.Error
		if errors.As(err, &refused) && unseen(err) {
			return fmt.Errorf("GitLab refuses to list the jobs: %s (%d)", refused.Message, refused.Status)
		}
		if err != nil {
			return err
		}
		if err := s.page(ctx, run, rule, p, keeper, jobs, step); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		run.Place = rules.SweepPlace{Project: p.ID, Cursor: next}
		if err := s.Save(ctx, *run); err != nil {
			return err
		}
	}
}

// swept is what came of one job.
type swept struct {
	job      int64
	counts   rules.SweepCounts
	problems []string
	refused  bool // by GitLab
	err      error
}

// errLeave ends the sweep of a project in which GitLab refuses everything.
var errLeave = errors.New("GitLab refuses job after job: the rest of the project is left out; erasing needs the role Maintainer")

// page looks at the jobs of a page. Of one that is cut short, it counts what
// the repetition will not see any more.
func (s Sweeper) page(ctx context.Context, run *rules.Sweep, rule rules.Scheduled, p rules.Project, keeper *keeper, jobs []gitlab.Job, step SweepStep) error {
	work, stop := outliving(ctx, callGrace)
	defer stop()
	var mu sync.Mutex
	var all []swept
	broken := false
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
			result := s.job(work, rule, p, keeper, job)
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

	err := ctx.Err()
	for _, result := range all {
		err = cmp.Or(err, result.err)
	}
	var counts rules.SweepCounts
	refused := 0
	for _, result := range all {
		changed := result.counts.Erased+result.counts.Queued+result.counts.Failed > 0
		if result.err != nil || err != nil && !changed {
			continue
		}
		counts.Add(result.counts)
		for _, problem := range result.problems {
			run.Problem(p.Path, result.job, problem)
		}
		if result.refused {
			refused++
		}
		if err != nil {
			run.Place.Seen = append(run.Place.Seen, result.job)
		}
	}
	run.Count(p, counts)
	s.count(rule, counts)
	if err == nil && refused >= refusals && counts.Erased == 0 {
		return errLeave
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
func (s Sweeper) count(rule rules.Scheduled, counts rules.SweepCounts) {
	if s.Metrics == nil {
		return
	}
	result := rules.ResultDone
	if rule.DryRun {
		result = rules.ResultDryRun
	} else {
		s.Metrics.freed.Add(float64(counts.Freed))
	}
	s.Metrics.decisions.WithLabelValues(rule.Name, rules.VerbErase, result).Add(float64(counts.Erased))
	s.Metrics.decisions.WithLabelValues(rule.Name, rules.VerbErase, rules.ResultFailed).Add(float64(counts.Failed))
}

// job asks the rule about one job, and does what it wants.
func (s Sweeper) job(ctx context.Context, rule rules.Scheduled, p rules.Project, keeper *keeper, job gitlab.Job) swept {
	result := swept{job: job.ID, counts: rules.SweepCounts{Jobs: 1}}
	e, err := s.event(ctx, rule, p, keeper, job)
	if err != nil {
		return result.failed(err)
	}
	decisions, failed := s.Rules.EvaluateRule(ctx, rule.Name, e, listed{Facts{s.GitLab.WithBudget(maxRequests)}, job})
	switch {
	case failed != nil && (rules.Passes(failed) || ctx.Err() != nil):
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
	var others []rules.Decision
	for _, d := range decisions {
		if d.Action.Verb != rules.VerbErase {
			others = append(others, d)
			continue
		}
		if result = s.erase(ctx, result, p, keeper, job, d); result.err != nil {
			return result
		}
	}
	if len(others) > 0 {
		result.counts.Queued = 1
	}
	if len(others) > 0 && s.Queue != nil {
		added, err := s.Queue(ctx, others)
		if err != nil {
			result.err = err
		}
		result.counts.Queued = min(added, 1)
	}
	return result
}

// event makes of a job the event that the rule is asked about.
func (s Sweeper) event(ctx context.Context, rule rules.Scheduled, p rules.Project, keeper *keeper, job gitlab.Job) (rules.Event, error) {
	e := s.GitLab.Event(job, rules.SourceSchedule)
	e.Meta.Kind, e.Project = rules.KindSchedule, p
	if !rule.AsksProtected {
		return e, nil
	}
	var err error
	e.Pipeline.ProtectedRef, err = keeper.protects(ctx, job.Ref, job.Tag)
	return e, err
}

// failed makes of an error what came of the job: nothing yet where it passes.
func (r swept) failed(err error) swept {
	var e *gitlab.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), rules.Passes(err):
		r.err = err
		return r
	case errors.As(err, &e):
		r.refused = true
		r.problems = append(r.problems, fmt.Sprintf("GitLab refused: %s (%d)", e.Message, e.Status))
	default:
		_, r.refused = errors.AsType[*unerasable](err)
		r.problems = append(r.problems, err.Error())
	}
	r.counts.Failed = 1
	return r
}

// erase erases a job, unless there is a reason to keep it.
func (s Sweeper) erase(ctx context.Context, result swept, p rules.Project, keeper *keeper, job gitlab.Job, d rules.Decision) swept {
	if !job.ErasedAt.IsZero() {
		result.counts.Before = 1
		return result
	}
	if len(job.Artifacts) == 0 {
		result.counts.Kept = 1 // there is no log
		return result
	}
	reason, err := keeper.keeps(ctx, job, d.Action, s.Now())
	switch {
	case err != nil:
		return result.failed(err)
	case reason != "":
		if reason == noFinish || reason == archived {
			result.problems = append(result.problems, reason)
		}
		result.counts.Kept = 1
		return result
	}
	if !d.DryRun {
		if err := s.call(ctx, p, job); err != nil {
			return result.failed(err)
		}
	}
	result.counts.Erased, result.counts.Freed = 1, sizeOf(job)
	return result
}

// call calls GitLab to erase a job. Where nobody knows whether that took
// effect, the job tells.
func (s Sweeper) call(ctx context.Context, p rules.Project, job gitlab.Job) error {
	_, err := s.GitLab.Erase(ctx, p.ID, job.ID)
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
	Facts
	job gitlab.Job
}

var _ rules.Facts = listed{}

// Details gives the job as the list has it.
func (l listed) Details(context.Context, rules.Event) (rules.Details, error) {
	return l.job.Details, nil
}

// sweepClaim is the key that a rule's run holds, so that there is one.
func sweepClaim(rule string) string { return "sweep:" + rule }

// sweepHold is how long a run holds it without a sign of life.
const sweepHold = 2 * time.Minute

// errSweeping is that another run of the rule is under way, or as many runs as
// may be.
var errSweeping = errors.New("other sweeps are under way")

// HoldSweep makes the run with this id the only one of its rule until the
// returned function is called; nil: there is another one.
func HoldSweep(ctx context.Context, g Guard, run rules.Sweep) (release func(), err error) {
	key := sweepClaim(run.Rule)
	held, err := g.Claim(ctx, key, run.ID, sweepHold)
	if err != nil || !held {
		return nil, err
	}
	done := make(chan struct{})
	var renewing sync.WaitGroup
	renewing.Go(func() {
		ticker := time.NewTicker(sweepHold / 4)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				_, _ = g.Claim(ctx, key, run.ID, sweepHold) // again at the next tick
			}
		}
	})
	return func() {
		close(done)
		renewing.Wait()
		_ = g.Release(context.WithoutCancel(ctx), key, run.ID) // else it runs out
	}, nil
}

// sweep makes a run of a schedule rule, and tells what came of it.
func (r *Runner) sweep(ctx context.Context, h *held, run rules.Sweep) error {
	select {
	case r.sweepers <- struct{}{}:
		defer func() { <-r.sweepers }()
	default:
		return errSweeping
	}
	release, err := HoldSweep(ctx, r.Guard, run)
	if err != nil {
		return err
	}
	if release == nil {
		return errSweeping
	}
	defer release()
	s := Sweeper{
		GitLab: r.GitLab, Rules: r.Rules(), Now: r.Now, Metrics: r.Metrics,
		Queue: r.QueueDecisions, Room: r.roomForSweep,
		Save: func(ctx context.Context, run rules.Sweep) error {
			return errors.Join(h.keep(run), h.extend(ctx))
		},
	}
	if err := s.Run(ctx, &run); err != nil {
		return errors.Join(err, h.keep(run))
	}
	record, err := outcomeRecord(SweepOutcome(run, r.GitLab.Instance(), r.Now().UTC()))
	if err != nil {
		return err
	}
	return h.done(ctx, record)
}

// sweepBacklog is how many records may be due while a sweep adds more.
const sweepBacklog = 1000

// roomForSweep keeps sweeps from filling the queue faster than it is worked
// off.
func (r *Runner) roomForSweep(ctx context.Context) error {
	depth, err := r.Queue.Depth(ctx)
	if err != nil || depth.Due < sweepBacklog {
		return err
	}
	return &queueFullError{}
}

// queueFullError passes.
type queueFullError struct{}

func (*queueFullError) Error() string {
	return fmt.Sprintf("%d records wait in the queue: the sweep goes on when they are fewer", sweepBacklog)
}

// Again implements what rules.Passes asks.
func (*queueFullError) Again() (after time.Duration, ok bool) { return 10 * time.Second, true }

// QueueDecisions queues decisions that were not made before, and gives how
// many those are.
func (r *Runner) QueueDecisions(ctx context.Context, decisions []rules.Decision) (added int, err error) {
	return r.put(ctx, decisions, nil)
}

// SweepOutcome is what there is to tell of a run that has ended.
func SweepOutcome(run rules.Sweep, instance string, now time.Time) rules.Outcome {
	o := rules.Outcome{Result: rules.ResultDone, Reason: run.String(), Freed: run.Freed, Sweep: run, At: now}
	o.Meta = rules.Meta{Kind: rules.KindSchedule, ID: run.ID, Source: rules.SourceSchedule, Instance: instance, ReceivedAt: run.Began}
	o.ID, o.Key, o.Rule, o.DecidedAt = run.ID, run.ID, run.Rule, run.Began
	o.Action.Verb, o.DryRun = rules.VerbErase, run.DryRun
	switch {
	case run.DryRun:
		o.Result = rules.ResultDryRun
	case run.Erased == 0 && (run.Failed > 0 || run.Finished == 0 && len(run.Problems) > 0):
		o.Result = rules.ResultFailed
	case run.Erased == 0 && len(run.Problems) == 0:
		o.Result = rules.ResultSkipped // nobody needs to hear of a night without work
	}
	return o
}
