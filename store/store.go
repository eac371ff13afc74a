// Package store is the contract of what must not be lost: the queue of
// records to work on, the journal of what was decided and done, the guards that
// replicas share (claims, rate buckets, tallies, small values), and logs, which
// keep the newest of what people may look at. It knows
// nothing of rules or GitLab: bodies are bytes. Its backends are store/bolt
// and store/redis; package storetest has the conformance suite that each of
// them passes.
//
// The queue works the same on every backend. A record has an id and a due
// time. Put adds a record unless one with its id was put before. Lease leases
// the most overdue records, each for the time of its visibility; the records of
// a worker that died are due again when their leases expire. Done, Defer and
// Bury end a lease. The store remembers an id for longer than its record (for
// the dedupe time to live), so that work which is done is not put again.
//
//	          Put
//	           │
//	           ▼   Lease             Done
//	waiting ─► due ─────► leased ─────────► removed (its id is remembered)
//	   ▲                  │ │  │ Bury
//	   └──── Defer ───────┘ │  └──────────► dead
//	             due ◄──────┘ lease expired
//
// Dead records stay for a person to look at, who may put them back with Requeue, or
// remove a record that nobody has leased with Drop.
//
// Only the store's clock counts (that of the process on bolt, TIME on Redis):
// callers pass durations, never times.
//
// # Writes that wait for the disk
//
// These are the writes of one failed job that is retried once, in the order in which
// package actions makes them. Those with a star wait for the disk on bolt: 4, and 4
// more where a rule reports the outcome in one Slack channel. The others need not
// wait there, because nothing is lost with the process, and are committed with the
// next one that does. On Redis, which several processes share, each of the 12, and 12
// more, is a script of its own, and a Redis with appendfsync always syncs its file
// after it, once for all scripts that came meanwhile. A test in package actions counts
// those with a star.
//
//	delivery  * Put the event                    answered 202 after it
//	event       Lease
//	            Tally the failure                does the circuit breaker open?
//	          * DoneWith                         next is the decision with its note; what was seen of the job
//	decision    Lease
//	            Take, Take                       for two reads of GitLab, at the same time
//	            Tally, Take                      the retries of the pipeline; the budgets, all in one
//	            Take                             for the request to GitLab
//	          * Extend with "called"             a crash after it finds out whether the call took effect
//	            the request to GitLab
//	          * DoneWith                         the outcome in the journal; what was retried; next is the
//	                                             outcome, if a rule notifies of it
//	outcome     Lease
//	          * DoneWith                         the outcome in the journal again, with its notices; next are those;
//	                                             where a rule has a state, its value, expected as it was read
//	notice      Lease
//	            Claim, Take, Claim               one worker edits a message; the pace of the channel
//	          * Set, Set                         before and after the message is posted: two
//	            Release
//	            Claim, Release                   one worker changes the entry in the journal
//	          * DoneWith                         what came of the notice is in the journal
//
// When the job that the retry made has ended, there are 3 more, and 2 for its outcome, if
// it has one:
//
//	delivery  * Put the event                    answered 202 after it
//	event     * DoneWith                         next are the try, and the outcome recovered or gave_up
//	try       * DoneWith                         the statistics of the project and of the class, expected as
//	                                             they were read; that the run is counted
//	outcome   * Amend, * DoneWith                the outcome in the journal
//
// Between the delivery and the request, 12 round trips to Redis follow each other: these
// writes but the two Takes at the same time, which are one, and two that only read, the
// pauses before the first Take and Held before the last. The retry that made the job, the
// states of the circuit breakers, and the pauses once more are read at the same time as the
// failure is tallied, the pauses are read, and "called" is saved. Not among them: what was
// learned of such retries, where the rule has `min_pass_rate`, which is two reads at the same
// time, that a project is known, once for each, what the rules made of the events of a second, and
// steering, which people do.
package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Times to live, unless the options of a backend say otherwise.
const (
	DefaultDedupeTTL  = 72 * time.Hour      // of the ids of records
	DefaultJournalTTL = 30 * 24 * time.Hour // of journal entries
)

// Retention is how long a store keeps the entries of its lists. A shorter one than before
// is in force for those that are there, too: they are listed no more at once, and the next
// entries of the same list remove them, some each. A longer one keeps what was not removed.
type Retention struct {
	Journal time.Duration            // 0: DefaultJournalTTL
	Logs    map[string]time.Duration // by the keys of logs; others: as Journal
}

