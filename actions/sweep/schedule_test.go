package sweep_test

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// timetable is a store with two replicas' schedulers on it.
type timetable struct {
	*testing.T
	clock    *storetest.Clock
	db       store.Store
	rules    *rules.Rules
	replicas []*sweep.Scheduler
}

func newTimetable(t *testing.T, missed string) *timetable {
	t.Helper()
	clock := storetest.NewClock()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tt := &timetable{T: t, clock: clock, db: db}
	tt.load("0 3 * * *", missed)
	for _, ahead := range []time.Duration{0, 4 * time.Minute} {
		tt.replicas = append(tt.replicas, &sweep.Scheduler{
			Store: db, Rules: func() *rules.Rules { return tt.rules }, Log: slog.New(slog.DiscardHandler),
			Now: func() time.Time { return clock.Now().Add(ahead) },
		})
	}
	return tt
}

func (tt *timetable) load(cron, missed string) {
	tt.Helper()
	rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(`
version: 1
rules:
  - name: nightly
    on: schedule
    schedule: {cron: "` + cron + `", projects: [platform], missed: ` + missed + `}
    actions: [erase]
`)})
	if err != nil {
		tt.Fatal(err)
	}
	tt.rules = rs
}

// check has all replicas check the schedules.
func (tt *timetable) check() {
	tt.Helper()
	for _, s := range tt.replicas {
		if err := s.Check(tt.Context()); err != nil {
			tt.Fatal(err)
		}
	}
}

// runs takes the runs that are queued and ends them.
func (tt *timetable) runs() []string {
	tt.Helper()
	leases, err := tt.db.Lease(tt.Context(), 100, time.Minute)
	if err != nil {
		tt.Fatal(err)
	}
	var due []string
	for _, l := range leases {
		var run event.Sweep
		if err := json.Unmarshal(l.Body, &run); err != nil || l.Kind != event.RecordSweep || run.Rule != "nightly" || run.ID != l.ID {
			tt.Fatalf("%s %s: %v", l.Kind, l.Body, err)
		}
		due = append(due, run.Due.Format(time.DateTime))
		if err := tt.db.Done(tt.Context(), &l); err != nil {
			tt.Fatal(err)
		}
	}
	return due
}

// until moves the clock, checking each half hour.
func (tt *timetable) until(at time.Time) {
	for tt.clock.Now().Before(at) {
		tt.clock.Advance(min(30*time.Minute, at.Sub(tt.clock.Now())))
		tt.check()
	}
}

func (tt *timetable) want(when string, want ...string) {
	tt.Helper()
	if diff := cmp.Diff(want, tt.runs()); diff != "" {
		tt.Errorf("%s: runs (-want +got):\n%s", when, diff)
	}
}

func TestScheduler(t *testing.T) {
	tt := newTimetable(t, rules.MissedRun)
	day := tt.clock.Now().Truncate(24 * time.Hour)
	at := func(days int, span time.Duration) time.Time { return day.AddDate(0, 0, days).Add(span) }
	night := func(days int) string { return at(days, 3*time.Hour).Format(time.DateTime) }

	tt.check()
	tt.want("a new rule begins with the next time")
	tt.until(at(1, 2*time.Hour+30*time.Minute))
	tt.want("before its time")
	tt.until(at(1, 4*time.Hour))
	tt.want("one run for all replicas", night(1))
	tt.until(at(1, 23*time.Hour))
	tt.want("not again")

	tt.clock.Advance(3 * 24 * time.Hour) // nobody is there
	tt.check()
	tt.want("one run makes up for those that were missed", night(4))

	tt.until(at(5, 4*time.Hour))
	tt.until(at(6, 4*time.Hour)) // the run of the fifth is still queued
	tt.want("none beside the one before", night(5))
	tt.until(at(7, 4*time.Hour))
	tt.want("and the next again", night(7))

	tt.load("0 5 * * *", rules.MissedRun)
	tt.until(at(7, 4*time.Hour+30*time.Minute))
	tt.until(at(7, 6*time.Hour))
	tt.want("another cron begins with its next time", at(7, 5*time.Hour).Format(time.DateTime))
}

func TestSchedulerSkipsMissedRuns(t *testing.T) {
	tt := newTimetable(t, rules.MissedSkip)
	tt.check()
	tt.clock.Advance(3 * 24 * time.Hour)
	tt.check()
	tt.want("after three days")
	next := tt.clock.Now().Truncate(24*time.Hour).AddDate(0, 0, 1).Add(3 * time.Hour)
	tt.until(next.Add(time.Minute))
	tt.want("the next", next.Format(time.DateTime))
}
