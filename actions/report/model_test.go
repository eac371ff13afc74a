//go:build unix

package report_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/redis"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// item is an entry of a random journal, with the truth about it.
type item struct {
	event.Outcome
	retry  *item // of the result of a retry: the retry
	passed *bool // of a retry: whether the run that it started passed; nil: the journal does not have it
	// canceled is, of a retry, whether the run that it started was.
	canceled bool
	failed   seconds // of a retry: the run that it retried
	again    seconds // of a retry: the run that it started
	// waited is, of a retry, the time between these runs, if the journal has both.
	waited time.Duration

	failedOn, againOn string // of a retry: the tag of the runners of these runs; "": none
	failedBy, againBy int64  // of a retry: the ids of these runners; 0: none
	at                time.Time
}

// seconds is a duration, negative if the journal lacks it.
type seconds float64

func durations(t *rapid.T) seconds {
	return seconds(rapid.SampledFrom([]float64{-1, 0.5, 30, 612.25}).Draw(t, "duration"))
}

func tags(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "gpu", "free", "arm"}).Draw(t, "tag")
}

// chain returns the entries about one job, oldest first: it fails, is retried, ends, ...
func chain(t *rapid.T, id int64) (all []*item) {
	var e event.Event
	e.Meta = event.Meta{Kind: event.KindJob, Instance: "https://gitlab.example.com"}
	e.Project.ID = rapid.Int64Range(1, 3).Draw(t, "project")
	e.Project.Path = fmt.Sprintf("group/p%d", e.Project.ID)
	e.Pipeline.ID = 100 + id
	e.Job.Name = rapid.SampledFrom([]string{"rspec", "lint", "build"}).Draw(t, "job")
	run := id * 1000
	took, on, by, start := durations(t), tags(t), runners(t), noon.Add(-48*time.Hour)
	e = ended(e, run, "failed", start, took, on, by)
	for {
		d := &item{failed: took, failedOn: on, failedBy: by}
		d.Event = e
		d.Job.FailureClass = rapid.SampledFrom([]string{"runner", "script", ""}).Draw(t, "class")
		d.Rule = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "rule")
		d.Action.Verb = rapid.SampledFrom([]string{event.VerbRetry, event.VerbRetry, event.VerbRetry, event.VerbCancel}).Draw(t, "verb")
		d.Result = rapid.SampledFrom([]string{event.ResultDone, event.ResultDone, event.ResultDone, event.ResultSkipped, event.ResultDryRun, event.ResultGaveUp, ""}).Draw(t, "result")
		d.ID = fmt.Sprintf("decision of %d", run)
		all = append(all, d)
		if d.Action.Verb != event.VerbRetry || d.Result != event.ResultDone {
			return all
		}
		run++
		d.NewJobID = run
		waited := rapid.SampledFrom([]time.Duration{0, 59 * time.Second, time.Minute, 7 * time.Minute, time.Hour, 2 * time.Hour, 30 * time.Hour}).Draw(t, "waited")
		finish := e.Job.FinishedAt
		took, on, by, start = durations(t), tags(t), runners(t), finish.Add(waited)
		e = ended(e, run, "failed", start, took, on, by)
		d.waited = -1
		if !finish.IsZero() && !e.Job.StartedAt.IsZero() {
			d.waited = waited
		}
		end := rapid.SampledFrom([]string{"open", event.ResultRecovered, event.ResultGaveUp, "again", "kept", "canceled"}).Draw(t, "end")
		switch end {
		case "open":
			return all
		case "canceled":
			d.canceled, d.NewRun = true, e.Job
			d.NewRun.Status = "canceled"
			return all
		}
		d.passed, d.again, d.againOn, d.againBy = new(end == event.ResultRecovered), took, on, by
		switch end {
		case "again":
			continue
		case "kept": // GitLab ran it again
			d.NewRun = e.Job
			return all
		}
		result := &item{retry: d}
		result.Decision, result.ID, result.Result = d.Decision, d.ID+":"+end, end
		result.Event, result.NewJobID, result.Retried = e, run, event.RetriedRun(d.Job, e.Job)
		if *d.passed {
			result.Job.Status = "success"
		}
		return append(all, result)
	}
}