// OfJournal returns the time to live of journal entries.
func (r Retention) OfJournal() time.Duration { return cmp.Or(r.Journal, DefaultJournalTTL) }

// OfLog returns the time to live of the entries of the log of a key.
func (r Retention) OfLog(key string) time.Duration { return cmp.Or(r.Logs[key], r.OfJournal()) }

// ErrLeaseLost is returned to a worker that no longer owns its record: the
// lease expired and another worker leased the record, or Done, Defer or Bury
// ended the lease before. Nothing was changed, and the worker must not act on
// the record. A lease that expired is not lost until another worker leases the
// record: the work was done, and it counts.
var ErrLeaseLost = errors.New("store: lease lost: the record no longer belongs to this worker")

// ErrClosed is returned by the methods of a closed store.
var ErrClosed = errors.New("store: closed")

// Errors of Requeue, Hasten and Drop. Nothing was changed.
var (
	ErrNotFound = errors.New("store: there is no such record")
	ErrQueued   = errors.New("store: another record with this id is in the queue")
	ErrLeased   = errors.New("store: a worker has leased the record")
)

// ErrKnown is returned by Change if the id of a record to put is remembered. Nothing was
// changed.
var ErrKnown = errors.New("store: a record with this id was put before")

// Record is one unit of work.
type Record struct {
	ID    string        // 1 to MaxID bytes, unique over all kinds; an id that is remembered is not put again
	Kind  string        // opaque label, such as event or decision
	After time.Duration // the record is due that long after now; 0 or less: at once
	Body  []byte
	Note  *Entry // an entry to add to the journal, as Note does, if the record is added; nil: none
}

// Lease is a record that one worker owns until Expires. The worker may change
// Body: Extend and Defer save it.
type Lease struct {
	ID      string
	Kind    string
	Body    []byte
	Attempt int       // how often the record was leased, this lease included
	Due     time.Time // when the record became due by its Put, Defer or Hasten
	Expires time.Time
	Token   string // identifies this lease; each lease has another
	Trace   Trace  // the span in which the record was put; only package traced sets it
}

// Trace is a span, as a record carries it; zero: none.
type Trace struct {
	Parent string    // the span, as a traceparent header of W3C Trace Context has it
	At     time.Time // when the record was put
}

// DeadRecord is a record that Bury took out of the queue.
type DeadRecord struct {
	ID     string
	Kind   string
	Body   []byte
	Reason string
	At     time.Time
}

// QueuedRecord is a record in the queue, as people look at it.
type QueuedRecord struct {
	ID      string
	Kind    string
	Body    []byte    // as it was saved last
	Attempt int       // how often the record was leased
	Due     time.Time // when the record becomes or became due by its Put, Defer, Requeue or Hasten
	Expires time.Time // when its lease ends or ended; zero: it is not leased
}

// Next returns the time from which on the record can be leased.
func (r QueuedRecord) Next() time.Time {
	if r.Expires.IsZero() {
		return r.Due
	}
	return r.Expires
}

// Depth counts the queue's records.
type Depth struct {
	Due     int // can be leased now, those with an expired lease included
	Waiting int // due later
	Leased  int
	Dead    int
}

// Seen is a member of a tally, which is a set over a sliding window of time.
type Seen struct {
	ID    string
	Group string    // at most MaxID bytes; members without a group form one, too
	Note  string    // opaque to the store
	At    time.Time // when the member was added, by the store's clock; set by the store
}

// Count is the size of a tally.
type Count struct {
	Members  int
	Groups   int // how many different groups the members have
	Position int // of the member that Tally added or found, from 1, oldest first
}

// MaxTally is the capacity of a tally: a further member replaces the oldest.
const MaxTally = 10_000

// ErrChanged is returned by what makes Changes if a value is not as they expect it.
// Nothing was changed, and a lease goes on.
var ErrChanged = errors.New("store: a value has changed since it was read")

// Changes are written in one step: by Change, or together with what DoneWith, Requeue and
// Drop do.
type Changes struct {
	Next   []Record   // to put, as Put does
	Amend  []Entry    // to replace or add, as Amend does; their times are ignored
	Values []Value    // to set, as Set does
	Expect []Expected // values before the changes, else none is made
}

// Expected is a value as Get has returned it: nil if there was none.
type Expected struct {
	Key   string
	Value []byte
}

