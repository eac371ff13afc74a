package report

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/goccy/go-json"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const (
	// page is how many entries are read at a time.
	page = 200
	// DefaultMaxEntries is how many entries of the journal one report reads at most.
	DefaultMaxEntries = 500_000
	// maxDeliveries is how many deliveries are read: more than are kept.
	maxDeliveries = 100_000
)

// Journal is the part of the store that has the journal.
type Journal interface {
	// Entries lists the journal, newest first, from a cursor on.
	Entries(ctx context.Context, cursor string, n int) (entries []store.Entry, next string, err error)
}

// Deliveries lists the last webhook deliveries.
type Deliveries interface {
	// Deliveries lists up to limit deliveries that match and arrived since a time, newest
	// first, from a cursor on.
	Deliveries(ctx context.Context, match func(*event.Delivery) bool, since time.Time, cursor string, limit int) (list []event.Delivery, next string, err error)
}

// Reader makes reports. All fields are required.
type Reader struct {
	Journal    Journal
	Deliveries Deliveries
	Now        func() time.Time
	Prices     func() rules.Prices // of the rules in force
	MaxEntries int                 // of the journal, that one report reads at most
	Kept       time.Duration       // how long the journal keeps entries
}

// Report returns the report of the decisions that a query selects. It reads what the query
// does not select, too: any entry may show how a run ended. The report begins no earlier
// than the journal can.
func (r Reader) Report(ctx context.Context, q Query) (Report, error) {
	until := r.Now().UTC()
	q.PersonAfter = cmp.Or(q.PersonAfter, DefaultPersonAfter)
	kept := until.Add(-r.Kept)
	bounded := q.Since.Before(kept)
	if bounded {
		q.Since = kept
	}
	s := newSummary(q, until, r.Prices())
	var deliveriesSince time.Time
	if q.DryRun {
		var err error
		if deliveriesSince, err = r.readDeliveries(ctx, s); err != nil {
			return Report{}, err
		}
	}
	extent, err := r.readJournal(ctx, s)
	if err != nil {
		return Report{}, err
	}
	if bounded && extent.covers.IsZero() && !extent.lastBefore.IsZero() {
		extent.covers = kept
	}
	report := s.report(slices.MaxFunc([]time.Time{q.Since, extent.covers}, time.Time.Compare), until)
	report.DeliveriesSince, report.Kept = deliveriesSince, event.Duration(r.Kept)
	report.Covers, report.Cut, report.LastBefore, report.Unreadable = extent.covers, extent.cut, extent.lastBefore, extent.unreadable
	return report, nil
}

// extent is which part of the journal was summed, as Report has it.
type extent struct {
	covers, lastBefore time.Time
	cut                bool
	unreadable         int
}

// readJournal adds the entries since the query's time.
func (r Reader) readJournal(ctx context.Context, s *summary) (x extent, err error) {
	var oldest time.Time
	for cursor, n := "", 0; ; {
		entries, next, err := r.Journal.Entries(ctx, cursor, min(page, r.MaxEntries-n))
		if err != nil {
			return x, err
		}
		for i := range entries {
			if entries[i].At.Before(s.query.Since) {
				x.lastBefore = entries[i].At.UTC()
				return x, nil
			}
			oldest = entries[i].At.UTC()
			var e entry
			if json.Unmarshal(entries[i].Body, &e) != nil {
				x.unreadable++
				continue
			}
			s.add(&e, entries[i].At)
		}
		n += len(entries)
		cursor = next
		if cursor == "" || n >= r.MaxEntries {
			x.covers, x.cut = oldest, cursor != ""
			return x, nil
		}
	}
}

// readDeliveries notes the runs of jobs that passed by the deliveries that are kept, and
// returns since when they are.
func (r Reader) readDeliveries(ctx context.Context, s *summary) (since time.Time, err error) {
	passed := func(d *event.Delivery) bool {
		if since.IsZero() || d.At.Before(since) {
			since = d.At.UTC()
		}
		return d.Kind == event.KindJob && d.Status == "success" && accepted(d.Result)
	}
	all, _, err := r.Deliveries.Deliveries(ctx, passed, s.query.Since, "", maxDeliveries)
	for i := range all {
		d := &all[i]
		s.pass(jobKey{d.ProjectID, d.Pipeline, d.JobName}, d.Job)
	}
	return since, err
}

// accepted reports whether a delivery with this result is one of the configured GitLab.
func accepted(result string) bool {
	return result == event.DeliveryStored || result == event.DeliveryDuplicate || result == event.DeliveryIgnored
}
