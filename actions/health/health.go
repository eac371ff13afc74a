// Package health handles outages of GitLab as a whole. Events and decisions
// wait in the queue without a limit then: no job is given up because of an outage. The
// client of each replica detects an outage by itself (actions/gitlab/health.go).
// The replicas share who notifies people: the first one that sees an outage queues
// a record, which announces the start, stays while any replica sees the outage, and
// announces the end.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/availability"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// RecordKind is the kind of the queue's record that announces an outage.
const RecordKind = "trouble"

const (
	// checkEvery is the time between two checks of the client.
	checkEvery = time.Second
	// shareEvery is the time between two signs of a replica that it sees the outage,
	// and between two checks of the record whether the outage is over.
	shareEvery = 5 * time.Second
	// silentFor is how long no replica has seen the outage before it may be over.
	silentFor = 3 * shareEvery
	// claimTTL is how long a replica that died keeps others from changing the
	// shared state.
	claimTTL = 10 * time.Second
	// remembered is how long the store keeps an outage.
	remembered = 7 * 24 * time.Hour
	// minWait and maxWait bound how long a record waits before it is tried again
	// during an outage: a tenth of the outage's duration so far.
	minWait = time.Second
	maxWait = time.Minute
)

// Guard is the state that replicas share.
type Guard interface {
	store.Claimer
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Get(ctx context.Context, key string) ([]byte, error)
}

// Queue takes the record of an outage.
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

// Config configures a Monitor. All fields are required.
type Config struct {
	GitLab    *gitlab.Client
	Guard     Guard
	Queue     Queue
	Announcer Announcer
	Rules     func() *rules.Rules // those in force
	Now       func() time.Time
	Log       *slog.Logger
}

// Monitor detects outages of GitLab and announces them.
type Monitor struct {
	Config
	last seen
}

// New returns a Monitor.
func New(c Config) *Monitor { return &Monitor{Config: c} }

// State is the state of an outage that the replicas share.
type State struct {
	Kind    apierror.TroubleKind `json:"kind"`
	Reason  string               `json:"reason"`
	Advice  string               `json:"advice"`
	Started time.Time            `json:"started"`
	Seen    time.Time            `json:"seen,omitzero"` // when a replica last saw it; zero: the last one that saw it sees its end
	Over    bool                 `json:"over,omitzero"`
}

// Record is the body of the queue's record.
type Record struct {
	State
	Announced bool `json:"told,omitzero"` // its start
}

// Wait returns how long a record waits that an outage stopped with the error.
func (m *Monitor) Wait(err error) time.Duration {
	wait := minWait
	if t, is := m.GitLab.Trouble(); is {
		wait = min(max(minWait, m.Now().Sub(t.Since)/10), maxWait)
	}
	return max(wait, worker.Backoff(err, 1))
}

// Run checks at once whether GitLab can be used, and while it can't, again and
// again; it logs and announces when that changes. It returns once ctx is done. What
// else may go wrong, such as a token that expires, package doctor watches.
func (m *Monitor) Run(ctx context.Context) {
	_, _, _ = m.GitLab.Check(ctx) // Check logs what it finds
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		if err := m.Check(ctx); err != nil && ctx.Err() == nil {
			m.Log.DebugContext(ctx, "the outage of GitLab could not be saved; it is tried again soon", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-check.C:
		}
	}
}

// seen is what the last Check saw.
type seen struct {
	trouble availability.Trouble
	is      bool      // there was an outage
	shared  time.Time // when that was last saved for all replicas; zero: not yet
}

// Check sends the probe if one is due, and logs what has changed since the last
// call. An error is of the store: the next call tries again. It is for one goroutine.
func (m *Monitor) Check(ctx context.Context) error {
	if err := m.GitLab.Probe(ctx); err != nil {
		return err
	}
	now, before := m.Now(), &m.last
	t, is := m.GitLab.Trouble()
	if is && (!before.is || !before.trouble.Since.Equal(t.Since)) {
		m.Log.ErrorContext(ctx, "GitLab can't be used: all work waits until it can", "trouble", t.Kind, "reason", t.Reason, "advice", t.Advice(), "since", t.Since)
		*before = seen{is: true}
	}
	switch {
	case is:
		before.trouble = t
		if now.Sub(before.shared) < shareEvery {
			return nil
		}
		if err := m.share(ctx, t); err != nil {
			return err
		}
		before.shared = now
	case before.is:
		if err := m.unshare(ctx); err != nil {
			return err
		}
		m.Log.InfoContext(ctx, "GitLab can be used again", "took", event.Coarse(now.Sub(before.trouble.Since)).String(), "requests", before.trouble.Unsent)
		*before = seen{}
	}
	return nil
}

