// Package breaker has the circuit breakers of retries, one for each failure
// class. Many failures of one class in many pipelines are an outage: the breaker
// of that class opens, and retries of such failures are deferred, each with a
// ticket. It closes when the failures have been too few for `storm.pause`; then
// the retries are released one after the other, oldest first, and each is made if
// it is still wanted. Rule files and metrics call an open breaker a storm.
//
//	            too many failures
//	closed ───────────────────────► open ◄─┐ too many failures: open for
//	  ▲                              │     │ another pause from now
//	  └──────────────────────────────┴─────┘
//	   too few failures for a pause: the deferred retries are released
//
// All replicas share a breaker's state, a small value in the store. A record in
// the queue announces that the breaker has opened, waits until it closes, and
// announces that.
package breaker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// releaseEvery is the time between the releases of two tickets.
	releaseEvery = time.Second
	// extendEvery is the shortest time between two extensions of an open breaker.
	extendEvery = 5 * time.Second
	// claimTTL is how long a replica that died keeps others from changing a
	// breaker.
	claimTTL = 10 * time.Second
	// clockSkew is how far apart the clocks of two replicas may be.
	clockSkew = 10 * time.Minute
	// remembered is how long the store keeps a breaker's state and tickets.
	remembered = 7 * 24 * time.Hour
	// tallied is how long the store knows that the state of a class was saved on some day, from
	// the first time on that day: for longer than a state that was saved at its end.
	tallied = remembered + 24*time.Hour + clockSkew
)

// Guard is the state that replicas share.
type Guard interface {
	Tally(ctx context.Context, key string, s store.Seen, within time.Duration) (store.Count, error)
	Tallied(ctx context.Context, key string, within time.Duration) ([]store.Seen, error)
	store.Claimer
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Get(ctx context.Context, key string) ([]byte, error)
}

// Queue takes the record of a breaker that has opened.
type Queue interface {
	Put(ctx context.Context, records ...store.Record) ([]bool, error)
}

// Announcer sends messages to channels.
type Announcer interface {
	// Announce sends a notice, once for each key. It returns an error
	// while a later call can succeed, which ends some time after since; about are
	// attributes for the log.
	Announce(ctx context.Context, key string, notice event.Notice, since time.Time, about ...any) error
}

// Breakers are the circuit breakers of all failure classes. All fields are
// required.
type Breakers struct {
	Guard     Guard
	Queue     Queue
	Announcer Announcer
	Rules     func() *rules.Rules // those in force
	Now       func() time.Time
	Log       *slog.Logger
	// JobLog returns the log of the event's job.
	JobLog func(ctx context.Context, e event.Event) (string, error)
}

// State is the state of a breaker that has opened at least once.
type State struct {
	Class  string    `json:"class"`
	Opened time.Time `json:"started"`
	Until  time.Time `json:"until"` // it closes then, unless more failures come
	Closed bool      `json:"over,omitzero"`
}

// Open reports whether retries of the class are deferred. A clock that was set
// back by more than clockSkew since keeps no breaker open.
func (s State) Open(now time.Time) bool {
	return !s.Closed && now.Before(s.Until) && !now.Before(s.Opened.Add(-clockSkew))
}

// State returns the state of the breaker of a class, nil if it has not opened
// within the last 7 days.
func (b *Breakers) State(ctx context.Context, class string) (*State, error) {
	value, err := b.Guard.Get(ctx, keys.Storm(class))
	if err != nil || value == nil {
		return nil, err
	}
	s := &State{}
	if err := json.Unmarshal(value, s); err != nil {
		return nil, fmt.Errorf("breaker of class %s: %w", class, err)
	}
	return s, nil
}

// save saves a state. The class is tallied before that, so that no state is saved of a class
// that Open does not find.
func (b *Breakers) save(ctx context.Context, s State) error {
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	// A member of a tally never becomes newer: each day has its own.
	saved := store.Seen{ID: s.Class + ":" + b.Now().UTC().Format(time.DateOnly), Group: s.Class}
	if _, err := b.Guard.Tally(ctx, keys.Storms, saved, tallied); err != nil {
		return err
	}
	return b.Guard.Set(ctx, keys.Storm(s.Class), value, remembered)
}

// Count counts the failures that the decisions want retried, and opens the
// breakers of the classes that have too many.
func (b *Breakers) Count(ctx context.Context, decisions []event.Decision) error {
	threshold := b.Rules().Storm()
	for _, d := range decisions {
		for _, job := range d.Retries() {
			if d.DryRun || job.FailureClass == "" {
				continue
			}
			count, err := b.Guard.Tally(ctx, keys.Failures(job.FailureClass), store.Seen{
				ID:    fmt.Sprintf("%d/%d", d.Project.ID, job.ID),
				Group: strconv.FormatInt(d.Pipeline.ID, 10),
				Note:  runnerName(job.Runner),
			}, time.Duration(threshold.Within))
			if err != nil {
				return fmt.Errorf("circuit breaker: %w", err)
			}
			if count.Members < threshold.Failures || count.Groups < threshold.Pipelines {
				continue
			}
			if err := b.open(ctx, job.FailureClass, threshold); err != nil {
				return fmt.Errorf("circuit breaker: %w", err)
			}
		}
	}
	return nil
}

