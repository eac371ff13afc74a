package rules

import "time"

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
	Per   Duration
}

// Storm says when failures of one class are an outage: Failures of them, in
// at least so many Pipelines, Within a time. Retries of the class then wait
// until it was so for the last time a Pause ago.
type Storm struct {
	Failures  int
	Pipelines int
	Within    Duration
	Pause     Duration
	Channel   string // to tell of its start and its end; "": nobody is told
}

func defaultLimits() Limits {
	return Limits{
		PerJob:      3,
		PerPipeline: 20,
		PerProject:  Budget{100, Duration(time.Hour)},
		Total:       Budget{1000, Duration(time.Hour)},
	}
}

func defaultStorm() Storm {
	return Storm{Failures: 30, Pipelines: 10, Within: Duration(5 * time.Minute), Pause: Duration(15 * time.Minute)}
}

// Limits gives the budgets that the files set, else the defaults.
func (rs *Rules) Limits() Limits { return rs.limits }

// Storm gives what the files call a storm, else the default.
func (rs *Rules) Storm() Storm { return rs.storm }
