package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
)

// UnknownLister lists the failed jobs that no failure class covers.
type UnknownLister interface {
	// Unknown returns the groups of the failed jobs of the projects that a glob matches or
	// that have an id, or all, since a time; of an id of a group only that.
	Unknown(ctx context.Context, since time.Time, project, id string) (UnknownPage, error)
	// Propose returns a failure class for the group with an id; nil if there is none with
	// it. The error is an *event.StateError if the group says too little for a class.
	Propose(ctx context.Context, id string) (*Proposal, error)
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

// Proposal is the response to GET /api/v1/unknown/{id}/proposal: a failure class with a rule
// that retries it, and a test of that rule. The class matches none of the logs of jobs that
// passed which ship with Pipesteward; it was tried on no others.
type Proposal struct {
	Class   string `json:"class"`
	Rules   string `json:"rules"`   // a rule file
	Test    string `json:"test"`    // a file of rule tests
	Shipped int    `json:"shipped"` // how many such logs there are
}

func (a *admin) proposal(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	id := c.Param("id")
	proposed, err := a.Unknown.Propose(ctx, id)
	var state *event.StateError
	switch {
	case errors.As(err, &state):
		return c.JSON(http.StatusConflict, handlers.Response{Error: state.Reason})
	case err != nil:
		return a.unavailable(c, err)
	case proposed == nil:
		return c.JSON(http.StatusNotFound, handlers.Response{Error: fmt.Sprintf("there is no group %q: /api/v1/unknown lists them", id)})
	}
	return c.JSON(http.StatusOK, proposed)
}

func (a *admin) unknown(c echo.Context) error {
	v := c.QueryParams()
	since, err1 := sinceOf(v, a.Now())
	project, err2 := projectOf(v)
	var err3 error
	if ids := v["id"]; v.Has("id") && (len(ids) > 1 || ids[0] == "") {
		err3 = fmt.Errorf("parameter %q: give the id of one group", "id")
	}
	if err := errors.Join(err1, err2, err3); err != nil {
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
