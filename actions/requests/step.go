package requests

import (
	"context"
	"encoding/json"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// step is the store as a request uses it that changes pauses or mutes: what it sets is made
// with the end of the request, in one step, and what it has claimed stays claimed until then.
// So a request that is cut short has changed nothing, and is carried out as if it were new.
type step struct {
	pause.Store
	changes store.Changes
	claims  []claim
}

// claim is a claim with its owner.
type claim struct{ key, owner string }

// Get implements pause.Store.
func (s *step) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Store.Get(ctx, key)
	if err == nil {
		s.changes.Expect = append(s.changes.Expect, store.Expected{Key: key, Value: value})
	}
	return value, err
}

// Set implements pause.Store.
func (s *step) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	s.changes.Values = append(s.changes.Values, store.Value{Key: key, Value: value, TTL: ttl})
	return nil
}

// Release implements store.Claimer.
func (s *step) Release(_ context.Context, key, owner string) error {
	s.claims = append(s.claims, claim{key, owner})
	return nil
}

// changed reports whether there is something to change; not in a nil one.
func (s *step) changed() bool { return s != nil && len(s.changes.Values) > 0 }

// end releases what is claimed: else it expires.
func (s *step) end(ctx context.Context) {
	if s == nil {
		return
	}
	for _, c := range s.claims {
		_ = s.Store.Release(context.WithoutCancel(ctx), c.key, c.owner)
	}
}

// steer has do say what changes in pauses or mutes and in the list of changes.
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
	c.Next = []store.Record{{ID: keys.RequestFollowed(r.ID), Kind: chatops.RecordKind, Body: body}}
	return l.DoneWith(ctx, c)
}
