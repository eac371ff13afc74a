package requests

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// step is the store as a request uses it that changes pauses or mutes: what it changes, with its
// record, is made with the end of the request, in one step, if all that was read is still so.
// So a request that is cut short has changed nothing, and is carried out as if it were new.
type step struct {
	pause.Store
	changes store.Changes
}

// Get implements pause.Store.
func (s *step) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Store.Get(ctx, key)
	if err == nil {
		s.changes.Expect = append(s.changes.Expect, store.Expected{Key: key, Value: value})
	}
	return value, err
}

// Change implements pause.Store.
func (s *step) Change(_ context.Context, c store.Changes) error {
	s.changes.Next = append(s.changes.Next, c.Next...)
	s.changes.Amend = append(s.changes.Amend, c.Amend...)
	s.changes.Values = append(s.changes.Values, c.Values...)
	s.changes.Expect = append(s.changes.Expect, c.Expect...)
	return nil
}

// changed reports whether there is something to change; not in a nil one.
func (s *step) changed() bool { return s != nil && len(s.changes.Values) > 0 }

// steer has do say what changes in pauses or mutes.
func (h *Handler) steer(ctx context.Context, do func(context.Context, *step) (answer, error)) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, steeringTimeout)
	defer cancel()
	s := &step{Store: h.Pauses.Store}
	a, err := do(ctx, s)
	a.step = s
	return a, err
}

// change makes the changes of a request and ends it, in one step; a request of which only the
// reply is to come is next.
func (h *Handler) change(ctx context.Context, l *worker.Lease, r chatops.Request, a answer) error {
	ctx, cancel := context.WithTimeout(ctx, steeringTimeout)
	defer cancel()
	body, err := json.Marshal(Record{Request: r, Said: &a.Reply})
	if err != nil {
		return err
	}
	c := a.step.changes
	c.Next = append(c.Next, store.Record{ID: keys.RequestFollowed(r.ID), Kind: chatops.RecordKind, Body: body})
	if err := l.DoneWith(ctx, c); !errors.Is(err, store.ErrChanged) {
		return err
	}
	return errChanged
}

// errChanged is the error of a request that is carried out again, because others have changed
// pauses, mutes or the list of changes meanwhile.
var errChanged = &worker.LaterError{Err: store.ErrChanged, After: 50 * time.Millisecond}
