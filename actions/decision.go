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
	// Called is saved before the action is called. It stays set while nobody
	// knows whether the call took effect: when the worker died, or when the
	// answer got lost. What is found then is put down to that call.
	Called bool `json:"called,omitzero"`
}

// verdict is what is to be said of a decision: a result, its reason, and the
// job that runs now where the action made one.
type verdict struct {
	result   string
	reason   string
	newJobID int64
}

func done(newJobID int64, format string, args ...any) *verdict {
	return &verdict{rules.ResultDone, fmt.Sprintf(format, args...), newJobID}
}

func skipped(format string, args ...any) *verdict {
	return &verdict{rules.ResultSkipped, fmt.Sprintf(format, args...), 0}
}

func failed(format string, args ...any) *verdict {
	return &verdict{rules.ResultFailed, fmt.Sprintf(format, args...), 0}
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

// decision carries a decision out and queues its outcome.
func (r *Runner) decision(ctx context.Context, h *held, p pending) error {
	verb, ok := verbs[p.Action.Verb]
	if !ok {
		return &unworkable{fmt.Sprintf("unknown action %q", p.Action.Verb)}
	}
	v, err := r.carryOut(ctx, h, verb, &p)
	if err != nil {
		if ctx.Err() != nil || r.Now().Sub(p.DecidedAt) < patience {
			return err
		}
		v = failed("given up after %s: %v", span(patience), err)
	}
	o := rules.Outcome{Decision: p.Decision, Result: v.result, Reason: v.reason, NewJobID: v.newJobID, At: r.Now().UTC()}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return h.done(ctx, store.Record{ID: "outcome:" + o.ID, Kind: rules.RecordOutcome, Body: body})
}

// carryOut holds the decision against the job's real state, and acts if that
// calls for it. An error means that all of it is to be repeated later.
func (r *Runner) carryOut(ctx context.Context, h *held, verb verb, p *pending) (*verdict, error) {
	if v, err := r.observe(ctx, verb, p); v != nil || err != nil {
		return v, err
	}
	if p.DryRun {
		return &verdict{result: rules.ResultDryRun, reason: "would " + p.Action.Verb + " the job"}, nil
	}
	earlier := p.Called // an earlier call may still be on its way
	p.Called = true
	if err := h.save(ctx, p); err != nil {
		return nil, err
	}
	r.Metrics.latency.Observe((r.Now().Sub(p.Meta.ReceivedAt) - p.Action.Wait(p.Job.Attempt)).Seconds())
	v, err := verb.act(ctx, r, p)
	if err == nil {
		return v, nil
	}
	var e *gitlab.Error
	if !errors.As(err, &e) || e.MaybeDone() {
		return nil, err
	}
	p.Called = earlier
	return r.refused(ctx, h, verb, p, e)
}

// observe reads the job's state. What GitLab refuses to tell for good is a
// verdict too.
func (r *Runner) observe(ctx context.Context, verb verb, p *pending) (*verdict, error) {
	v, err := verb.observe(ctx, r, p)
	var e *gitlab.Error
	switch {
	case err == nil || ctx.Err() != nil || passes(err) || !errors.As(err, &e):
		return v, err
	case e.Status == http.StatusNotFound:
		return skipped("the job, or its project, is gone or hidden from the token: %s", e.Message), nil
	}
	return failed("%s", reasonOf(e)), nil
}

// refused gives the verdict on a call that surely had no effect. Nothing is
// called again before the job's state was read: now where GitLab refused for
// good, since the reason is most often that somebody else was faster; at the
// next attempt where it may pass.
func (r *Runner) refused(ctx context.Context, h *held, verb verb, p *pending, e *gitlab.Error) (*verdict, error) {
	if passes(e) {
		return nil, errors.Join(h.save(ctx, p), e)
	}
	if v, err := r.observe(ctx, verb, p); v != nil || err != nil {
		return v, err
	}
	return failed("%s", reasonOf(e)), nil
}

// reasonOf words a final refusal for people, with what to do about it.
func reasonOf(e *gitlab.Error) string {
	if e.Rights() {
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
