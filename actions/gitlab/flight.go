package gitlab

import (
	"context"
	"sync"
)

// flights makes identical GETs one request. A GET joins one that still waits
// for its turn, never one that was sent already: what GitLab read for that may
// be older than the event or the action that this GET is about. It then waits
// for it to be answered, and those that come meanwhile join it: of any
// request, one is under way and one waits, however many want it.
type flights struct {
	mu      sync.Mutex
	waiting map[string]*flight
	sent    map[string]*flight
}

// flight is one request of one caller or more.
type flight struct {
	callers int
	give    context.CancelFunc // the last caller gave up
	done    chan struct{}      // closed when sent is there
	sent    sent
}

// join returns what send answers to the request of that key, or ctx's error
// when ctx ends first. The request ends with its last caller. Send gets a
// context that lives as long as anybody wants the answer, and calls departs
// just before the request leaves.
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
		return f.sent, nil
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
		f.give()
		<-f.done // nothing runs on behind the back of who gave up
	}
	return sent{}, ctx.Err()
}

// start begins a flight that others may join; fs is locked.
func (fs *flights) start(ctx context.Context, key string, send func(context.Context, func()) sent) *flight {
	ctx, give := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{give: give, done: make(chan struct{})}
	ahead := fs.sent[key]
	fs.waiting[key] = f
	go func() {
		defer give()
		if ahead != nil {
			select {
			case <-ahead.done:
			case <-ctx.Done():
			}
		}
		f.sent = send(ctx, func() { fs.departs(key, f) })
		fs.lands(key, f)
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

// lands tells the callers of f that its answer is there.
func (fs *flights) lands(key string, f *flight) {
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
