package backtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Text returns the report in a few sentences, one on each line, each figure with what it
// assumes.
func Text(r Report) string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("%s of jobs in %s ended from %s to %s, and %s of them failed; pipelines ended %s.", count(r.Runs, "run"), count(len(r.Projects), "project"),
		clock(r.Since), clock(r.Until), humanize.Comma(int64(r.Failed)), count(r.Ends, "time"))
	t := r.Total
	if held := HeldText(t); held == "" {
		add("The rules would have made %s.", count(t.Would, "retry"))
	} else {
		add("The rules would have made %s, and would not have made others that they request: %s.", count(t.Would, "retry"), held)
	}
	switch {
	case t.Rate != nil:
		add("%s of such runs passed when they were really run again, by people, other programs or GitLab's own retry: (in brackets the rate, and its interval with %.0f %% confidence by Wilson's score).", RateText(t), 100*r.Limits.Confidence)
	case t.Would > 0:
		add("None of them was really run again with a known end, so how often a retry helps is not known.")
	}
	if t.Canceled > 0 {
		add("%s %s canceled, which says nothing for or against a retry.", count(t.Canceled, "new run"), english.PluralWord(t.Canceled, "was", "were"))
	}
	if t.Open > 0 {
		add("%s %s not ended yet.", count(t.Open, "new run"), english.PluralWord(t.Open, "has", "have"))
	}
	if t.Untried > 0 {
		add("Nobody ran %s again: what a retry would have done there is not known.", humanize.Comma(int64(t.Untried))+" of them")
	}
	if t.Saved > 0 {
		add("Saved: %s of waiting, in %s that passed when run again, later than the rule would have done it (median %s). This assumes that a retry at the rule's time would have ended like the later one, and it counts around the clock.",
			seconds(t.SavedSeconds), count(t.Saved, "run"), seconds(t.MedianWait))
	}
	if t.Would > 0 && t.Rate != nil {
		text := fmt.Sprintf("Wasted: %s of runner time, by new runs that failed again, of retries that the rules would have made, too", seconds(t.WastedSeconds))
		if t.UntriedWaste > 0 {
			text += fmt.Sprintf("; and about %s for what nobody ran again, if retries of that would have passed as often and taken as long", seconds(t.UntriedWaste))
		}
		add("%s.", text)
	}
	if t.UnknownTime > 0 {
		add("GitLab does not tell how long %s took.", count(t.UnknownTime, "new run"))
	}
	u := r.Uncaught
	if u.Failures == 0 {
		add("Rules act on all failed runs.")
	} else {
		add("No rule acts on %s; by class: %s.", count(u.Failures, "failed run"), countsText(u.Classes))
	}
	if u.LogsRead < u.Failures {
		add("The logs of %s of these were read.", humanize.Comma(int64(u.LogsRead)))
	}
	for _, problem := range r.Problems {
		add("%s.", strings.ToUpper(problem[:1])+problem[1:])
	}
	for _, f := range r.Unknown {
		add("A backtest does not know the field %s, which %s read.", f.Field, strings.Join(f.Rules, ", "))
	}
	for _, rule := range r.Rules {
		if rule.NotEvaluated {
			add("Rule %s was not evaluated: it is on a schedule, or about jobs or pipelines that have not ended.", rule.Name)
		}
		for _, why := range sortedByCount(rule.Unknown) {
			add("Rule %s could not be evaluated on %s: %s.", rule.Name, count(rule.Unknown[why], "event"), why)
		}
		for _, why := range sortedByCount(rule.Errors) {
			add("Rule %s failed on %s: %s.", rule.Name, count(rule.Errors[why], "event"), why)
		}
	}
	add("Not in a backtest: schedules, trigger jobs, events of what had not ended, and what budgets, storms and pauses would have held back.")
	return strings.Join(lines, "\n")
}

// RateText says how often retries passed, with the interval, as in: 12 of 16 (75 %, 51-90 %);
// "" if none is known.
func RateText(r Retries) string {
	if r.Rate == nil {
		return ""
	}
	return fmt.Sprintf("%d of %d (%.0f %%, %.0f-%.0f %%)", r.Passed, r.Passed+r.Failed, 100**r.Rate, 100**r.Low, 100**r.High)
}

// HeldText lists the retries that would not have been made by the reason; "" for none.
func HeldText(r Retries) string {
	return countsText(r.Held)
}

// ActionsText lists the actions that a rule requested by their number; "" for none.
func ActionsText(r RuleReport) string { return strings.ReplaceAll(countsText(r.Actions), "_", " ") }

// countsText lists counts, the highest first, as in: 12 retry, 2 play.
func countsText(counts map[string]int) string {
	var parts []string
	for _, what := range sortedByCount(counts) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[what], what))
	}
	return strings.Join(parts, ", ")
}

// SavedText and WastedText write the sums of retries; "" for none.
func SavedText(r Retries) string {
	if r.Saved == 0 {
		return ""
	}
	return seconds(r.SavedSeconds)
}

// WastedText writes the runner time of retries that failed again; "" without any that ended.
func WastedText(r Retries) string {
	if r.Would == 0 || r.Rate == nil {
		return ""
	}
	text := seconds(r.WastedSeconds)
	if r.UntriedWaste > 0 {
		text += " + about " + seconds(r.UntriedWaste)
	}
	return text
}

// sortedByCount returns the keys, that with the highest count first.
func sortedByCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
}

func count(n int, what string) string {
	return humanize.Comma(int64(n)) + " " + english.PluralWord(n, what, plurals[what])
}

// plurals are those that are not made with an s.
var plurals = map[string]string{"retry": "retries"}

func seconds(s float64) string {
	return event.Rounded(time.Duration(s * float64(time.Second))).String()
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
