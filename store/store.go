// Package store keeps what must not be lost: the queue of records to work
// on, the journal of what came of them, and the guards that replicas share
// (claims, rate buckets, tallies, small values). It knows nothing of rules or
// GitLab: bodies are bytes.
//
// The queue is one idea on every backend. A record has an id and a due time.
// Put adds it unless its id was put before; Lease hands out the most overdue
// and moves their due time to now + visibility, so that the records of a
// worker that died come back by themselves; Done, Defer and Bury end a lease.
// Ids outlive their records (by the dedupe time to live), so that what was
// done once is not put again.
//
//	          Put
//	           │
//	           ▼   Lease             Done
//	waiting ─► due ─────► leased ─────────► gone (its id remembered)
//	   ▲                  │ │  │ Bury
//	   └──── Defer ───────┘ │  └──────────► dead
//	             due ◄──────┘ lease expired
//
// The store's clock is the only one that counts (Redis's TIME there, the
// process's with bbolt): callers pass delays, never times.
//
// Package storetest holds the conformance suite that every backend passes.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How long a backend keeps things, unless its options say otherwise.
const (
	DefaultDedupeTTL  = 72 * time.Hour      // ids that were put
	DefaultJournalTTL = 30 * 24 * time.Hour // journal entries
)

// ErrLeaseLost is returned to a worker that holds its record no more: the
// lease ran out and another worker leased the record, or the lease was ended
// before by Done, Defer or Bury. Nothing was changed, and it must not act on
// the record. A lease that ran out while nobody took the record is not lost:
// the work was done, and counts.
var ErrLeaseLost = errors.New("store: lease lost: the record is not this worker's any more")

// ErrClosed is returned by a store that was closed.
var ErrClosed = errors.New("store: closed")

// ErrBadCursor is returned for a cursor that the journal did not give out.
var ErrBadCursor = errors.New("store: not a cursor of the journal: start without one")

// BadCursor returns ErrBadCursor with the cursor that a caller gave.
func BadCursor(cursor string) error {
	return fmt.Errorf("%w: %.40q", ErrBadCursor, cursor)
}

// Record is one thing to do.
type Record struct {
	ID    string        // 1 to MaxID bytes, unique over all kinds; seen ids are not put again
	Kind  string        // opaque label, e.g. event or decision; counts are told by it
	After time.Duration // due so long after now; 0 or less: at once
	Body  []byte
}

// Lease is a record that a worker holds until Expires. The worker may change
// Body: Extend and Defer save it.
type Lease struct {
	ID      string
	Kind    string
	Body    []byte
	Attempt int       // how often it was leased, this time included
	Due     time.Time // when the record was to be due by its Put or Defer
	Expires time.Time
	Token   string // proves the lease; new with every Lease
}

// Entry is one line of the journal.
type Entry struct {
	ID   string
	At   time.Time // when it was first noted, by the store's clock; set by the store
	Body []byte
}

// DeadRecord is a record that was buried.
type DeadRecord struct {
	ID     string
	Kind   string
	Body   []byte
	Reason string
	At     time.Time
}

// Depth counts the queue's records.
type Depth struct {
	Due     int // could be leased now
	Waiting int // due later
	Leased  int
	Dead    int
}

// Seen is a member of a tally.
type Seen struct {
	ID    string
	Group string    // at most MaxID bytes; those without one are a group too
	Note  string    // what Tallied is to give back
	At    time.Time // when it was first seen, by the store's clock; set by the store
}

// Count is what a tally holds. Groups are the different ones of its members.
type Count struct {
	Members  int
	Groups   int
	Position int // of the member just noted, from 1, in the order in which they were first seen
}

// MaxTally is how many members a tally has at most: one more, and the oldest
// is forgotten.
const MaxTally = 10_000

// Store is what a backend offers; packages that use one declare the few
// methods they need.
//
// Ids, keys and owners have 1 to MaxID bytes, and visibilities, times to
// live and rates are more than zero; anything else is an error that says so,
// and changes nothing. Bodies and values may be of any bytes or none. Callers
// may change what they passed in, and what they got, as soon as a call has
// returned. A count n of 0 or less gives nothing.
type Store interface {
	Queue
	Journal
	Guard

	// Ping returns nil when the store can be written to.
	Ping(ctx context.Context) error
	// Close waits for what is being written and closes the store; all calls
	// that come later, or wait, return ErrClosed. A second Close does nothing.
	Close() error
}