// runners returns the id of a runner; 0: none.
func runners(t *rapid.T) int64 { return rapid.Int64Range(0, 3).Draw(t, "runner") }

// ended returns the event of the end of a run, on a runner with a tag and an id.
func ended(e event.Event, run int64, status string, start time.Time, took seconds, tag string, runner int64) event.Event {
	e.Job = event.Job{ID: run, Name: e.Job.Name, Status: status}
	if runner > 0 {
		e.Job.Runner = event.Runner{ID: runner, Description: fmt.Sprintf("runner-%d", runner)}
	}
	if tag != "" {
		e.Job.Runner.Tags = []string{"linux", tag}
	}
	if took >= 0 {
		e.Job.Duration, e.Job.StartedAt = float64(took), start
		e.Job.FinishedAt = start.Add(time.Duration(float64(took) * float64(time.Second)))
	}
	return e
}

// journal returns the entries of some jobs, which are mixed, but those of each job in their
// order.
func journal(t *rapid.T) (all []*item) {
	chains := make([][]*item, rapid.IntRange(0, 12).Draw(t, "jobs"))
	for i := range chains {
		chains[i] = chain(t, int64(i+1))
	}
	for len(chains) > 0 {
		i := rapid.IntRange(0, len(chains)-1).Draw(t, "next")
		all, chains[i] = append(all, chains[i][0]), chains[i][1:]
		if len(chains[i]) == 0 {
			chains = slices.Delete(chains, i, i+1)
		}
	}
	return all
}

// reckon sums, by the truth, the entries from the index on that match, in rows by a name.
func reckon(all []*item, from int, half time.Time, match func(*item) bool, nameOf func(*item) string) map[string]report.Sums {
	rows := map[string]report.Sums{}
	for i, it := range all[from:] {
		if !match(it) {
			continue
		}
		of := it
		if it.retry != nil && slices.Index(all, it.retry) >= from {
			of = it.retry
		}
		row, ok := rows[nameOf(of)]
		if !ok {
			row.Outcomes = map[string]int{}
		}
		result := it.Result
		if result == "" {
			result = report.Waiting
		}
		row.Outcomes[result]++
		if all[from+i].Action.Verb == event.VerbRetry && it.Result == event.ResultDone {
			r := &row.Retries
			r.Started++
			add(&r.FailedBefore, it.failed, it.failedOn)
			if !it.at.Before(half) {
				r.Later++
			}
			switch {
			case it.canceled:
				r.Canceled++
			case it.passed == nil:
				r.Open++
			case *it.passed:
				r.Passed++
				r.Saved += 45 * 60
				add(&r.PassedRuns, it.again, it.againOn)
			default:
				r.Failed++
				add(&r.FailedAgain, it.again, it.againOn)
			}
		}
		rows[nameOf(of)] = row
	}
	for n, row := range rows {
		if ended := row.Retries.Passed + row.Retries.Failed; ended > 0 {
			row.Retries.PassRate = new(float64(row.Retries.Passed) / float64(ended))
		}
		rows[n] = row
	}
	return rows
}

func add(t *report.RunTime, s seconds, on string) {
	switch {
	case s < 0:
		t.Unknown++
		return
	case on == "gpu":
		t.Cost += 0.5 * float64(s) / 60
	case on != "free":
		t.Unpriced += float64(s)
	}
	t.Seconds += float64(s)
}

// delaysOf counts, by the truth, the retries from the index on that match, by their delays.
func delaysOf(all []*item, from int, match func(*item) bool) (passed, failed [5]int) {
	for _, it := range all[from:] {
		if it.Action.Verb != event.VerbRetry || it.Result != event.ResultDone || !match(it) || it.passed == nil || it.waited < 0 {
			continue
		}
		i := 0
		for _, least := range []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour} {
			if it.waited >= least {
				i++
			}
		}
		if *it.passed {
			passed[i]++
		} else {
			failed[i]++
		}
	}
	return passed, failed
}

