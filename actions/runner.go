// Package actions carries records through the queue, each one step on. An
// event is evaluated to decisions; a decision is held against the job's real
// state and carried out through the Jobs API; an outcome is journalled and
// told. Every step can be repeated: a crash between two of them repeats the
// step, and what a call did before the crash is seen in the job's state.
//
//	event ──► decision ──► outcome ──► done
//	  │          │            │
//	  └──────────┴────────────┴─► due again later (GitLab or Slack is down, ...)
//
// A decision passes what stands in its way in this order, each in a file:
//
//	decision.go  those that must have ended before
//	storm.go     an outage that its failure belongs to
//	retry.go …   the job's real state, one file per verb
//	budget.go    what the budgets still allow
//
// sweep.go makes a run of a schedule rule, which is a record of its own; and
// follow.go tells, when the run that a retry made has ended, whether it
// helped.
package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/store"
)

const (
	// visibility is how long a lease lasts without a sign of life: after
	// that, another replica takes the record.
	visibility = 30 * time.Second
	// idle is the longest rest between two looks at an empty queue.
	idle = time.Second
	// patience is how long a record is tried again while GitLab or Slack
	// fail in a way that passes.
	patience = 24 * time.Hour
	// maxLease is how many records are leased at a time, and maxAtHand is the
	// size of those at hand, in bytes, from which on no more are leased.
	maxLease  = 16
	maxAtHand = 64 << 20
	// maxPanics is the attempt from which a record that brings a worker down is
	// buried for a person to look at.
	maxPanics = 3
)

// Queue is what the runner needs of the store's queue.
type Queue interface {
	Put(ctx context.Context, records ...store.Record) ([]bool, error)
	Queued(ctx context.Context, ids ...string) (bool, error)
	Lease(ctx context.Context, n int, visibility time.Duration) ([]store.Lease, error)
	Wait(ctx context.Context, atMost time.Duration) error
	Depth(ctx context.Context) (store.Depth, error)
	Settler
}

// Settler ends or renews a lease.
type Settler interface {
	Extend(ctx context.Context, l *store.Lease, visibility time.Duration) error
	Done(ctx context.Context, l *store.Lease, next ...store.Record) error
	Defer(ctx context.Context, l *store.Lease, after time.Duration) error
	Bury(ctx context.Context, l *store.Lease, reason string) error
}

// Journal keeps what was decided and what came of it.
type Journal interface {
	Amend(ctx context.Context, id string, body []byte) error
}

// Guard is what replicas agree on.
type Guard interface {
	Take(ctx context.Context, key string, rate store.Rate) (wait time.Duration, err error)
	Tally(ctx context.Context, key string, s store.Seen, within time.Duration) (store.Count, error)
	Tallied(ctx context.Context, key string, within time.Duration) ([]store.Seen, error)
	store.Claimer
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Get(ctx context.Context, key string) ([]byte, error)
}

// Teller tells people of an outcome, or of something else under its key.
// Telling the same again must change nothing.
type Teller interface {
	Tell(ctx context.Context, o rules.Outcome, channel, text string) error
	Announce(ctx context.Context, key, channel, text string) error
	// Escape makes a value safe to stand in a text.
	Escape(value string) string
}

// Config holds what a Runner works with; all but Teller are required.
type Config struct {
	Queue   Queue
	Journal Journal
	Guard   Guard
	GitLab  *gitlab.Client
	Teller  Teller              // nil: outcomes are journalled and logged only
	Rules   func() *rules.Rules // the rules in force
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *Metrics
	Workers int // records worked on at the same time; at least 1
	// NativeRetry is how long GitLab is given to retry a job by itself, as the
	// job's `retry:` may say, from when the event came; 0: no time.
	NativeRetry time.Duration
	// RuleSince gives since when a rule, by its identity, is in force in this
	// process; zero: since its start. nil: rules do not change.
	RuleSince func(identity string) time.Time
	// Told is how long it is kept which jobs and pipelines were seen in which
	// status, for catch-up; 0: it is not.
	Told time.Duration
}

// Runner leases records and carries each one step on.
type Runner struct {
	Config
	brake    Brake
	slack    *circuitBreaker
	sweepers chan struct{} // holds one for each sweep
	projects sync.Map      // ids by path, of projects whose hooks tell no id
	watched  watched       // of WatchGitLab
}

// New makes a Runner.
func New(c Config) *Runner {
	c.Workers = max(c.Workers, 1)
	return &Runner{Config: c, slack: &circuitBreaker{now: c.Now}, brake: Brake{c.Rules, Pauses{c.Guard, c.Now, c.Log}}, sweepers: make(chan struct{}, sweepers)}
}

