package handlers

import (
	"context"
	"slices"
	"sync"
	"time"
)

// room is memory of which several hold parts for a time: first come, first
// served, so that a large part is not kept waiting by small ones for ever.
type room struct {
	mu      sync.Mutex
	free    int64    // bytes
	waiting []*guest // in the order in which they came
}

// guest is who waits for a part.
type guest struct {
	size int64
	in   chan struct{} // closed when the part is the guest's
}

// enter takes size bytes, and waits for them for the time of patience or until
// ctx ends. It returns whether they were taken.
func (r *room) enter(ctx context.Context, size int64, patience time.Duration) bool {
	r.mu.Lock()
	if len(r.waiting) == 0 && size <= r.free {
		r.free -= size
		r.mu.Unlock()
		return true
	}
	g := &guest{size: size, in: make(chan struct{})}
	r.waiting = append(r.waiting, g)
	r.mu.Unlock()

	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-g.in:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.waiting, g)
	if i < 0 {
		return true // let in at the last moment
	}
	r.waiting = slices.Delete(r.waiting, i, i+1)
	r.admit() // those behind may need less
	return false
}

// leave gives size bytes back.
func (r *room) leave(size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += size
	r.admit()
}

// admit lets in who there is room for.
func (r *room) admit() {
	for len(r.waiting) > 0 && r.waiting[0].size <= r.free {
		r.free -= r.waiting[0].size
		close(r.waiting[0].in)
		r.waiting = r.waiting[1:]
	}
}