// Expected reports whether all values are as the changes expect them. get returns a value
// as Get does.
func (c Changes) Expected(get func(key string) []byte) bool {
	return !slices.ContainsFunc(c.Expect, func(e Expected) bool {
		value := get(e.Key)
		return (value == nil) != (e.Value == nil) || !bytes.Equal(value, e.Value)
	})
}

// Value is a small value with its key.
type Value struct {
	Key   string
	Value []byte
	TTL   time.Duration
}

// Store is the interface of a backend; packages that use a store declare the
// few methods that they need.
//
// Ids, keys and owners have 1 to MaxID bytes; visibilities, times to live and
// rates are greater than zero. Invalid arguments are an error, and change
// nothing. Bodies and values may have any bytes, or none. As soon as a call
// has returned, its caller may change what it passed and what it got. A count
// n of 0 or less yields nothing.
type Store interface {
	Queue
	Steering
	Journal
	Guard
	Log

	// DoneWith atomically removes the leased record, as Done does, and makes the
	// changes: one write that waits for the disk instead of one for each. It
	// returns ErrLeaseLost if l is lost, and else ErrChanged if a value is not as
	// the changes expect it.
	DoneWith(ctx context.Context, l *Lease, c Changes) error
	// Change atomically makes the changes, which are durable when it returns nil. It
	// returns ErrKnown if it would not put one of the records, because its id is
	// remembered, and else ErrChanged if a value is not as the changes expect it.
	Change(ctx context.Context, c Changes) error
	// Ping returns nil if the store can be written to.
	Ping(ctx context.Context) error
	// Describe describes the backend to operators.
	Describe(ctx context.Context) (Description, error)
	// Close waits for the writes in flight and closes the store. Calls that
	// wait, and later calls, return ErrClosed. A second Close does nothing.
	Close() error
}

// Queue is the queue of the work to do. All methods are safe for concurrent
// use. What they changed is durable when they return nil, except leases: those
// of a backend for one process end with the process. How often a record was
// leased outlives each process. After ErrLeaseLost, ErrClosed and errors of
// invalid arguments nothing was changed. After any other error, that of a ctx
// which ends during the call included, the call has taken effect either wholly
// or not at all.
type Queue interface {
	// Put atomically adds the records whose ids are not remembered, with their
	// notes, and returns for each whether it was added. An id is remembered for the dedupe time to
	// live, which starts with the Put that added the record, and as long as the
	// record is in the queue.
	Put(ctx context.Context, records ...Record) (added []bool, err error)
	// Queued reports whether a record with one of the ids is in the queue:
	// waiting, due or leased.
	Queued(ctx context.Context, ids ...string) (bool, error)
	// Lease leases up to n due records, the most overdue first. Nobody else can
	// lease them until visibility has passed. It returns an empty slice if none
	// is due.
	Lease(ctx context.Context, n int, visibility time.Duration) ([]Lease, error)
	// Wait blocks until a record may be due, atMost has passed, or ctx is done
	// (then it returns ctx's error). It may return early.
	Wait(ctx context.Context, atMost time.Duration) error
	// Extend saves the lease's Body and has the lease expire after visibility
	// from now, which may be sooner than before; it sets l.Expires. It returns
	// ErrLeaseLost if l is lost, as Done, Defer and Bury do.
	Extend(ctx context.Context, l *Lease, visibility time.Duration) error
	// Done atomically removes the leased record and puts the records in next,
	// except those whose ids are remembered.
	Done(ctx context.Context, l *Lease, next ...Record) error
	// Defer saves the lease's Body and ends the lease; the record is due again
	// after the given time.
	Defer(ctx context.Context, l *Lease, after time.Duration) error
	// Bury moves the record, with the body that was last saved, from the queue
	// to the dead records, for a person to look at.
	Bury(ctx context.Context, l *Lease, reason string) error

	// Depth counts the queue's records.
	Depth(ctx context.Context) (Depth, error)
}

