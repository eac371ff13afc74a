package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

// view is the data of report.*.tmpl, in the style of the medium.
type view struct {
	Since, Project, Rule string
	Decisions            int
	Outcomes             []count
	Actions              []count // of a dry run
	Retries              *retriesView
	WouldRetry           *wouldRetryView
	PersonAfter          time.Duration // what Retries.Saved assumes
	Delays               []delayView   // if retries have different ones
	Runners              []runnerView  // those on which most retries failed
	Growing              []growthView  // the failure classes that are retried more and more
	Most                 []jobView     // the jobs with the most retries
	Erased               int           // jobs
	Freed                string        // by that
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
	Started, Passed, Ended                int
	Canceled, Open                        int
	Rate                                  string // of those that passed; "": none has ended
	FailedBefore, PassedRuns, FailedAgain time.Duration
	Unknown                               int
	Saved                                 time.Duration
	Cost                                  *costView // nil: there are no prices
}

type costView struct {
	Passed, Wasted string
	Unpriced       time.Duration
}

// delayView counts the retries with a delay of a range.
type delayView struct {
	Passed, Ended  int
	AtLeast, Below time.Duration // 0: there is no limit
}

// runnerView counts the retries that ran on a runner.
type runnerView struct {
	Name          string
	Failed, Ended int
}

// growthView has how often a failure class was retried in the halves of the span.
type growthView struct {
	Class          string
	Earlier, Later int
}

type wouldRetryView struct {
	Passed, Retries int
	DeliveriesSince string
}

type jobView struct {
	Job, Project string
	Times        int
}

// mostNamed is how many of the jobs with the most retries are named, and of the runners on
// which most failed; maxName is how long their names may be, in bytes.
const (
	mostNamed = 3
	maxName   = 200
)

