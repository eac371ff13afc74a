package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/breaker"
	"github.com/pipesteward/pipesteward/actions/budget"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// pending is a decision that waits to be carried out: the queue's record.
type pending struct {
	event.Decision
	// Try is how often the same was decided before and failed; After has the keys
	// with that.
	Try int `json:"try,omitzero"`
	// Due is when it was to be carried out, all that it waited for on purpose
	// left out of the time that Pipesteward took.
	Due time.Time `json:"due,omitzero"`
	// Waited is how long it was made to wait on purpose. Times of two replicas
	// are not compared for that: their clocks may be apart.
	Waited event.Duration `json:"waited,omitzero"`
	// Calm is which of its attempts ended with that for the last time.
	Calm int `json:"calm,omitzero"`
	// FailingSince is when GitLab began to fail in a way that passes.
	FailingSince time.Time `json:"failing_since,omitzero"`
	// PassWaited is how much of that it waited for the job before it to pass; the
	// time before that job could run, in a pause say, is left out.
	PassWaited event.Duration `json:"pass_waited,omitzero"`
	// LeftBehind is set when the job that must have passed before was seen to
	// have failed: then somebody may still retry it.
	LeftBehind bool `json:"left_behind,omitzero"`
	// Previously is why the job failed in the run before, where Pipesteward
	// retried that one.
	Previously string `json:"previously,omitzero"`
	// Ticket is the decision's place among those that wait for a breaker to close.
	breaker.Ticket
	// Grants is what the budgets have granted the decision.
	budget.Grants
	// Postponed is why the decision was deferred last.
	Postponed string `json:"postponed,omitzero"`
	// Freed is how many bytes an erase frees, and Runs how many runs the
	// pipeline had, as seen before the action is called.
	Freed int64 `json:"freed,omitzero"`
	Runs  int   `json:"runs,omitzero"`
	// Left is how often a pipeline was looked at since it was to be canceled.
	Left int `json:"left,omitzero"`
	// Canceled is what a cancel_outdated has canceled so far.
	Canceled []canceled `json:"canceled,omitempty"`
	// Called is saved before the action is called. It stays set while nobody
	// knows whether the call took effect: when the worker died, or when the
	// answer got lost. What is found then is put down to that call.
	Called bool `json:"called,omitzero"`

	seen     gitlab.Job       // the job that an erase is for, as seen now
	outdated []event.Pipeline // those that the decision's pipeline makes redundant, as seen now

	retried map[int64]bool // runs of the pipeline that have a newer one, as seen now
}

// A paused decision checks whether the pause has ended after a tenth of the time
// that it has waited, within these bounds.
const (
	minPauseCheck = time.Second
	maxPauseCheck = 10 * time.Second
)

// stopped returns the verdict on a decision whose action is stopped.
func stopped(s pause.Stop, p *pending) *verdict {
	switch {
	case s.Gone != "":
		return skipped("%s", s.Gone)
	case s.DryRun:
		return &verdict{result: event.ResultDryRun}
	}
	return postponed(min(max(minPauseCheck, time.Duration(p.Waited)/10), maxPauseCheck), "%s", s.Paused)
}

// A decision looks again and again whether those before it have ended: seldom
// where it has waited for long.
const (
	turnSoonest = time.Second
	turnLatest  = time.Minute
)

