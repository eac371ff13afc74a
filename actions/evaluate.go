package actions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pipesteward/pipesteward/actions/evaluated"
	"github.com/pipesteward/pipesteward/actions/facts"
	"github.com/pipesteward/pipesteward/actions/follow"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// maxKills is how often in a row the processing of an event may be cut short by a crash
// or a kill, such as for lack of memory, which is no panic. Then the event is buried: it
// would end every replica, one after the other.
const maxKills = 5

// eventRecord is the body of an event's record.
type eventRecord struct {
	event.Record
	// Begun is how often the processing has begun since it last returned. The first
	// time counts only after it has returned once: Returned.
	Begun    int  `json:"begun,omitzero"`
	Returned bool `json:"ended,omitzero"`
}

// event processes an event, unless that was cut short too often. From the second attempt
// on, it saves that it begins.
func (r *Runner) event(ctx context.Context, l *worker.Lease, rec eventRecord) error {
	if l.Attempt() > 1 {
		kills := rec.Begun
		if !rec.Returned {
			kills++
		}
		if kills >= maxKills {
			// A person who requeues it has it tried as often again.
			if err := errors.Join(l.Keep(eventRecord{Record: rec.Record}), l.Extend(ctx)); err != nil {
				return err
			}
			return &worker.DeadError{Reason: fmt.Sprintf("its processing was cut short %d times in a row: by a crash or a kill, such as for want of memory", maxKills)}
		}
		rec.Begun++
		if err := errors.Join(l.Keep(rec), l.Extend(ctx)); err != nil {
			return err
		}
	}
	err := r.process(ctx, l, rec)
	if err != nil { // the event is tried again
		rec.Begun, rec.Returned = 0, true
		err = errors.Join(err, l.Keep(rec))
	}
	return err
}

// process adds the data that the event's hook lacks, evaluates the event, and goes through
// the steps after that.
func (r *Runner) process(ctx context.Context, l *worker.Lease, rec eventRecord) error {
	record := rec.Record
	e := record.Event
	tracing.Event(ctx, e)
	switch foreign, certain := r.foreign(e); {
	case foreign && certain:
		return r.drop(ctx, l, record, "it is from another GitLab, at "+e.Meta.Instance)
	case foreign:
		r.Log.DebugContext(ctx, "event deferred: whether it is of this GitLab is not known yet", append(event.LogAttrs(e), "instance", e.Meta.Instance, "wait", addressCheck(l.Tries()).String())...)
		return errors.Join(l.Keep(eventRecord{Record: record, Returned: true}), l.Defer(ctx, addressCheck(l.Tries())))
	}
	e.Meta.Instance = r.GitLab.Instance()
	if err := r.findProject(ctx, &e); err != nil {
		return err
	}
	if e.Project.ID == 0 && e.Meta.Kind == event.KindPipeline {
		return r.drop(ctx, l, record, "GitLab has no project with its path")
	}
	if err := r.countAttempt(ctx, &e); err != nil {
		return err
	}
	ev := evaluation{record: record, event: e}
	inForce := r.rulesFor(record)
	ev.result.At, ev.result.Rules = r.Now().UTC(), inForce.Fingerprint()
	ev.result.KeepsUnknown = r.Unknown != nil
	ev.decisions, ev.errs = inForce.EvaluateTraced(ctx, e, r.facts(), &ev.result.Trace)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	tracing.Decided(ctx, len(ev.decisions))
	r.logMatches(ctx, &ev)
	err := r.afterEvaluation(ctx, &ev)
	if err == nil || !rec.Returned { // a repetition that waits for the same is not kept
		r.keepEvaluation(ctx, l, &ev, err)
	}
	if err != nil {
		return err
	}
	return l.DoneWith(ctx, ev.changes)
}

// logMatches logs which rules match the event, for debugging.
func (r *Runner) logMatches(ctx context.Context, ev *evaluation) {
	if !r.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	var matched []string
	for _, d := range ev.decisions {
		matched = append(matched, d.Rule)
		matched = append(matched, d.AlsoWantedBy...)
	}
	slices.Sort(matched)
	r.Log.DebugContext(ctx, "event evaluated", append(event.LogAttrs(ev.event), "status", cmp.Or(ev.event.Job.Status, ev.event.Pipeline.Status),
		"matched", slices.Compact(matched), "decisions", len(ev.decisions))...)
}

// drop ends the processing of an event that is not evaluated.
func (r *Runner) drop(ctx context.Context, l *worker.Lease, record event.Record, reason string) error {
	r.Log.DebugContext(ctx, "event dropped", append(event.LogAttrs(record.Event), "reason", reason)...)
	r.keepEvaluation(ctx, l, &evaluation{record: record, event: record.Event, result: evaluated.Result{At: r.Now().UTC(), Dropped: reason}}, nil)
	return l.Done(ctx)
}

