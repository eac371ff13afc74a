package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// ChangeRequest is the body of the requests that change one thing, which may be missing.
type ChangeRequest struct {
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// check returns an error if a text is too long or more than one line. It sets who makes
// the request.
func (r *ChangeRequest) check(c echo.Context) error {
	if event.TooLong(r.By, r.Reason) {
		return fmt.Errorf("a text of the request has more than %d characters", event.MaxText)
	}
	r.By = actor(c, r.By)
	return event.CheckWords(r.By, r.Reason)
}

// Dropped is the response to POST /api/v1/queue/{id}/drop.
type Dropped struct {
	ID string `json:"id"`
}

// ChangesPage is the response to GET /api/v1/changes, newest first.
type ChangesPage struct {
	Changes []event.Change `json:"changes"`
}

func (a *admin) requeue(c echo.Context) error {
	return a.steer(c, func(ctx context.Context, id string, by event.Actor) (any, error) {
		return a.Steerer.Requeue(ctx, id, by)
	})
}

func (a *admin) drop(c echo.Context) error {
	return a.steer(c, func(ctx context.Context, id string, by event.Actor) (any, error) {
		return Dropped{id}, a.Steerer.Drop(ctx, id, by)
	})
}

// steer changes the record in the request's path.
func (a *admin) steer(c echo.Context, change func(ctx context.Context, id string, by event.Actor) (any, error)) error {
	var req ChangeRequest
	id, err := recordID(c)
	if err == nil {
		err = readOptional(c, &req)
	}
	if err == nil {
		err = req.check(c)
	}
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	response, err := change(ctx, id, event.Actor{By: req.By, From: c.RealIP(), Reason: req.Reason})
	var state *event.StateError
	switch {
	case errors.Is(err, event.ErrNoRecord):
		return c.JSON(http.StatusNotFound, handlers.Response{Error: err.Error()})
	case errors.As(err, &state):
		return c.JSON(http.StatusConflict, handlers.Response{Error: state.Reason})
	case err != nil:
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, response)
}

// recordID returns the id in the request's path, whose slashes are escaped. Echo takes
// parameters from the escaped path if that differs from the plain one.
func recordID(c echo.Context) (id string, err error) {
	if id = c.Param("id"); c.Request().URL.RawPath != "" {
		if id, err = url.PathUnescape(id); err != nil {
			return "", fmt.Errorf("the id in the path: %w", err)
		}
	}
	if id == "" || len(id) > store.MaxID {
		return "", fmt.Errorf("the id in the path must have 1 to %d bytes", store.MaxID)
	}
	return id, nil
}

func (a *admin) changes(c echo.Context) error {
	v := c.QueryParams()
	limit, err := limitOf(v)
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	all, err := a.Changes.List(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, ChangesPage{all[:min(len(all), limit)]})
}
