// Package follow follows retries: when the job that a retry made has ended, it queues
// the result, that the retried job recovered or that Pipesteward gave up. That it was
// canceled is no result: the outcome of the retry gets it.
package follow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// RecordKind is the kind of the record of a retry whose job was canceled, or failed without
// a decision on its event that retries it again.
const RecordKind = "follow"

const (
	// minDelay is the shortest time until the first check whether the job is retried
	// again, and checkEvery the time between the others.
	minDelay   = time.Second
	checkEvery = time.Minute
	// maxRetryTime is how long it is checked.
	maxRetryTime = 24 * time.Hour
	// maxEventTime is how long after the end of a job its event may come: that of a hook comes
	// in seconds, one that catch-up finds with its next rounds, and some never.
	maxEventTime = time.Hour
	// remembered is how long the store keeps retries: longer than a pipeline is worked
	// on.
	remembered = 7 * 24 * time.Hour
)

// Guard is the state that replicas share.
type Guard interface {
	Get(ctx context.Context, key string) ([]byte, error)
}

// Queue says what is in the queue.
type Queue interface {
	Queued(ctx context.Context, ids ...string) (bool, error)
}

// Journal changes its entries.
type Journal interface {
	// Change calls write with the entry of an outcome, changed, and with none if the entry has
	// expired. Changes to the same entry are made in turn; owner identifies one.
	Change(ctx context.Context, owner, outcome string, change func(*event.Outcome), write func([]store.Entry) error) error
}

// Retries follows retries. All fields but NativeRetry are required.
type Retries struct {
	Guard   Guard
	Queue   Queue
	Journal Journal
	GitLab  *gitlab.Client
	Rules   func() *rules.Rules // those in force
	Now     func() time.Time
	// NativeRetry is how long GitLab is given to retry a job by itself.
	NativeRetry time.Duration
	// MayWait reports whether a record that has waited since a time for the error to end
	// may wait longer.
	MayWait func(err error, since time.Time) bool
}

// Record is the body of that record.
type Record struct {
	event.Outcome      // of the retry, if the job is not retried again; without a result if it was canceled
	Ended         bool `json:"ended,omitzero"` // the pipeline was seen to have ended
	// Unheard is set where the job's end was not seen by its event, but by the retry itself:
	// what the rules decide then is known only when the event was evaluated.
	Unheard bool `json:"unheard,omitzero"`
}

// Retried returns the changes to make with the end of the decision of which o is the
// outcome. They save a retry's outcome under the job that the retry made, for the event of
// that job's end. The event of a job that has ended already, seen after a crash, may have
// come before: then the changes queue the records that follow from it. For other outcomes
// there are no changes.
func (r Retries) Retried(o event.Outcome, run event.Job) (c store.Changes, err error) {
	if o.Action.Verb != event.VerbRetry || o.Result != event.ResultDone || o.NewJobID == 0 {
		return c, nil
	}
	o.Pipeline.Jobs, o.Explanation, o.Deferrals, o.Calls = nil, event.Explanation{}, nil, nil // not needed, and large
	value, err := json.Marshal(o)
	if err != nil {
		return c, err
	}
	c.Values = []store.Value{{Key: keys.Retried(o.Meta.Instance, o.NewJobID), Value: value, TTL: remembered}}
	if e, ended := End(o, run); ended {
		result, err := r.result(e, &o, true)
		if err != nil {
			return c, err
		}
		c.Next, c.Values = result.Next, append(c.Values, result.Values...)
	}
	return c, nil
}

// End returns the event of the end of the job that a retry made, of which o is the outcome;
// ended is false if o is of something else, or the job has not ended.
func End(o event.Outcome, run event.Job) (e event.Event, ended bool) {
	if o.Action.Verb != event.VerbRetry || o.Result != event.ResultDone || o.NewJobID == 0 || !isEnd(run.Status) {
		return event.Event{}, false
	}
	e = o.Event
	e.Job.ID, e.Job.URL, e.Job.Attempt = run.ID, run.URL, o.Job.Attempt+1
	e.Job.Status, e.Job.FailureReason, e.Job.FailureClass = run.Status, run.FailureReason, run.FailureClass
	if run.Runner.ID != e.Job.Runner.ID { // else its tags are known, which the API does not show
		e.Job.Runner = run.Runner
	}
	e.Job.CreatedAt, e.Job.StartedAt, e.Job.FinishedAt, e.Job.Duration, e.Job.QueuedDuration = run.CreatedAt, run.StartedAt, run.FinishedAt, run.Duration, run.QueuedDuration
	return e, true
}

