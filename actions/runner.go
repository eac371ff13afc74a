// Package actions evaluates events, carries out decisions and handles their outcomes.
// Each record in the queue is carried one step on. Every step can be repeated: a crash
// between two steps repeats the step, and the effect of a request before the crash is
// seen in the job's state.
//
//	event ──► decision ──► outcome ──► done
//	  │          │            │
//	  └──────────┴────────────┴─► due again later (GitLab or Slack fails, ...)
//
// Where to look:
//
//	evaluate.go  an event, and the steps after its evaluation
//	decide.go    decisions into the queue
//	decision.go  a decision: the guards in order, the request, the outcome
//	guard.go     the guards
//	retry.go …   the verbs, one file each: the state that calls for the action, and the request
//	verdict.go   what an attempt to carry out a decision comes to
//
// The parts have packages of their own: jobstate reads the job's real state; breaker,
// budget, pause and health defer or stop actions; follow follows retries; ledger remembers what they taught; notify journals
// outcomes and notifies people of them; sweep runs schedule rules; worker works on the
// queue.
//
// The package has more than 2,000 lines because it is one runner: its guards and verbs, a
// short file each, share the decision that is carried out.
package actions

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/actions/breaker"
	"github.com/pipesteward/pipesteward/actions/budget"
	"github.com/pipesteward/pipesteward/actions/confirm"
	"github.com/pipesteward/pipesteward/actions/facts/ondefault"
	"github.com/pipesteward/pipesteward/actions/follow"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/health"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/jobstate"
	"github.com/pipesteward/pipesteward/actions/ledger"
	"github.com/pipesteward/pipesteward/actions/metrics"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/steer"
	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/store"
)

// maxRetryTime is how long a record is tried again after transient errors.
const maxRetryTime = 24 * time.Hour

// Queue is the part of the store's queue that a Runner uses.
type Queue interface {
	confirm.Queue
	Depth(ctx context.Context) (store.Depth, error)
	worker.Queue
}

// Journal is the list of decisions and their outcomes.
type Journal interface {
	Amend(ctx context.Context, id string, body []byte) error
	Entry(ctx context.Context, id string) (*store.Entry, error)
}

// Guard is the state that replicas share.
type Guard interface {
	breaker.Guard
	budget.Guard
	pause.Store
}

// Rights says what people may do who request or confirm decisions.
type Rights interface {
	// Lost returns why a person may not do any more what a decision does, for people; "": the
	// person may. An error means that this is not known now.
	Lost(ctx context.Context, by event.Requester, d event.Decision) (refusal string, err error)
}

// Recent is a log of recent items.
type Recent interface {
	// Add adds an item, given in parts, by the subject by which it is found. It does
	// not block.
	Add(subject string, item ...[]byte)
}

// Config configures a Runner.
type Config struct {
	Queue     Queue
	Journal   Journal
	Guard     Guard
	GitLab    *gitlab.Client
	Receivers notify.Receivers    // nil: outcomes are journalled and logged only
	Rules     func() *rules.Rules // the rules in force
	Now       func() time.Time
	Log       *slog.Logger
	Metrics   *metrics.Metrics
	Tracer    trace.Tracer // nil: the work is not traced
	Workers   int          // how many records are in flight at the same time; at least 1
	// NativeRetry is how long GitLab is given to retry a job by itself, as the job's
	// `retry:` may say, from the event's arrival; 0: no time.
	NativeRetry time.Duration
	// RuleSince returns since when a rule, by its identity, is in force in this process;
	// zero: since its start. nil: rules do not change.
	RuleSince func(identity string) time.Time
	// Evaluations keeps what the rules made of each event, for a while; nil: it is not kept.
	Evaluations Recent
	// Unknown keeps the failed jobs that no class covers; nil: they are not kept.
	Unknown *unknown.Log
	// SeenTTL is how long the store keeps in which status a job or a pipeline was seen,
	// for catch-up; 0: it keeps none.
	SeenTTL time.Duration
	// LedgerRetention is how long what retries taught is kept after the last one; 0: for
	// ledger.DefaultRetention.
	LedgerRetention time.Duration
	// Own is the CI job that this process runs in: no action ends or changes it.
	Own Own
	// Rights is asked before each action that a person requested or confirmed; nil: such
	// actions wait for another process.
	Rights Rights
}

// Runner works on the queue of events, decisions and outcomes.
type Runner struct {
	Config
	Breakers  *breaker.Breakers
	Health    *health.Monitor
	Confirms  *confirm.Confirmer
	Budgets   budget.Budgets
	Pool      *worker.Pool
	gate      pause.Gate
	states    jobstate.Reader
	notifier  *notify.Notifier
	sweeps    *sweep.Handler
	retries   follow.Retries
	ledger    *ledger.Ledger
	onDefault *ondefault.Runs
	projects  sync.Map // ids by path, of projects whose hooks have no id
}