// decision carries a decision out and queues its outcome.
func (r *Runner) decision(ctx context.Context, l *worker.Lease, p pending) error {
	verb, ok := verbs[p.Action.Verb]
	if !ok {
		return &worker.DeadError{Reason: fmt.Sprintf("unknown action %q", p.Action.Verb)}
	}
	l.CountTriesAfter(p.Calm)
	v, err := r.ofThisGitLab(p.Event), error(nil)
	if v == nil {
		v, err = r.inTurn(ctx, &p)
	}
	if v == nil && err == nil {
		v, err = r.carryOut(ctx, l, verb, &p)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case event.Unavailable(err):
		p.Due, p.FailingSince, p.Calm = r.Now().UTC().Add(r.Health.Wait(err)), time.Time{}, l.Attempt()
		return errors.Join(err, l.Keep(p))
	case err != nil:
		if v = r.outOfPatience(&p, err); v == nil {
			return errors.Join(err, l.Keep(p))
		}
	case v.wait > 0:
		if err := r.sayPostponed(ctx, &p, v); err != nil {
			return err
		}
		p.Due, p.FailingSince = r.Now().UTC().Add(v.wait), time.Time{}
		p.Waited += event.Duration(v.wait)
		p.Calm = l.Attempt()
		return errors.Join(l.Keep(p), l.Defer(ctx, v.wait))
	}
	v = p.withCanceled(v)
	o := event.Outcome{
		Decision: p.Decision, Result: v.result, Reason: v.reason, NewJobID: v.newJobID, Freed: v.freed, At: r.Now().UTC(),
	}
	if v.result == event.ResultFailed {
		if err := r.noteFailed(ctx, p); err != nil {
			return err
		}
	}
	next, err := r.remember(ctx, o, v.newRun)
	if err != nil {
		return err
	}
	record, err := notify.OutcomeRecord(o)
	if err != nil {
		return err
	}
	return l.Done(ctx, append(next, record)...)
}

// sayPostponed says why the decision has to wait, once for each reason: in
// the journal, where its outcome stands later, and to those who want to hear
// of it.
func (r *Runner) sayPostponed(ctx context.Context, p *pending, v *verdict) error {
	if v.reason == "" || v.reason == p.Postponed {
		return nil
	}
	p.Postponed = v.reason
	o := event.Outcome{Decision: p.Decision, Result: event.ResultDeferred, Reason: v.reason, At: r.Now().UTC()}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := r.Journal.Amend(ctx, o.ID, body); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	reason := fnv.New64a()
	_, _ = reason.Write([]byte(v.reason))                          // never fails
	o.ID = fmt.Sprintf("%s:%s:%x", o.ID, o.Result, reason.Sum64()) // the decision's own outcome comes yet
	record, err := notify.OutcomeRecord(o)
	if err != nil {
		return err
	}
	_, err = r.Queue.Put(ctx, record)
	return err
}

// inTurn makes the decision wait until those before it have ended, and until
// the job that must have passed before has.
func (r *Runner) inTurn(ctx context.Context, p *pending) (*verdict, error) {
	if len(p.After) > 0 {
		before := make([]string, len(p.After))
		for i, key := range p.After {
			before[i] = keys.Decision(key, 0)
		}
		waits, err := r.Queue.Queued(ctx, before...)
		switch {
		case err != nil:
			return nil, err
		case waits:
			return deferred(min(max(turnSoonest, time.Duration(p.Waited)/10), turnLatest)), nil
		}
	}
	if p.AfterSuccess != "" && !p.Called && !p.DryRun {
		return r.passed(ctx, p)
	}
	return nil, nil
}

// outOfPatience gives up when GitLab has failed for too long, and else notes
// since when it fails.
func (r *Runner) outOfPatience(p *pending, err error) *verdict {
	now := r.Now().UTC()
	if p.FailingSince.IsZero() {
		p.FailingSince = now
	}
	switch {
	case now.Sub(p.FailingSince) < patience:
		return nil
	case p.Called:
		return failed("given up after %s; GitLab does not tell whether the call took effect: %v", event.Coarse(patience), err)
	}
	return failed("given up after %s: %v", event.Coarse(patience), err)
}

