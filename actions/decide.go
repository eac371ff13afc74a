package actions

import (
	"context"
	"encoding/json"
	"errors"
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
	return r.putDecisions(ctx, &evaluation{decisions: decisions})
}

// queueDecisions is QueueDecisions as a step.
func (r *Runner) queueDecisions(ctx context.Context, ev *evaluation) error {
	_, err := r.putDecisions(ctx, ev)
	return err
}

// putDecisions puts the decisions into the queue and those that are new into the
// journal, and returns how many are new.
func (r *Runner) putDecisions(ctx context.Context, ev *evaluation) (added int, err error) {
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
			return 0, fmt.Errorf("decision %s: %w", d.Key, err)
		}
		records[i] = store.Record{
			ID: keys.Decision(d.Key, p.Try), Kind: event.RecordDecision, After: wait, Body: body,
			Note: &store.Entry{ID: d.ID, Body: body}, // its outcome replaces the body
		}
	}
	if len(records) == 0 {
		return 0, nil
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

// saveFailure saves that a decision has failed, so that it may be made again.
func (r *Runner) saveFailure(ctx context.Context, p pending) error {
	now := r.Now().UTC()
	value, err := json.Marshal(failures{p.Try + 1, now})
	if err != nil {
		return err
	}
	return errors.Join(
		r.Guard.Set(ctx, keys.Failed(p.Key), value, remembered),
		r.Guard.Set(ctx, keys.LastFailed(p.Meta.Instance), []byte(strconv.FormatInt(now.UnixNano(), 10)), remembered))
}
