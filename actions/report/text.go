package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// view is the data of report.*.tmpl, in the style of the medium.
type view struct {
	Since, Project, Rule string
	Decisions            int
	Outcomes             []count
	Actions              []count // of a dry run
	Retries              *retriesView
	WouldRetry           *wouldRetryView
	Most                 []jobView // the jobs with the most retries
	Erased               int       // jobs
	Freed                string    // by that
	Covers, LastBefore   string
	Kept                 time.Duration // how long the journal keeps decisions
	Cut                  bool
	Unreadable           int
}

// count is how often there is an outcome or an action.
type count struct {
	Word  string
	Times int
}

type retriesView struct {
	Started, Passed, Ended, Open          int
	Rate                                  string // of those that passed; "": none has ended
	FailedBefore, PassedRuns, FailedAgain time.Duration
	Unknown                               int
}

type wouldRetryView struct {
	Passed, Retries int
	DeliveriesSince string
}

type jobView struct {
	Job, Project string
	Times        int
}

// mostNamed is how many of the jobs with the most retries are named, and maxName how long
// their names may be, in bytes.
const (
	mostNamed = 3
	maxName   = 200
)

// Text returns the report in a few lines. An error is a mistake in the templates.
func Text(r Report, s words.Style) (string, error) {
	v := view{
		Since: r.Since.UTC().Format(time.RFC3339), Project: s.Text(r.Project, maxName), Rule: s.Code(r.Rule), Decisions: r.Total.Decisions(), Outcomes: counted(r.Total.Outcomes),
		Most: mostRetried(r.Jobs, s), Erased: r.Total.Erased, Covers: clock(r.Covers), LastBefore: clock(r.LastBefore),
		Kept: store.DefaultJournalTTL, Cut: r.Cut, Unreadable: r.Unreadable,
	}
	if r.Total.Freed > 0 {
		v.Freed = humanize.Bytes(uint64(r.Total.Freed))
	}
	for _, row := range r.Actions {
		v.Actions = append(v.Actions, count{s.Verb(row.Name), row.Decisions()})
	}
	if t := r.Total.Retries; t.Started > 0 {
		v.Retries = &retriesView{
			Started: t.Started, Passed: t.Passed, Ended: t.Passed + t.Failed, Open: t.Open, Rate: percent(t),
			FailedBefore: span(t.FailedBefore), PassedRuns: span(t.PassedRuns), FailedAgain: span(t.FailedAgain),
			Unknown: t.FailedBefore.Unknown + t.PassedRuns.Unknown + t.FailedAgain.Unknown,
		}
	}
	if t := r.Total.WouldRetry; t.Retries > 0 {
		v.WouldRetry = &wouldRetryView{Passed: t.PassedAnyway, Retries: t.Retries, DeliveriesSince: clock(r.DeliveriesSince)}
	}
	block := "report"
	if r.DryRun {
		block = "report_dry_run"
	}
	return s.Say(block, v)
}

// counted lists outcomes with their numbers.
func counted(counts map[string]int) (all []count) {
	for _, result := range append(slices.Clone(event.Results), Waiting) {
		if n := counts[result]; n > 0 {
			all = append(all, count{result, n})
		}
	}
	return all
}

// OutcomesText lists outcomes with their numbers in English, as in: 12 done, 3 gave up.
func OutcomesText(counts map[string]int) string {
	var parts []string
	for _, c := range counted(counts) {
		parts = append(parts, fmt.Sprintf("%d %s", c.Times, strings.ReplaceAll(c.Word, "_", " ")))
	}
	return strings.Join(parts, ", ")
}

// RateText says how many of the retries whose end is known passed, as in: 12 of 16 (75 %);
// "" if none is.
func RateText(r Retries) string {
	if r.PassRate == nil {
		return ""
	}
	return fmt.Sprintf("%d of %d (%s)", r.Passed, r.Passed+r.Failed, percent(r))
}

// percent writes the pass rate; "" if there is none.
func percent(r Retries) string {
	if r.PassRate == nil {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100**r.PassRate)
}

// mostRetried names the jobs with the most retries.
func mostRetried(jobs []Row, s words.Style) (all []jobView) {
	for _, job := range jobs[:min(len(jobs), mostNamed)] {
		if n := job.Retries.Started + job.WouldRetry.Retries; n > 0 && job.Others == 0 {
			all = append(all, jobView{s.Code(job.Name), s.Text(job.Project, maxName), n})
		}
	}
	return all
}

func span(t RunTime) time.Duration { return time.Duration(t.Seconds * float64(time.Second)) }

// clock writes a point in time, "" for none.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
