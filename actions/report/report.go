// Package report sums what the journal has of a span of time: decisions by what came of
// them, retries and whether the jobs passed, and the runner time of those runs; in all, and
// by rule, action, project, failure class and job. Of a dry run it sums what would have been
// done.
//
//	report.go   the report, as the API and the command have it
//	read.go     reads the journal, page by page, the newest entry first
//	sum.go      sums the entries
//	run.go      the runs of jobs that entries show
//	history.go  retries by day and by delay
//	runners.go  retries by runner
//	text.go     the report in a few lines, for the terminal and for Slack
package report

import (
	"slices"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Query selects the decisions that a report sums; "" stands for any.
type Query struct {
	Since   time.Time // when they were made; the result of a retry counts when it came
	Rule    string
	Project string // a project's id, or a glob of paths
	DryRun  bool   // those with the outcome dry_run
	// PersonAfter is how long after its failure a person would have retried a job, on
	// average: what each retry that passed saved. 0: DefaultPersonAfter.
	PersonAfter time.Duration
}

// DefaultPersonAfter is the usual Query.PersonAfter: an assumption, which each report states.
const DefaultPersonAfter = 30 * time.Minute

// matches reports whether a report sums an entry, whenever that was made.
func (q Query) matches(e *entry) bool {
	return (q.Rule == "" || q.Rule == e.Rule || slices.Contains(e.AlsoWantedBy, q.Rule)) &&
		(q.Project == "" || event.MatchesProject(q.Project, e.Project.Path) || q.Project == strconv.FormatInt(e.Project.ID, 10)) &&
		(!q.DryRun || e.Result == event.ResultDryRun)
}

// Report has the sums of a span of time. Each table has at most MaxRows rows, those with the
// most retries first, and then one of all others: the rows of a table add up to Total.
type Report struct {
	Since   time.Time `json:"since"` // of the query, or since when the journal keeps decisions if that is later
	Until   time.Time `json:"until"`
	Rule    string    `json:"rule,omitzero"`    // the only one, if the request names one
	Project string    `json:"project,omitzero"` // likewise
	DryRun  bool      `json:"dry_run,omitzero"` // what would have been done

	// Covers is the time since which the report has the decisions where that is later than
	// Since: the journal has no older ones or, if Cut is set, more than one report reads.
	Covers time.Time `json:"covers,omitzero"`
	Cut    bool      `json:"cut,omitzero"`
	// LastBefore is when the last decision before Since was made, of whatever rule and
	// project; zero: the journal has none.
	LastBefore time.Time `json:"last_before,omitzero"`
	Unreadable int       `json:"unreadable,omitzero"` // entries of the journal that are not summed
	// Kept is how long the journal keeps decisions.
	Kept event.Duration `json:"kept"`
	// DeliveriesSince is, of a dry run, since when the deliveries are kept that show which
	// jobs passed anyway; zero: none are.
	DeliveriesSince time.Time `json:"deliveries_since,omitzero"`

	// PersonAfter is the assumption behind Retries.Saved: see Query.
	PersonAfter event.Duration `json:"person_after"`
	Currency    string         `json:"currency,omitzero"` // of all costs; "": the rules have no prices

	Total    Sums  `json:"total"`
	Rules    []Row `json:"rules"`
	Actions  []Row `json:"actions"`
	Projects []Row `json:"projects"`
	Classes  []Row `json:"classes"` // failure classes of the retried jobs and of those that other actions are about
	Jobs     []Row `json:"jobs"`    // jobs by name, in each project

	Days   []Day   `json:"days"`   // the days of the span, in UTC, oldest first
	Delays []Delay `json:"delays"` // shortest first: which delay helps

	// Runners has at most MaxRows runners, those on which most retries failed first, and then
	// one of all others.
	Runners []Runner `json:"runners"`
}

// Day has the retries that were decided on one day, in UTC.
type Day struct {
	Date    string  `json:"date"` // like 2026-11-30
	Retries Retries `json:"retries,omitzero"`
}

// Delay counts the retries by the time from the end of the run that failed until the start
// of the new one. Those of which the journal lacks a time are not counted.
type Delay struct {
	AtLeast event.Duration `json:"at_least"`
	Below   event.Duration `json:"below,omitzero"` // 0: there is no limit
	Passed  int            `json:"passed"`
	Failed  int            `json:"failed"`
}

// Runner counts the runs of retries on one runner.
type Runner struct {
	ID           int64    `json:"id,omitzero"`          // 0: no runner took the run, or the journal does not have it
	Description  string   `json:"description,omitzero"` // in GitLab
	Others       int      `json:"others,omitzero"`      // of the last one: it counts at least so many that have no row
	FailedBefore int      `json:"failed_before"`        // runs that failed there, and were retried anywhere
	Passed       int      `json:"passed"`               // new runs that passed there
	Failed       int      `json:"failed"`               // new runs that failed there
	PassRate     *float64 `json:"pass_rate,omitempty"`  // Passed by the sum of Passed and Failed; missing if that is 0
}

// MaxRows is how many rows a table has, besides that of all others.
const MaxRows = 100

// Row has the sums of one rule, action, project, failure class or job.
type Row struct {
	Name    string `json:"name,omitzero"`    // "" is what has none: no rule, no failure class, ...
	Project string `json:"project,omitzero"` // of a job: the path
	Others  int    `json:"others,omitzero"`  // of the last row: it sums at least so many that have no row
	Sums
}

// Sums are sums of decisions.
type Sums struct {
	// Outcomes counts decisions by their outcomes, and by Waiting those that have none yet.
	// A retry counts again with its result, recovered or gave_up.
	Outcomes map[string]int `json:"outcomes"`
	Retries  Retries        `json:"retries,omitzero"`
	// WouldRetry is, of a dry run, what Retries is of a real one.
	WouldRetry WouldRetry `json:"would_retry,omitzero"`
	Erased     int        `json:"erased,omitzero"` // jobs that were erased, or would have been
	Freed      int64      `json:"freed,omitzero"`  // bytes
}

// Waiting stands for the outcome of a decision that has none yet.
const Waiting = "waiting"

// Decisions returns how many outcomes are counted.
func (s Sums) Decisions() (n int) {
	for _, count := range s.Outcomes {
		n += count
	}
	return n
}

// Retries sums the action retry. Each retry counts when it was decided, and by the end of
// the run that it started.
type Retries struct {
	Started int `json:"started"`
	Passed  int `json:"passed"`
	Failed  int `json:"failed"` // the new run failed, too
	// Canceled counts the new runs that were canceled: they say nothing for or against
	// retries, and their time is in no sum.
	Canceled int `json:"canceled,omitzero"`
	Open     int `json:"open"` // the journal has no end of the new run
	// PassRate is Passed by the sum of Passed and Failed; missing if that is 0.
	PassRate *float64 `json:"pass_rate,omitempty"`
	// Later is, of Started, those of the second half of the span, or of the time for which
	// the journal keeps decisions if that is shorter.
	Later int `json:"later,omitzero"`
	// Saved is the time, in seconds, for which pipelines would have waited for a person, as
	// Report.PersonAfter assumes. What retries wasted is the time of FailedAgain.
	Saved float64 `json:"saved,omitzero"`

	FailedBefore RunTime `json:"failed_before"` // the runs that were retried
	PassedRuns   RunTime `json:"passed_runs"`   // the new runs that passed
	FailedAgain  RunTime `json:"failed_again"`  // the new runs that failed
}

// RunTime is how long runners worked on some runs.
type RunTime struct {
	Seconds float64 `json:"seconds"`
	Unknown int     `json:"unknown,omitzero"` // runs of which the journal has no duration
	// Cost is that of the runners that have a price, and Unpriced the time of the others, in
	// seconds. Both are 0 if the rules have no prices.
	Cost     float64 `json:"cost,omitzero"`
	Unpriced float64 `json:"unpriced,omitzero"`
}

// WouldRetry sums what the action retry would have done, once for each run that failed.
type WouldRetry struct {
	Retries int `json:"retries"`
	// PassedAnyway counts those whose job was seen to pass later in the same pipeline: a
	// person, GitLab or a rule that is no dry run has run it again. Nothing is known of the
	// others.
	PassedAnyway int `json:"passed_anyway"`
}
