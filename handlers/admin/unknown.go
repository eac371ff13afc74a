package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// UnknownLister lists the failed jobs that no failure class covers.
type UnknownLister interface {
	// Unknown returns the groups of the failed jobs of the projects that a glob matches or
	// that have an id, or all, since a time; of an id of a group only that.
	Unknown(ctx context.Context, since time.Time, project, id string) (UnknownPage, error)
}

// UnknownPage is the response to GET /api/v1/unknown.
type UnknownPage struct {
	Clusters any `json:"clusters"` // JSON
	// NotRead is how many failed jobs, of those of which a rule can be, are in none of the
	// groups, because no rule read their log.
	NotRead int `json:"not_read"`
	// EveryFailure is whether the rules in force have the log of each failed job read.
	EveryFailure bool `json:"every_failure"`
}

func (a *admin) unknown(c echo.Context) error {
	v := c.QueryParams()
	since, err1 := sinceOf(v, a.Now())
	project, err2 := projectOf(v)
	if err := errors.Join(err1, err2); err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	page, err := a.Unknown.Unknown(ctx, since, string(project), v.Get("id"))
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, page)
}
