package deliveries

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// page collects the deliveries of a page: the newest ones that match and arrived since a
// time, after those that were listed on earlier pages.
type page struct {
	match func(*event.Delivery) bool
	since time.Time
	from  position
	limit int
	list  []event.Delivery // what was added
	full  int              // how many deliveries are enough: one more than are passed or listed
}

// position is a place between two deliveries in the order of a list: that behind so many
// of those that arrived at a time.
type position struct {
	at     time.Time // zero: before the newest one
	passed int
}

func newPage(match func(*event.Delivery) bool, since time.Time, cursor string, limit int) (*page, error) {
	from, err := parseCursor(cursor)
	return &page{match: match, since: since, from: from, limit: limit, full: from.passed + limit + 1}, err
}

// parseCursor returns the position of a cursor: its time in nanoseconds since 1970 and how
// many deliveries of that time were listed.
func parseCursor(cursor string) (position, error) {
	if cursor == "" {
		return position{}, nil
	}
	at, passed, _ := strings.Cut(cursor, ".")
	nanoseconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return position{}, store.BadCursor(cursor)
	}
	n, err := strconv.ParseUint(passed, 10, 16)
	if err != nil {
		return position{}, store.BadCursor(cursor)
	}
	return position{time.Unix(0, nanoseconds).UTC(), int(n)}, nil
}

// add adds a delivery, if it matches and can be on the page.
func (p *page) add(d *event.Delivery) {
	if d.At.Before(p.since) || !p.from.at.IsZero() && d.At.After(p.from.at) || !p.match(d) {
		return
	}
	p.list = append(p.list, *d)
	if len(p.list) >= 4*p.full {
		p.sort()
	}
}

// sort sorts what was added, and drops what can't be on the page.
func (p *page) sort() {
	slices.SortFunc(p.list, newestFirst)
	p.list = p.list[:min(p.full, len(p.list))]
}

// newestFirst compares deliveries by their times. Those of the same time are in an order
// that is the same on all pages: that of what they are about.
func newestFirst(a, b event.Delivery) int {
	return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Event, a.Event), cmp.Compare(b.Job, a.Job), cmp.Compare(b.Result, a.Result), cmp.Compare(b.From, a.From), cmp.Compare(b.Reason, a.Reason))
}

// complete reports whether nothing that arrived at a time or before can be on the page.
func (p *page) complete(newest time.Time) bool {
	if newest.Before(p.since) {
		return true
	}
	if len(p.list) < p.full {
		return false
	}
	p.sort()
	return p.list[p.full-1].At.After(newest)
}

// result returns the page, and the cursor of the next one, "" if this is the last.
func (p *page) result() (list []event.Delivery, next string) {
	p.sort()
	passed := 0
	for passed < min(p.from.passed, len(p.list)) && p.list[passed].At.Equal(p.from.at) {
		passed++
	}
	list = p.list[passed:]
	if len(list) <= p.limit {
		return slices.Concat([]event.Delivery{}, list), ""
	}
	list = list[:p.limit]
	last := position{at: list[p.limit-1].At}
	for i := len(list) - 1; i >= 0 && list[i].At.Equal(last.at); i-- {
		last.passed++
	}
	if last.at.Equal(p.from.at) {
		last.passed += passed
	}
	return list, strconv.FormatInt(last.at.UnixNano(), 10) + "." + strconv.Itoa(last.passed)
}