// Steering is for people who look at the queue and change it. All methods are safe
// for concurrent use. What Requeue, Hasten and Drop changed is durable when they return
// nil.
type Steering interface {
	// Records lists up to n records of the queue by the time from which on they can be
	// leased, soonest first, that follow the cursor ("" starts with the first), and
	// returns the next cursor, "" at the end. A page has fewer records if their bodies
	// are larger than MaxPage together. A record whose time changes meanwhile may be
	// missing, or listed twice.
	Records(ctx context.Context, cursor string, n int) (records []QueuedRecord, next string, err error)
	// Dead lists buried records, newest first, in pages as those of Records.
	Dead(ctx context.Context, cursor string, n int) (dead []DeadRecord, next string, err error)
	// Find returns the record with the id that is in the queue, or else the one that
	// was buried last. Both are nil if there is none.
	Find(ctx context.Context, id string) (queued *QueuedRecord, dead *DeadRecord, err error)
	// Requeue atomically puts the record with the id that was buried last back into
	// the queue, with its body, due at once, as if it had never been leased. It returns
	// ErrNotFound if there is none, and ErrQueued if the queue has a record with the
	// id, and else ErrChanged if a value is not as the changes expect it, which it makes
	// in the same step. The id is remembered as after a Put.
	Requeue(ctx context.Context, id string, c Changes) error
	// Hasten makes a record that waits due at once; one that is due stays so. It returns
	// ErrLeased for a record whose lease has not expired, and ErrNotFound if the queue has
	// none with the id.
	Hasten(ctx context.Context, id string) error
	// Drop atomically removes the record with the id from the queue, or else the one
	// that was buried last, and makes the changes. The id stays remembered. Drop returns
	// ErrLeased for a record whose lease has not expired, ErrNotFound if there is none,
	// and else ErrChanged if a value is not as the changes expect it.
	Drop(ctx context.Context, id string, c Changes) error
}

// MaxPage bounds the bodies of the records of a page, in bytes, but for the last one.
const MaxPage = 4 << 20

// Log is a set of lists, each with a key, that keep their newest entries. An entry
// expires like those of the journal. All methods are safe for concurrent use. What
// Append changed becomes durable as what Claim changed does: a backend need not
// wait for its disk.
type Log interface {
	// Append adds an entry to the log of key as its newest, and then removes the
	// oldest beyond the number most. If the log has an entry with the id, Append
	// removes that: the order of a log is that of the last Append of each entry.
	Append(ctx context.Context, key, id string, body []byte, most int) error
	// Appended lists up to n entries of the log of key, as Entries does.
	Appended(ctx context.Context, key, cursor string, n int) (entries []Entry, next string, err error)
}

// Guard is the state that replicas share: rate limits, claims, tallies and
// small values. All methods are safe for concurrent use. What Set and Hold
// changed is durable when they return nil. What Take, Claim, Release and Tally
// changed is durable as soon as a later Put, Done, Defer, Bury, Note, Amend, Set
// or Hold has returned, and after a second: a backend need not wait for its disk.
type Guard interface {
	// Take takes a token from each bucket, one after the other, until one has none. It
	// returns from how many it took, and the time until the next one has a token: at
	// most Per/Limit, or until the end of a Hold; 0 if it took from all. A new bucket is
	// full. The buckets differ.
	Take(ctx context.Context, buckets ...Bucket) (taken int, wait time.Duration, err error)
	// Left returns how many tokens the bucket has, and takes none. A Hold does not count.
	Left(ctx context.Context, b Bucket) (tokens int, err error)
	// Hold blocks the bucket of key for span from now: nobody can take from it.
	// It does nothing if the bucket is blocked for longer already.
	Hold(ctx context.Context, key string, span time.Duration) error
	// Held returns the time until the end of the Hold of key, 0 if there is none.
	Held(ctx context.Context, key string) (time.Duration, error)
	// Claim makes owner the owner of key for ttl from now, unless key has
	// another owner, and returns whether it did. An owner renews its claim by
	// another Claim.
	Claim(ctx context.Context, key, owner string, ttl time.Duration) (claimed bool, err error)
	// Release ends the claim of owner; it does nothing if key has another owner
	// or none.
	Release(ctx context.Context, key, owner string) error
	// Tally removes the members of the tally of key that were added the time of
	// within ago or longer, adds s unless a member has its ID, and returns the
	// size. A member never changes. The whole tally expires when nothing was
	// added for the time of within.
	Tally(ctx context.Context, key string, s Seen, within time.Duration) (Count, error)
	// Tallied lists the members of the tally of key that were added less than
	// within ago, oldest first. Members that are added meanwhile may be missing.
	Tallied(ctx context.Context, key string, within time.Duration) ([]Seen, error)
	// Set stores a small value for ttl.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Get returns the value, or nil if there is none; an empty value is not nil.
	Get(ctx context.Context, key string) ([]byte, error)
}
