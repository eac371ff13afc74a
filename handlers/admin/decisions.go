package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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

// DecisionFinder finds decisions in the journal.
type DecisionFinder interface {
	// Find returns the entries of the newest decisions that a query selects, and the cursor
	// of the next page, "" at the end.
	Find(ctx context.Context, q event.DecisionQuery) (entries []store.Entry, next string, err error)
}

func (a *admin) decisions(c echo.Context) error {
	q, ids, err := parseDecisionsQuery(c.QueryParams(), a.Now())
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	var entries []store.Entry
	page := DecisionsPage{Decisions: []event.Outcome{}}
	if len(ids) > 0 {
		entries, err = a.Store.EntriesOf(ctx, ids...)
	} else {
		entries, page.Next, err = a.Decisions.Find(ctx, q)
	}
	for _, entry := range entries {
		if o, ok := a.outcome(ctx, entry); ok {
			page.Decisions = append(page.Decisions, o)
		}
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

// parseDecisionsQuery reads which decisions a request selects, or names by their ids.
func parseDecisionsQuery(v url.Values, now time.Time) (q event.DecisionQuery, ids []string, err error) {
	if v.Has("id") {
		ids := v["id"]
		if len(v) > 1 || len(ids) > maxIDs || slices.ContainsFunc(ids, func(id string) bool { return id == "" || len(id) > store.MaxID }) {
			return q, nil, fmt.Errorf("parameter %q: give the ids of 1 to %d decisions, and no other parameter", "id", maxIDs)
		}
		return q, ids, nil
	}
	verb, err1 := oneOf(v, "action", event.Verbs)
	result, err2 := oneOf(v, "outcome", slices.Concat(event.Results, []string{outcomeWaiting}))
	pipeline, err3 := idOf(v, "pipeline")
	job, err4 := idOf(v, "job")
	limit, err5 := limitOf(v)
	since, err6 := sinceOf(v, now)
	project, err7 := projectOf(v)
	waiting := result == outcomeWaiting
	if waiting {
		result = ""
	}
	q = event.DecisionQuery{
		Rule:     v.Get("rule"),
		Verb:     verb,
		Result:   result,
		Waiting:  waiting,
		Project:  string(project),
		Pipeline: pipeline,
		Job:      job,
		Ref:      v.Get("ref"),
		Text:     v.Get("text"),
		Since:    since,
		Limit:    limit,
		Cursor:   v.Get("cursor"),
	}
	return q, nil, errors.Join(err1, err2, err3, err4, err5, err6, err7)
}
