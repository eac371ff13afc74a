package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

// service reads from the service's API what it has decided.
type service struct {
	*narrator
	admin string

	mu    sync.Mutex      // one goroutine at a time prints outcomes
	shown map[string]bool // outcomes that were printed
}

// await waits until the condition is true and the queue is empty, and prints the
// outcomes.
func (s *service) await(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s: not seen within %s", what, patience))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for seen := false; ; {
		seen = seen || holds()
		if seen && s.queued(ctx) == 0 {
			return s.showOutcomes(ctx)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// queued returns how many records the service has in its queue; -1 if it does not
// tell.
func (s *service) queued(ctx context.Context) int {
	var queue struct{ Due, Waiting, Leased int }
	if err := s.get(ctx, "/api/v1/queue", &queue); err != nil {
		return -1
	}
	return queue.Due + queue.Waiting + queue.Leased
}

// showOutcomes prints the outcomes that are new.
func (s *service) showOutcomes(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var page struct{ Decisions []event.Outcome }
	if err := s.get(ctx, "/api/v1/decisions", &page); err != nil {
		return err
	}
	for _, o := range slices.Backward(page.Decisions) {
		if o.Result == "" || s.shown[o.ID] {
			continue
		}
		s.shown[o.ID] = true
		text, err := words.Outcome(o, words.Plain)
		if err != nil {
			return err
		}
		s.happens("Pipesteward", "%s (rule %s)", text, o.Rule)
	}
	return nil
}

// outcomes returns how many outcomes were printed.
func (s *service) outcomes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.shown)
}

func (s *service) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