// Text returns the report in a few lines. An error is a mistake in the templates.
func Text(r Report, s words.Style) (string, error) {
	v := view{
		Since: r.Since.UTC().Format(time.RFC3339), Project: s.Text(r.Project, maxName), Rule: s.Code(r.Rule), Decisions: r.Total.Decisions(), Outcomes: counted(r.Total.Outcomes),
		PersonAfter: time.Duration(r.PersonAfter), Delays: delaysOf(r.Delays), Runners: worstRunners(r.Runners, s), Growing: growing(r, s),
		Most: mostRetried(r.Jobs, s), Erased: r.Total.Erased, Covers: clock(r.Covers), LastBefore: clock(r.LastBefore),
		Kept: time.Duration(r.Kept), Cut: r.Cut, Unreadable: r.Unreadable,
	}
	if r.Total.Freed > 0 {
		v.Freed = humanize.Bytes(uint64(r.Total.Freed))
	}
	for _, row := range r.Actions {
		v.Actions = append(v.Actions, count{s.Verb(row.Name), row.Decisions()})
	}
	if t := r.Total.Retries; t.Started > 0 {
		v.Retries = &retriesView{
			Started: t.Started, Passed: t.Passed, Ended: t.Passed + t.Failed, Canceled: t.Canceled, Open: t.Open, Rate: percent(t.PassRate),
			FailedBefore: span(t.FailedBefore), PassedRuns: span(t.PassedRuns), FailedAgain: span(t.FailedAgain), Saved: seconds(t.Saved),
			Unknown: t.FailedBefore.Unknown + t.PassedRuns.Unknown + t.FailedAgain.Unknown,
		}
		if r.Currency != "" {
			v.Retries.Cost = &costView{s.Text(Money(r.Currency, t.PassedRuns.Cost), maxName), s.Text(Money(r.Currency, t.FailedAgain.Cost), maxName), seconds(t.PassedRuns.Unpriced + t.FailedAgain.Unpriced)}
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
func RateText(r Retries) string { return rateText(r.Passed, r.Failed, r.PassRate) }

func rateText(passed, failed int, rate *float64) string {
	if rate == nil {
		return ""
	}
	return fmt.Sprintf("%d of %d (%s)", passed, passed+failed, percent(rate))
}

// percent writes a pass rate, as 0 % only if none passed and 100 % only if all did; "" if
// there is none.
func percent(rate *float64) string {
	if rate == nil {
		return ""
	}
	percent := math.Round(100 * *rate)
	if *rate > 0 && *rate < 1 {
		percent = min(max(percent, 1), 99)
	}
	return fmt.Sprintf("%.0f %%", percent)
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

// worstRunners names the runners on which most retries failed.
func worstRunners(all []Runner, s words.Style) (worst []runnerView) {
	for _, r := range all {
		if r.Failed > 0 && r.ID != 0 && len(worst) < mostNamed {
			worst = append(worst, runnerView{s.Code(RunnerName(r)), r.Failed, r.Passed + r.Failed})
		}
	}
	return worst
}

// RunnerName names a runner in English.
func RunnerName(r Runner) string {
	switch {
	case r.Others > 0:
		return othersText(r.Others)
	case r.ID == 0:
		return "no runner"
	case r.Description == "":
		return fmt.Sprintf("#%d", r.ID)
	}
	return fmt.Sprintf("#%d %s", r.ID, r.Description)
}

// RunnerRateText says how many of the retries on a runner passed, as RateText does.
func RunnerRateText(r Runner) string { return rateText(r.Passed, r.Failed, r.PassRate) }

// delaysOf returns how many retries passed by their delay; none, if all have the same.
func delaysOf(delays []Delay) (all []delayView) {
	for _, d := range delays {
		if ended := d.Passed + d.Failed; ended > 0 {
			all = append(all, delayView{d.Passed, ended, time.Duration(d.AtLeast), time.Duration(d.Below)})
		}
	}
	if len(all) < 2 {
		return nil
	}
	return all
}

// A failure class grows if the second half of the span has at least leastGrowing retries of
// it, and twice as many as the first.
const leastGrowing = 5

// growing returns the failure classes that grow, in a span that the journal has wholly.
func growing(r Report, s words.Style) (all []growthView) {
	if !r.Covers.IsZero() {
		return nil
	}
	for _, row := range r.Classes {
		if earlier := row.Retries.Started - row.Retries.Later; row.Others == 0 && row.Name != "" && row.Retries.Later >= max(leastGrowing, 2*earlier) {
			all = append(all, growthView{s.Code(row.Name), earlier, row.Retries.Later})
		}
	}
	return all
}

// SavedText writes how long pipelines did not wait for a person; "" if no retry has ended.
func SavedText(r Retries) string {
	if r.PassRate == nil {
		return ""
	}
	return event.Duration(seconds(r.Saved)).String()
}

// WastedText writes the runner time of the retries that failed again and, if there is a
// currency, its cost, as in: 2m (EUR 0.50); "" if no retry has ended.
func WastedText(r Retries, currency string) string {
	wasted := event.Duration(span(r.FailedAgain)).String()
	switch {
	case r.PassRate == nil:
		return ""
	case currency == "":
		return wasted
	}
	return fmt.Sprintf("%s (%s)", wasted, Money(currency, r.FailedAgain.Cost))
}

// Money writes an amount, like EUR 12.50. One that rounds to nothing is < EUR 0.01.
func Money(currency string, amount float64) string {
	if amount > 0 && amount < 0.005 {
		return fmt.Sprintf("< %s 0.01", currency)
	}
	return fmt.Sprintf("%s %.2f", currency, amount)
}

// DelayText writes a range of delays in English, like: from 1m to 5m.
func DelayText(d Delay) string {
	switch {
	case d.AtLeast == 0:
		return "below " + d.Below.String()
	case d.Below == 0:
		return "from " + d.AtLeast.String()
	}
	return fmt.Sprintf("from %s to %s", d.AtLeast, d.Below)
}

func span(t RunTime) time.Duration { return seconds(t.Seconds) }

// seconds returns a sum of times, rounded for display.
func seconds(n float64) time.Duration {
	return time.Duration(event.Rounded(time.Duration(n * float64(time.Second))))
}

// clock writes a point in time, "" for none.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func othersText(n int) string { return english.Plural(n, "other", "") }

// RowName names a row of the table of what, such as failure class.
func RowName(what string, row Row) string {
	switch {
	case row.Others > 0:
		return othersText(row.Others)
	case row.Name == "":
		return "no " + what
	case row.Project != "":
		return row.Project + ": " + row.Name
	}
	return row.Name
}