// Run works until ctx ends. Then it takes no new records, gives those at
// hand the time of grace to end, hands back the rest and returns.
func (r *Runner) Run(ctx context.Context, grace time.Duration) {
	r.run(ctx, grace, notifiers, func(<-chan struct{}) (more bool) {
		r.rest(ctx, r.Queue.Wait(ctx, idle))
		return true
	})
}

// WorkOff works as Run does, and ends also when nothing is due and nothing at
// hand. What other replicas have at hand is theirs.
func (r *Runner) WorkOff(ctx context.Context, grace time.Duration) {
	r.run(ctx, grace, r.Workers, func(dropped <-chan struct{}) (more bool) {
		if dropped == nil {
			return false
		}
		select {
		case <-ctx.Done():
		case <-dropped: // it may have queued what comes next
		}
		return true
	})
}

// run works with so many notifiers until ctx ends, or wait says that there is no
// more. wait is called when nothing was due; dropped closes when the first of
// what was at hand then no longer is, and is nil where that was nothing.
func (r *Runner) run(ctx context.Context, grace time.Duration, notifiers int, wait func(dropped <-chan struct{}) (more bool)) {
	// Work outlives ctx by the time of grace.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	hand := newHand(r.Workers, notifiers)
	for {
		n, dropped := hand.room(ctx)
		if n == 0 {
			break
		}
		leases, err := r.Queue.Lease(ctx, n, visibility)
		for _, l := range leases {
			size := len(l.Body)
			hand.take(size)
			go func() {
				h := &held{queue: r.Queue, lease: l, hand: hand}
				defer func() { hand.drop(size, h.notifying) }()
				r.work(working, h)
			}()
		}
		if err != nil {
			if ctx.Err() == nil {
				r.Log.Error("the queue can't be read", store.Outage(err))
			}
			r.rest(ctx, err)
		} else if len(leases) == 0 && !wait(dropped) {
			break
		}
	}
	time.AfterFunc(grace, stop)
	hand.empty()
}

// hand counts the records that are worked on, and their bytes; those that are
// notified, and are no burden on the workers, apart.
type hand struct {
	most      int
	notifiers int // records that may be notified at the same time

	mu      sync.Mutex
	notes   int // records that are notified
	records int
	bytes   int
	changed chan struct{} // closed, and made anew, when a record is dropped
}

func newHand(most, notifiers int) *hand {
	return &hand{most: most, notifiers: notifiers, changed: make(chan struct{})}
}

// room waits until there is room for a record, and gives for how many; 0 when
// ctx ends. dropped closes when one that is at hand is dropped; nil: none is.
func (h *hand) room(ctx context.Context) (n int, dropped <-chan struct{}) {
	for {
		h.mu.Lock()
		free, empty, changed := min(h.most-h.records, maxLease), h.records+h.notes == 0, h.changed
		if h.bytes >= maxAtHand {
			free = 0
		}
		h.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return 0, nil
		case free > 0 && empty:
			return free, nil
		case free > 0:
			return free, changed
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

func (h *hand) take(size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.records, h.bytes = h.records+1, h.bytes+size
}

// drop ends the work on a record of so many bytes; notified says that it was
// given to a notifier.
func (h *hand) drop(size int, notified bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if notified {
		h.notes--
	} else {
		h.records--
	}
	h.bytes -= size
	h.signal()
}

// toNotifier moves a record from the workers to the notifiers, and reports
// whether those had capacity.
func (h *hand) toNotifier() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.notes >= h.notifiers {
		return false
	}
	h.notes, h.records = h.notes+1, h.records-1
	h.signal()
	return true
}

// signal wakes those who wait for a change.
func (h *hand) signal() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// empty waits until no record is at hand.
func (h *hand) empty() {
	for {
		h.mu.Lock()
		records, changed := h.records+h.notes, h.changed
		h.mu.Unlock()
		if records == 0 {
			return
		}
		<-changed
	}
}

// rest waits a moment after an error: a store that fails is not asked without
// end.
func (r *Runner) rest(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(idle):
	}
}