// runnersOf counts, by the truth, the retries from the index on that match, by their runners.
func runnersOf(all []*item, from int, match func(*item) bool) map[int64]report.Runner {
	rows := map[int64]report.Runner{}
	count := func(id int64, add func(*report.Runner)) {
		row := rows[id]
		if row.ID = id; id > 0 {
			row.Description = fmt.Sprintf("runner-%d", id)
		}
		add(&row)
		rows[id] = row
	}
	for _, it := range all[from:] {
		if it.Action.Verb != event.VerbRetry || it.Result != event.ResultDone || !match(it) {
			continue
		}
		count(it.failedBy, func(r *report.Runner) { r.FailedBefore++ })
		switch {
		case it.passed == nil:
		case *it.passed:
			count(it.againBy, func(r *report.Runner) { r.Passed++ })
		default:
			count(it.againBy, func(r *report.Runner) { r.Failed++ })
		}
	}
	for id, row := range rows {
		if n := row.Passed + row.Failed; n > 0 {
			row.PassRate = new(float64(row.Passed) / float64(n))
		}
		rows[id] = row
	}
	return rows
}

// daysOf counts, by the truth, the retries from the index on that match, by their days.
func daysOf(all []*item, from int, match func(*item) bool) map[string]int {
	days := map[string]int{}
	for _, it := range all[from:] {
		if it.Action.Verb == event.VerbRetry && it.Result == event.ResultDone && match(it) {
			days[it.at.Format("2006-01-02")]++
		}
	}
	return days
}

// rowsOf returns the rows of a table by their names.
func rowsOf(rows []report.Row) map[string]report.Sums {
	all := map[string]report.Sums{}
	for _, r := range rows {
		all[r.Project+"/"+r.Name] = r.Sums
	}
	return all
}

var sameSums = cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-6 })