// keepEvaluation adds what the rules made of the event to the log of recent evaluations.
func (r *Runner) keepEvaluation(ctx context.Context, l *worker.Lease, ev *evaluation, err error) {
	if r.Evaluations == nil {
		return
	}
	was, is := ev.record.Event, ev.event
	if err != nil {
		ev.result.Waits = apierror.Words(err)
	}
	if is.Project.ID != was.Project.ID {
		ev.result.ProjectID = is.Project.ID
	}
	if is.Job.Attempt != was.Job.Attempt {
		ev.result.Attempt = is.Job.Attempt
	}
	item, err := evaluated.Item(ev.result, ev.record, l.Body())
	if err != nil {
		r.Log.ErrorContext(ctx, "what the rules made of an event can't be kept", append(event.LogAttrs(is), "error", err)...)
		return
	}
	r.Evaluations.Add(evaluated.Subject(is.Pipeline.ID), item...)
}

// evaluation is an event with the decisions of the rules about it.
type evaluation struct {
	record    event.Record
	event     event.Event
	decisions []event.Decision
	errs      []*rules.RuleError
	retry     *event.Outcome // that made the event's job; nil: Pipesteward did not make it
	failures  map[string]int // of decisions that may be made again, by key
	changes   store.Changes  // made when the event is done, in the same step
	result    evaluated.Result
}

// afterEvaluation goes through the steps after an evaluation, in this order. Most of them
// only add to the changes that are made when the event is done. An error repeats the
// evaluation with all steps later; each step has the same effect then.
func (r *Runner) afterEvaluation(ctx context.Context, ev *evaluation) error {
	for _, step := range []func(context.Context, *evaluation) error{
		r.countFailures,  // for the circuit breakers, which open now; loads the retry that made the job
		r.addRetriedJobs, // for the records that follow retries of those jobs
		r.loadFailures,   // of the decisions, if a person requested another try
		r.addDecisions,   // those that were not made before, each due after its delay
		r.reportErrors,   // of rules; a transient one repeats the evaluation
		r.addSeen,        // for catch-up
		r.addEnd,         // of the pipeline, for the messages that are sent then
		r.followRetry,    // has the retry that made the job helped?
		r.keepUnknown,    // a failure that no class covers, and how a retry after one ended
		r.learn,          // from the end of a run, for the ledger
	} {
		if err := step(ctx, ev); err != nil {
			return err
		}
	}
	return nil
}

// addRetriedJobs adds which jobs the decisions retry, and that a retried job's end was seen.
func (r *Runner) addRetriedJobs(_ context.Context, ev *evaluation) error {
	ev.changes.Values = append(ev.changes.Values, follow.Evaluated(ev.event, ev.decisions, ev.retry)...)
	return nil
}

// followRetry adds the result of the retry that made the event's job.
func (r *Runner) followRetry(ctx context.Context, ev *evaluation) error {
	result, err := r.retries.Result(ctx, ev.event, ev.decisions, ev.retry)
	ev.changes.Next = append(ev.changes.Next, result.Next...)
	ev.changes.Values = append(ev.changes.Values, result.Values...)
	return err
}

// keepUnknown keeps the event's job, if it failed and no class covers that or its log was not
// read, and how its run ended, if it is the retry of such a job. It is durable when the event is done, and an event
// that is evaluated again keeps it once.
func (r *Runner) keepUnknown(ctx context.Context, ev *evaluation) error {
	if r.Unknown == nil {
		return nil
	}
	if line := ev.result.Unclassified; line != "" {
		if err := r.Unknown.Failed(ctx, ev.event, line); err != nil {
			return err
		}
	}
	if ev.result.NotRead {
		if err := r.Unknown.NotRead(ctx, ev.event); err != nil {
			return err
		}
	}
	return r.Unknown.Retried(ctx, ev.event, ev.retry)
}

// learn adds what the ledger learns from the end of a run.
func (r *Runner) learn(ctx context.Context, ev *evaluation) error {
	if !r.Rules().Learns() {
		return nil
	}
	learned, err := r.ledger.Ended(ctx, ev.event, ev.retry, ev.decisions)
	ev.changes.Next = append(ev.changes.Next, learned.Next...)
	ev.changes.Values = append(ev.changes.Values, learned.Values...)
	return err
}

// countFailures counts the failures that the decisions want retried, and loads the retry
// that made the event's job at the same time.
func (r *Runner) countFailures(ctx context.Context, ev *evaluation) error {
	var counting errgroup.Group
	if len(ev.decisions) > 0 {
		counting.Go(func() error { return r.Breakers.Count(ctx, ev.decisions) })
	}
	var err error
	ev.retry, err = r.retries.Load(ctx, ev.event)
	return cmp.Or(err, counting.Wait())
}

