package budget

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Level is how many retries are left of a budget now.
type Level struct {
	Scope string // total, class or project
	Name  string // of the class; the path of the project
	Count int    // retries per Per
	Per   event.Duration
	Left  int
}

// Levels returns the levels of the budget of all projects, of those of failure classes, and
// of those of the projects of the decisions.
func (b Budgets) Levels(ctx context.Context, of []event.Decision) (all []Level, err error) {
	limits := b.Limits()
	add := func(scope, name, key string, rate rules.Budget) {
		if err != nil {
			return
		}
		level := Level{Scope: scope, Name: name, Count: rate.Count, Per: rate.Per}
		level.Left, err = b.Guard.Left(ctx, bucket(key, rate))
		all = append(all, level)
	}
	add("total", "", keys.TotalBudget, limits.Total)
	for _, class := range slices.Sorted(maps.Keys(limits.PerClass)) {
		add("class", class, keys.ClassBudget(class), limits.PerClass[class])
	}
	for _, d := range of {
		add("project", d.Project.Path, keys.ProjectBudget(d.Meta.Instance, d.Project.ID), limits.PerProject)
	}
	if err != nil {
		return nil, fmt.Errorf("budget: %w", err)
	}
	return all, nil
}

// bucket returns the bucket of a budget.
func bucket(key string, rate rules.Budget) store.Bucket {
	return store.Bucket{Key: key, Rate: store.Rate{Limit: rate.Count, Per: time.Duration(rate.Per)}}
}
