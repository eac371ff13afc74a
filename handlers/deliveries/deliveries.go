// Package deliveries keeps the last webhook deliveries for people to look at: those of
// this process in memory, from where they are shared with all replicas, many at a time.
package deliveries

import (
	"context"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// DefaultAuthenticated is how many deliveries of authenticated senders are kept.
	DefaultAuthenticated = 1000
	// DefaultOthers is how many deliveries of all other senders are kept, besides:
	// those that anybody can send must not displace those of GitLab.
	DefaultOthers = 200
)

// Log keeps the last deliveries. It is safe for concurrent use.
type Log struct {
	mu            sync.Mutex
	recorded      int64 // how many there ever were
	authenticated ring
	others        ring
}

// New returns an empty Log that keeps so many deliveries of authenticated senders and
// so many of others.
func New(authenticated, others int) *Log {
	return &Log{authenticated: ring{size: authenticated}, others: ring{size: others}}
}

// Record keeps a delivery, in place of the oldest one of such a sender.
func (l *Log) Record(d event.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recorded++
	r := &l.others
	if d.Authenticated {
		r = &l.authenticated
	}
	r.add(entry{d, l.recorded})
}

// Deliveries lists up to limit deliveries that match and arrived since a time, newest
// first, from a cursor on: "", or the next of the page before. next is "" at the end. Its
// error is one that matches store.ErrBadCursor.
func (l *Log) Deliveries(_ context.Context, match func(*event.Delivery) bool, since time.Time, cursor string, limit int) (list []event.Delivery, next string, err error) {
	page, err := newPage(match, since, cursor, limit)
	if err != nil {
		return nil, "", err
	}
	l.each(page.add)
	list, next = page.result()
	return list, next, nil
}

// each calls visit with the deliveries, from the last one that was recorded on.
func (l *Log) each(visit func(*event.Delivery)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, b := l.authenticated.last(0), l.others.last(0)
	for i, j := 0, 0; a != nil || b != nil; {
		next := a
		if a == nil || b != nil && b.number > a.number {
			next, j = b, j+1
			b = l.others.last(j)
		} else {
			i++
			a = l.authenticated.last(i)
		}
		visit(&next.Delivery)
	}
}

// entry is a delivery with its number, by which the two rings are merged.
type entry struct {
	event.Delivery
	number int64
}

// ring keeps the last entries, size at most.
type ring struct {
	size    int
	entries []entry
	next    int // where the next one goes, once the ring is full
}

func (r *ring) add(e entry) {
	if len(r.entries) < r.size {
		r.entries = append(r.entries, e)
		return
	}
	r.entries[r.next] = e
	r.next = (r.next + 1) % r.size
}

// last returns the i-th entry from the end, 0 is the newest; nil: there is none.
func (r *ring) last(i int) *entry {
	n := len(r.entries)
	if i >= n {
		return nil
	}
	return &r.entries[(r.next+n-1-i)%n]
}

// since returns copies of the entries after the one with that number, oldest first.
func (r *ring) since(number int64) (all []event.Delivery) {
	n := 0
	for e := r.last(0); e != nil && e.number > number; e = r.last(n) {
		n++
	}
	for ; n > 0; n-- {
		all = append(all, r.last(n-1).Delivery)
	}
	return all
}
