package catchup

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// catchUpHold is how long a replica that died keeps others from catching up.
	catchUpHold = 2 * time.Minute
	// overlap is how far before a project's watermark is looked once more: clocks
	// may be apart, and what ended just before a round is left to its webhook. It
	// never reaches back beyond the project's beginning, or the rules'.
	overlap = 10 * time.Minute
	// settled is how long ago something must have happened: its webhook may be
	// on its way.
	settled = time.Minute
	// quickReach is how long before what is looked for, jobs may have been made
	// to be found in each round; longer ones are found in the deep rounds, each
	// deepEach.
	quickReach = 3 * time.Hour
	deepEach   = time.Hour
	// deliveriesEach is how often the lists of failed deliveries are read, and
	// the projects that settings name are looked up.
	deliveriesEach = time.Hour
	// watermarkKept is how long it is kept up to when a project was looked at.
	watermarkKept = 365 * 24 * time.Hour
)

// History is what catch-up reads of GitLab. Events are as hooks would have
// made them, with the source catch_up and an id by what they tell.
type History interface {
	// Project gives a project by its id.
	Project(ctx context.Context, id int64) (event.Project, error)
	// Jobs lists a project's jobs in these statuses, newest first.
	Jobs(ctx context.Context, project int64, statuses []string) iter.Seq2[event.Event, error]
	// Changed lists the pipelines that changed since then.
	Changed(ctx context.Context, project int64, since time.Time) ([]ChangedPipeline, error)
	// Pipeline gives a pipeline with its jobs.
	Pipeline(ctx context.Context, project, pipeline int64) (event.Event, error)
	// Attempt gives which run of its name in its pipeline a job is, from 1.
	Attempt(ctx context.Context, project int64, job event.Job, pipeline int64) (int, error)
	// Bridges lists the trigger jobs of a pipeline.
	Bridges(ctx context.Context, project, pipeline int64) ([]event.Event, error)
}

// ChangedPipeline is a pipeline, and when it changed last.
type ChangedPipeline struct {
	ID     int64
	Status string
	At     time.Time
}

// Hooks are what GitLab's webhooks could not deliver.
type Hooks interface {
	// Hooks lists the webhooks that send a project's events here: its own, and
	// those of its groups.
	Hooks(ctx context.Context, p event.Project) ([]Hook, error)
}

// Hook is a webhook.
type Hook struct {
	Name     string // names it in keys and logs, without its URL
	Disabled string // why GitLab sends nothing now; "": it does
	// Failed lists what could not be delivered, newest first.
	Failed func(ctx context.Context) iter.Seq2[FailedDelivery, error]
}

// FailedDelivery is one of them.
type FailedDelivery struct {
	ID   int64
	At   time.Time // zero where GitLab does not tell
	Key  string    // the Idempotency-Key; "" where there is none
	Body []byte    // nil where GitLab did not keep it
}

// CatchUpStore is what catch-up needs of the store.
type CatchUpStore interface {
	Put(ctx context.Context, records ...store.Record) (added []bool, err error)
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	store.Claimer
}