// isEnd reports whether a run of a job that a retry made has ended in a status.
func isEnd(status string) bool {
	return status == "success" || status == "failed" || status == "canceled"
}

// Load returns the outcome of the retry that made the event's job, if that job has ended;
// nil if Pipesteward did not make it.
func (r Retries) Load(ctx context.Context, e event.Event) (*event.Outcome, error) {
	if e.Meta.Kind != event.KindJob || !isEnd(e.Job.Status) {
		return nil, nil
	}
	value, err := r.Guard.Get(ctx, keys.Retried(e.Meta.Instance, e.Job.ID))
	if err != nil || value == nil {
		return nil, err
	}
	o := &event.Outcome{}
	if err := json.Unmarshal(value, o); err != nil {
		return nil, fmt.Errorf("retry that made job %d: %w", e.Job.ID, err)
	}
	return o, nil
}

// Result returns the changes that queue the result of a retry when the job that it made has
// ended: the job passed, or it failed and nobody retries it again. If a decision retries
// it, that one's outcome is the result; whether GitLab or a rule for pipelines retries it
// is checked later, by Handle. There are none if the result was queued before: the end of a
// run can be evaluated again when the store has forgotten the id of the result's record.
func (r Retries) Result(ctx context.Context, e event.Event, decisions []event.Decision, before *event.Outcome) (c store.Changes, err error) {
	if before == nil || e.Job.Status == "failed" && slices.ContainsFunc(decisions, func(d event.Decision) bool { return retries(d, e.Job.ID) }) {
		return c, nil
	}
	queued, err := r.Guard.Get(ctx, keys.RetryEnded(e.Meta.Instance, e.Job.ID))
	if err != nil || queued != nil {
		return c, err
	}
	return r.result(e, before, false)
}

// retries reports whether a decision runs a failed job again.
func retries(d event.Decision, job int64) bool {
	return slices.ContainsFunc(d.Retries(), func(j event.Job) bool { return j.ID == job })
}

// result returns the changes that queue the result of a retry that no decision known by now
// follows.
func (r Retries) result(e event.Event, before *event.Outcome, unheard bool) (store.Changes, error) {
	record, err := r.record(e, before, unheard)
	return store.Changes{
		Next:   []store.Record{record},
		Values: []store.Value{{Key: keys.RetryEnded(e.Meta.Instance, e.Job.ID), Value: []byte("1"), TTL: remembered}},
	}, err
}

// record returns the record of the result.
func (r Retries) record(e event.Event, before *event.Outcome, unheard bool) (store.Record, error) {
	o := event.Outcome{Decision: before.Decision, NewJobID: e.Job.ID, At: r.Now().UTC()}
	o.Event, o.Retried = e, event.RetriedRun(before.Job, e.Job)
	switch e.Job.Status {
	case "success":
		o.Result, o.Reason = event.ResultRecovered, fmt.Sprintf("attempt %d passed, after %s", e.Job.Attempt, before.Job.FailureReason)
	case "failed":
		o.Result, o.Reason = event.ResultGaveUp, fmt.Sprintf("attempt %d failed again with %s, and no rule retries it", e.Job.Attempt, e.Job.FailureReason)
		if e.Job.FailureReason != before.Job.FailureReason {
			o.Reason = fmt.Sprintf("attempt %d failed for another reason: %s, before it was %s; no rule retries that", e.Job.Attempt, e.Job.FailureReason, before.Job.FailureReason)
		}
	}
	o.ID = before.ID + idSuffix(o)
	if o.Result == event.ResultRecovered {
		return notify.OutcomeRecord(o)
	}
	body, err := json.Marshal(Record{Outcome: o, Unheard: unheard})
	return store.Record{ID: keys.Follow(o.ID), Kind: RecordKind, After: max(r.NativeRetry, minDelay), Body: body}, err
}

