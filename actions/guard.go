package actions

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/dustin/go-humanize/english"
	"golang.org/x/sync/errgroup"

	"github.com/pipesteward/pipesteward/actions/breaker"
	"github.com/pipesteward/pipesteward/actions/confirm"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/jobstate"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// A deferred decision is checked again after a tenth of the time that it has waited,
// within these bounds.
const (
	minTurnCheck  = time.Second // for those that wait for the decisions before them
	maxTurnCheck  = time.Minute
	minPauseCheck = time.Second // for paused ones
	maxPauseCheck = 10 * time.Second
)

// limited reports whether the circuit breakers and the budgets apply: the action is a
// retry that this attempt may request for the first time.
func (a *attempt) limited() bool { return a.verb.retries && !a.Called && !a.stop.Any() }

// exists skips a decision about a job that the pipeline does not have.
func (r *Runner) exists(_ context.Context, a *attempt) (*verdict, error) {
	switch {
	case !a.Missing:
		return nil, nil
	case event.SupportsBridges(a.Action.Verb):
		return skipped("the pipeline has no job %q", a.Job.Name), nil
	}
	return skipped("the pipeline has no job %q, trigger jobs aside, because GitLab can't %s those", a.Job.Name, a.Action.Verb), nil
}

// inTurn defers the decision until the decisions before it have ended, and until the
// job before it has passed.
func (r *Runner) inTurn(ctx context.Context, a *attempt) (*verdict, error) {
	if len(a.After) > 0 {
		before := make([]string, len(a.After))
		for i, key := range a.After {
			before[i] = keys.Decision(key, 0)
		}
		queued, err := r.Queue.Queued(ctx, before...)
		switch {
		case err != nil:
			return nil, err
		case queued:
			return deferred(min(max(minTurnCheck, time.Duration(a.Waited)/10), maxTurnCheck), event.WaitTurn, "the action before it in its rule has not ended"), nil
		}
	}
	if a.AfterSuccess != "" && !a.Called && !a.DryRun {
		return r.passed(ctx, a.pending)
	}
	return nil, nil
}

// standing checks whether the action is stopped. It defers a paused decision, and skips one
// that no rule wants any more, unless its request may have taken effect. At the same time
// it loads the states of a retry's circuit breakers.
func (r *Runner) standing(ctx context.Context, a *attempt) (v *verdict, err error) {
	var loading errgroup.Group
	if a.verb.retries && !a.Called {
		loading.Go(func() (err error) {
			a.breakers, err = r.Breakers.States(ctx, a.FailureClasses())
			return err
		})
	}
	a.stop, err = r.gate.Check(ctx, a.Decision)
	if err = cmp.Or(err, loading.Wait()); err != nil {
		return nil, err
	}
	if a.stop.Paused != nil || a.stop.Gone != "" && !a.Called {
		return a.stoppedBy(a.stop), nil
	}
	return nil, nil
}

// stoppedBy returns the verdict on a decision whose action is stopped.
func (a *attempt) stoppedBy(s pause.Stop) *verdict {
	switch {
	case s.Gone != "":
		return skipped("%s", s.Gone)
	case s.DryRun:
		return &verdict{result: event.ResultDryRun, reason: confirm.InDryRun(a.Decision)}
	}
	return deferredBecause(min(max(minPauseCheck, time.Duration(a.Waited)/10), maxPauseCheck), event.WaitPause, s.Paused.String())
}

// writable returns an error while GitLab is known to refuse every write.
func (r *Runner) writable(_ context.Context, a *attempt) (*verdict, error) {
	if a.verb.act == nil || a.stop.Any() {
		return nil, nil
	}
	return nil, r.GitLab.Writable()
}

// breakersClosed defers a retry while the breaker of one of its failure classes is
// open, and then until its ticket is released.
func (r *Runner) breakersClosed(ctx context.Context, a *attempt) (*verdict, error) {
	if !a.limited() {
		return nil, nil
	}
	return r.deferForBreaker(ctx, a.pending, a.breakers)
}

// deferForBreaker defers a retry while the breaker of its failure class is open, and
// then until its ticket is released.
func (r *Runner) deferForBreaker(ctx context.Context, p *pending, breakers []breaker.State) (*verdict, error) {
	retry := breaker.Retry{Key: p.Key, Breakers: breakers, Pipeline: p.Pipeline.ID, Runner: p.Job.Runner}
	wait, reason, err := r.Breakers.Defer(ctx, retry, &p.Ticket)
	if err != nil || wait <= 0 {
		return nil, err
	}
	return deferredBecause(wait, event.WaitStorm, reason), nil
}

