// Package periodic sends the reports that rule files ask for, each when it is due.
//
// Each replica puts the next one of each report into the queue, due at its time; the queue
// takes it once, because its id has the time. A report that was sent is followed by the next
// one in the same step. Of those that were due while nothing ran, the first is sent at the next
// start, in place of all.
package periodic

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// RecordKind is the kind of the record of a report that is due.
const RecordKind = "report"

// checkEvery is the time between two looks at which report is next: a rule file may have
// changed.
const checkEvery = 20 * time.Second

// Record is the body of that record.
type Record struct {
	Report string    `json:"report"` // its name
	Due    time.Time `json:"due"`
}

// Queue takes records.
type Queue interface {
	Put(ctx context.Context, records ...store.Record) (added []bool, err error)
}

// Reporter makes reports.
type Reporter interface {
	Report(ctx context.Context, q report.Query) (report.Report, error)
}

// Announcer sends messages to receivers.
type Announcer interface {
	// Announce sends a notice, once for each key. It returns an error while a
	// later call can succeed, which ends some time after since; about are attributes for
	// the log.
	Announce(ctx context.Context, key string, notice event.Notice, since time.Time, about ...any) error
}

// Sender sends reports. All fields are required.
type Sender struct {
	Queue     Queue
	Rules     func() *rules.Rules // those in force
	Reports   Reporter
	Announcer Announcer
	Now       func() time.Time
	Log       *slog.Logger
}

// Run queues the reports until ctx is done.
func (s *Sender) Run(ctx context.Context) {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	queued := map[string]bool{} // ids of this process: each is put once
	for {
		if err := s.Check(ctx, queued); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "the next reports can't be queued; that is tried again soon", store.Outage(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Check queues the next one of each report, but those that were queued before.
func (s *Sender) Check(ctx context.Context, queued map[string]bool) error {
	now := s.Now()
	for _, r := range s.Rules().Reports() {
		for _, record := range next(r, now) {
			if queued[record.ID] {
				continue
			}
			if _, err := s.Queue.Put(ctx, record); err != nil {
				return err
			}
			queued[record.ID] = true
		}
	}
	return nil
}

// next returns the record of the next report after a time; none, if there is none.
func next(r rules.Report, now time.Time) []store.Record {
	due := r.Schedule.Next(now)
	if due.IsZero() {
		return nil
	}
	body, err := json.Marshal(Record{Report: r.Name, Due: due.UTC()})
	if err != nil {
		panic(err) // a text and a time can be encoded
	}
	return []store.Record{{ID: keys.Report(r.Name, due), Kind: RecordKind, After: due.Sub(now), Body: body}}
}

// Handle sends a report that is due, unless the rule files no longer ask for it.
func (s *Sender) Handle(ctx context.Context, l *worker.Lease, rec Record) error {
	r, wanted := s.wanted(rec)
	if !wanted {
		s.Log.InfoContext(ctx, "a report is not sent: the rule files no longer ask for it", "report", rec.Report, "due", rec.Due)
		return l.Done(ctx)
	}
	sums, err := s.Reports.Report(ctx, report.Query{Since: rec.Due.Add(-time.Duration(r.Span)), Project: r.Project, DryRun: r.DryRun})
	if err != nil {
		return err
	}
	text, err := report.Text(sums, mrkdwn.Style.In(r.Language))
	if err != nil {
		return err
	}
	if err := s.Announcer.Announce(ctx, l.ID(), event.Notice{Address: r.To, Text: mrkdwn.Escape(r.Name) + ": " + text}, rec.Due, "report", r.Name); err != nil {
		return err
	}
	return l.Done(ctx, next(r, s.Now())...)
}

// wanted returns the report of a record as the rules in force have it.
func (s *Sender) wanted(rec Record) (r rules.Report, wanted bool) {
	for _, r := range s.Rules().Reports() {
		if r.Name == rec.Report {
			return r, r.Due(rec.Due)
		}
	}
	return rules.Report{}, false
}
