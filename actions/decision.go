package actions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pipesteward/pipesteward/actions/again"
	"github.com/pipesteward/pipesteward/actions/breaker"
	"github.com/pipesteward/pipesteward/actions/follow"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
)

// attempt is one attempt to carry out a decision.
type attempt struct {
	*pending
	verb  verb
	lease *worker.Lease
	stop  pause.Stop // why the action is stopped now, if it is

	breakers    []breaker.State // of a retry's failure classes
	confirmedBy event.Requester // zero: nobody must confirm it
}

// guard returns the verdict that ends or defers an attempt, nil if the attempt may go
// on. An error means that the whole attempt is repeated later.
type guard func(ctx context.Context, a *attempt) (*verdict, error)

// carryOut acts if no guard objects. The guards are checked in this order: those that
// may defer thousands of decisions, as in an outage, before those that cost requests
// to GitLab; budgets last, so that nothing takes from them that is not made.
func (r *Runner) carryOut(ctx context.Context, a *attempt) (*verdict, error) {
	for _, check := range []guard{
		r.exists,         // does the pipeline have a job of the name that the rule gives?
		r.fromThisGitLab, // is the event from the configured GitLab?
		r.notOwn,         // would it end the CI job that this process runs in?
		r.inTurn,         // have the decisions before it ended, and the job before it passed?
		r.standing,       // is it paused, or does no rule want it any more?
		r.writable,       // may the access token write?
		r.breakersClosed, // a retry: are the circuit breakers of its failure classes closed?
		r.budgetRegained, // a retry that waits for a budget: is it its turn?
		r.calledFor,      // does the job's real state call for the action?
		r.notDry,         // is it a dry run?
		r.confirmed,      // a play that a person must confirm: has somebody done so?
		r.entitled,       // a person requested or confirmed it: may they still do so?
		r.worthIt,        // a retry: have enough of such retries passed?
		r.pipelineBudget, // a retry: has its pipeline retries left?
		r.rateBudgets,    // a retry: have its class, its project and all projects retries left?
	} {
		if v, err := check(ctx, a); v != nil || err != nil {
			return v, err
		}
	}
	return r.act(ctx, a)
}

// act sends the request. The client waits for the rate limit; then pauses, dry runs and
// the rule are checked once more while it is saved that a request is about to be sent.
func (r *Runner) act(ctx context.Context, a *attempt) (*verdict, error) {
	earlier := a.Called // the effect of an earlier request may not be visible yet
	save := sync.OnceValue(func() error {
		a.Called = true
		return errors.Join(a.lease.Keep(a.pending), a.lease.Extend(ctx))
	})
	gated := r.GitLab.Gated(func(ctx context.Context) error {
		var saving errgroup.Group
		saving.Go(save)
		stopped := r.gate.Pass(ctx, a.Decision)
		return cmp.Or(saving.Wait(), stopped)
	})
	if a.Try == 0 && !a.Requested() { // else its event is old
		r.Metrics.Latency(a.DecidedAt.Sub(a.Meta.ReceivedAt) + r.Now().Sub(a.Due))
	}
	v, err := a.verb.act(ctx, r, gated.Recorded(a.recordCall(r.Now)), a.pending)
	if err == nil {
		return v, nil
	}
	if stop := (*pause.StopError)(nil); errors.As(err, &stop) {
		a.Called = earlier
		return a.stoppedBy(stop.Stop), nil
	}
	var e *apierror.Error
	if !errors.As(err, &e) || e.MaybeDone() {
		return nil, err
	}
	a.Called = earlier
	return r.refused(ctx, a, e)
}

// decision makes an attempt to carry out a decision. Its verdict defers the decision
// or ends it with an outcome, which is queued.
func (r *Runner) decision(ctx context.Context, l *worker.Lease, p pending) error {
	verb, ok := verbs[p.Action.Verb]
	if !ok {
		return &worker.DeadError{Reason: fmt.Sprintf("unknown action %q", p.Action.Verb)}
	}
	if l.Attempt() == 1 { // a person may have put it back into the queue
		p.DeferredAttempt, p.FailingSince = 0, time.Time{}
	}
	l.CountTriesAfter(p.DeferredAttempt)
	tracing.Decision(ctx, p.Decision)
	a := &attempt{pending: &p, verb: verb, lease: l}
	v, err := r.carryOut(ctx, a)
	a.recordFailedRead(err, r.Now)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case event.Unavailable(err):
		p.Due, p.FailingSince, p.DeferredAttempt = r.Now().UTC().Add(r.Health.Wait(err)), time.Time{}, l.Attempt()
		p.recordDeferral(err.Error(), r.Now())
		return errors.Join(err, l.Keep(p))
	case err != nil:
		if v = r.giveUp(&p, err); v == nil {
			return errors.Join(err, l.Keep(p))
		}
	case v.wait > 0:
		return r.deferDecision(ctx, a, v)
	}
	return r.end(ctx, a, p.withCanceled(v))
}