// budgetRegained defers a retry that waits for a budget until its turn. The others
// take from the budgets after GitLab has shown the job's state.
func (r *Runner) budgetRegained(ctx context.Context, a *attempt) (*verdict, error) {
	if a.Short == "" {
		return nil, nil
	}
	return r.rateBudgets(ctx, a)
}

// calledFor reads the job's real state, and ends the decision unless that calls for
// the action. A final refusal of GitLab to show the state is a verdict too.
func (r *Runner) calledFor(ctx context.Context, a *attempt) (*verdict, error) {
	v, err := a.verb.observe(ctx, r, a.pending)
	if other := (*jobstate.OtherObjectError)(nil); errors.As(err, &other) {
		return skipped("%s", other.Reason), nil
	}
	err = r.states.Freshness(a.Decision).Found(err)
	var e *apierror.Error
	if err == nil || ctx.Err() != nil || event.Transient(err) || !errors.As(err, &e) {
		return v, err
	}
	return unobservable(a.pending, e), nil
}

// notDry ends a dry run, and a decision that no rule wants any more.
func (r *Runner) notDry(_ context.Context, a *attempt) (*verdict, error) {
	if a.stop.Any() {
		return a.stoppedBy(a.stop), nil
	}
	return nil, nil
}

// confirmed defers a play until the person who must confirm it has done so, or ends it.
func (r *Runner) confirmed(ctx context.Context, a *attempt) (*verdict, error) {
	c, err := r.Confirms.Check(ctx, a.Decision, a.Try, time.Duration(a.Waited), &a.Progress)
	if err != nil || c.Confirmed {
		a.confirmedBy = c.By
		return nil, err
	}
	return &verdict{result: c.Result, reason: c.Reason, wait: c.Wait, waits: c.Waits}, nil
}

// worthIt skips a retry when so few of such retries have passed that its rule does not want
// it, but for a probe.
func (r *Runner) worthIt(ctx context.Context, a *attempt) (*verdict, error) {
	if !a.limited() {
		return nil, nil
	}
	v, err := r.ledger.Judge(ctx, a.Decision)
	if err != nil {
		return nil, err
	}
	a.PassRate, a.Probe = v.Figures, v.Probe
	if v.Low && !v.Probe {
		return skipped("%s", v.Figures), nil
	}
	return nil, nil
}

// errNoRights is the error of a server that can't find out what people may do.
var errNoRights = errors.New("what the person may do who wanted it can't be found out: this server has no --slack-token")

// errBusy is the error of a decision that must wait because as many records as may be wait
// for Slack.
var errBusy = &worker.LaterError{Err: errors.New("as many calls to Slack are in progress as may be"), After: time.Second}

// entitled skips a decision that a person requested or confirmed who may no longer do so:
// rights may have changed while it waited. The decisions of rules are those of nobody.
func (r *Runner) entitled(ctx context.Context, a *attempt) (*verdict, error) {
	by := a.confirmedBy
	if a.Requested() {
		by = a.By
	}
	switch {
	case by == (event.Requester{}):
		return nil, nil
	case r.Rights == nil:
		return nil, errNoRights
	case !a.lease.EnterSlowLane():
		return nil, errBusy
	}
	refusal, err := r.Rights.Lost(ctx, by, a.Decision)
	if err != nil || refusal == "" {
		return nil, err
	}
	return skipped("%s may not do this any more, and would read: %s", cmp.Or(by.Name, by.UserID), refusal), nil
}

// pipelineBudget skips a retry when its pipeline has had as many as
// `limits.per_pipeline` allows.
func (r *Runner) pipelineBudget(ctx context.Context, a *attempt) (*verdict, error) {
	if !a.limited() || a.Action.Verb == event.VerbRetryPipeline { // whose verb counts them
		return nil, nil
	}
	ok, err := r.Budgets.SpendPipeline(ctx, a.Decision, a.retried)
	if ok || err != nil {
		return nil, err
	}
	return skipped("the pipeline has had %s, as many as `limits.per_pipeline` allows", english.Plural(r.Rules().Limits().PerPipeline, "retry", "")), nil
}

// rateBudgets takes one from each budget of the retry, or defers the retry until its
// turn.
func (r *Runner) rateBudgets(ctx context.Context, a *attempt) (*verdict, error) {
	if !a.limited() {
		return nil, nil
	}
	wait, reason, err := r.Budgets.Spend(ctx, a.Decision, &a.Grants)
	if err != nil || wait <= 0 {
		return nil, err
	}
	return deferredBecause(wait, event.WaitBudget, reason), nil
}
