package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// recordFollow is the kind of the record of a retry whose run failed while
// its event knew no rule that retries it again.
const recordFollow = "follow"

// followLook is how often it is looked whether somebody does.
const followLook = time.Minute

// followed is the body of such a record.
type followed struct {
	event.Outcome      // what there is to say, if nobody does
	Ended         bool `json:"ended,omitzero"` // the pipeline was seen to have ended
}

// remember keeps a retry's outcome under the run that it made, so that the
// event of that run's end finds it. A run that has ended already, seen after
// a crash, may have told so before: what follows from that is given.
func (r *Runner) remember(ctx context.Context, o event.Outcome, run event.Job) ([]store.Record, error) {
	if o.Action.Verb != event.VerbRetry || o.Result != event.ResultDone || o.NewJobID == 0 {
		return nil, nil
	}
	o.Pipeline.Jobs, o.Explanation = nil, event.Explanation{} // not needed, and large
	value, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if err := r.Guard.Set(ctx, keys.Retried(o.Meta.Instance, o.NewJobID), value, remembered); err != nil {
		return nil, fmt.Errorf("remember the retry: %w", err)
	}
	if run.Status != "success" && run.Status != "failed" {
		return nil, nil
	}
	e := o.Event
	e.Job.ID, e.Job.Status, e.Job.FailureReason, e.Job.Attempt = run.ID, run.Status, run.FailureReason, o.Job.Attempt+1
	return r.follow(e, nil, &o)
}

// retryOf gives the outcome of the retry that made the event's run, when that
// run has passed or failed; nil where Pipesteward did not make it.
func (r *Runner) retryOf(ctx context.Context, e event.Event) (*event.Outcome, error) {
	if e.Meta.Kind != event.KindJob || e.Job.Status != "success" && e.Job.Status != "failed" {
		return nil, nil
	}
	value, err := r.Guard.Get(ctx, keys.Retried(e.Meta.Instance, e.Job.ID))
	if err != nil || value == nil {
		return nil, err
	}
	before := &event.Outcome{}
	if err := json.Unmarshal(value, before); err != nil {
		return nil, fmt.Errorf("retry that made job %d: %w", e.Job.ID, err)
	}
	return before, nil
}

// follow says what became of a retry when the run that it made has ended: it
// passed, or it failed and nobody retries it again. Where a rule does, that
// one's outcome will tell; and whether GitLab or a rule for pipelines does is
// seen later.
func (r *Runner) follow(e event.Event, decisions []event.Decision, before *event.Outcome) ([]store.Record, error) {
	if before == nil {
		return nil, nil
	}
	o := event.Outcome{Decision: before.Decision, NewJobID: e.Job.ID, At: r.Now().UTC()}
	o.Event = e
	switch e.Job.Status {
	case "success":
		o.Result, o.Reason = event.ResultRecovered, fmt.Sprintf("attempt %d passed, after %s", e.Job.Attempt, before.Job.FailureReason)
	case "failed":
		for _, d := range decisions {
			if d.Job.ID == e.Job.ID && (d.Action.Verb == event.VerbRetry || d.Action.Verb == event.VerbRetryPipeline) {
				return nil, nil
			}
		}
		o.Result, o.Reason = event.ResultGaveUp, fmt.Sprintf("attempt %d failed again with %s, and no rule retries it", e.Job.Attempt, e.Job.FailureReason)
		if e.Job.FailureReason != before.Job.FailureReason {
			o.Reason = fmt.Sprintf("attempt %d failed for another reason: %s, before it was %s; no rule retries that", e.Job.Attempt, e.Job.FailureReason, before.Job.FailureReason)
		}
	}
	o.ID = fmt.Sprintf("%s:%s", before.ID, o.Result)
	if o.Result == event.ResultGaveUp {
		body, err := json.Marshal(followed{Outcome: o})
		return []store.Record{{ID: keys.Follow(o.ID), Kind: recordFollow, After: max(r.NativeRetry, turnSoonest), Body: body}}, err
	}
	record, err := notify.OutcomeRecord(o)
	return []store.Record{record}, err
}

// decided remembers that a rule retries the jobs of a pipeline event, which
// the events of the jobs themselves do not know of.
func (r *Runner) decided(ctx context.Context, decisions []event.Decision) error {
	for _, d := range decisions {
		if d.Meta.Kind != event.KindPipeline || d.DryRun {
			continue
		}
		for _, job := range d.Retries() {
			if err := r.Guard.Set(ctx, keys.Decided(d.Meta.Instance, job.ID), nil, remembered); err != nil {
				return fmt.Errorf("remember the decision: %w", err)
			}
		}
	}
	return nil
}

// lookAfter tells that a retried job failed again, unless somebody retries it:
// GitLab at once, a rule for pipelines when its pipeline has ended.
func (r *Runner) lookAfter(ctx context.Context, l *worker.Lease, f followed) error {
	decided, err := r.Guard.Get(ctx, keys.Decided(f.Meta.Instance, f.Job.ID))
	if err != nil {
		return err
	}
	again, ended, err := r.retriedAgain(ctx, f)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.waitsFor(err, f.At):
		return err
	case err == nil && (again || decided != nil):
		return l.Done(ctx)
	case err == nil && r.Rules().RetryPipelines() && !f.Ended && r.Now().Sub(f.At) < patience:
		f.Ended = ended
		return errors.Join(l.Keep(f), l.Defer(ctx, followLook))
	}
	record, err := notify.OutcomeRecord(f.Outcome)
	if err != nil {
		return err
	}
	return l.Done(ctx, record)
}

// retriedAgain reports whether the run has a newer one, and whether its
// pipeline has ended.
func (r *Runner) retriedAgain(ctx context.Context, f followed) (again, pipelineEnded bool, err error) {
	all, err := r.GitLab.PipelineJobs(ctx, f.Project.ID, f.Pipeline.ID, false)
	if err != nil {
		return false, false, err
	}
	pipelineEnded = true
	for _, job := range all {
		again = again || job.Name == f.Job.Name && job.ID > f.Job.ID
		pipelineEnded = pipelineEnded && (event.Ended(job.Status) || job.Status == "manual")
	}
	return again, pipelineEnded, nil
}