func runnerName(r event.Runner) string {
	if r.ID == 0 {
		return ""
	}
	return cmp.Or(r.Description, "runner "+strconv.FormatInt(r.ID, 10))
}

// errClaimed is returned while another worker, which may have died, changes the
// breaker.
var errClaimed = errors.New("another worker changes the breaker: try again")

// open opens the breaker of a class, or extends an open one to a pause from now.
func (b *Breakers) open(ctx context.Context, class string, threshold rules.Storm) error {
	pause := time.Duration(threshold.Pause)
	current := func() (s *State, extended bool, err error) { // extended: a moment ago
		s, err = b.State(ctx, class)
		return s, err == nil && s != nil && !s.Closed && s.Until.Sub(b.Now()) > pause-extendEvery, err
	}
	if _, extended, err := current(); extended || err != nil {
		return err
	}
	return b.claimed(ctx, class, func() error {
		s, extended, err := current()
		if extended || err != nil {
			return err
		}
		now := b.Now().UTC()
		if s == nil || !s.Open(now) {
			s = &State{Class: class, Opened: now, Until: now.Add(pause)}
			body, err := json.Marshal(Record{State: *s, Threshold: threshold})
			if err != nil {
				return err
			}
			// The record first: where the state is missing, the record saves it.
			if _, err := b.Queue.Put(ctx, store.Record{ID: keys.StormRecord(s.Class, s.Opened), Kind: RecordKind, Body: body}); err != nil {
				return err
			}
		}
		s.Until = now.Add(pause)
		return b.save(ctx, *s)
	})
}

// claimed changes the breaker of a class while no other replica does; while one
// does, the error is errClaimed.
func (b *Breakers) claimed(ctx context.Context, class string, change func() error) error {
	ok, err := store.WithClaim(ctx, b.Guard, keys.Storm(class), claimTTL, change)
	if err == nil && !ok {
		return errClaimed
	}
	return err
}

// Open returns the states of the open breakers of all classes, sorted by class.
func (b *Breakers) Open(ctx context.Context) ([]State, error) {
	states, err := b.Recent(ctx)
	return slices.DeleteFunc(states, func(s State) bool { return !s.Open(b.Now()) }), err
}

// Recent returns the states of the breakers that have opened within the last 7 days, sorted by
// class.
func (b *Breakers) Recent(ctx context.Context) ([]State, error) {
	saved, err := b.Guard.Tallied(ctx, keys.Storms, tallied)
	if err != nil {
		return nil, fmt.Errorf("circuit breaker: %w", err)
	}
	var classes []string
	for _, s := range saved {
		classes = append(classes, s.Group)
	}
	slices.Sort(classes)
	return b.States(ctx, slices.Compact(classes))
}

// States returns the states of the breakers of those of the classes that have opened within
// the last 7 days.
func (b *Breakers) States(ctx context.Context, classes []string) (states []State, err error) {
	for _, class := range classes {
		s, err := b.State(ctx, class)
		if err != nil {
			return nil, fmt.Errorf("circuit breaker: %w", err)
		}
		if s != nil {
			states = append(states, *s)
		}
	}
	return states, nil
}

// Retry is a retry that may have to wait for a breaker to close.
type Retry struct {
	Key      string  // of its decision
	Breakers []State // of the failures that it is about
	Pipeline int64
	Runner   event.Runner // of its job
}

// Ticket is the place of a retry among those that wait for a breaker to close. It
// is part of a decision's record.
type Ticket struct {
	Opened time.Time `json:"storm,omitzero"` // when the breaker opened
	Place  int       `json:"ticket,omitzero"`
}

// Defer returns how long the retry waits: while the breaker of one of its classes
// is open, and then until its ticket is released; 0 when it may go on. reason is
// set while the breaker is open. Defer gives the retry its ticket.
func (b *Breakers) Defer(ctx context.Context, retry Retry, ticket *Ticket) (wait time.Duration, reason string, err error) {
	for _, s := range retry.Breakers {
		now := b.Now()
		open := s.Open(now)
		if open && !ticket.Opened.Equal(s.Opened) {
			count, err := b.Guard.Tally(ctx, keys.Waiting(s.Class, s.Opened), store.Seen{
				ID: retry.Key, Group: strconv.FormatInt(retry.Pipeline, 10), Note: runnerName(retry.Runner),
			}, remembered)
			if err != nil {
				return 0, "", fmt.Errorf("circuit breaker: %w", err)
			}
			*ticket = Ticket{Opened: s.Opened, Place: count.Position}
		}
		if !ticket.Opened.Equal(s.Opened) {
			continue
		}
		wait := s.Until.Add(time.Duration(ticket.Place) * releaseEvery).Sub(now)
		switch {
		case open:
			return wait, fmt.Sprintf("a storm: too many failures of class %s since %s, and their retries wait for its end", s.Class, s.Opened.UTC().Format(time.RFC3339)), nil
		case wait > 0:
			return wait, "", nil
		}
	}
	return 0, "", nil
}