// CatchUpConfig is what NewCatchUp needs; all but Metrics is required.
type CatchUpConfig struct {
	Store   CatchUpStore
	History History
	Hooks   Hooks
	Known   func(ctx context.Context) ([]KnownProject, error) // the projects that ever sent an event
	// Named gives the projects that settings name, and which of the names mean
	// none.
	Named func(ctx context.Context) ([]event.Project, []event.SweepProblem, error)
	Rules func() *rules.Rules
	// Decode makes the event of a failed delivery, with the id that the webhook
	// gives it. An error: the delivery makes none, or is another GitLab's.
	Decode   func(d FailedDelivery) (event.Event, error)
	Instance string        // base URL of the GitLab, without a slash at its end
	Every    time.Duration // between two rounds
	MaxAge   time.Duration // of what was missed
	// RuleSince gives since when a rule, by its identity, is in force in this
	// process; zero: since its start. nil: rules do not change.
	RuleSince func(identity string) time.Time
	// RulesReplaced tells when the rules were replaced by others. nil: never.
	RulesReplaced <-chan struct{}
	// Since, if set, takes the place of all watermarks: events since then are
	// handled whether or not somebody looked at them before, by the rules of now.
	Since   time.Time
	DryRun  bool // counts what was missed, and changes nothing
	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// CatchUp finds what no webhook told: deliveries that failed are replayed
// from GitLab's own list, and for each known project, jobs and pipelines that
// ended since it was last looked at and that no event told of become events.
// What a webhook tells as well is decided once, because decisions have keys by
// what they are about.
type CatchUp struct {
	CatchUpConfig
	owner  string
	events *prometheus.CounterVec
	last   prometheus.Gauge

	listed time.Time // when named and deliveries were last read
	named  []event.Project
	warned map[string]bool // hooks that are disabled, by name

	// Of the round:
	known map[int64]KnownProject
	since rulesSince
	again string // ends the ids of events that a person wants looked at once more
}

// CatchUpResult is what came of a round.
type CatchUpResult struct {
	Projects  int                  `json:"projects"`  // that were looked at without a problem
	Replayed  int                  `json:"replayed"`  // failed deliveries
	Unkept    int                  `json:"unkept"`    // failed deliveries that GitLab kept no body of
	Jobs      int                  `json:"jobs"`      // that no event told of
	Pipelines int                  `json:"pipelines"` // likewise
	Problems  []event.SweepProblem `json:"problems,omitempty"`
}

// Found is how much was missed.
func (r CatchUpResult) Found() int { return r.Replayed + r.Jobs + r.Pipelines }

// problem notes that something of a project could not be read.
func (r *CatchUpResult) problem(project string, err error) {
	r.Problems = append(r.Problems, event.SweepProblem{Project: project, Reason: err.Error(), Times: 1})
}

// NewCatchUp makes a CatchUp.
func NewCatchUp(cfg CatchUpConfig) *CatchUp {
	c := &CatchUp{
		CatchUpConfig: cfg,
		owner:         rand.Text(),
		warned:        map[string]bool{},
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pipesteward_catch_up_events_total",
			Help: "Events that no webhook told, by what they are: replayed deliveries, jobs and pipelines.",
		}, []string{"found"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pipesteward_catch_up_last_round_timestamp_seconds",
			Help: "When this process last ended a round of catch-up.",
		}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(c.events, c.last)
	}
	return c
}

// Run makes a round at once and then again and again, until ctx ends. The rules
// are noted when they come into force: a round may be long in coming.
func (c *CatchUp) Run(ctx context.Context) {
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	c.noteRules(ctx)
	var said map[string]bool
	for {
		result, err := c.Round(ctx, false)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrCatchingUp):
		case event.Unavailable(err): // the runner says so
			c.Log.Info("catch-up waits until GitLab can be used", "reason", err)
		case err != nil:
			c.Log.Error("catch-up was cut short; again soon", "error", err)
		case result.Found() > 0:
			c.Log.Info("caught up with what no webhook told", "projects", result.Projects, "jobs", result.Jobs, "pipelines", result.Pipelines, "replayed", result.Replayed)
		}
		said = c.say(result.Problems, said)
		if !c.rest(ctx, ticker.C) {
			return
		}
	}
}

// rest waits for the next round, and notes the rules when they are replaced; false:
// ctx has ended.
func (c *CatchUp) rest(ctx context.Context, next <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-next:
			return true
		case <-c.RulesReplaced:
			c.noteRules(ctx)
		}
	}
}

func (c *CatchUp) noteRules(ctx context.Context) {
	if _, err := c.rulesSince(ctx, false); err != nil && ctx.Err() == nil {
		c.Log.Error("the rules in force could not be noted; the next round does", store.Outage(err))
	}
}

