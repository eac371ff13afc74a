package admin

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/goccy/go-json"
	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// States of a record in the queue.
const (
	StateDue     = "due"     // it can be leased now
	StateWaiting = "waiting" // it is due later
	StateLeased  = "leased"  // a worker carries it out
)

// QueuePage is the response to GET /api/v1/queue: how many records there are, and a page
// of those in the queue, soonest due first. Next is the cursor of the next page, "" at the
// end. A page may have fewer records than requested, or none, and yet have a next.
type QueuePage struct {
	Depth
	Records []QueuedRecord `json:"records"`
	Next    string         `json:"next"`
}

// QueuedRecord is a record in the queue.
type QueuedRecord struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	State string `json:"state"` // one of the states above
	// Until is when it is due, or while it is leased, when its lease ends unless
	// that is renewed.
	Until    time.Time `json:"until"`
	Tries    int       `json:"tries"`              // how often it was leased
	WaitsFor string    `json:"waits_for,omitzero"` // one of event.Waits, while it waits
	Reason   string    `json:"reason,omitzero"`    // for people: why it waits, or has waited last
	At       time.Time `json:"at,omitzero"`        // when what it is about happened; zero: unknown
	Subject
}

// DeadPage is the response to GET /api/v1/dead, newest first, with pages like those of
// QueuePage.
type DeadPage struct {
	Dead []DeadRecord `json:"dead"`
	Next string       `json:"next"`
}

// DeadRecord is a buried record. Record is its body: an Event, a Decision or an
// Outcome, depending on Kind.
type DeadRecord struct {
	ID     string    `json:"id"`
	Kind   string    `json:"kind"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Subject
	Record any `json:"record,omitempty"`
}

// Subject is what a record is about.
type Subject struct {
	About     string `json:"about,omitzero"`    // one line for people
	Decision  string `json:"decision,omitzero"` // id in the journal
	Rule      string `json:"rule,omitzero"`
	Action    string `json:"action,omitzero"`
	Project   string `json:"project,omitzero"` // path
	ProjectID int64  `json:"project_id,omitzero"`
	Ref       string `json:"ref,omitzero"`
	Pipeline  int64  `json:"pipeline,omitzero"`
	Job       int64  `json:"job,omitzero"`
	JobName   string `json:"job_name,omitzero"`
}

func newSubject(s event.Subject) Subject {
	return Subject{s.About, s.Decision, s.Rule, s.Action, s.Project, s.ProjectID, s.Ref, s.Pipeline, s.Job, s.JobName}
}

func (a *admin) queue(c echo.Context) error {
	q, err := parseRecordsQuery(c.QueryParams(), a.Kinds, a.Now())
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	d, err := a.Store.Depth(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	page := QueuePage{Depth: Depth(d)}
	now := a.Now()
	page.Records, page.Next, err = scan(ctx, a.Store.Records, q.cursor, q.limit, func(r store.QueuedRecord) (QueuedRecord, bool) {
		record := a.queuedRecord(r, now)
		return record, q.matches(record.Kind, record.State, record.WaitsFor, record.At, record.Subject)
	})
	return a.page(c, page, err)
}

func (a *admin) queuedRecord(r store.QueuedRecord, now time.Time) QueuedRecord {
	about := a.Describe(r.Kind, r.Body)
	record := QueuedRecord{
		ID: r.ID, Kind: r.Kind, State: StateWaiting, Until: r.Next().UTC(), Tries: r.Attempt, WaitsFor: about.Wait.For, Reason: about.Wait.Reason, At: about.At.UTC(), Subject: newSubject(about),
	}
	switch {
	case !r.Next().After(now):
		record.State, record.WaitsFor = StateDue, ""
	case !r.Expires.IsZero():
		record.State, record.WaitsFor = StateLeased, ""
	}
	return record
}

func (a *admin) dead(c echo.Context) error {
	q, err := parseRecordsQuery(c.QueryParams(), a.Kinds, a.Now())
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	var page DeadPage
	page.Dead, page.Next, err = scan(ctx, a.Store.Dead, q.cursor, q.limit, func(r store.DeadRecord) (DeadRecord, bool) {
		about := newSubject(a.Describe(r.Kind, r.Body))
		return DeadRecord{r.ID, r.Kind, r.Reason, r.At.UTC(), about, readable(r)}, q.matches(r.Kind, "", "", r.At, about)
	})
	return a.page(c, page, err)
}

// recordsQuery selects records; "" stands for any.
type recordsQuery struct {
	kind, state, waitsFor string
	project               project
	rule, action          string
	pipeline, job         int64 // 0 for any
	since                 time.Time
	limit                 int
	cursor                string
}

// parseRecordsQuery reads the query of records in the queue, or of dead ones.
func parseRecordsQuery(v url.Values, kinds []string, now time.Time) (recordsQuery, error) {
	state, err1 := oneOf(v, "state", []string{StateDue, StateWaiting, StateLeased})
	waitsFor, err2 := oneOf(v, "waits_for", event.Waits)
	action, err3 := oneOf(v, "action", event.Verbs)
	pipeline, err4 := idOf(v, "pipeline")
	job, err5 := idOf(v, "job")
	limit, err6 := limitOf(v)
	kind, err7 := oneOf(v, "kind", kinds)
	since, err8 := sinceOf(v, now)
	project, err9 := projectOf(v)
	q := recordsQuery{
		kind: kind, state: state, waitsFor: waitsFor, project: project, rule: v.Get("rule"), action: action,
		pipeline: pipeline, job: job, since: since, limit: limit, cursor: v.Get("cursor"),
	}
	return q, errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9)
}

func (q *recordsQuery) matches(kind, state, waitsFor string, at time.Time, s Subject) bool {
	return (q.kind == "" || q.kind == kind) &&
		(q.state == "" || q.state == state) &&
		(q.waitsFor == "" || q.waitsFor == waitsFor) &&
		q.project.matches(s.Project, s.ProjectID) &&
		(q.rule == "" || q.rule == s.Rule) &&
		(q.action == "" || q.action == s.Action) &&
		(q.pipeline == 0 || q.pipeline == s.Pipeline) &&
		(q.job == 0 || q.job == s.Job) &&
		!at.Before(q.since)
}

// readable returns the body of a buried record, with secrets hidden. It is nil if
// the body can't be decoded, which may be why the record was buried.
func readable(r store.DeadRecord) any {
	var o event.Outcome // has all fields of the smaller ones
	if err := json.Unmarshal(r.Body, &o); err != nil {
		return nil
	}
	hide(&o.Decision)
	switch r.Kind {
	case event.RecordEvent:
		return o.Event
	case event.RecordDecision:
		return o.Decision
	case event.RecordOutcome, event.RecordNotice:
		return o
	default:
		return nil
	}
}
