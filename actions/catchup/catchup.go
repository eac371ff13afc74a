package catchup

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// claimTTL is how long a replica that died keeps others from catching up.
	claimTTL = 2 * time.Minute
	// deliveriesEach is how often the lists of failed deliveries are read, and
	// the projects that settings name are looked up.
	deliveriesEach = time.Hour
)

// GitLab is what catch-up reads of GitLab; a *gitlab.Client implements it.
type GitLab interface {
	// Instance returns the base URL, without a slash at its end.
	Instance() string
	// Project returns a project by its id in digits.
	Project(ctx context.Context, id string) (gitlab.Project, error)
	JobReader
	PipelineReader
	HookReader
}

// JobReader reads jobs.
type JobReader interface {
	// ProjectJobs lists a project's jobs in these statuses, newest first.
	ProjectJobs(ctx context.Context, project int64, statuses ...string) iter.Seq2[gitlab.Job, error]
	// PipelineJobs lists the jobs of a pipeline, with how often each was tried.
	PipelineJobs(ctx context.Context, project, pipeline int64, includeRetried bool, statuses ...string) ([]gitlab.Job, error)
	// Event makes the event that a webhook would have sent of the job.
	Event(job gitlab.Job, source string) event.Event
}

// PipelineReader reads pipelines.
type PipelineReader interface {
	// PipelinesSince lists the pipelines that changed since then.
	PipelinesSince(ctx context.Context, project int64, since time.Time, statuses ...string) ([]gitlab.UpdatedPipeline, error)
	// PipelineEvent makes the event that a webhook would have sent of the pipeline.
	PipelineEvent(ctx context.Context, project, pipeline int64, source string) (event.Event, error)
	// BridgeEvents makes events of the trigger jobs of a pipeline.
	BridgeEvents(ctx context.Context, project, pipeline int64, source string) ([]event.Event, error)
}

// HookReader reads webhooks, and what GitLab could not deliver to them.
type HookReader interface {
	ProjectHooks(ctx context.Context, project int64) ([]gitlab.Hook, error)
	GroupHooks(ctx context.Context, group string) ([]gitlab.Hook, error)
	// FailedDeliveries lists failed deliveries, newest first.
	FailedDeliveries(ctx context.Context, hook gitlab.Hook) iter.Seq2[gitlab.HookDelivery, error]
}

var _ GitLab = (*gitlab.Client)(nil)

// Store is what catch-up needs of the store.
type Store interface {
	Put(ctx context.Context, records ...store.Record) (added []bool, err error)
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	store.Claimer
}

// Config is what New needs; all but what is marked optional is required.
type Config struct {
	Store  Store
	GitLab GitLab
	// WebhookPath is where the URLs of this service's webhooks end.
	WebhookPath string
	// Decode makes the event of a failed delivery, with the id that the webhook
	// gives it. An error: the delivery makes none, or is another GitLab's.
	Decode func(d gitlab.HookDelivery) (event.Event, error)
	// Known returns the projects that ever sent an event.
	Known func(ctx context.Context) ([]KnownProject, error)
	// Named returns the projects that settings name, and a problem for each name
	// that matches none.
	Named  func(ctx context.Context) ([]event.Project, []event.SweepProblem, error)
	Rules  func() *rules.Rules
	Every  time.Duration // between two rounds
	MaxAge time.Duration // of an event
	// RuleSince returns since when a rule, by its identity, is in force in this
	// process; zero: since its start. Optional: rules do not change.
	RuleSince func(identity string) time.Time
	// RulesReplaced receives a value when other rules come into force. Optional.
	RulesReplaced <-chan struct{}
	// Since, if set, takes the place of all watermarks: events since then are
	// queued whether or not they were evaluated before, for the rules in force now.
	Since  time.Time
	DryRun bool // counts the events, and changes nothing
	// Watched reports whether others announce it when GitLab disables a webhook that sends
	// the events of a project. Optional: nobody does.
	Watched func(h gitlab.Hook, p event.Project) bool
	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer // optional
}

// Finder finds events that no webhook delivered, and queues them.
type Finder struct {
	Config
	owner     string // of the claim
	events    *prometheus.CounterVec
	lastRound prometheus.Gauge

	// What one round leaves to the next:
	listed   time.Time // when Named and the lists of failed deliveries were last read
	named    []event.Project
	disabled map[string]bool      // webhooks that GitLab had disabled, by name
	hidden   map[string]time.Time // owners of webhooks that the token may not see, and since when
}

// Result is what a round found.
type Result event.CatchUpFound

// Found returns the number of events.
func (r Result) Found() int { return r.Replayed + r.Jobs + r.Pipelines }

