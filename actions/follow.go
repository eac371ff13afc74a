package actions

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/store"
)

func retriedKey(instance string, job int64) string {
	return fmt.Sprintf("retried:%s:%d", instance, job)
}

// remember keeps a retry's outcome under the run that it made, so that the
// event of that run's end finds it. A run that has passed already, seen after
// a crash, may have told so before: what follows from that is given.
func (r *Runner) remember(ctx context.Context, o rules.Outcome, status string) ([]store.Record, error) {
	if o.Action.Verb != rules.VerbRetry || o.Result != rules.ResultDone || o.NewJobID == 0 {
		return nil, nil
	}
	o.Pipeline.Jobs, o.Explanation = nil, rules.Explanation{} // not needed, and large
	value, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if err := r.Guard.Set(ctx, retriedKey(o.Meta.Instance, o.NewJobID), value, remembered); err != nil {
		return nil, fmt.Errorf("remember the retry: %w", err)
	}
	if status != "success" {
		return nil, nil
	}
	e := o.Event
	e.Job.ID, e.Job.Status, e.Job.Attempt = o.NewJobID, status, o.Job.Attempt+1
	return r.follow(e, nil, &o)
}

// retryOf gives the outcome of the retry that made the event's run, when that
// run has passed or failed; nil where Pipesteward did not make it.
func (r *Runner) retryOf(ctx context.Context, e rules.Event) (*rules.Outcome, error) {
	if e.Meta.Kind != rules.KindJob || e.Job.Status != "success" && e.Job.Status != "failed" {
		return nil, nil
	}
	value, err := r.Guard.Get(ctx, retriedKey(e.Meta.Instance, e.Job.ID))
	if err != nil || value == nil {
		return nil, err
	}
	before := &rules.Outcome{}
	if err := json.Unmarshal(value, before); err != nil {
		return nil, fmt.Errorf("retry that made job %d: %w", e.Job.ID, err)
	}
	return before, nil
}

// follow says what became of a retry when the run that it made has ended: it
// passed, or it failed and no rule retries it again. Where one does, its own
// outcome will tell.
func (r *Runner) follow(e rules.Event, decisions []rules.Decision, before *rules.Outcome) ([]store.Record, error) {
	if before == nil {
		return nil, nil
	}
	o := rules.Outcome{Decision: before.Decision, NewJobID: e.Job.ID, At: r.Now().UTC()}
	o.Event = e
	switch e.Job.Status {
	case "success":
		o.Result, o.Reason = rules.ResultRecovered, fmt.Sprintf("attempt %d passed, after %s", e.Job.Attempt, before.Job.FailureReason)
	case "failed":
		for _, d := range decisions {
			if d.Job.ID == e.Job.ID && (d.Action.Verb == rules.VerbRetry || d.Action.Verb == rules.VerbRetryPipeline) {
				return nil, nil
			}
		}
		o.Result, o.Reason = rules.ResultGaveUp, fmt.Sprintf("attempt %d failed again with %s, and no rule retries it", e.Job.Attempt, e.Job.FailureReason)
		if e.Job.FailureReason != before.Job.FailureReason {
			o.Reason = fmt.Sprintf("attempt %d failed for another reason: %s, before it was %s; no rule retries that", e.Job.Attempt, e.Job.FailureReason, before.Job.FailureReason)
		}
	}
	o.ID = fmt.Sprintf("%s:%s", before.ID, o.Result)
	record, err := outcomeRecord(o)
	return []store.Record{record}, err
}
