package report

import (
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// delays are the ranges by which Report.Delays counts.
var delays = []Delay{
	{Below: event.Duration(time.Minute)},
	{AtLeast: event.Duration(time.Minute), Below: event.Duration(5 * time.Minute)},
	{AtLeast: event.Duration(5 * time.Minute), Below: event.Duration(30 * time.Minute)},
	{AtLeast: event.Duration(30 * time.Minute), Below: event.Duration(2 * time.Hour)},
	{AtLeast: event.Duration(2 * time.Hour)},
}

// maxDays bounds how many days a report lists: the last ones.
const maxDays = 400

// addDelay counts a retry by its delay, if the journal has that and how the new run ended.
func (s *summary) addDelay(e *entry, ended run, known bool) {
	if !known || ended.status == "canceled" || ended.started.IsZero() || e.Job.FinishedAt.IsZero() || ended.started.Before(e.Job.FinishedAt) {
		return
	}
	waited := event.Duration(ended.started.Sub(e.Job.FinishedAt))
	for i := range s.delays {
		d := &s.delays[i]
		switch {
		case waited < d.AtLeast || d.Below > 0 && waited >= d.Below:
		case ended.status == "success":
			d.Passed++
		default:
			d.Failed++
		}
	}
}

// addDay adds a retry that was decided at a time.
func (s *summary) addDay(at time.Time, r Retries) {
	date := at.UTC().Format(time.DateOnly)
	if s.days[date] == nil {
		s.days[date] = &Retries{}
	}
	s.days[date].add(r)
}

// listDays returns all days of a span of time, those without retries too.
func (s *summary) listDays(since, until time.Time) []Day {
	first := since.UTC().Truncate(24 * time.Hour)
	if earliest := until.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-maxDays); first.Before(earliest) {
		first = earliest
	}
	list := []Day{}
	for day := first; !day.After(until); day = day.AddDate(0, 0, 1) {
		d := Day{Date: day.Format(time.DateOnly)}
		if r := s.days[d.Date]; r != nil {
			r.finish()
			d.Retries = *r
		}
		list = append(list, d)
	}
	return list
}
