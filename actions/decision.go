package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/common/model"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/store"
)

// pending is a decision that waits to be carried out: the queue's record.
type pending struct {
	rules.Decision
	// Due is when it was to be carried out, all that it waited for on purpose
	// left out of the time that Pipesteward took.
	Due time.Time `json:"due,omitzero"`
	// Waited is how long it was made to wait on purpose. Times of two replicas
	// are not compared for that: their clocks may be apart.
	Waited rules.Duration `json:"waited,omitzero"`
	// FailingSince is when GitLab began to fail in a way that passes.
	FailingSince time.Time `json:"failing_since,omitzero"`
	// Called is saved before the action is called. It stays set while nobody
	// knows whether the call took effect: when the worker died, or when the
	// answer got lost. What is found then is put down to that call.
	Called bool `json:"called,omitzero"`
}

// verdict is what is to be said of a decision: a result, its reason, the job
// that runs now where the action made one, and for a deferred decision how
// long it waits.
type verdict struct {
	result   string
	reason   string
	newJobID int64
	wait     time.Duration
}

func done(newJobID int64, format string, args ...any) *verdict {
	return &verdict{result: rules.ResultDone, reason: fmt.Sprintf(format, args...), newJobID: newJobID}
}

func skipped(format string, args ...any) *verdict {
	return &verdict{result: rules.ResultSkipped, reason: fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) *verdict {
	return &verdict{result: rules.ResultFailed, reason: fmt.Sprintf(format, args...)}
}

func deferred(wait time.Duration) *verdict {
	return &verdict{result: rules.ResultDeferred, wait: wait}
}

// verb is one thing that can be done to a job.
type verb struct {
	// observe reads the job's real state and gives the verdict, or nil when
	// the action is called for. It may correct what the decision says of the
	// job.
	observe func(ctx context.Context, r *Runner, p *pending) (*verdict, error)
	// act calls the action.
	act func(ctx context.Context, r *Runner, p *pending) (*verdict, error)
}

var verbs = map[string]verb{
	rules.VerbRetry:  {observeRetry, actRetry},
	rules.VerbPlay:   {observePlay, actPlay},
	rules.VerbCancel: {observeCancel, actCancel},
	rules.VerbErase:  {observeErase, actErase},
	rules.VerbNotify: {observeNotify, nil},
}

// observeNotify: a rule without actions only tells that it matched.
func observeNotify(_ context.Context, _ *Runner, p *pending) (*verdict, error) {
	if p.DryRun {
		return &verdict{result: rules.ResultDryRun, reason: "the rule matched"}, nil
	}
	return done(0, "the rule matched"), nil
}

// turn is how often a decision looks whether those before it have ended.
const turn = time.Second

// decision carries a decision out and queues its outcome.
func (r *Runner) decision(ctx context.Context, h *held, p pending) error {
	verb, ok := verbs[p.Action.Verb]
	if !ok {
		return &unworkable{fmt.Sprintf("unknown action %q", p.Action.Verb)}
	}
	v, err := r.inTurn(ctx, p)
	if v == nil && err == nil {
		v, err = r.carryOut(ctx, h, verb, &p)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		if v = r.outOfPatience(&p, err); v == nil {
			return errors.Join(err, h.keep(p))
		}
	case v.wait > 0:
		p.Due, p.FailingSince = r.Now().UTC().Add(v.wait), time.Time{}
		p.Waited += rules.Duration(v.wait)
		return errors.Join(h.keep(p), h.deferFor(ctx, v.wait))
	}
	o := rules.Outcome{Decision: p.Decision, Result: v.result, Reason: v.reason, NewJobID: v.newJobID, At: r.Now().UTC()}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return h.done(ctx, store.Record{ID: "outcome:" + o.ID, Kind: rules.RecordOutcome, Body: body})
}

// inTurn makes the decision wait until those before it have ended.
func (r *Runner) inTurn(ctx context.Context, p pending) (*verdict, error) {
	if len(p.After) == 0 {
		return nil, nil
	}
	before := make([]string, len(p.After))
	for i, key := range p.After {
		before[i] = recordID(key)
	}
	if waits, err := r.Queue.Queued(ctx, before...); err != nil || !waits {
		return nil, err
	}
	return deferred(turn), nil
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
		return failed("given up after %s; GitLab does not tell whether the call took effect: %v", span(patience), err)
	}
	return failed("given up after %s: %v", span(patience), err)
}

// carryOut holds the decision against the job's real state, and acts if that
// calls for it. An error means that all of it is to be repeated later.
func (r *Runner) carryOut(ctx context.Context, h *held, verb verb, p *pending) (*verdict, error) {
	if v, err := r.observe(ctx, verb, p); v != nil || err != nil {
		return v, err
	}
	if p.DryRun {
		return &verdict{result: rules.ResultDryRun}, nil
	}
	earlier := p.Called // an earlier call may still be on its way
	p.Called = true
	if err := errors.Join(h.keep(p), h.extend(ctx)); err != nil {
		return nil, err
	}
	r.Metrics.latency.Observe((p.DecidedAt.Sub(p.Meta.ReceivedAt) + r.Now().Sub(p.Due)).Seconds())
	v, err := verb.act(ctx, r, p)
	if err == nil {
		return v, nil
	}
	var e *gitlab.Error
	if !errors.As(err, &e) || e.MaybeDone() {
		return nil, err
	}
	p.Called = earlier
	return r.refused(ctx, verb, p, e)
}

// observe reads the job's state. What GitLab refuses to tell for good is a
// verdict too.
func (r *Runner) observe(ctx context.Context, verb verb, p *pending) (*verdict, error) {
	v, err := verb.observe(ctx, r, p)
	var e *gitlab.Error
	if err == nil || ctx.Err() != nil || rules.Passes(err) || !errors.As(err, &e) {
		return v, err
	}
	return failed("%s", reasonOf(e)), nil
}

// refused gives the verdict on a call that surely had no effect. Nothing is
// called again before the job's state was read: now where GitLab refused for
// good, since the reason is most often that somebody else was faster; at the
// next attempt where it may pass.
func (r *Runner) refused(ctx context.Context, verb verb, p *pending, e *gitlab.Error) (*verdict, error) {
	if rules.Passes(e) {
		return nil, e
	}
	if v, err := r.observe(ctx, verb, p); v != nil || err != nil {
		return v, err
	}
	return failed("%s", reasonOf(e)), nil
}

// reasonOf words a final refusal for people, with what to do about it.
func reasonOf(e *gitlab.Error) string {
	switch {
	case e.Status == http.StatusNotFound:
		return fmt.Sprintf("GitLab refused: %s: the job or its project is gone, or hidden from the token's user", e.Message)
	case e.Rights():
		return fmt.Sprintf("GitLab refused: %s (%d): check the token, its scope `api` and the rights of its user on the project and the ref", e.Message, e.Status)
	}
	return fmt.Sprintf("GitLab refused: %s (%d)", e.Message, e.Status)
}

// span words a time for people, like 45s, 2h30m or 90d.
func span(d time.Duration) string {
	if d > time.Hour {
		d = d.Truncate(time.Minute)
	}
	return model.Duration(d.Truncate(time.Second)).String()
}