// idSuffix returns what the id of the result of a retry has behind that of the retry.
func idSuffix(o event.Outcome) string { return ":" + cmp.Or(o.Result, o.Job.Status) }

// Evaluated returns the values which say that the end of a retried job was evaluated, and
// which jobs the decisions on an event run again: whoever learns later that a job has failed
// knows by them whether a rule wants it retried.
func Evaluated(e event.Event, decisions []event.Decision, before *event.Outcome) (values []store.Value) {
	if e.Meta.Kind == event.KindJob && e.Job.Status == "failed" && (before != nil || e.Job.Attempt > 1) {
		values = append(values, store.Value{Key: keys.EndEvaluated(e.Meta.Instance, e.Job.ID), TTL: remembered})
	}
	for _, d := range decisions {
		if d.Meta.Kind == event.KindPipeline && d.DryRun {
			continue
		}
		for _, job := range d.Retries() {
			values = append(values, store.Value{Key: keys.Decided(d.Meta.Instance, job.ID), TTL: remembered})
		}
	}
	return values
}

// Handle queues the outcome of a retry whose job failed again, unless GitLab retries
// that by itself, at once, or a rule does, by the job's own event or when the pipeline has
// ended. Then no outcome of its own has how that run ended, and the retry's gets it. So it
// does if the job was canceled.
func (r Retries) Handle(ctx context.Context, l *worker.Lease, rec Record) error {
	if rec.Job.Status == "canceled" {
		return r.keepEnd(ctx, l, rec)
	}
	decided, err := r.Guard.Get(ctx, keys.Decided(rec.Meta.Instance, rec.Job.ID))
	if err != nil {
		return err
	}
	unheard, err := r.unheard(ctx, rec)
	if err != nil {
		return err
	}
	again, ended, err := r.retriedAgain(ctx, rec)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.MayWait(err, rec.At):
		return err
	case err == nil && (again || decided != nil):
		return r.keepEnd(ctx, l, rec)
	case err == nil && unheard:
		return l.Defer(ctx, checkEvery)
	case err == nil && r.Rules().RetryPipelines() && !rec.Ended && r.Now().Sub(rec.At) < maxRetryTime:
		rec.Ended = ended
		return errors.Join(l.Keep(rec), l.Defer(ctx, checkEvery))
	}
	record, err := notify.OutcomeRecord(rec.Outcome)
	if err != nil {
		return err
	}
	return l.Done(ctx, record)
}

// unheard reports whether the event of the job's end may still come.
func (r Retries) unheard(ctx context.Context, rec Record) (bool, error) {
	if !rec.Unheard || r.Now().Sub(rec.At) >= maxEventTime {
		return false, nil
	}
	evaluated, err := r.Guard.Get(ctx, keys.EndEvaluated(rec.Meta.Instance, rec.Job.ID))
	return evaluated == nil, err
}

// keepEnd ends the lease, and adds to the retry's outcome in the journal how the run ended
// that it started. It waits until that outcome is written.
func (r Retries) keepEnd(ctx context.Context, l *worker.Lease, rec Record) error {
	retry := strings.TrimSuffix(rec.ID, idSuffix(rec.Outcome))
	queued, err := r.Queue.Queued(ctx, keys.Outcome(retry))
	switch {
	case err != nil:
		return err
	case queued:
		return l.Defer(ctx, checkEvery)
	}
	ended := func(o *event.Outcome) { o.NewRun = rec.Job }
	return r.Journal.Change(ctx, l.ID(), retry, ended, func(amend []store.Entry) error {
		return l.DoneWith(ctx, store.Changes{Amend: amend})
	})
}

// retriedAgain reports whether the job has a newer run, and whether its pipeline has
// ended.
func (r Retries) retriedAgain(ctx context.Context, rec Record) (again, pipelineEnded bool, err error) {
	all, err := r.GitLab.PipelineJobs(ctx, rec.Project.ID, rec.Pipeline.ID, false)
	if err != nil {
		return false, false, err
	}
	pipelineEnded = true
	for _, job := range all {
		again = again || job.Name == rec.Job.Name && job.ID > rec.Job.ID
		pipelineEnded = pipelineEnded && (event.Ended(job.Status) || job.Status == "manual")
	}
	return again, pipelineEnded, nil
}
