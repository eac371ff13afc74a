package backtest

import (
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Report is what rules would have done in a span of time, and whether retries helped.
type Report struct {
	Since    time.Time        `json:"since"`
	Until    time.Time        `json:"until"`
	Projects []ProjectReport  `json:"projects"`
	Runs     int              `json:"runs"`      // of jobs, that ended
	Failed   int              `json:"failed"`    // of those
	Ends     int              `json:"pipelines"` // ends of pipelines: one that was run again ends again
	Total    Retries          `json:"total"`     // each failed run once, whichever rules request its retry
	Rules    []RuleReport     `json:"rules"`     // in the order of the rule files
	Uncaught Uncaught         `json:"uncaught"`
	Unknown  []UnknownField   `json:"unknown_fields"`
	Problems []string         `json:"problems"`
	Tries    []Try            `json:"tries"`
	Limits   AssumptionLimits `json:"assumptions"`
}

// AssumptionLimits are figures that the report's assumptions depend on.
type AssumptionLimits struct {
	NativeWithin float64 `json:"native_within_seconds"` // a run that was made so soon after a failure is taken for GitLab's own retry
	Confidence   float64 `json:"confidence"`            // of the intervals, by Wilson's formula
}

// ProjectReport is what was read of a project.
type ProjectReport struct {
	ID     int64  `json:"id"`
	Path   string `json:"path"`
	Runs   int    `json:"runs"`
	Failed int    `json:"failed"`
	Ends   int    `json:"pipelines"`
}

// RuleReport is what one rule would have done.
type RuleReport struct {
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
	On   string `json:"on"`
	// NotEvaluated is set if no event that is rebuilt can make the rule match: it is on a
	// schedule, or about jobs or pipelines that have not ended.
	NotEvaluated bool           `json:"not_evaluated,omitzero"`
	Fired        int            `json:"fired"`   // events that it matched
	Actions      map[string]int `json:"actions"` // decisions by verb
	Retries      Retries        `json:"retries"`
	// Unknown counts events on which the rule could not be evaluated because a backtest does
	// not know what it requests, by the reason; Errors those on which it failed.
	Unknown map[string]int `json:"unknown,omitempty"`
	Errors  map[string]int `json:"errors,omitempty"`
}

// Retries sums what a rule would have retried: failed runs of jobs, each once.
type Retries struct {
	Would int            `json:"would"` // retries that would have been made
	Held  map[string]int `json:"held"`  // others that the rule requests, by the reason why they would not have been made

	// What became of the runs that would have been retried, or were before the rule's turn:
	Passed   int `json:"passed"`            // really retried, and the new run passed
	Failed   int `json:"failed"`            // really retried, and the new run failed
	Canceled int `json:"canceled,omitzero"` // really retried, and the new run was canceled, which is no evidence
	Open     int `json:"open"`              // really retried, and the new run has not ended
	Untried  int `json:"untried"`           // nobody retried them: what a retry would have done is not known
	// Rate is Passed by the sum of Passed and Failed, and Low to High its interval; missing if
	// that sum is 0.
	Rate *float64 `json:"rate,omitempty"`
	Low  *float64 `json:"low,omitempty"`
	High *float64 `json:"high,omitempty"`

	// Saved: the new run of a retry that would have been made passed, and was made by
	// somebody later than the rule would have made it.
	Saved        int     `json:"saved"`
	SavedSeconds float64 `json:"saved_seconds"` // how much later, around the clock
	MedianWait   float64 `json:"median_wait_seconds,omitzero"`
	// Wasted: the new runs that failed took runner time, which the rule would have spent, too.
	WastedSeconds float64 `json:"wasted_seconds"`
	// UntriedWaste is an estimate of the runner time of retries that nobody made and that
	// would have failed: at Rate, with the mean time of those that failed; 0 without evidence.
	UntriedWaste float64 `json:"untried_waste_seconds"`
	UnknownTime  int     `json:"unknown_time,omitzero"` // new runs whose duration GitLab does not tell
}

// Uncaught are the failed runs that no rule acts on or stops at.
type Uncaught struct {
	Failures int            `json:"failures"`
	LogsRead int            `json:"logs_read"` // of them; the others have no line
	Classes  map[string]int `json:"classes"`
	Groups   []Group        `json:"groups"` // the largest first
}

// Group are failures of one class and reason whose logs say the same.
type Group struct {
	Class  string `json:"class"`
	Reason string `json:"reason"`
	// Cluster is the id of the cluster that their lines make, as package unknown has it, and
	// Text what they have in common, with masks for what differs; Line is that of the newest.
	// "": no log was read, or it has no such line.
	Cluster string    `json:"cluster,omitzero"`
	Text    string    `json:"text,omitzero"`
	Line    string    `json:"line,omitzero"`
	Count   int       `json:"count"`
	Jobs    []string  `json:"jobs"` // some of their names
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Passed  int       `json:"passed"` // of those that were really retried
	Failed  int       `json:"failed"` // likewise
	URL     string    `json:"url"`    // of the newest
}

// UnknownField is a field that rules read and that a backtest has no certain value of.
type UnknownField struct {
	Field string   `json:"field"`
	Rules []string `json:"rules"`
}

// Try is a failed run that was really run again, by whomever, and the new run has ended.
type Try struct {
	Project       string    `json:"project"`
	ProjectID     int64     `json:"project_id"`
	PipelineID    int64     `json:"pipeline_id"`
	Job           string    `json:"job"`
	FailedID      int64     `json:"failed_id"`
	NewID         int64     `json:"new_id"`
	Class         string    `json:"class"`
	Reason        string    `json:"reason"`
	Native        bool      `json:"native"`        // so soon that GitLab's own retry: may have made it
	Delay         float64   `json:"delay_seconds"` // from the failure to the start of the new run
	Runner        string    `json:"runner"`        // of the run that failed
	RunnerID      int64     `json:"runner_id"`
	FailedSeconds float64   `json:"failed_seconds"` // runner time of the run that failed
	Seconds       float64   `json:"seconds"`        // runner time of the new run
	Passed        bool      `json:"passed"`
	At            time.Time `json:"at"`    // the end of the new run
	Rules         []string  `json:"rules"` // that request the retry
}

// Past returns the try as a server adds it to what it knows of retries.
func (t Try) Past() event.PastTry {
	return event.PastTry{
		Project: t.Project, ProjectID: t.ProjectID, PipelineID: t.PipelineID, Job: t.Job, NewID: t.NewID, Class: t.Class, Reason: t.Reason,
		Delay: t.Delay, FailedSeconds: t.FailedSeconds, Seconds: t.Seconds, Passed: t.Passed, At: t.At,
	}
}
