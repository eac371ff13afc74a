package ownpipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
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
	Queued(ctx context.Context, ids ...string) (bool, error)
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
	ids := make([]string, len(events))
	records := make([]store.Record, len(events))
	for i, e := range events {
		body, err := json.Marshal(event.Record{Event: e})
		if err != nil {
			return Result{}, err
		}
		ids[i] = keys.Event(e.Meta.Instance, e.Meta.ID)
		records[i] = store.Record{ID: ids[i], Kind: event.RecordEvent, Body: body}
	}
	if _, err := r.Store.Put(ctx, records...); err != nil {
		return Result{}, err
	}
	deadline := r.Now().Add(r.AtMost)
	reported := 0
	for {
		r.Runner.WorkOff(ctx, r.Grace)
		result, err := r.result(context.WithoutCancel(ctx), ids)
		if err != nil || ctx.Err() != nil {
			return result, cmp.Or(err, ctx.Err())
		}
		if !r.worthWaiting(result, deadline) {
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
func (r *Run) worthWaiting(result Result, deadline time.Time) bool {
	if t, is := r.GitLab.Trouble(); is && t.Kind != apierror.TroubleDown || !r.Now().Before(deadline) {
		return false
	}
	if result.Unevaluated+result.Unnotified > 0 {
		return true
	}
	return slices.ContainsFunc(result.waiting(), func(e Entry) bool { return e.Due.Before(deadline) })
}

// waiting returns the decisions without a final outcome.
func (r Result) waiting() []Entry {
	return slices.DeleteFunc(slices.Clone(r.Entries), func(e Entry) bool { return !e.Waits() })
}

// result reads from the store what came of the events with these record ids so far.
func (r *Run) result(ctx context.Context, ids []string) (Result, error) {
	var result Result
	for _, id := range ids {
		queued, err := r.Store.Queued(ctx, id)
		if err != nil {
			return result, err
		}
		if queued {
			result.Unevaluated++
		}
	}
	for cursor := ""; ; {
		page, next, err := r.Store.Entries(ctx, cursor, 500)
		if err != nil {
			return result, err
		}
		for _, entry := range page {
			// Until its outcome replaces it, the entry of a decision has the body of its
			// record: see package actions.
			var e Entry
			if err := json.Unmarshal(entry.Body, &e); err != nil {
				return result, fmt.Errorf("journal entry %s: %w", entry.ID, err)
			}
			if n := len(e.Deferrals); n > 0 && e.Waits() {
				e.Due = e.Deferrals[n-1].Until
			}
			result.Entries = append(result.Entries, e)
			queued, err := r.Store.Queued(ctx, keys.Outcome(e.ID))
			if err != nil {
				return result, err
			}
			if queued {
				result.Unnotified++
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	slices.Reverse(result.Entries) // the journal has the newest first
	// Events are evaluated at the same time: the order of their decisions is made one.
	slices.SortStableFunc(result.Entries, func(a, b Entry) int { return cmp.Compare(a.Job.ID, b.Job.ID) })
	if t, is := r.GitLab.Trouble(); is {
		result.Trouble = whyUnusable(t)
	}
	return result, nil
}
