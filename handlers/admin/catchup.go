package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
)

// CatchUps makes rounds of catch-up, one at a time on all replicas.
type CatchUps interface {
	// Start begins a round, which goes on after the return. Besides those of the store,
	// its errors are *event.RequestError and *event.StateError.
	Start(ctx context.Context, requested event.CatchUp) (event.CatchUp, error)
	// Last returns the last round that was requested of any replica; nil if there is none.
	Last(ctx context.Context) (*event.CatchUp, error)
}

// CatchUpRequest is the body of POST /api/v1/catch-up, which may be missing.
type CatchUpRequest struct {
	Since  string `json:"since,omitempty"` // a duration that ends now, like 24h, or a time
	DryRun bool   `json:"dry_run,omitempty"`
	ChangeRequest
}

// CatchUpAnswer is the response to both: the last round that was requested.
type CatchUpAnswer struct {
	Last  *event.CatchUp `json:"last"`  // nil: there is none
	Every event.Duration `json:"every"` // between two rounds that each replica makes without a request; 0: none are made
}

func (a *admin) startCatchUp(c echo.Context) error {
	var req CatchUpRequest
	err := readOptional(c, &req)
	var since time.Time
	if err == nil {
		since, err = sinceOf(url.Values{"since": {req.Since}}, a.Now())
	}
	if err == nil {
		err = req.check(c)
	}
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	begun, err := a.CatchUps.Start(ctx, event.CatchUp{Since: since.UTC(), DryRun: req.DryRun, By: req.By})
	var wrong *event.RequestError
	var state *event.StateError
	switch {
	case errors.As(err, &wrong):
		return c.JSON(http.StatusBadRequest, handlers.Response{Error: fmt.Sprintf("parameter %q: %s %s", "since", req.Since, wrong.Reason)})
	case errors.As(err, &state):
		return c.JSON(http.StatusConflict, handlers.Response{Error: state.Reason})
	case err != nil:
		return a.unavailable(c, err)
	}
	a.changed(c, event.Change{Action: event.ChangeCatchUp, Target: targetOf(begun), By: req.By, Reason: req.Reason})
	return c.JSON(http.StatusOK, a.catchUpAnswer(&begun))
}

// targetOf says what a round is to do, for the list of changes.
func targetOf(round event.CatchUp) string {
	target := "what was missed"
	if !round.Since.IsZero() {
		target = "since " + round.Since.Format(time.RFC3339)
	}
	if round.DryRun {
		target += ", dry run"
	}
	return target
}

func (a *admin) lastCatchUp(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	last, err := a.CatchUps.Last(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, a.catchUpAnswer(last))
}

func (a *admin) catchUpAnswer(last *event.CatchUp) CatchUpAnswer {
	return CatchUpAnswer{Last: last, Every: event.Duration(a.CatchUpEvery)}
}
