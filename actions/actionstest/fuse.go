package actionstest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// Fuse blows after a number of calls to GitLab, Slack and the store; then the program is
// dead: nothing that it does has an effect any more.
type Fuse struct {
	mu    sync.Mutex
	left  int
	Burnt int // steps so far
	// Before is called before each request, each renewal of a lease and each end of one
	// with changes, with its method; nil: nothing is.
	Before func(step string)
	// Durable are the calls of the store so far that wait for its disk, by name. A
	// renewal of a lease does so only where it saves another body.
	Durable []string
	bodies  map[string]string // by id, as they were leased or saved last
}

// durable notes a call that waits for the disk.
func (f *Fuse) durable(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Durable = append(f.Durable, call)
}

// saved notes the body that the store has of a record, and reports whether it is
// another one than before.
func (f *Fuse) saved(l store.Lease) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed = f.bodies[l.ID] != string(l.Body)
	f.bodies[l.ID] = string(l.Body)
	return changed
}

func (f *Fuse) announce(step string) {
	if f.Before != nil {
		f.Before(step)
	}
}

// ErrKilled is the error of each call after the fuse has blown.
var ErrKilled = errors.New("the process was killed")

// NewFuse returns a Fuse that blows after so many steps: two for each call, before and after
// it. A negative one never blows.
func NewFuse(steps int) *Fuse { return &Fuse{left: steps, bodies: map[string]string{}} }

// step makes a call, unless the program died before it. A program that dies right after
// the call does not get its result.
func (f *Fuse) step(do func() error) error {
	if f.burn() {
		return ErrKilled
	}
	err := do()
	if f.burn() {
		return ErrKilled
	}
	return err
}

func (f *Fuse) burn() (dead bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Burnt++
	if f.left > 0 {
		f.left--
	}
	return f.left == 0
}

// Blown reports whether the program is dead.
func (f *Fuse) Blown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left == 0
}

// fusedTransport calls GitLab and Slack.
type fusedTransport struct{ fuse *Fuse }

// RoundTrip implements http.RoundTripper.
func (b fusedTransport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	b.fuse.announce(r.Method)
	err = b.fuse.step(func() error {
		resp, err = http.DefaultTransport.RoundTrip(r) //nolint:bodyclose // the caller closes it
		return err
	})
	if err != nil && resp != nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		resp = nil
	}
	return resp, err
}

// fusedStore calls the store.
type fusedStore struct {
	store.Store
	fuse  *Fuse
	lasts int // how many times longer leases last; 0: as long as they are wanted
}

func (b fusedStore) lasting(visibility time.Duration) time.Duration {
	return time.Duration(max(b.lasts, 1)) * visibility
}

func (b fusedStore) Put(ctx context.Context, records ...store.Record) (added []bool, err error) {
	b.fuse.durable("Put")
	err = b.fuse.step(func() error { added, err = b.Store.Put(ctx, records...); return err })
	return added, err
}

func (b fusedStore) Queued(ctx context.Context, ids ...string) (queued bool, err error) {
	err = b.fuse.step(func() error { queued, err = b.Store.Queued(ctx, ids...); return err })
	return queued, err
}

func (b fusedStore) Append(ctx context.Context, key, id string, body []byte, most int) error {
	return b.fuse.step(func() error { return b.Store.Append(ctx, key, id, body, most) })
}

func (b fusedStore) Hasten(ctx context.Context, id string) error {
	b.fuse.durable("Hasten")
	return b.fuse.step(func() error { return b.Store.Hasten(ctx, id) })
}

func (b fusedStore) Lease(ctx context.Context, n int, visibility time.Duration) (leases []store.Lease, err error) {
	err = b.fuse.step(func() error { leases, err = b.Store.Lease(ctx, n, b.lasting(visibility)); return err })
	for _, l := range leases {
		b.fuse.saved(l)
	}
	return leases, err
}

func (b fusedStore) Extend(ctx context.Context, l *store.Lease, visibility time.Duration) error {
	b.fuse.announce("extend")
	if b.fuse.saved(*l) {
		b.fuse.durable("Extend")
	}
	return b.fuse.step(func() error { return b.Store.Extend(ctx, l, b.lasting(visibility)) })
}

func (b fusedStore) Done(ctx context.Context, l *store.Lease, next ...store.Record) error {
	b.fuse.durable("Done")
	return b.fuse.step(func() error { return b.Store.Done(ctx, l, next...) })
}

func (b fusedStore) DoneWith(ctx context.Context, l *store.Lease, c store.Changes) error {
	b.fuse.announce("done")
	b.fuse.durable("DoneWith")
	return b.fuse.step(func() error { return b.Store.DoneWith(ctx, l, c) })
}

func (b fusedStore) Change(ctx context.Context, c store.Changes) error {
	b.fuse.durable("Change")
	return b.fuse.step(func() error { return b.Store.Change(ctx, c) })
}

func (b fusedStore) Requeue(ctx context.Context, id string, c store.Changes) error {
	b.fuse.durable("Requeue")
	return b.fuse.step(func() error { return b.Store.Requeue(ctx, id, c) })
}

func (b fusedStore) Drop(ctx context.Context, id string, c store.Changes) error {
	b.fuse.durable("Drop")
	return b.fuse.step(func() error { return b.Store.Drop(ctx, id, c) })
}

func (b fusedStore) Defer(ctx context.Context, l *store.Lease, after time.Duration) error {
	b.fuse.durable("Defer")
	return b.fuse.step(func() error { return b.Store.Defer(ctx, l, after) })
}

func (b fusedStore) Bury(ctx context.Context, l *store.Lease, reason string) error {
	b.fuse.durable("Bury")
	return b.fuse.step(func() error { return b.Store.Bury(ctx, l, reason) })
}

func (b fusedStore) Amend(ctx context.Context, id string, body []byte) error {
	b.fuse.durable("Amend")
	return b.fuse.step(func() error { return b.Store.Amend(ctx, id, body) })
}

func (b fusedStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	b.fuse.durable("Set")
	return b.fuse.step(func() error { return b.Store.Set(ctx, key, value, ttl) })
}

func (b fusedStore) Get(ctx context.Context, key string) (value []byte, err error) {
	err = b.fuse.step(func() error { value, err = b.Store.Get(ctx, key); return err })
	return value, err
}

func (b fusedStore) Claim(ctx context.Context, key, owner string, ttl time.Duration) (held bool, err error) {
	err = b.fuse.step(func() error { held, err = b.Store.Claim(ctx, key, owner, ttl); return err })
	return held, err
}

func (b fusedStore) Release(ctx context.Context, key, owner string) error {
	return b.fuse.step(func() error { return b.Store.Release(ctx, key, owner) })
}

func (b fusedStore) Take(ctx context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error) {
	err = b.fuse.step(func() error { taken, wait, err = b.Store.Take(ctx, buckets...); return err })
	return taken, wait, err
}

func (b fusedStore) Held(ctx context.Context, key string) (left time.Duration, err error) {
	err = b.fuse.step(func() error { left, err = b.Store.Held(ctx, key); return err })
	return left, err
}

func (b fusedStore) Tally(ctx context.Context, key string, s store.Seen, within time.Duration) (count store.Count, err error) {
	err = b.fuse.step(func() error { count, err = b.Store.Tally(ctx, key, s, within); return err })
	return count, err
}

func (b fusedStore) Tallied(ctx context.Context, key string, within time.Duration) (all []store.Seen, err error) {
	err = b.fuse.step(func() error { all, err = b.Store.Tallied(ctx, key, within); return err })
	return all, err
}