// Queue is the work to do. All methods are safe for concurrent use, and
// durable when they return nil. ErrLeaseLost, ErrClosed and errors of bad
// input say that nothing was changed; after any other error, that of a ctx
// which ends in mid-call among them, the call may or may not have taken
// effect, but wholly or not at all.
type Queue interface {
	// Put adds the records whose ids were not put before, in one atomic step,
	// and says for each whether it was added. An id is remembered for the
	// dedupe time to live from the Put that added it, and for as long as its
	// record is queued.
	Put(ctx context.Context, records ...Record) (added []bool, err error)
	// Queued reports whether a record with one of the ids is in the queue:
	// waiting, due or leased.
	Queued(ctx context.Context, ids ...string) (bool, error)
	// Lease hands out up to n due records, the most overdue first, each to
	// nobody else for the time of visibility. None due: an empty slice.
	Lease(ctx context.Context, n int, visibility time.Duration) ([]Lease, error)
	// Wait returns when a record may be due, when atMost has passed or when
	// ctx ends (then with its error). It may return early.
	Wait(ctx context.Context, atMost time.Duration) error
	// Extend saves the lease's Body and makes the lease last visibility from
	// now, which may be sooner than before; it updates l.Expires.
	// ErrLeaseLost, here and below: see there.
	Extend(ctx context.Context, l *Lease, visibility time.Duration) error
	// Done removes the leased record and puts next, in one atomic step; of
	// next, ids seen before are left out.
	Done(ctx context.Context, l *Lease, next ...Record) error
	// Defer saves the lease's Body and gives the record back, due after the
	// given time.
	Defer(ctx context.Context, l *Lease, after time.Duration) error
	// Bury takes the record out of the queue for a person to look at, with
	// the body as it was last saved.
	Bury(ctx context.Context, l *Lease, reason string) error

	// Depth counts the queue's records.
	Depth(ctx context.Context) (Depth, error)
	// Dead lists up to n buried records, newest first.
	Dead(ctx context.Context, n int) ([]DeadRecord, error)
}

// Journal is the list of what was decided and what came of it. Entries older
// than the journal's time to live vanish.
type Journal interface {
	// Note adds an entry, at the head of the list, unless one with its id is
	// there.
	Note(ctx context.Context, id string, body []byte) error
	// Amend replaces the body of the entry with the id, or adds it. Its
	// place in the list and its time stay.
	Amend(ctx context.Context, id string, body []byte) error
	// Entries lists up to n entries, newest first, that follow the cursor in
	// that order ("" for the first), and gives the cursor to go on with, ""
	// at the end. Entries that are added meanwhile move nothing. ErrBadCursor:
	// see there.
	Entries(ctx context.Context, cursor string, n int) (entries []Entry, next string, err error)
}

// Guard is what replicas agree on: who may, how often, what is known.
type Guard interface {
	// Take takes one from the bucket of key and returns 0, or takes none and
	// returns how long until one is there: at most Per/Limit, or until the end
	// of a Hold. A bucket is full at first.
	Take(ctx context.Context, key string, rate Rate) (wait time.Duration, err error)
	// Hold lets nobody take from the bucket of key for the given time from
	// now. A Hold that ends sooner than one before changes nothing.
	Hold(ctx context.Context, key string, span time.Duration) error
	// Claim makes owner the holder of key for ttl, if nobody else holds it;
	// a holder that claims again holds it for ttl from now.
	Claim(ctx context.Context, key, owner string, ttl time.Duration) (held bool, err error)
	// Release ends the owner's claim; another's is left alone.
	Release(ctx context.Context, key, owner string) error
	// Tally forgets the members of the tally of key that were first seen the
	// time of within ago or longer, adds s unless a member with its ID is left,
	// and counts. A member stays as it was when it was first seen. The whole
	// tally is forgotten when nothing was added for the time of within.
	Tally(ctx context.Context, key string, s Seen, within time.Duration) (Count, error)
	// Tallied lists the members of the tally of key that were first seen
	// within the time, oldest first. What others add meanwhile may be missing.
	Tallied(ctx context.Context, key string, within time.Duration) ([]Seen, error)
	// Set keeps a small value for ttl.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Get gives the value, or nil when there is none; an empty value is not
	// nil.
	Get(ctx context.Context, key string) ([]byte, error)
}
