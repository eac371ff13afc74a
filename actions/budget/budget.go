// Package budget limits retries. Each retry takes one from the budgets of its
// failure classes, of its project and of all projects, which are rates that all
// rules and replicas share; and a pipeline has a number of retries. A budget that
// is used up defers the retry until its turn among those that wait for it, oldest
// first.
package budget

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

// remembered is how long the store keeps who was granted a retry and who waits
// for one: longer than a pipeline is worked on.
const remembered = 7 * 24 * time.Hour

// Guard is the state that replicas share.
type Guard interface {
	Take(ctx context.Context, buckets ...store.Bucket) (taken int, wait time.Duration, err error)
	Tally(ctx context.Context, key string, s store.Seen, within time.Duration) (store.Count, error)
	Tallied(ctx context.Context, key string, within time.Duration) ([]store.Seen, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Get(ctx context.Context, key string) ([]byte, error)
	Left(ctx context.Context, b store.Bucket) (tokens int, err error)
}

// Budgets are the budgets of retries. Both fields are required.
type Budgets struct {
	Guard  Guard
	Limits func() rules.Limits // those in force
}

// Grants are the grants of the budgets to a decision. They are part of the decision's
// record, so that each budget grants it once.
type Grants struct {
	Spent []string `json:"spent,omitempty"` // keys of the budgets that have granted it
	Short string   `json:"short,omitzero"`  // key of the budget that it waits for
	Place int      `json:"place,omitzero"`  // among those that wait for that
}

// budget is a rate of retries.
type budget struct {
	key   string
	scope string // for people
	rate  rules.Budget
}

// of returns the budgets that a retry takes from. The widest comes last: a retry
// that a narrower one refuses must not use it up.
func (b Budgets) of(d event.Decision) []budget {
	l := b.Limits()
	var all []budget
	for _, class := range d.FailureClasses() {
		if rate, ok := l.PerClass[class]; ok {
			all = append(all, budget{keys.ClassBudget(class), "failures of class " + class, rate})
		}
	}
	return append(all,
		budget{keys.ProjectBudget(d.Meta.Instance, d.Project.ID), "project " + d.Project.Path, l.PerProject},
		budget{keys.TotalBudget, "all projects", l.Total})
}

// Spend takes one from each budget of the retry that has not granted it yet, and
// returns 0 when all have. Otherwise it returns how long the retry waits for its
// turn and why.
func (b Budgets) Spend(ctx context.Context, d event.Decision, g *Grants) (wait time.Duration, reason string, err error) {
	budgets := slices.DeleteFunc(b.of(d), func(budget budget) bool { return slices.Contains(g.Spent, budget.key) })
	buckets := make([]store.Bucket, len(budgets))
	for i, budget := range budgets {
		buckets[i] = bucket(budget.key, budget.rate)
	}
	granted, wait, err := b.Guard.Take(ctx, buckets...)
	if err != nil {
		return 0, "", fmt.Errorf("budget: %w", err)
	}
	for _, budget := range budgets[:granted] {
		g.Spent = append(g.Spent, budget.key)
		if g.Short == budget.key {
			if err := b.Guard.Set(ctx, keys.Granted(budget.key), []byte(strconv.Itoa(g.Place)), remembered); err != nil {
				return 0, "", fmt.Errorf("budget: %w", err)
			}
		}
	}
	if granted == len(budgets) {
		g.Short = ""
		return 0, "", nil
	}
	short := budgets[granted]
	if wait, err = b.turn(ctx, d, g, short, wait); err != nil {
		return 0, "", fmt.Errorf("budget: %w", err)
	}
	return wait, fmt.Sprintf("the budget of %s in %s for %s is used up", english.Plural(short.rate.Count, "retry", "retries"), short.rate.Per, short.scope), nil
}

// turn returns how long a retry waits for a budget whose next grant is due after
// the time next: that time, and as long again as it takes to grant those that
// wait in the places between the last one granted and this one.
func (b Budgets) turn(ctx context.Context, d event.Decision, g *Grants, budget budget, next time.Duration) (time.Duration, error) {
	count, err := b.Guard.Tally(ctx, keys.Short(budget.key), store.Seen{ID: d.Key}, remembered)
	if err != nil {
		return 0, err
	}
	value, err := b.Guard.Get(ctx, keys.Granted(budget.key))
	if err != nil {
		return 0, err
	}
	granted, _ := strconv.Atoi(string(value)) // none: 0
	g.Short, g.Place = budget.key, count.Position
	each := time.Duration(budget.rate.Per) / time.Duration(budget.rate.Count)
	return next + time.Duration(max(g.Place-granted-1, 0))*each, nil
}

// pipelineKey is the key of the retries that were granted in the decision's
// pipeline.
func pipelineKey(d event.Decision) string {
	return keys.PipelineRetries(d.Meta.Instance, d.Pipeline.ID)
}

// PipelineRetries returns the retries that were granted in the decision's
// pipeline: the id and, as group, the name of each job.
func (b Budgets) PipelineRetries(ctx context.Context, d event.Decision) ([]store.Seen, error) {
	return b.Guard.Tallied(ctx, pipelineKey(d), remembered)
}

// SpendPipeline takes one from the retries that `limits.per_pipeline` allows the
// decision's pipeline, and reports whether one was left. Those count that GitLab
// shows, whoever made them (shown has the jobs that were retried, by id), and
// those that were granted before this one and that GitLab does not show yet. A
// job that was granted a retry before is granted it again.
func (b Budgets) SpendPipeline(ctx context.Context, d event.Decision, shown map[int64]bool) (ok bool, err error) {
	limit := b.Limits().PerPipeline
	granted, err := b.Guard.Tally(ctx, pipelineKey(d), store.Seen{ID: strconv.FormatInt(d.Job.ID, 10), Group: d.Job.Name}, remembered)
	if err != nil {
		return false, fmt.Errorf("budget: %w", err)
	}
	if len(shown)+granted.Position <= limit {
		return true, nil
	}
	ours, err := b.PipelineRetries(ctx, d)
	if err != nil {
		return false, fmt.Errorf("budget: %w", err)
	}
	retries := len(shown)
	for _, seen := range ours[:min(granted.Position, len(ours))] {
		if n, err := strconv.ParseInt(seen.ID, 10, 64); err != nil || !shown[n] {
			retries++
		}
	}
	return retries <= limit, nil
}