// carryOut holds the decision against the job's real state, and acts if that
// calls for it. An error means that all of it is to be repeated later.
func (r *Runner) carryOut(ctx context.Context, l *worker.Lease, verb verb, p *pending) (*verdict, error) {
	stop, err := r.gate.Check(ctx, p.Decision)
	switch {
	case err != nil:
		return nil, err
	case stop.Paused != nil, stop.Gone != "" && !p.Called:
		return stopped(stop, p), nil
	}
	if verb.act != nil && !stop.Any() {
		if err := r.GitLab.Writable(); err != nil {
			return nil, err
		}
	}
	if v, err := r.admit(ctx, verb, p, stop.Any()); v != nil || err != nil {
		return v, err
	}
	if stop.Any() {
		return stopped(stop, p), nil
	}
	earlier := p.Called // an earlier call may still be on its way
	p.Called = true
	if err := errors.Join(l.Keep(p), l.Extend(ctx)); err != nil {
		return nil, err
	}
	r.Metrics.latency.Observe((p.DecidedAt.Sub(p.Meta.ReceivedAt) + r.Now().Sub(p.Due)).Seconds())
	v, err := verb.act(ctx, r, r.gate.Client(r.GitLab, p.Decision), p)
	if err == nil {
		return v, nil
	}
	if stop := (*pause.StopError)(nil); errors.As(err, &stop) {
		p.Called = earlier
		return stopped(stop.Stop, p), nil
	}
	var e *gitlab.Error
	if !errors.As(err, &e) || e.MaybeDone() {
		return nil, err
	}
	p.Called = earlier
	return r.refused(ctx, verb, p, e)
}

// admit gives the verdict, nil when the action is called for and allowed.
// What may make it wait comes before the job's state where that costs GitLab
// nothing: an outage can make thousands wait.
// Where dry is set, the action is not called whatever the verdict, and
// nothing is spent for it.
func (r *Runner) admit(ctx context.Context, verb verb, p *pending, dry bool) (*verdict, error) {
	guarded := verb.retries && !p.Called && !dry
	if guarded {
		if v, err := r.deferForBreaker(ctx, p); v != nil || err != nil {
			return v, err
		}
		if p.Short != "" {
			if v, err := r.spend(ctx, p); v != nil || err != nil {
				return v, err
			}
		}
	}
	if v, err := r.observe(ctx, verb, p); v != nil || err != nil || !guarded {
		return v, err
	}
	if v, err := r.pipelineBudget(ctx, p); v != nil || err != nil {
		return v, err
	}
	return r.spend(ctx, p)
}

// deferForBreaker defers a retry while the breaker of its failure class is open,
// and then until its ticket is released.
func (r *Runner) deferForBreaker(ctx context.Context, p *pending) (*verdict, error) {
	retry := breaker.Retry{Key: p.Key, Classes: p.FailureClasses(), Pipeline: p.Pipeline.ID, Runner: p.Job.Runner}
	wait, reason, err := r.Breakers.Defer(ctx, retry, &p.Ticket)
	if err != nil || wait <= 0 {
		return nil, err
	}
	return postponed(wait, "%s", reason), nil
}

// pipelineBudget refuses a retry when its pipeline has had as many as
// `limits.per_pipeline` allows.
func (r *Runner) pipelineBudget(ctx context.Context, p *pending) (*verdict, error) {
	if p.Action.Verb == event.VerbRetryPipeline {
		return nil, nil // counted by observeRetryPipeline
	}
	ok, err := r.budgets.SpendPipeline(ctx, p.Decision, p.retried)
	if ok || err != nil {
		return nil, err
	}
	return skipped("the pipeline has had %s, as many as `limits.per_pipeline` allows", english.Plural(r.Rules().Limits().PerPipeline, "retry", "")), nil
}

// spend takes one from each of the retry's budgets, or defers it until its turn.
func (r *Runner) spend(ctx context.Context, p *pending) (*verdict, error) {
	wait, reason, err := r.budgets.Spend(ctx, p.Decision, &p.Grants)
	if err != nil || wait <= 0 {
		return nil, err
	}
	return postponed(wait, "%s", reason), nil
}

// observe reads the job's state. What GitLab refuses to tell for good is a
// verdict too.
func (r *Runner) observe(ctx context.Context, verb verb, p *pending) (*verdict, error) {
	v, err := verb.observe(ctx, r, p)
	if other := (*otherError)(nil); errors.As(err, &other) {
		return skipped("%s", other.reason), nil
	}
	err = r.freshness(p).Found(err)
	var e *gitlab.Error
	if err == nil || ctx.Err() != nil || event.Transient(err) || !errors.As(err, &e) {
		return v, err
	}
	return notObserved(p, e), nil
}
