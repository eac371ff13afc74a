package requests

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/worker"
)

// steering are the commands that change pauses and mutes.
var steering = []string{"mute", "unmute", "pause", "resume"}

// Bounds of the search for earlier requests in the queue, which lists the records in the
// order in which they come due. Of one that more than maxSearched records come before,
// nothing is known.
const (
	maxSearched = 10_000
	searchPage  = 1000
	// minTurnWait and maxTurnWait bound the time between two searches.
	minTurnWait = time.Second
	maxTurnWait = time.Minute
)

// isSteering reports whether a request changes pauses or mutes: a later one of the same
// person may be meant to undo it.
func isSteering(r chatops.Request) bool {
	if r.Button != nil {
		return slices.Contains(chatops.Mutes, r.Button.Does)
	}
	words := strings.Fields(r.Command)
	return len(words) > 0 && slices.Contains(steering, strings.ToLower(words[0]))
}

// inTurn returns an error, after which the request is tried again, while the queue has an
// earlier request of the same person, both change pauses or mutes, and the earlier one has
// not been carried out: it may wait for Slack to say who the person is. It ends in any case,
// as it is not tried again for longer than a person waits.
func (h *Handler) inTurn(ctx context.Context, r chatops.Request) error {
	if !isSteering(r) {
		return nil
	}
	for cursor, searched := "", 0; searched < maxSearched; {
		page, next, err := h.Store.Records(ctx, cursor, searchPage)
		if err != nil {
			return err
		}
		for _, queued := range page {
			if queued.Kind != chatops.RecordKind {
				continue
			}
			var other Record
			if err := json.Unmarshal(queued.Body, &other); err != nil {
				continue // its worker says so
			}
			if other.By.UserID != r.By.UserID || other.By.TeamID != r.By.TeamID || !other.ReceivedAt.Before(r.ReceivedAt) || !isSteering(other.Request) {
				continue
			}
			if other.Said != nil { // only its reply is still to come
				continue
			}
			wait := minTurnWait
			if queued.Expires.IsZero() {
				wait = min(max(queued.Due.Sub(h.Now()), minTurnWait), maxTurnWait)
			}
			return &worker.LaterError{Err: errors.New("an earlier request of the same person has not been carried out"), After: wait}
		}
		if searched += len(page); next == "" {
			return nil
		}
		cursor = next
	}
	return nil
}
