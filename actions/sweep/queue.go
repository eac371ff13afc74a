package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// claimTTL is how long the claim on a rule lasts without renewal.
const claimTTL = 2 * time.Minute

// errBusy is returned while another run of the rule is under way, or maxRuns of other
// rules.
var errBusy = errors.New("other sweeps are under way")

// Claim makes its owner the only one that runs the rule, until release is called; nil
// if another owner runs it. The returned context ends with ctx, and when another owner
// has taken over.
func Claim(ctx context.Context, c store.Claimer, rule, owner string) (claimed context.Context, release func(), err error) {
	return store.HoldClaim(ctx, c, keys.Sweep(rule), owner, claimTTL)
}

// Handler makes the runs that the queue brings.
type Handler struct {
	sweeper Sweeper
	claimer store.Claimer
	runs    *semaphore.Weighted
}

// NewHandler returns a Handler whose runs are made as s makes them, but for Save.
func NewHandler(s Sweeper, c store.Claimer) *Handler {
	return &Handler{s, c, semaphore.NewWeighted(maxRuns)}
}

// Handle makes a run of a schedule rule, and queues its outcome.
func (h *Handler) Handle(ctx context.Context, l *worker.Lease, run event.Sweep) error {
	if !h.runs.TryAcquire(1) {
		return errBusy
	}
	defer h.runs.Release(1)
	// The run is the owner: after a kill, the next worker continues it at once.
	claimed, release, err := Claim(ctx, h.claimer, run.Rule, run.ID)
	if err != nil {
		return err
	}
	if release == nil {
		return errBusy
	}
	defer release()
	s := h.sweeper
	s.Save = func(ctx context.Context, run event.Sweep) error {
		return errors.Join(l.Keep(run), l.Extend(ctx))
	}
	if err := s.Run(claimed, &run); err != nil {
		return errors.Join(err, l.Keep(run))
	}
	record, err := notify.OutcomeRecord(Outcome(run, s.GitLab.Instance(), s.Now().UTC()))
	if err != nil {
		return err
	}
	return l.Done(ctx, record)
}

// maxBacklog is how many records may be due while a run adds more.
const maxBacklog = 1000

// Queue counts the records in the queue.
type Queue interface {
	Depth(ctx context.Context) (store.Depth, error)
}

// QueueCapacity returns the Capacity of a Sweeper that adds decisions to the queue.
func QueueCapacity(q Queue) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		depth, err := q.Depth(ctx)
		if err != nil || depth.Due < maxBacklog {
			return err
		}
		return &queueFullError{}
	}
}

// queueFullError is returned while the queue has no capacity for more decisions.
type queueFullError struct{}

func (*queueFullError) Error() string {
	return fmt.Sprintf("%d records wait in the queue: the sweep goes on when `serve` has worked some off", maxBacklog)
}

// Again says when there may be capacity; see event.Transient.
func (*queueFullError) Again() (after time.Duration, ok bool) { return 10 * time.Second, true }

// Outcome returns the outcome of a run that has ended.
func Outcome(run event.Sweep, instance string, now time.Time) event.Outcome {
	o := event.Outcome{Result: event.ResultDone, Reason: run.String(), Freed: run.Freed, Sweep: run, At: now}
	o.Meta = event.Meta{Kind: event.KindSchedule, ID: run.ID, Source: event.SourceSchedule, Instance: instance, ReceivedAt: run.Began}
	o.ID, o.Key, o.Rule, o.DecidedAt = run.ID, run.ID, run.Rule, run.Began
	o.Action.Verb, o.DryRun = run.Verb(), run.DryRun
	acted := run.Erased
	if !run.Erases() {
		acted = run.Queued
	}
	switch {
	case run.DryRun:
		o.Result = event.ResultDryRun
	case acted == 0 && (run.Failed > 0 || run.Finished == 0 && len(run.Problems) > 0):
		o.Result = event.ResultFailed
	case acted == 0 && len(run.Problems) == 0:
		o.Result = event.ResultSkipped // a run that found nothing to do needs no message
	}
	return o
}
