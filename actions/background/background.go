// Package background runs work that takes long and that people request of a running server,
// such as reading the webhooks of all projects. A Task is one kind of such work: one replica
// at a time does it, and all replicas show how far it is, and what the last run found.
package background

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const (
	// claimTTL is how long the other replicas take a run for being under way whose process
	// has died.
	claimTTL = time.Minute
	// showEvery is how often the progress of a run is stored.
	showEvery = 2 * time.Second
	// kept is how long the last run is kept.
	kept = 30 * 24 * time.Hour
)

// Store is the part of the store that tasks use.
type Store interface {
	store.Claimer
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// Run is a run of a Task that has ended. T is what it found, which is JSON.
type Run[T any] struct {
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	By    string    `json:"by,omitzero"`    // who requested it; "": the server made it by itself
	Error string    `json:"error,omitzero"` // why it ended early; Found is then what was found before
	Found T         `json:"found"`
}

// Running is a run that is under way.
type Running struct {
	Began time.Time `json:"began"`
	By    string    `json:"by,omitzero"`
	Done  int       `json:"done,omitzero"` // so many parts
	Of    int       `json:"of,omitzero"`   // of so many; 0: their number is not known
}

// Keys are those of a Task in the store.
type Keys struct{ Claim, Last, Running string }

// Work does a run. It gets what the last run found, the zero T if there was none, and calls
// progress once so many of so many parts are done. What it returns beside an error is kept.
type Work[T any] func(ctx context.Context, last T, progress func(done, of int)) (T, error)

// Task is one kind of work. New makes it.
type Task[T any] struct {
	keys     Keys
	store    Store
	now      func() time.Time
	log      *slog.Logger
	owner    string      // of the claim
	busy     atomic.Bool // this process has a run
	requests chan request[T]
}

// request is a run that is to begin; begun receives whether it has.
type request[T any] struct {
	by    string
	work  Work[T]
	begun chan error
}

// New returns a Task. Run must be called for Start to have an effect.
func New[T any](k Keys, s Store, now func() time.Time, log *slog.Logger) *Task[T] {
	return &Task[T]{keys: k, store: s, now: now, log: log, owner: rand.Text(), requests: make(chan request[T])}
}

// Run does what Start requests, until ctx is done. A run that is under way then ends with
// an error.
func (t *Task[T]) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-t.requests:
			began := false
			err := t.do(ctx, r.by, r.work, func() { began = true; r.begun <- nil })
			switch {
			case !began:
				r.begun <- err
			case errors.Is(err, errTakenOver):
				t.log.WarnContext(ctx, "what was requested has not ended here", "key", t.keys.Last, "by", r.by, "reason", err)
			}
			t.busy.Store(false)
		}
	}
}

// errUnderWay is the error of a run while another one is under way.
var errUnderWay = &event.StateError{Reason: "this is under way already, on this replica or on another one: request it again when that has ended"}

// errTakenOver is the error of a run that another one has replaced: the store did not take the
// renewal of the claim in time.
var errTakenOver = errors.New("the store could not be reached for so long that another replica has begun the same")

// Start begins a run and returns while that is under way. Besides those of the store, its
// error is an *event.StateError while another run is under way, here or on another replica.
func (t *Task[T]) Start(ctx context.Context, by string, work Work[T]) error {
	if !t.busy.CompareAndSwap(false, true) {
		return errUnderWay
	}
	r := request[T]{by, work, make(chan error, 1)}
	select {
	case <-ctx.Done():
		t.busy.Store(false)
		return ctx.Err()
	case t.requests <- r:
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-r.begun:
		return err
	}
}

// Do makes a run of the server's own and returns when that has ended, with the error of work,
// or one of Start.
func (t *Task[T]) Do(ctx context.Context, work Work[T]) error {
	if !t.busy.CompareAndSwap(false, true) {
		return errUnderWay
	}
	defer t.busy.Store(false)
	return t.do(ctx, "", work, func() {})
}

// do makes a run, and calls begun once no other one can begin.
func (t *Task[T]) do(ctx context.Context, by string, work Work[T], begun func()) error {
	claimed, release, err := store.HoldClaim(ctx, t.store, t.keys.Claim, t.owner, claimTTL)
	if err != nil {
		return err
	}
	if release == nil {
		return errUnderWay
	}
	defer release()
	last, _, err := t.Last(ctx)
	if err != nil {
		return err
	}
	shown := &shown{Running: Running{Began: t.now().UTC(), By: by}}
	if err := t.show(claimed, shown); err != nil {
		return err
	}
	begun()
	var showing sync.WaitGroup
	working, end := context.WithCancel(claimed)
	showing.Go(func() { t.keepShowing(working, shown) })
	found, failed := work(claimed, last.Found, shown.progress)
	end()
	showing.Wait()
	if claimed.Err() != nil && ctx.Err() == nil {
		return errTakenOver // and what that run shows and finds stays
	}
	made := Run[T]{Began: shown.Began, Ended: t.now().UTC(), By: by, Found: found}
	switch {
	case ctx.Err() != nil:
		made.Error = "the server stopped before this had ended"
	case failed != nil:
		made.Error = failed.Error()
	}
	if err := t.end(context.WithoutCancel(ctx), made); err != nil {
		t.log.ErrorContext(ctx, "what a request found could not be stored", "key", t.keys.Last, store.Outage(err))
	}
	return failed
}

// end keeps a run that has ended.
func (t *Task[T]) end(ctx context.Context, made Run[T]) error {
	value, err := json.Marshal(made)
	if err != nil {
		return err
	}
	if err := t.store.Set(ctx, t.keys.Last, value, kept); err != nil {
		return err
	}
	return t.store.Set(ctx, t.keys.Running, nil, claimTTL)
}

// shown is the progress of a run.
type shown struct {
	mu sync.Mutex
	Running
}

func (s *shown) progress(done, of int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Done, s.Of = done, of
}

// show stores the progress, for as long as the claim lasts if this process dies.
func (t *Task[T]) show(ctx context.Context, s *shown) error {
	s.mu.Lock()
	value, err := json.Marshal(s.Running)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return t.store.Set(ctx, t.keys.Running, value, claimTTL)
}

func (t *Task[T]) keepShowing(ctx context.Context, s *shown) {
	ticker := time.NewTicker(showEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = t.show(ctx, s) // after an error, the next tick tries again
		}
	}
}

// Last returns the last run of any replica that has ended; not ok: there was none.
func (t *Task[T]) Last(ctx context.Context) (last Run[T], ok bool, err error) {
	ok, err = t.get(ctx, t.keys.Last, &last)
	return last, ok, err
}

// Running returns the run of any replica that is under way; nil: there is none.
func (t *Task[T]) Running(ctx context.Context) (*Running, error) {
	var running Running
	ok, err := t.get(ctx, t.keys.Running, &running)
	if !ok {
		return nil, err
	}
	return &running, nil
}

// get reads a value; not ok: there is none, or one of another version that can't be read.
func (t *Task[T]) get(ctx context.Context, key string, into any) (ok bool, err error) {
	value, err := t.store.Get(ctx, key)
	if err != nil {
		return false, fmt.Errorf("%s: %w", key, err)
	}
	return len(value) > 0 && json.Unmarshal(value, into) == nil, nil
}
