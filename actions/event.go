package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// maxKills is how often in a row the processing of an event may be cut short by
// a crash or a kill, such as for want of memory, which no panic tells. Then the
// event is buried: it would bring every replica down, one after the other.
const maxKills = 5

// started is the body of an event's record.
type started struct {
	rules.EventRecord
	// Begun is how often the processing was begun since it last ended in an orderly
	// way. The first time is counted only if there was such an end: Ended.
	Begun int  `json:"begun,omitzero"`
	Ended bool `json:"ended,omitzero"`
}

// startEvent processes an event, unless that was cut short too often. From the
// second time on, that it begins is saved before.
func (r *Runner) startEvent(ctx context.Context, h *held, s started) error {
	if h.lease.Attempt > 1 {
		kills := s.Begun
		if !s.Ended {
			kills++
		}
		if kills >= maxKills {
			return &unworkable{fmt.Sprintf("its processing was cut short %d times in a row: by a crash or a kill, such as for want of memory", maxKills)}
		}
		s.Begun++
		if err := errors.Join(h.keep(s), h.extend(ctx)); err != nil {
			return err
		}
	}
	err := r.event(ctx, h, s.EventRecord)
	if err != nil { // it is deferred
		s.Begun, s.Ended = 0, true
		err = errors.Join(err, h.keep(s))
	}
	return err
}

// event evaluates an event and queues what it decides. A rule that could not
// be evaluated because GitLab fails for now is evaluated again later,
// together with the others: what they decide again is known by its key.
func (r *Runner) event(ctx context.Context, h *held, record rules.EventRecord) error {
	e := record.Event
	switch foreign, certain := r.foreign(e); {
	case foreign && certain:
		return h.done(ctx)
	case foreign:
		return errors.Join(h.keep(started{EventRecord: record, Ended: true}), h.deferFor(ctx, addressWait(h.tries())))
	}
	e.Meta.Instance = r.GitLab.Instance()
	if err := r.findProject(ctx, &e); err != nil {
		return err
	}
	if e.Project.ID == 0 && e.Meta.Kind == rules.KindPipeline {
		return h.done(ctx)
	}
	if wait := r.countAttempt(ctx, &e); wait != nil {
		return wait
	}
	decisions, errs := r.rulesFor(record).Evaluate(ctx, e, r.facts())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	before, err := r.retryOf(ctx, e)
	if err != nil {
		return err
	}
	if err := r.watch(ctx, decisions); err != nil {
		return err
	}
	if err := r.decided(ctx, decisions); err != nil {
		return err
	}
	tries, err := r.tries(ctx, record, decisions)
	if err != nil {
		return err
	}
	if _, err := r.put(ctx, decisions, tries, before); err != nil {
		return err
	}
	if err := r.ruleErrors(e, errs); err != nil {
		return err
	}
	if err := r.noteTold(ctx, e); err != nil {
		return err
	}
	next, err := r.follow(e, decisions, before)
	if err != nil {
		return err
	}
	return h.done(ctx, next...)
}

// rulesFor gives the rules that may decide on an event. One that catch-up found
// is not for rules that came into force while it waited.
func (r *Runner) rulesFor(record rules.EventRecord) *rules.Rules {
	inForce := r.Rules()
	source := record.Meta.Source
	if r.RuleSince == nil || !record.Again.IsZero() || source != rules.SourceCatchUp && source != rules.SourceReplay {
		return inForce.Without(record.Without)
	}
	without := slices.Clone(record.Without)
	for _, identity := range inForce.Identities() {
		if r.RuleSince(identity).After(record.Meta.ReceivedAt) {
			without = append(without, identity)
		}
	}
	return inForce.Without(without)
}

// findProject looks up the id of a project whose hook tells only its path, as
// those of GitLab 8 to 11 do, once for each path. An error passes, and the event
// waits for that; of a project that can't be found the id stays 0.
func (r *Runner) findProject(ctx context.Context, e *rules.Event) error {
	if e.Project.ID != 0 || e.Meta.Kind != rules.KindPipeline {
		return nil
	}
	if id, known := r.projects.Load(e.Project.Path); known {
		e.Project.ID = id.(int64)
		return nil
	}
	found, err := r.GitLab.Project(ctx, e.Project.Path)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.waitsFor(err, e.Meta.ReceivedAt):
		return err
	case err != nil:
		r.Log.Error("an event names its project by path only, and GitLab gives no project for that: the event is dropped", append(about(*e), "error", err)...)
		return nil
	}
	r.projects.Store(strings.Clone(e.Project.Path), found.ID)
	e.Project.ID = found.ID
	return nil
}

// countAttempt replaces the attempt that a hook told by what the pipeline's runs
// say, where it matters and may be wrong: a hook counts one too many where
// GitLab's own `retry:` runs the job again, but a first run that it tells of is
// one. An error passes, and the event waits for that.
func (r *Runner) countAttempt(ctx context.Context, e *rules.Event) error {
	hook := e.Meta.Source == rules.SourceWebhook || e.Meta.Source == rules.SourceReplay
	if !hook || e.Job.Attempt <= 1 || e.Job.Bridge || !r.Rules().NeedsAttempt(*e) {
		return nil
	}
	runs, err := r.GitLab.PipelineJobs(ctx, e.Project.ID, e.Pipeline.ID, true)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.waitsFor(err, e.Meta.ReceivedAt):
		return err
	case err != nil:
		r.Log.Warn("the runs of a job could not be counted: job.attempt is what its hook says", append(about(*e), "error", err)...)
		return nil
	}
	for _, run := range runs {
		if run.ID == e.Job.ID {
			e.Job.Attempt = run.Attempt
		}
	}
	return nil
}

