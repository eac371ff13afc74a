package rules

import (
	"fmt"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Limits are the budgets for retries, over all rules.
type Limits struct {
	PerJob      int // runs of one job name in one pipeline, all counted, whoever started them
	PerPipeline int // retries in one pipeline, whoever started them
	PerProject  Budget
	Total       Budget
	PerClass    map[string]Budget // by failure class; none for a class that is not here
}

// Budget allows Count in each Per, on average, and as many at once.
type Budget struct {
	Count int
	Per   event.Duration
}

// String gives the budget as rule files have it, like 100/1h.
func (b Budget) String() string { return fmt.Sprintf("%d/%s", b.Count, b.Per) }

// Storm says when failures of one class are an outage: Failures of them, in
// at least so many Pipelines, Within a time. Retries of the class then wait
// until it was so for the last time a Pause ago.
type Storm struct {
	Failures  int
	Pipelines int
	Within    event.Duration
	Pause     event.Duration
	Channel   string // to tell of its start and its end; "": nobody is told
}

// Limits gives the budgets that a file sets, else the defaults.
func (rs *Rules) Limits() Limits { return rs.limits }

// Storm gives what a file calls a storm, else the default, told in the first
// channel that the files' defaults name.
func (rs *Rules) Storm() Storm { return rs.storm }

// RetryPipelines reports whether a rule retries jobs, or the whole, on
// pipeline events.
func (rs *Rules) RetryPipelines() bool { return rs.retryPipelines }