// checkReckoning compares reports of random journals with an independent reckoning. open
// returns an empty store, and a function that lets time pass between two entries: false if
// the store's clock can't be set, so that a report can't begin between them.
func checkReckoning(t *testing.T, open func(t *rapid.T) (s store.Store, pass func() (now time.Time, ok bool))) {
	rapid.Check(t, func(t *rapid.T) {
		s, pass := open(t)
		defer func() { _ = s.Close() }()
		all := journal(t)
		from, since, until, timed := 0, time.Now().Add(-24*time.Hour), time.Now().Add(time.Hour), false
		begin := rapid.IntRange(0, len(all)).Draw(t, "begin")
		for i, it := range all {
			it.at = until // in the second half, on a Redis, whose clock can't be set
			if now, ok := pass(); ok {
				it.at, until, timed = now, now.Add(time.Minute), true
				if i <= begin {
					from, since = i, now
				}
			}
			body, err := json.Marshal(it.Outcome)
			if err == nil {
				err = s.Amend(context.Background(), it.ID, body)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		q := report.Query{Since: since, PersonAfter: 45 * time.Minute}
		match := func(*item) bool { return true }
		switch rapid.SampledFrom([]string{"", "rule", "project"}).Draw(t, "filter") {
		case "rule":
			q.Rule, match = "a", func(it *item) bool { return it.Rule == "a" }
		case "project":
			q.Project, match = "GROUP/p1", func(it *item) bool { return it.Project.ID == 1 }
		}
		r, err := report.Reader{Journal: s, Deliveries: noDeliveries{}, Now: func() time.Time { return until }, Prices: func() rules.Prices { return prices }, MaxEntries: report.DefaultMaxEntries, Kept: store.DefaultJournalTTL}.Report(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		half := since.Add(until.Sub(since) / 2)
		if until.Sub(since) > store.DefaultJournalTTL {
			half = until.Add(-store.DefaultJournalTTL / 2)
		}
		for _, table := range []struct {
			what   string
			got    map[string]report.Sums
			nameOf func(*item) string
		}{
			{"rules", rowsOf(r.Rules), func(it *item) string { return "/" + it.Rule }},
			{"actions", rowsOf(r.Actions), func(it *item) string { return "/" + it.Action.Verb }},
			{"projects", rowsOf(r.Projects), func(it *item) string { return "/" + it.Project.Path }},
			{"classes", rowsOf(r.Classes), func(it *item) string { return "/" + classOf(it) }},
			{"jobs", rowsOf(r.Jobs), func(it *item) string { return it.Project.Path + "/" + it.Job.Name }},
			{"total", map[string]report.Sums{"": r.Total}, func(*item) string { return "" }},
		} {
			want := reckon(all, from, half, match, table.nameOf)
			if table.what == "total" && len(want) == 0 {
				want[""] = report.Sums{Outcomes: map[string]int{}}
			}
			if diff := cmp.Diff(want, table.got, sameSums); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", table.what, diff)
			}
		}
		passed, failed := delaysOf(all, from, match)
		for i, d := range r.Delays {
			if d.Passed != passed[i] || d.Failed != failed[i] {
				t.Fatalf("delays of %s to %s: %d passed and %d failed, want %d and %d", d.AtLeast, d.Below, d.Passed, d.Failed, passed[i], failed[i])
			}
		}
		gotRunners := map[int64]report.Runner{}
		for _, row := range r.Runners {
			gotRunners[row.ID] = row
		}
		if diff := cmp.Diff(runnersOf(all, from, match), gotRunners, sameSums); diff != "" {
			t.Fatalf("runners (-want +got):\n%s", diff)
		}
		if !timed {
			return
		}
		days := daysOf(all, from, match)
		for _, d := range r.Days {
			if d.Retries.Started != days[d.Date] {
				t.Fatalf("%d retries on %s, want %d", d.Retries.Started, d.Date, days[d.Date])
			}
			delete(days, d.Date)
		}
		if len(days) > 0 {
			t.Fatalf("the report lacks the days of %v", days)
		}
	})
}

// classOf returns the failure class of an entry: the result of a retry has that of the run
// which was retried, although the entry of the retry may not be in the report.
func classOf(it *item) string {
	if it.retry != nil {
		return it.retry.Job.FailureClass
	}
	return it.Job.FailureClass
}

type noDeliveries struct{}

func (noDeliveries) Deliveries(context.Context, func(*event.Delivery) bool, time.Time, string, int) ([]event.Delivery, string, error) {
	return nil, "", nil
}

func TestSumsEqualAnIndependentReckoning(t *testing.T) {
	t.Parallel()
	t.Run("bolt", func(t *testing.T) {
		t.Parallel()
		dir, n := t.TempDir(), 0
		checkReckoning(t, func(t *rapid.T) (store.Store, func() (time.Time, bool)) {
			n++
			now := noon.Add(-40 * 24 * time.Hour)
			step := rapid.SampledFrom([]time.Duration{time.Second, 11 * time.Hour}).Draw(t, "step")
			s, err := bolt.Open(filepath.Join(dir, fmt.Sprintf("%d.db", n)), bolt.Options{Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			return s, func() (time.Time, bool) {
				now = now.Add(step)
				return now, true
			}
		})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		server, n := redistest.Start(t, "--appendonly", "no"), 0
		checkReckoning(t, func(t *rapid.T) (store.Store, func() (time.Time, bool)) {
			n++
			s, err := redis.Open(context.Background(), server.URL(), redis.Options{Prefix: fmt.Sprintf("{report%d}:", n), CallTimeout: redistest.CallTimeout})
			if err != nil {
				t.Fatal(err)
			}
			return s, func() (time.Time, bool) { return time.Time{}, false }
		})
	})
}
