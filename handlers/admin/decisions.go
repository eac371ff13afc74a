package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-json"
	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const (
	// maxIDs bounds how many decisions one request can name.
	maxIDs = 50
	// hidden replaces the values of variables and inputs, which may be secrets.
	hidden = "[hidden]"
	// outcomeWaiting selects decisions that have no outcome yet.
	outcomeWaiting = "waiting"
)

// DecisionsPage is one page of decisions; Next is the cursor of the next page, ""
// at the end. A page may have fewer decisions than requested, or none, and yet
// have a next.
type DecisionsPage struct {
	Decisions []event.Outcome `json:"decisions"`
	Next      string          `json:"next"`
}

func (a *admin) decisions(c echo.Context) error {
	q, err := parseDecisionsQuery(c.QueryParams(), a.Now())
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	var page DecisionsPage
	if len(q.ids) > 0 {
		page.Decisions, err = a.decisionsOf(ctx, q.ids)
	} else {
		page.Decisions, page.Next, err = scan(ctx, a.entriesSince(q.since), q.cursor, q.limit, func(entry store.Entry) (event.Outcome, bool) {
			o, ok := a.outcome(ctx, entry)
			return o, ok && q.matches(&o)
		})
	}
	return a.page(c, page, err)
}

// page answers with a page of a list; err is that of reading it.
func (a *admin) page(c echo.Context, page any, err error) error {
	switch {
	case errors.Is(err, store.ErrBadCursor):
		return c.JSON(http.StatusBadRequest, handlers.Response{Error: `parameter "cursor": it must be the "next" of an earlier answer`})
	case err != nil:
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, page)
}

// entriesSince returns Entries of the store, which ends with the last entry that was
// added since a time.
func (a *admin) entriesSince(since time.Time) func(ctx context.Context, cursor string, n int) ([]store.Entry, string, error) {
	return func(ctx context.Context, cursor string, n int) ([]store.Entry, string, error) {
		entries, next, err := a.Store.Entries(ctx, cursor, n)
		if i := slices.IndexFunc(entries, func(e store.Entry) bool { return e.At.Before(since) }); i >= 0 {
			return entries[:i], "", err
		}
		return entries, next, err
	}
}

// decisionsOf returns those of the decisions with the ids that the journal has.
func (a *admin) decisionsOf(ctx context.Context, ids []string) ([]event.Outcome, error) {
	found := []event.Outcome{}
	for _, id := range ids {
		entry, err := a.Store.Entry(ctx, id)
		if err != nil {
			return nil, err
		}
		if entry == nil {
			continue
		}
		if o, ok := a.outcome(ctx, *entry); ok {
			found = append(found, o)
		}
	}
	return found, nil
}

// outcome decodes a journal entry, and hides secrets.
func (a *admin) outcome(ctx context.Context, entry store.Entry) (o event.Outcome, ok bool) {
	if err := json.Unmarshal(entry.Body, &o); err != nil {
		a.Log.ErrorContext(ctx, "journal entry not readable", "decision", entry.ID, "error", err)
		return o, false
	}
	hide(&o.Decision)
	return o, true
}

// hide replaces values that may be secret: variables of a pipeline that a person
// or the API started, and variables and inputs that a rule sets.
func hide(d *event.Decision) {
	for _, values := range []map[string]string{d.Pipeline.Variables, d.Action.Variables} {
		for k := range values {
			values[k] = hidden
		}
	}
	for k := range d.Action.Inputs {
		d.Action.Inputs[k] = []byte(`"` + hidden + `"`)
	}
}

// decisionsQuery selects decisions; "" stands for any.
type decisionsQuery struct {
	rule, action, outcome string
	project               project
	pipeline, job         int64 // 0 for any
	ref                   string
	text                  string // in lower case
	since                 time.Time
	limit                 int
	cursor                string
	ids                   []string // these decisions, whatever else
}

func parseDecisionsQuery(v url.Values, now time.Time) (decisionsQuery, error) {
	if v.Has("id") {
		ids := v["id"]
		if len(v) > 1 || len(ids) > maxIDs || slices.ContainsFunc(ids, func(id string) bool { return id == "" || len(id) > store.MaxID }) {
			return decisionsQuery{}, fmt.Errorf("parameter %q: give the ids of 1 to %d decisions, and no other parameter", "id", maxIDs)
		}
		return decisionsQuery{ids: ids}, nil
	}
	action, err1 := oneOf(v, "action", event.Verbs)
	outcome, err2 := oneOf(v, "outcome", slices.Concat(event.Results, []string{outcomeWaiting}))
	pipeline, err3 := idOf(v, "pipeline")
	job, err4 := idOf(v, "job")
	limit, err5 := limitOf(v)
	since, err6 := sinceOf(v, now)
	project, err7 := projectOf(v)
	q := decisionsQuery{
		rule:     v.Get("rule"),
		action:   action,
		outcome:  outcome,
		project:  project,
		pipeline: pipeline,
		job:      job,
		ref:      v.Get("ref"),
		text:     strings.ToLower(v.Get("text")),
		since:    since,
		limit:    limit,
		cursor:   v.Get("cursor"),
	}
	return q, errors.Join(err1, err2, err3, err4, err5, err6, err7)
}

func (q *decisionsQuery) matches(o *event.Outcome) bool {
	outcome := q.outcome
	if outcome == outcomeWaiting {
		outcome = ""
	}
	return (q.rule == "" || q.rule == o.Rule || slices.Contains(o.AlsoWantedBy, q.rule)) &&
		(q.action == "" || q.action == o.Action.Verb) &&
		(q.outcome == "" || outcome == o.Result) &&
		q.project.matches(o.Project.Path, o.Project.ID) &&
		(q.pipeline == 0 || q.pipeline == o.Pipeline.ID) &&
		(q.job == 0 || q.job == o.Job.ID) &&
		(q.ref == "" || q.ref == cmp.Or(o.Job.Ref, o.Pipeline.Ref)) &&
		(q.text == "" || containsText(o, q.text))
}

// containsText reports whether one of the texts that people know a decision by contains a
// text in lower case, in any letter case.
func containsText(o *event.Outcome, text string) bool {
	return slices.ContainsFunc([]string{
		o.Project.Path, o.Rule, o.Job.Name, o.Reason, o.Job.FailureReason, o.Job.FailureClass, cmp.Or(o.Job.Ref, o.Pipeline.Ref),
		o.Commit.Title, o.User.Username, o.MergeRequest.Title, o.By.Name, o.ID,
	}, func(field string) bool { return strings.Contains(strings.ToLower(field), text) })
}
