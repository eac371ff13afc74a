// Package steer is for people who look at the queue of a running server and change it: it
// says what a record is about and why it waits, puts dead records back, has failed
// decisions made again, and drops records.
package steer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/audit"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// Store is the part of the store that a Steerer uses.
type Store interface {
	audit.Store
	Find(ctx context.Context, id string) (*store.QueuedRecord, *store.DeadRecord, error)
	Requeue(ctx context.Context, id string, c store.Changes) error
	Drop(ctx context.Context, id string, c store.Changes) error
	Entry(ctx context.Context, id string) (*store.Entry, error)
}

// Maker makes decisions again.
type Maker interface {
	// Again returns the record of a decision that has failed and is made once more, and its
	// new id. The record's id is the same until that has failed, too.
	Again(ctx context.Context, d event.Decision) (record store.Record, id string, err error)
}

// Steerer changes the queue for people. Who does so is recorded in the same step, see package
// audit. All fields are required.
type Steerer struct {
	Store Store
	Maker Maker
	Now   func() time.Time
	Log   *slog.Logger
}

// Requeue puts a dead record back into the queue, or has a decision that failed made
// again, by its id in the journal. Errors are event.ErrNoRecord, an *event.StateError, and
// those of the store.
func (s *Steerer) Requeue(ctx context.Context, id string, actor event.Actor) (requeued event.Requeued, err error) {
	err = s.make(ctx, actor.Change(event.ChangeRequeue, id), func(record store.Changes) error {
		requeued, err = s.requeue(ctx, id, record)
		return err
	})
	if err != nil {
		return event.Requeued{}, err
	}
	log := s.Log
	if requeued.Decision != "" {
		log = log.With("decision", requeued.Decision)
	}
	log.WarnContext(ctx, "requeued", "record", id, "by", actor.By)
	return requeued, nil
}

// make makes a change with its record.
func (s *Steerer) make(ctx context.Context, c event.Change, write func(record store.Changes) error) error {
	return audit.Log{Store: s.Store, Now: s.Now}.Make(ctx, c, write)
}

// requeue is Requeue in one step with changes.
func (s *Steerer) requeue(ctx context.Context, id string, c store.Changes) (event.Requeued, error) {
	switch err := s.Store.Requeue(ctx, id, c); {
	case err == nil:
		return event.Requeued{ID: id}, nil
	case errors.Is(err, store.ErrQueued):
		return event.Requeued{}, &event.StateError{Reason: "the record is in the queue already, and is worked on when it is due"}
	case !errors.Is(err, store.ErrNotFound):
		return event.Requeued{}, err
	}
	o, err := s.outcome(ctx, id)
	if err != nil {
		return event.Requeued{}, err
	}
	if reason := final(o); reason != "" {
		return event.Requeued{}, &event.StateError{Reason: reason}
	}
	again, decision, err := s.Maker.Again(ctx, o.Decision)
	if err != nil {
		return event.Requeued{}, err
	}
	c.Next = append(c.Next, again)
	if err := s.Store.Change(ctx, c); errors.Is(err, store.ErrKnown) {
		return event.Requeued{}, &event.StateError{Reason: fmt.Sprintf("the decision was made again already since it failed: see `pipesteward decisions --project %d`", o.Project.ID)}
	} else if err != nil {
		return event.Requeued{}, err
	}
	return event.Requeued{ID: id, Decision: decision}, nil
}

// outcome returns the decision with the id as the journal has it.
func (s *Steerer) outcome(ctx context.Context, id string) (o event.Outcome, err error) {
	entry, err := s.Store.Entry(ctx, id)
	switch {
	case err != nil:
		return o, err
	case entry == nil:
		return o, event.ErrNoRecord
	}
	if err := json.Unmarshal(entry.Body, &o); err != nil {
		return o, fmt.Errorf("journal entry %s: %w", id, err)
	}
	return o, nil
}

// final returns why a decision can't be made again; "" if it can.
func final(o event.Outcome) string {
	switch {
	case o.Sweep.ID != "":
		return "this is the run of a schedule rule: `pipesteward sweep` makes another one"
	case o.Result == "", o.Result == event.ResultDeferred:
		return "the decision waits in the queue, and is carried out when it is due"
	case o.Result != event.ResultFailed:
		return fmt.Sprintf("the outcome of the decision is %s: only a decision that failed can be requeued", o.Result)
	case o.Key == "":
		return "the journal has no key of the decision"
	}
	return ""
}

// Drop removes a record from the queue, or a dead record. If it is a decision, its outcome
// is that it is skipped, by whom and for which reason. Errors are as those of Requeue.
func (s *Steerer) Drop(ctx context.Context, id string, actor event.Actor) error {
	err := s.make(ctx, actor.Change(event.ChangeDrop, id), func(record store.Changes) error {
		return s.drop(ctx, id, actor, record)
	})
	switch {
	case errors.Is(err, store.ErrLeased):
		return &event.StateError{Reason: "the record is leased: a worker carries it out now; try again when it waits or is dead"}
	case errors.Is(err, store.ErrNotFound):
		return event.ErrNoRecord
	case err != nil:
		return err
	}
	s.Log.WarnContext(ctx, "dropped", "record", id, "by", actor.By, "reason", actor.Reason)
	return nil
}

// drop removes a record, in one step with changes.
func (s *Steerer) drop(ctx context.Context, id string, actor event.Actor, c store.Changes) error {
	queued, dead, err := s.Store.Find(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case queued != nil:
		c.Amend, err = s.dropped(queued.Kind, queued.Body, actor)
	case dead != nil:
		c.Amend, err = s.dropped(dead.Kind, dead.Body, actor)
	}
	if err != nil {
		return err
	}
	return s.Store.Drop(ctx, id, c)
}

// dropped returns the entries of the journal about a record that is dropped.
func (s *Steerer) dropped(kind string, body []byte, actor event.Actor) ([]store.Entry, error) {
	if kind != event.RecordDecision {
		return nil, nil
	}
	var d event.Decision
	if err := json.Unmarshal(body, &d); err != nil || d.ID == "" {
		return nil, nil //nolint:nilerr // it may be dead because it can't be read
	}
	o := event.Outcome{Decision: d, Result: event.ResultSkipped, Reason: "dropped from the queue", At: s.Now().UTC()}
	if actor.By != "" {
		o.Reason += " by " + actor.By
	}
	if actor.Reason != "" {
		o.Reason += ": " + actor.Reason
	}
	outcome, err := json.Marshal(o)
	return []store.Entry{{ID: o.ID, Body: outcome}}, err
}
