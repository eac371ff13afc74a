package rules

import (
	"fmt"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Limits are the budgets for retries by all rules.
type Limits struct {
	PerJob      int // runs of one job name in one pipeline, including those that others started
	PerPipeline int // retries in one pipeline, including those that others started
	PerProject  Budget
	Total       Budget
	PerClass    map[string]Budget // by failure class; a class that is not in the map is unlimited
}

// Budget allows Count retries per Per on average, and a burst of Count.
type Budget struct {
	Count int
	Per   event.Duration
}

// String formats the budget as rule files do, like 100/1h.
func (b Budget) String() string { return fmt.Sprintf("%d/%s", b.Count, b.Per) }

// Storm determines when failures of one class are an outage: Failures of that
// class in at least Pipelines pipelines Within a time. Retries of the class
// wait until Pause has passed since the condition was last true.
type Storm struct {
	Failures  int
	Pipelines int
	Within    event.Duration
	Pause     event.Duration
	To        event.Address // notified of the start and the end; without a channel: nobody is
	Language  string        // of that; "": English
}

// Limits returns the budgets that a file sets, otherwise the defaults.
func (rs *Rules) Limits() Limits { return rs.limits }

// Storm returns the storm settings of a file, otherwise the defaults with the
// first channel in the files' `defaults`.
func (rs *Rules) Storm() Storm { return rs.storm }

// Learns reports whether the results of retries are remembered: `learning` is not off, and
// a rule retries jobs, or people may request that.
func (rs *Rules) Learns() bool { return rs.learns && rs.retries }

// RetryPipelines reports whether a rule for pipeline events retries jobs or
// the pipeline.
func (rs *Rules) RetryPipelines() bool { return rs.retryPipelines }