// work carries one record one step on and settles its lease.
func (r *Runner) work(ctx context.Context, h *held) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer h.renew(ctx, stop)()

	err := r.step(ctx, h)
	if err == nil || errors.Is(err, store.ErrLeaseLost) {
		return
	}
	// Settling must also be possible when ctx has ended: the record is
	// handed back then, and due at once.
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	var bad *unworkable
	var unnotified *unnotifiedError
	switch {
	case ctx.Err() != nil:
		err = h.deferFor(settle, 0)
	case errors.As(err, &bad):
		r.Log.Error("record buried", "id", h.lease.ID, "reason", bad.reason)
		err = h.bury(settle, bad.reason)
	case rules.Unavailable(err):
		wait := r.untilUsable(err)
		r.Log.Debug("waits until GitLab can be used", "id", h.lease.ID, "in", wait.String(), "error", err)
		err = h.deferFor(settle, wait)
	case errors.As(err, &unnotified): // of which there may be thousands
		err = h.deferFor(settle, unnotified.after)
	default:
		wait := backoff(err, h.tries())
		r.Log.Warn("tried again later", "id", h.lease.ID, "in", wait.String(), "error", err)
		err = h.deferFor(settle, wait)
	}
	if err != nil && !errors.Is(err, store.ErrLeaseLost) {
		r.Log.Error("the lease could not be settled; the record comes back by itself", "id", h.lease.ID, store.Outage(err))
	}
}

// unworkable is a record that no repetition can carry on.
type unworkable struct{ reason string }

func (e *unworkable) Error() string { return e.reason }

// step does what the record's kind asks for. An error means that the step
// is to be repeated later, or never if it is unworkable.
func (r *Runner) step(ctx context.Context, h *held) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.Log.Error("panic", "id", h.lease.ID, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
			if h.tries() >= maxPanics {
				err = &unworkable{err.Error()}
			}
		}
	}()
	switch h.lease.Kind {
	case rules.RecordEvent:
		return decoded(h, r.startEvent)(ctx)
	case rules.RecordDecision:
		return decoded(h, r.decision)(ctx)
	case rules.RecordOutcome:
		return decoded(h, r.outcome)(ctx)
	case rules.RecordSweep:
		return decoded(h, r.sweep)(ctx)
	case recordFollow:
		return decoded(h, r.lookAfter)(ctx)
	case recordStorm:
		return decoded(h, r.storm)(ctx)
	case recordTrouble:
		return decoded(h, r.trouble)(ctx)
	}
	return &unworkable{fmt.Sprintf("unknown kind %q", h.lease.Kind)}
}

// decoded hands the record's body to the step.
func decoded[T any](h *held, step func(context.Context, *held, T) error) func(context.Context) error {
	return func(ctx context.Context) error {
		var body T
		if err := json.Unmarshal(h.lease.Body, &body); err != nil {
			return &unworkable{fmt.Sprintf("the body can't be read: %v", err)}
		}
		return step(ctx, h, body)
	}
}

// held is a lease in the hands of one worker; the worker and the renewal
// change it in turn.
type held struct {
	queue Settler
	calm  int   // of the lease's attempts, those up to the last wait on purpose
	hand  *hand // where its worker is counted; nil: nowhere
	mu    sync.Mutex
	lease store.Lease

	notifying bool // it was given to a notifier
}

// toNotifier makes room for other work while the record is notified. It reports
// whether the notifiers have capacity.
func (h *held) toNotifier() bool {
	if h.notifying || h.hand == nil {
		return true
	}
	h.notifying = h.hand.toNotifier()
	return h.notifying
}

// tries is how often the record was tried since it last waited on purpose, this
// time included.
func (h *held) tries() int { return h.lease.Attempt - h.calm }

// renew keeps the lease alive until the returned function is called. A lease
// that is lost ends the work on it.
func (h *held) renew(ctx context.Context, lost context.CancelFunc) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(visibility / 3)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := h.extend(ctx); errors.Is(err, store.ErrLeaseLost) {
					lost()
				}
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}

// extend renews the lease, and saves its body.
func (h *held) extend(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.queue.Extend(ctx, &h.lease, visibility)
}

// keep changes the body that the next call to the queue saves.
func (h *held) keep(body any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, err := json.Marshal(body)
	if err == nil {
		h.lease.Body = b
	}
	return err
}

func (h *held) done(ctx context.Context, next ...store.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.queue.Done(ctx, &h.lease, next...)
}

func (h *held) deferFor(ctx context.Context, after time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.queue.Defer(ctx, &h.lease, after)
}

func (h *held) bury(ctx context.Context, reason string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.queue.Bury(ctx, &h.lease, reason)
}

// backoff gives how long to wait before the given attempt is repeated: what
// the error tells, else twice as long each time, from 1 s to 5 min.
func backoff(err error, attempt int) time.Duration {
	wait := min(time.Second<<min(max(attempt-1, 0), 10), 5*time.Minute)
	var told interface {
		Again() (after time.Duration, ok bool)
	}
	if errors.As(err, &told) {
		if after, ok := told.Again(); ok && after > 0 {
			return after
		}
	}
	return wait
}
