package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Bounds of a TriesRequest.
const (
	MaxTries        = 1000
	maxTriesRequest = 2 << 20 // bytes
)

// Seeder adds tries that a backtest has found to what is known of retries.
type Seeder interface {
	// Seed adds those that were not added before. The error is an *event.StateError if
	// nothing is remembered of retries.
	Seed(ctx context.Context, found []event.PastTry) (event.Seeded, error)
}

// TriesRequest is the body of POST /api/v1/tries.
type TriesRequest struct {
	Instance string          `json:"instance"` // the base URL of the GitLab in which they were found
	Tries    []event.PastTry `json:"tries"`
	By       string          `json:"by,omitempty"`
	Reason   string          `json:"reason,omitempty"`
}

// checkTries returns an error that says what is wrong with the tries of a request.
func (a *admin) checkTries(r TriesRequest) error {
	if len(r.Tries) == 0 || len(r.Tries) > MaxTries {
		return fmt.Errorf(`parameter "tries" must have 1 to %d items, not %d`, MaxTries, len(r.Tries))
	}
	now := a.Now()
	for i, t := range r.Tries {
		if err := t.Check(now); err != nil {
			return fmt.Errorf(`parameter "tries", item %d: %w`, i+1, err)
		}
	}
	return nil
}

func (a *admin) tries(c echo.Context) error {
	var req TriesRequest
	if err := readAtMost(c, &req, maxTriesRequest); err != nil {
		return badRequest(c, err)
	}
	who := ChangeRequest{By: req.By, Reason: req.Reason}
	if err := errors.Join(who.check(c), a.checkTries(req)); err != nil {
		return badRequest(c, err)
	}
	if !strings.EqualFold(strings.TrimRight(req.Instance, "/"), a.Instance) {
		return c.JSON(http.StatusConflict, handlers.Response{Error: fmt.Sprintf("the tries are of the GitLab %q, and this server works with %s", req.Instance, a.Instance)})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	seeded, err := a.Seeder.Seed(ctx, req.Tries)
	var state *event.StateError
	switch {
	case errors.As(err, &state):
		return c.JSON(http.StatusConflict, handlers.Response{Error: state.Reason})
	case err != nil:
		return a.unavailable(c, err)
	}
	if seeded.Added > 0 {
		a.changed(c, event.Change{Action: event.ChangeSeed, Target: english.Plural(seeded.Added, "try", "tries"), By: who.By, Reason: who.Reason})
	}
	return c.JSON(http.StatusOK, seeded)
}
