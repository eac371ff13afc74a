package ownpipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/availability"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Store is the part of the store that a run uses.
type Store interface {
	Put(ctx context.Context, records ...store.Record) ([]bool, error)
	Records(ctx context.Context, cursor string, n int) ([]store.QueuedRecord, string, error)
	Wait(ctx context.Context, atMost time.Duration) error
	Entries(ctx context.Context, cursor string, n int) ([]store.Entry, string, error)
}

// Runner works on the records of the store.
type Runner interface {
	// WorkOff works until no record is due and none is in flight.
	WorkOff(ctx context.Context, grace time.Duration)
}

// GitLab is asked whether it can be used.
type GitLab interface {
	Trouble() (t availability.Trouble, ok bool)
}

// Run applies the rules to events. All fields but Waiting are required. The store is of
// this run alone.
type Run struct {
	Store   Store
	Runner  Runner
	GitLab  GitLab
	Now     func() time.Time
	Grace   time.Duration // for records in flight when ctx ends
	AtMost  time.Duration // how long decisions are waited for that are not due yet
	Waiting func(left []Entry)
}

// Apply queues the events and works until all decisions have their outcome, or those that
// have none are due later than AtMost from now. It returns what came of it also together
// with ctx's error.
func (r *Run) Apply(ctx context.Context, events []event.Event) (Result, error) {
	records := make([]store.Record, len(events))
	for i, e := range events {
		body, err := json.Marshal(event.Record{Event: e})
		if err != nil {
			return Result{}, err
		}
		records[i] = store.Record{ID: keys.Event(e.Meta.Instance, e.Meta.ID), Kind: event.RecordEvent, Body: body}
	}
	if _, err := r.Store.Put(ctx, records...); err != nil {
		return Result{}, err
	}
	deadline := r.Now().Add(r.AtMost)
	reported := 0
	for {
		r.Runner.WorkOff(ctx, r.Grace)
		result, next, err := r.result(context.WithoutCancel(ctx))
		if err != nil || ctx.Err() != nil {
			return result, cmp.Or(err, ctx.Err())
		}
		if !r.worthWaiting(next, deadline) {
			return result, nil
		}
		if left := result.waiting(); len(left) != reported && r.Waiting != nil {
			reported = len(left)
			r.Waiting(left)
		}
		if err := r.Store.Wait(ctx, deadline.Sub(r.Now())); err != nil && ctx.Err() == nil {
			return result, err
		}
	}
}

// whyUnusable says why GitLab can't be used, and what to do about it.
func whyUnusable(t availability.Trouble) string {
	return fmt.Sprintf("%s: %s", t.Reason, t.Advice())
}

// worthWaiting reports whether something that has not ended may end before the deadline.
func (r *Run) worthWaiting(next, deadline time.Time) bool {
	if t, is := r.GitLab.Trouble(); is && t.Kind != apierror.TroubleDown {
		return false
	}
	return !next.IsZero() && next.Before(deadline) && r.Now().Before(deadline)
}

// waiting returns the decisions without a final outcome.
func (r Result) waiting() []Entry {
	return slices.DeleteFunc(slices.Clone(r.Entries), func(e Entry) bool { return !e.Waits() })
}

// result reads from the store what came of the events so far, and when the next of what
// has not ended is due; zero if all has ended.
func (r *Run) result(ctx context.Context) (result Result, next time.Time, err error) {
	queued := map[string]queuedDecision{} // by id
	for record, err := range all(ctx, r.Store.Records) {
		if err != nil {
			return result, next, err
		}
		switch record.Kind {
		case event.RecordEvent:
			result.Unevaluated++
		case event.RecordOutcome:
			result.Unnotified++
		case event.RecordNotice:
			result.Unnotified++
			var d struct{ Blocked json.RawMessage }
			if json.Unmarshal(record.Body, &d) == nil && d.Blocked != nil {
				continue // a person must mend something first, such as invite the bot
			}
		case event.RecordDecision:
			d := queuedDecision{due: record.Due}
			if err := json.Unmarshal(record.Body, &d); err != nil {
				return result, next, fmt.Errorf("record %s: %w", record.ID, err)
			}
			queued[d.ID] = d
		default: // such as what follows retries, in a service
			continue
		}
		if next.IsZero() || record.Due.Before(next) {
			next = record.Due
		}
	}
	for entry, err := range all(ctx, r.Store.Entries) {
		if err != nil {
			return result, next, err
		}
		var e Entry
		if err := json.Unmarshal(entry.Body, &e.Outcome); err != nil {
			return result, next, fmt.Errorf("journal entry %s: %w", entry.ID, err)
		}
		if d, waits := queued[e.ID]; waits {
			e.Due, e.Reason = d.due, cmp.Or(e.Reason, d.Waits.Reason)
		}
		result.Entries = append(result.Entries, e)
	}
	slices.Reverse(result.Entries) // the journal has the newest first
	// Events are evaluated at the same time: the order of their decisions is made one.
	slices.SortStableFunc(result.Entries, func(a, b Entry) int { return cmp.Compare(a.Job.ID, b.Job.ID) })
	if t, is := r.GitLab.Trouble(); is {
		result.Trouble = whyUnusable(t)
	}
	return result, next, nil
}

// queuedDecision is what the body of a decision's record has about its wait.
type queuedDecision struct {
	ID    string     `json:"id"`
	Waits event.Wait `json:"waits"`
	due   time.Time
}

// page is how many items of a list are read at once.
const page = 500

// all returns the items of all pages of a list, up to the first error.
func all[T any](ctx context.Context, list func(ctx context.Context, cursor string, n int) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			items, next, err := list(ctx, cursor, page)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor = next; cursor == "" {
				return
			}
		}
	}
}
