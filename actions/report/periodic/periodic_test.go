package periodic_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/actions/report/periodic"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store/bolt"
)

const weekly = `
version: 1
defaults: {channel: "#ci"}
reports:
  - {name: weekly, cron: "0 9 * * 1", timezone: Europe/Berlin, project: "platform/**"}
  - {name: dry, cron: "@daily", span: 1d, dry_run: true, channel: "#dry"}
rules: []
`

// monday is a minute before nine in Berlin.
var monday = time.Date(2026, 11, 30, 7, 59, 0, 0, time.UTC)

type sent struct{ key, channel, text string }

// office has a Sender with a store of its own.
type office struct {
	*periodic.Sender
	t       *testing.T
	db      *bolt.Store
	now     time.Time
	queries []report.Query
	sent    []sent
	err     error // of each announcement
}

func (o *office) Report(_ context.Context, q report.Query) (report.Report, error) {
	o.queries = append(o.queries, q)
	return report.Report{Since: q.Since, Until: o.now, Project: q.Project, DryRun: q.DryRun, LastBefore: o.now, Total: report.Sums{Outcomes: map[string]int{}}}, nil
}

func (o *office) Announce(_ context.Context, key string, notice event.Notice, _ time.Time, _ ...any) error {
	if o.err == nil {
		o.sent = append(o.sent, sent{key, notice.Channel, notice.Text})
	}
	return o.err
}

func (o *office) load(text string) {
	o.t.Helper()
	loaded, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(text)})
	if err != nil {
		o.t.Fatal(err)
	}
	o.Rules = func() *rules.Rules { return loaded }
}

func open(t *testing.T, text string) *office {
	o := &office{t: t, now: monday}
	var err error
	if o.db, err = bolt.Open(t.TempDir()+"/test.db", bolt.Options{Now: func() time.Time { return o.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.db.Close() })
	o.Sender = &periodic.Sender{Queue: o.db, Reports: o, Announcer: o, Now: func() time.Time { return o.now }, Log: slog.New(slog.DiscardHandler)}
	o.load(text)
	return o
}

// check has a replica that has just started look which report is next.
func (o *office) check() {
	o.t.Helper()
	if err := o.Check(o.t.Context(), map[string]bool{}); err != nil {
		o.t.Fatal(err)
	}
}

// pass lets time pass and works off what is due.
func (o *office) pass(d time.Duration) {
	o.t.Helper()
	o.now = o.now.Add(d)
	pool := worker.New(worker.Config{Queue: o.db, Handlers: map[string]worker.Handler{periodic.RecordKind: worker.JSON(o.Handle)}, Log: slog.New(slog.DiscardHandler), Workers: 1, SlowLane: 1})
	pool.WorkOff(o.t.Context(), time.Minute)
}

// TestReports: a report is sent at its time, once, however many replicas queue it.
func TestReports(t *testing.T) {
	t.Parallel()
	o := open(t, weekly)
	o.check()
	o.check() // another replica
	o.pass(50 * time.Second)
	if len(o.sent) != 0 {
		t.Errorf("%+v are sent before they are due", o.sent)
	}
	o.pass(10 * time.Second)
	o.check()
	o.pass(time.Minute)
	if len(o.sent) != 1 || o.sent[0].channel != "#ci" || !strings.HasPrefix(o.sent[0].text, "weekly: No decisions since 2026-11-23T08:00:00Z of project platform/**.") {
		t.Fatalf("sent are %+v, want the weekly report", o.sent)
	}
	o.pass(16 * time.Hour)
	if len(o.sent) != 2 || o.sent[1].channel != "#dry" || !o.queries[1].DryRun || !o.queries[1].Since.Equal(time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("sent are %+v by %+v, want the dry run of a day", o.sent, o.queries)
	}
	o.check()
	o.pass(14 * 24 * time.Hour) // nothing runs for two weeks: the next ones are sent, late
	if len(o.sent) != 4 {
		t.Errorf("sent are %+v, want the next one of each", o.sent)
	}
}

// TestNextReport: the next report waits in the queue as soon as one is sent, whatever crashes
// then.
func TestNextReport(t *testing.T) {
	t.Parallel()
	o := open(t, weekly)
	o.check()
	o.pass(time.Minute)
	o.pass(8 * 24 * time.Hour) // no replica has looked which is next
	weeklies := 0
	for _, s := range o.sent {
		if s.channel == "#ci" {
			weeklies++
		}
	}
	if weeklies != 2 {
		t.Errorf("sent are %+v, want the weekly report twice", o.sent)
	}
}

// TestUnwantedReports: what a rule file no longer asks for is not sent.
func TestUnwantedReports(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"removed":     "version: 1\nrules: []\n",
		"later":       strings.Replace(weekly, "0 9 * * 1", "0 10 * * 1", 1),
		"other zone":  strings.Replace(weekly, "Europe/Berlin", "UTC", 1),
		"other name":  strings.Replace(weekly, "name: weekly", "name: other", 1),
		"still there": weekly,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t, weekly)
			o.check()
			o.load(text)
			o.pass(time.Minute)
			if want := name == "still there"; (len(o.sent) == 1) != want {
				t.Errorf("sent are %+v, want a report: %t", o.sent, want)
			}
		})
	}
}

// TestLanguageOfReports: a report is in the language of the file.
func TestLanguageOfReports(t *testing.T) {
	t.Parallel()
	o := open(t, strings.Replace(weekly, `channel: "#ci"`, `channel: "#ci", language: zh`, 1))
	o.check()
	o.pass(time.Minute)
	if len(o.sent) != 1 || !strings.HasPrefix(o.sent[0].text, "weekly: 自 2026-11-23T08:00:00Z 起，项目 platform/**，没有任何决定。\n") {
		t.Errorf("sent are %+v", o.sent)
	}
}

// TestReportIsKept: while the receiver can't be reached, the report waits.
func TestReportIsKept(t *testing.T) {
	t.Parallel()
	o := open(t, weekly)
	o.check()
	o.err = errors.New("unreachable")
	o.pass(time.Minute)
	o.err = nil
	o.pass(time.Hour)
	if len(o.sent) != 1 {
		t.Errorf("sent are %+v, want the report", o.sent)
	}
}