// say logs the problems that were not there in the round before, and gives all:
// a project that is gone is told of once.
func (c *CatchUp) say(problems []event.SweepProblem, before map[string]bool) map[string]bool {
	now := map[string]bool{}
	for _, p := range problems {
		if now[p.String()] = true; !before[p.String()] {
			c.Log.Warn("catch-up could not look at something", "problem", p.String())
		}
	}
	return now
}

// ErrCatchingUp says that another replica is catching up.
var ErrCatchingUp = errors.New("another process is catching up")

// Round looks at all projects once. On demand, also deliveries and long jobs
// are looked at whenever they were last. An error is ErrCatchingUp, ctx's, or the store's.
func (c *CatchUp) Round(ctx context.Context, onDemand bool) (result CatchUpResult, err error) {
	held, release, err := store.HoldClaim(ctx, c.Store, keys.CatchUp, c.owner, catchUpHold)
	if err != nil {
		return result, err
	}
	if release == nil {
		return result, ErrCatchingUp
	}
	defer release()
	result, err = c.round(held, onDemand)
	if held.Err() != nil && ctx.Err() == nil {
		err = ErrCatchingUp // another replica has taken over
	}
	return result, err
}

// round makes a round while the claim is held.
func (c *CatchUp) round(ctx context.Context, onDemand bool) (result CatchUpResult, err error) {
	deliveries := onDemand || c.Now().Sub(c.listed) >= deliveriesEach
	projects, unnamed, err := c.projects(ctx, deliveries, &result)
	if err != nil {
		return result, err
	}
	if c.since, err = c.rulesSince(ctx, onDemand); err != nil {
		return result, err
	}
	if c.again, err = c.onceMore(ctx); err != nil {
		return result, err
	}
	c.known = map[int64]KnownProject{}
	for _, p := range projects {
		c.known[p.ID] = p
	}
	wanted := c.wanted()
	read := map[string]*hookRead{}
	unlisted := false // the webhooks of a project, which may be those of groups
	unread := unnamed // deliveries of a hook, or the named projects, for now
	for _, known := range projects {
		p := &project{KnownProject: known, history: c.History}
		var err error
		if deliveries {
			err = c.failed(ctx, p, read, &result)
			unlisted = unlisted || err != nil && event.Transient(err)
		}
		err = errors.Join(err, c.missed(ctx, p, wanted, onDemand, &result))
		if err != nil && event.Transient(err) {
			p.readAgain()
		}
		var broken *storeError
		switch {
		case ctx.Err() != nil:
			return result, ctx.Err()
		case errors.As(err, &broken), event.Unavailable(err):
			return result, err
		case err != nil:
			result.problem(p.name(), err)
		default:
			result.Projects++
		}
	}
	for _, h := range read {
		switch {
		case h.unkept.IsZero():
		case h.again, unlisted:
			unread = true
		default:
			if err := c.keep(ctx, h.key, strconv.FormatInt(h.last, 10)); err != nil {
				return result, err
			}
		}
	}
	if deliveries && !unread && !unlisted {
		c.listed = c.Now()
	}
	c.last.Set(float64(c.Now().Unix()))
	return result, nil
}

