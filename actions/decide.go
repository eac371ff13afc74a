package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// QueueDecisions queues the decisions that were not made before, each due after its
// delay, and returns how many those are.
func (r *Runner) QueueDecisions(ctx context.Context, decisions []event.Decision) (added int, err error) {
	records, err := r.decisionRecords(&evaluation{decisions: decisions})
	if err != nil || len(records) == 0 {
		return 0, err
	}
	isNew, err := r.Queue.Put(ctx, records...)
	if err != nil {
		return 0, err
	}
	for _, yes := range isNew {
		if yes {
			added++
		}
	}
	return added, nil
}

// addDecisions adds the decisions to what is queued when the event is done.
func (r *Runner) addDecisions(_ context.Context, ev *evaluation) error {
	records, err := r.decisionRecords(ev)
	ev.changes.Next = append(ev.changes.Next, records...)
	return err
}

// decisionRecords returns the records of the decisions, with their entries in the
// journal. The store ignores those of decisions that were made before.
func (r *Runner) decisionRecords(ev *evaluation) ([]store.Record, error) {
	now, decisions := r.Now().UTC(), ev.decisions
	records := make([]store.Record, len(decisions))
	for i := range decisions {
		d := &decisions[i]
		d.DecidedAt, d.ID = now, fmt.Sprintf("%s@%d", d.Key, now.UnixNano())
		wait := r.delay(*d)
		p := pending{Decision: *d, Try: ev.failures[d.Key], Due: now.Add(wait), Waited: event.Duration(wait)}
		p.After = make([]string, len(d.After))
		for i, key := range d.After {
			p.After[i] = keys.Again(key, ev.failures[key])
		}
		if ev.retry != nil && ev.retry.NewJobID == d.Job.ID {
			p.Previously = ev.retry.Job.FailureReason
		}
		body, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("decision %s: %w", d.Key, err)
		}
		records[i] = store.Record{
			ID: keys.Decision(d.Key, p.Try), Kind: event.RecordDecision, After: wait, Body: body,
			Note: &store.Entry{ID: d.ID, Body: body}, // its outcome replaces the body
		}
	}
	return records, nil
}

// loadFailures loads how often the decisions have failed, if a person requested that
// failed ones are made again.
func (r *Runner) loadFailures(ctx context.Context, ev *evaluation) error {
	if ev.record.Again.IsZero() {
		return nil
	}
	ev.failures = map[string]int{}
	for _, d := range ev.decisions {
		value, err := r.Guard.Get(ctx, keys.Failed(d.Key))
		if err != nil {
			return err
		}
		var failures failures
		if json.Unmarshal(value, &failures) == nil && !failures.At.After(ev.record.Again) {
			ev.failures[d.Key] = failures.N
		}
		if d.AfterSuccess != "" && len(d.After) > 0 { // it was skipped when the one before it failed
			ev.failures[d.Key] = max(ev.failures[d.Key], ev.failures[d.After[0]])
		}
	}
	return nil
}

// failures counts the failures of a decision.
type failures struct {
	N  int       `json:"n"`
	At time.Time `json:"at"` // of the last one
}

// failedOnce returns the values which say that a decision has failed once more, so that
// it may be made again.
func (r *Runner) failedOnce(p *pending) ([]store.Value, error) {
	now := r.Now().UTC()
	value, err := json.Marshal(failures{p.Try + 1, now})
	return []store.Value{
		{Key: keys.Failed(p.Key), Value: value, TTL: remembered},
		{Key: keys.LastFailed(p.Meta.Instance), Value: []byte(strconv.FormatInt(now.UnixNano(), 10)), TTL: remembered},
	}, err
}
