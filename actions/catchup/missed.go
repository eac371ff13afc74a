package catchup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// overlap is how far before a project's watermark a round reads: clocks may
	// differ, and the round before left to its webhook what had just ended. It
	// never reaches back beyond the project's beginning, or the rules'.
	overlap = 10 * time.Minute
	// deliveryTime is how long ago an event must have happened: its webhook may
	// still be on its way.
	deliveryTime = time.Minute
	// quickReach is how long before a span jobs may have been created to be found
	// in each round; older ones are found in the deep rounds, each deepEach.
	quickReach = 3 * time.Hour
	deepEach   = time.Hour
	// unreadable is how many pipelines of a project may fail to be read before the
	// rest is left to the next round.
	unreadable = 5
)

// found is the kind of what a round found, as the metric has it.
type found string

const (
	foundReplayed found = "replayed"
	foundJob      found = "job"
	foundPipeline found = "pipeline"
)

// count adds one event to the result.
func (r *Result) count(what found) {
	switch what {
	case foundReplayed:
		r.Replayed++
	case foundJob:
		r.Jobs++
	case foundPipeline:
		r.Pipelines++
	}
}

// missed queues what happened in the project since its watermark and no event
// reported, and moves the watermark.
func (p *projectRound) missed(ctx context.Context) error {
	now := p.Now().UTC()
	mark, err := p.watermark(ctx, p.known)
	if err != nil {
		return err
	}
	oldest := later(now.Add(-p.MaxAge), later(mark.Known, p.inForce.first()))
	if !p.Since.IsZero() {
		oldest = p.Since
		mark.At, mark.Deep = oldest, oldest
	}
	deep := p.onDemand || now.Sub(mark.Deep) >= deepEach
	if at := p.withoutBody(); !at.IsZero() {
		mark.At, mark.Deep, deep = earlier(mark.At, at), earlier(mark.Deep, at), true
	}
	from := func(mark time.Time) span {
		return span{later(mark.Add(-overlap), oldest), oldest, now.Add(-deliveryTime)}
	}
	if deep {
		err = p.jobs(ctx, from(mark.Deep), p.MaxAge)
		mark.Deep = now
	} else {
		err = p.jobs(ctx, from(mark.At), quickReach)
	}
	if err == nil {
		err = p.pipelines(ctx, from(mark.At))
	}
	if err != nil {
		return err
	}
	mark.At = now
	return p.keepJSON(ctx, p.watermarkKey(p.known.ID), mark)
}

