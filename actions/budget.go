package actions

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// remembered is how long it is known which retries were made, which storms
// there were and who waited for their end: longer than a pipeline is worked
// on.
const remembered = 7 * 24 * time.Hour

// budget is what a decision takes one from.
type budget struct {
	key  string
	of   string // words for people
	rate rules.Budget
}

// retryBudgets are shared by all rules and replicas. The widest comes last:
// what a narrower one refuses must not use it up.
func retryBudgets(l rules.Limits, p *pending) []budget {
	var all []budget
	for _, class := range p.FailureClasses() {
		if of, ok := l.PerClass[class]; ok {
			all = append(all, budget{keys.ClassBudget(class), "failures of class " + class, of})
		}
	}
	return append(all,
		budget{keys.ProjectBudget(p.Meta.Instance, p.Project.ID), "project " + p.Project.Path, l.PerProject},
		budget{keys.TotalBudget, "all projects", l.Total})
}

// spend takes one from each of the action's budgets. One that is used up makes
// the decision wait for its turn among those that wait for it, oldest first;
// those that granted it do so once.
func (r *Runner) spend(ctx context.Context, verb verb, p *pending) (*verdict, error) {
	for _, b := range verb.budgets(r.Rules().Limits(), p) {
		if slices.Contains(p.Spent, b.key) {
			continue
		}
		wait, err := r.Guard.Take(ctx, b.key, store.Rate{Limit: b.rate.Count, Per: time.Duration(b.rate.Per)})
		switch {
		case err != nil:
			return nil, fmt.Errorf("budget: %w", err)
		case wait > 0:
			if wait, err = r.turn(ctx, p, b, wait); err != nil {
				return nil, fmt.Errorf("budget: %w", err)
			}
			return postponed(wait, "the budget of %d retries in %s for %s is used up", b.rate.Count, b.rate.Per, b.of), nil
		}
		p.Spent = append(p.Spent, b.key)
		if p.Short == b.key {
			if err := r.Guard.Set(ctx, keys.Granted(b.key), []byte(strconv.Itoa(p.Place)), remembered); err != nil {
				return nil, fmt.Errorf("budget: %w", err)
			}
		}
	}
	p.Short = ""
	return nil, nil
}

// turn gives how long the decision waits for a budget that has its next one in
// the given time: so much, and as long again as it takes to grant those in
// places between it and the last that was granted.
func (r *Runner) turn(ctx context.Context, p *pending, b budget, next time.Duration) (time.Duration, error) {
	count, err := r.Guard.Tally(ctx, keys.Short(b.key), store.Seen{ID: p.Key}, remembered)
	if err != nil {
		return 0, err
	}
	value, err := r.Guard.Get(ctx, keys.Granted(b.key))
	if err != nil {
		return 0, err
	}
	granted, _ := strconv.Atoi(string(value)) // none: 0
	p.Short, p.Place = b.key, count.Position
	each := time.Duration(b.rate.Per) / time.Duration(b.rate.Count)
	return next + time.Duration(max(p.Place-granted-1, 0))*each, nil
}

// retriesKey names the tally of the retries that were granted in the
// decision's pipeline.
func retriesKey(p *pending) string {
	return keys.PipelineRetries(p.Meta.Instance, p.Pipeline.ID)
}

// pipelineBudget refuses a retry when its pipeline has had as many as
// `limits.per_pipeline` allows: those that GitLab shows, whoever made them, and
// those granted before this one that it does not show yet.
func (r *Runner) pipelineBudget(ctx context.Context, p *pending) (*verdict, error) {
	limit := r.Rules().Limits().PerPipeline
	if p.Action.Verb == event.VerbRetryPipeline {
		return nil, nil // counted by observeRetryPipeline
	}
	id := strconv.FormatInt(p.Job.ID, 10)
	granted, err := r.Guard.Tally(ctx, retriesKey(p), store.Seen{ID: id, Group: p.Job.Name}, remembered)
	if err != nil {
		return nil, fmt.Errorf("budget: %w", err)
	}
	if len(p.retried)+granted.Position <= limit {
		return nil, nil
	}
	ours, err := r.Guard.Tallied(ctx, retriesKey(p), remembered)
	if err != nil {
		return nil, fmt.Errorf("budget: %w", err)
	}
	retries := len(p.retried)
	for _, seen := range ours[:min(granted.Position, len(ours))] {
		if n, err := strconv.ParseInt(seen.ID, 10, 64); err != nil || !p.retried[n] {
			retries++
		}
	}
	if retries <= limit {
		return nil, nil
	}
	return skipped("the pipeline has had %s, as many as `limits.per_pipeline` allows", english.Plural(limit, "retry", "")), nil
}
