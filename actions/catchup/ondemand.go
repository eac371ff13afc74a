package catchup

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// lastKept is how long the last round that a person requested is kept.
	lastKept = 7 * 24 * time.Hour
	// onTheWay is how long a request may take that reaches back as far as is allowed.
	onTheWay = time.Minute
	// maxProblems is how many problems of such a round are kept.
	maxProblems = 100
)

// CheckSince returns an error if a person requests events since a time in the future, or
// further back than maxAge: beyond that, decisions are not remembered and would be made
// twice. The error says what is wrong with the time, which its reader names.
func CheckSince(since time.Time, maxAge time.Duration, now time.Time) error {
	switch oldest := now.Add(-maxAge); {
	case since.After(now):
		return errors.New("is in the future")
	case since.Before(oldest):
		return fmt.Errorf("is before %s, as far as --catch-up-max-age (%s) reaches back; that may be 72h at most, for as long as actions are remembered",
			oldest.UTC().Format(time.RFC3339), maxAge)
	}
	return nil
}

// OnDemand makes the rounds that people request of a running server, in the background:
// one at a time across all replicas, which share what the last one found.
type OnDemand struct {
	finder   *Finder
	busy     atomic.Bool
	requests chan request
}

// request is a round that is to begin; started receives whether it has.
type request struct {
	round   event.CatchUp
	started chan error
}

// NewOnDemand returns an OnDemand whose rounds are like those of f.
func NewOnDemand(f *Finder) *OnDemand {
	return &OnDemand{finder: f, requests: make(chan request)}
}

// Run makes the rounds that are requested, until ctx is done. One that is under way then
// ends with an error.
func (d *OnDemand) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-d.requests:
			d.round(ctx, r)
			d.busy.Store(false)
		}
	}
}

// Start begins a round with the Since and the DryRun of the request, and returns it with
// its id while it is under way. Besides those of the store, its errors are a
// *event.RequestError about Since, and a *event.StateError while another round is under
// way, here or on another replica.
func (d *OnDemand) Start(ctx context.Context, requested event.CatchUp) (event.CatchUp, error) {
	now := d.finder.Now().UTC()
	if oldest := now.Add(-d.finder.MaxAge); !requested.Since.IsZero() && oldest.Sub(requested.Since) < onTheWay {
		requested.Since = later(requested.Since, oldest)
	}
	if !requested.Since.IsZero() {
		if err := CheckSince(requested.Since, d.finder.MaxAge, now); err != nil {
			return event.CatchUp{}, &event.RequestError{Reason: err.Error()}
		}
	}
	requested.ID, requested.Began = rand.Text(), now
	if !d.busy.CompareAndSwap(false, true) {
		return event.CatchUp{}, errUnderWay
	}
	r := request{requested, make(chan error, 1)}
	select {
	case <-ctx.Done():
		d.busy.Store(false)
		return event.CatchUp{}, ctx.Err()
	case d.requests <- r:
	}
	select {
	case <-ctx.Done():
		return event.CatchUp{}, ctx.Err()
	case err := <-r.started:
		if errors.Is(err, ErrRunning) {
			err = errUnderWay
		}
		return requested, err
	}
}

var errUnderWay = &event.StateError{Reason: "a round of catch-up is under way, on this replica or on another one: request it again when that has ended"}

// Last returns the last round that was requested of any replica; nil if there is none, or
// if the process that made it died.
func (d *OnDemand) Last(ctx context.Context) (*event.CatchUp, error) {
	value, err := d.finder.Store.Get(ctx, keys.LastCatchUp)
	if err != nil || len(value) == 0 {
		return nil, err
	}
	var last event.CatchUp
	if err := json.Unmarshal(value, &last); err != nil {
		return nil, fmt.Errorf("the last round of catch-up can't be read: %w", err)
	}
	return &last, nil
}

// round makes a round, if no other one is under way.
func (d *OnDemand) round(ctx context.Context, r request) {
	f := d.finder.requested(r.round.Since, r.round.DryRun)
	var showing sync.WaitGroup
	begun := false
	found, err := f.claimed(ctx, true, func(claimed context.Context) error {
		if err := d.keep(claimed, r.round, claimTTL); err != nil {
			return err
		}
		begun = true
		r.started <- nil
		showing.Go(func() { d.show(claimed, r.round) })
		return nil
	})
	showing.Wait()
	if !begun {
		r.started <- err
		return
	}
	r.round.Ended, r.round.Found = f.Now().UTC(), event.CatchUpFound(found)
	if more := len(found.Problems) - maxProblems; more > 0 {
		r.round.Found.Problems = slices.Concat(found.Problems[:maxProblems], []event.SweepProblem{{Reason: "and " + english.Plural(more, "more problem", ""), Times: 1}})
	}
	switch {
	case ctx.Err() != nil:
		r.round.Error = "the server stopped before the round had ended"
	case err != nil:
		r.round.Error = err.Error()
	}
	f.Log.InfoContext(ctx, "a requested round of catch-up has ended", "projects", found.Projects, "jobs", found.Jobs, "pipelines", found.Pipelines, "replayed", found.Replayed, "by", r.round.By, "error", r.round.Error)
	if err := d.keep(context.WithoutCancel(ctx), r.round, lastKept); err != nil {
		f.Log.ErrorContext(ctx, "what a requested round of catch-up found could not be stored", store.Outage(err))
	}
}

// show keeps a round that is under way from being forgotten, until ctx is done: if this
// process dies, it is forgotten with the claim.
func (d *OnDemand) show(ctx context.Context, round event.CatchUp) {
	ticker := time.NewTicker(claimTTL / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = d.keep(ctx, round, claimTTL) // after an error, the next tick tries again
		}
	}
}

func (d *OnDemand) keep(ctx context.Context, round event.CatchUp, ttl time.Duration) error {
	value, err := json.Marshal(round)
	if err != nil {
		return err
	}
	return d.finder.Store.Set(ctx, keys.LastCatchUp, value, ttl)
}
