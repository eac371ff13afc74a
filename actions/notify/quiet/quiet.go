// Package quiet has the quiet hours of rule files: when they end.
package quiet

import (
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Until returns the end of the quiet hours that there are at a time; zero: there are none.
func Until(q event.Quiet, now time.Time) time.Time {
	if q.From == "" {
		return time.Time{}
	}
	zone, err := time.LoadLocation(q.Timezone)
	if err != nil { // the loader of rule files has found it: this machine lacks the time zones
		zone = time.UTC
	}
	return end(q, now.In(zone))
}

// end returns the end of the quiet hours in which now is, zero if it is in none. The
// times are those of the clocks in the location of now: a night in which they are put
// forward or back is shorter or longer. A time that the clocks skip is the moment when
// they are put forward, and of one that they show twice it is the first.
func end(q event.Quiet, now time.Time) time.Time {
	nextDay := 0
	if q.To <= q.From {
		nextDay = 1
	}
	for _, began := range []int{-1, 0} { // yesterday, today
		day := time.Date(now.Year(), now.Month(), now.Day()+began, 12, 0, 0, 0, now.Location())
		if len(q.Days) > 0 && !slices.Contains(q.Days, event.Weekdays[day.Weekday()]) {
			continue
		}
		ends := clockShows(q.To, day.AddDate(0, 0, nextDay))
		if !now.Before(clockShows(q.From, day)) && now.Before(ends) {
			return ends
		}
	}
	return time.Time{}
}

// clockShows returns when the clocks show a time, like 07:00, on a day.
func clockShows(text string, day time.Time) time.Time {
	clock, err := time.Parse("15:04", text)
	if err != nil { // no rule file has it
		return day
	}
	t := time.Date(day.Year(), day.Month(), day.Day(), clock.Hour(), clock.Minute(), 0, 0, day.Location())
	if shown := t.Format("15:04"); shown != text { // they skip it
		start, end := t.ZoneBounds()
		if shown < text {
			return end
		}
		return start
	}
	if earlier := t.Add(-time.Hour); earlier.Format("15:04") == text {
		return earlier
	}
	return t
}