// projects gives all projects to look at, by id, and whether those that settings
// name could not be looked up.
func (c *CatchUp) projects(ctx context.Context, anew bool, result *CatchUpResult) (projects []KnownProject, unnamed bool, err error) {
	if anew {
		named, problems, err := c.Named(ctx)
		switch {
		case event.Unavailable(err):
			return nil, unnamed, err
		case err != nil && ctx.Err() == nil:
			unnamed = true
			result.problem("", fmt.Errorf("the projects to watch could not be looked up: %w", err))
		case err == nil:
			c.named = named
		}
		result.Problems = append(result.Problems, problems...)
	}
	if projects, err = c.Known(ctx); err != nil {
		return nil, unnamed, err
	}
	for _, p := range c.named {
		projects = append(projects, KnownProject{ID: p.ID})
	}
	slices.SortStableFunc(projects, func(a, b KnownProject) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(projects, func(a, b KnownProject) bool { return a.ID == b.ID }), unnamed, nil
}

// project is one of them, looked up when its name is asked for.
type project struct {
	KnownProject
	history History
	found   event.Project
	hooks   []*hookRead // that send its events
}

// hookRead is what a round has read of a webhook's failed deliveries. The
// webhook of a group belongs to many projects.
type hookRead struct {
	key  string
	last int64 // id of the latest delivery
	// unkept is when the first of them failed whose body GitLab did not keep;
	// zero: none did. What it told is looked for in the projects, and until that
	// was done, it counts as not read.
	unkept time.Time
	again  bool // one of the projects could not be read
}

// unkept is when the first delivery failed that may have been about the project
// and whose body GitLab did not keep; zero: none.
func (p *project) unkept() (first time.Time) {
	for _, h := range p.hooks {
		if first.IsZero() || !h.unkept.IsZero() && h.unkept.Before(first) {
			first = h.unkept
		}
	}
	return first
}

// readAgain makes the next round look again for what the webhooks' deliveries
// without a body told.
func (p *project) readAgain() {
	for _, h := range p.hooks {
		h.again = true
	}
}

func (p *project) get(ctx context.Context) (event.Project, error) {
	if p.found.ID == 0 {
		var err error
		if p.found, err = p.history.Project(ctx, p.ID); err != nil {
			return p.found, err
		}
	}
	return p.found, nil
}

func (p *project) name() string {
	if p.found.Path != "" {
		return p.found.Path
	}
	return strconv.FormatInt(p.ID, 10)
}

// wanted are the statuses in which rules can want jobs and pipelines.
type wanted struct {
	jobs, pipelines []string
	bridges         bool
}

var (
	// Of jobs, those that ended, and those in which they wait for somebody: no
	// hook tells of the latter.
	lastingJobs      = []string{"success", "failed", "canceled", "skipped", "manual", "scheduled"}
	lastingPipelines = []string{"success", "failed", "canceled", "skipped", "manual", "scheduled"}
)

func (c *CatchUp) wanted() wanted {
	rs := c.Rules()
	w := wanted{bridges: rs.WantsBridges()}
	for _, status := range lastingJobs {
		if rs.Wants(event.Event{Meta: event.Meta{Kind: event.KindJob}, Job: event.Job{Status: status, Attempt: 1}}) {
			w.jobs = append(w.jobs, status)
		}
	}
	for _, status := range lastingPipelines {
		if rs.Wants(event.Event{Meta: event.Meta{Kind: event.KindPipeline}, Pipeline: event.Pipeline{Status: status}}) {
			w.pipelines = append(w.pipelines, status)
		}
	}
	return w
}

// storeError is an error of the store, which ends a round.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }

// missed finds what happened in a project since its watermark and no event
// told.
func (c *CatchUp) missed(ctx context.Context, p *project, w wanted, onDemand bool, result *CatchUpResult) error {
	now := c.Now().UTC()
	last, err := c.watermark(ctx, p.KnownProject)
	if err != nil {
		return err
	}
	oldest := later(now.Add(-c.MaxAge), later(last.Known, c.since.first()))
	if !c.Since.IsZero() {
		oldest = c.Since
		last.At, last.Deep = oldest, oldest
	}
	deep := onDemand || now.Sub(last.Deep) >= deepEach
	if unkept := p.unkept(); !unkept.IsZero() {
		last.At, last.Deep, deep = earlier(last.At, unkept), earlier(last.Deep, unkept), true
	}
	since := func(mark time.Time) span {
		return span{later(mark.Add(-overlap), oldest), oldest, now.Add(-settled)}
	}
	if deep {
		err = c.jobs(ctx, p, w, since(last.Deep), c.MaxAge, result)
		last.Deep = now
	} else {
		err = c.jobs(ctx, p, w, since(last.At), quickReach, result)
	}
	if err == nil {
		err = c.pipelines(ctx, p, w, since(last.At), result)
	}
	if err != nil {
		return err
	}
	last.At = now
	return c.keepJSON(ctx, c.watermarkKey(p.ID), last)
}

// watermark is how far a project was looked at, by all replicas.
type watermark struct {
	// Known is when the project became known: with its first event, by the
	// store's clock, or in the first round that saw it among --projects. What
	// ended, or began to wait, before is nobody's to act on.
	Known time.Time `json:"known"`
	At    time.Time `json:"at"`   // up to when each round looked
	Deep  time.Time `json:"deep"` // up to when rounds looked that also find long jobs
}

func (c *CatchUp) watermarkKey(project int64) string {
	return keys.CaughtUp(c.Instance, project)
}

// watermark gives a project's watermark. Of one that no round looked at yet, it
// is when the project became known.
func (c *CatchUp) watermark(ctx context.Context, p KnownProject) (watermark, error) {
	value, err := c.Store.Get(ctx, c.watermarkKey(p.ID))
	if err != nil {
		return watermark{}, &storeError{err}
	}
	known := p.Since
	if known.IsZero() {
		known = c.Now()
	}
	known = known.UTC()
	var mark watermark
	switch {
	case len(value) == 0 || json.Unmarshal(value, &mark) != nil:
		mark = watermark{known, known, known}
	case mark.Known.IsZero() && known.After(mark.At): // of a version that kept none
		mark.Known = mark.At
	case mark.Known.IsZero():
		mark.Known = known
	}
	return mark, nil
}

// beginning is since when the events of a project are acted on; false: the
// project is not known.
func (c *CatchUp) beginning(ctx context.Context, project int64) (time.Time, bool, error) {
	p, known := c.known[project]
	if !known {
		return time.Time{}, false, nil
	}
	oldest := c.Now().Add(-c.MaxAge)
	if !c.Since.IsZero() {
		return c.Since, true, nil
	}
	mark, err := c.watermark(ctx, p)
	return later(oldest, later(mark.Known, c.since.first())), true, err
}

// rulesSince is since when each rule is in force on all replicas, by its
// identity; zero: as long as catch-up has noted rules.
type rulesSince map[string]time.Time

// first is since when the first of them is.
func (s rulesSince) first() (first time.Time) {
	for _, since := range s {
		if first.IsZero() || since.Before(first) {
			first = since
		}
		if since.IsZero() {
			return since
		}
	}
	return first
}

// after gives the rules that came into force later.
func (s rulesSince) after(at time.Time) []string {
	var newer []string
	for identity, since := range s {
		if since.After(at) {
			newer = append(newer, identity)
		}
	}
	slices.Sort(newer)
	return newer
}

// rulesInForce is what is noted of them.
type rulesInForce struct {
	Rules rulesSince `json:"rules"`
}

// rulesSince gives since when the rules are in force. What came before was
// looked at under other rules, or under none, and is not looked at again for
// them. A rule that comes back after it was away counts as new. Only serve notes
// its rules: the command's are compared with those.
func (c *CatchUp) rulesSince(ctx context.Context, onDemand bool) (rulesSince, error) {
	key := keys.RulesInForce(c.Instance)
	value, err := c.Store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	var before rulesInForce
	first := len(value) == 0 || json.Unmarshal(value, &before) != nil || before.Rules == nil
	now := rulesInForce{rulesSince{}}
	for _, identity := range c.Rules().Identities() {
		var since time.Time
		if c.RuleSince != nil {
			since = c.RuleSince(identity)
		}
		switch noted, known := before.Rules[identity]; {
		case known || first:
			since = later(noted, since)
		case since.IsZero():
			since = c.Now()
		}
		now.Rules[identity] = since.UTC()
	}
	if onDemand {
		return now.Rules, nil
	}
	return now.Rules, c.keepJSON(ctx, key, now)
}

func (c *CatchUp) keepJSON(ctx context.Context, key string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.keep(ctx, key, string(value))
}

// keep keeps how far catch-up came.
func (c *CatchUp) keep(ctx context.Context, key, value string) error {
	if c.DryRun {
		return nil
	}
	if err := c.Store.Set(ctx, key, []byte(value), watermarkKept); err != nil {
		return &storeError{err}
	}
	return nil
}

// span is the time in which something was missed; what came without a date,
// such as that a job became manual, since oldest.
type span struct{ from, oldest, to time.Time }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// missed reports whether the job's event is of the span.
func (s span) missed(j event.Job) bool {
	if j.FinishedAt.IsZero() {
		return !j.CreatedAt.Before(s.oldest) && !j.CreatedAt.After(s.to)
	}
	return !j.FinishedAt.Before(s.from) && !j.FinishedAt.After(s.to)
}

// jobs finds jobs. They come by when they were made: those that were made longer
// than reach before the span are not found.
func (c *CatchUp) jobs(ctx context.Context, p *project, w wanted, s span, reach time.Duration, result *CatchUpResult) error {
	if len(w.jobs) == 0 {
		return nil
	}
	horizon := s.from.Add(-reach)
	for e, err := range c.History.Jobs(ctx, p.ID, w.jobs) {
		if err != nil {
			return err
		}
		if e.Job.CreatedAt.Before(horizon) {
			return nil
		}
		if s.missed(e.Job) {
			if err := c.take(ctx, p, e, time.Time{}, &result.Jobs, "job"); err != nil {
				return err
			}
		}
	}
	return nil
}

// unreadable is how many pipelines of a project may be unreadable before the
// rest is left to the next round.
const unreadable = 5

// pipelines finds pipelines, and in them trigger jobs. One that can't be read
// keeps none of the others back.
func (c *CatchUp) pipelines(ctx context.Context, p *project, w wanted, s span, result *CatchUpResult) error {
	if len(w.pipelines) == 0 && !w.bridges {
		return nil
	}
	changed, err := c.History.Changed(ctx, p.ID, s.from)
	if err != nil {
		return err
	}
	failed := 0
	var first error
	for _, at := range changed {
		err := c.bridges(ctx, p, w, s, at, result)
		if err == nil {
			err = c.pipeline(ctx, p, w, s, at, result)
		}
		var broken *storeError
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil, errors.As(err, &broken):
			return err
		}
		first = cmp.Or(first, err)
		if failed++; failed == unreadable {
			break
		}
	}
	if failed > 1 {
		return fmt.Errorf("%d pipelines could not be read; the first: %w", failed, first)
	}
	return first
}

