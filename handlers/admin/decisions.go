package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/goccy/go-json"
	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const (
	// maxScan bounds how many journal entries one request reads; a filter that
	// matches few continues with the next request.
	maxScan = 5000
	// hidden replaces the values of variables and inputs, which may be secrets.
	hidden = "[hidden]"
	// outcomeWaiting selects decisions that have no outcome yet.
	outcomeWaiting = "waiting"
)

// decisionsPage is one page of decisions; Next is the cursor of the next page, ""
// at the end. A page may have fewer decisions than requested, or none, and yet
// have a next.
type decisionsPage struct {
	Decisions []event.Outcome `json:"decisions"`
	Next      string          `json:"next"`
}

func (a *admin) decisions(c echo.Context) error {
	q, err := parseDecisionsQuery(c.QueryParams())
	if err != nil {
		return c.JSON(http.StatusBadRequest, handlers.Response{Error: err.Error()})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	page, err := a.page(ctx, q)
	switch {
	case errors.Is(err, store.ErrBadCursor):
		return c.JSON(http.StatusBadRequest, handlers.Response{Error: `parameter "cursor": it must be the "next" of an earlier answer`})
	case err != nil:
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, page)
}

// page reads the journal until the page is full, the journal ends or maxScan
// entries were read. The first step is no longer than the page, so that all of it
// is on the page. A later step may fill the page before its end; it is then
// repeated with the right length, for the cursor of that place.
func (a *admin) page(ctx context.Context, q decisionsQuery) (decisionsPage, error) {
	page := decisionsPage{Decisions: []event.Outcome{}, Next: q.cursor}
	for step, scanned := q.limit, 0; scanned < maxScan; step = maxLimit {
		entries, next, err := a.Store.Entries(ctx, page.Next, step)
		if err != nil {
			return decisionsPage{}, err
		}
		for i, entry := range entries {
			o, ok := a.outcome(entry)
			if !ok || !q.matches(&o) {
				continue
			}
			page.Decisions = append(page.Decisions, o)
			if len(page.Decisions) == q.limit && i+1 < len(entries) {
				_, next, err = a.Store.Entries(ctx, page.Next, i+1)
				if err != nil {
					return decisionsPage{}, err
				}
				break
			}
		}
		page.Next = next
		if next == "" || len(page.Decisions) == q.limit {
			break
		}
		scanned += len(entries)
	}
	return page, nil
}

// outcome decodes a journal entry, and hides secrets.
func (a *admin) outcome(entry store.Entry) (o event.Outcome, ok bool) {
	if err := json.Unmarshal(entry.Body, &o); err != nil {
		a.Log.Error("journal entry not readable", "decision", entry.ID, "error", err)
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
	project               string // path or id
	pipeline, job         int64  // 0 for any
	ref                   string
	limit                 int
	cursor                string
}

func parseDecisionsQuery(v url.Values) (decisionsQuery, error) {
	action, err1 := oneOf(v, "action", event.Verbs)
	outcome, err2 := oneOf(v, "outcome", slices.Concat(event.Results, []string{outcomeWaiting}))
	pipeline, err3 := idOf(v, "pipeline")
	job, err4 := idOf(v, "job")
	limit, err5 := limitOf(v)
	q := decisionsQuery{
		rule:     v.Get("rule"),
		action:   action,
		outcome:  outcome,
		project:  v.Get("project"),
		pipeline: pipeline,
		job:      job,
		ref:      v.Get("ref"),
		limit:    limit,
		cursor:   v.Get("cursor"),
	}
	return q, errors.Join(
		known(v, "rule", "action", "outcome", "project", "pipeline", "job", "ref", "limit", "cursor"),
		err1, err2, err3, err4, err5)
}

func (q *decisionsQuery) matches(o *event.Outcome) bool {
	outcome := q.outcome
	if outcome == outcomeWaiting {
		outcome = ""
	}
	return (q.rule == "" || q.rule == o.Rule || slices.Contains(o.AlsoWantedBy, q.rule)) &&
		(q.action == "" || q.action == o.Action.Verb) &&
		(q.outcome == "" || outcome == o.Result) &&
		(q.project == "" || q.project == o.Project.Path || q.project == strconv.FormatInt(o.Project.ID, 10)) &&
		(q.pipeline == 0 || q.pipeline == o.Pipeline.ID) &&
		(q.job == 0 || q.job == o.Job.ID) &&
		(q.ref == "" || q.ref == cmp.Or(o.Job.Ref, o.Pipeline.Ref))
}