// New returns a Runner.
func New(c Config) *Runner {
	r := &Runner{Config: c, onDefault: ondefault.New(c.Now), gate: pause.Gate{Rules: c.Rules, Pauses: pause.Pauses{Store: c.Guard, Now: c.Now, Log: c.Log}}}
	r.notifier = notify.New(notify.Config{
		Journal: c.Journal, Queue: c.Queue, Guard: c.Guard, Immediate: c.Own != Own{}, Mutes: pause.Mutes{Store: c.Guard, Now: c.Now, Log: c.Log}, Receivers: c.Receivers, Rules: c.Rules, Facts: func() expression.Facts { return r.facts() }, Metrics: c.Metrics, Now: c.Now, Log: c.Log,
	})
	r.Health = health.New(health.Config{
		GitLab: c.GitLab, Guard: c.Guard, Queue: c.Queue, Announcer: r.notifier, Rules: c.Rules, Now: c.Now, Log: c.Log,
	})
	r.Breakers = &breaker.Breakers{
		Guard: c.Guard, Queue: c.Queue, Announcer: r.notifier, Rules: c.Rules, Now: c.Now, Log: c.Log,
		JobLog: func(ctx context.Context, e event.Event) (string, error) { return r.facts().Log(ctx, e) },
	}
	r.Confirms = &confirm.Confirmer{Queue: c.Queue, Guard: c.Guard, Journal: c.Journal, Unattended: c.Own != Own{}, Now: c.Now, Log: c.Log}
	r.Budgets = budget.Budgets{Guard: c.Guard, Limits: func() rules.Limits { return c.Rules().Limits() }}
	r.states = jobstate.Reader{GitLab: c.GitLab, Budgets: r.Budgets, Now: c.Now}
	r.retries = follow.Retries{Guard: c.Guard, Queue: c.Queue, Journal: r.notifier, GitLab: c.GitLab, Rules: c.Rules, Now: c.Now, NativeRetry: c.NativeRetry, MayWait: r.mayWait}
	r.ledger = ledger.New(ledger.Config{
		Guard: c.Guard, Queue: c.Queue, Announcer: r.notifier, Rules: c.Rules, Facts: func() expression.Facts { return r.facts() }, Metrics: c.Metrics, Now: c.Now, Log: c.Log,
		Retention: cmp.Or(c.LedgerRetention, ledger.DefaultRetention),
	})
	r.sweeps = sweep.NewHandler(sweep.Sweeper{
		GitLab: c.GitLab, Rules: c.Rules, Now: c.Now, Metrics: c.Metrics, Pauses: r.gate.Pauses,
		Queue: r.QueueDecisions, Capacity: sweep.QueueCapacity(c.Queue), Default: r.onDefault,
	}, c.Guard)
	r.Pool = worker.New(worker.Config{Queue: c.Queue, Handlers: r.handlers(), Log: c.Log, Workers: c.Workers, SlowLane: notify.Capacity, Span: tracing.Records(c.Tracer, c.Now)})
	return r
}

// Handle has the records of a kind handled beside those that a Runner knows. It is called
// before the Runner works.
func (r *Runner) Handle(kind string, handle worker.Handler) {
	r.Pool.Handlers[kind] = steer.Explained(kind, r.classified(handle))
}

// Run works until ctx is done. Then it leases no more records, gives those in
// flight the time of grace to end, gives the others back and returns.
func (r *Runner) Run(ctx context.Context, grace time.Duration) { r.Pool.Run(ctx, grace) }

// WorkOff works as Run does, and returns also when no record is due and none is in
// flight. Records that other replicas have leased do not count.
func (r *Runner) WorkOff(ctx context.Context, grace time.Duration) { r.Pool.WorkOff(ctx, grace) }

// Announce sends a notice, as notify.Notifier does.
func (r *Runner) Announce(ctx context.Context, key string, notice event.Notice, since time.Time, about ...any) error {
	return r.notifier.Announce(ctx, key, notice, since, about...)
}

// Seed adds tries that a backtest has found to what is known of retries, as ledger.Ledger does.
func (r *Runner) Seed(ctx context.Context, found []event.PastTry) (event.Seeded, error) {
	return r.ledger.Seed(ctx, r.GitLab.Instance(), found)
}

// Reconnect has a receiver called again that was given up for a while: its token, for
// instance, is another one now.
func (r *Runner) Reconnect(receiver string) { r.notifier.Reconnect(receiver) }

// Undelivered tells for which addresses notifications wait.
func (r *Runner) Undelivered(ctx context.Context) (notify.Status, error) {
	return r.notifier.Status(ctx)
}

// handlers returns the handler of each kind of record.
func (r *Runner) handlers() map[string]worker.Handler {
	all := map[string]worker.Handler{
		event.RecordEvent:    worker.JSON(r.event),
		event.RecordDecision: worker.JSON(r.decision),
		event.RecordOutcome:  worker.JSON(r.notifier.Handle),
		event.RecordNotice:   worker.JSON(r.notifier.HandleNotice),
		event.RecordDigest:   worker.JSON(r.notifier.HandleDigest),
		event.RecordSweep:    worker.JSON(r.sweeps.Handle),
		follow.RecordKind:    worker.JSON(r.retries.Handle),
		ledger.RecordKind:    worker.JSON(r.ledger.HandleTry),
		ledger.TurnKind:      worker.JSON(r.ledger.HandleTurn),
		breaker.RecordKind:   worker.JSON(r.Breakers.Handle),
		confirm.RecordKind:   worker.JSON(r.Confirms.Handle),
		health.RecordKind:    worker.JSON(r.Health.Handle),
		hooks.RecordKind:     worker.JSON(hooks.Announcements{Announcer: r.notifier, Rules: r.Rules}.Handle),
	}
	for kind, handle := range all {
		all[kind] = steer.Explained(kind, r.classified(handle))
	}
	return all
}

// classified returns a handler whose records wait until GitLab can be used.
func (r *Runner) classified(handle worker.Handler) worker.Handler {
	return func(ctx context.Context, l *worker.Lease) error {
		err := handle(ctx, l)
		if event.Unavailable(err) {
			err = &worker.LaterError{Err: err, After: r.Health.Wait(err)}
		}
		return err
	}
}