// waitsFor reports whether a record that waits since a time for an error of
// GitLab's to pass waits on. The time in which GitLab could not be used does not
// count.
func (r *Runner) waitsFor(err error, since time.Time) bool {
	if up := r.GitLab.UpSince(); up.After(since) {
		since = up
	}
	return rules.Unavailable(err) || rules.Passes(err) && r.Now().Sub(since) < patience
}

// noteTold keeps that the event's job or pipeline was seen in its status.
func (r *Runner) noteTold(ctx context.Context, e rules.Event) error {
	if r.Told == 0 {
		return nil
	}
	return r.Guard.Set(ctx, keys.Told(e.Meta.Instance, rules.StatusOf(e)), []byte(rules.ToldAt(e).UTC().Format(time.RFC3339)), r.Told)
}

// maxRequests is how many requests to GitLab the expressions of one event,
// or the texts about one outcome, may cost.
const maxRequests = 30

// facts answers the expressions of one event.
func (r *Runner) facts() Facts { return Facts{r.GitLab.WithBudget(maxRequests), r.Now} }

// put puts the decisions that were not made before into the queue, and notes
// them in the journal, where they have no outcome yet. tries are how often each
// has failed, by key, where it may be made again. before is the retry that made
// the event's run, if Pipesteward made it.
func (r *Runner) put(ctx context.Context, decisions []rules.Decision, tries map[string]int, before *rules.Outcome) (n int, err error) {
	now := r.Now().UTC()
	records := make([]store.Record, len(decisions))
	for i := range decisions {
		d := &decisions[i]
		d.DecidedAt, d.ID = now, fmt.Sprintf("%s@%d", d.Key, now.UnixNano())
		wait := r.pause(*d)
		p := pending{Decision: *d, Try: tries[d.Key], Due: now.Add(wait), Waited: rules.Duration(wait)}
		p.After = make([]string, len(d.After))
		for i, key := range d.After {
			p.After[i] = keys.Again(key, tries[key])
		}
		if before != nil && before.NewJobID == d.Job.ID {
			p.Previously = before.Job.FailureReason
		}
		body, err := json.Marshal(p)
		if err != nil {
			return 0, fmt.Errorf("decision %s: %w", d.Key, err)
		}
		records[i] = store.Record{
			ID: keys.Decision(d.Key, p.Try), Kind: rules.RecordDecision, After: wait, Body: body,
			Note: &store.Entry{ID: d.ID, Body: body}, // its outcome replaces the body
		}
	}
	if len(records) == 0 {
		return 0, nil
	}
	added, err := r.Queue.Put(ctx, records...)
	if err != nil {
		return 0, err
	}
	for _, yes := range added {
		if yes {
			n++
		}
	}
	return n, nil
}

// tries gives how often the decisions that have failed did so, by key, where the
// event is there to make them again.
func (r *Runner) tries(ctx context.Context, record rules.EventRecord, decisions []rules.Decision) (map[string]int, error) {
	if record.Again.IsZero() {
		return nil, nil
	}
	tries := map[string]int{}
	for _, d := range decisions {
		value, err := r.Guard.Get(ctx, keys.Failed(d.Key))
		if err != nil {
			return nil, err
		}
		var failures failures
		if json.Unmarshal(value, &failures) == nil && !failures.At.After(record.Again) {
			tries[d.Key] = failures.N
		}
		if d.AfterSuccess != "" && len(d.After) > 0 { // it was skipped when the one before it failed
			tries[d.Key] = max(tries[d.Key], tries[d.After[0]])
		}
	}
	return tries, nil
}

// failures counts the failures of a decision.
type failures struct {
	N  int       `json:"n"`  // how often it did
	At time.Time `json:"at"` // when it last did
}

// noteFailed records that a decision has failed, so that it may be made again.
func (r *Runner) noteFailed(ctx context.Context, p pending) error {
	now := r.Now().UTC()
	value, err := json.Marshal(failures{p.Try + 1, now})
	if err != nil {
		return err
	}
	return errors.Join(
		r.Guard.Set(ctx, keys.Failed(p.Key), value, remembered),
		r.Guard.Set(ctx, keys.LastFailed(p.Meta.Instance), []byte(strconv.FormatInt(now.UnixNano(), 10)), remembered))
}

// ruleErrors tells of expressions that failed. It returns one that will pass,
// if the event is still young enough to wait for that.
func (r *Runner) ruleErrors(e rules.Event, errs []*rules.RuleError) error {
	var wait error
	for _, err := range errs {
		if r.waitsFor(err, e.Meta.ReceivedAt) {
			wait = err
			continue
		}
		r.Metrics.ruleErrors.WithLabelValues(err.Rule).Inc()
		r.Log.Error("a rule could not be evaluated and did not fire", append(about(e), "rule", err.Rule, "part", err.Part, "error", err.Err)...)
	}
	return wait
}

// about names an event in a log line.
func about(e rules.Event) []any {
	return []any{"event", e.Meta.ID, "kind", e.Meta.Kind, "project", e.Project.Path, "pipeline", e.Pipeline.ID, "job", e.Job.ID, "job_name", e.Job.Name}
}