// problem adds what of a project could not be read.
func (r *Result) problem(project string, err error) {
	r.Problems = append(r.Problems, event.SweepProblem{Project: project, Reason: err.Error(), Times: 1})
}

// New returns a Finder.
func New(cfg Config) *Finder {
	f := &Finder{
		Config:   cfg,
		owner:    rand.Text(),
		disabled: map[string]bool{},
		hidden:   map[string]time.Time{},
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_catch_up_events_total",
			Help: "Events that no webhook delivered, by kind: replayed deliveries, jobs and pipelines.",
		}, []string{"found"}),
		lastRound: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pipesteward_catch_up_last_round_timestamp_seconds",
			Help: "When this process last ended a round of catch-up.",
		}),
	}
	for _, what := range []found{foundJob, foundPipeline, foundReplayed} { // an increase needs the 0 before the first
		f.events.WithLabelValues(string(what))
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(f.events, f.lastRound)
	}
	return f
}

// requested returns a Finder for one round that a person requested.
func (f *Finder) requested(since time.Time, dryRun bool) *Finder {
	cfg := f.Config
	cfg.Since, cfg.DryRun = since, cfg.DryRun || dryRun
	return &Finder{Config: cfg, owner: rand.Text(), disabled: map[string]bool{}, hidden: map[string]time.Time{}, events: f.events, lastRound: f.lastRound}
}

// Run makes a round at once and then one every Every, until ctx is done. It
// records the rules when they come into force, which may be long before a round.
func (f *Finder) Run(ctx context.Context) {
	ticker := time.NewTicker(f.Every)
	defer ticker.Stop()
	f.recordRules(ctx)
	var logged map[string]bool
	for {
		result, err := f.Round(ctx, false)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrRunning):
		case event.Unavailable(err): // the worker logs it
			f.Log.InfoContext(ctx, "catch-up waits until GitLab is available", "error", err)
		case err != nil:
			f.Log.ErrorContext(ctx, "catch-up failed; it is repeated in the next round", "error", err)
		case result.Found() > 0:
			f.Log.InfoContext(ctx, "catch-up queued events that no webhook delivered", "projects", result.Projects, "jobs", result.Jobs, "pipelines", result.Pipelines, "replayed", result.Replayed)
		}
		logged = f.logProblems(result.Problems, logged)
		if !f.wait(ctx, ticker.C) {
			return
		}
	}
}

// wait waits for the next round, and records the rules when they are replaced. It
// returns false once ctx is done.
func (f *Finder) wait(ctx context.Context, next <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-next:
			return true
		case <-f.RulesReplaced:
			f.recordRules(ctx)
		}
	}
}

func (f *Finder) recordRules(ctx context.Context) {
	if _, err := f.rulesSince(ctx, false); err != nil && ctx.Err() == nil {
		f.Log.ErrorContext(ctx, "the rules in force could not be recorded; the next round records them", store.Outage(err))
	}
}

// logProblems logs the problems that the round before did not have, and returns
// all: a project that is gone is logged once.
func (f *Finder) logProblems(problems []event.SweepProblem, before map[string]bool) map[string]bool {
	now := map[string]bool{}
	for _, p := range problems {
		if now[p.String()] = true; !before[p.String()] {
			f.Log.Warn("catch-up could not read a project or webhook", "project", p.Project, "job", p.Job, "reason", p.Reason, "times", p.Times)
		}
	}
	return now
}

// ErrRunning means that another replica is catching up.
var ErrRunning = errors.New("another process is catching up")

// Round reads all projects once. On demand, it also reads failed deliveries and
// long jobs, no matter when they were last read. An error is ErrRunning, ctx's,
// the store's, or that GitLab is unavailable.
func (f *Finder) Round(ctx context.Context, onDemand bool) (Result, error) {
	return f.claimed(ctx, onDemand, func(context.Context) error { return nil })
}

// claimed is Round. It calls begin once no other round can begin, with a context that is
// done at the end of this one; an error of begin is that of the round.
func (f *Finder) claimed(ctx context.Context, onDemand bool, begin func(ctx context.Context) error) (Result, error) {
	claimed, release, err := store.HoldClaim(ctx, f.Store, keys.CatchUp, f.owner, claimTTL)
	if err != nil {
		return Result{}, err
	}
	if release == nil {
		return Result{}, ErrRunning
	}
	defer release()
	if err := begin(claimed); err != nil {
		return Result{}, err
	}
	r := newRound(f, onDemand)
	err = r.run(claimed)
	if claimed.Err() != nil && ctx.Err() == nil {
		err = ErrRunning // another replica has taken over
	}
	return r.result, err
}
