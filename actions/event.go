package actions

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/store"
)

// event evaluates an event and queues what it decides. A rule that could not
// be evaluated because GitLab fails for now is evaluated again later,
// together with the others: what they decide again is known by its id.
func (r *Runner) event(ctx context.Context, h *held, e rules.Event) error {
	decisions, errs := r.Rules().Evaluate(ctx, e, facts{r.GitLab})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	next := make([]store.Record, 0, len(decisions))
	for _, d := range decisions {
		d.DecidedAt = r.Now().UTC()
		record, err := r.note(ctx, d)
		if err != nil {
			return err
		}
		next = append(next, record)
	}
	if err := r.ruleErrors(e, errs); err != nil {
		if _, failed := r.Queue.Put(ctx, next...); failed != nil {
			return failed
		}
		return err
	}
	return h.done(ctx, next...)
}

// note writes a decision to the journal, where it has no outcome yet, and
// gives its record for the queue.
func (r *Runner) note(ctx context.Context, d rules.Decision) (store.Record, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return store.Record{}, fmt.Errorf("decision %s: %w", d.ID, err)
	}
	if err := r.Journal.Note(ctx, d.ID, body); err != nil {
		return store.Record{}, fmt.Errorf("journal: %w", err)
	}
	return store.Record{ID: "decision:" + d.ID, Kind: rules.RecordDecision, After: d.Action.Wait(d.Job.Attempt), Body: body}, nil
}

// ruleErrors tells of expressions that failed. It returns one that will pass,
// if the event is still young enough to wait for that.
func (r *Runner) ruleErrors(e rules.Event, errs []*rules.RuleError) error {
	var wait error
	for _, err := range errs {
		if passes(err) && r.Now().Sub(e.Meta.ReceivedAt) < patience {
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
