package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/again"
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
	for i, d := range decisions {
		wait := r.delay(d)
		p := newPending(d, ev.failures[d.Key], now, wait)
		p.After = make([]string, len(d.After))
		for i, key := range d.After {
			p.After[i] = keys.Again(key, ev.failures[key])
		}
		if ev.retry != nil && ev.retry.NewJobID == d.Job.ID {
			p.Before = event.RetriedRun(ev.retry.Job, d.Job)
		}
		var err error
		if records[i], err = p.record(wait); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// newPending returns a decision that is made now, after it has failed as often before, and
// that waits.
func newPending(d event.Decision, failures int, now time.Time, wait time.Duration) *pending {
	d.DecidedAt, d.ID = now, fmt.Sprintf("%s@%d", d.Key, now.UnixNano())
	p := &pending{Decision: d, Try: failures, Due: now.Add(wait), Waited: event.Duration(wait)}
	if wait > 0 {
		p.Waits = event.Wait{For: event.WaitDelay}
	}
	return p
}

// record returns the record of a new decision, due after wait, with its entry in the
// journal.
func (p *pending) record(wait time.Duration) (store.Record, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return store.Record{}, fmt.Errorf("decision %s: %w", p.Key, err)
	}
	return store.Record{
		ID: keys.Decision(p.Key, p.Try), Kind: event.RecordDecision, After: wait, Body: body,
		Note: &store.Entry{ID: p.ID, Body: body}, // its outcome replaces the body
	}, nil
}

// loadFailures loads how often the decisions have failed, if a person requested that
// failed ones are made again.
func (r *Runner) loadFailures(ctx context.Context, ev *evaluation) error {
	if ev.record.Again.IsZero() {
		return nil
	}
	ev.failures = map[string]int{}
	for _, d := range ev.decisions {
		failures, err := again.Load(ctx, r.Guard, d.Key)
		if err != nil {
			return err
		}
		if !failures.At.After(ev.record.Again) {
			ev.failures[d.Key] = failures.N
		}
		if d.AfterSuccess != "" && len(d.After) > 0 { // it was skipped when the one before it failed
			ev.failures[d.Key] = max(ev.failures[d.Key], ev.failures[d.After[0]])
		}
	}
	return nil
}

// Requested returns the record of a decision that a person requests, due at once, and its
// id in the journal.
func (r *Runner) Requested(d event.Decision) (record store.Record, id string, err error) {
	p := newPending(d, 0, r.Now().UTC(), 0)
	record, err = p.record(0)
	return record, p.ID, err
}

// Again returns the record of a decision that has failed and is made once more, due at once,
// and its new id. The record has the same id until the decision has failed again: so it is put
// once. All guards check it again.
func (r *Runner) Again(ctx context.Context, d event.Decision) (record store.Record, id string, err error) {
	failures, err := again.Load(ctx, r.Guard, d.Key)
	if err != nil {
		return store.Record{}, "", err
	}
	d.Deferrals, d.Calls = nil, nil // those of the earlier try
	p := newPending(d, failures.N, r.Now().UTC(), 0)
	p.Waited = event.Duration(r.delay(d)) // it has waited for that before
	record, err = p.record(0)
	return record, p.ID, err
}