// state returns the shared state, nil if there is none.
func (m *Monitor) state(ctx context.Context) (*State, error) {
	value, err := m.Guard.Get(ctx, keys.Trouble)
	if err != nil || value == nil {
		return nil, err
	}
	s := &State{}
	if err := json.Unmarshal(value, s); err != nil {
		return nil, fmt.Errorf("outage of GitLab: %w", err)
	}
	return s, nil
}

func (m *Monitor) save(ctx context.Context, s State) error {
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return m.Guard.Set(ctx, keys.Trouble, value, remembered)
}

// share saves that this replica sees the outage, and queues its record if no replica
// saw it before.
func (m *Monitor) share(ctx context.Context, t availability.Trouble) error {
	return m.change(ctx, func(s *State) error {
		now := m.Now().UTC()
		if s != nil && !s.Over {
			s.Seen = now
			return m.save(ctx, *s)
		}
		begun := State{Kind: t.Kind, Reason: t.Reason, Advice: t.Advice(), Started: now, Seen: now}
		body, err := json.Marshal(Record{State: begun})
		if err != nil {
			return err
		}
		// The record first: where the state is missing, the record saves it.
		if _, err := m.Queue.Put(ctx, store.Record{ID: keys.TroubleRecord(begun.Started), Kind: RecordKind, Body: body}); err != nil {
			return err
		}
		return m.save(ctx, begun)
	})
}

// unshare saves that this replica does not see the outage any more. One that still
// does shares that again soon.
func (m *Monitor) unshare(ctx context.Context) error {
	return m.change(ctx, func(s *State) error {
		if s == nil || s.Over {
			return nil
		}
		s.Seen = time.Time{}
		return m.save(ctx, *s)
	})
}

// errClaimed is returned while another replica changes the shared state.
var errClaimed = errors.New("another replica changes the state of the outage of GitLab: try again")

// change changes the shared state while no other replica does; while one does, the
// error is errClaimed.
func (m *Monitor) change(ctx context.Context, to func(*State) error) error {
	ok, err := store.WithClaim(ctx, m.Guard, keys.Trouble, claimTTL, func() error {
		s, err := m.state(ctx)
		if err != nil {
			return err
		}
		return to(s)
	})
	if err == nil && !ok {
		return errClaimed
	}
	return err
}

// Handle announces that GitLab can't be used, and, when no replica sees that any
// more and this one has checked it, that GitLab can be used again.
func (m *Monitor) Handle(ctx context.Context, l *worker.Lease, rec Record) error {
	if !rec.Announced {
		if err := m.announce(ctx, rec, "start", "gitlab_away", struct{ Reason, Advice string }{mrkdwn.Escape(rec.Reason), mrkdwn.Escape(rec.Advice)}); err != nil {
			return err
		}
		rec.Announced = true
		if err := errors.Join(l.Keep(rec), l.Extend(ctx)); err != nil {
			return err
		}
	}
	s, err := m.state(ctx)
	if err != nil {
		return err
	}
	_, is := m.GitLab.Trouble()
	seen := s != nil && s.Started.Equal(rec.Started) && m.Now().Sub(s.Seen) < silentFor
	if !is && !seen {
		is = !m.usable(ctx, rec.Kind)
	}
	if is || seen {
		return l.Defer(ctx, shareEvery)
	}
	if err := m.change(ctx, func(s *State) error {
		if s != nil && !s.Started.Equal(rec.Started) {
			return nil
		}
		rec.Over = true
		return m.save(ctx, rec.State)
	}); err != nil {
		return err
	}
	if err := m.announce(ctx, rec, "end", "gitlab_back", struct{ Lasted time.Duration }{m.Now().Sub(rec.Started)}); err != nil {
		return err
	}
	return l.Done(ctx)
}

// usable checks with GitLab whether a kind of trouble is over.
func (m *Monitor) usable(ctx context.Context, kind apierror.TroubleKind) bool {
	if _, is, ok := m.GitLab.Check(ctx); is || !ok {
		return false
	}
	if kind != apierror.TroubleScope {
		return true
	}
	t, err := m.GitLab.AccessToken(ctx)
	// A fine-grained token has no scopes. Where they are unknown, the next action finds out.
	return err == nil && (t.May("api") || t.FineGrained) || err != nil && !event.Transient(err)
}

// announce sends a block of the words with its data to the channel that the rules name. It
// returns an error while a later call can succeed.
func (m *Monitor) announce(ctx context.Context, rec Record, what, block string, data any) error {
	storm := m.Rules().Storm()
	text, err := mrkdwn.Style.In(storm.Language).Say(block, data)
	if err != nil {
		return err
	}
	notice := event.Notice{Address: storm.To, Text: text, Subject: keys.TroubleRecord(rec.Started), Turn: event.StateBegan}
	if what == "end" {
		notice.Turn = event.StateResolved
	}
	return m.Announcer.Announce(ctx, notice.Subject+":"+what, notice, rec.Started, "trouble", rec.Kind)
}
