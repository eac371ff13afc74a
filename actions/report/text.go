package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// view is the data of report.tmpl, in the style of the medium.
type view struct {
	Since, Project, Rule string
	Decisions            string // how many; "": none
	Outcomes             string // each with its number
	Actions              string // of a dry run: likewise
	Retries              *retriesView
	WouldRetry           *wouldRetryView
	Most                 string // the jobs with the most retries
	Erased               string
	Covers, LastBefore   string
	Kept                 string // how long the journal keeps decisions
	Cut                  bool
	Unreadable           string
}

type retriesView struct {
	Started, Rate, Open                            string
	FailedBefore, PassedRuns, FailedAgain, Unknown string
}

type wouldRetryView struct {
	Passed          int
	Retries         string
	DeliveriesSince string
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
		Since: r.Since.UTC().Format(time.RFC3339), Project: s.Text(r.Project, maxName), Rule: s.Code(r.Rule), Outcomes: OutcomesText(r.Total.Outcomes), Actions: actionsText(r.Actions),
		Most: mostRetried(r.Jobs, s), Erased: erasedText(r.Total), Covers: clock(r.Covers), LastBefore: clock(r.LastBefore),
		Kept: event.Duration(store.DefaultJournalTTL).String(), Cut: r.Cut,
	}
	if n := r.Total.Decisions(); n > 0 {
		v.Decisions = english.Plural(n, "outcome", "")
		if r.DryRun {
			v.Decisions = english.Plural(n, "decision", "")
		}
	}
	if r.Unreadable > 0 {
		v.Unreadable = english.Plural(r.Unreadable, "entry", "entries")
	}
	if t := r.Total.Retries; t.Started > 0 {
		v.Retries = &retriesView{
			Started: english.Plural(t.Started, "retry was started", "retries were started"), Rate: RateText(t),
			FailedBefore: timeText(t.FailedBefore), PassedRuns: timeText(t.PassedRuns), FailedAgain: timeText(t.FailedAgain),
		}
		if t.Open > 0 {
			v.Retries.Open = strconv.Itoa(t.Open)
		}
		if n := t.FailedBefore.Unknown + t.PassedRuns.Unknown + t.FailedAgain.Unknown; n > 0 {
			v.Retries.Unknown = english.Plural(n, "run", "")
		}
	}
	if t := r.Total.WouldRetry; t.Retries > 0 {
		v.WouldRetry = &wouldRetryView{Passed: t.PassedAnyway, Retries: english.Plural(t.Retries, "retry", "retries"), DeliveriesSince: clock(r.DeliveriesSince)}
	}
	block := "report"
	if r.DryRun {
		block = "report_dry_run"
	}
	return words.Say(block, v)
}

// OutcomesText lists outcomes with their numbers, as in: 12 done, 3 gave up.
func OutcomesText(counts map[string]int) string {
	var parts []string
	for _, result := range append(slices.Clone(event.Results), Waiting) {
		if n := counts[result]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(result, "_", " ")))
		}
	}
	return strings.Join(parts, ", ")
}

// RateText says how many of the retries whose end is known passed, as in: 12 of 16 (75 %);
// "" if none is.
func RateText(r Retries) string {
	if r.PassRate == nil {
		return ""
	}
	return fmt.Sprintf("%d of %d (%.0f %%)", r.Passed, r.Passed+r.Failed, 100**r.PassRate)
}

// actionsText lists actions with the numbers of their decisions, as in: 12 retry, 2 play.
func actionsText(rows []Row) string {
	var parts []string
	for _, row := range rows {
		parts = append(parts, fmt.Sprintf("%d %s", row.Decisions(), strings.ReplaceAll(row.Name, "_", " ")))
	}
	return strings.Join(parts, ", ")
}

// mostRetried names the jobs with the most retries.
func mostRetried(jobs []Row, s words.Style) string {
	var parts []string
	for _, job := range jobs[:min(len(jobs), mostNamed)] {
		if n := job.Retries.Started + job.WouldRetry.Retries; n > 0 && job.Others == 0 {
			parts = append(parts, fmt.Sprintf("%s of %s (%s)", s.Code(job.Name), s.Text(job.Project, maxName), english.Plural(n, "time", "")))
		}
	}
	return strings.Join(parts, ", ")
}

// erasedText says how many jobs were erased and what that freed; "" for none.
func erasedText(s Sums) string {
	if s.Erased == 0 {
		return ""
	}
	text := english.Plural(s.Erased, "job", "")
	if s.Freed > 0 {
		text += ", " + humanize.Bytes(uint64(s.Freed)) + " of logs and artifacts"
	}
	return text
}

// timeText writes a runner time, like 45s or 2h30m.
func timeText(t RunTime) string {
	return event.Coarse(time.Duration(t.Seconds * float64(time.Second))).String()
}

// clock writes a point in time, "" for none.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
