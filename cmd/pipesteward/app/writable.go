package app

import (
	"context"
	"sync"
	"time"
)

const (
	// writableFor is how long what was seen is shown: to see it again takes a durable write.
	writableFor = 10 * time.Second
	// writableTimeout bounds that write.
	writableTimeout = 5 * time.Second
)

// writable tells whether the store can be written to, for the status: a full one can still be read.
type writable struct {
	Ping func(context.Context) error // of the store
	Now  func() time.Time

	mu   sync.Mutex
	at   time.Time // of the last Ping
	last WritableStatus
}

// WritableStatus is whether the store can be written to; the summary says why it can't.
type WritableStatus struct {
	Writable bool   `json:"writable"`
	Summary  string `json:"summary,omitempty"`
}

// Status returns what was seen in the last 10 seconds, or looks again.
func (w *writable) Status(ctx context.Context) WritableStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := w.Now(); w.at.IsZero() || now.Sub(w.at) >= writableFor {
		// Whoever asked may go away, and others are shown the answer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writableTimeout)
		defer cancel()
		w.at, w.last = now, WritableStatus{Writable: true}
		if err := w.Ping(ctx); err != nil {
			w.last = WritableStatus{Summary: "can't be written to, and deliveries are answered 500: " + err.Error()}
		}
	}
	return w.last
}
