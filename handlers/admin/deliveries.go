package admin

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/rules/event"
)

// DeliveriesPage is the response to GET /api/v1/deliveries, newest first, with pages like
// those of DecisionsPage.
type DeliveriesPage struct {
	Deliveries []event.Delivery `json:"deliveries"`
	Next       string           `json:"next"`
}

func (a *admin) deliveries(c echo.Context) error {
	q, err := parseDeliveriesQuery(c.QueryParams(), a.Now())
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	var page DeliveriesPage
	page.Deliveries, page.Next, err = a.Deliveries.Deliveries(ctx, q.matches, q.since, q.cursor, q.limit)
	return a.page(c, page, err)
}

// deliveriesQuery selects deliveries; "" stands for any.
type deliveriesQuery struct {
	result        string
	project       project
	pipeline, job int64 // 0 for any
	since         time.Time
	limit         int
	cursor        string
}

func parseDeliveriesQuery(v url.Values, now time.Time) (deliveriesQuery, error) {
	result, err1 := oneOf(v, "result", event.DeliveryResults)
	pipeline, err2 := idOf(v, "pipeline")
	job, err3 := idOf(v, "job")
	since, err4 := sinceOf(v, now)
	limit, err5 := limitOf(v)
	project, err6 := projectOf(v)
	q := deliveriesQuery{result: result, project: project, pipeline: pipeline, job: job, since: since, limit: limit, cursor: v.Get("cursor")}
	return q, errors.Join(err1, err2, err3, err4, err5, err6)
}

func (q *deliveriesQuery) matches(d *event.Delivery) bool {
	return (q.result == "" || q.result == d.Result) &&
		q.project.matches(d.Project, d.ProjectID) &&
		(q.pipeline == 0 || q.pipeline == d.Pipeline) &&
		(q.job == 0 || q.job == d.Job)
}
