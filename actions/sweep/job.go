package sweep

import (
	"context"
	"errors"
	"fmt"

	"github.com/pipesteward/pipesteward/actions/facts"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/retention"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// job evaluates the rule on one job, and carries out its decisions.
func (s Sweeper) job(ctx context.Context, inForce *rules.Rules, rule rules.Scheduled, p event.Project, keeper *retention.Keeper, job gitlab.Job) swept {
	result := swept{job: job.ID, counts: event.SweepCounts{Jobs: 1}}
	e, err := s.event(ctx, rule, p, keeper, job)
	if err != nil {
		return result.failed(err)
	}
	decisions, failed := inForce.EvaluateRule(ctx, rule.Name, e, listed{facts.Reader{GitLab: s.GitLab.WithBudget(maxRequests), Default: s.Default}, job})
	switch {
	case failed != nil && (event.Transient(failed) || ctx.Err() != nil):
		result.err = failed
		return result
	case failed != nil:
		if s.Metrics != nil {
			s.Metrics.RuleError(rule.Name)
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

// event returns the event of a job, on which the rule is evaluated.
func (s Sweeper) event(ctx context.Context, rule rules.Scheduled, p event.Project, keeper *retention.Keeper, job gitlab.Job) (event.Event, error) {
	e := s.GitLab.Event(job, event.SourceSchedule)
	e.Meta.Kind, e.Project = event.KindSchedule, p
	if !rule.ReadsProtected {
		return e, nil
	}
	var err error
	e.Pipeline.ProtectedRef, err = keeper.Protects(ctx, job.Ref, job.Tag)
	return e, err
}

// failed returns the result of a job after an error, which has none yet where the error is transient.
func (r swept) failed(err error) swept {
	var e *apierror.Error
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

// givenUp turns a transient error that has come too often into a problem.
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

// call requests GitLab to erase a job. Where it is unknown whether the request took
// effect, the job's state decides.
func (s Sweeper) call(ctx context.Context, p event.Project, job gitlab.Job, d event.Decision) error {
	_, err := pause.Gate{Rules: s.Rules, Pauses: s.Pauses}.Client(s.GitLab, d).Erase(ctx, p.ID, job.ID)
	if stop := (*pause.StopError)(nil); errors.As(err, &stop) && stop.Paused == nil {
		return errOtherRules // by which the run ends
	}
	var e *apierror.Error
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

// unerasable is a refusal that is transient, but lasts too long to wait for.
type unerasable struct{ refusal *apierror.Error }

func (u *unerasable) Error() string {
	return fmt.Sprintf("GitLab refused for now: %s (%d)", u.refusal.Message, u.refusal.Status)
}

// listed returns the details from the list of jobs, and reads the other facts from GitLab.
type listed struct {
	facts.Reader
	job gitlab.Job
}

var _ expression.Facts = listed{}

// Details returns the job as the list has it.
func (l listed) Details(context.Context, event.Event) (event.Details, error) {
	return l.job.Details, nil
}
