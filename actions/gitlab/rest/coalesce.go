package rest

import (
	"context"
	"sync"
)

// flights makes identical GETs one request. A GET joins one that still waits
// for its turn, never one that was sent already: what GitLab read for that may
// be older than the event or the action that this GET is about. Such a GET waits
// until the request before it is answered, and later ones join it: of any
// request, one is in flight and one waits, however many callers want it.
type flights struct {
	mu      sync.Mutex
	waiting map[string]*flight
	sent    map[string]*flight
}

// flight is one request of one caller or more.
type flight struct {
	callers int
	cancel  context.CancelFunc // called when the last caller gave up
	done    chan struct{}      // closed once result is set
	result  sent
}

// join returns the result of send for the request of that key, or ctx's error
// when ctx ends first. The request is canceled with its last caller. Send gets a
// context that lives as long as any caller waits, and calls departs just before
// the request is sent.
func (fs *flights) join(ctx context.Context, key string, send func(ctx context.Context, departs func()) sent) (sent, error) {
	fs.mu.Lock()
	f := fs.waiting[key]
	if f == nil {
		f = fs.start(ctx, key, send)
	}
	f.callers++
	fs.mu.Unlock()

	select {
	case <-f.done:
		return f.result, nil
	case <-ctx.Done():
	}
	fs.mu.Lock()
	f.callers--
	last := f.callers == 0
	if last && fs.waiting[key] == f {
		delete(fs.waiting, key)
	}
	fs.mu.Unlock()
	if last {
		f.cancel()
		<-f.done // nothing runs on after the caller returned
	}
	return sent{}, ctx.Err()
}

// start begins a flight that others may join; fs is locked.
func (fs *flights) start(ctx context.Context, key string, send func(context.Context, func()) sent) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{cancel: cancel, done: make(chan struct{})}
	ahead := fs.sent[key]
	fs.waiting[key] = f
	go func() {
		defer cancel()
		if ahead != nil {
			select {
			case <-ahead.done:
			case <-ctx.Done():
			}
		}
		f.result = send(ctx, func() { fs.departs(key, f) })
		fs.finish(key, f)
	}()
	return f
}

// departs lets nobody join f any more.
func (fs *flights) departs(key string, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.waiting[key] == f {
		delete(fs.waiting, key)
	}
	fs.sent[key] = f
}

// finish gives the callers of f its result.
func (fs *flights) finish(key string, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.waiting[key] == f { // it was not sent
		delete(fs.waiting, key)
	}
	if fs.sent[key] == f {
		delete(fs.sent, key)
	}
	close(f.done)
}