// bridges finds trigger jobs of a pipeline that changed. They may have ended
// long before that.
func (c *CatchUp) bridges(ctx context.Context, p *project, w wanted, s span, at ChangedPipeline, result *CatchUpResult) error {
	if !w.bridges {
		return nil
	}
	bridges, err := c.History.Bridges(ctx, p.ID, at.ID)
	if err != nil {
		return err
	}
	s.from = s.oldest
	for _, e := range bridges {
		if slices.Contains(lastingJobs, e.Job.Status) && s.missed(e.Job) {
			if err := c.take(ctx, p, e, time.Time{}, &result.Jobs, "job"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *CatchUp) pipeline(ctx context.Context, p *project, w wanted, s span, at ChangedPipeline, result *CatchUpResult) error {
	if !slices.Contains(w.pipelines, at.Status) || at.At.After(s.to) {
		return nil
	}
	head := event.Event{Meta: event.Meta{Kind: event.KindPipeline, Instance: c.Instance}, Pipeline: event.Pipeline{ID: at.ID, Status: at.Status}}
	if told, err := c.told(ctx, head, at.At); told || err != nil {
		return err
	}
	e, err := c.History.Pipeline(ctx, p.ID, at.ID)
	if err != nil {
		return err
	}
	// A pipeline changes after its end too, for instance when it is renamed.
	if !e.Pipeline.FinishedAt.IsZero() && e.Pipeline.FinishedAt.Before(s.oldest) {
		return nil
	}
	return c.take(ctx, p, e, at.At, &result.Pipelines, "pipeline")
}

// told reports whether an event told of this since then. To somebody who typed
// since when to look, that makes no difference: the rules may be others.
func (c *CatchUp) told(ctx context.Context, e event.Event, since time.Time) (bool, error) {
	if !c.Since.IsZero() {
		return false, nil
	}
	value, err := c.Store.Get(ctx, keys.Told(e.Meta.Instance, event.StatusOf(e)))
	if err != nil {
		return false, &storeError{err}
	}
	at, err := time.Parse(time.RFC3339, string(value))
	return err == nil && !at.Before(since.Add(-settled)), nil // clocks may be apart
}

// take stores an event, unless one told of the same since then, or no rule can
// want it.
func (c *CatchUp) take(ctx context.Context, p *project, e event.Event, since time.Time, count *int, found string) error {
	record := c.record(e, toldOf(e, since))
	if !c.Rules().Without(record.Without).Wants(e) {
		return nil
	}
	told, err := c.told(ctx, e, since)
	if told || err != nil {
		return err
	}
	if e.Project, err = p.get(ctx); err != nil {
		return err
	}
	if e.Meta.Kind == event.KindJob && !e.Job.Bridge && !c.DryRun {
		n, err := c.History.Attempt(ctx, p.ID, e.Job, e.Pipeline.ID)
		switch {
		case err == nil:
			e.Job.Attempt = n
		case ctx.Err() != nil, event.Transient(err):
			return err
		} // else it stays the first: the action counts for itself
	}
	record.Event = e
	return c.put(ctx, record, count, found)
}

// onceMore gives what ends the ids of events where a person has typed since when
// to look: they are looked at once by these rules, whether or not others had
// them, and once more when a decision has failed since. "" in other rounds.
func (c *CatchUp) onceMore(ctx context.Context) (string, error) {
	if c.Since.IsZero() {
		return "", nil
	}
	failed, err := c.Store.Get(ctx, keys.LastFailed(c.Instance))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join(c.Rules().Identities(), " ")))
	return fmt.Sprintf(":%x:%s", sum[:8], failed), nil
}

// record makes the record of an event that tells of a time. The rules that came
// into force since then are not asked, unless a person has typed since when to
// look.
func (c *CatchUp) record(e event.Event, at time.Time) event.Record {
	if !c.Since.IsZero() {
		return event.Record{Event: e, Again: c.Now().UTC()}
	}
	without := c.since.after(at)
	for _, identity := range c.Rules().Identities() {
		if _, known := c.since[identity]; !known { // it came into force since the round began
			without = append(without, identity)
		}
	}
	return event.Record{Event: e, Without: without}
}

func (c *CatchUp) put(ctx context.Context, record event.Record, count *int, found string) error {
	if c.DryRun {
		*count++
		return nil
	}
	record.Meta.ID += c.again
	body, err := json.Marshal(record)
	if err != nil {
		return err
	}
	// Its id does not depend on the address that the event came from: the same
	// event may come from several.
	added, err := c.Store.Put(ctx, store.Record{ID: keys.Event(c.Instance, record.Meta.ID), Kind: event.RecordEvent, Body: body})
	if err != nil {
		return &storeError{err}
	}
	if added[0] {
		*count++
		c.events.WithLabelValues(found).Inc()
	}
	return nil
}

// failed replays the deliveries that failed.
func (c *CatchUp) failed(ctx context.Context, p *project, read map[string]*hookRead, result *CatchUpResult) error {
	found, err := p.get(ctx)
	if err != nil {
		return err
	}
	hooks, err := c.Hooks.Hooks(ctx, found)
	if err != nil {
		return err
	}
	for _, hook := range hooks {
		if h := read[hook.Name]; h != nil {
			p.hooks = append(p.hooks, h)
			continue
		}
		h := &hookRead{key: keys.Deliveries(c.Instance, hook.Name)}
		read[hook.Name], p.hooks = h, append(p.hooks, h)
		if hook.Disabled != "" && !c.warned[hook.Name] {
			c.Log.Warn("GitLab has disabled a webhook after failed deliveries: mend what failed, and press Test at the webhook", "webhook", hook.Name, "project", p.name(), "why", hook.Disabled)
		}
		c.warned[hook.Name] = hook.Disabled != ""
		if err := c.replay(ctx, hook, h, result); err != nil {
			h.again = true
			return err
		}
	}
	return nil
}

// replay replays what a webhook could not deliver since it was last asked, the
// oldest first.
func (c *CatchUp) replay(ctx context.Context, hook Hook, h *hookRead, result *CatchUpResult) error {
	value, err := c.Store.Get(ctx, h.key)
	if err != nil {
		return &storeError{err}
	}
	seen, _ := strconv.ParseInt(string(value), 10, 64) // "" at first
	var failed []FailedDelivery
	for d, err := range hook.Failed(ctx) {
		if err != nil {
			return err
		}
		if d.ID <= seen {
			break
		}
		failed = append(failed, d)
	}
	unkept := 0
	for _, d := range slices.Backward(failed) {
		h.last = d.ID
		if d.Body == nil {
			oldest := c.Now().Add(-c.MaxAge)
			if at := later(d.At, oldest); at.After(oldest) || d.At.IsZero() { // not told: it may be as old
				unkept++
				if h.unkept.IsZero() || at.Before(h.unkept) {
					h.unkept = at
				}
			}
			continue
		}
		if err := c.deliver(ctx, d, result); err != nil {
			return err
		}
		if unkept == 0 {
			if err := c.keep(ctx, h.key, strconv.FormatInt(d.ID, 10)); err != nil {
				return err
			}
		}
	}
	if unkept > 0 {
		result.Unkept += unkept
		result.problem(hook.Name, fmt.Errorf("GitLab kept no body of %d failed deliveries: the jobs and pipelines of the known projects are read instead, as they are now; statuses that have passed since can't be had", unkept))
	}
	return nil
}

// deliver takes a delivery as if it had arrived now.
func (c *CatchUp) deliver(ctx context.Context, d FailedDelivery, result *CatchUpResult) error {
	e, err := c.Decode(d)
	if err != nil {
		return nil //nolint:nilerr // another hook, one with a template of its own, or of another GitLab
	}
	record := c.record(e, happened(e))
	if !c.Rules().Without(record.Without).Wants(e) {
		return nil
	}
	if oldest, known, err := c.beginning(ctx, e.Project.ID); err != nil || !known || happened(e).Before(oldest) {
		return err
	}
	e.Meta.Source, e.Meta.ReceivedAt = event.SourceReplay, c.Now().UTC()
	record.Event = e
	if err := c.put(ctx, record, &result.Replayed, "replayed"); err != nil || c.DryRun {
		return err
	}
	// What it tells needs not be found in the project as well.
	if err := c.Store.Set(ctx, keys.Told(e.Meta.Instance, event.StatusOf(e)), []byte(event.AsOf(e).UTC().Format(time.RFC3339)), 2*c.MaxAge); err != nil {
		return &storeError{err}
	}
	return nil
}

// happened is when that happened which the event tells, as far as it says so.
func happened(e event.Event) time.Time {
	at := e.Pipeline.CreatedAt
	for _, t := range []time.Time{e.Pipeline.FinishedAt, e.Job.CreatedAt, e.Job.StartedAt, e.Job.FinishedAt} {
		at = later(at, t)
	}
	return at
}

// toldOf is when that happened which an event made from GitLab's API tells: when
// it ended, or else when the job was made or the pipeline changed.
func toldOf(e event.Event, changed time.Time) time.Time {
	switch {
	case e.Meta.Kind == event.KindPipeline && !e.Pipeline.FinishedAt.IsZero():
		return e.Pipeline.FinishedAt
	case e.Meta.Kind == event.KindPipeline:
		return changed
	case !e.Job.FinishedAt.IsZero():
		return e.Job.FinishedAt
	}
	return e.Job.CreatedAt
}