// end ends a decision with its outcome.
func (r *Runner) end(ctx context.Context, a *attempt, v *verdict) error {
	tracing.Outcome(ctx, v.result)
	o := event.Outcome{
		Decision: a.Decision, Result: v.result, Reason: v.reason, NewJobID: v.newJobID, Freed: v.freed, PassRate: a.PassRate, At: r.Now().UTC(),
	}
	if v.result == event.ResultGaveUp {
		o.Retried = a.Before
	}
	changes, err := r.retries.Retried(o, v.newRun)
	if err != nil {
		return err
	}
	if e, ended := follow.End(o, v.newRun); ended && e.Job.Status != "canceled" && r.Rules().Learns() {
		try, err := r.ledger.Of(o, e)
		if err != nil {
			return err
		}
		changes.Next = append(changes.Next, try)
	}
	if err := r.Confirms.End(ctx, &o, a.Progress, &changes); err != nil {
		return err
	}
	if v.result == event.ResultFailed {
		values, err := again.Values(a.Key, a.Meta.Instance, a.Try+1, r.Now())
		if err != nil {
			return err
		}
		changes.Values = append(changes.Values, values...)
	}
	return r.notifier.DoneWith(ctx, a.lease, o, changes)
}

// deferDecision defers a decision deliberately.
func (r *Runner) deferDecision(ctx context.Context, a *attempt, v *verdict) error {
	tracing.Outcome(ctx, event.ResultDeferred)
	now := r.Now().UTC()
	a.Due, a.FailingSince = now.Add(v.wait), time.Time{}
	a.recordDeferral(cmp.Or(v.reason, v.waits.Reason), now)
	if err := r.reportDeferral(ctx, a.pending, v); err != nil {
		return err
	}
	r.Log.DebugContext(ctx, "decision deferred", append(event.LogAttrs(a.Event), "rule", a.Rule, "action", a.Action.Verb, "decision", a.ID, "reason", cmp.Or(v.reason, v.waits.Reason), "wait", v.wait.String())...)
	a.Waited += event.Duration(v.wait)
	a.DeferredAttempt, a.Waits = a.lease.Attempt(), v.waits
	return errors.Join(a.lease.Keep(a.pending), a.lease.Defer(ctx, v.wait))
}

// reportDeferral reports why the decision is deferred, once for each reason: in the
// journal, where its outcome replaces that later, and to the receivers.
func (r *Runner) reportDeferral(ctx context.Context, p *pending, v *verdict) error {
	if v.reason == "" || v.reason == p.Postponed {
		return nil
	}
	p.Postponed = v.reason
	o := event.Outcome{Decision: p.Decision, Result: event.ResultDeferred, Reason: v.reason, WaitsFor: v.waits.For, At: r.Now().UTC()}
	body, err := json.Marshal(struct {
		event.Outcome
		Try int `json:"try,omitzero"` // as a pending decision has it: its record is found by it
	}{o, p.Try})
	if err != nil {
		return err
	}
	if err := r.Journal.Amend(ctx, o.ID, body); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	reason := fnv.New64a()
	_, _ = reason.Write([]byte(v.reason))                          // never fails
	o.ID = fmt.Sprintf("%s:%s:%x", o.ID, o.Result, reason.Sum64()) // the decision's own outcome comes later
	record, err := notify.OutcomeRecord(o)
	if err != nil {
		return err
	}
	_, err = r.Queue.Put(ctx, record)
	return err
}

// giveUp returns the verdict on a decision for which GitLab has failed for
// maxRetryTime; nil before that.
func (r *Runner) giveUp(p *pending, err error) *verdict {
	now := r.Now().UTC()
	if p.FailingSince.IsZero() {
		p.FailingSince = now
	}
	switch {
	case now.Sub(p.FailingSince) < maxRetryTime:
		return nil
	case p.Called:
		return failed("given up after %s; GitLab does not say whether the call took effect: %v", event.Coarse(maxRetryTime), err)
	}
	return failed("given up after %s: %v", event.Coarse(maxRetryTime), err)
}