// reportErrors logs and counts the expressions that failed. It returns a transient error
// of GitLab while the event may wait for its end: the decisions of the other rules do not
// wait, and are queued now.
func (r *Runner) reportErrors(ctx context.Context, ev *evaluation) error {
	var wait error
	for _, err := range ev.errs {
		if r.mayWait(err, ev.event.Meta.ReceivedAt) {
			wait = err
			continue
		}
		r.Metrics.RuleError(err.Rule)
		r.Log.ErrorContext(ctx, "a rule could not be evaluated and did not fire", append(event.LogAttrs(ev.event), "rule", err.Rule, "part", err.Part, "error", err.Err)...)
	}
	if wait == nil {
		return nil
	}
	if err := r.makeNow(ctx, ev.changes); err != nil {
		return err
	}
	return wait
}

// makeNow makes the changes before the event is done. They are made again with the end of
// the event, which changes nothing.
func (r *Runner) makeNow(ctx context.Context, c store.Changes) error {
	for _, v := range c.Values {
		if err := r.Guard.Set(ctx, v.Key, v.Value, v.TTL); err != nil {
			return err
		}
	}
	if len(c.Next) == 0 {
		return nil
	}
	_, err := r.Queue.Put(ctx, c.Next...)
	return err
}

// addSeen adds that the event's job or pipeline was seen in its status.
func (r *Runner) addSeen(_ context.Context, ev *evaluation) error {
	if r.SeenTTL == 0 {
		return nil
	}
	e := ev.event
	ev.changes.Values = append(ev.changes.Values, store.Value{
		Key: keys.Reported(e.Meta.Instance, event.StatusOf(e)), Value: []byte(event.AsOf(e).UTC().Format(time.RFC3339)), TTL: r.SeenTTL,
	})
	return nil
}

// addEnd adds that the event's pipeline has ended.
func (r *Runner) addEnd(ctx context.Context, ev *evaluation) error {
	end, err := r.notifier.Ended(ctx, ev.event)
	ev.changes.Values = append(ev.changes.Values, end...)
	return err
}

// rulesFor returns the rules that may decide about an event: of one that catch-up found,
// not those that came into force while it waited.
func (r *Runner) rulesFor(record event.Record) *rules.Rules {
	inForce := r.Rules()
	source := record.Meta.Source
	if r.RuleSince == nil || !record.Again.IsZero() || source != event.SourceCatchUp && source != event.SourceReplay {
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

// findProject looks up the id of a project whose hook has only its path, like the hooks
// of GitLab 8 to 11, once for each path. An error is transient; the id of a project that
// can't be found stays 0.
func (r *Runner) findProject(ctx context.Context, e *event.Event) error {
	if e.Project.ID != 0 || e.Meta.Kind != event.KindPipeline {
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
	case r.mayWait(err, e.Meta.ReceivedAt):
		return err
	case err != nil:
		r.Log.ErrorContext(ctx, "an event names its project by path only, and GitLab has no project with that path: the event is dropped", append(event.LogAttrs(*e), "error", err)...)
		return nil
	}
	r.projects.Store(strings.Clone(e.Project.Path), found.ID)
	e.Project.ID = found.ID
	return nil
}

// countAttempt replaces the attempt in a hook by the number of the job's runs, if a rule
// needs it and it may be wrong: a hook counts one too many where GitLab's own `retry:`
// runs the job again, but a first attempt is always right. An error is transient.
func (r *Runner) countAttempt(ctx context.Context, e *event.Event) error {
	hook := e.Meta.Source == event.SourceWebhook || e.Meta.Source == event.SourceReplay
	if !hook || e.Job.Attempt <= 1 || e.Job.Bridge || !r.Rules().NeedsAttempt(*e) {
		return nil
	}
	runs, err := r.GitLab.PipelineJobs(ctx, e.Project.ID, e.Pipeline.ID, true)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.mayWait(err, e.Meta.ReceivedAt):
		return err
	case err != nil:
		r.Log.WarnContext(ctx, "the runs of a job could not be counted: job.attempt is the one in its hook", append(event.LogAttrs(*e), "error", err)...)
		return nil
	}
	for _, run := range runs {
		if run.ID == e.Job.ID {
			e.Job.Attempt = run.Attempt
		}
	}
	return nil
}

// mayWait reports whether a record that has waited since a time for a transient error of
// GitLab to end may wait longer. The time of an outage of GitLab does not count.
func (r *Runner) mayWait(err error, since time.Time) bool {
	if up := r.GitLab.UpSince(); up.After(since) {
		since = up
	}
	return event.Unavailable(err) || event.Transient(err) && r.Now().Sub(since) < maxRetryTime
}

// maxRequests is how many requests to GitLab the expressions of one event,
// or the texts about one outcome, may cost.
const maxRequests = 30

// facts returns the reader for the expressions of one event.
func (r *Runner) facts() facts.Reader {
	return facts.Reader{GitLab: r.GitLab.WithBudget(maxRequests), Now: r.Now, Default: r.onDefault}
}

// Facts returns the reader for the explanation of one event: what GitLab answers now,
// even if that contradicts the event.
func (r *Runner) Facts() expression.Facts {
	return facts.Reader{GitLab: r.GitLab.WithBudget(maxRequests), Default: r.onDefault}
}
