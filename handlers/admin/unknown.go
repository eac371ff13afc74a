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
	// that have an id, or all, since a time; of an id of a group only that. They are JSON.
	Unknown(ctx context.Context, since time.Time, project, id string) (any, error)
}

// UnknownPage is the response to GET /api/v1/unknown.
type UnknownPage struct {
	Clusters any `json:"clusters"`
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
	clusters, err := a.Unknown.Unknown(ctx, since, string(project), v.Get("id"))
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, UnknownPage{clusters})
}