// jobs queues jobs of a span. GitLab lists them by when they were created: those
// that were created longer than reach before the span are not found.
func (p *projectRound) jobs(ctx context.Context, s span, reach time.Duration) error {
	if len(p.statuses.jobs) == 0 {
		return nil
	}
	horizon := s.from.Add(-reach)
	for job, err := range p.GitLab.ProjectJobs(ctx, p.known.ID, p.statuses.jobs...) {
		if err != nil {
			return err
		}
		if job.CreatedAt.Before(horizon) {
			return nil
		}
		if s.contains(job.Job) {
			if err := p.take(ctx, p.GitLab.Event(job, event.SourceCatchUp), time.Time{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// pipelines queues pipelines of a span, and trigger jobs in them. One that can't
// be read does not keep the others from being read.
func (p *projectRound) pipelines(ctx context.Context, s span) error {
	if len(p.statuses.pipelines) == 0 && !p.statuses.bridges {
		return nil
	}
	changed, err := p.GitLab.PipelinesSince(ctx, p.known.ID, s.from)
	if err != nil {
		return err
	}
	failed := 0
	var first error
	for _, pipeline := range changed {
		err := p.bridges(ctx, s, pipeline)
		if err == nil {
			err = p.pipeline(ctx, s, pipeline)
		}
		var ofStore *storeError
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil, errors.As(err, &ofStore):
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

// bridges queues trigger jobs of a pipeline that changed. They may have ended
// long before that.
func (p *projectRound) bridges(ctx context.Context, s span, of gitlab.UpdatedPipeline) error {
	if !p.statuses.bridges {
		return nil
	}
	bridges, err := p.GitLab.BridgeEvents(ctx, p.known.ID, of.ID, event.SourceCatchUp)
	if err != nil {
		return err
	}
	s.from = s.oldest
	for _, e := range bridges {
		if slices.Contains(lasting, e.Job.Status) && s.contains(e.Job) {
			if err := p.take(ctx, e, time.Time{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// pipeline queues a pipeline that changed.
func (p *projectRound) pipeline(ctx context.Context, s span, changed gitlab.UpdatedPipeline) error {
	if !slices.Contains(p.statuses.pipelines, changed.Status) || changed.UpdatedAt.After(s.to) {
		return nil
	}
	head := event.Event{
		Meta:     event.Meta{Kind: event.KindPipeline, Instance: p.GitLab.Instance()},
		Pipeline: event.Pipeline{ID: changed.ID, Status: changed.Status},
	}
	if reported, err := p.reported(ctx, head, changed.UpdatedAt); reported || err != nil {
		return err
	}
	e, err := p.GitLab.PipelineEvent(ctx, p.known.ID, changed.ID, event.SourceCatchUp)
	if err != nil {
		return err
	}
	// A pipeline changes after its end too, for instance when it is renamed.
	if !e.Pipeline.FinishedAt.IsZero() && e.Pipeline.FinishedAt.Before(s.oldest) {
		return nil
	}
	return p.take(ctx, e, changed.UpdatedAt)
}

// take queues an event, unless another reported the same since the pipeline
// changed (zero: ever), or no rule can want it.
func (p *projectRound) take(ctx context.Context, e event.Event, changed time.Time) error {
	record := p.record(e, happenedAt(e, changed))
	if !p.Rules().Without(record.Without).Wants(e) {
		return nil
	}
	reported, err := p.reported(ctx, e, changed)
	if reported || err != nil {
		return err
	}
	if record.Project, err = p.lookUp(ctx); err != nil {
		return err
	}
	if e.Meta.Kind == event.KindPipeline {
		return p.put(ctx, record, foundPipeline)
	}
	if !e.Job.Bridge && !p.DryRun {
		n, err := p.attempt(ctx, e)
		switch {
		case err == nil:
			record.Job.Attempt = n
		case ctx.Err() != nil, event.Transient(err):
			return err
		} // else it stays the first: the action counts for itself
	}
	return p.put(ctx, record, foundJob)
}

// reported reports whether an event reported the same since then. When a person
// gives the time since when events are queued, it is false: the rules may be others.
func (r *round) reported(ctx context.Context, e event.Event, since time.Time) (bool, error) {
	if !r.Since.IsZero() {
		return false, nil
	}
	value, err := r.Store.Get(ctx, keys.Reported(e.Meta.Instance, event.StatusOf(e)))
	if err != nil {
		return false, &storeError{err}
	}
	at, err := time.Parse(time.RFC3339, string(value))
	return err == nil && !at.Before(since.Add(-deliveryTime)), nil // clocks may differ
}

// attempt returns which run of its name in its pipeline a job is, from 1. It
// requests a pipeline's jobs once for all that come one after the other.
func (p *projectRound) attempt(ctx context.Context, e event.Event) (int, error) {
	if _, known := p.attempts[e.Job.ID]; !known {
		jobs, err := p.GitLab.PipelineJobs(ctx, p.known.ID, e.Pipeline.ID, true)
		if err != nil {
			return 0, err
		}
		p.attempts = map[int64]int{}
		for _, j := range jobs {
			p.attempts[j.ID] = j.Attempt
		}
	}
	return max(p.attempts[e.Job.ID], 1), nil // a job that is not listed is a first run
}

// record makes the record of an event that happened at a time. Rules that came
// into force after that do not evaluate it, unless a person gives the time since
// when events are queued.
func (r *round) record(e event.Event, at time.Time) event.Record {
	if !r.Since.IsZero() {
		return event.Record{Event: e, Again: r.Now().UTC()}
	}
	without := r.inForce.after(at)
	for _, identity := range r.Rules().Identities() {
		if _, known := r.inForce[identity]; !known { // it came into force since the round began
			without = append(without, identity)
		}
	}
	return event.Record{Event: e, Without: without}
}

// put queues a record, and counts it if it is new.
func (r *round) put(ctx context.Context, record event.Record, what found) error {
	if r.DryRun {
		r.result.count(what)
		return nil
	}
	record.Meta.ID += r.idSuffix
	body, err := json.Marshal(record)
	if err != nil {
		return err
	}
	// The id does not depend on the address that the event came from: the same
	// event may come from several.
	added, err := r.Store.Put(ctx, store.Record{ID: keys.Event(r.GitLab.Instance(), record.Meta.ID), Kind: event.RecordEvent, Body: body})
	if err != nil {
		return &storeError{err}
	}
	if added[0] {
		r.result.count(what)
		r.events.WithLabelValues(string(what)).Inc()
	}
	return nil
}

// happenedAt is when that happened which an event made from GitLab's API reports:
// when it ended, or else when the job was created or the pipeline changed.
func happenedAt(e event.Event, changed time.Time) time.Time {
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
