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
	PersonAfter          string // what Retries.Saved assumes
	Delays               string // how many passed, by the delay; "": there is only one kind
	Growing              string // the failure classes that are retried more and more
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
	Saved                                          string
	Cost                                           *costView // nil: there are no prices
}

type costView struct{ Passed, Wasted, Unpriced string }

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
		PersonAfter: r.PersonAfter.String(), Delays: delaysText(r.Delays), Growing: growing(r, s),
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
			FailedBefore: timeText(t.FailedBefore), PassedRuns: timeText(t.PassedRuns), FailedAgain: timeText(t.FailedAgain), Saved: secondsText(t.Saved),
		}
		if r.Currency != "" {
			v.Retries.Cost = costOf(t, r.Currency)
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

// SavedText writes how long pipelines did not wait for a person; "" if no retry has ended.
func SavedText(r Retries) string {
	if r.PassRate == nil {
		return ""
	}
	return secondsText(r.Saved)
}

// WastedText writes the runner time of the retries that failed again and, if there is a
// currency, its cost, as in: 2m (EUR 0.50); "" if no retry has ended.
func WastedText(r Retries, currency string) string {
	switch {
	case r.PassRate == nil:
		return ""
	case currency == "":
		return timeText(r.FailedAgain)
	}
	return fmt.Sprintf("%s (%s)", timeText(r.FailedAgain), Money(currency, r.FailedAgain.Cost))
}

// timeText writes a runner time, like 45s or 2h30m.
func timeText(t RunTime) string { return secondsText(t.Seconds) }

func secondsText(seconds float64) string {
	return event.Coarse(time.Duration(seconds * float64(time.Second))).String()
}

// Money writes an amount, like EUR 12.50.
func Money(currency string, amount float64) string { return fmt.Sprintf("%s %.2f", currency, amount) }

// costOf writes what the new runs of retries have cost.
func costOf(r Retries, currency string) *costView {
	v := &costView{Passed: Money(currency, r.PassedRuns.Cost), Wasted: Money(currency, r.FailedAgain.Cost)}
	if unpriced := r.PassedRuns.Unpriced + r.FailedAgain.Unpriced; unpriced > 0 {
		v.Unpriced = secondsText(unpriced)
	}
	return v
}

// delaysText lists how many retries passed by their delay, as in: 3 of 12 below 1m, 4 of 5 of
// 1m to 5m; "" if all have the same.
func delaysText(delays []Delay) string {
	var parts []string
	for _, d := range delays {
		if ended := d.Passed + d.Failed; ended > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d %s", d.Passed, ended, DelayText(d)))
		}
	}
	if len(parts) < 2 {
		return ""
	}
	return strings.Join(parts, ", ")
}

// DelayText writes a range of delays, like: from 1m to 5m.
func DelayText(d Delay) string {
	switch {
	case d.AtLeast == 0:
		return "below " + d.Below.String()
	case d.Below == 0:
		return "from " + d.AtLeast.String()
	}
	return fmt.Sprintf("from %s to %s", d.AtLeast, d.Below)
}

// A failure class grows if the second half of the span has at least leastGrowing retries of
// it, and twice as many as the first.
const leastGrowing = 5

// growing names the failure classes that grow, in a span that the journal has wholly.
func growing(r Report, s words.Style) string {
	if !r.Covers.IsZero() {
		return ""
	}
	var parts []string
	for _, row := range r.Classes {
		if earlier := row.Retries.Started - row.Retries.Later; row.Others == 0 && row.Name != "" && row.Retries.Later >= max(leastGrowing, 2*earlier) {
			parts = append(parts, fmt.Sprintf("%s (%d, before %d)", s.Code(row.Name), row.Retries.Later, earlier))
		}
	}
	return strings.Join(parts, ", ")
}

// clock writes a point in time, "" for none.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// RowName names a row of the table of what, such as failure class.
func RowName(what string, row Row) string {
	switch {
	case row.Others > 0:
		return fmt.Sprintf("%d others", row.Others)
	case row.Name == "":
		return "no " + what
	case row.Project != "":
		return row.Project + ": " + row.Name
	}
	return row.Name
}
