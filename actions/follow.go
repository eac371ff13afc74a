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

// recordFollow is the kind of the record of a retry whose job failed, and whose job's
// event made no decision that retries it again.
const recordFollow = "follow"

// followEvery is the time between two checks whether the job is retried again.
const followEvery = time.Minute

// followed is the body of that record.
type followed struct {
	event.Outcome      // of the retry, if the job is not retried again
	Ended         bool `json:"ended,omitzero"` // the pipeline was seen to have ended
}

// saveRetry saves a retry's outcome under the job that the retry made, for the event of
// that job's end. The event of a job that has ended already, seen after a crash, may have
// come before: saveRetry returns the records that follow from it.
func (r *Runner) saveRetry(ctx context.Context, o event.Outcome, run event.Job) ([]store.Record, error) {
	if o.Action.Verb != event.VerbRetry || o.Result != event.ResultDone || o.NewJobID == 0 {
		return nil, nil
	}
	o.Pipeline.Jobs, o.Explanation = nil, event.Explanation{} // not needed, and large
	value, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if err := r.Guard.Set(ctx, keys.Retried(o.Meta.Instance, o.NewJobID), value, remembered); err != nil {
		return nil, fmt.Errorf("save the retry: %w", err)
	}
	if run.Status != "success" && run.Status != "failed" {
		return nil, nil
	}
	e := o.Event
	e.Job.ID, e.Job.Status, e.Job.FailureReason, e.Job.Attempt = run.ID, run.Status, run.FailureReason, o.Job.Attempt+1
	return r.retryResult(e, nil, &o)
}

// loadRetry loads the outcome of the retry that made the event's job, when that job has
// passed or failed.
func (r *Runner) loadRetry(ctx context.Context, ev *evaluation) error {
	e := ev.event
	if e.Meta.Kind != event.KindJob || e.Job.Status != "success" && e.Job.Status != "failed" {
		return nil
	}
	value, err := r.Guard.Get(ctx, keys.Retried(e.Meta.Instance, e.Job.ID))
	if err != nil || value == nil {
		return err
	}
	ev.retry = &event.Outcome{}
	if err := json.Unmarshal(value, ev.retry); err != nil {
		return fmt.Errorf("retry that made job %d: %w", e.Job.ID, err)
	}
	return nil
}

// followRetry queues the result of the retry that made the event's job.
func (r *Runner) followRetry(_ context.Context, ev *evaluation) (err error) {
	ev.next, err = r.retryResult(ev.event, ev.decisions, ev.retry)
	return err
}

// retryResult returns the records of what became of a retry when the job that it made
// has ended: the job passed, or it failed and nobody retries it again. If a decision
// retries it, that one's outcome is the result; whether GitLab or a rule for pipelines
// retries it is checked later, by checkRetried.
func (r *Runner) retryResult(e event.Event, decisions []event.Decision, before *event.Outcome) ([]store.Record, error) {
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
		return []store.Record{{ID: keys.Follow(o.ID), Kind: recordFollow, After: max(r.NativeRetry, minTurnCheck), Body: body}}, err
	}
	record, err := notify.OutcomeRecord(o)
	return []store.Record{record}, err
}

// saveRetriedJobs saves that a rule for pipelines retries jobs: the events of the jobs
// themselves make no such decision.
func (r *Runner) saveRetriedJobs(ctx context.Context, ev *evaluation) error {
	for _, d := range ev.decisions {
		if d.Meta.Kind != event.KindPipeline || d.DryRun {
			continue
		}
		for _, job := range d.Retries() {
			if err := r.Guard.Set(ctx, keys.Decided(d.Meta.Instance, job.ID), nil, remembered); err != nil {
				return fmt.Errorf("save the decision: %w", err)
			}
		}
	}
	return nil
}

// checkRetried queues the outcome of a retry whose job failed again, unless GitLab retries
// that by itself, at once, or a rule for pipelines does, when the pipeline has ended.
func (r *Runner) checkRetried(ctx context.Context, l *worker.Lease, f followed) error {
	decided, err := r.Guard.Get(ctx, keys.Decided(f.Meta.Instance, f.Job.ID))
	if err != nil {
		return err
	}
	again, ended, err := r.retriedAgain(ctx, f)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.mayWait(err, f.At):
		return err
	case err == nil && (again || decided != nil):
		return l.Done(ctx)
	case err == nil && r.Rules().RetryPipelines() && !f.Ended && r.Now().Sub(f.At) < maxRetryTime:
		f.Ended = ended
		return errors.Join(l.Keep(f), l.Defer(ctx, followEvery))
	}
	record, err := notify.OutcomeRecord(f.Outcome)
	if err != nil {
		return err
	}
	return l.Done(ctx, record)
}

// retriedAgain reports whether the job has a newer run, and whether its pipeline has
// ended.
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
